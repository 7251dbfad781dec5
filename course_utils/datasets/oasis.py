"""OASIS brains: disc 1 (Analyze, automatic labels) and MICCAI 2012 (NIfTI, manual labels too).

Two layouts, one table: a row a scan, with the person it shows as its group. Volumes are returned
with axes (x, y, z) that run to the right, to the front and to the top (RAS), in mm by their affine.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import DataError
from .files import check_gzip, check_numbers, decoding, none_in, point_at, read_csv, subfolder

TISSUES = {0: "background", 1: "CSF", 2: "grey matter", 3: "white matter"}
COLUMNS = ["case", "group", "source", "official", "image", "automatic", "manual", "structures"]
RESCANS = {"1023": "1003", "1024": "1004", "1025": "1005", "1038": "1018", "1039": "1019"}
OFFICIAL_TRAINING = [*range(1000, 1003), *range(1006, 1016), 1017, 1036]
LABEL_TABLE = "MICCAI-Challenge-2012-Label-Information.csv"
MASKED = "PROCESSED/MPRAGE/T88_111/*_mpr_n?_anon_111_t88_masked_gfc.img"

# The 27 structures: twelve on either side and three in the middle; cortex is one structure a side.
PAIRED = {
    "white matter": "Cerebral White Matter",
    "cortex": None,  # the numbers from 100 up, odd on the left
    "lateral ventricle": "Lateral Ventricle",
    "cerebellum white matter": "Cerebellum White Matter",
    "cerebellum cortex": "Cerebellum Exterior",
    "thalamus": "Thalamus Proper",
    "caudate": "Caudate",
    "putamen": "Putamen",
    "pallidum": "Pallidum",
    "hippocampus": "Hippocampus",
    "amygdala": "Amygdala",
    "ventral diencephalon": "Ventral DC",
}
SINGLE = {
    "third ventricle": "3rd Ventricle",
    "fourth ventricle": "4th Ventricle",
    "brain stem": "Brain Stem",
}
FIRST_CORTEX = 100


def index_disc1(folder: Path) -> pd.DataFrame:
    """Return the table of OASIS-1 disc 1: one row a session, automatic labels only."""
    root = subfolder(folder, "disc1", "one folder a session")
    sessions = sorted(root.glob("OAS1_*_MR?"))
    if not sessions:
        raise none_in(root, "folders OAS1_*_MR1", "unpack disc 1 again")
    return pd.DataFrame([_session_row(session) for session in sessions], columns=COLUMNS)


def _session_row(session: Path) -> dict:
    """Return the row of a session; n3 or n4, the number of averaged scans, is found, not typed."""
    return {
        "case": session.name,
        "group": session.name.removesuffix(session.name[-4:]),
        "source": "oasis1_disc1",
        "official": "automatic only",
        "image": str(_the_one(session, MASKED)),
        "automatic": str(_the_one(session, "FSL_SEG/*_fseg.img")),
        "manual": "",
        "structures": "",
    }


def _the_one(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise DataError(
            f"expected one file {pattern} in {folder}, found {len(found)}: "
            "unpack the session again, or remove it"
        )
    return found[0]


def index_malf(folder: Path) -> pd.DataFrame:
    """Return the table of the MICCAI 2012 scans; two scans of one person are one group."""
    scans = sorted(folder.glob("*_SS.nii.gz"))
    if not scans:
        raise none_in(folder, "files <id>_SS.nii.gz", point_at("malf"))
    return pd.DataFrame([_scan_row(scan) for scan in scans], columns=COLUMNS)


def _scan_row(scan: Path) -> dict:
    case = scan.name.removesuffix("_SS.nii.gz")
    files = {
        kind: scan.with_name(f"{case}_{name}.nii.gz")
        for kind, name in (
            ("automatic", "tissues"), ("manual", "classified"), ("structures", "glm"),
        )
    }  # fmt: skip
    for file in files.values():
        if not file.is_file():
            raise DataError(
                f"expected {file.name} beside {scan.name} in {scan.parent}, found no file: "
                f"fetch it again, or remove the scan {case}"
            )
    training = case.isdigit() and int(case) in OFFICIAL_TRAINING
    return {
        "case": case,
        "group": RESCANS.get(case, case),
        "source": "malf",
        "official": "train" if training else "test",
        "image": str(scan),
    } | {kind: str(file) for kind, file in files.items()}


def scan_of(table: pd.DataFrame, case: str) -> pd.Series:
    """Return one row of the table by its case.

    Raises
    ------
    DataError
        When the table has no such case.

    Examples
    --------
    >>> scan_of(pd.DataFrame({"case": ["1000", "1001"], "group": ["a", "b"]}), "1001").group
    'b'
    """
    found = table[table["case"] == str(case)]
    if len(found) != 1:
        raise DataError(
            f"expected one scan {case!r} in the table, found {len(found)}: the {len(table)} scans "
            f"run from {table['case'].min()} to {table['case'].max()}, and not every number is used"
        )
    return found.iloc[0]


def read_volume(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Read a NIfTI or Analyze volume, turned to run right, front, top (RAS).

    Parameters
    ----------
    path : path-like
        ``.nii``, ``.nii.gz``, or the ``.img`` of an Analyze pair. A fourth axis of length 1, which
        disc 1 has, is dropped.

    Returns
    -------
    array : ndarray, shape (x, y, z)
        In the file's type, native byte order.
    affine : ndarray, shape (4, 4)
        Voxel indices to mm.

    Raises
    ------
    DataError
        The file, or the header of the pair, is missing or damaged, or it holds several volumes.
    """
    import nibabel

    with decoding(path):
        image = nibabel.as_closest_canonical(_three_axes(_open(path), path))
        array = np.asanyarray(image.dataobj)
        check_numbers(path, array)
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))), image.affine


