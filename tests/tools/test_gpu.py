"""The script for a GPU, rehearsed on the CPU."""

import json
import lzma
import tarfile

import pytest

from tests.tiny import write_text
from tools import gpu


@pytest.mark.slow
def test_every_phase_runs_at_tiny_size(tmp_path, capsys):
    packed = tmp_path / "words.txt.xz"
    packed.write_bytes(lzma.compress(write_text(tmp_path / "words.txt").read_bytes()))
    arguments = ["--tiny", "--jobs", "1", "--minutes", "2", "--corpus", str(packed)]
    assert gpu.main([*arguments, "--output", str(tmp_path / "out")]) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert list(summary) == list(gpu.PHASES)
    assert summary["bench"]["rows"] > 3
    assert summary["search"] | {"seconds": 0} == {"exit_code": 0, "runs": 5, "seconds": 0}
    assert summary["ladder"] | {"seconds": 0} == {"exit_code": 0, "branches": 8, "seconds": 0}
    with tarfile.open(tmp_path / "out" / "gpu.tar.gz") as archive:
        names = archive.getnames()
    assert {"ladder/ladder.json", "search/search.json"} <= set(names)
    assert not any("checkpoints" in name for name in names)
    assert "gpu.tar.gz" in capsys.readouterr().out
