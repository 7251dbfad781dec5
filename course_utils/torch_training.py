"""A PyTorch training that can be interrupted: its state kept on disk, whole or not at all.

The loop itself stands in the lesson. This is what `runtime.resumable` is for Keras: the same folder
and the same rules: another key starts afresh, the best weights are given back, the files go (or
stay until the whole lesson is done).
Nothing here imports PyTorch before it is used.
"""

from __future__ import annotations

import io
import math
import os
import shutil
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import ParameterError
from .paths import atomic_write
from .training import Line, digest

LAST, BEST = "last.pt", "best.pt"


class TorchCheckpoint:
    """The state of one training loop, kept after every epoch.

    Parameters
    ----------
    folder : path-like
        Where the state is kept; made when first needed.
    parts : dict of str to object
        Everything with ``state_dict`` and ``load_state_dict`` that training changes: the network
        under the name ``"network"``, the optimizer, the schedule.
    monitor, mode : str
        The logged value that chooses the best epoch, and whether ``"min"`` or ``"max"`` is better.
    key : object
        What must be equal for a state to be used again, for example the lesson's parameters.

    Attributes
    ----------
    epoch : int
        Epochs done: where the loop begins.
    history : dict of str to list of float
        One number an epoch for each logged value.

    Examples
    --------
    A loop looks like this::

        saved = TorchCheckpoint(folder, {"network": network, "optimizer": optimizer}, key=key)
        for epoch in range(saved.epoch, epochs):
            ...
            saved.end_epoch({"loss": loss, "val_loss": val_loss})
        history = saved.finish()
    """

    def __init__(self, folder, parts, monitor="val_loss", mode="min", key=None):
        if mode not in ("min", "max"):
            raise ParameterError(f'mode must be "min" or "max", found {mode!r}: choose one of them')
        if "network" not in parts:
            raise ParameterError(
                f'parts must hold the model under "network", found {sorted(parts)}: name it so'
            )
        self.folder, self.parts = Path(folder), dict(parts)
        self.monitor, self.sign = monitor, 1 if mode == "min" else -1
        shapes = [list(one.shape) for one in parts["network"].state_dict().values()]
        self.key = digest([shapes, monitor, mode, key])
        self.epoch, self.best, self.best_epoch = 0, None, None
        self.history: dict[str, list[float]] = {}
        self._restore()

    def _restore(self) -> None:
        state = _load(self.folder / LAST)
        if state.get("key") != self.key or set(state["parts"]) != set(self.parts):
            return
        if state["best_epoch"] and not _load(self.folder / BEST):
            return
        for name, part in self.parts.items():
            part.load_state_dict(state["parts"][name])
        self.epoch, self.history = state["epoch"], state["history"]
        self.best, self.best_epoch = state["best"], state["best_epoch"]

    def end_epoch(self, logs: dict[str, float]) -> None:
        """Keep the state after an epoch, and the weights when they are the best so far.

        Raises
        ------
        ParameterError
            When `monitor` is not among the logged values.
        """
        if self.monitor not in logs:
            raise ParameterError(
                f"monitor must be one of the logged values {sorted(logs)}, found "
                f"{self.monitor!r}: log it, or name another value"
            )
        self.epoch += 1
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))
        value = float(logs[self.monitor])
        if math.isfinite(value) and (self.best is None or self.sign * (value - self.best) < 0):
            self.best, self.best_epoch = value, self.epoch
            _save(self.folder / BEST, self.parts["network"].state_dict())
        state = {name: part.state_dict() for name, part in self.parts.items()}
        facts = {name: getattr(self, name) for name in ("epoch", "history", "best", "best_epoch")}
        _save(self.folder / LAST, {"key": self.key, "parts": state, **facts})

    def finish(self, keep: bool = False) -> dict[str, list[float]]:
        """Put the best weights into the network, tidy up, and return the history.

        Parameters
        ----------
        keep : bool
            Leave the files, so that the same training, started again, ends at once: for a lesson
            that trains several networks one after another.
        """
        best = _load(self.folder / BEST)
        if self.best_epoch and best:
            self.parts["network"].load_state_dict(best)
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        return self.history


def _save(path: Path, state: Any) -> None:
    import torch

    file = io.BytesIO()
    torch.save(state, file)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, file.getvalue())


def _load(path: Path) -> dict:
    """Return what was saved, or an empty dict where nothing whole is; no code in it is run."""
    import torch

    try:
        with zipfile.ZipFile(path) as file:  # PyTorch compares no checksums
            if file.testzip() is not None:
                return {}
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # zip, pickle and PyTorch each raise their own for a damaged file
        return {}
    return state if isinstance(state, dict) else {}


def device() -> Any:
    """Return what PyTorch computes on: the first GPU that it sees, else the processor.

    Returns
    -------
    torch.device
        ``.type`` is "cuda" or "cpu"; CUDA_VISIBLE_DEVICES="" keeps it off the GPU.

    Examples
    --------
    >>> device().type in ("cuda", "cpu")
    True
    """
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def tensorboard(folder: str | os.PathLike) -> Any:
    """Return a writer of TensorBoard logs, or one that writes nothing where the package is missing.

    Parameters
    ----------
    folder : path-like
        ``tensorboard --logdir`` shows it.

    Returns
    -------
    torch.utils.tensorboard.SummaryWriter or NoLogs
        Both have ``add_scalar(name, value, epoch)`` and ``close()``.
    """
    # Writing logs needs no TensorFlow; TensorBoard would import it, for seconds and much memory.
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        if not NoLogs.said:
            print("TensorBoard is not installed: no logs are written (pip install tensorboard)")
            NoLogs.said = True
        return NoLogs()
    return SummaryWriter(os.fspath(folder))


class NoLogs:
    """What stands in for a TensorBoard writer."""

    said = False

    def add_scalar(self, *_what: Any) -> None:
        """Write nothing."""

    def close(self) -> None:
        """Close nothing."""


def line(epochs: int, saved: TorchCheckpoint) -> Line:
    """Return the one line of progress for a loop: ``end_epoch(epoch, logs)``, then ``end()``.

    Parameters
    ----------
    epochs : int
        How many the loop will have done.
    saved : TorchCheckpoint
        Tells where the loop begins, and the values logged last.
    """
    shown = Line(epochs)
    shown.start_epoch(0)
    if saved.epoch:
        shown.end_epoch(saved.epoch - 1, {name: of[-1] for name, of in saved.history.items()})
    return shown
