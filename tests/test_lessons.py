"""The table of the lessons and the cells made from it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import types

import nbformat
import pytest

from course_utils import frames, lessons, manifests, paths
from course_utils.errors import CourseError, ParameterError
from course_utils.execution import Outcome
from course_utils.lessons import Source
from course_utils.rules import cells

FORK = Source("someone/course", "v1.0")
ALL = list(lessons.table().values())


def test_the_six_lessons_are_there_in_order():
    assert [name[:2] for name in lessons.table()] == ["01", "02", "03", "04", "05", "06"]


@pytest.mark.parametrize("lesson", ALL, ids=lambda lesson: lesson.id)
def test_each_lesson_names_what_exists(lesson):
    assert set(lesson.needs) <= set(lessons.table())
    assert set(lesson.datasets) <= set(manifests.names())
    assert lesson.goals and lesson.promise.endswith(".")


@pytest.mark.parametrize("published", [Source(), FORK], ids=["unset", "fork"])
@pytest.mark.parametrize("lesson", ALL, ids=lambda lesson: lesson.id)
def test_the_setup_cell_is_short_python(lesson, published):
    source = frames.setup_source(lesson, published)
    compile(source, "setup", "exec")
    assert len(source.splitlines()) <= 25
    assert max(map(len, source.splitlines())) <= 99


@pytest.mark.parametrize("lesson", ALL, ids=lambda lesson: lesson.id)
def test_no_owner_is_named_until_one_is_set(lesson):
    text = "".join(frames.frame(lesson, Source(), {}).values())
    assert not any(word in text for word in ("colab.research", "mybinder", "git+https"))


def test_a_fork_is_the_only_owner_in_its_cells():
    frame = frames.frame(lessons.get("05_unet_nuclei"), FORK, {})
    assert frame["header"].count("someone/course") == 3
    path = "someone/course/blob/v1.0/notebooks/05_unet_nuclei.ipynb"
    assert f"https://colab.research.google.com/github/{path}" in frame["header"]
    assert '"git+https://github.com/someone/course@v1.0"' in frame["setup"]


def run_setup(monkeypatch, published, *, colab: bool, there: set[str]) -> list[list[str]]:
    """Run the setup cell where only some packages can be imported; return what pip was asked."""
    asked: list[list[str]] = []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name in there or None)
    monkeypatch.setattr("subprocess.run", lambda command, check: asked.append(command))
    if colab:
        monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    source = frames.setup_source(lessons.get("05_unet_nuclei"), published)
    exec(compile(source, "setup", "exec"), {})
    return asked


def test_in_colab_only_what_is_missing_is_installed_and_nothing_upgraded(monkeypatch):
    there = set(lessons.get("05_unet_nuclei").packages) - {"pooch"}
    (command,) = run_setup(monkeypatch, FORK, colab=True, there=there)
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert "--no-deps" in command and "--upgrade" not in command
    assert command[6:] == ["git+https://github.com/someone/course@v1.0", "pooch"]


def test_in_colab_nothing_is_installed_when_nothing_is_missing(monkeypatch):
    there = {*lessons.get("05_unet_nuclei").packages, "course_utils"}
    assert run_setup(monkeypatch, FORK, colab=True, there=there) == []


def test_elsewhere_the_setup_cell_is_silent(monkeypatch, capsys):
    assert run_setup(monkeypatch, FORK, colab=False, there={"course_utils"}) == []
    assert run_setup(monkeypatch, Source(), colab=False, there={"course_utils"}) == []
    assert capsys.readouterr().out == ""


def test_without_package_and_repository_it_says_what_to_do(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    run_setup(monkeypatch, Source(), colab=True, there=set())
    assert capsys.readouterr().out.startswith("course_utils is not here: clone the course")


def test_a_clone_without_an_install_is_found_from_the_notebooks_folder(tmp_path):
    package, notebooks = tmp_path / "course_utils", tmp_path / "notebooks"
    package.mkdir()
    notebooks.mkdir()
    (package / "__init__.py").write_text("here = True")
    setup = frames.setup_source(lessons.get("05_unet_nuclei"), Source())
    code = f"{setup}\nimport course_utils\nassert course_utils.here"
    # -I: no folder of the caller's is on the path, so an installed copy is left out with -S.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], cwd=notebooks, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_box_shows_what_was_measured_and_what_was_not():
    sample = {"seconds": 88.0, "peak_rss_mb": 1500, "cases": 130}
    times = {"sample": sample, "gpu": {**sample, "cases": 1340}}
    box = frames.box(lessons.get("05_unet_nuclei"), times)
    assert "| `sample` | offline twin | about 1.5 min | 1.5 GB | none |" in box
    assert "| `cpu` | real images, in settings for two cores | not measured yet |" in box
    assert "| about 83 MB |" in box
    assert "| `gpu` | real images, all of them | 1,340 cases: about 1.5 min | 1.5 GB |" in box
    assert "CC0" in box and "Caicedo" in box
    assert box.count("not a medical device") == 1


@pytest.mark.parametrize(
    ("repository", "ref"),
    [("someone", "main"), ("a/b/c", "main"), ("a/b", ""), ("", "main"), ("a/b", 'x"; rm')],
)
def test_an_address_that_is_not_whole_or_not_safe_is_refused(repository, ref):
    with pytest.raises(CourseError, match="must"):
        lessons.checked(repository, ref)


def test_an_unknown_lesson_is_answered_with_the_nearest():
    with pytest.raises(ParameterError, match="did you mean 05_unet_nuclei"):
        lessons.get("05_unet_nucleii")


@pytest.mark.parametrize("lesson", lessons.table())
def test_the_stored_run_kept_the_budget_of_the_sample_profile(lesson):
    stored = lessons.measured()[lesson]["sample"]
    assert stored["seconds"] <= 180 and stored["peak_rss_mb"] <= 2048


@pytest.mark.parametrize("lesson", lessons.table())
def test_no_lesson_names_a_device(lesson):
    code = "".join(lessons.sources(lesson).values())
    assert "import" in code and "cuda" not in code and "list_physical_devices" not in code


def test_only_the_definitions_of_a_cell_are_executed(monkeypatch):
    cell = (
        "import math\nwith open('absent') as file:\n    text = file.read()\n"
        "WIDTH = 3\nbuilt = 1 / 0\ndef area():\n    return math.pi * WIDTH * scale\narea()"
    )
    monkeypatch.setattr(lessons, "sources", lambda lesson: {"build": cell})
    names = lessons.defined_by("any", ["build"], {"scale": 2})
    assert names["area"]() == pytest.approx(6 * 3.14159, abs=1e-3) and "built" not in names
    with pytest.raises(ParameterError, match="did you mean build"):
        lessons.defined_by("any", ["built"])


def test_only_lessons_that_ended_well_are_recorded(monkeypatch, tmp_path):
    monkeypatch.setattr(lessons, "MEASURED", tmp_path / "measured.json")
    done = Outcome("05_unet_nuclei", "done", seconds=70.0, peak_rss_mb=900)
    failed = Outcome("04_unet_skin_lesions", "failed", seconds=3.0)
    for outcome in (done, failed, Outcome("not_in_the_table", "done")):
        lessons.record("sample", outcome)
    found = json.loads((tmp_path / "measured.json").read_text())
    assert found["05_unet_nuclei"]["sample"] == {"seconds": 70.0, "peak_rss_mb": 900}
    assert not {"04_unet_skin_lesions", "not_in_the_table"} & set(found)


def test_an_interrupted_training_would_go_on_with_the_batches_in_the_same_order():
    fed = set()
    for name in lessons.table():
        notebook = nbformat.read(paths.notebooks_dir() / f"{name}.ipynb", as_version=4)
        for _, call in cells.calls(notebook):
            if getattr(call.func, "attr", "") == "fit":
                values = [*call.args, *(keyword.value for keyword in call.keywords)]
                given = [ast.unparse(value) for value in values]
                assert "feed" not in given, f"{name}: {ast.unparse(call)}"
                fed |= {name[:2]} if "generators.endless(feed)" in given else set()
    assert fed == {"01", "02", "04", "05", "06"}  # 03 is PyTorch
