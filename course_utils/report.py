"""A batch on one page: ``report.html``, self-contained, and ``summary.json``.

Everything is read from what the lessons left in their folders, so that a report can be made at any
time, of a batch that was interrupted as well.
"""

from __future__ import annotations

import base64
import html
import importlib.resources
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template
from typing import Any

import nbformat

from . import comparison, lessons
from .errors import ParameterError
from .paths import atomic_write, without_home
from .records import FIGURES, NOTEBOOK, RECORD, results
from .runtime import minutes

PAGE, SUMMARY = "report.html", "summary.json"
MARK = '<span class="worse" title="worse than the stored run">▼</span>'


def collect(folder: Path) -> list[dict[str, Any]]:
    """Return one entry a lesson, in order: outcome, parameters, metrics, and the stored run.

    Parameters
    ----------
    folder
        The folder of a batch; in one of a sweep each set of parameters has a folder of its own.

    Raises
    ------
    ParameterError
        If there is no such folder.
    """
    if not folder.is_dir():
        raise ParameterError(
            f"expected the folder of a run, found no folder {folder}: run one first"
        )
    records = sorted([*folder.glob(f"*/{RECORD}"), *folder.glob(f"*/*/{RECORD}")])
    return [_entry(path.parent, path.parent.relative_to(folder).as_posix()) for path in records]


def _entry(folder: Path, name: str) -> dict[str, Any]:
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    entry = {
        **record["outcome"],
        "name": name,
        "parameters": record["parameters"],
        "results": results(folder),
    }
    profile = entry["parameters"].get("PROFILE", "sample")
    stored = lessons.measured().get(entry["lesson"], {}).get(profile)
    found = comparison.changes(entry, stored)
    regressions = [change.name for change in found if change.worse]
    return {**entry, "stored": stored if found else None, "regressions": regressions}


def write(folder: Path) -> Path:
    """Write ``report.html`` and ``summary.json`` of a batch; return the path of the page."""
    entries = collect(folder)
    done = sum(entry["status"] == "done" for entry in entries)
    summary = {"done": done, "failed": len(entries) - done, "lessons": entries}
    atomic_write(folder / SUMMARY, without_home(json.dumps(summary, indent=1)) + "\n")
    atomic_write(folder / PAGE, without_home(page(folder, entries)))
    return folder / PAGE


