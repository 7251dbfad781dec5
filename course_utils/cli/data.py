"""The commands ``course data list | show | get | verify | sample``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import downloads, manifests, paths
from ..errors import DataError, DownloadError
from ..manifests import Manifest

app = typer.Typer(
    help="Datasets: what there is, fetch it, check it, make an offline twin.", no_args_is_help=True
)

_NAMED = 10

Name = Annotated[str, typer.Argument(help="Name of the dataset, as in 'course data list'.")]
Root = Annotated[
    Path | None,
    typer.Option(help="Folder that holds datasets; default $COURSE_DATA, else data/."),
]


@app.command("list")
def list_datasets(root: Root = None) -> None:
    """List the datasets of the course and how much of each is there."""
    folder = paths.data_root(root or "")
    for name in manifests.names():
        manifest = manifests.load(name)
        size = manifests.size(manifest.download_bytes)
        typer.echo(
            f"{name:14} {size:>9}  {manifest.licence.name:32.32}  {_there(manifest, folder)}"
        )
    typer.echo(f"(datasets are looked for in {folder}; 'course data show NAME' tells more)")


def _there(manifest: Manifest, root: Path) -> str:
    """Return how many cases of a dataset lie below ``root``, in words."""
    folder, cases = downloads.find(manifest, root), manifest.cases
    found = downloads.coverage(manifest, folder).cases if folder else 0
    return f"{found} of {cases.release} {cases.unit}s here"


@app.command()
def show(name: Name) -> None:
    """Show what a manifest says: licence, source, layout, labels and traps."""
    manifest = manifests.load(name)
    cases = manifest.cases
    typer.echo(downloads.licence_text(manifest))
    _section("Homepage", [manifest.homepage])
    _section("Source", _sources(manifest))
    _section(
        "Layout", [f"{part.glob}  {part.count or '?'} {part.what}" for part in manifest.layout]
    )
    _section(
        "Cases", [f"{cases.release} {cases.unit}s; a split must keep together: {cases.groups}"]
    )
    _section("Labels", [f"{value}: {meaning}" for value, meaning in manifest.labels.items()])
    _section("Traps", manifest.traps)
    _section("Lessons", manifest.lessons)
    _section("Offline twin", [f"course data sample {manifest.twin}"])


def _section(title: str, lines: list[str]) -> None:
    typer.echo(f"{title}:")
    for line in lines:
        typer.echo(f"  {line}")


def _sources(manifest: Manifest) -> list[str]:
    """Return one line for each address, with what each archive is checked against."""
    lines = [f"Kaggle: {manifest.kaggle}"] if manifest.kaggle else []
    for archive in manifest.archives:
        size = manifests.size(archive.bytes or archive.about_bytes)
        lines.append(f"{archive.file} ({size}, checksum: {archive.checksum})")
        lines += [f"  {url}" for url in archive.urls]
    return lines


@app.command()
def get(
    name: Name,
    root: Root = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Accept the licence without a question.")
    ] = False,
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """Download a dataset, check it and unpack it; an interrupted download goes on."""
    folder = downloads.get(
        name,
        root,
        progress=progress,
        notify=typer.echo,
        confirm=None if yes else _accepts,
    )
    typer.echo(str(downloads.coverage(name, folder)))


def _accepts(licence: str) -> bool:
    """Show a licence and ask; where nobody can answer, say how to accept it."""
    typer.echo(licence)
    try:
        return typer.confirm("Do you accept this licence and want to download?")
    except typer.Abort:
        raise DownloadError(
            "nobody answered whether the licence is accepted: read it and add --yes"
        ) from None


@app.command()
def verify(name: Name, root: Root = None) -> None:
    """Compare a dataset folder file by file with the known hashes; a part is fine as a part."""
    found = downloads.verify(name, root)
    typer.echo(str(found.coverage))
    typer.echo(f"{found.status}: {found.checked} files compared ({found.basis})")
    if found.missing:
        typer.echo(f"{len(found.missing)} missing: {_some(found.missing)}")
    if found.altered:
        raise DataError(
            f"{len(found.altered)} files of {name} in {found.coverage.folder} differ from the "
            f"{found.basis}: {_some(found.altered)}; delete them and fetch them again"
        )


def _some(names: tuple[str, ...]) -> str:
    """Return the first names of a long list.

    Examples
    --------
    >>> _some(("a", "b"))
    'a, b'
    """
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


@app.command()
def sample(
    name: Name,
    seed: Annotated[int, typer.Option(help="Every number gives other cases.")] = 0,
    cases: Annotated[int | None, typer.Option(min=1, help="How many cases to make.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write the twin to.")] = None,
) -> None:
    """Write the offline twin of a dataset: generated data in the same layout."""
    from .. import samples

    twin = manifests.load(name).twin
    typer.echo(f"{samples.make(twin, out, seed=seed, cases=cases)}")
