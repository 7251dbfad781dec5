"""Resumable PyTorch training: goes on where it was, gives back the best weights, runs no code."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from course_utils import torch_training  # noqa: E402
from course_utils.errors import ParameterError  # noqa: E402
from course_utils.torch_training import TorchCheckpoint  # noqa: E402


class Stopped(Exception):
    """The kernel was lost."""


def training(folder, epochs=6, stop=None, key="a", values=None, keep=False):
    """Train one linear layer; return its weights and its history."""
    torch.manual_seed(1)
    network = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
    parts = {"network": network, "optimizer": optimizer, "schedule": schedule}
    saved = TorchCheckpoint(folder, parts, key=key)
    for epoch in range(saved.epoch, epochs):
        if epoch == stop:
            raise Stopped
        x = torch.from_numpy(np.random.default_rng(epoch).normal(size=(8, 3)).astype("float32"))
        loss = ((network(x) - x.sum(1, keepdim=True)) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        value = values[epoch] if values else 1.0 / (epoch + 1)
        saved.end_epoch({"loss": loss.item(), "val_loss": value})
    history = saved.finish(keep)
    return network.weight.detach().clone(), history


def test_an_interrupted_training_ends_as_the_whole_one_does(tmp_path):
    whole, history = training(tmp_path / "whole")
    with pytest.raises(Stopped):
        training(tmp_path / "cut", stop=3)
    again, longer = training(tmp_path / "cut")
    assert torch.equal(whole, again) and history == longer
    assert len(history["loss"]) == 6 and not (tmp_path / "cut").exists()


def test_the_best_weights_come_back(tmp_path):
    best, _ = training(tmp_path, epochs=2, values=[2.0, 1.0])
    found, _ = training(tmp_path, epochs=5, values=[2.0, 1.0, 3.0, float("nan"), 4.0])
    assert torch.equal(best, found)


def test_a_training_that_was_kept_ends_at_once(tmp_path):
    first, history = training(tmp_path, keep=True)
    again, same = training(tmp_path, stop=0)
    assert torch.equal(first, again) and history == same and not list(tmp_path.glob("*"))


def test_another_key_starts_afresh(tmp_path):
    with pytest.raises(Stopped):
        training(tmp_path, stop=3)
    _, history = training(tmp_path, key="b", epochs=4)
    assert len(history["loss"]) == 4


def test_a_damaged_or_foreign_file_starts_afresh_and_runs_no_code(tmp_path):
    class Harmful:
        def __reduce__(self):
            return print, ("code was run",)

    (tmp_path / torch_training.LAST).write_bytes(pickle.dumps(Harmful(), protocol=2))
    _, history = training(tmp_path)
    assert len(history["loss"]) == 6


def test_what_is_missing_is_named(tmp_path):
    network = torch.nn.Linear(1, 1)
    with pytest.raises(ParameterError, match="network"):
        TorchCheckpoint(tmp_path, {"model": network})
    with pytest.raises(ParameterError, match="val_loss"):
        TorchCheckpoint(tmp_path, {"network": network}).end_epoch({"loss": 1.0})
    with pytest.raises(ParameterError, match="mode"):
        TorchCheckpoint(tmp_path, {"network": network}, mode="least")


def test_without_tensorboard_one_line_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    monkeypatch.setattr(torch_training.NoLogs, "said", False)
    for _ in range(3):
        logs = torch_training.tensorboard(tmp_path)
    logs.add_scalar("loss", 1.0, 1)
    logs.close()
    assert capsys.readouterr().out.count("\n") == 1


def test_with_tensorboard_the_logs_can_be_read_again_and_no_tensorflow_is_imported(tmp_path):
    pytest.importorskip("tensorboard")
    code = """
import sys
from course_utils import torch_training
logs = torch_training.tensorboard(sys.argv[1])
logs.add_scalar("val_dice", 0.75, 3)
logs.close()
print("tensorflow" in sys.modules)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logs = EventAccumulator(str(tmp_path))
    logs.Reload()
    assert [(s.step, s.value) for s in logs.Scalars("val_dice")] == [(3, 0.75)]


def test_the_line_of_progress_is_printed_once_when_stored(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_STATIC", "1")
    network = torch.nn.Linear(1, 1)
    saved = TorchCheckpoint(tmp_path, {"network": network}, monitor="loss")
    line = torch_training.line(2, saved)
    for loss in (0.5, 0.25):
        line.end_epoch(saved.epoch, {"loss": loss})
        saved.end_epoch({"loss": loss})
    line.end()
    resumed = TorchCheckpoint(tmp_path, {"network": network}, monitor="loss")
    torch_training.line(2, resumed).end()
    assert capsys.readouterr().out == 2 * "epoch 2/2  loss 0.250\n"
