"""The facts about each dataset of the course: ``data_manifests/*.yml``, read and validated.

A manifest says where a dataset comes from, what its licence forbids, how its folder is laid out,
how many cases a whole release has, what the label values mean and which traps were found in it. A
mistake in one is reported in a single line that names file, line and field.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from .errors import DataError, ManifestError

RECORD = "record at first download"

_CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}")
_ADDRESS = re.compile(r"https://[^\s/]+\S*|http://127\.0\.0\.1(:\d+)?/\S*")


def _address(value: str) -> str:
    if not _ADDRESS.fullmatch(value):
        raise ValueError(f"must be an https address, found {value!r}")
    return value


def _checksum(value: str) -> str:
    if value != RECORD and not _CHECKSUM.fullmatch(value):
        raise ValueError(
            f"must be 'sha256:' and 64 hex digits, 'md5:' and 32, or {RECORD!r}, found {value!r}"
        )
    return value


def _file_name(value: str) -> str:
    if value in ("", ".", "..") or re.search(r"[/\\:]", value):
        raise ValueError(f"must be a plain file name, found {value!r}")
    return value


def _inside(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\\" in value:
        raise ValueError(f"must lie inside the dataset folder, found {value!r}")
    return value


Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Address = Annotated[str, AfterValidator(_address)]
Checksum = Annotated[str, AfterValidator(_checksum)]
FileName = Annotated[str, AfterValidator(_file_name)]
Inside = Annotated[str, AfterValidator(_inside)]
Count = Annotated[int, Field(gt=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Licence(_Part):
    """The licence of a dataset and, in plain words, what it forbids or asks for."""

    name: Text
    url: Address
    forbids: list[Text]


class Members(_Part):
    """Archive members whose name starts with ``prefix``; ``into`` is written in its place."""

    prefix: str
    into: Inside


class Archive(_Part):
    """One file to download: its mirrors in order, how to check it and how to unpack it.

    ``bytes`` is the exact size where it is known, ``about_bytes`` a rounded one for the disk-space
    check. ``members`` chooses and renames what is unpacked (the first match counts); without it
    everything is. ``unpacked_bytes_max`` bounds what unpacking may write.
    """

    file: FileName
    urls: list[Address]
    bytes: Count | None = None
    about_bytes: Count | None = None
    checksum: Checksum
    unpack: Literal["zip", "tar"]
    unpacked_bytes_max: Count
    members: list[Members] = []


class Layout(_Part):
    """Files of the unpacked dataset: a glob relative to its folder, and how many a release has."""

    glob: Inside
    what: Text
    count: Count | None = None


class Cases(_Part):
    """How many cases a whole release has; ``glob`` matches one path a case."""

    release: Count
    unit: Text
    groups: Text
    glob: Inside


class Manifest(_Part):
    """Everything the course knows about one dataset (see ``data_manifests/*.yml``).

    ``loose`` says whether a data folder that itself holds this layout, with no folder of the
    dataset's name around it, is taken for the dataset. ``file_hashes`` names a CSV file beside the
    manifest with the columns path, sha256 and size.
    """

    name: Text
    title: Text
    homepage: Address
    licence: Licence
    citation: Text
    doi: Annotated[str, StringConstraints(pattern=r"^10\.\d{4,9}/\S+$")] | None = None
    kaggle: Annotated[str, StringConstraints(pattern=r"^[\w-]+/[\w-]+$")] | None = None
    archives: Annotated[list[Archive], Field(min_length=1)]
    layout: Annotated[list[Layout], Field(min_length=1)]
    cases: Cases
    labels: dict[int, Text]
    traps: list[Text]
    twin: Text
    lessons: Annotated[list[Text], Field(min_length=1)]
    loose: bool = True
    file_hashes: FileName | None = None

    @model_validator(mode="after")
    def _has_source(self) -> Manifest:
        for archive in self.archives:
            if not archive.urls and self.kaggle is None:
                raise ValueError(f"{archive.file} needs a url, or the dataset a kaggle handle")
        return self

    @property
    def download_bytes(self) -> int | None:
        """Return the size of all archives, exact or rounded; None where one is not known.

        Examples
        --------
        >>> load("isic2017").download_bytes is None
        True
        >>> load("mosmed").download_bytes
        2000000000
        """
        sizes = [archive.bytes or archive.about_bytes for archive in self.archives]
        return None if None in sizes else sum(sizes)


def size(count: int | None) -> str:
    """Return a number of bytes in MB or GB.

    Examples
    --------
    >>> size(1_500_000_000), size(33_000_000), size(None)
    ('1.5 GB', '33 MB', 'size ?')
    """
    if count is None:
        return "size ?"
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def folder() -> Path:
    """Return the folder of the manifests: inside an installed package, beside it in a clone."""
    package = Path(__file__).resolve().parent
    for candidate in (package / "data_manifests", package.parent / "data_manifests"):
        if candidate.is_dir():
            return candidate
    raise ManifestError(
        f"expected the folder data_manifests in or beside {package}, found none: "
        "install the course again"
    )


def names() -> list[str]:
    """Return the names of all datasets of the course, sorted.

    Examples
    --------
    >>> "bbbc038" in names()
    True
    """
    return sorted(path.stem for path in folder().glob("*.yml"))


def load(name: str) -> Manifest:
    """Return the manifest of one dataset.

    Raises
    ------
    DataError
        The course has no dataset of that name; the nearest one is suggested.
    ManifestError
        The manifest breaks the schema.

    Examples
    --------
    >>> load("bbbc038").cases.release
    670
    """
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}"
        raise DataError(f"the course has no dataset {name!r}: {hint}")
    return read(folder() / f"{name}.yml")


def read(path: str | Path) -> Manifest:
    """Read and validate one manifest.

    Raises
    ------
    ManifestError
        In one line: file, line and field of the first mistake, and how many more there are.
    """
    path = Path(path)
    node, content = _parse(path)
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        raise ManifestError(_first_mistake(path, node, error)) from None
    if manifest.name != path.stem:
        line = _line(node, ("name",))
        raise ManifestError(
            f"{path}, line {line}, field name: must be the file's name {path.stem!r}, "
            f"found {manifest.name!r}"
        )
    return manifest


def _parse(path: Path) -> tuple[yaml.Node, object]:
    """Return the marked nodes of a YAML file, which know their lines, and its plain content."""
    try:
        text = path.read_text(encoding="utf-8")
        _refuse_references(path, text)
        node = yaml.compose(text, yaml.SafeLoader)
        content = yaml.safe_load(text)
    except OSError as error:
        raise ManifestError(f"{path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} is not UTF-8 text: save it as UTF-8") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a day that is none
        raise ManifestError(_broken_yaml(path, error)) from error
    if not isinstance(node, yaml.MappingNode):
        raise ManifestError(f"{path}, line 1: expected 'field: value' lines, found none")
    for field, line in _repeated(node):
        raise ManifestError(f"{path}, line {line}, field {field}: is there twice, remove one")
    return node, content


def _refuse_references(path: Path, text: str) -> None:
    """Raise for ``*name``: a few lines of references can stand for more than fits into memory."""
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise ManifestError(
                f"{path}, line {event.start_mark.line + 1}: refers to another place with "
                f"*{event.anchor}, write it out"
            )


def _broken_yaml(path: Path, error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f", line {mark.line + 1}" if mark else ""
    problem = " ".join(str(getattr(error, "problem", None) or error).split())
    return f"{path}{line}: is not valid YAML ({problem})"


def _repeated(node: yaml.Node, parents: tuple[str, ...] = ()) -> Iterator[tuple[str, int]]:
    """Yield (field, line) of each key that a mapping holds twice; YAML would keep the last."""
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _repeated(item, (*parents, str(number)))
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            field = (*parents, str(key.value))
            if field in seen:
                yield ".".join(field), key.start_mark.line + 1
            seen.add(field)
            yield from _repeated(value, field)


def _line(node: yaml.Node, location: tuple[str | int, ...]) -> int:
    """Return the line (from 1) of the deepest part of ``location`` that is in the file."""
    line = node.start_mark.line
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = [pair for pair in node.value if pair[0].value == str(part)]
            if not found:
                break
            line, node = found[0][0].start_mark.line, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and part in range(len(node.value)):
            node = node.value[part]
            line = node.start_mark.line
    return line + 1


def _first_mistake(path: Path, node: yaml.Node, error: ValidationError) -> str:
    mistakes = error.errors(include_url=False)
    mistake = min(mistakes, key=lambda one: _line(node, one["loc"]))
    messages = {
        "missing": "is required and is not there",
        "extra_forbidden": "is not a field that a manifest has",
    }
    message = messages.get(mistake["type"], mistake["msg"].removeprefix("Value error, "))
    field = ".".join(str(part) for part in mistake["loc"]) or "archives"
    more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    return f"{path}, line {_line(node, mistake['loc'])}, field {field}: {message}{more}"
