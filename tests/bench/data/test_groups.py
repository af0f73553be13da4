import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentwave.bench.data.groups import assign_splits, whole_splits
from latentwave.errors import UserError

sizes = st.dictionaries(st.text("abcdef", min_size=1, max_size=5), st.integers(1, 1000), min_size=3)
shares = st.floats(0.01, 0.3)


@given(sizes=sizes, validation=shares, test=shares)
def test_every_group_has_one_split_and_every_split_a_group(sizes, validation, test):
    splits = assign_splits(sizes, validation=validation, test=test)
    assert splits.keys() == sizes.keys()
    assert set(splits.values()) == {"train", "validation", "test"}
    assert assign_splits(dict(reversed(sizes.items())), validation=validation, test=test) == splits


def test_the_shares_are_met_where_groups_are_small():
    sizes = {f"piece {i}": 1 + i % 7 for i in range(1000)}
    splits = assign_splits(sizes, validation=0.05, test=0.1)
    for split, share in {"validation": 0.05, "test": 0.1}.items():
        got = sum(sizes[name] for name, where in splits.items() if where == split)
        assert got / sum(sizes.values()) == pytest.approx(share, abs=0.002)


def test_no_share_no_group():
    splits = assign_splits(dict.fromkeys("abc", 1), validation=0.3, test=0.0)
    assert sorted(splits.values()) == ["train", "train", "validation"]
    with pytest.raises(UserError, match="too few for 3 splits"):
        assign_splits(dict.fromkeys("ab", 1), validation=0.1, test=0.1)


def test_folders_stay_whole(tmp_path):
    files = {}
    for piece in range(12):
        for take in range(1 + piece % 4):
            path = tmp_path / f"piece{piece}" / f"{take}.mid"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(bytes(100))
            files[path.relative_to(tmp_path).as_posix()] = path
    splits = whole_splits(files, "folder", validation=0.2, test=0.2)
    by_folder = {}
    for name, split in splits.items():
        by_folder.setdefault(name.split("/")[0], set()).add(split)
    assert all(len(found) == 1 for found in by_folder.values())
    assert whole_splits(files, "tokens", validation=0.2, test=0.2) is None
    assert len(set(whole_splits(files, "file", validation=0.2, test=0.2).values())) == 3
    with pytest.raises(UserError, match='"tokens", "file" or "folder", got \'piece\''):
        whole_splits(files, "piece", validation=0.2, test=0.2)
