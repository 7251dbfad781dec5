"""A made-up dataset "toy" of three files in one zip, for the tests of downloads."""

from __future__ import annotations

import hashlib
import io
import random
import zipfile
from pathlib import Path

from course_utils.manifests import Manifest

CASES = 3
NOISE = random.Random(0).randbytes(40_000)


def zip_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name, content in files.items():
            target.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


FILES = {f"cases/{number}.bin": NOISE + bytes([number]) for number in range(CASES)}
BODY = zip_of(FILES)


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def manifest_for(*urls: str, checksum: str = sha256(BODY), **changes) -> Manifest:
    """Return the manifest of a made-up dataset "toy": three files in one zip."""
    archive = {
        "file": "toy.zip",
        "urls": list(urls),
        "checksum": checksum,
        "unpack": "zip",
        "unpacked_bytes_max": 1_000_000,
    } | changes.pop("archive", {})
    fields = {
        "name": "toy",
        "title": "A made-up dataset",
        "homepage": "https://example.org/toy",
        "licence": {"name": "CC0", "url": "https://example.org/cc0", "forbids": ["selling it"]},
        "citation": "Nobody (2020)",
        "archives": [archive],
        "layout": [{"glob": "cases/*.bin", "what": "cases", "count": CASES}],
        "cases": {"release": CASES, "unit": "case", "groups": "case", "glob": "cases/*.bin"},
        "labels": {0: "nothing"},
        "traps": [],
        "twin": "toy",
        "lessons": ["05_unet_nuclei"],
    }
    return Manifest.model_validate(fields | changes)


def fill(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
