"""Checkpoints that attach did not write are refused with file and value, and run no code."""

import contextlib
import json
import reprlib

import pytest
from transformers import AutoConfig

import latentwave as lw
from latentwave.errors import UserError
from latentwave.hub import all_mixers
from tests.hub.models import gpt2


def nested(depth):
    entry = {"kind": "short_conv"}
    for _ in range(depth):
        entry = {"kind": "chain", "options": {"mixers": [entry]}}
    return [entry]


HUGE = 10**30
WRONG = {  # by key of the mixers' entry
    "format_version": [None, True, "1", 1.0, [], HUGE, 2],
    "context_length": [None, True, 0, -1, 1.5, "64", HUGE, 10**12, [64], 1],
    "mixers": [None, 1, "x", [], [1], [[]], {}],
    "modules": [None, 3, "mlp", [["mlp", "mlp"]], {"mlp": 1}, {"mlp": ""}, {"ffn": "mlp"}],
}
WRONG_MIXER = {  # by key of one of the mixers in it
    "kind": [None, 1, "", "nope", [], ["wavelet"], {"kind": "wavelet"}],
    "options": [None, 1, "level", [], ["level"], [["level", 1]]],
    "placement": [1, True, 0.5, "before", "", [], [9], [-1], [0.5], ["0"], [HUGE], [None], {}],
    "points": [None, 1, "block", [], ["C"], [1], [None], [["mlp"]], {"mlp": 1}, ["\0"]],
}
KINDS = {  # tests/mixers/test_refusals.py has the options of every kind
    "wavelet": ["level", "schedule", "fraction", "wavelet", "mixed"],
    "filterbank": ["num_filters", "kernel_sizes", "causal"],
    "chain": ["mixers"],
    "short_conv": ["gated", "check_finite"],
}
VALUES = [HUGE, -1, float("nan"), "x", [[]]]
CASES = [(key, value) for key, values in (WRONG | WRONG_MIXER).items() for value in values]
CASES += [
    (kind, {option: value})
    for kind, options in KINDS.items()
    for option in options
    for value in VALUES
]
CASES += [("chain", {"mixers": nested(depth)}) for depth in (70, 150)]
CASES += [("wavelet", {"nonsense": "nonsense"}), ("wavelet", {"schedule": [HUGE]})]
CASES += [("wavelet", {"level": 10**4000}), ("filterbank", {"kernel_sizes": [10**9] * 3})]
MIXER = {"kind": "wavelet", "options": {}, "placement": "between", "points": ["block"]}
SAVED = {"format_version": 1, "context_length": 64, "mixers": [MIXER]}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    model = lw.attach(gpt2(), "wavelet")
    model.save_pretrained(folder)
    lw.save_mixers(model, folder)
    return folder


@contextlib.contextmanager
def holding(file, written):
    """Let a file hold other JSON for a while."""
    before = file.read_text()
    file.write_text(written if isinstance(written, str) else json.dumps(written))
    try:
        yield
    finally:
        file.write_text(before)


@pytest.mark.unchecked
def test_entries_that_attach_did_not_write(saved):
    """One test of many cases: each takes milliseconds."""
    config, mixers = (json.loads((saved / f).read_text()) for f in ("config.json", "mixers.json"))
    model, failed = gpt2(), []
    for key, value in CASES:
        if key in WRONG:
            entry = SAVED | {key: value}
        else:
            own = {key: value} if key in WRONG_MIXER else {"kind": key, "options": value}
            entry = SAVED | {"mixers": [MIXER | own]}
        for file, written, load in (
            ("config.json", config | {"latentwave": entry}, lambda: lw.from_pretrained(saved)),
            ("mixers.json", mixers | entry, lambda: lw.load_mixers(model, saved)),
        ):
            found = "accepted"
            try:
                with holding(saved / file, written):
                    load()
            except UserError as error:
                shown = value if key in WRONG | WRONG_MIXER else next(iter(value.values()))
                said = reprlib.repr(shown).strip("[]")[:4] in str(error) or key == "chain"
                located = str(saved) in str(error) and file in str(error)
                found = "" if said and located else f"no file or value in {error}"
            except Exception as error:
                found = repr(error)
            if found:
                failed.append(f"{file} {key} {reprlib.repr(value)}: {found}")
    assert not all_mixers(model)
    assert not failed, "\n".join(failed)
    assert len(CASES) > 90


DEEP = "[" * 100_000 + "]" * 100_000
TEXTS = ["", "[]", "null", '"x"', "1", "{}", "{", DEEP, '{"a":' * 100_000, "\xff", "1" * 10_000]


@pytest.mark.unchecked
@pytest.mark.parametrize("file", ["config.json", "mixers.json"])
@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_files_that_hold_something_else(saved, file, text):
    with holding(saved / file, text), pytest.raises(UserError, match=file) as caught:
        lw.from_pretrained(saved) if file == "config.json" else lw.load_mixers(gpt2(), saved)
    assert str(saved) in str(caught.value)


CODE = "raise SystemExit('code of a checkpoint was run')"
CONFIGS = [
    {"model_type": "unheard", "auto_map": {"AutoConfig": "evil.Config"}},
    {"auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}},
    {"attn_implementation": "someone/kernel"},
    {"_attn_implementation": "someone/kernel@main:attention"},
    {"attn_implementation": "flash_attention_2"},
    {"attn_implementation": {"": "someone/kernel"}},
    {"attn_implementation": 3},
    {"attn_implementation": []},
    {"experts_implementation": "deepgemm"},
    {"n_layer": "x"},
    {"quantization_config": 1},
]


@pytest.mark.parametrize("added", CONFIGS, ids=str)
def test_nothing_is_asked_or_run(saved, added, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *prompt: pytest.fail(f"asked {prompt}"))
    monkeypatch.setattr(
        "transformers.integrations.hub_kernels.get_kernel", lambda *a, **k: pytest.fail("fetched")
    )
    (saved / "evil.py").write_text(CODE)
    config = json.loads((saved / "config.json").read_text())
    with holding(saved / "config.json", config | added):
        if set(added) == {"auto_map"}:  # of a model that transformers knows, which it prefers
            assert len(all_mixers(lw.from_pretrained(saved))) == 2
        else:
            with pytest.raises(UserError, match=str(saved)):
                lw.from_pretrained(saved)
        for kind in {"attn_implementation", "experts_implementation"} & set(added):
            lw.from_pretrained(saved, **{kind: "eager"})
        if "experts_implementation" in added:  # the choice of one chooses no other
            with pytest.raises(UserError, match="pass experts_implementation"):
                lw.from_pretrained(saved, attn_implementation="eager")


def test_an_adapter_beside_the_weights_or_an_attention_of_others(saved):
    (saved / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "/else"}))
    with pytest.raises(UserError, match=r"adapter_config\.json"):
        lw.from_pretrained(saved)
    (saved / "adapter_config.json").unlink()
    config = AutoConfig.from_pretrained(saved)
    config._attn_implementation = "someone/kernel"
    with pytest.raises(UserError, match="'someone/kernel', which may be code"):
        lw.from_pretrained(saved, config=config)
