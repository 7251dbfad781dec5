"""The command line: what it prints, and how it ends."""

from __future__ import annotations

import json

import nbformat
import pytest
from tiny_lessons import BODY, write_lesson

from course_utils import cli, execution, lessons, paths, publish, records
from course_utils.execution import Outcome


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Return the folder of a course with one lesson, whose kernel is only pretended."""

    def execute(job, report=None):
        if report:
            report(1, 2)
        status = "failed" if job.parameters.get("SEED") == 13 else "done"
        return Outcome(job.lesson, status, seconds=61.0, peak_rss_mb=1024)

    write_lesson(tmp_path / "notebooks", "05_unet_nuclei", BODY)
    monkeypatch.setattr(paths, "notebooks_dir", lambda: tmp_path / "notebooks")
    monkeypatch.setattr(execution, "execute", execute)
    monkeypatch.setattr(lessons, "MEASURED", tmp_path / "measured.json")
    return tmp_path


def course_command(capsys, *words: str) -> tuple[int, str, str]:
    """Run a command; return exit code, standard output and standard error."""
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    printed = capsys.readouterr()
    return end.value.code or 0, printed.out, printed.err


def test_run_ends_with_the_report_in_runs_latest(course, capsys):
    code, out, err = course_command(capsys, "run", "-p", "SEED", "4")
    assert (code, err) == (0, "")
    assert "cell 1/2" in out and "done    1 min, 1.0 GB" in out
    assert f"report: {course / 'runs' / 'latest' / 'report.html'}" in out
    assert (course / "runs" / "latest" / "summary.json").exists()
    record = json.loads((course / "runs/latest/05_unet_nuclei/run.json").read_text())
    assert record["parameters"]["SEED"] == 4 and record["parameters"]["PROFILE"] == "sample"


def test_a_failed_lesson_ends_with_1_and_a_report(course, capsys):
    code, _, err = course_command(capsys, "run", "-p", "SEED", "13", "--out", str(course / "out"))
    assert code == 1 and "1 of 1 lessons failed (05_unet_nuclei)" in err
    assert (course / "out" / "report.html").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["run", "-p", "EPOCS", "3"],
            "EPOCS is not a parameter of 05_unet_nuclei: did you mean EP",
        ),
        (["run", "-p", "EPOCHS", "many"], "EPOCHS must be of type int, found 'many'"),
        (["run", "-p", "EPOCHS"], "-p must be followed by NAME VALUE, found EPOCHS alone"),
        (["run", "-p", "SEED", "1", "-p", "SEED", "2"], "SEED was given twice: give it once"),
        (["run", "-p", "PROFILE", "cpu"], "PROFILE was given twice: use --profile"),
        (["run", "--profile", "gpus"], "'gpus' is not a profile: did you mean gpu?"),
        (["run", "6_unet"], "6_unet is not a lesson: did you mean 05_unet_nuclei?"),
        (["run", "--sweep", "none.yml"], "--sweep must be a YAML file, found none.yml"),
        (["run", "--sweep", "a.yml", "--record"], "--record keeps one run a lesson"),
        (["report", "nowhere"], "found no folder nowhere"),
        (["links", "nobody"], "the repository of the course must read owner/repo"),
    ],
)
def test_bad_input_is_one_line_and_ends_with_2(course, capsys, words, line):
    code, _, err = course_command(capsys, *words)
    assert code == 2
    assert err.startswith("course: ") and err.count("\n") == 1 and line in err
    assert not (course / "runs").exists()


def test_an_output_folder_that_is_a_file_is_one_line(course, capsys):
    (course / "file").touch()
    code, _, err = course_command(capsys, "run", "--out", str(course / "file"))
    assert code == 2 and "--out must be a folder that can be written" in err
    assert err.count("\n") == 1


def test_a_sweep_runs_every_set(course, capsys):
    (course / "sweep.yml").write_text("seeds: {SEED: [1, 13]}")
    code, out, err = course_command(capsys, "run", "--sweep", str(course / "sweep.yml"))
    assert code == 1 and "2 lessons, profile sample" in out
    assert "1 of 2 lessons failed (seeds-SEED=13/05_unet_nuclei)" in err
    assert (course / "runs/latest/seeds-SEED=1/05_unet_nuclei/run.json").exists()


def test_limits_are_handed_to_every_lesson(course, capsys, monkeypatch):
    jobs = []
    monkeypatch.setattr(
        execution, "execute", lambda job, report=None: jobs.append(job) or Outcome("a", "done")
    )
    course_command(capsys, "run", "--max-minutes", "1.5", "--max-memory", "2")
    assert (jobs[0].max_seconds, jobs[0].max_rss_mb) == (90, 2048)


def test_a_second_run_in_the_same_folder_is_refused(course, capsys):
    with records.locked(course / "runs" / "latest"):
        code, _, err = course_command(capsys, "run")
    assert code == 2 and "no other run is at work" in err and err.count("\n") == 1


def test_ctrl_c_ends_with_130_and_a_report(course, capsys, monkeypatch):
    def interrupted(job, report=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(execution, "execute", interrupted)
    code, _, err = course_command(capsys, "run")
    assert code == 130 and "stopped: the same command with --resume goes on" in err
    assert '<span class="status stopped">' in (course / "runs/latest/report.html").read_text()


def test_record_keeps_what_was_measured(course, capsys):
    course_command(capsys, "run", "--profile", "cpu", "--record")
    found = json.loads((course / "measured.json").read_text())
    assert found["05_unet_nuclei"]["cpu"] == {"seconds": 61.0, "peak_rss_mb": 1024}


def test_check_lists_every_breach_and_ends_with_2(course, capsys):
    code, out, err = course_command(capsys, "check")
    assert code == 2 and "(one_metrics_call)" not in out
    assert "(frame)" in out and "(lead_in)" in out
    assert f"found {len(out.splitlines())} breaches" in err


def test_students_writes_copies(course, capsys):
    code, out, _ = course_command(capsys, "students", str(course / "class"))
    assert code == 0 and "1 lesson without solutions" in out
    assert nbformat.read(course / "class" / "05_unet_nuclei.ipynb", as_version=4).cells


def test_links_need_a_pyproject_with_the_lines(course, capsys):
    (course / "pyproject.toml").write_text('[tool.course]\nrepository = ""\nref = ""\n')
    (course / "README.md").write_text(publish.BEGIN + publish.END)
    code, out, _ = course_command(capsys, "links", "someone/course", "--ref", "v1")
    assert code == 0 and "someone/course at v1" in out
    assert 'ref = "v1"' in (course / "pyproject.toml").read_text()


def test_every_command_explains_itself(capsys):
    for command in ("run", "report", "save", "check", "students", "links", "data"):
        code, out, _ = course_command(capsys, command, "--help")
        assert code == 0 and "Usage" in out
