"""The benchmarks fit the lessons they measure, and their table says what the results say."""

import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from course_utils import lessons

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def beside():
    """Benchmarks import each other by name, as scripts of one folder do."""
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


def test_make_bench_runs_every_script_that_measures():
    import bench

    writes = re.compile(r"\bwrite(_each)?\(")
    measuring = {file.stem for file in FOLDER.glob("*.py") if writes.search(file.read_text())}
    assert set(bench.NAMES) == measuring - {"bench", "compare"}


def test_the_table_holds_every_comparison(tmp_path):
    import bench

    compared = {"first_s": 2.0, "second_s": 1.0, "ratio": 2.0, "ratio_min_max": [1, 3], "rounds": 5}
    result = {
        "a": {"b": compared},
        "c": compared,
        "cases": 3,
        "machine": "m",
        "versions": {"p": "1"},
    }
    (tmp_path / "some.json").write_text(json.dumps(result))
    text = bench.table(tmp_path)
    assert "| a · b | 2 | 1 | **2** | 1 to 3 | 5 |" in text and "| c | 2 |" in text


def test_the_table_holds_what_is_counted_as_well(tmp_path):
    import bench

    rows = {"1x": {"cases": 10, "peak_mb": 130}, "4x": {"cases": 40, "peak_mb": 131.5}}
    result = {"set": rows, "machine": "m", "versions": {"p": "1"}}
    (tmp_path / "some.json").write_text(json.dumps(result))
    text = bench.table(tmp_path)
    assert "| | cases | peak_mb |\n|---|---|---|\n| set · 1x | 10 | 130 |\n" in text
    assert "| set · 4x | 40 | 131.5 |\n" in text and "| 1 |" not in text


def test_a_part_of_a_benchmark_leaves_the_rest_of_its_results(tmp_path, monkeypatch, capsys):
    import compare

    monkeypatch.setattr(compare, "RESULTS", tmp_path)

    def written(versions, *result):
        monkeypatch.setattr(compare.runtime, "versions", lambda: versions)
        compare.write("some", *result)
        return json.loads((tmp_path / "some.json").read_text())

    written({"python": "3", "keras": "1"}, {"old": 1})
    assert "old" not in written({"python": "3", "keras": "1"}, {"one": 1})
    found = written({"python": "3", "torch": "2"}, {"two": 2}, True)
    assert (found["one"], found["two"]) == (1, 2)
    assert found["versions"] == {"python": "3", "keras": "1", "torch": "2"}
    assert "one" not in written({"python": "3", "keras": "9"}, {"three": 3}, True)


def test_lessons_are_written_one_by_one_each_from_a_process_of_its_own(
    tmp_path, monkeypatch, capsys
):
    import compare

    monkeypatch.setattr(compare, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["some.py", "--rounds", "3"])
    file, known = tmp_path / "some.json", list(lessons.table())[:3]
    commands = []

    def measured(chosen, measure):
        def called_again(command, check):
            commands.append(command[1:])
            compare.write_each("some", command[2:3], measure)

        monkeypatch.setattr(compare.subprocess, "run", called_again)
        compare.write_each("some", chosen, measure)

    def stops_at_the_third(lesson):
        if lesson == known[2]:
            raise KeyboardInterrupt
        return {"of": lesson}

    with pytest.raises(KeyboardInterrupt):
        measured(known, stops_at_the_third)
    assert commands == [["some.py", lesson, "--rounds", "3"] for lesson in known]
    assert [name for name in json.loads(file.read_text()) if name in known] == known[:2]
    measured(known[1:2], lambda lesson: {"again": lesson})
    assert len(commands) == 3  # a single one is measured here
    found = json.loads(file.read_text())
    assert found[known[0]] == {"of": known[0]} and found[known[1]] == {"again": known[1]}
    measured(known, lambda lesson: {"new": lesson})
    assert json.loads(file.read_text())[known[0]] == {"new": known[0]}