def page(folder: Path, entries: list[dict[str, Any]]) -> str:
    """Return the page as HTML; the figures are read from the folder and put into it."""
    template = importlib.resources.files(__package__).joinpath("report.html")
    sections = [_section(folder / entry["name"], entry) for entry in entries]
    return Template(template.read_text(encoding="utf-8")).substitute(
        overview=_overview(entries),
        count=_count(entries),
        lessons="\n".join(sections) or "<p>No lesson has ended yet.</p>",
    )


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return an HTML table that scrolls by itself; the cells are HTML already.

    Examples
    --------
    >>> table(["a"], [["1"]])
    '<div class="scroll"><table><tr><th>a</th></tr><tr><td>1</td></tr></table></div>'
    """
    lines = ["".join(f"<th>{cell}</th>" for cell in head)]
    lines += ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table>{body}</table></div>'


def _count(entries: list[dict[str, Any]]) -> str:
    done = sum(entry["status"] == "done" for entry in entries)
    worse = sum(bool(entry["regressions"]) for entry in entries)
    text = f"{done} of {len(entries)} lessons done"
    return f"{text}, {worse} worse than its stored run {MARK}" if worse else text


def _overview(entries: list[dict[str, Any]]) -> str:
    rows = [
        [
            f'<a href="#{_text(entry["name"])}">{_text(entry["name"])}</a>',
            _status(entry["status"]),
            _text(entry["parameters"].get("PROFILE", "–")),
            minutes(entry["seconds"]),
            f"{entry['peak_rss_mb'] / 1024:.1f} GB",
            *_main_metric(entry),
            _beside_stored(entry),
        ]
        for entry in entries
    ]
    head = ["lesson", "status", "profile", "time", "peak memory"]
    return table([*head, "main metric, test part", "trivial baseline", "stored run"], rows)


def _status(status: str) -> str:
    return f'<span class="status {_text(status)}">{_text(status)}</span>'


def _main_metric(entry: Mapping[str, Any]) -> tuple[str, str]:
    """Return the main metric of a lesson, and that of its trivial baseline."""
    results = entry["results"]
    if not results:
        return "–", "–"
    name = results["main_metric"]
    ours = f"{_text(name)} {number(results['metrics'][name])}"
    row = lessons.table()[entry["lesson"]].baseline if entry["lesson"] in lessons.table() else ""
    theirs = results["baseline"].get(row, {})
    return ours, f"{_text(row)} {number(theirs[name])}" if name in theirs else "–"


def _beside_stored(entry: dict[str, Any]) -> str:
    if not entry["stored"]:
        return "none to compare"
    worse = len(entry["regressions"])
    return f"{MARK} {worse} worse" if worse else "none worse"


def number(found: Mapping[str, float]) -> str:
    """Write a value with its interval.

    Examples
    --------
    >>> number({"value": 0.7312, "low": 0.7, "high": 0.761, "n": 12})
    '0.731 <small>[0.700, 0.761]</small>'
    """
    text = f"{found['value']:.3f}"
    if "low" in found:
        text += f" <small>[{found['low']:.3f}, {found['high']:.3f}]</small>"
    return text


def _section(folder: Path, entry: dict[str, Any]) -> str:
    name, results = _text(entry["name"]), entry["results"]
    parts = [f'<section id="{name}"><h2>{name} {_status(entry["status"])}</h2>', _facts(entry)]
    if entry["error"]:
        parts.append(f'<p class="error">{_text(entry["error"])}</p>')
    if entry["failing_cell"]:
        parts.append(f"<pre>{_text(entry['failing_cell'])}</pre>")
    if results:
        parts += [_data(results["data"]), _metrics(entry), _gain(results), _stored(entry)]
    parts += [_figures(folder), _details(entry, results)]
    return "\n".join([*filter(None, parts), "</section>"])


def _facts(entry: dict[str, Any]) -> str:
    stored, worse = entry["stored"], entry["regressions"]
    time, memory = minutes(entry["seconds"]), f"{entry['peak_rss_mb'] / 1024:.1f} GB at most"
    if "seconds" in worse:
        time += f" {MARK} (stored: {minutes(stored['seconds'])})"
    if "peak_rss_mb" in worse:
        memory += f" {MARK} (stored: {stored['peak_rss_mb'] / 1024:.1f} GB)"
    cells = f"{entry['cells']} cells, the slowest {minutes(entry['slowest_cell_seconds'])}"
    notebook = f'<a href="{_text(entry["name"])}/{NOTEBOOK}">notebook</a>'
    return f"<p>{' · '.join([time, memory, cells, notebook])}</p>"


def _data(data: Mapping[str, Any]) -> str:
    cases, release = data["cases"], data["release_cases"]
    share = f" ({100 * cases / release:.0f} %)" if release else ""
    return (
        f"<p>Data: {_text(data['name'])} from {_text(data['source'])}, "
        f"{cases} cases; the release holds {release}{share}.</p>"
    )


def _metrics(entry: Mapping[str, Any]) -> str:
    """Return the metrics as a table: the lesson, below it each baseline and the stored run."""
    results, worse = entry["results"], entry["regressions"]
    names = list(results["metrics"])
    rows = {"this lesson": results["metrics"], **results["baseline"]}
    if entry["stored"]:
        rows["stored run"] = entry["stored"]["metrics"]
    body = [
        [_text(row), *(number(found[name]) if name in found else "–" for name in names)]
        for row, found in rows.items()
    ]
    for column, name in enumerate(names, start=1):
        body[0][column] += f" {MARK}" if name in worse else ""
    main = results["main_metric"]
    head = [f"<b>{_text(name)}</b>" if name == main else _text(name) for name in names]
    return table(["", *head], body)


def _stored(entry: Mapping[str, Any]) -> str:
    """Say how the run differs from the stored one that it is held against."""
    if not entry["stored"]:
        return "<p>No stored run of this profile with as many cases to compare with.</p>"
    found = comparison.differing(entry, entry["stored"])
    texts = [
        f"{_text(name)} {_text(now)}, then {_text(then)}" for name, (now, then) in found.items()
    ]
    return f"<p>Other parameters than the stored run: {'; '.join(texts)}.</p>" if texts else ""


def _gain(results: Mapping[str, Any]) -> str:
    main = _text(results["main_metric"])
    lines = [
        f"<p>{main}, this lesson minus {_text(baseline)}, paired: {number(found)}</p>"
        for baseline, found in results["gain"].items()
    ]
    return "\n".join(lines)


def _figures(folder: Path) -> str:
    """Return the figures that a lesson kept, in the order of its notebook, with its alt texts."""
    texts = _alt_texts(folder / NOTEBOOK)
    kept = {
        path: base64.b64encode(path.read_bytes()).decode()
        for path in folder.glob(f"{FIGURES}/*.png")
    }
    place = {picture: i for i, picture in enumerate(texts)}
    ordered = sorted(kept, key=lambda path: (place.get(kept[path], len(place)), path.name))
    figures = [_figure(kept[path], texts.get(kept[path], path.stem)) for path in ordered]
    return f'<div class="figures">{"".join(figures)}</div>' if figures else ""


def _figure(picture: str, words: str) -> str:
    source = f"data:image/png;base64,{picture}"
    image = f'<img loading="lazy" alt="{_text(words)}" src="{source}">'
    return f"<figure>{image}<figcaption>{_text(words)}</figcaption></figure>"


def _alt_texts(path: Path) -> dict[str, str]:
    """Return picture (base64) to alt text for the pictures in a notebook, in its order."""
    cells = nbformat.read(path, as_version=4).cells if path.is_file() else []
    found = {}
    for output in (output for cell in cells for output in cell.get("outputs", [])):
        picture = output.get("data", {}).get("image/png", "")
        words = output.get("metadata", {}).get("image/png", {}).get("alt", "")
        if picture and words:
            found["".join(picture.split())] = words
    return found


def _details(entry: dict[str, Any], results: Mapping[str, Any] | None) -> str:
    """Return what few readers need, folded: all parameters, versions and times."""
    found = dict(entry["parameters"])
    if results:
        found = {**results["parameters"], **results["versions"], "device": results["device"]}
        found |= {f"seconds, {name}": value for name, value in results["seconds"].items()}
    rows = [[_text(name), _text(value)] for name, value in found.items()]
    body = table(["name", "value"], rows)
    return f"<details><summary>Parameters, versions, times</summary>{body}</details>"


def _text(value: object) -> str:
    return html.escape(str(value))
