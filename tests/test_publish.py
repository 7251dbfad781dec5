"""What a class gets, and where the links of a fork lead."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from course_utils import lessons, parameters, publish, rules
from course_utils.errors import CourseError

ROOT = Path(__file__).resolve().parents[1]
FORK = lessons.Source("someone/course", "v1.0")
ADDRESSES = [
    r"colab\.research\.google\.com/github/([\w.-]+/[\w.-]+)",
    r"mybinder\.org/v2/gh/([\w.-]+/[\w.-]+)",
    r"git\+https://github\.com/([\w.-]+/[\w.-]+)",
    r"github\.com/([\w.-]+/[\w.-]+?)/blob/[^ )]*notebooks/0",
    r"raw\.githubusercontent\.com/([\w.-]+/[\w.-]+)",
]


@pytest.fixture
def fork(tmp_path):
    """Return a copy of what names an owner: settings, README, Binder, notebooks, workflows."""
    for name in ("pyproject.toml", "README.md", "CITATION.cff"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("notebooks", "binder", ".github"):
        shutil.copytree(
            ROOT / name,
            tmp_path / name,
            ignore=shutil.ignore_patterns(".ipynb_checkpoints", "__pycache__"),
        )
    return tmp_path


def owners(root: Path) -> set[str]:
    """Return every owner/repository that a link or an installing cell names."""
    texts = [path.read_text() for path in root.rglob("*") if path.is_file()]
    return {found for text in texts for form in ADDRESSES for found in re.findall(form, text)}


def test_until_it_is_set_nothing_names_an_owner(fork):
    assert owners(fork) <= {lessons.source().repository}


def test_a_fork_is_rendered_with_no_other_owner(fork, monkeypatch):
    publish.link(fork, FORK)
    assert owners(fork) == {"someone/course"}
    monkeypatch.setattr(lessons, "source", lambda: FORK)
    readme = (fork / "README.md").read_text()
    for path in sorted((fork / "notebooks").glob("*.ipynb")):
        frame = [finding for finding in rules.check_file(path) if finding.rule == "frame"]
        assert not frame, frame
        link = f"colab.research.google.com/github/someone/course/blob/v1.0/notebooks/{path.name}"
        assert link in readme and link in path.read_text()
        assert f"mybinder.org/v2/gh/someone/course/v1.0?labpath=notebooks/{path.name}" in readme
    assert 'repository = "someone/course"\nref = "v1.0"' in (fork / "pyproject.toml").read_text()


def test_links_can_be_taken_out_again(fork):
    publish.link(fork, lessons.source())
    before = {path: path.read_bytes() for path in fork.rglob("*") if path.is_file()}
    publish.link(fork, FORK)
    publish.link(fork, lessons.source())
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("pyproject.toml", "[tool.course]\n", "expected repository in"),
        ("pyproject.toml", 'repository = ""\nref = ""\n', "expected repository in"),
        ("README.md", publish.BEGIN, "expected the lines"),
    ],
)
def test_without_a_place_for_it_nothing_is_written(fork, name, text, line):
    (fork / name).write_text(text)
    with pytest.raises(CourseError, match=line):
        publish.link(fork, FORK)
    assert owners(fork) <= {lessons.source().repository}


def test_other_tables_of_pyproject_are_left_alone(tmp_path):
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text(
        '[a]\nref = "a"\n[tool.course]\nrepository = ""\nref = ""\n[b]\nref = "b"\n'
    )
    (tmp_path / "README.md").write_text(publish.BEGIN + publish.END)
    publish.link(tmp_path, FORK)
    written = pyproject.read_text().splitlines()
    assert written[2:5] == ["[tool.course]", 'repository = "someone/course"', 'ref = "v1.0"']
    assert written[:2] == ["[a]", 'ref = "a"'] and written[5:] == ["[b]", 'ref = "b"']


@pytest.mark.parametrize(
    "path", sorted((ROOT / "notebooks").glob("0*.ipynb")), ids=lambda p: p.stem
)
def test_a_class_gets_exercises_without_solutions_and_outputs(path, tmp_path):
    assert publish.students([path], tmp_path / "class") == {}
    written = tmp_path / "class" / path.name
    lesson, copied = (nbformat.read(one, as_version=4) for one in (path, written))
    solutions = [cell.source for _, cell in parameters.tagged(lesson, "solution")]
    assert len(solutions) >= 3
    assert not parameters.tagged(copied, "solution")
    assert not {cell.source for cell in copied.cells} & set(solutions)
    assert len(copied.cells) == len(lesson.cells) - len(solutions)
    assert parameters.tagged(copied, "exercise") and parameters.tagged(copied, "parameters")
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in copied.cells)


def test_the_class_never_overwrites_the_lessons():
    notebooks = ROOT / "notebooks"
    with pytest.raises(CourseError, match="another folder"):
        publish.students(sorted(notebooks.glob("0*.ipynb")), notebooks)


def test_a_class_does_not_lose_its_work(tmp_path):
    first, second = sorted((ROOT / "notebooks").glob("0*.ipynb"))[:2]
    publish.students([first, second], tmp_path)
    untouched = (tmp_path / second.name).read_bytes()
    assert publish.students([first, second], tmp_path) == {}  # nothing to lose yet
    (tmp_path / first.name).write_text("my answers")
    (tmp_path / second.name).unlink()
    with pytest.raises(CourseError, match=rf"found {first.name} in .*--force"):
        publish.students([first, second], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [first.name]  # nothing was written
    for answers in ("my answers", "my second answers"):  # within one second
        (tmp_path / first.name).write_text(answers)
        ((new, kept),) = publish.students([first, second], tmp_path, force=True).items()
        assert new == tmp_path / first.name and kept.read_text() == answers
        assert re.fullmatch(r"01_\w+\.\d{4}-\d\d-\d\d-\d{6}\+*\.ipynb", kept.name)
        assert nbformat.read(new, as_version=4).cells
    assert (tmp_path / second.name).read_bytes() == untouched
    assert len(list(tmp_path.iterdir())) == 4


def test_the_command_refuses_and_says_what_it_kept(tmp_path):
    def students(*arguments):
        command = [sys.executable, "-m", "course_utils", "students", str(tmp_path), *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    assert students().returncode == 0
    work = next(tmp_path.glob("05*.ipynb"))
    work.write_text("my answers")
    refused = students()
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1
    assert work.name in refused.stderr and work.read_text() == "my answers"
    forced = students("--force")
    assert forced.returncode == 0 and "what was there is kept as 05_" in forced.stdout
    assert "my answers" in [path.read_text() for path in tmp_path.iterdir()]
