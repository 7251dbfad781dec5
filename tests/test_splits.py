"""Splits keep groups whole; mosaics are found from the edges of their tiles."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import datasets, generators, samples, splits
from course_utils.errors import DataError, ParameterError

FRACTIONS = {"train": 0.68, "validation": 0.12, "test": 0.2}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=8, max_size=120), st.integers(0, 2**16))
def test_no_group_is_ever_in_two_parts(groups, seed):
    table = pd.DataFrame({"group": groups})
    table["part"] = splits.by_group(table, FRACTIONS, seed=seed)
    assert splits.shared_groups(table) == []
    assert table.part.isin(FRACTIONS).all()


def test_shares_are_met_within_one_group_a_stratum():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"group": np.repeat(np.arange(200), rng.integers(1, 6, 200))})
    table["kind"] = table.group % 3
    table["part"] = splits.by_group(table, FRACTIONS, seed=1, stratify="kind")
    for _, stratum in table.groupby("kind"):
        for part, share in FRACTIONS.items():
            assert abs((stratum.part == part).sum() - share * len(stratum)) <= 5


def test_a_split_is_repeated_by_its_seed_and_changed_by_another():
    table = pd.DataFrame({"group": np.arange(100)})
    first, again, other = (splits.by_group(table, FRACTIONS, seed=s) for s in (1, 1, 2))
    assert first.equals(again) and not first.equals(other)


def test_a_split_does_not_depend_on_the_order_of_the_rows():
    table = pd.DataFrame({"group": np.repeat(np.arange(40), 3)})
    shuffled = table.sample(frac=1, random_state=0)
    one = splits.by_group(table, FRACTIONS, seed=1)
    assert one.equals(splits.by_group(shuffled, FRACTIONS, seed=1).sort_index())


def test_fractions_must_add_up():
    with pytest.raises(ParameterError, match="add up to 1"):
        splits.by_group(pd.DataFrame({"group": [1]}), {"train": 0.5}, seed=0)


def test_a_shared_group_is_named():
    table = pd.DataFrame({"group": ["p7", "p7", "p8"], "part": ["train", "test", "test"]})
    with pytest.raises(DataError, match="'p7'"):
        splits.check_disjoint(table)
    splits.check_disjoint(table[1:])


def tiles(seed: int, rows: int, columns: int, side: int = 48) -> list[np.ndarray]:
    """Cut a smooth random picture into tiles, row by row."""
    from scipy import ndimage

    noise = np.random.default_rng(seed).normal(size=(rows * side, columns * side))
    smooth = ndimage.gaussian_filter(noise, 4)
    picture = np.uint8(127 + 100 * smooth / abs(smooth).max())
    return [t for row in np.vsplit(picture, rows) for t in np.hsplit(row, columns)]


def test_tiles_of_two_mosaics_are_told_apart_in_any_order():
    images = tiles(0, 2, 2) + tiles(1, 1, 3) + tiles(2, 1, 1)
    true = np.array([0] * 4 + [1] * 3 + [2])
    order = np.random.default_rng(3).permutation(len(images))
    found = splits.mosaic_groups([images[k] for k in order])
    same = found[:, None] == found[None]
    assert np.array_equal(same, true[order][:, None] == true[order][None])


def test_joints_name_the_side():
    left, right = tiles(0, 1, 2)
    assert splits.mosaic_joints([left, right]) == [(0, 1, "right")]
    upper, lower = tiles(0, 2, 1)
    assert splits.mosaic_joints([lower, upper]) == [(1, 0, "below")]


def test_empty_edges_prove_nothing():
    blank = [np.zeros((32, 32, 3), np.uint8) for _ in range(4)]
    assert splits.mosaic_joints(blank) == []
    assert splits.mosaic_groups(blank).tolist() == [0, 1, 2, 3]


def test_images_of_different_sizes_are_never_joined():
    left, right = tiles(0, 1, 2)
    assert splits.mosaic_joints([left, right[:, :40]]) == []


def test_the_mosaics_of_the_twin_are_found(small_twin):
    table = datasets.index("bbbc038", small_twin)
    found = splits.mosaic_groups([datasets.read_image(path) for path in table.image])
    group = dict(zip(table.case, found))
    mosaics = samples.stamp(small_twin)["mosaics"]
    for mosaic in mosaics:
        assert len({group[case] for row in mosaic["grid"] for case in row}) == 1
    assert len(set(found)) == len(mosaics)


def test_real_mosaics_are_as_many_as_were_counted_once(real_nuclei):
    table = datasets.index("bbbc038", real_nuclei)
    if len(table) != 220:
        pytest.skip("the count was made on 220 images")
    images = [datasets.read_image(path) for path in table.image]
    found = pd.Series(splits.mosaic_groups(images))
    assert found.nunique() == 157
    assert (found.map(found.value_counts()) > 1).sum() == 101
    assert generators.fingerprint(table.image)
