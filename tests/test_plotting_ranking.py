"""Charts of rankings: what they say in words and numbers."""

from __future__ import annotations

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest

from course_utils.errors import ParameterError
from course_utils.metrics import ranking
from course_utils.plotting import ranking as charts


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def cases():
    rng = np.random.default_rng(0)
    truth = rng.random(120) < 0.4
    return truth, np.clip(rng.normal(0.3 + 0.3 * truth, 0.2), 0, 1), np.repeat(np.arange(12), 10)


def legend(ax) -> str:
    return " | ".join(text.get_text() for text in ax.get_legend().get_texts())


def test_roc_has_a_band_and_names_the_area(cases):
    truth, score, groups = cases
    ax = charts.roc(truth, {"network": score, "chance": np.zeros(120)}, groups)
    assert f"network: AUC {ranking.auc(truth, score):.3f}" in legend(ax)
    assert "chance: AUC 0.500" in legend(ax) and len(ax.collections) == 1


def test_precision_recall_names_the_share(cases):
    truth, score, _ = cases
    ax = charts.precision_recall(truth, {"network": score})
    assert f"chance: {truth.mean():.3f}" in legend(ax)


@pytest.mark.parametrize("score", [[0.1, 0.4, 0.35, 0.8], [0.9, 0.4, 0.35, 0.3]])
def test_the_area_under_the_drawn_precision_is_the_ap_of_the_legend(score):
    truth = [0, 0, 1, 1]
    drawn = charts.precision_recall(truth, {"network": score}).lines[0]
    assert drawn.get_drawstyle() == "steps-pre"
    recall, precision = drawn.get_data()
    assert min(precision) > 0  # no threshold is drawn before the first positive case is found
    area = np.sum(np.diff(recall) * precision[1:])  # what "steps-pre" draws
    assert area == pytest.approx(ranking.average_precision(truth, score))


def test_reliability_and_histogram(cases):
    truth, score, _ = cases
    ax = charts.reliability({"before": ranking.reliability(truth, score)})
    assert "before" in legend(ax)
    ax = charts.score_histogram(truth, score, threshold=0.4)
    assert f"tumour ({truth.sum()})" in legend(ax) and "threshold 0.40" in legend(ax)


def test_the_bars_of_the_histogram_stand_side_by_side(cases):
    truth, score, _ = cases
    ax = charts.score_histogram(truth, score)
    edges = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches)
    assert all(left[1] <= right[0] + 1e-9 for left, right in itertools.pairwise(edges))
    assert all(label.get_text().isdigit() for label in ax.get_yticklabels())
    assert "log" in ax.get_ylabel()  # and a tick stands above the tallest bar
    assert max(ax.get_yticks()) >= max(bar.get_height() for bar in ax.patches)


def test_heat_can_be_seen_with_its_scale_and_an_outline_of_another_colour():
    heat = np.zeros((8, 8))
    heat[2, 5], heat[4, 4] = 3, 1.5
    ax = charts.heat_overlay(
        np.ones((8, 8)), heat, heat > 0, cmap=charts.BLUE_HEAT, outline="#E69F00"
    )
    assert ax.images[1].get_alpha()[4, 4] > 0.4 and ax.images[1].get_alpha()[0, 0] == 0
    scale = charts.heat_bar([ax], charts.BLUE_HEAT)
    assert [label.get_text() for label in scale.ax.get_yticklabels()] == ["none (clear)", "most"]


def test_heat_marks_its_highest_point():
    heat = np.zeros((8, 8))
    heat[2, 5] = 3
    ax = charts.heat_overlay(np.ones((8, 8)), heat, heat > 0)
    assert ax.lines[0].get_xydata().tolist() == [[5, 2]]
    with pytest.raises(ParameterError, match="one shape"):
        charts.heat_overlay(np.ones((8, 8)), np.zeros((4, 4)))
