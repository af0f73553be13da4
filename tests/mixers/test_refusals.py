"""Invalid options are refused, with the value, before anything is allocated."""

import pytest

import latentwave as lw
from latentwave.mixers import head_roles
from latentwave.mixers.option_types import declared_types, fits

WAVELET = [
    ({"channels": 7}, "fraction=0.5 of 7 channels is 3.5"),
    ({"fraction": 0.0}, r"in \(0, 1\], got 0"),
    ({"fraction": 1.5}, "got 1.5"),
    ({"fraction": "half"}, "must be float, got 'half'"),
    ({"level": 5}, "level must be between 1 and 4 .*context length 16.*got 5"),
    ({"level": 2.0}, "'level' of mixer 'wavelet' must be int or None, got 2.0"),
    ({"level": True}, "must be int or None, got True"),
    ({"num_levels": 0}, "num_levels must be between 1 and 4.*got 0"),
    ({"level": 1, "num_levels": 2}, "pass only one of"),
    ({"boundary": "wrap"}, "got 'wrap'"),
    ({"mixed": 1}, "must be 'last' or 'first', got 1"),
    ({"residual": "no"}, "must be bool, got 'no'"),
    ({"gated": 1}, "must be bool, got 1"),
    ({"schedule": "thirds"}, '"halving" or a list of levels, got .thirds'),
    ({"schedule": [1, "2"]}, r"must be list of int.*got \[1, '2'\]"),
    ({"schedule": "halving", "level": 2}, "pass only one of"),
    ({"schedule": "halving", "num_levels": 5}, "num_levels must be between 1 and 4"),
    ({"schedule": [1, 2, 3, 1, 2]}, "1 to 4 levels for the 4 mixed channels, got 5"),
    ({"schedule": []}, "1 to 4 levels .*, got 0"),
    ({"context_length": 1}, "context_length must be >= 2 for a level of the wavelet"),
    ({"wavelet": "db"}, "no discrete wavelet 'db', did you mean"),
    ({"wavelet": "db2", "boundary": "mean"}, '"haar", got wavelet=.db2'),
    ({"wavelet": "db2", "level": 3}, "between 1 and 2 .*'db2'.* 16.*, got 3"),
    ({"fractoin": 1}, "no option 'fractoin', did you mean 'fraction'.*num_levels"),
]
SIZES = [
    ({size: value}, f"{size} must be an integer from 1 to 16777216, got")
    for size in ("channels", "context_length")
    for value in ("16", 16.0, 0, 10**30)
]
LEARNABLE = [
    ({"max_taps": 17}, "max_taps must be between 2 and the context length 16, got 17"),
    ({"max_taps": 1}, "between 2 and .* got 1"),
    ({"max_taps": 3, "wavelet": "db2"}, "max_taps must be >= 4 .*'db2', got 3"),
    ({"max_taps": 3, "orthogonal": True}, "max_taps must be >= 4 .*'haar' as angles, got 3"),
    ({"context_length": 2, "orthogonal": True}, "context_length must be >= 4 .*'haar' as angles"),
    ({"wavelet": "db22"}, "context_length must be >= 44 .*'db22'.* got 16"),
]
FILTERBANK = [
    ({"kernel_size": 65}, r"context length 64, got \[65\]"),
    ({"kernel_sizes": [4, 128]}, r"context length 64, got \[4, 128\]"),
    ({"kernel_sizes": 8}, "must be list of int or None, got 8"),
    ({"kernel_size": 0}, r">= 1.*got \[0\]"),
    ({"kernel_sizes": []}, r"one or more sizes >= 1, got \[\]"),
    ({"kernel_sizes": [4, 8, 16, 32, 64]}, "the 5 kernel sizes.*got 144"),
    ({"num_filters": 0}, "got 0"),
    ({"kernel_size": 8, "kernel_sizes": [8]}, "either kernel_size or kernel_sizes"),
    ({"init": "zeros"}, "got 'zeros'"),
]
ADAPTIVE = [
    ({"mask_heads": 3}, "mask_heads must divide mask_width=32, got 3"),
    ({"mask_layers": 0}, "mask_layers must be between 1 and 64, got 0"),
    ({"mask_window": 65}, "context length 64, got 65"),
    ({"mask_window": 0}, "got 0"),
]
DYNAMIC = [
    ({"kernel_size": 1, "init": "haar"}, "between 2 .*with init='haar', got 1"),
    ({"rank": 0}, "rank must be between 1 and the .* channels, got 0"),
    ({"init": "one"}, "got 'one'"),
]
AVERAGE = [
    ({"window": 12}, "power of two from 2 .* length 16, got 12"),
    ({"window": 32}, "got 32"),
    ({"window": 4, "level": 2}, "either window or level.*window=4, level=2"),
]
CHAIN = [
    ({"mixers": []}, r"at least one mixer, .*got \[\]"),
    ({"mixers": {"kind": "wavelet"}}, "must be a list.*got {'kind': 'wavelet'}"),
    ({"mixers": None}, "must be a list.*got None"),
    ({"mixers": ["wavelet"]}, "must be {.*got 'wavelet'"),
    ({"mixers": [{"kind": "wavelet", "fraction": 0.5}]}, "got {'kind': .*'fraction': 0.5}"),
    ({"mixers": [{"options": {}}]}, "got {'options': {}}"),
    ({"mixers": [{"kind": "wavelet", "options": []}]}, r"must be a mapping, got \[\]"),
    ({"mixers": [{"kind": "wavelets"}]}, "did you mean 'wavelet'"),
    ({"mixers": [{"kind": "ema", "options": {"longes": 1}}]}, "did you mean 'longest'"),
    ({"mixers": [{"kind": "wavelet", "options": {"level": 9}}]}, "level must be .*got 9"),
    ({"mixers": [{"kind": "short_conv"}] * 65}, "at most"),
    ({"mixers": [{"kind": "chain", "options": {"mixers": [{"kind": "ema"}] * 64}}]}, "at most"),
]
TABLES = {
    "wavelet": WAVELET + SIZES,
    "learnable_wavelet": LEARNABLE,
    "filterbank": FILTERBANK,
    "adaptive_filterbank": ADAPTIVE,
    "dynamic_conv": DYNAMIC,
    "moving_average": AVERAGE,
    "chain": CHAIN,
    "wavelet_bank": [
        ({"num_levels": 5}, "between 1 and 4 .*length 16.*got 5"),
        ({"num_groups": 3}, "must divide the 8 channels, got 3"),
        ({"context_length": 1}, "context_length must be >= 2 for an average, got 1"),
    ],
    "ema": [
        ({"shortest": 1.0}, "got shortest=1.0"),
        ({"longest": 1.5}, "shortest=2.0, longest=1.5"),
    ],
    "short_conv": [
        ({"kernel_size": 17}, "between 1 and the context length 16, got 17"),
        ({"kernel_size": 0}, "got 0"),
    ],
    "token_shift": [
        ({"initial_gate": 1.0}, r"in \(0, 1\), got 1.0"),
        ({"fraction": 0.3}, "fraction=0.3 of 8"),
    ],
    "pyramid": [({"num_levels": n}, f"between 1 and 4 .*length 16.*got {n}") for n in (0, 5)],
    "kv_shift": [
        ({"heads": "qq"}, "at least one k or v, got 'qq'"),
        ({"heads": "kx"}, "one letter, q, k or v, per head.*'kx'"),
        ({"heads": "kvk"}, "3 heads cannot share 8 channels"),
        ({"context_length": 1}, "context_length must be >= 2 for a shift, got 1"),
    ],
    "key_offset": [
        ({"heads": "qv"}, "at least one k, got 'qv'"),
        ({"heads": "kkk", "channels": 6}, "even number from 4 to its 2 channels, got 2"),
        ({"rotary_width": 6, "heads": "kq"}, "from 4 to its 4 channels, got 6"),
    ],
}


