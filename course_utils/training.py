"""Training that can be interrupted, and one calm line of progress.

Both are plain classes handed to Keras through ``keras.callbacks.LambdaCallback``, so that importing
this module imports no framework. They work with every Keras backend.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import math
import os
import shutil
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ParameterError
from .paths import atomic_write

_WAITED = ("wait", "best", "best_epoch", "stopped_epoch")  # all that Keras' EarlyStopping changes
STATIC = "COURSE_STATIC"  # set when outputs are stored or read later, not watched
_OUT_OF_MEMORY = (
    "memoryerror",
    "out of memory",
    "resource_exhausted",
    "resourceexhausted",
    "oom when",
)


class Checkpoint:
    """The state of one ``fit``, kept on disk after every epoch.

    Weights, optimizer, random-number states of the layers, the history and the best weights so far
    are kept. A later ``fit`` with the same ``key`` goes on at the next epoch; one with another key
    starts afresh. At the end the best weights are put into the model and, unless they are to be
    kept, the files are deleted.

    Parameters
    ----------
    model
        A built and compiled ``keras.Model``.
    folder
        Where the state is kept; made when first needed.
    monitor, mode
        The logged value that chooses the best epoch, and whether ``"min"`` or ``"max"`` is better;
        None: the last epoch counts as the best.
    key
        What must be equal for a state to be used again, for example the lesson's parameters.
    data
        An optional training set with an attribute ``epoch``, set before every epoch so that its
        random draws go on where they were.
    patience
        An optional ``keras.callbacks.EarlyStopping``, listed before and without
        ``restore_best_weights``: how long it has waited is kept as well, so that it stops where it
        would have stopped.
    keep
        Leave the files, so that the same training, started again, ends at once with its best
        weights: for a lesson that trains several networks one after another.
    """

    def __init__(
        self,
        model,
        folder,
        monitor="val_loss",
        mode="min",
        key=None,
        data=None,
        patience=None,
        keep=False,
    ):
        if mode not in ("min", "max"):
            raise ParameterError(f'mode must be "min" or "max", found {mode!r}: choose one of them')
        self.model, self.folder = model, Path(folder)
        self.monitor, self.sign = monitor, 1 if mode == "min" else -1
        self.data, self.patience, self.keep = data, patience, keep
        shapes = [list(weight.shape) for weight in model.weights]  # names count up in a kernel
        self.key = digest([shapes, monitor, mode, key])
        self.state: dict[str, Any] = self._fresh()

    def _fresh(self) -> dict[str, Any]:
        fresh = {"key": self.key, "epoch": 0, "best": None, "best_epoch": None, "history": {}}
        return {**fresh, "stopped": False, "waited": {}}

    def _file(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:04d}.npz"

    def _variables(self) -> dict[str, Any]:
        """Return all that training changes; Keras' weight files leave out the random states."""
        parts = {"model": self.model.variables, "optimizer": self.model.optimizer.variables}
        return {f"{part}_{i}": one for part, many in parts.items() for i, one in enumerate(many)}

    def _save(self, epoch: int) -> None:
        from keras import ops

        file = io.BytesIO()
        np.savez(file, **{k: ops.convert_to_numpy(v) for k, v in self._variables().items()})
        atomic_write(self._file(epoch), file.getvalue())

    def _load(self, epoch: int, parts: tuple[str, ...]) -> None:
        with np.load(self._file(epoch)) as arrays:
            for name, variable in self._variables().items():
                if name.startswith(parts):
                    variable.assign(arrays[name])

    def begin(self, logs: dict | None = None) -> None:
        """Restore the last whole epoch, if one of the same key was kept."""
        # Without its variables the first step is traced twice: once to make them, once to run.
        self.model.optimizer.build(self.model.trainable_variables)
        self.state = self._read()
        if self.state["epoch"]:
            self._load(self.state["epoch"], ("model", "optimizer"))
            for name, value in self.state["waited"].items():
                setattr(self.patience, name, value)
        # The attribute Keras' own BackupAndRestore sets: `fit` starts at this epoch.
        self.model._initial_epoch = sys.maxsize if self.state["stopped"] else self.state["epoch"]

    def _read(self) -> dict[str, Any]:
        """Return the kept state, or a fresh one if there is none that fits and is whole."""
        try:
            state = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
            wanted = {state["epoch"], state["best_epoch"]} - {None}
            whole = state["key"] == self.key and all(map(self._is_whole, wanted))
            return {**self._fresh(), **state} if whole else self._fresh()
        except (OSError, ValueError, KeyError, TypeError):
            return self._fresh()

    def _is_whole(self, epoch: int) -> bool:
        """Read the arrays of an epoch: a damaged file, or one with code in it, counts as none."""
        try:
            with np.load(self._file(epoch)) as arrays:
                return len([arrays[name] for name in arrays.files]) > 0
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
            return False

    def start_epoch(self, epoch: int, logs: dict | None = None) -> None:
        """Tell the training set which epoch comes (counted from 0)."""
        if self.data is not None:
            self.data.epoch = epoch

    def end_epoch(self, epoch: int, logs: dict | None = None) -> None:
        """Keep the state: the weights first, then the small file that makes them count."""
        logs = {name: float(value) for name, value in (logs or {}).items()}
        state = self.state
        state["epoch"] = epoch + 1
        for name, value in logs.items():
            state["history"].setdefault(name, []).append(value)
        if self._better(logs):
            state["best"], state["best_epoch"] = logs.get(self.monitor), epoch + 1
        if self.patience is not None:
            waited = {name: getattr(self.patience, name) for name in _WAITED}
            state["waited"] = {k: v if v is None else float(v) for k, v in waited.items()}
            state["stopped"] = bool(self.model.stop_training)
        self._save(epoch + 1)
        atomic_write(self.folder / "state.json", json.dumps(state))
        self._forget_others()

    def _better(self, logs: dict[str, float]) -> bool:
        if self.monitor is None:
            return True
        if self.monitor not in logs:
            raise ParameterError(
                f"monitor must be one of the logged values {sorted(logs)}, found "
                f"{self.monitor!r}: give validation data to fit, or name another value"
            )
        value, best = logs[self.monitor], self.state["best"]
        return math.isfinite(value) and (best is None or self.sign * value < self.sign * best)

    def _forget_others(self) -> None:
        kept = {self._file(self.state["epoch"])}
        if self.state["best_epoch"]:
            kept.add(self._file(self.state["best_epoch"]))
        for path in set(self.folder.glob("epoch-*.npz")) - kept:
            path.unlink(missing_ok=True)

    def end(self, logs: dict | None = None) -> None:
        """Put the best weights into the model, the whole history into its record, and tidy up."""
        if self.state["best_epoch"]:
            self._load(self.state["best_epoch"], ("model",))
        self.model.history.history = self.state["history"]
        self.model.history.epoch = list(range(self.state["epoch"]))
        self.model._initial_epoch = 0
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def resumable(
    model,
    folder: str | os.PathLike,
    *,
    monitor: str | None = "val_loss",
    mode: str = "min",
    key=None,
    data=None,
    patience=None,
    keep: bool = False,
) -> list:
    """Return the Keras callbacks that make one ``fit`` resumable and give back its best weights.

    An interrupted ``fit`` (closed laptop, lost kernel) goes on at the epoch after the last whole
    one, with the optimizer's state and the history of the epochs before. It does not store the
    random state of ``random`` or ``numpy``: draw each item from ``(seed, epoch, item)``, and pass
    the training set as ``data`` to have its ``epoch`` set.

    See `Checkpoint` for the parameters.

    Raises
    ------
    ParameterError
        If ``mode`` is unknown, or ``monitor`` is not among the values that ``fit`` logs.
    """
    from keras.callbacks import LambdaCallback

    checkpoint = Checkpoint(model, folder, monitor, mode, key, data, patience, keep)
    callback = LambdaCallback(
        on_train_begin=checkpoint.begin,
        on_epoch_begin=checkpoint.start_epoch,
        on_epoch_end=checkpoint.end_epoch,
        on_train_end=checkpoint.end,
    )
    return [callback]


