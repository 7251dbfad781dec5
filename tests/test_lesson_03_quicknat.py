"""Lesson 3: the network and the loss that the student builds, and what a run ends with."""

import nibabel
import numpy as np
import pytest
from lesson_run import check_exercise, learned, run

from course_utils import lessons

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

LESSON = "03_quicknat_brain_structures"


@pytest.fixture(scope="module")
def taught():
    """Names defined by the cells of the lesson that build things, without running the lesson."""
    cells = ("imports", "dense", "se", "quicknat", "loss")
    return lessons.defined_by(LESSON, cells, {"DROPOUT": 0.1})


@pytest.mark.parametrize("excite, expected", [(False, 3_515_411), (True, 3_549_467)])
def test_the_network_has_the_published_size(taught, excite, expected):
    network = taught["QuickNAT"](4, excite=excite)
    assert sum(p.numel() for p in network.parameters()) == expected


@pytest.mark.parametrize("excite", [False, True])
def test_any_multiple_of_16_comes_back_at_its_size(taught, excite):
    network = taught["QuickNAT"](5, 8, excite=excite).eval()
    assert network(torch.zeros(2, 1, 32, 48)).shape == (2, 5, 32, 48)


def test_unpooling_puts_a_maximum_back_where_it_was():
    x = torch.tensor([[[[1.0, 2], [3, 0]]]])
    pooled, where = torch.nn.functional.max_pool2d(x, 2, return_indices=True)
    back = torch.nn.functional.max_unpool2d(pooled, where, 2)
    assert back.tolist() == [[[[0, 0], [3, 0]]]]


def test_low_precision_and_channels_last_give_nearly_the_same(taught):
    torch.manual_seed(0)
    network = taught["QuickNAT"](4, 8).eval()
    x = torch.randn(2, 1, 32, 32)
    plain = network(x)
    network = network.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        quick = network(x.contiguous(memory_format=torch.channels_last)).float()
    assert (plain.softmax(1) - quick.softmax(1)).abs().mean() < 0.02


def test_class_weights_are_medians_over_frequencies_and_capped(taught):
    weights = taught["class_weights"]([9000, 900, 90, 10])
    assert weights.max() == 5 and weights[0] < weights[1] < 1
    assert np.isfinite(taught["class_weights"]([10, 5, 0, 1])).all()


def test_borders_are_on_both_sides_of_a_step_and_not_at_the_edge(taught):
    labels = torch.zeros(1, 4, 6, dtype=torch.long)
    labels[:, :, 3:] = 2
    assert taught["borders"](labels)[0, 1].tolist() == [False, False, True, True, False, False]


def test_the_loss_uses_its_weights_and_is_least_at_the_truth(taught):
    loss = taught["quicknat_loss"]
    labels = torch.arange(4).repeat(1, 8, 2)
    truth = torch.nn.functional.one_hot(labels, 4).movedim(-1, 1).float()
    ones = torch.ones(4)
    assert float(loss(30 * truth, labels, ones)) < 1e-3
    wrong = 30 * truth.roll(1, 1)
    assert float(loss(wrong, labels, 5 * ones)) > float(loss(wrong, labels, ones)) > 1
    assert float(loss(wrong, labels, ones, border=4)) > float(loss(wrong, labels, ones, border=0))


@pytest.mark.parametrize("name", ["turn", "dice", "softmax", "rate", "missed"])
def test_each_solution_passes_its_check_and_each_placeholder_does_not(taught, name):
    check_exercise(LESSON, name, taught)


@pytest.mark.parametrize("seed", [7, 2018])
def test_the_networks_learn_their_task_on_generated_brains(tmp_path, seed):
    result, folder = learned(LESSON, seed, tmp_path)
    assert result["gain"]["FAST"]["low"] > 0, f"Dice gained over FAST: {result['gain']}"
    assert result["data"]["source"].startswith("generated")
    assert len(list((folder / "figures").glob("*.png"))) >= 10
    (saved,) = folder.glob("*_quicknat.nii.gz")
    labels = nibabel.load(saved)
    assert nibabel.aff2axcodes(labels.affine) == ("L", "A", "S")
    assert set(np.unique(np.asarray(labels.dataobj))) == {0, 1, 2, 3}


def test_real_scans_run_from_their_folder(tmp_path, real_brains):
    result = run(
        LESSON, tmp_path, "--profile", "cpu", "-p", "DATA_DIR", str(real_brains),
        "-p", "EPOCHS", "1", "-p", "FINE_EPOCHS", "1", "-p", "WIDTH", "4",
    )  # fmt: skip
    assert result["data"]["release_cases"] == 35
    assert result["data"]["cases"] <= 35
