"""The OASIS twins: disc 1 (Analyze, automatic labels) and MICCAI 2012 (NIfTI, manual labels too).

A person is the template deformed once (`brain`); a scan is that person in a new pose, imaged anew.
Where each voxel lay in the template is carried along, so that structures can be told apart by their
place there: boxes and ellipsoids around published centres, not an atlas.

The manual labels follow the habits of the real ones: fluid means ventricles, the folds of the
cortex are filled, deep nuclei are grey whatever their brightness. The automatic ones err as FAST
does: they see brightness only, call the folds and the rim fluid, half-filled voxels between white
matter and fluid grey, and bright deep nuclei white.

Some people are in both twins, as they are in the releases.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ParameterError
from . import brain

VERSION = 3 + 100 * brain.VERSION
SPACING = 3  # mm; the releases have 1 mm, which would take 27 times as long to draw
SIGNAL = 1000  # grey levels of the brightest tissue, as in the releases

SESSIONS = [n for n in range(1, 43) if n not in (8, 24, 36)]  # of the release
TRAINING = [*range(1000, 1003), *range(1006, 1016), 1017, 1036]
TESTING = [1003, 1023, 1004, 1024, 1101, 1104, 1107, 1005, 1025, 1018, 1038, 1019, 1039, 1110, 1113]
TESTING += [1116, 1119, 1122, 1125, 1128]
SECOND = {1023: 1003, 1024: 1004, 1025: 1005, 1038: 1018, 1039: 1019}  # the same people again
IN_BOTH = {2: 1000, 5: 1003}  # session of disc 1 and scan of MICCAI 2012 that are the same scan
DEFAULT_SESSIONS = 6
DEFAULT_SCANS = (7, 7)  # of the official training and test scans

FLUID, GREY, WHITE = 1, 2, 3
# name: numbers on the right and on the left (one: no sides), tissue
STRUCTURES = {
    "Cerebral White Matter": ((44, 45), WHITE),
    "Lateral Ventricle": ((51, 52), FLUID),
    "Cerebellum White Matter": ((40, 41), WHITE),
    "Cerebellum Exterior": ((38, 39), GREY),
    "Thalamus Proper": ((59, 60), GREY),
    "Caudate": ((36, 37), GREY),
    "Putamen": ((57, 58), GREY),
    "Pallidum": ((55, 56), GREY),
    "Hippocampus": ((47, 48), GREY),
    "Amygdala": ((31, 32), GREY),
    "Ventral DC": ((61, 62), WHITE),
    "FRP frontal pole": ((120, 121), GREY),
    "PrG precentral gyrus": ((182, 183), GREY),
    "SPL superior parietal lobule": ((198, 199), GREY),
    "OCP occipital pole": ((156, 157), GREY),
    "3rd Ventricle": ((4,), FLUID),
    "4th Ventricle": ((11,), FLUID),
    "Brain Stem": ((35,), WHITE),
}
# Centre of the right one and half axes, mm in template space, drawn in this order.
ELLIPSOIDS = {
    "Ventral DC": ((9, -15, -9), (7, 9, 6)),
    "Thalamus Proper": ((12, -19, 8), (9, 14, 9)),
    "Caudate": ((13, 12, 9), (5, 13, 11)),
    "Putamen": ((26, 3, 0), (6, 16, 10)),
    "Pallidum": ((19, -4, -1), (5, 8, 6)),
    "Hippocampus": ((27, -23, -14), (6, 16, 7)),
    "Amygdala": ((23, -5, -19), (7, 7, 7)),
}
CORTEX = {"FRP frontal pole": 30, "PrG precentral gyrus": -20, "SPL superior parietal lobule": -65}


@dataclass(frozen=True)
class Scan:
    """One generated scan, axes (x, y, z) in RAS order.

    Attributes
    ----------
    image : ndarray of int16
        T1, 0 outside the brain.
    automatic, manual, structures : ndarray of int16
        Tissues as FAST and as a person would draw them, and the numbers of the label table.
    """

    image: np.ndarray
    automatic: np.ndarray
    manual: np.ndarray
    structures: np.ndarray


def write_disc1(folder: Path, seed: int, cases: int | None) -> dict:
    """Fill a folder with generated sessions in the layout of OASIS-1 disc 1."""
    number = _checked(cases, DEFAULT_SESSIONS, 2, len(SESSIONS))
    for session in SESSIONS[:number]:
        made = scan(seed, IN_BOTH.get(session, 5000 + session))
        averaged = 3 if session % 4 == 3 else 4
        _write_session(folder / "disc1", f"OAS1_{session:04d}_MR1", averaged, made)
    return {"cases": number, "spacing_mm": SPACING}


def write_malf(folder: Path, seed: int, cases: int | None) -> dict:
    """Fill a folder with generated scans in the layout of the MICCAI 2012 scans."""
    number = _checked(cases, sum(DEFAULT_SCANS), 4, len(TRAINING) + len(TESTING))
    training = number * DEFAULT_SCANS[0] // sum(DEFAULT_SCANS)
    testing = TESTING[: number - training]
    for name in sorted(TRAINING[:training] + testing):
        _write_scan(folder, name, scan(seed, name))
    _write_label_table(folder)
    return {"cases": number, "spacing_mm": SPACING}


def scan(seed: int, name: int) -> Scan:
    """Generate one scan: the person's anatomy, the scan's pose, an image and its labels.

    Parameters
    ----------
    seed : int
        Of the twin.
    name : int
        Number of the scan; the second scan of a person has the anatomy of the first.

    Returns
    -------
    Scan
    """
    maps, place = _posed(seed, name)
    rng = np.random.default_rng([seed, name, 2])
    head = maps.sum(0) > 0.5
    signal = brain.image(maps, brain.T1, rng, bias=0.12, texture=0.025, noise=0.018)
    structures = _structures(maps, place, head)
    return Scan(
        image=np.where(head, np.rint(SIGNAL * signal).clip(1), 0).astype(np.int16),
        automatic=_automatic(maps, head, rng),
        manual=_tissue_of(structures),
        structures=structures,
    )


def _posed(seed: int, name: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the tissue maps of a scan, and where each voxel lay in the template, mm.

    Only the places are moved; the tissues are looked up there, so they are interpolated once
    however many transforms there are.
    """
    maps, affine = brain.template(SPACING)
    shape = maps.shape[1:]
    anatomy = np.random.default_rng([seed, SECOND.get(name, name), 0])
    person = brain.person(shape, SPACING, anatomy, 0.8)
    pose = np.random.default_rng([seed, name, 1])
    voxels = SPACING * np.indices(shape)
    turn = (1, 1, 1), pose.uniform(-3, 3, 3), pose.uniform(-2, 2, 3)
    lying = brain.turned(voxels, brain.middle(shape, SPACING), *turn)
    place = brain.taken(person, lying, SPACING)
    tissues = brain.taken(maps, place, SPACING)
    inside = np.zeros(shape, bool)  # at the faces of the volume places are made up
    inside[3:-3, 3:-3, 3:-3] = True
    tissues *= inside
    return tissues / np.maximum(tissues.sum(0), 1), place + affine[:3, 3].reshape(3, 1, 1, 1)


