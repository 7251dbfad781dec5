"""The same seed gives the same split, twin and metrics, in processes that differ in all else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from effort import LONG

ROOT = Path(__file__).resolve().parents[2]
_MADE = """
import hashlib, json, sys
from pathlib import Path
import numpy as np, pandas as pd
sys.path.insert(0, "tests")
from folders import digests
from course_utils import generators, metrics, samples, splits
from course_utils.metrics import ranking
seed, folder = int(sys.argv[1]), Path(sys.argv[2])
made = {}
rng = np.random.default_rng(0)
table = pd.DataFrame({"group": [f"g{k}" for k in rng.integers(0, 30, 90)]})
table["patient"] = table["group"]
made["split"] = splits.by_group(table, seed=seed).tolist()
made["patients"] = splits.patients(table, seed).tolist()
values, truth = rng.random(90), rng.random(90) < 0.4
made["mean"] = str(metrics.bootstrap(values, table["group"], seed=seed))
made["auc"] = str(ranking.auc_interval(truth, values, table["group"], seed=seed))
images = [rng.integers(0, 255, (40, 40, 3), np.uint8) for _ in range(4)]
masks = [rng.integers(0, 2, (40, 40, 1), np.uint8) * 255 for _ in range(4)]
feed = generators.crops(images, masks, size=16, batch=4, steps=2, seed=seed, zoom=1.4)
made["batch"] = [hashlib.sha256(np.asarray(part).tobytes()).hexdigest() for part in feed[1]]
for name, cases in TWINS.items():
    made[name] = digests(samples.make(name, folder / name, seed=seed, cases=cases))
    made[name].pop(samples.STAMP)
print(json.dumps(made))
"""
TWINS = {"bbbc038": 8, "isic2017": 6, "mosmed": 10}
if LONG:
    TWINS |= {"bbbc038": None, "isic2017": None, "isic2018": 8, "mosmed": 12, "lgg_mri": 104,
              "malf": 5, "oasis1_disc1": 2}  # fmt: skip


def made(seed: int, folder: Path, **environment: str) -> dict:
    """Make splits, intervals, a batch and twins in a process of their own."""
    code = _MADE.replace("TWINS", repr(TWINS))
    around = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(
        [sys.executable, "-c", code, str(seed), str(folder)],
        cwd=ROOT, env=around, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same seed in two processes that hash and share their work differently; another seed."""
    folder = tmp_path_factory.mktemp("twins")
    first = made(3, folder / "a", PYTHONHASHSEED="1", OMP_NUM_THREADS="1", LC_ALL="C", TZ="UTC")
    again = made(
        3, folder / "b", PYTHONHASHSEED="99", OMP_NUM_THREADS="2", LC_ALL="C.UTF-8", TZ="Asia/Tokyo"
    )
    return first, again, made(4, folder / "c")


KINDS = ("split", "patients", "mean", "auc", "batch", *TWINS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_whatever_the_process(runs, kind):
    first, again, _ = runs
    assert first[kind] and first[kind] == again[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_gives_something_else(runs, kind):
    first, _, other = runs
    assert first[kind] != other[kind]


@pytest.mark.skipif(not LONG, reason="runs a lesson three times: make faults")
def test_a_lesson_run_twice_ends_with_the_same_metrics(tmp_path):
    found = []
    for number, seed in enumerate((3, 3, 4)):
        command = [sys.executable, "-m", "course_utils", "run", "06_ct_classification_3d"]
        command += ["--out", str(tmp_path / str(number)), "-p", "EPOCHS", "1", "-p", "REPEATS", "1"]
        around = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [*command, "-p", "SEED", str(seed)], env=around, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        results = tmp_path / str(number) / "06_ct_classification_3d" / "metrics.json"
        found.append(json.loads(results.read_text())["metrics"])
    first, again, other = ({n: m["value"] for n, m in one.items()} for one in found)
    assert first == pytest.approx(again, abs=1e-4) and first != pytest.approx(other, abs=1e-4)
