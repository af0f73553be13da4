"""transformers' own tests of a model pass with mixers where they pass without."""

import functools
import itertools
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import transformers

import latentwave as lw
from latentwave.hub import all_mixers
from tests.hub.models import HEAD_KINDS
from tests.hub.upstream import BACKBONES, configuration

POINTS = (["block"], ["mlp", "block"], ["attention", "mlp_hidden"], ["qkv"])
# Inside these models' MLPs the number of channels is odd, so half of them cannot be filtered.
OWN_POINTS = {kind: ["block"] for kind in ("chain", "moving_average", "wavelet")}
OWN_POINTS |= {kind: ["qkv"] for kind in HEAD_KINDS}
CASES = [
    pytest.param(backbone, kind, OWN_POINTS.get(kind, points), id=f"{kind}-{backbone}")
    for kind, backbone, points in zip(
        lw.list_mixers(), itertools.cycle(BACKBONES), itertools.cycle(POINTS)
    )
]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """The folder `tests` of the source distribution of the transformers that is installed."""
    folder = tmp_path_factory.mktemp("transformers")
    wanted = f"transformers=={transformers.__version__}"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    pip += ["--no-binary", ":all:", "--no-build-isolation", "--dest", str(folder), wanted]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    archives = list(folder.glob("*.tar.gz"))
    if done.returncode or not archives:
        pytest.skip(f"pip cannot download the source of {wanted}")
    with tarfile.open(archives[0]) as archive:
        archive.extractall(folder, filter="data")
    return next(folder.glob("*/tests"))


@functools.cache
def passed(suite, backbone, entry):
    source = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "hub" / "upstream.py", suite, backbone, entry],
        env=os.environ | {"PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "kind", "points"), CASES)
def test_what_passes_plain_passes_with_mixers(suite, backbone, kind, points):
    model = getattr(transformers, BACKBONES[backbone][1])(configuration(backbone))
    assert len(all_mixers(lw.attach(model, kind, points=points, placement="all"))) >= 2
    plain, _ = passed(suite, backbone, "null")
    mixed, log = passed(suite, backbone, json.dumps(model.config.latentwave))
    assert len(plain) > 60
    assert not {*plain} - {*mixed}, log[-6000:]
