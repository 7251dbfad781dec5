"""What every lesson starts and ends with: device, seeds, profile, versions, ``metrics.json``.

The lessons never name a device. A framework is asked for its devices only if the lesson has
imported it already; nothing here imports one first.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.metadata
import json
import math
import os
import platform
import random
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from . import backend, normalization
from .errors import DataError, ParameterError
from .paths import atomic_write, lesson_output, without_home
from .training import STATIC, out_of_memory, progress, resumable, warm_cosine

__all__ = [
    "PROFILES", "STATIC", "Lesson", "device", "minutes", "out_of_memory", "peak_rss_mb",
    "precision", "progress", "quiet", "resumable", "start", "steps_at_once", "versions",
    "warm_cosine",
]  # fmt: skip

PROFILES = ("sample", "cpu", "gpu")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
PACKAGES = ("keras", "tensorflow", "torch", "jax", "monai", "numpy", "course_utils")

# TensorFlow reads this once, when it is imported; without it a stored lesson begins with its log.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what compiled libraries log while they are imported out of the cell's output.

    Errors are raised as ever, and what Python itself writes is shown.

    Examples
    --------
    >>> with quiet():
    ...     import json
    """
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@dataclass
class Lesson:
    """One run of a lesson: its parameters, its folder, its times and, at the end, its results."""

    name: str
    parameters: dict[str, Any]
    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    @property
    def profile(self) -> str:
        """The profile: ``"sample"``, ``"cpu"`` or ``"gpu"``."""
        return self.parameters["PROFILE"]

    @property
    def seed(self) -> int:
        """The seed from which all randomness of the lesson is drawn."""
        return self.parameters["SEED"]

    @contextmanager
    def stopwatch(self, name: str) -> Iterator[None]:
        """Add the seconds spent in a ``with`` block to ``seconds[name]``.

        What the block no longer needs goes back to the system, so that the peak of a lesson is
        that of its largest part, not of their sum.
        """
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began
            give_back_memory()

    def figure(self, fig, name: str, alt: str):
        """Show a figure with alt text and keep it as ``figures/<name>.png`` in the folder."""
        from . import plotting

        return plotting.show(fig, alt=alt, name=name, lesson=self)

    def write_metrics(
        self,
        *,
        main_metric: str,
        metrics: Mapping[str, Any],
        baseline: Mapping[str, Mapping[str, Any]],
        data: Mapping[str, Any],
        gain: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write ``metrics.json``, whole or not at all, and return its path.

        Parameters
        ----------
        main_metric
            The name of the lesson's main metric; ``metrics`` must hold it.
        metrics
            Name of the metric to its value on the test part: a number, or an interval with
            ``value``, ``low``, ``high`` and ``n`` (as attributes or as keys).
        baseline
            Name of each trivial baseline to its own ``metrics``.
        data
            ``name``, ``source``, ``cases`` (how many there were) and ``release_cases`` (how many
            the publisher's release holds).
        gain
            Name of a baseline to the paired difference of the main metric, lesson minus baseline.

        Raises
        ------
        ParameterError
            If the main metric or a field of ``data`` is missing, a value is not finite, or one
            lies outside its own interval.
        """
        record = {
            "lesson": self.name,
            "profile": self.profile,
            "data": _fields("data", data, ("name", "source", "cases", "release_cases")),
            "main_metric": main_metric,
            "metrics": _numbers("metrics", metrics),
            "baseline": {name: _numbers(f"baseline {name}", row) for name, row in baseline.items()},
            "gain": _numbers("gain", gain or {}),
            "seconds": self._seconds(),
            "peak_rss_mb": round(peak_rss_mb()),
            "device": device(),
            "versions": versions(),
            "parameters": self.parameters,
        }
        if main_metric not in record["metrics"]:
            raise ParameterError(
                f"metrics must hold the main metric {main_metric!r}, found "
                f"{sorted(record['metrics'])}: add it, or name another main metric"
            )
        path = self.folder / "metrics.json"
        text = json.dumps(record, indent=1, allow_nan=False, default=_plain)
        atomic_write(path, without_home(text) + "\n")
        return path

    def _seconds(self) -> dict[str, float]:
        total = time.monotonic() - self.began
        spent = {"prepare": 0.0, "fit": 0.0, **self.seconds, "total": total}
        return {name: round(value, 2) for name, value in spent.items()}


def start(name: str, parameters: Mapping[str, Any]) -> Lesson:
    """Check the parameters, seed every generator, make the folder, and say where this runs.

    Python's, numpy's and the generators of the frameworks that the lesson has imported are seeded
    with ``SEED``. It moves no data. TensorFlow is told how to use threads and memory
    (`backend.prepare`) and, on a CPU, normalises batches by one operation (`normalization.fuse`).

    Parameters
    ----------
    name
        The lesson, for example ``"05_unet_nuclei"``.
    parameters
        The values of the parameters cell by name; ``PROFILE`` and ``SEED`` must be among them.

    Returns
    -------
    Lesson
        With the folder for results, stopwatches and `Lesson.write_metrics`.

    Raises
    ------
    ParameterError
        If ``PROFILE`` or ``SEED`` is missing or has no allowed value.
    """
    parameters = dict(parameters)
    _check(parameters)
    backend.prepare()  # threads first: seeding may make a variable, and then they are set
    _seed_all(parameters["SEED"])
    normalization.fuse()
    lesson = Lesson(name, parameters, lesson_output(name, parameters.get("OUTPUT_DIR", "")))
    print(f"{device()} | {_short_versions()} | {_how_to_change()}")
    return lesson


def _check(parameters: Mapping[str, Any]) -> None:
    profile, seed = parameters.get("PROFILE"), parameters.get("SEED")
    if profile not in PROFILES:
        raise ParameterError(
            f"PROFILE must be one of {', '.join(PROFILES)}, found {profile!r}: choose one of them"
        )
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise ParameterError(
            f"SEED must be a whole number from 0 to 4294967295, found {seed!r}: choose one"
        )


def _seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (libraries draw from it)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(seed)


@dataclass(frozen=True)
class Gpu:
    """A GPU as its framework describes it; ``capability`` is NVIDIA's, (0, 0) where unknown."""

    name: str
    capability: tuple[int, int]


def _gpu() -> Gpu | None:
    """Return the first GPU that the lesson's framework sees."""
    find = {"tensorflow": _tensorflow_gpu, "torch": _torch_gpu, "jax": _jax_gpu}.get(backend.name())
    return find() if find else None


def _tensorflow_gpu() -> Gpu | None:
    config = sys.modules["tensorflow"].config
    gpus = config.list_physical_devices("GPU")
    if not gpus:
        return None
    details = config.experimental.get_device_details(gpus[0])
    return Gpu(details.get("device_name", "GPU"), details.get("compute_capability", (0, 0)))


def _torch_gpu() -> Gpu | None:
    torch = sys.modules["torch"]
    if torch.cuda.is_available():
        return Gpu(torch.cuda.get_device_name(0), torch.cuda.get_device_capability(0))
    return Gpu("Apple GPU", (0, 0)) if torch.backends.mps.is_available() else None


def _jax_gpu() -> Gpu | None:
    first = sys.modules["jax"].devices()[0]
    return Gpu(first.device_kind, (0, 0)) if first.platform == "gpu" else None


def device() -> str:
    """Describe in a few words what the lesson computes on.

    Examples
    --------
    >>> device().startswith(("CPU", "GPU"))
    True
    """
    gpu = _gpu()
    cores = backend.processors()
    return f"GPU ({gpu.name})" if gpu else f"CPU ({cores} core{'s' if cores != 1 else ''})"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that the lesson has imported."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        if name in sys.modules:
            found[name] = _version(name)
    return found


def _version(name: str) -> str:
    """Return a package's own version; its metadata may name another copy than the imported one."""
    own = getattr(sys.modules[name], "__version__", None)
    return str(own) if own else importlib.metadata.version(name)


def _short_versions() -> str:
    return ", ".join(f"{name} {version}" for name, version in versions().items())


def _how_to_change() -> str:
    """Return how to compute elsewhere; a backend is chosen only where Keras is used."""
    backend = "KERAS_BACKEND=torch, " if "keras" in sys.modules else ""
    return f"to change it: {backend}CUDA_VISIBLE_DEVICES='' (no GPU), before the start"


def precision(dimensions: int = 2) -> str:
    """Choose the Keras dtype policy that is fastest on this device without harm.

    bfloat16 where the hardware multiplies it (NVIDIA from compute capability 8; CPUs with AMX or
    AVX-512 BF16, unless volumes are convolved), float16 on older NVIDIA GPUs with tensor cores
    (7.x, such as the T4), else float32. The variable ``COURSE_PRECISION`` overrides the choice.

    Parameters
    ----------
    dimensions
        Of what the network convolves: 2 for images, 3 for volumes. CPUs take longer for a step of
        a 3-D network in bfloat16 than in float32 (``benchmarks/README.md``).

    Returns
    -------
    str
        ``"float32"``, ``"mixed_bfloat16"`` or ``"mixed_float16"``, for
        ``keras.config.set_dtype_policy``.

    Raises
    ------
    ParameterError
        If ``COURSE_PRECISION`` names no such policy.
    """
    chosen = os.environ.get("COURSE_PRECISION", "")
    if chosen and chosen not in PRECISIONS:
        raise ParameterError(
            f"COURSE_PRECISION must be one of {', '.join(PRECISIONS)}, found {chosen!r}: "
            "choose one of them or unset it"
        )
    gpu = _gpu()
    return chosen or (_gpu_precision(gpu) if gpu else _cpu_precision(_cpu_flags(), dimensions))


def _gpu_precision(gpu: Gpu) -> str:
    if gpu.capability >= (8, 0):
        return "mixed_bfloat16"
    return "mixed_float16" if gpu.capability >= (7, 0) else "float32"


def _cpu_precision(flags: set[str], dimensions: int) -> str:
    fast = dimensions == 2 and flags & {"amx_bf16", "avx512_bf16"}
    return "mixed_bfloat16" if fast else "float32"


def steps_at_once(steps: int) -> int:
    """Return how many training steps Keras is to run in one call, for ``steps_per_execution``.

    Between two calls the callbacks and the rest of Keras' Python run while the device waits.

    Parameters
    ----------
    steps
        Of an epoch. Calls of equal length must make it up: a feed without end does not stop within
        one.

    Returns
    -------
    int
        On TensorFlow the largest divisor of ``steps`` up to 8; 1 elsewhere (PyTorch takes no
        other).

    Examples
    --------
    >>> from unittest import mock
    >>> with mock.patch("course_utils.backend.name", lambda: "tensorflow"):
    ...     [steps_at_once(steps) for steps in (40, 30, 19, 2)]
    [8, 6, 1, 2]
    """
    most = 8 if backend.name() == "tensorflow" else 1
    return max(calls for calls in range(1, most + 1) if steps % calls == 0)


def _cpu_flags() -> set[str]:
    """Return the instruction sets of the CPU; empty where the system does not list them."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return set()
    found = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return set(found.group(1).split()) if found else set()


def peak_rss_mb() -> float:
    """Return the most memory (resident set, MiB) that this process has held so far."""
    try:  # VmHWM, not ru_maxrss: that one is inherited from the process that started this one
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) / 1024
    except (OSError, AttributeError):
        return _peak_rss_elsewhere()


def _peak_rss_elsewhere() -> float:
    """Return the peak on macOS (bytes by getrusage) and on Windows (the peak working set)."""
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 2**20
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def give_back_memory() -> None:
    """Collect what nothing refers to, and return freed memory to the system where glibc runs."""
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def minutes(seconds: float) -> str:
    """Write a duration as a reader says it.

    Examples
    --------
    >>> minutes(42), minutes(90), minutes(3600)
    ('42 s', '1.5 min', '60 min')
    """
    if seconds < 60:
        return f"{round(seconds)} s"
    return f"{seconds / 60:.1f}".removesuffix(".0") + " min"


def _fields(what: str, values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    if set(values) != set(names):
        raise ParameterError(
            f"{what} must hold exactly {', '.join(names)}, found {', '.join(sorted(values))}: "
            "add what is missing and leave out the rest"
        )
    return {name: values[name] for name in names}


def _numbers(what: str, values: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    return {name: _number(f"{what}: {name}", value) for name, value in values.items()}


def _number(what: str, value: Any) -> dict[str, float]:
    """Turn a number or an interval into ``{"value"[, "low", "high", "n"]}``, all finite.

    A value lies in its own interval, up to rounding.
    """
    if isinstance(value, Mapping):
        found = dict(value)
    elif hasattr(value, "value"):
        found = {part: getattr(value, part) for part in ("value", "low", "high", "n")}
    else:
        found = {"value": value}
    found = {part: _plain(number) for part, number in found.items()}
    for part, number in found.items():
        if not isinstance(number, (int, float)) or not math.isfinite(number):
            raise ParameterError(
                f"{what} must be a finite number, found {part} = {number}: "
                "check for empty cases before averaging"
            )
    low, high = found.get("low", -math.inf), found.get("high", math.inf)
    rounding = 1e-9 * max(1.0, abs(found["value"]))
    if not low - rounding <= found["value"] <= high + rounding:
        raise ParameterError(
            f"{what} must lie in its own interval, found {found['value']:g} outside {low:g} to "
            f"{high:g}: take both from one estimate"
        )
    return found


def _plain(value: Any) -> Any:
    """Turn numpy scalars and paths into what JSON knows."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (int, float, str, list, tuple, dict, bool, type(None))):
        return value
    raise DataError(
        f"metrics.json holds numbers and text, found {type(value).__name__}: convert it"
    )
