"""Start and end of a lesson: parameters, seeds, precision, metrics.json, training that goes on."""

from __future__ import annotations

import json
import os
import platform
import random
import subprocess
import sys
import types
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from course_utils import backend, runtime, training
from course_utils.errors import DataError, ParameterError

Interval = namedtuple("Interval", "value low high n")
DATA = {"name": "bbbc038", "source": "offline twin", "cases": 24, "release_cases": 670}


@pytest.fixture
def lesson(tmp_path):
    return runtime.start("05_tiny", parameters(tmp_path))


def parameters(folder, **others):
    return {"PROFILE": "sample", "SEED": 3, "OUTPUT_DIR": str(folder), **others}


def test_start_prints_one_line_without_a_path(tmp_path, capsys):
    runtime.start("05_tiny", parameters(tmp_path))
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert "CPU" in line or "GPU" in line
    assert "python" in line and "CUDA_VISIBLE_DEVICES" in line
    assert str(tmp_path) not in line and str(Path.home()) + "/" not in line


def test_a_backend_is_offered_only_to_lessons_that_use_keras(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", types.ModuleType("keras"))
    assert "KERAS_BACKEND=torch" in runtime._how_to_change()
    monkeypatch.delitem(sys.modules, "keras")
    assert "KERAS_BACKEND" not in runtime._how_to_change()


def test_start_seeds_python_and_numpy(tmp_path):
    draws = []
    for _ in range(2):
        runtime.start("05_tiny", parameters(tmp_path))
        draws.append((random.random(), np.random.rand()))  # noqa: NPY002
    assert draws[0] == draws[1]


@pytest.mark.parametrize(
    ("others", "line"),
    [
        ({"PROFILE": "smaple"}, "PROFILE must be one of sample, cpu, gpu, found 'smaple'"),
        ({"SEED": "3"}, "SEED must be a whole number from 0 to 4294967295, found '3'"),
        ({"SEED": -1}, "SEED must be a whole number"),
        ({"SEED": True}, "SEED must be a whole number"),
    ],
)
def test_a_wrong_parameter_is_one_clear_line(tmp_path, others, line):
    with pytest.raises(ParameterError, match=line) as error:
        runtime.start("05_tiny", parameters(tmp_path, **others))
    assert "\n" not in str(error.value)


def test_an_output_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="OUTPUT_DIR must be a folder"):
        runtime.start("05_tiny", parameters(tmp_path / "file"))


def test_metrics_json_has_the_fields_of_the_design(lesson):
    with lesson.stopwatch("fit"):
        pass
    path = lesson.write_metrics(
        main_metric="ap50",
        metrics={"ap50": Interval(0.8, 0.7, np.float32(0.9), np.int64(12)), "dice": 0.9},
        baseline={"Otsu": {"ap50": {"value": 0.6, "low": 0.5, "high": 0.7, "n": 12}}},
        data=DATA,
        gain={"Otsu": Interval(0.2, 0.1, 0.3, 12)},
    )
    found = json.loads(path.read_text())
    assert path == lesson.folder / "metrics.json"
    assert list(found) == [
        "lesson", "profile", "data", "main_metric", "metrics", "baseline", "gain", "seconds",
        "peak_rss_mb", "device", "versions", "parameters",
    ]  # fmt: skip
    assert found["data"] == DATA
    assert found["metrics"]["ap50"]["n"] == 12 and found["metrics"]["dice"] == {"value": 0.9}
    assert list(found["seconds"]) == ["prepare", "fit", "total"]
    assert found["peak_rss_mb"] > 10 and found["versions"]["numpy"] == np.__version__
    assert found["parameters"]["SEED"] == 3


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"metrics": {"ap50": float("nan")}}, "metrics: ap50 must be a finite number"),
        ({"metrics": {"ap50": None}}, "metrics: ap50 must be a finite number"),
        ({"baseline": {"Otsu": {"ap50": float("inf")}}}, "baseline Otsu: ap50 must be a finite"),
        ({"metrics": {"ap50": Interval(0.03, 0.04, 0.1, 9)}}, "must lie in its own interval"),
        ({"gain": {"Otsu": Interval(0.2, 0.0, 0.1, 9)}}, "gain: Otsu must lie in its own interval"),
        ({"main_metric": "pq"}, "metrics must hold the main metric 'pq'"),
        ({"data": {"name": "bbbc038"}}, "data must hold exactly name, source, cases"),
    ],
)
def test_metrics_that_say_nothing_are_refused_and_nothing_is_written(lesson, change, line):
    good = {"main_metric": "ap50", "metrics": {"ap50": 0.8}, "baseline": {}, "data": DATA}
    with pytest.raises(ParameterError, match=line):
        lesson.write_metrics(**{**good, **change})
    assert not list(lesson.folder.iterdir())