def warm_cosine(rate: float, steps: int, warm: int):
    """Return a learning rate that rises for some steps and falls along a cosine over the others.

    The same numbers as ``keras.optimizers.schedules.CosineDecay`` with warm-up, worked out before
    and looked up step by step. AdamW asks for the rate once for every variable it decays, and what
    it asks is traced each time: in a network of 84 variables that takes seconds.

    Parameters
    ----------
    rate
        The highest learning rate; it begins at a twentieth and ends at a hundredth of it.
    steps
        How many steps there are in all.
    warm
        How many of them it rises.

    Returns
    -------
    keras.optimizers.schedules.CosineDecay
        Saved with a network as an ordinary one.

    Raises
    ------
    ParameterError
        If there is no step left to fall in.
    """
    if not 0 <= warm < steps:
        raise ParameterError(
            f"warm must be at least 0 and less than the {steps} steps, found {warm}: "
            "let the rate rise for fewer steps"
        )
    return _looked_up_class()(rate, steps, warm)


@functools.cache
def _looked_up_class() -> type:
    from keras import ops
    from keras.optimizers.schedules import CosineDecay

    class LookedUp(CosineDecay):
        """The same rates, worked out before; that of the last step for ever after."""

        def __init__(self, rate: float, steps: int, warm: int):
            fall = steps - warm
            super().__init__(rate / 20, fall, 0.01, warmup_target=rate, warmup_steps=warm)
            rising = np.linspace(1 / 20, 1, warm, endpoint=False)
            falling = 0.01 + 0.99 * (1 + np.cos(np.pi * np.arange(fall + 1) / fall)) / 2
            self.rates = (rate * np.concatenate([rising, falling])).astype("float32")

        def __call__(self, step):
            step = ops.minimum(ops.cast(step, "int32"), len(self.rates) - 1)
            return ops.take(ops.convert_to_tensor(self.rates), step)

    # Saved as the schedule whose rates they are: a saved network needs nothing of this course.
    LookedUp.__name__, LookedUp.__module__ = CosineDecay.__name__, "keras.optimizers.schedules"
    return LookedUp