def _open(path: str | os.PathLike):
    import nibabel

    path = Path(path)
    if not path.is_file():
        raise DataError(f"expected a volume at {path}, found no file: fetch it again")
    if path.suffix == ".img" and not path.with_suffix(".hdr").is_file():
        raise DataError(
            f"expected {path.with_suffix('.hdr').name} beside {path.name} in {path.parent}, found "
            "no such file: an Analyze volume is a pair, copy both"
        )
    with decoding(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Analyze headers of 2007 carry odd fields
        return nibabel.load(path)


def _three_axes(image, path: str | os.PathLike):
    """Return the image with three axes; its header and affine are kept."""
    import nibabel

    shape = image.shape
    if len(shape) == 3:
        return image
    if len(shape) != 4 or shape[3] != 1:
        raise DataError(
            f"expected one volume with axes (x, y, z), found shape {shape} in {path}: "
            "choose one volume and save it alone"
        )
    return nibabel.Nifti1Image(np.asanyarray(image.dataobj)[..., 0], image.affine)


def to_nifti(source: str | os.PathLike, target: str | os.PathLike) -> Path:
    """Write an Analyze volume as NIfTI: same voxels, same type, same place of every voxel.

    Parameters
    ----------
    source : path-like
        The ``.img`` of an Analyze pair.
    target : path-like
        Ends in ``.nii`` or ``.nii.gz``.

    Returns
    -------
    pathlib.Path
        Of the NIfTI file. Its axes are not turned; the affine, which NIfTI can say and Analyze
        only implies, is written as both qform and sform. The space is that of Talairach where the
        file's name has T88 in it, as OASIS names what it has turned to that atlas.
    """
    import nibabel

    image = _three_axes(_open(source), source)
    array = np.asanyarray(image.dataobj)
    array = array.astype(array.dtype.newbyteorder("="))
    made = nibabel.Nifti1Image(array, image.affine)
    code = "talairach" if "t88" in Path(source).name.lower() else "scanner"
    made.set_qform(image.affine, code=code)
    made.set_sform(image.affine, code=code)
    made.header.set_xyzt_units("mm")
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(made, target)
    return target


def read_labels(
    path: str | os.PathLike,
    image: np.ndarray,
    affine: np.ndarray,
    allowed: Mapping[int, str] = TISSUES,
) -> np.ndarray:
    """Read a label map and make sure that it belongs to an image.

    Parameters
    ----------
    path : path-like
    image : ndarray, shape (x, y, z)
        As `read_volume` returns it.
    affine : ndarray, shape (4, 4)
        Of the image.
    allowed : mapping of int to str
        The label values and their names.

    Returns
    -------
    ndarray of uint8, shape (x, y, z)

    Raises
    ------
    DataError
        Shape or affine differ from the image's, or a value is not in the table.
    """
    check_gzip(path)
    labels, own = read_volume(path)
    if labels.shape != image.shape:
        raise DataError(
            f"expected labels of the image's shape {image.shape}, found {labels.shape} in {path}: "
            "the labels belong to another image"
        )
    if not np.allclose(own, affine, atol=1e-3):
        apart = np.abs(own - affine).max()
        raise DataError(
            f"expected labels with the image's affine, found one that differs by up to {apart:.3g} "
            f"in {path}: resample the labels onto the image, nearest neighbour"
        )
    strange = sorted(set(np.unique(labels).tolist()) - set(allowed))
    if strange:
        raise DataError(
            f"expected label values {_span(allowed)}, found {strange[:5]} in {path}: "
            "was the map saved through a colour map, or resized smoothly?"
        )
    return labels.astype(np.uint8)


def _span(values: Mapping[int, str]) -> str:
    ordered = sorted(values)
    whole = ordered == list(range(ordered[0], ordered[-1] + 1))
    return f"{ordered[0]} to {ordered[-1]}" if whole else ", ".join(map(str, ordered[:12]))


def read_brain(row: pd.Series) -> dict[str, np.ndarray]:
    """Read one row of the table.

    Returns
    -------
    dict
        ``image`` float32, ``automatic`` and ``manual`` uint8, all (x, y, z), and ``affine`` (4, 4).
        Without manual labels, ``manual`` is 255 everywhere.

    Raises
    ------
    DataError
        See `read_volume` and `read_labels`.
    """
    image, affine = read_volume(row["image"])
    case = {"image": image.astype(np.float32), "affine": np.asarray(affine, np.float64)}
    case["automatic"] = read_labels(row["automatic"], image, affine)
    unknown = np.full(image.shape, 255, np.uint8)
    case["manual"] = read_labels(row["manual"], image, affine) if row["manual"] else unknown
    return case


def label_table(folder: str | os.PathLike) -> dict[int, str]:
    """Return number and name of every structure that the manual maps may hold."""
    path = Path(folder) / LABEL_TABLE
    if not path.is_file():
        raise DataError(f"expected the label table at {path}, found no file: fetch malf again")
    rows = read_csv(path, 2, na_filter=False).to_numpy()
    strange = [number for number, *_ in rows if not re.fullmatch("[0-9]{1,3}", number)]
    strange += [number for number, *_ in rows if number not in strange and int(number) > 255]
    if strange:
        raise DataError(
            f"expected label numbers from 0 to 255 in {path}, found {strange[0]!r}: fetch it again"
        )
    return {0: "background"} | {int(number): re.sub(r"\s+", " ", name) for number, name, *_ in rows}


def structure_numbers(table: Mapping[int, str]) -> dict[str, list[int]]:
    """Return the 27 structures in a fixed order, each with the numbers it has in a label table.

    Parameters
    ----------
    table : mapping of int to str
        As `label_table` returns it.

    Examples
    --------
    >>> found = structure_numbers({4: "3rd Ventricle", 58: "Left Putamen", 101: "Left x"})
    >>> len(found), found["left putamen"], found["left cortex"]
    (27, [58], [101])
    """
    number = {name: value for value, name in table.items()}
    found: dict[str, list[int]] = {}
    for side in ("left", "right"):
        for name, published in PAIRED.items():
            own = f"{side.capitalize()} {published}"
            found[f"{side} {name}"] = [number[own]] if own in number else []
        odd = side == "left"
        cortex = [v for v in table if v >= FIRST_CORTEX and v % 2 == odd]
        found[f"{side} cortex"] = sorted(cortex)
    for name, published in SINGLE.items():
        found[name] = [number[published]] if published in number else []
    return found


def tissue_of_structure(name: str) -> int:
    """Return the tissue that one of the 27 structures counts to, as the label table has it.

    Examples
    --------
    >>> tissue_of_structure("left lateral ventricle"), tissue_of_structure("brain stem")
    (1, 3)
    >>> tissue_of_structure("right cerebellum cortex")
    2
    """
    if "ventricle" in name:
        return 1
    white = ("white matter", "ventral diencephalon", "brain stem")
    return 3 if name.endswith(white) else 2


def read_structures(row: pd.Series, table: Mapping[int, str]) -> np.ndarray:
    """Read the manual structures of one scan as numbers 1 to 27; all else is 0.

    Returns
    -------
    ndarray of uint8, shape (x, y, z)
        ``k`` is the ``k``-th name of `structure_numbers`, counted from 1.
    """
    image, affine = read_volume(row["image"])
    labels = read_labels(row["structures"], image, affine, table)
    code = np.zeros(256, np.uint8)
    for k, numbers in enumerate(structure_numbers(table).values(), start=1):
        code[numbers] = k
    return code[labels]


def save_labels(labels: np.ndarray, source: str | os.PathLike, target: str | os.PathLike) -> Path:
    """Write a label map as NIfTI on the grid of the scan it belongs to.

    Parameters
    ----------
    labels : ndarray of int, shape (x, y, z)
        In RAS order, as `read_volume` returned the scan.
    source : path-like
        The scan.
    target : path-like
        Ends in ``.nii.gz``.

    Returns
    -------
    pathlib.Path
        Of the file: axes, shape and affine are those of `source`, the type is uint8.

    Raises
    ------
    DataError
        The shape is not the scan's.
    """
    import nibabel
    from nibabel import orientations

    image = _three_axes(_open(source), source)
    own = orientations.io_orientation(image.affine)
    ras = orientations.axcodes2ornt("RAS")
    turned = orientations.apply_orientation(labels, orientations.ornt_transform(ras, own))
    if turned.shape != image.shape:
        raise DataError(
            f"expected labels of the scan's shape {image.shape}, found {turned.shape}: put the "
            "prediction back on the whole grid before it is saved"
        )
    made = nibabel.Nifti1Image(turned.astype(np.uint8), image.affine)
    made.header.set_xyzt_units("mm")
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(made, target)
    return target


def same_scans(images: list[np.ndarray], tolerance: float = 0.02) -> list[tuple[int, int]]:
    """Return the pairs of images that hold the same scan, wherever it lies in its grid.

    Two scans are the same when their brains have as many voxels and the same grey levels. It finds
    copies, not people: a second scan of a person has other noise.

    Parameters
    ----------
    images : list of ndarray, shape (x, y, z)
        0 outside the brain.
    tolerance : float
        Largest share of the brain's voxels that may differ in grey level.

    Returns
    -------
    list of (int, int)

    Examples
    --------
    >>> scan = np.arange(27.0).reshape(3, 3, 3)
    >>> same_scans([scan, 3 * scan, np.pad(scan, 2)])
    [(0, 2)]
    """
    levels = [np.sort(image[image > 0].ravel()) for image in images]
    counts = [np.unique(np.rint(level), return_counts=True) for level in levels]
    pairs = []
    for a in range(len(images)):
        for b in range(a + 1, len(images)):
            size = max(len(levels[a]), len(levels[b]), 1)
            if abs(len(levels[a]) - len(levels[b])) <= tolerance * size:
                values = [dict(zip(*(part.tolist() for part in counts[k]))) for k in (a, b)]
                known = set(values[0]) | set(values[1])
                apart = sum(abs(values[0].get(v, 0) - values[1].get(v, 0)) for v in known)
                if apart <= 2 * tolerance * size:
                    pairs.append((a, b))
    return pairs