def test_the_stopwatch_adds_up(lesson):
    for _ in range(2):
        with lesson.stopwatch("prepare"):
            pass
    assert set(lesson.seconds) == {"prepare"} and lesson.seconds["prepare"] >= 0


@pytest.mark.parametrize(
    ("capability", "policy"),
    [((9, 0), "mixed_bfloat16"), ((7, 5), "mixed_float16"), ((6, 1), "float32")],
)
def test_precision_follows_the_gpu(monkeypatch, capability, policy):
    monkeypatch.delenv("COURSE_PRECISION", raising=False)
    monkeypatch.setattr(runtime, "_gpu", lambda: runtime.Gpu("test", capability))
    assert runtime.precision() == policy
    assert runtime.device() == "GPU (test)"


@pytest.mark.parametrize(
    ("flags", "policy"),
    [({"avx2"}, "float32"), ({"amx_bf16"}, "mixed_bfloat16"), (set(), "float32")],
)
def test_precision_follows_the_cpu(monkeypatch, flags, policy):
    monkeypatch.delenv("COURSE_PRECISION", raising=False)
    monkeypatch.setattr(runtime, "_gpu", lambda: None)
    monkeypatch.setattr(runtime, "_cpu_flags", lambda: flags)
    assert runtime.precision() == policy


def test_precision_can_be_set_but_not_to_anything(monkeypatch):
    monkeypatch.setenv("COURSE_PRECISION", "float32")
    assert runtime.precision() == "float32"
    monkeypatch.setenv("COURSE_PRECISION", "float8")
    with pytest.raises(ParameterError, match="COURSE_PRECISION must be one of"):
        runtime.precision()


@pytest.mark.parametrize(("framework", "most"), [("tensorflow", 8), ("torch", 1), ("", 1)])
def test_calls_of_equal_length_make_up_an_epoch_where_keras_can(monkeypatch, framework, most):
    monkeypatch.setattr(backend, "name", lambda: framework)
    for steps in range(1, 60):
        found = runtime.steps_at_once(steps)
        assert found <= most and steps % found == 0
    assert runtime.steps_at_once(40) == most


@pytest.mark.parametrize("flags", [{"avx2"}, {"amx_bf16", "avx512_bf16"}])
def test_a_cpu_convolves_volumes_in_float32(monkeypatch, flags):
    monkeypatch.delenv("COURSE_PRECISION", raising=False)
    monkeypatch.setattr(runtime, "_gpu", lambda: None)
    monkeypatch.setattr(runtime, "_cpu_flags", lambda: flags)
    assert runtime.precision(dimensions=3) == "float32"


