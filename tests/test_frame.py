"""The frame: one list of packages, checked where it is repeated; nothing heavy imported early."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from course_utils import lessons

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
FRAMEWORKS = ("tensorflow", "keras", "torch", "monai", "torchio", "jax")


def requirements(*extras: str) -> dict[str, Requirement]:
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]
    parsed = [Requirement(line) for line in lines]
    return {canonicalize_name(r.name): r for r in parsed if not r.extras}


def versions(file: str) -> dict[str, str]:
    lines = (ROOT / "tests" / file).read_text().splitlines()
    pairs = (line.split("==") for line in lines if "==" in line)
    return {canonicalize_name(name): version for name, version in pairs}


@pytest.mark.parametrize("file", ["colab-versions.txt", "constraints.txt"])
def test_ranges_admit_the_versions_of_colab_and_of_the_tests(file):
    wanted = requirements("brains", "keras", "torch", "lab", "cluster", "test")
    held = versions(file)
    shared = wanted.keys() & held.keys()
    assert len(shared) >= 20
    refused = [
        f"{wanted[n]} refuses {held[n]}" for n in shared if held[n] not in wanted[n].specifier
    ]
    assert not refused


@pytest.mark.parametrize("lesson", lessons.table().values(), ids=lambda lesson: lesson.id)
def test_what_colab_lacks_of_a_lesson_is_named_with_all_it_requires(lesson):
    """The setup cell installs without dependencies, so that nothing that is there changes."""
    named = {canonicalize_name(name) for name in lesson.packages.values()}
    there = versions("colab-versions.txt").keys()
    for name in named - there:
        for line in importlib.metadata.requires(name) or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert canonicalize_name(needed.name) in named | there, f"{name} needs {needed}"


def test_every_requirement_is_pinned_for_the_tests():
    wanted = requirements("brains", "keras", "torch", "lab", "cluster", "test")
    assert not wanted.keys() - versions("constraints.txt").keys()


def test_the_users_packages_are_all_required():
    named = "jupyterlab tensorflow torch monai nibabel matplotlib pandas nbval papermill ipywidgets"
    assert set(named.split()) <= requirements("brains", "keras", "torch", "lab", "test").keys()


def test_environment_yml_takes_its_list_from_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, packages = environment["dependencies"]
    assert (
        Requirement(python).specifier
        == Requirement(f"python{PROJECT['requires-python']}").specifier
    )
    assert pip == "pip"
    constraint, install = packages["pip"]
    assert (ROOT / constraint.removeprefix("-c ")).is_file()
    extras = re.fullmatch(r"-e \.\[(.+)\]", install).group(1).split(",")
    assert set(extras) <= EXTRAS.keys()


def test_binder_repeats_the_ranges_of_pyproject_with_cpu_builds():
    conda = yaml.safe_load((ROOT / "binder" / "environment.yml").read_text())["dependencies"]
    lines = [line for line in conda if isinstance(line, str)] + conda[-1]["pip"]
    lines = [
        line.replace("=3", "==3", 1) if line.startswith("python=3") else line for line in lines
    ]
    held = {canonicalize_name(r.name): r.specifier for r in map(Requirement, lines)}
    wanted = {n: r.specifier for n, r in requirements("brains", "keras", "torch", "lab").items()}
    assert held["tensorflow-cpu"] == wanted["tensorflow"]
    assert held["pytorch-cpu"] == wanted["torch"]
    assert "torch" not in held and "tensorflow" not in held, "Binder must not pull CUDA packages"
    for name in ("keras", "monai", "torchio", "nilearn", "jupyterlab"):
        assert held[name] == wanted[name]
    install = (ROOT / "binder" / "postBuild").read_text()
    assert re.search(r"pip install .*-e \.$", install, re.M)


def test_an_installed_copy_holds_every_package():
    listed = set(
        tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    )
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "course_utils").rglob("__init__.py")
    }
    assert listed == found | {"course_utils.data_manifests"}


def test_importing_any_module_imports_no_framework():
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((ROOT / "course_utils").rglob("*.py"))
    ]
    code = (
        f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\n"
        f"print([m for m in {FRAMEWORKS!r} if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert found.stdout.strip() == "[]", found.stdout + found.stderr


def test_make_and_ci_run_the_same_tests():
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert "make run" in (ROOT / "README.md").read_text()
    assert "make test" in (ROOT / "README.md").read_text()
