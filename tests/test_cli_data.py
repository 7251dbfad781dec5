"""The commands ``course data ...`` on a made-up dataset."""

from __future__ import annotations

import sys
import types

import pytest
import yaml
from typer.testing import CliRunner, Result

from course_utils import manifests
from course_utils.cli.data import app
from course_utils.errors import DataError, DownloadError
from tests.local_server import Answer, LocalServer
from tests.toy_dataset import BODY, CASES, FILES, fill, manifest_for


@pytest.fixture
def server():
    with LocalServer() as running:
        yield running


@pytest.fixture
def toy(server, tmp_path, monkeypatch):
    """Make "toy", whose archive a local server gives, the only dataset of the course."""
    folder = tmp_path / "manifests"
    folder.mkdir()
    manifest = manifest_for(server.put("/a", Answer(BODY)))
    (folder / "toy.yml").write_text(yaml.safe_dump(manifest.model_dump(), sort_keys=False))
    monkeypatch.setattr(manifests, "folder", lambda: folder)
    return tmp_path / "root"


def call(*arguments: object, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments], input=answer)


def test_list_names_every_dataset_and_what_is_there(tmp_path):
    fill(tmp_path, {"stage1_train/a/images/a.png": b""})
    result = call("list", "--root", tmp_path)
    assert result.exit_code == 0
    assert all(name in result.output for name in manifests.names())
    assert "1 of 670 images here" in result.output
    assert "0 of 664 images here" in result.output


def test_show_tells_licence_source_layout_labels_and_traps():
    result = call("show", "mosmed")
    assert result.exit_code == 0
    expected = [
        "CC BY-NC-ND 3.0",
        "releases/download/v0.2/CT-23.zip",
        "CT-0/*.nii*  100",
        "1: CT-23",
        "62 %",
        "course data sample mosmed",
    ]
    assert [text for text in expected if text not in result.output] == []


@pytest.mark.parametrize("command", ["show", "get", "verify", "sample"])
def test_a_misspelt_name_gets_the_nearest_one(command):
    result = call(command, "bbbc38")
    assert isinstance(result.exception, DataError)
    assert "did you mean 'bbbc038'" in str(result.exception)


def test_get_asks_downloads_and_says_what_is_there(toy, server):
    result = call("get", "toy", "--root", toy, "--no-progress", answer="y\n")
    assert result.exit_code == 0
    assert result.output.index("not allowed: selling it") < result.output.index("[y/N]")
    assert f"the whole release, {CASES} of {CASES} cases" in result.output
    assert (toy / "toy" / "cases" / "0.bin").read_bytes() == FILES["cases/0.bin"]


@pytest.mark.parametrize(("answer", "line"), [("n\n", "not accepted"), ("", "add --yes")])
def test_get_without_consent_downloads_nothing(toy, server, answer, line):
    result = call("get", "toy", "--root", toy, answer=answer)
    assert isinstance(result.exception, DownloadError)
    assert line in str(result.exception)
    assert not server.seen


def test_get_with_yes_shows_the_licence_and_does_not_ask(toy):
    result = call("get", "toy", "--root", toy, "--yes", "--no-progress")
    assert result.exit_code == 0
    assert "not allowed: selling it" in result.output
    assert "[y/N]" not in result.output


def test_verify_tells_complete_partial_and_altered(toy):
    call("get", "toy", "--root", toy, "--yes", "--no-progress")
    assert "complete: 3 files compared" in call("verify", "toy", "--root", toy).output

    (toy / "toy" / "cases" / "0.bin").unlink()
    partial = call("verify", "toy", "--root", toy)
    assert partial.exit_code == 0
    assert "partial: 2 files" in partial.output
    assert "1 missing: cases/0.bin" in partial.output

    (toy / "toy" / "cases" / "1.bin").write_bytes(b"altered")
    altered = call("verify", "toy", "--root", toy)
    assert isinstance(altered.exception, DataError)
    assert "1 files of toy" in str(altered.exception)
    assert "cases/1.bin" in str(altered.exception)


def test_sample_makes_the_twin_that_the_manifest_names(tmp_path, monkeypatch):
    asked = []

    def make(name, folder=None, *, seed=0, cases=None):
        asked.append((name, folder, seed, cases))
        return tmp_path / "made"

    monkeypatch.setitem(sys.modules, "course_utils.samples", types.SimpleNamespace(make=make))
    monkeypatch.setattr("course_utils.samples", types.SimpleNamespace(make=make), raising=False)
    result = call("sample", "dsb2018_fixes", "--seed", 3, "--cases", 5, "--out", tmp_path)
    assert result.exit_code == 0
    assert str(tmp_path / "made") in result.output
    assert asked == [("bbbc038", tmp_path, 3, 5)]
