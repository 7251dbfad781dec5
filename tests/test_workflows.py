"""What runs on GitHub, held against what exists: files, commands, options, versions, lessons."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from course_utils import cli, lessons

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LESSON = "05_unet_nuclei"  # stands for ${{ matrix.lesson }}
ALL = list(lessons.table())


def workflow(name: str) -> dict:
    return yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())


def steps(file: Path) -> list[dict]:
    return [step for job in workflow(file.name)["jobs"].values() for step in job["steps"]]


def commands() -> list[tuple[str, list[str]]]:
    """Return file and words of every command of every workflow."""
    found = []
    for file in FILES:
        lines = [line for step in steps(file) for line in step.get("run", "").splitlines()]
        for line in lines:
            inner = re.search(r"\$\((.*)\)", line)
            line = re.sub(r"\$\{\{.*?\}\}", LESSON, inner.group(1) if inner else line)
            found.append((file.name, shlex.split(line)))
    return found


def test_there_are_workflows():
    assert [file.name for file in FILES] == ["gpu.yml", "tests.yml"]
    assert len(commands()) > 10


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_job_is_whole(file):
    found = workflow(file.name)
    assert found["permissions"] == {"contents": "read"}
    for name, job in found["jobs"].items():
        assert job["timeout-minutes"] and job["runs-on"], name
        assert set([job.get("needs", name)]) <= found["jobs"].keys()
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step), step
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/a@v1")), step


@pytest.mark.parametrize(("file", "words"), commands(), ids=lambda value: " ".join(value))
def test_every_command_exists(file, words):
    tool, *rest = words
    if words[:3] == ["python", "-m", "pytest"] or words[:3] == ["python", "-m", "pip"]:
        assert all(
            (ROOT / word).exists() for word in rest if re.match(r"(notebooks|tests)\b", word)
        )
        extras = [word for word in rest if word.startswith(".[")]
        for extra in ",".join(word[2:-1] for word in extras).split(",") if extras else ():
            assert extra in PROJECT["optional-dependencies"]
    elif tool == "course":
        check_course(rest)
    elif tool == "make":
        assert re.search(rf"^{rest[0]}:", (ROOT / "Makefile").read_text(), re.M)
    elif tool == "python":
        assert (ROOT / rest[0]).is_file()
    else:
        assert words == ["ruff", "check", "."], f"{file}: nothing checks {words}"


def check_course(words: list[str]) -> None:
    """See that a ``course`` command, its options and the lessons it names exist."""
    command = typer.main.get_command(cli.app).commands[words[0]]
    options = {name for parameter in command.params for name in parameter.opts}
    given = [word for word in words if word.startswith("-")]
    assert set(given) <= options, set(given) - options
    values = {words[words.index(option) + 1] for option in given}
    assert {word for word in words[1:] if word not in values} - set(given) <= set(ALL)


def test_the_tests_run_on_three_systems_with_the_oldest_and_the_newest_python():
    matrix = workflow("tests.yml")["jobs"]["module"]["strategy"]["matrix"]
    assert [name.split("-")[0] for name in matrix["os"]] == ["ubuntu", "macos", "windows"]
    allowed = Requirement(f"python{PROJECT['requires-python']}").specifier
    minors = [f"3.{minor}" for minor in range(5, 30) if allowed.contains(f"3.{minor}")]
    assert matrix["python"] == [minors[0], minors[-1]]
    versions = [step["with"]["python-version"] for file in FILES for step in steps(file)
                if step.get("uses", "").startswith("actions/setup-python")]  # fmt: skip
    assert set(versions) - {"${{ matrix.python }}"} <= set(minors)


def test_the_oldest_versions_are_the_lower_bounds():
    extras = PROJECT["optional-dependencies"].values()
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]
    wanted = {canonicalize_name(r.name): r for r in map(Requirement, lines) if not r.extras}
    held = {
        canonicalize_name(name): Version(version)
        for name, version in (
            line.split("==")
            for line in (ROOT / "tests" / "oldest.txt").read_text().splitlines()
            if "==" in line
        )
    }
    assert held == {
        name: Version(next(s.version for s in r.specifier if s.operator == ">="))
        for name, r in wanted.items()
    }
    oldest = workflow("tests.yml")["jobs"]["oldest"]["steps"]
    assert any("-c tests/oldest.txt" in step.get("run", "") for step in oldest)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_runs_once_a_week(file):
    (clock,) = workflow(file.name)[True]["schedule"]  # YAML reads the key `on` as true
    minute, hour, *rest, day = clock["cron"].split()
    assert minute.isdigit() and hour.isdigit() and rest == ["*", "*"] and day in "0123456"


def test_the_gpu_job_runs_all_six_and_nbval_on_a_machine_of_ones_own():
    job = workflow("gpu.yml")["jobs"]["gpu"]
    assert {"self-hosted", "gpu"} <= set(job["runs-on"])
    run = " ".join(step.get("run", "") for step in job["steps"])
    assert re.search(r"course run --profile gpu --out \S+", run)
    assert "--nbval-lax --nbval-current-env --nbval-cell-timeout=600 notebooks" in run


def changed_lessons():
    """Import the script that chooses the lessons of a change."""
    path = ROOT / ".github" / "changed_lessons.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


NEEDS = {name: row.needs for name, row in lessons.table().items()}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["notebooks/05_unet_nuclei.ipynb"], ["05_unet_nuclei"]),
        (["notebooks/01_brain_tumor_classification.ipynb", "README.md"], ALL[:2]),
        (["README.md", "tests/test_cli.py", "benchmarks/results/a.json"], []),
        (["notebooks/05_unet_nuclei.ipynb", "course_utils/paths.py"], ALL),
        (["pyproject.toml"], ALL),
        (["data_manifests/isic2017.yml"], ALL),
        (["tests/constraints.txt"], ALL),
        ([], []),
    ],
)
def test_only_the_lessons_of_a_change_are_run(files, expected):
    assert changed_lessons().affected(files, NEEDS) == expected


def test_without_a_commit_to_compare_with_all_lessons_are_run(capsys, monkeypatch):
    module = changed_lessons()
    for base in ("", "0" * 40):
        monkeypatch.setattr("sys.argv", ["changed_lessons.py", base])
        module.main()
        assert yaml.safe_load(capsys.readouterr().out) == ALL


def test_the_change_is_read_from_git(tmp_path, monkeypatch):
    module = changed_lessons()
    monkeypatch.setattr(module, "ROOT", tmp_path)

    def git(*words: str) -> str:
        author = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", *author, *words]
        return subprocess.run(
            command, cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    base = git("rev-parse", "HEAD").strip()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "05_unet_nuclei.ipynb").write_text("{}")
    git("add", "-A")
    git("commit", "-q", "-m", "second")
    assert module.changed_since(base) == ["notebooks/05_unet_nuclei.ipynb"]
    assert module.changed_since("f" * 40) is None
