"""The skin twin: layout, sizes, one lesion a mask, sources in order of ids, copies, determinism."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from folders import digests
from PIL import Image
from scipy import ndimage as ndi

from course_utils import datasets, dermoscopy, samples
from course_utils.samples import skin, skin_drawing


@pytest.fixture(scope="module")
def twin(tmp_path_factory) -> Path:
    """A twin of 70 cases."""
    return samples.make("isic2017", tmp_path_factory.mktemp("twins") / "twin", seed=0, cases=70)


@pytest.fixture(scope="module")
def table(twin):
    table = datasets.index("isic2017", twin)
    cases = [datasets.read_lesion(row, 96) for _, row in table.iterrows()]
    return table.assign(
        picture=[case["image"] for case in cases],
        lesion=[case["mask"][..., 0] > 0 for case in cases],
    )


def test_layout_and_formats(twin, table):
    folders = {p.name for p in twin.iterdir() if p.is_dir()}
    assert folders == {name for pair in skin.FOLDERS["isic2017"].values() for name in pair}
    for row in table.itertuples():
        with Image.open(row.image) as image, Image.open(row.mask) as mask:
            assert image.format == "JPEG" and image.mode == "RGB"
            assert mask.format == "PNG" and mask.mode == "L" and mask.size == image.size


def test_every_mask_is_one_region_without_holes(table):
    for path in table["mask"][::3]:
        mask = np.asarray(Image.open(path))
        assert set(np.unique(mask)) == {0, 255}
        assert ndi.label(mask, np.ones((3, 3)))[1] == 1
        holes = ndi.binary_fill_holes(mask > 0).sum() - (mask > 0).sum()
        assert holes <= 0.01 * (mask > 0).sum()


def test_sizes_shares_and_tones_have_a_range(table):
    assert len(set(zip(table.height, table.width, strict=True))) >= 6
    shares = np.array([lesion.mean() for lesion in table.lesion])
    assert shares.min() < 0.05 and shares.max() > 0.4 and 0.12 < shares.mean() < 0.28
    assert any(dermoscopy.touches_border(lesion) for lesion in table.lesion)
    angles = [dermoscopy.ita(*pair) for pair in zip(table.picture, table.lesion, strict=True)]
    assert np.nanmin(angles) < 10 and np.nanmax(angles) > 55


def test_ids_follow_the_sources(table):
    shares = table.assign(share=[lesion.mean() for lesion in table.lesion]).share
    fifths = [part.mean() for part in np.array_split(shares, 5)]
    assert fifths[0] == max(fifths) and fifths[3] == min(fifths)


def test_every_artefact_occurs(twin):
    found = samples.stamp(twin)["artefacts"]
    assert len(found) == 70
    there = {name for names in found.values() for name in names}
    assert there >= {"hair", "ruler", "vignette", "glare", "bubbles"}


def test_hair_and_rulers_are_found_where_they_were_drawn(twin, table):
    drawn = samples.stamp(twin)["artefacts"]
    images = [datasets.read_lesion(row, 256)["image"] for _, row in table.iterrows()]
    found = {
        "hair": [dermoscopy.hair_share(image) > 0.004 for image in images],
        "ruler": [dermoscopy.ruler_marks(image) >= 5 for image in images],
    }
    for name, answers in found.items():
        truth = np.array([name in drawn[case] for case in table.case])
        assert np.mean(truth == answers) > 0.9, name


def test_copies_lie_in_two_parts_under_two_ids_and_their_hashes_tell(twin, table):
    copies = samples.stamp(twin)["duplicates"]
    assert len(copies) == 4
    rows = table.set_index("case")
    for pair in copies:
        assert rows.part[pair[0]] != "train" and rows.part[pair[1]] == "train"
        assert (
            Path(rows["image"][pair[0]]).read_bytes() != Path(rows["image"][pair[1]]).read_bytes()
        )
    found = dermoscopy.duplicate_pairs(list(table.picture))
    names = {frozenset((table.case[a], table.case[b])) for a, b, _ in found}
    assert names >= {frozenset(pair) for pair in copies} and len(names) <= 8


def test_same_seed_same_bytes_other_seed_other_images(tmp_path):
    made = [
        digests(samples.make("isic2017", tmp_path / str(i), seed=seed, cases=8))
        for i, seed in enumerate((3, 3, 4))
    ]
    assert made[0] == made[1] != made[2]


def test_a_lesion_has_the_share_asked_for():
    for share in (0.02, 0.2, 0.7):
        rho = skin_drawing.outline((90, 120), share, np.random.default_rng(1))
        assert abs((rho < 1).mean() - share) < 0.01


@pytest.mark.parametrize("cases", [6, 15, 216])
def test_a_plan_of_any_length_has_every_part(cases):
    planned = skin.plan(cases, seed=0)
    assert len({one.case for one in planned}) == cases
    assert {one.part for one in planned} == {"Training", "Validation", "Test"}
    assert sum(one.copy_of is not None for one in planned) == (4 if cases == 216 else 0)
