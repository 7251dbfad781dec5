"""The cells that are made from the table of the lessons, and the links of the README.

The title, the box and the setup cell of a notebook are never written by hand: `course save` makes
them from ``lessons.yml``, ``measured.json``, the manifests and ``[tool.course]`` in
``pyproject.toml``, and `course check` compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import lessons
from .lessons import Lesson, Measures, Source
from .parameters import PROFILES

MEANT_FOR = {
    "sample": "offline twin",
    "cpu": "real images, in settings for two cores",
    "gpu": "real images, all of them",
}


def frame(
    lesson: Lesson,
    published: Source | None = None,
    times: Mapping[str, Mapping[str, Measures]] | None = None,
) -> dict[str, str]:
    """Return the sources of the cells made from the table, by tag.

    Parameters
    ----------
    lesson
        A row of the table.
    published
        Where the links lead; None means what ``pyproject.toml`` says.
    times
        Lesson to profile to what was measured; None means ``measured.json``.
    """
    published = lessons.source() if published is None else published
    times = lessons.measured() if times is None else times
    return {
        "header": header(lesson, published),
        "box": box(lesson, times.get(lesson.id, {})),
        "setup": setup_source(lesson, published),
    }


def header(lesson: Lesson, published: Source) -> str:
    """Return the first cell (Markdown): title, promise, links once they are known.

    Examples
    --------
    >>> print(header(lessons.get("05_unet_nuclei"), Source()).splitlines()[0])
    # Count the nuclei
    """
    lines = [f"# {lesson.title}", "", lesson.promise]
    if published.repository:
        lines += ["", _links(lesson, published)]
    return "\n".join(lines)


def _links(lesson: Lesson, published: Source) -> str:
    repository, ref = published.repository, published.ref
    path = f"notebooks/{lesson.id}.ipynb"
    links = {
        "Open in Colab": f"https://colab.research.google.com/github/{repository}/blob/{ref}/{path}",
        "Open in Binder": f"https://mybinder.org/v2/gh/{repository}/{ref}?labpath={path}",
        "Source": f"https://github.com/{repository}/blob/{ref}/{path}",
    }
    return " · ".join(f"[{name}]({address})" for name, address in links.items())


def overview(published: Source) -> str:
    """Return the links of all lessons as a list in Markdown, for the README.

    Examples
    --------
    >>> print(overview(Source("someone/course", "main")).partition("](")[0])
    - `01_brain_tumor_classification`: [Open in Colab
    """
    if not published.repository:
        return (
            "Links to Colab and Binder stand here once `course links OWNER/REPOSITORY` has said\n"
            "where the course is published.\n"
        )
    rows = [
        f"- `{lesson.id}`: {_links(lesson, published)}\n" for lesson in lessons.table().values()
    ]
    return "".join(rows)


def box(lesson: Lesson, times: Mapping[str, Measures]) -> str:
    """Return the second cell (Markdown): goals, what to know, time and memory, data.

    Parameters
    ----------
    lesson
        A row of the table.
    times
        Profile to ``seconds`` and ``peak_rss_mb``; a profile not measured yet says so.
    """
    from . import manifests

    datasets = [manifests.load(name) for name in lesson.datasets]
    needs = f" Run before: {', '.join(lesson.needs)}." if lesson.needs else ""
    return "\n".join(
        [
            "**You will be able to**",
            "",
            *[f"- {goal}" for goal in lesson.goals],
            "",
            f"**You need to know** {lesson.know}.{needs}",
            "",
            *_profile_rows(times, datasets),
            "",
            *[_dataset(manifest) for manifest in datasets],
            "",
            f"**Generated data** {lesson.twin}",
            "",
            "This is teaching material, not a medical device.",
        ]
    )


def _profile_rows(times: Mapping[str, Measures], datasets: list) -> list[str]:
    rows = ["| profile | data | time on 2 cores | memory | download |", "|---|---|---|---|---|"]
    for profile in PROFILES:
        found = times.get(profile)
        measures = _measures(found) if found else "not measured yet | not measured yet"
        if profile != "sample" and "cases" in (found or {}):  # few have the whole release
            measures = f"{found['cases']:,} cases: {measures}"
        download = "none" if profile == "sample" else _download(datasets)
        rows.append(f"| `{profile}` | {MEANT_FOR[profile]} | {measures} | {download} |")
    return rows


def _measures(found: Measures) -> str:
    """Write time and memory rounded, so that a second measurement rarely changes the cell.

    Examples
    --------
    >>> _measures({"seconds": 97.0, "peak_rss_mb": 1432})
    'about 1.5 min | 1.4 GB'
    """
    half_minutes = max(1, round(found["seconds"] / 30))
    time = f"{half_minutes / 2:.1f}".removesuffix(".0")
    return f"about {time} min | {found['peak_rss_mb'] / 1024:.1f} GB"


def _download(datasets: list) -> str:
    """Write how much each dataset is to download: "more than" where a small archive is unknown."""
    from . import manifests

    sizes = [[archive.bytes or archive.about_bytes for archive in m.archives] for m in datasets]
    written = [
        f"{'more than' if None in found else 'about'} {manifests.size(sum(filter(None, found)))}"
        if any(found)
        else "size not published"
        for found in sizes
    ]
    if len(datasets) == 1:
        return written[0]
    return ", ".join(f"{m.name} {size}" for m, size in zip(datasets, written))


def _dataset(manifest: Any) -> str:
    forbids = (
        f"; it forbids {', '.join(manifest.licence.forbids)}" if manifest.licence.forbids else ""
    )
    return (
        f"**Data** [{manifest.title}]({manifest.homepage}), "
        f"[{manifest.licence.name}]({manifest.licence.url}){forbids}. {manifest.citation}"
    )


_FIND = """\
import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("course_utils") is None:  # not installed: look beside the notebooks
    folders = [Path.cwd(), *Path.cwd().parents]
    sys.path += [str(f) for f in folders if (f / "course_utils" / "__init__.py").is_file()][:1]
"""

_UNSET = """\
if importlib.util.find_spec("course_utils") is None:
    print("course_utils is not here: clone the course and open this notebook inside the clone")
"""

_COLAB = """\
if "google.colab" in sys.modules:  # install what Colab lacks, leave what is there as it is
    import subprocess

    wanted = {
        "course_utils": "git+https://github.com/__REPOSITORY__@__REF__",
__WANTED__
    }
    lacking = [wanted[name] for name in wanted if importlib.util.find_spec(name) is None]
    if lacking:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run(pip + lacking, check=True)
        importlib.invalidate_caches()
"""


def setup_source(lesson: Lesson, published: Source) -> str:
    """Return the setup cell (Python, at most 25 lines).

    In Colab it installs what is missing there, upgrades nothing, and names the repository only
    once it is set. Elsewhere it makes ``course_utils`` importable from a clone that was not
    installed, and prints nothing.
    """
    if not published.repository:
        return f"{_FIND}{_UNSET}".rstrip()
    colab = _COLAB.replace("__REPOSITORY__", published.repository).replace("__REF__", published.ref)
    return f"{_FIND}{colab.replace('__WANTED__', _wanted(lesson))}".rstrip()


def _wanted(lesson: Lesson) -> str:
    """Write the packages as the lines of a dictionary, as few as fit into 99 columns."""
    lines = [" " * 7]
    for name, requirement in lesson.packages.items():
        item = f' "{name}": "{requirement}",'
        if len(lines[-1] + item) > 95:
            lines.append(" " * 7)
        lines[-1] += item
    return "\n".join(lines)