def build(kind, options):
    sizes = {"channels": 8, "context_length": 64 if "filterbank" in kind else 16}
    return lw.build_mixer(kind, **(sizes | options))


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [(kind, *row) for kind, rows in TABLES.items() for row in rows],
    ids=lambda value: str(value)[:40],
)
def test_options(kind, options, message):
    with pytest.raises(ValueError, match=message):
        build(kind, options)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", lw.list_mixers())
def test_sizes_that_no_machine_could_hold(kind):
    numbers = (10**9 + 1, 10**12, 10**30, 10**4000)
    for name, hint in declared_types(type(build(kind, {})).__init__).items():
        for value in [*numbers, *([1, number] for number in numbers)]:
            if fits(value, hint) and name != "mixers":
                with pytest.raises(ValueError, match="must|at most"):
                    build(kind, {name: value})


def test_wide_models_may_have_wide_mixers():
    sizes = {"channels": 256, "num_filters": 2048, "mask_width": 2048, "kernel_size": 2}
    assert build("adaptive_filterbank", sizes).num_filters == 2048


def test_a_projection_without_heads():
    with pytest.raises(ValueError, match="heads of projection 'out_proj' are unknown"):
        head_roles("out_proj", 2)


@pytest.mark.parametrize(("heads", "shared"), [(5, 2), (4, 0), (0, None), (2, 4)])
def test_heads_that_do_not_share_keys_equally(heads, shared):
    with pytest.raises(ValueError, match=f"divide num_heads, got num_heads={heads}"):
        head_roles("query_key_value", heads, shared)