def test_a_lesson_measured_in_several_processes_has_the_median_of_theirs(tmp_path, monkeypatch):
    import compare

    monkeypatch.setattr(compare, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["some.py", "--rounds", "3", "--processes", "3"])
    lesson, ratios = next(iter(lessons.table())), iter([1.2, 1.0, 1.1])
    commands = []

    def measure(lesson):
        row = {"first_s": 2.0, "second_s": 2.0, "ratio_min_max": [0.5, 9], "rounds": 3}
        return {"epoch": row | {"ratio": next(ratios)}, "step_ms": 7}

    def called_again(command, check):
        commands.append(command[1:])
        compare.write_each("some", command[2:3], measure, processes=1)

    monkeypatch.setattr(compare.subprocess, "run", called_again)
    compare.write_each("some", [lesson], measure, processes=3)
    words = ["some.py", lesson, "--rounds", "3", "--processes", "3", "--processes", "1"]
    assert commands == [words] * 3
    found = json.loads((tmp_path / "some.json").read_text())
    assert found[lesson]["step_ms"] == 7 and "machine" in found
    row = found[lesson]["epoch"]
    assert (row["ratio"], row["ratio_min_max"]) == (1.1, [1.0, 1.2])
    assert (row["rounds"], row["processes"]) == (9, 3)


def test_the_cells_that_a_benchmark_names_are_in_the_notebook():
    pytest.importorskip("scipy")
    import quality
    import training

    for lesson, recipe in training.RECIPES.items():
        assert {recipe.last, *recipe.without} <= set(lessons.sources(lesson)), lesson
    assert list(quality.CONTESTS) == list(lessons.table())
    for lesson, contest in quality.CONTESTS.items():
        cells = {contest.last, *contest.without, *contest.also, *contest.fit}
        assert cells <= set(lessons.sources(lesson)), lesson


def test_no_benchmark_leaves_out_the_cell_that_chooses_the_precision():
    pytest.importorskip("scipy")
    import quality
    import training

    left_out = [(lesson, recipe.without) for lesson, recipe in training.RECIPES.items()]
    left_out += [(lesson, contest.without) for lesson, contest in quality.CONTESTS.items()]
    for lesson, without in left_out:
        sources = lessons.sources(lesson)
        assert any("runtime.precision(" in source for source in sources.values()), lesson
        assert not [cell for cell in without if "runtime.precision(" in sources[cell]], lesson


def test_keras_own_normalisation_is_what_is_timed_against():
    keras = pytest.importorskip("keras")
    pytest.importorskip("scipy")
    import training

    layer = keras.layers.BatchNormalization
    before = layer.call
    with training.keras_own_normalization():
        assert not hasattr(layer.call, "__wrapped__")
        assert layer.call.__module__.startswith("keras.")
    assert layer.call is before
    inputs = keras.Input((4, 4, 3))
    assert training.normalizes(keras.Model(inputs, layer()(inputs)))
    assert not training.normalizes(keras.Model(inputs, keras.layers.ReLU()(inputs)))


def test_the_clock_of_a_training_stands_while_the_network_is_scored(monkeypatch):
    import quality

    now = [0.0]
    monkeypatch.setattr(quality.time, "perf_counter", lambda: now[0])
    scores = iter([0.2, 0.6, 0.5])

    def score(network):
        now[0] += 100  # scoring takes long, and is not counted
        return next(scores)

    watch = quality.Watch(score, every=2.0, limit=5.0)
    over = []
    for _ in range(5):
        now[0] += 1
        over.append(watch.tick("network"))
    assert over == [False, False, False, False, True]
    assert watch.found == [(2.0, 0.2), (4.0, 0.6), (5.0, 0.5)]
    summary = watch.summary(goal=0.55)
    assert (summary["reached_s"], summary["best"], summary["last"]) == (4.0, 0.6, 0.5)
    assert watch.summary(goal=0.9)["reached_s"] is None


def test_a_training_to_a_goal_is_over_where_it_is_reached():
    import quality

    scores = iter([0.2, 0.6, 0.5])
    watch = quality.Watch(lambda network: next(scores), every=0.0, enough=0.6)
    assert [watch.tick("network") for _ in range(2)] == [False, True]
    assert watch.good() and watch.summary(goal=0.6)["last"] == 0.6


