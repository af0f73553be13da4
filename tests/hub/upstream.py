"""Run transformers' own tests of a model, plain or with mixers: `upstream.py SUITE BACKBONE ENTRY`.

SUITE is the folder `tests` of transformers' source distribution, ENTRY the mixers' entry of a
configuration as JSON, or null. Prints the names of the tests that pass, as JSON. The distribution
lacks modules that its tests import; they are stubbed in memory.
"""

import contextlib
import functools
import importlib.util
import json
import sys
import types
import unittest
from pathlib import Path

import torch
import transformers

import latentwave as lw
from tests.hub.models import sizes

SIZES = sizes(2, vocab_size=99, hidden_size=32, num_attention_heads=4, intermediate_size=37)
SIZES |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
BACKBONES = {
    "GPT2": ("GPT2Model", "GPT2LMHeadModel"),
    "Llama": ("LlamaModel", "LlamaForCausalLM"),
    "Qwen3": ("Qwen3Model", "Qwen3ForCausalLM"),
}
MORE = {"GPT2": {"n_inner": 37}, "Qwen3": {"num_key_value_heads": 2, "head_dim": 8}}


def configuration(backbone):
    return getattr(transformers, f"{backbone}Config")(**SIZES | MORE.get(backbone, {}))


class ModelTester:
    """What the suite asks about a model and its inputs."""

    batch_size, seq_length, is_training = 3, 7, True
    num_hidden_layers, hidden_size = SIZES["num_hidden_layers"], SIZES["hidden_size"]
    num_attention_heads, vocab_size = SIZES["num_attention_heads"], SIZES["vocab_size"]

    def __init__(self, backbone, entry):
        self.backbone, self.entry = backbone, entry

    def get_config(self):
        config = configuration(self.backbone)
        if self.entry is not None:
            config.latentwave = dict(self.entry)
        return config

    def prepare_config_and_inputs_for_common(self):
        ids = torch.randint(3, self.vocab_size, (self.batch_size, self.seq_length))
        return self.get_config(), {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _stub_missing_modules(suite):
    package = types.ModuleType("upstream_tests")
    package.__path__ = [str(suite)]
    sys.modules["upstream_tests"] = package
    for name, attribute in (
        ("exporters.test_export", "ExportTesterMixin"),
        ("generation.test_utils", "GenerationTesterMixin"),
    ):
        parent = types.ModuleType(f"upstream_tests.{name.split('.')[0]}")
        parent.__path__ = []
        module = types.ModuleType(f"upstream_tests.{name}")
        setattr(module, attribute, type(attribute, (), {}))
        sys.modules |= {parent.__name__: parent, module.__name__: module}
    if importlib.util.find_spec("parameterized") is None:
        sys.modules["parameterized"] = types.ModuleType("parameterized")
        sys.modules["parameterized"].parameterized = types.SimpleNamespace(expand=_expand)


def _expand(cases, **_):
    """All cases of a test in one."""

    def decorate(function):
        @functools.wraps(function)
        def run(self):
            for case in cases() if callable(cases) else cases:
                with self.subTest(case=case):
                    function(self, *(case if isinstance(case, tuple | list) else (case,)))

        del run.__wrapped__
        return run

    return decorate


class _Passed(unittest.TestResult):
    """Also lists the tests that passed."""

    def __init__(self):
        super().__init__()
        self.passed = []

    def addSuccess(self, test):  # noqa: N802 - unittest's name
        super().addSuccess(test)
        self.passed.append(test.id().rpartition(".")[2])


def passed(suite, backbone, entry):
    _stub_missing_modules(suite)
    common = importlib.import_module("upstream_tests.test_modeling_common")

    class Case(common.ModelTesterMixin, unittest.TestCase):
        all_model_classes = tuple(getattr(transformers, name) for name in BACKBONES[backbone])

        def setUp(self):
            self.model_tester = ModelTester(backbone, entry)

    tests = unittest.defaultTestLoader.loadTestsFromTestCase(Case)
    result = _Passed()
    with lw.register(), contextlib.redirect_stdout(sys.stderr):
        tests.run(result)
    for each, trace in [*result.failures, *result.errors]:
        print(each, trace, file=sys.stderr)
    return result.passed


if __name__ == "__main__":
    suite, backbone, entry = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    print(json.dumps(passed(suite, backbone, entry)))
