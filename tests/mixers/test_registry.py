import pytest

import latentwave as lw
from latentwave.errors import UserError


def test_known_kinds_are_sorted():
    assert lw.list_mixers() == sorted(lw.list_mixers())


def test_a_config_builds_what_the_name_builds():
    config = lw.MixerConfig(kind="wavelet", options={"level": 2})
    mixer = lw.build_mixer(config, channels=8, context_length=16)
    assert mixer.levels == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lw.MixerConfig(kind="wavlet"), "no mixer 'wavlet', did you mean 'wavelet'"),
        (
            lambda: lw.build_mixer("wavelet", channels=8, context_length=16, fractoin=1),
            "no option 'fractoin', did you mean 'fraction'.*num_levels",
        ),
        (
            lambda: lw.build_mixer(
                lw.MixerConfig(kind="wavelet"), channels=8, context_length=16, level=1
            ),
            "inside the MixerConfig.*level",
        ),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="registered already"):
        lw.register_mixer("wavelet")(type(lw.build_mixer("wavelet", channels=2, context_length=2)))