def test_the_peak_of_memory_is_this_process_and_only_grows():
    # In a process of its own: what other tests took before would hide what this one takes.
    code = (
        "import numpy as np; from course_utils import runtime; before = runtime.peak_rss_mb();"
        "block = np.ones(8_000_000); print(before, runtime.peak_rss_mb())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    before, after = map(float, printed.stdout.split())
    assert after >= before + 0.9 * 8 * 8_000_000 / 2**20
    assert abs(runtime._peak_rss_elsewhere() - runtime.peak_rss_mb()) < 2000


@pytest.mark.parametrize("text", ["MemoryError", "CUDA out of memory", "RESOURCE_EXHAUSTED: OOM"])
def test_running_out_of_memory_gets_one_line_of_advice(text):
    assert "halve the batch size" in training.out_of_memory(text)
    assert "\n" not in training.out_of_memory(text)


def test_the_stored_line_of_progress_is_short_and_without_times(monkeypatch, capsys):
    monkeypatch.setenv("COURSE_STATIC", "1")
    line = training.Line(2)
    for epoch in range(2):
        line.start_epoch(epoch)
        line.end_epoch(epoch, {"loss": 0.51234, "learning_rate": 1e-3})
    line.end()
    assert capsys.readouterr().out == "epoch 2/2  loss 0.512\n"


def test_a_training_that_is_done_already_does_not_say_epoch_0(monkeypatch, capsys):
    monkeypatch.setenv("COURSE_STATIC", "1")
    training.Line(7).end()
    assert capsys.readouterr().out.startswith("no epoch of 7 was left to train")


def test_the_live_line_of_progress_is_rewritten(monkeypatch, capsys):
    monkeypatch.delenv("COURSE_STATIC", raising=False)
    line = training.Line(2, width=4)
    line.start_epoch(0)
    line.end_epoch(0, {"loss": 0.5})
    line.end()
    text = capsys.readouterr().out
    assert text.startswith("\r····") and "\r██·· epoch 1/2  loss 0.500" in text
    assert text.count("\n") == 1


RESUME = Path(__file__).parent / "fixtures" / "resume.py"


@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
def test_an_interrupted_fit_goes_on_and_ends_like_an_undisturbed_one(tmp_path, backend):
    pytest.importorskip("keras")
    pytest.importorskip(backend)
    env = {**os.environ, "KERAS_BACKEND": backend, "COURSE_STATIC": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, RESUME, tmp_path], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["resumed"]["weights"] == pytest.approx(found["whole"]["weights"], abs=1e-5)
    for name, values in found["whole"]["history"].items():
        assert found["resumed"]["history"][name] == pytest.approx(values, abs=1e-5), name
    assert found["epochs_run_after_the_interruption"] == [3, 4, 5]
    assert set(found["left"]) == {"stopped"}  # which was asked to keep its files
    assert found["epochs_run_until_stopped"] == [3]
    assert found["epochs_run_when_done"] == []
    assert found["started_again_when_done"] == found["stopped"]
    stopped = found["stopped"]["history"]["val_loss"]
    assert stopped == pytest.approx(found["whole"]["history"]["val_loss"][:4], abs=1e-5)


FEED_THEN_FREE = """
import resource, sys
import keras, numpy as np, tensorflow as tf
from course_utils import runtime

runtime.start("05_tiny", {"PROFILE": "sample", "SEED": 3, "OUTPUT_DIR": sys.argv[1]})
number = tf.TensorSpec((), "int32")
list(tf.data.Dataset.from_generator(lambda: [1, 2], output_signature=number))
faults = []
for _ in range(40):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**20, np.uint8)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(sorted(faults)[20])
"""


@pytest.mark.skipif("glibc" not in platform.libc_ver(), reason="about glibc's allocator")
def test_a_megabyte_that_was_freed_is_not_asked_for_again(tmp_path):
    pytest.importorskip("keras")
    pytest.importorskip("tensorflow")
    code = [sys.executable, "-c", FEED_THEN_FREE, str(tmp_path)]
    env = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(code, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    pages = int(done.stdout.splitlines()[-1])
    assert pages < 20  # of 256, which TensorFlow alone would ask for every time


class NoWeights:
    """A model of which only the number of weights is known."""

    weights = ()


def kept_state(folder, **changes) -> dict:
    """Keep the state of two epochs, then let a checkpoint read it."""
    state = {**training.Checkpoint(NoWeights, folder, key="same")._fresh(), "epoch": 2}
    np.savez(folder / "epoch-0002.npz", model_0=np.zeros(2))
    (folder / "state.json").write_text(json.dumps({**state, **changes}))
    return training.Checkpoint(NoWeights, folder, key="same")._read()


def test_a_state_is_used_again_only_if_it_is_whole_and_of_the_same_run(tmp_path):
    assert kept_state(tmp_path)["epoch"] == 2
    assert kept_state(tmp_path, key="of another run")["epoch"] == 0
    assert kept_state(tmp_path, best_epoch=1)["epoch"] == 0
    (tmp_path / "state.json").write_text("{")
    assert training.Checkpoint(NoWeights, tmp_path, key="same")._read()["epoch"] == 0


def test_a_value_that_is_not_logged_cannot_choose_the_best_epoch(tmp_path):
    checkpoint = training.Checkpoint(NoWeights, tmp_path, monitor="val_dice")
    with pytest.raises(ParameterError, match=r"one of the logged values \['loss'\]"):
        checkpoint.end_epoch(0, {"loss": 1.0})


def test_without_a_monitor_every_epoch_is_better_than_the_one_before(tmp_path):
    checkpoint = training.Checkpoint(NoWeights, tmp_path, monitor=None)
    checkpoint.state["best_epoch"] = 1
    assert checkpoint._better({"loss": 1.0}) and checkpoint._better({"loss": float("nan")})


def test_importing_needs_no_framework():
    heavy = "{'tensorflow', 'keras', 'torch', 'monai', 'jax'}"
    modules = "runtime, training, runs, report, save, rules, lessons, cli"
    code = f"import sys; from course_utils import {modules}; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
