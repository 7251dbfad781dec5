"""The offline twin of the LGG MRI Segmentation set (Buda, Saha, Mazurowski 2019).

Layout, formats and label values are those of the release: a folder a patient, named after the
institution; 256x256 RGB tif files whose channels are pre-contrast, FLAIR and post-contrast; masks
of 0 and 255; slice numbers without leading zeros; a missing sequence replaced by FLAIR; a table of
patients; and the whole set a second time in another folder, as in the published archive. The heads
are drawn from one template: they show no patient.

Source of the numbers: https://www.kaggle.com/datasets/mateuszbuda/lgg-mri-segmentation and its
README.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import threadpoolctl
from PIL import Image

from ..errors import ParameterError
from . import brain, lgg_drawing

VERSION = 3 + 100 * brain.VERSION
ROOT = "kaggle_3m"
WORKERS = 2
SECOND = "lgg-mri-segmentation"  # the archive holds the set once more in this folder
DEFAULT_CASES = 572
SLICES = 13  # of a patient, on average
FEWEST = 65  # slices: five patients, one a site
# One letter a patient, repeated: about the shares of DU 45, HT 34, CS 16, FG 14, EZ 1 in 110.
SITE_ORDER = ("DU", "HT", "CS", "FG", "DU", "HT", "DU", "HT", "DU", "DU", "HT", "DU", "HT")
EZ = 4  # the one patient of that institution
COLUMNS = (
    *("Patient", "RNASeqCluster", "MethylationCluster", "miRNACluster", "CNCluster"),
    *("RPPACluster", "OncosignCluster", "COCCluster", "histological_type"),
    *("neoplasm_histologic_grade", "tumor_tissue_site", "laterality", "tumor_location", "gender"),
    *("age_at_initial_pathologic", "race", "ethnicity", "death01"),
)
LEVELS = (4, 5, 4, 3, 4, 3, 3, 3, 2, 1, 3, 6, 2, 0, 3, 2, 1)  # largest code of each column but age
README = """\
# Generated brain MRI, laid out like the LGG segmentation dataset

This folder was written by a program. It shows no patient.

