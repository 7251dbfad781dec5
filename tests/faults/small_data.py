"""The smallest folders in the layouts of the releases, and what the readers make of them."""

from __future__ import annotations

import zlib
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
from PIL import Image

from course_utils import datasets, manifests, splits
from course_utils.datasets import oasis

PATIENT = "TCGA_CS_4941_19960909"
SESSION = "OAS1_0001_MR1"
AFFINE = np.array([[-1.0, 0, 0, 5], [0, -1, 0, 5], [0, 0, 2, -8], [0, 0, 0, 1]])


def write(name: str, folder: Path) -> Path:
    """Write the dataset into a folder: one or two cases, as the publisher lays them out."""
    WRITERS[name](folder, np.random.default_rng(0))
    return folder


def save(picture: np.ndarray, path: Path, **how) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, **how)


def save_volume(voxels: np.ndarray, path: Path, affine=AFFINE, kind=nibabel.Nifti1Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(kind(voxels, affine), path)


def write_nuclei(folder: Path, rng: np.random.Generator) -> None:
    case = folder / "stage1_train" / "a"
    save(rng.integers(0, 255, (24, 20, 3), np.uint8), case / "images" / "a.png")
    for k, rows in enumerate((slice(2, 9), slice(12, 20))):
        mask = np.zeros((24, 20), np.uint8)
        mask[rows, 3:15] = 255
        save(mask, case / "masks" / f"{k}.png")


def write_skin(folder: Path, rng: np.random.Generator) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 20:50] = 255
    image = rng.integers(60, 200, (48, 64, 3), np.uint8)
    save(image, folder / "ISIC-2017_Training_Data" / "ISIC_0000000.jpg", quality=90)
    truth = folder / "ISIC-2017_Training_Part1_GroundTruth"
    save(mask, truth / "ISIC_0000000_segmentation.png")


def write_slices(folder: Path, rng: np.random.Generator) -> None:
    place = folder / "kaggle_3m" / PATIENT
    for k in (1, 2):
        mask = np.zeros((256, 256), np.uint8)
        mask[100:120, 90:130] = 255 * (k == 2)
        save(rng.integers(0, 255, (256, 256, 3), np.uint8), place / f"{PATIENT}_{k}.tif")
        save(mask, place / f"{PATIENT}_{k}_mask.tif")
    table = "Patient,RNASeqCluster,age_at_initial_pathologic\nTCGA_CS_4941,2,67\n"
    (folder / "kaggle_3m" / "data.csv").write_text(table)


def write_scans(folder: Path, rng: np.random.Generator) -> None:
    for part, name in (("CT-0", "study_0001"), ("CT-23", "study_0939")):
        voxels = rng.integers(-1000, 300, (12, 10, 6)).astype(np.int16)
        save_volume(voxels, folder / "MosMedData" / part / f"{name}.nii.gz")


def brain(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    tissues = np.repeat(np.arange(4, dtype=np.uint8), 3)[:, None, None] * np.ones((1, 9, 8))
    image = tissues * 60 + rng.integers(0, 20, tissues.shape)
    return image.astype(np.int16), tissues.astype(np.uint8)


def write_malf(folder: Path, rng: np.random.Generator) -> None:
    image, tissues = brain(rng)
    save_volume(image, folder / "1000_SS.nii.gz")
    for name in ("tissues", "classified"):
        save_volume(tissues, folder / f"1000_{name}.nii.gz")
    save_volume(np.where(tissues == 3, 44, 0).astype(np.uint8), folder / "1000_glm.nii.gz")
    names = ("4,3rd Ventricle", "44,Right Cerebral White Matter", "45,Left Cerebral White Matter")
    (folder / oasis.LABEL_TABLE).write_text("\n".join(["Label Number,Label Name", *names, ""]))


def write_disc1(folder: Path, rng: np.random.Generator) -> None:
    image, tissues = brain(rng)
    session = folder / "disc1" / SESSION
    masked = session / "PROCESSED" / "MPRAGE" / "T88_111"
    kind, affine = nibabel.Spm2AnalyzeImage, np.diag([-1.0, 1, 1, 1])
    save_volume(image, masked / f"{SESSION}_mpr_n4_anon_111_t88_masked_gfc.img", affine, kind)
    labels = session / "FSL_SEG" / f"{SESSION}_mpr_n4_anon_111_t88_masked_gfc_fseg.img"
    save_volume(tissues, labels, affine, kind)
    for spare in folder.rglob("*.mat"):  # the release has none
        spare.unlink()


def write_table(folder: Path, rng: np.random.Generator) -> None:
    (folder / splits.SPLIT_FILE).write_text("patient,part\na,train\nb,validation\nc,test\n")


def write_manifest(folder: Path, rng: np.random.Generator) -> None:
    good = manifests.folder() / "bbbc038.yml"
    (folder / good.name).write_bytes(good.read_bytes())


WRITERS = {
    "bbbc038": write_nuclei,
    "isic2017": write_skin,
    "lgg_mri": write_slices,
    "mosmed": write_scans,
    "malf": write_malf,
    "oasis1_disc1": write_disc1,
    "split": write_table,
    "manifest": write_manifest,
}


def read(name: str, folder: Path) -> tuple[list, list]:
    """Read all of a dataset through the course's readers: images, and labels or tables."""
    if name == "split":
        table = pd.DataFrame({"patient": ["a", "b", "c", "c"]})
        return [], [splits.load(table, folder / splits.SPLIT_FILE).tolist()]
    if name == "manifest":
        return [], [manifests.read(folder / "bbbc038.yml").model_dump()]
    table = datasets.index(name, folder)
    cases = [READERS[name](row, folder) for _, row in table.iterrows()]
    extra = [sorted(datasets.read_patients(folder)["Patient"])] if name == "lgg_mri" else []
    return [image for image, _ in cases], [label for _, label in cases] + extra


def read_scan(row, folder: Path):
    volume, affine = datasets.read_ct(row["file"])
    assert np.isfinite(affine).all()
    return volume, row["label"]


def read_head(row, folder: Path):
    case = oasis.read_brain(row)
    labels = [case["automatic"], case["manual"]]
    if row["structures"]:
        labels.append(oasis.read_structures(row, oasis.label_table(folder)))
    return case["image"], np.stack(labels)


def read_pair(read, label: str):
    def both(row, folder: Path):
        case = read(row)
        assert case["image"].shape[:2] == case[label].shape[:2]
        return case["image"], case[label]

    return both


READERS = {
    "bbbc038": read_pair(datasets.read_nuclei, "labels"),
    "isic2017": read_pair(lambda row: datasets.read_lesion(row, 32), "mask"),
    "lgg_mri": read_pair(datasets.read_slice, "mask"),
    "mosmed": read_scan,
    "malf": read_head,
    "oasis1_disc1": read_head,
}


def png_of_size(width: int, height: int) -> bytes:
    """Return a PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + kind + content + checksum

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    header, pixels = chunk(b"IHDR", size + bytes([8, 2, 0, 0, 0])), zlib.compress(bytes(10))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def yaml_bomb(levels: int = 40) -> str:
    """Return YAML whose list doubles on every line by references to the line before."""
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{k}: &a{k} [*a{k - 1}, *a{k - 1}]" for k in range(1, levels)]
    return "\n".join([*lines, f"name: *a{levels - 1}"])