def test_a_training_broken_off_keeps_what_it_reached():
    import quality

    def train(begin):
        watch = begin(lambda network: 0.4)
        watch.look(None)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    def watched(score):
        return quality.Watch(score, every=1.0)

    before = signal.getsignal(signal.SIGTERM)
    watch, broken_off = quality.train_until_stopped(train, watched)
    assert broken_off and watch.summary(0.5)["best"] == 0.4
    assert quality.train_until_stopped(lambda begin: begin(len).look([]), watched)[1] is False
    with pytest.raises(KeyboardInterrupt):
        quality.train_until_stopped(lambda begin: os.kill(os.getpid(), signal.SIGTERM), watched)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_goal_that_was_never_reached_gives_the_least_the_ratio_is():
    import quality

    contest = quality.CONTESTS["04_unet_skin_lesions"]
    ours, never, late = ({"reached_s": value} for value in (10.0, None, 35.0))
    (name,) = set(quality.compared(contest, ours, never, 60.0)) - {"lesson", "tutorial"}
    assert "at least" in name
    assert quality.compared(contest, ours, never, 60.0)[name]["ratio"] == 6
    (name,) = set(quality.compared(contest, ours, late, 60.0)) - {"lesson", "tutorial"}
    assert "at least" not in name
    assert quality.compared(contest, ours, late, 60.0)[name]["ratio"] == 3.5
    assert set(quality.compared(contest, never, late, 60.0)) == {"lesson", "tutorial"}


def test_several_trainings_give_the_median_of_their_ratios():
    import quality

    def one(ratio, name="goal: tutorial / lesson"):
        row = {"first_s": 10 * ratio, "second_s": 10.0, "ratio": ratio}
        return {"lesson": {"best": 0.5}, "tutorial": {}} | ({name: row} if ratio else {})

    def of(*results):
        rest, seeds = iter(results), []

        def measure(**seed):
            seeds.append(seed)
            return next(rest)

        result = quality.repeated(measure, len(results))
        assert seeds == [{}, *({"SEED": k} for k in range(1, len(results)))]
        return result

    assert of(one(2.0)) == one(2.0)
    (name, row), *_ = [item for item in of(one(2.0), one(4.0), one(3.0)).items() if "/" in item[0]]
    assert name == "goal: tutorial / lesson, 3 trainings"
    assert (row["first_s"], row["ratio"], row["ratio_min_max"]) == (30.0, 3.0, [2.0, 4.0])
    bound = of(
        one(2.0), one(0), one(3.0, "goal: tutorial / lesson, which never got there: at least")
    )
    (name,) = [name for name in bound if "/" in name]
    assert "at least" in name
    assert bound[name]["ratio"] == 2.0 and bound[name]["ratio_min_max"][0] == 0
    assert not [name for name in of(one(0), one(0)) if "/" in name]


def test_a_further_case_costs_what_the_larger_run_took_longer():
    import growth

    rows = {
        "1x": {"cases": 10, "seconds": 30.0},
        "4x": {"cases": 40, "seconds": 45.0},
        "16x": {"cases": 160, "seconds": 69.0},
    }
    found = [row.get("seconds a further case") for row in growth.with_slopes(rows).values()]
    assert found == [None, 0.5, 0.2]


def test_the_plain_step_sees_whole_slices_and_the_lessons_no_larger_than_its_window():
    pytest.importorskip("torch")
    import quicknat_step

    assert quicknat_step.shapes_of(4, (160, 192, 112)) == [
        (4, 160, 112),
        (4, 160, 192),
        (4, 192, 112),
    ]
    cut = quicknat_step.shapes_of(4, (160, 192, 112), 128)
    assert cut == [(4, 128, 112), (4, 128, 128), (4, 128, 112)]


def test_operations_are_counted_by_hand():
    keras = pytest.importorskip("keras")
    import arithmetic

    inner = keras.Sequential([keras.Input((8, 8, 8)), keras.layers.Conv2D(1, 1)])
    inputs = keras.Input((None, None, 3))
    convolved = keras.layers.Conv2D(8, 3, padding="same")(inputs)
    model = keras.Model(inputs, keras.layers.MaxPooling2D()(convolved))
    assert arithmetic.operations(model, 2, (16, 16, 3)) == 3 * 2 * 2 * (27 * 8 * 256)
    assert arithmetic.operations(inner, 1, (8, 8, 8)) == 3 * 2 * 8 * 64