def _automatic(maps: np.ndarray, head: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return tissues by brightness alone, after a correction of the light that is not perfect."""
    from scipy.ndimage import gaussian_filter

    even = brain.image(maps, brain.T1, rng, bias=0.04, texture=0.02, noise=0.01)
    even = gaussian_filter(even, 0.3)
    _, fluid, grey, white = brain.T1
    borders = [fluid + 0.80 * (grey - fluid), grey + 0.54 * (white - grey)]
    return np.where(head, 1 + np.digitize(even, borders), 0).astype(np.int16)


def _structures(maps: np.ndarray, place: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Return the numbers of the label table as a person would draw them."""
    from scipy.ndimage import gaussian_filter

    fluid, _, white = maps
    filled = head & (gaussian_filter(1 - fluid - (1 - maps.sum(0)), 0.8) > 0.40)
    labels = np.zeros(head.shape, np.int16)
    for name, where in _regions(place).items():
        numbers, tissue = STRUCTURES[name]
        matter = {FLUID: fluid > 0.5, GREY: filled & (white <= 0.5), WHITE: filled & (white > 0.5)}
        deep = name in ELLIPSOIDS or name == "Brain Stem"
        chosen = where & (filled & (fluid < 0.5) if deep else matter[tissue])
        left = (place[0] < 0).astype(int) if len(numbers) == 2 else 0
        labels = np.where(chosen, np.asarray(numbers)[left], labels)
    return labels.astype(np.int16)


def _regions(place: np.ndarray) -> dict[str, np.ndarray]:
    """Return where each structure can be, in template space; later ones are drawn over earlier."""
    x, y, z = np.abs(place[0]), place[1], place[2]
    regions = {"Cerebral White Matter": x > -1}
    for name, front, back in _bands():
        regions[name] = (y <= front) & (y > back)
    cerebellum = (y < -36) & (z < -4 - 0.42 * x + 0.2 * (y + 50))
    regions["Cerebellum White Matter"] = regions["Cerebellum Exterior"] = cerebellum
    for name, (centre, axes) in ELLIPSOIDS.items():
        parts = zip((x, y, z), centre, axes)
        regions[name] = sum(((at - c) / a) ** 2 for at, c, a in parts) <= 1
    regions["Brain Stem"] = (x < 17) & (y > -42) & (y < -10) & (z < -12)
    regions["Lateral Ventricle"] = (x < 32) & (y > -46) & (y < 32) & (z > 4) & (z < 29)
    regions["3rd Ventricle"] = (x < 5) & (y > -33) & (y < 6) & (z > -12) & (z < 12)
    regions["4th Ventricle"] = (x < 14) & (y > -54) & (y < -34) & (z > -48) & (z < -22)
    return regions


def _bands() -> list[tuple[str, float, float]]:
    """Return the parts of the cortex from front to back: name, where it begins and ends (y)."""
    fronts = [np.inf, *CORTEX.values()]
    backs = [*CORTEX.values(), -np.inf]
    return list(zip([*CORTEX, "OCP occipital pole"], fronts, backs))


def _tissue_of(structures: np.ndarray) -> np.ndarray:
    """Return the tissue of each structure, 0 where there is none."""
    code = np.zeros(256, np.int16)
    for numbers, tissue in STRUCTURES.values():
        code[list(numbers)] = tissue
    return code[structures]


def _write_session(root: Path, session: str, averaged: int, made: Scan) -> None:
    """Write image and automatic labels as big-endian Analyze pairs with a fourth axis of 1."""
    stem = f"{session}_mpr_n{averaged}_anon_111_t88_masked_gfc"
    image = root / session / "PROCESSED" / "MPRAGE" / "T88_111" / f"{stem}.img"
    labels = root / session / "FSL_SEG" / f"{stem}_fseg.img"
    _write_analyze(image, made.image, np.int16)
    _write_analyze(labels, made.automatic, np.uint8)


def _write_analyze(path: Path, array: np.ndarray, kind: type) -> None:
    import nibabel

    path.parent.mkdir(parents=True)
    header = nibabel.AnalyzeHeader(endianness=">")
    header.set_data_dtype(kind)
    turned = array[::-1, ..., None].astype(kind)  # x to the left, as Analyze is read
    image = nibabel.AnalyzeImage(turned, None, header)
    image.header.set_zooms((SPACING,) * 3 + (1,))
    nibabel.save(image, path)


def _write_scan(folder: Path, name: int, made: Scan) -> None:
    """Write image, FAST's tissues, manual tissues, manual structures and mask as NIfTI."""
    import nibabel

    arrays = {
        "SS": made.image, "tissues": made.automatic, "classified": made.manual,
        "glm": made.structures, "mask": (made.image > 0).astype(np.uint8),
    }  # fmt: skip
    affine = np.diag([-SPACING, SPACING, SPACING, 1.0])
    affine[1:3, 3] = -260, -255  # the scanner's corner, as far off as in the release
    for kind, array in arrays.items():
        image = nibabel.Nifti1Image(np.ascontiguousarray(array[::-1]), affine)
        image.header.set_xyzt_units("mm")
        data = gzip.compress(image.to_bytes(), compresslevel=3, mtime=0)
        (folder / f"{name}_{kind}.nii.gz").write_bytes(data)


def _write_label_table(folder: Path) -> None:
    tissues = {FLUID: "CSF", GREY: "GM", WHITE: "WM"}
    rows = {}
    for name, (numbers, tissue) in STRUCTURES.items():
        sides = ("Right ", "Left ") if len(numbers) == 2 else ("",)
        rows |= {n: f"{n},{side}{name},{tissues[tissue]}" for n, side in zip(numbers, sides)}
    lines = ["Label Number,Label Name,Class", *(rows[number] for number in sorted(rows))]
    path = folder / "MICCAI-Challenge-2012-Label-Information.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _checked(cases: int | None, default: int, least: int, most: int) -> int:
    number = default if cases is None else cases
    if not isinstance(number, int) or not least <= number <= most:
        raise ParameterError(
            f"cases must be a whole number from {least} to {most}, found {cases!r}: pass one"
        )
    return number
