"""A run that is broken off, by Ctrl-C or by ``kill -9``: what is kept, and how it goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import psutil
import pytest
from tiny_lessons import NAMES, PARAMETERS, PATIENCE, wait_for, write_lesson

COURSE = Path(__file__).parent / "fixtures" / "course.py"
ROOT = COURSE.parents[2]
FIRST, SECOND, LAST = NAMES
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs the signals of POSIX")

START = """\
import time
from pathlib import Path
import numpy as np
from course_utils import runtime
lesson = runtime.start("lesson", dict(PROFILE=PROFILE, OUTPUT_DIR=OUTPUT_DIR, SEED=SEED))
def note(epoch, batch):
    with open(lesson.folder / "seen.txt", "a") as file:
        file.write(f"{epoch} {batch}\\n")
    while (epoch, batch) == (2, 1) and Path("WAIT").exists():
        time.sleep(0.1)
X = np.random.default_rng(SEED).normal(size=(32, 4)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")"""
KERAS = """\
import keras
keras.utils.set_random_seed(SEED)
class Noted(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
    def on_train_batch_end(self, batch, logs=None):
        note(self.epoch, batch)
hidden = [keras.layers.Dense(8, activation="relu"), keras.layers.Dropout(0.3, seed=1)]
model = keras.Sequential([keras.Input((4,)), *hidden, keras.layers.Dense(1)])
model.compile("adam", "mse", jit_compile=False)
again = runtime.resumable(
    model, lesson.folder / "checkpoint", monitor="loss", key=lesson.parameters)
record = model.fit(
    X, Y, epochs=4, batch_size=8, shuffle=False, verbose=0, callbacks=[Noted(), *again])
losses = record.history["loss"]"""
TORCH = """\
import torch
from course_utils import torch_training
torch.manual_seed(SEED)
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.Adam(model.parameters(), 0.01)
saved = torch_training.TorchCheckpoint(
    lesson.folder / "checkpoint", {"network": model, "optimizer": optimizer}, monitor="loss",
    key=lesson.parameters)
for epoch in range(saved.epoch, 4):
    for batch in range(4):
        loss = ((model(torch.tensor(X[batch::4])) - torch.tensor(Y[batch::4])) ** 2).mean()
        optimizer.zero_grad(); loss.backward(); optimizer.step()
        note(epoch, batch)
    saved.end_epoch({"loss": loss.item()})
losses = saved.finish()["loss"]"""
END = """\
metrics = {f"loss_{epoch}": loss for epoch, loss in enumerate(losses)}
data = dict(name="bbbc038", source="twin", cases=32, release_cases=670)
lesson.write_metrics(main_metric="loss_3", metrics=metrics, baseline={}, data=data)"""


def start(folder: Path, *words: str) -> subprocess.Popen:
    """Start ``course run`` over the notebooks of ``folder``, with Ctrl-C as in a terminal."""
    command = [sys.executable, str(COURSE), str(folder / "notebooks"), "run", *words]
    return subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def family(process: subprocess.Popen) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def record_of(folder: Path, lesson: str) -> dict:
    return json.loads((folder / lesson / "run.json").read_text())["outcome"]


@pytest.mark.parametrize(
    ("framework", "victim"), [(KERAS, "run"), (TORCH, "run"), (TORCH, "kernel")],
    ids=["keras", "torch", "torch, kernel only"],
)  # fmt: skip
def test_a_run_killed_in_the_middle_of_an_epoch_goes_on_to_the_same_metrics(
    tmp_path, framework, victim
):
    wait = tmp_path / "wait"
    write_lesson(
        tmp_path / "notebooks", LAST, START.replace("WAIT", str(wait)), framework, END
    )  # fmt: skip
    undisturbed, broken = tmp_path / "undisturbed", tmp_path / "broken"
    done = start(tmp_path, "--out", str(undisturbed))
    assert done.wait(PATIENCE) == 0, done.stdout.read()

    wait.touch()
    process = start(tmp_path, "--out", str(broken))
    seen = broken / LAST / "seen.txt"
    wait_for(lambda: seen.exists() and "2 1" in seen.read_text(), "the third epoch never began")
    children = family(process)
    kernel = next(child for child in children if "ipykernel_launcher" in " ".join(child.cmdline()))
    (kernel if victim == "kernel" else process).kill()
    assert process.wait(PATIENCE) == (1 if victim == "kernel" else -signal.SIGKILL)
    wait_for(lambda: not any(child.is_running() for child in children), "a kernel was left")
    assert record_of(broken, LAST)["status"] == ("failed" if victim == "kernel" else "stopped")
    assert not (broken / LAST / "metrics.json").exists()

    wait.unlink()
    seen.unlink()
    done = start(tmp_path, "--out", str(broken), "--resume")
    assert done.wait(PATIENCE) == 0, done.stdout.read()
    assert seen.read_text().split("\n")[0] == "2 0", "it began with another epoch than the third"
    found = [json.loads((out / LAST / "metrics.json").read_text()) for out in (undisturbed, broken)]
    expected, after = ({n: m["value"] for n, m in f["metrics"].items()} for f in found)
    assert len(expected) == 4 and expected["loss_0"] != expected["loss_3"]
    assert after == pytest.approx(expected, abs=1e-5)


def test_ctrl_c_stops_kernels_and_keeps_what_is_done(tmp_path):
    wait, out = tmp_path / "wait", tmp_path / "out"
    wait.touch()
    write_lesson(tmp_path / "notebooks", FIRST, "print('first')")
    waits = (
        "import time, pathlib\n"
        "(pathlib.Path(OUTPUT_DIR) / 'began').touch()\n"
        f"while pathlib.Path({str(wait)!r}).exists(): time.sleep(0.1)"
    )
    write_lesson(tmp_path / "notebooks", SECOND, "print('so far')", waits, declared=PARAMETERS)
    write_lesson(tmp_path / "notebooks", LAST, "print('last')")
    process = start(tmp_path, "--out", str(out))
    wait_for((out / SECOND / "began").exists, "the second never began")
    children = family(process)
    assert len(children) >= 2
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, printed
    assert "stopped: the same command with --resume goes on from here" in printed
    assert "Traceback" not in printed
    _, left = psutil.wait_procs(children, timeout=PATIENCE)  # a kernel may take a moment to end
    assert not left

    assert record_of(out, FIRST)["status"] == "done"
    assert record_of(out, SECOND)["status"] == "stopped"
    assert not (out / LAST).exists()
    kept = nbformat.read(out / SECOND / "notebook.ipynb", as_version=4)
    assert "so far" in str([cell.get("outputs") for cell in kept.cells])
    page = (out / "report.html").read_text()
    assert "1 of 2 lessons done" in page and '<span class="status stopped">' in page

    wait.unlink()
    before = (out / FIRST / "run.json").stat().st_mtime_ns
    done = start(tmp_path, "--out", str(out), "--resume")
    assert done.wait(PATIENCE) == 0, done.stdout.read()
    assert (out / FIRST / "run.json").stat().st_mtime_ns == before
    assert {record_of(out, lesson)["status"] for lesson in NAMES} == {"done"}
