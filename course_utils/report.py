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

from .errors import ParameterError
from .paths import atomic_write
from .runs import METRICS, NOTEBOOK, RECORD
from .runtime import minutes

PAGE, SUMMARY = "report.html", "summary.json"


def collect(folder: Path) -> list[dict[str, Any]]:
    """Return one entry a lesson, in order: its outcome, parameters and, if written, its metrics.

    Parameters
    ----------
    folder
        The folder of a batch.

    Raises
    ------
    ParameterError
        If there is no such folder.
    """
    if not folder.is_dir():
        raise ParameterError(
            f"expected the folder of a run, found no folder {folder}: run one first"
        )
    return [_entry(path.parent) for path in sorted(folder.glob(f"*/{RECORD}"))]


def _entry(folder: Path) -> dict[str, Any]:
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    metrics = folder / METRICS
    found = json.loads(metrics.read_text(encoding="utf-8")) if metrics.is_file() else None
    return {**record["outcome"], "parameters": record["parameters"], "results": found}


def write(folder: Path) -> Path:
    """Write ``report.html`` and ``summary.json`` of a batch; return the path of the page."""
    entries = collect(folder)
    done = sum(entry["status"] == "done" for entry in entries)
    summary = {"done": done, "failed": len(entries) - done, "lessons": entries}
    atomic_write(folder / SUMMARY, json.dumps(summary, indent=1) + "\n")
    atomic_write(folder / PAGE, page(folder, entries))
    return folder / PAGE


def page(folder: Path, entries: list[dict[str, Any]]) -> str:
    """Return the page as HTML; the figures are read from the folder and put into it."""
    template = importlib.resources.files(__package__).joinpath("report.html")
    sections = [_section(folder / entry["lesson"], entry) for entry in entries]
    return Template(template.read_text(encoding="utf-8")).substitute(
        overview=_overview(entries),
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


def _overview(entries: list[dict[str, Any]]) -> str:
    rows = [
        [
            f'<a href="#{_text(entry["lesson"])}">{_text(entry["lesson"])}</a>',
            _status(entry["status"]),
            _text(entry["parameters"].get("PROFILE", "–")),
            minutes(entry["seconds"]),
            f"{entry['peak_rss_mb'] / 1024:.1f} GB",
            _main_metric(entry["results"]),
        ]
        for entry in entries
    ]
    head = ["lesson", "status", "profile", "time", "peak memory", "main metric on the test part"]
    return table(head, rows)


def _status(status: str) -> str:
    return f'<span class="status {_text(status)}">{_text(status)}</span>'


def _main_metric(results: Mapping[str, Any] | None) -> str:
    if not results:
        return "–"
    name = results["main_metric"]
    return f"{_text(name)} {number(results['metrics'][name])}"


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
    name, results = _text(entry["lesson"]), entry["results"]
    parts = [f'<section id="{name}"><h2>{name} {_status(entry["status"])}</h2>', _facts(entry)]
    if entry["error"]:
        parts.append(f'<p class="error">{_text(entry["error"])}</p>')
    if entry["failing_cell"]:
        parts.append(f"<pre>{_text(entry['failing_cell'])}</pre>")
    if results:
        parts += [_data(results["data"]), _metrics(results), _gain(results)]
    parts += [_figures(folder), _details(entry, results)]
    return "\n".join([*filter(None, parts), "</section>"])


def _facts(entry: dict[str, Any]) -> str:
    facts = [
        minutes(entry["seconds"]),
        f"{entry['peak_rss_mb'] / 1024:.1f} GB at most",
        f"{entry['cells']} cells, the slowest {minutes(entry['slowest_cell_seconds'])}",
        f'<a href="{_text(entry["lesson"])}/{NOTEBOOK}">notebook</a>',
    ]
    return f"<p>{' · '.join(facts)}</p>"


def _data(data: Mapping[str, Any]) -> str:
    cases, release = data["cases"], data["release_cases"]
    share = f" ({100 * cases / release:.0f} %)" if release else ""
    return (
        f"<p>Data: {_text(data['name'])} from {_text(data['source'])}, "
        f"{cases} cases; the release holds {release}{share}.</p>"
    )


def _metrics(results: Mapping[str, Any]) -> str:
    """Return the metrics as a table: the lesson in the first row, each baseline in one below."""
    names = list(results["metrics"])
    rows = {"this lesson": results["metrics"], **results["baseline"]}
    body = [
        [_text(row), *(number(found[name]) if name in found else "–" for name in names)]
        for row, found in rows.items()
    ]
    main = results["main_metric"]
    head = [f"<b>{_text(name)}</b>" if name == main else _text(name) for name in names]
    return table(["", *head], body)


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
        path: base64.b64encode(path.read_bytes()).decode() for path in folder.glob("figures/*.png")
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
