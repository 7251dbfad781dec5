"""The first step, the end of an epoch and the learning rate: nothing done twice, nobody waits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from course_utils import training
from course_utils.errors import ParameterError

FIRST_STEP = Path(__file__).parent / "fixtures" / "first_step.py"


@pytest.fixture(scope="module", params=["tensorflow", "torch"])
def found(request, tmp_path_factory):
    """What one short training with this backend did."""
    pytest.importorskip("keras")
    pytest.importorskip(request.param)
    env = {**os.environ, "KERAS_BACKEND": request.param, "COURSE_STATIC": "1"}
    folder = tmp_path_factory.mktemp(request.param)
    done = subprocess.run(
        [sys.executable, FIRST_STEP, folder], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    return {"backend": request.param, "folder": folder, "env": env, **found}


def test_the_first_step_is_traced_once(found):
    if found["backend"] == "tensorflow":
        assert found["traced"] == 1
    else:  # nothing is traced: once for each of 12 steps, and once to learn the shapes
        assert found["traced"] in (12, 13)


def test_several_steps_a_call_learn_what_single_steps_learn(found):
    one, several = found["one"], found["several"]
    assert len(one["losses"]) == 2 and one["losses"][0] != one["losses"][1]
    assert several["losses"] == one["losses"] and several["weights"] == one["weights"]
    if found["backend"] == "tensorflow":
        assert one["traced"] == several["traced"] == 1


def test_a_feed_without_end_teaches_what_one_begun_anew_teaches(found):
    anew, one = found["anew"], found["one"]
    assert one["losses"][0] == anew["losses"][0]
    if found["backend"] == "tensorflow":  # PyTorch's loader draws a number when it begins anew
        assert one["losses"] == anew["losses"] and one["weights"] == anew["weights"]


def test_no_pipeline_of_tensorflow_tunes_itself(found):
    if found["backend"] != "tensorflow":
        pytest.skip("another backend has no such pipeline")
    assert len(found["tuned"]) >= 3 and set(found["tuned"]) == {False}


def test_the_looked_up_rate_is_that_of_keras(found):
    assert found["rates"] == pytest.approx(found["published"], rel=1e-5)
    assert found["rates"][0] == pytest.approx(0.005) and max(found["rates"]) == pytest.approx(0.1)
    assert found["rates"][-1] == pytest.approx(0.001)


LOAD = """
import sys, keras
keras.models.load_model("outer.keras", compile=False)
rate = keras.models.load_model("model.keras").optimizer._learning_rate
assert type(rate) is keras.optimizers.schedules.CosineDecay
print([float(rate(step)) for step in [*range(13), 100]])
assert "course_utils" not in sys.modules"""


def test_a_saved_network_is_loaded_where_the_course_is_not_known(found):
    done = subprocess.run(
        [sys.executable, "-c", LOAD], cwd=found["folder"], env=found["env"], capture_output=True,
        text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == pytest.approx(found["rates"], rel=1e-5)


@pytest.mark.parametrize("warm", [-1, 10, 11])
def test_a_rate_that_never_falls_is_refused(warm):
    with pytest.raises(ParameterError, match="less than the 10 steps, found"):
        training.warm_cosine(0.1, 10, warm)