class Line:
    """One line that follows a ``fit``: rewritten while watched, printed once when stored."""

    def __init__(self, epochs: int, width: int = 24):
        self.epochs, self.width = epochs, width
        self.live = os.environ.get(STATIC, "") in ("", "0")
        self.epoch, self.text = 0, ""

    def start_epoch(self, epoch: int, logs: dict | None = None) -> None:
        """Show which epoch runs (counted from 0)."""
        self.epoch = epoch
        self._show(epoch, self.text)

    def end_epoch(self, epoch: int, logs: dict | None = None) -> None:
        """Take over the values that the epoch logged."""
        self.epoch = epoch + 1
        logs = {name: value for name, value in (logs or {}).items() if name != "learning_rate"}
        self.text = ", ".join(f"{name} {float(value):.3f}" for name, value in logs.items())
        self._show(epoch + 1, self.text)

    def _show(self, done: int, text: str) -> None:
        if self.live:
            filled = round(self.width * done / max(self.epochs, 1))
            bar = "█" * filled + "·" * (self.width - filled)
            sys.stdout.write(f"\r{bar} epoch {done}/{self.epochs}  {text}".ljust(100))
            sys.stdout.flush()

    def end(self, logs: dict | None = None) -> None:
        """End the line; when nobody watches, print it for the first and only time."""
        last = f"epoch {self.epoch}/{self.epochs}  {self.text}"
        if not self.epoch:
            last = f"no epoch of {self.epochs} was left to train: an earlier run did it"
        print("" if self.live else last)


def progress(epochs: int) -> Any:
    """Return a Keras callback that follows a ``fit`` with ``verbose=0`` in one line.

    Live, the line is rewritten after every epoch. With ``COURSE_STATIC=1`` only its last state is
    printed, without times, so that a stored notebook stays small and the same.

    Parameters
    ----------
    epochs
        How many epochs the ``fit`` will have.
    """
    from keras.callbacks import LambdaCallback

    line = Line(epochs)
    return LambdaCallback(
        on_epoch_begin=line.start_epoch, on_epoch_end=line.end_epoch, on_train_end=line.end
    )


def out_of_memory(error: BaseException | str) -> str:
    """Return one line of advice if an error says that memory ran out, else an empty string.

    Examples
    --------
    >>> out_of_memory(ValueError("shapes differ"))
    ''
    >>> out_of_memory(RuntimeError("CUDA out of memory"))[:24]
    'The device ran out of me'
    """
    text = f"{type(error).__name__} {error}".lower()
    if not any(word in text for word in _OUT_OF_MEMORY):
        return ""
    return (
        "The device ran out of memory: halve the batch size or the crop, choose a smaller profile, "
        "close other notebooks, or hide the GPU with CUDA_VISIBLE_DEVICES=''"
    )


def digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