Each folder `TCGA_<institution>_<patient>_<date>` holds the axial slices of one generated head, as
`TCGA_<institution>_<patient>_<date>_<slice number>.tif`: 256x256 pixels, three channels in the
order pre-contrast, FLAIR, post-contrast. A sequence that is missing is replaced by FLAIR. The file
with `_mask` in its name is 255 where the FLAIR signal is abnormal, 0 elsewhere. `data.csv` is a
table of the patients with the columns of the real one; its values were drawn by chance.
"""


@dataclass(frozen=True)
class Patient:
    """One patient to draw."""

    site: str
    number: str
    date: str
    slices: int
    missing: str | None

    @property
    def name(self) -> str:
        """The name of the folder, such as TCGA_DU_G001_19930412."""
        return f"TCGA_{self.site}_{self.number}_{self.date}"


def plan(seed: int, cases: int | None = None) -> list[Patient]:
    """Return the patients that together have so many slices.

    Parameters
    ----------
    seed : int
    cases : int, optional
        The number of slices, at least ``FEWEST``; None: ``DEFAULT_CASES``.

    Raises
    ------
    ParameterError
        For fewer slices than hold every institution.

    Examples
    --------
    >>> people = plan(0, 65)
    >>> [person.site for person in people], sum(person.slices for person in people)
    (['DU', 'HT', 'CS', 'FG', 'EZ'], 65)
    """
    cases = DEFAULT_CASES if cases is None else cases
    if not isinstance(cases, int) or cases < FEWEST:
        raise ParameterError(
            f"the LGG twin needs at least {FEWEST} slices to hold every institution, "
            f"found {cases!r}: ask for {FEWEST} or more"
        )
    rng = np.random.default_rng([seed, 0])
    count = cases // SLICES
    return [
        Patient(_site(index), f"G{index:03d}", _date(rng), slices, _missing(index))
        for index, slices in enumerate(_slices(count, cases, rng))
    ]


def _site(index: int) -> str:
    return "EZ" if index == EZ else SITE_ORDER[index % len(SITE_ORDER)]


def _missing(index: int) -> str | None:
    """About the real shares: pre-contrast in 6, post-contrast in 10 of 110 patients.

    So it is pixel by pixel; the README of the release counts 9 without post-contrast.
    """
    if index % 18 == 3:
        return "pre-contrast"
    return "post-contrast" if index % 12 == 6 else None


def _slices(count: int, cases: int, rng: np.random.Generator) -> list[int]:
    """Deal the slices: most patients have about as many, some have more."""
    spare = cases - 10 * count
    share = rng.dirichlet(np.full(count, 3.0))
    extra = np.floor(share * spare).astype(int)
    extra[: spare - extra.sum()] += 1
    return [10 + int(more) for more in extra]


def _date(rng: np.random.Generator) -> str:
    year, month, day = rng.integers([1993, 1, 1], [2004, 13, 29])
    return f"{year}{month:02d}{day:02d}"


def write(folder: Path, seed: int, cases: int | None = None) -> dict:
    """Write the twin into a folder: ``kaggle_3m/TCGA_*/*.tif``, masks, ``data.csv``, README.

    Parameters
    ----------
    folder : pathlib.Path
        An empty folder; ``samples.make`` is the call that makes it whole or not at all.
    seed : int
        Every file follows from it.
    cases : int, optional
        The number of slices; None: ``DEFAULT_CASES``.

    Returns
    -------
    dict
        ``cases``, ``patients`` and ``missing``, which names the sequence that some patients lack.
    """
    people = plan(seed, cases)
    root = Path(folder) / ROOT
    root.mkdir()
    # Patients are drawn side by side, in processes of their own. These get ready while the template
    # is read here: a lesson has imported most of what nilearn imports.
    with _processes(WORKERS) as pool:
        for _ in range(WORKERS):
            pool.submit(_get_ready)
        template = brain.template(lgg_drawing.SPACING)
        jobs = [
            pool.submit(_write_patient, root, person, (seed, index), template)
            for index, person in enumerate(people)
        ]
        for job in jobs:
            job.result()
    (root / "data.csv").write_text(_table(people, seed), encoding="utf-8")
    (root / "README.md").write_text(README, encoding="utf-8")
    _repeat(root, Path(folder) / SECOND / ROOT)
    missing = {person.name: person.missing for person in people if person.missing}
    return {
        "cases": sum(person.slices for person in people),
        "patients": len(people),
        "missing": missing,
    }


def _processes(number: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(number, get_context("spawn"), initializer=_compute_in_one_thread)


def _compute_in_one_thread() -> None:
    """Keep this process' linear algebra to one thread.

    Threads of two processes wait for each other by spinning: a third of the time of the twin.
    """
    threadpoolctl.threadpool_limits(1)


def _get_ready() -> None:
    """Import what drawing a patient needs, while the template is read."""
    import scipy.interpolate
    import scipy.ndimage
    import scipy.spatial.transform  # noqa: F401


def _write_patient(root: Path, person: Patient, seed: tuple[int, ...], template: tuple) -> None:
    subject = brain.subject((*seed, 0), lgg_drawing.SPACING, source=template)
    images, masks = lgg_drawing.draw(
        subject, (*seed, 1), person.slices, person.site, person.missing
    )
    place = root / person.name
    place.mkdir()
    for number, (image, mask) in enumerate(zip(images, masks), start=1):
        Image.fromarray(image).save(place / f"{person.name}_{number}.tif")
        Image.fromarray(mask).save(place / f"{person.name}_{number}_mask.tif")


def _table(people: list[Patient], seed: int) -> str:
    """Return ``data.csv``: codes by chance, about one in twelve left out, as in the real table."""
    rng = np.random.default_rng([seed, 1])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for person in people:
        codes = [str(rng.integers(1, level + 1)) if level else "" for level in LEVELS]
        codes[13] = str(rng.integers(20, 76))
        codes[16] = str(rng.integers(0, 2))
        left = [code if rng.random() > 0.08 else "" for code in codes]
        writer.writerow(["_".join(person.name.split("_")[:3]), *left])
    return text.getvalue()


def _repeat(root: Path, again: Path) -> None:
    """Put every file a second time into ``again``: by hard links where the disk allows them."""
    for source in sorted(root.rglob("*")):
        target = again / source.relative_to(root)
        if source.is_dir():
            target.mkdir(parents=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
