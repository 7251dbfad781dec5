"""What TensorFlow is told at the start: each operation in one thread where that is faster."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from course_utils import backend

START = """
import sys
import tensorflow as tf
from course_utils import backend
backend.processors = lambda: int(sys.argv[1])
if sys.argv[2:] == ["late"]:
    tf.zeros(1)
backend.prepare()
backend.prepare()
assert float(tf.reduce_sum(tf.ones((8, 8)) @ tf.ones((8, 8)))) == 512
print(tf.config.threading.get_intra_op_parallelism_threads())
"""


def threads(*words: str, **variables: str) -> int:
    """Return how many threads an operation may have after a start; 0: TensorFlow chooses."""
    pytest.importorskip("tensorflow")
    env = {name: value for name, value in os.environ.items() if name not in backend.THREADS}
    done = subprocess.run(
        [sys.executable, "-c", START, *words], env=env | variables, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stdout.splitlines()[-1])


def test_on_two_processors_operations_have_one_thread_each():
    assert threads("2") == 1


@pytest.mark.parametrize(
    ("words", "variables"),
    [
        (["4"], {}),  # not measured there: TensorFlow's own choice
        (["2"], {"TF_NUM_INTEROP_THREADS": "1"}),  # somebody has chosen
        (["2", "late"], {}),  # it has computed already
    ],
)
def test_elsewhere_the_choice_is_left_to_tensorflow(words, variables):
    assert threads(*words, **variables) == 0


def test_without_tensorflow_nothing_is_done(monkeypatch):
    monkeypatch.setattr(backend, "name", lambda: "torch")
    monkeypatch.setattr(backend, "_side_by_side", None)  # would fail if it were called
    backend.prepare()
