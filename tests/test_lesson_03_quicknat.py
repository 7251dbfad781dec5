"""Lesson 3: the network and the loss that the student builds, and what a run ends with."""

from contextlib import nullcontext
from itertools import combinations
from types import SimpleNamespace

import matplotlib.pyplot as plt
import nibabel
import numpy as np
import pandas as pd
import pytest
from lesson_run import check_exercise, learned, run, wrongly_answered

from course_utils import lessons, metrics
from course_utils.samples import oasis

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

LESSON = "03_quicknat_brain_structures"
QUICK = (torch.bfloat16, torch.channels_last)


def built(**given):
    """Return the names that cells of the lesson define, without running the lesson."""
    cells = ("imports", "dense", "se", "quicknat", "loss", "slope", "placed", "given", "epoch")
    given |= {"where": torch.device("cpu"), "low": torch.bfloat16}
    return lessons.defined_by(LESSON, cells, given)


@pytest.fixture(scope="module")
def taught():
    """Names as `built` returns them, for the whole file."""
    return built()


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


def gradients(taught, act, dtype, layout):
    """Return the loss of one step and the gradient of every weight."""
    torch.manual_seed(0)
    network = taught["QuickNAT"](4, 8, dropout=0.0, act=act).to(memory_format=layout)
    x = taught["placed"](torch.randn(4, 32, 48), dtype, layout)
    labels = torch.randint(4, (4, 32, 48))
    with torch.autocast("cpu", dtype, enabled=dtype is not torch.float32):
        logits = network(x).float()
    loss = taught["quicknat_loss"](logits, labels, torch.tensor([0.3, 1.0, 2.0, 5.0]))
    loss.backward()
    return loss.item(), {name: p.grad.float() for name, p in network.named_parameters()}


@pytest.fixture(scope="module")
def plain(taught):
    """The step as a tutorial writes it: PyTorch's own operators, float32, contiguous."""
    return gradients(taught, torch.nn.PReLU, torch.float32, torch.contiguous_format)


def test_the_quick_step_is_the_plain_one_up_to_the_order_of_sums(taught, plain):
    quick = gradients(taught, taught["QuickPReLU"], torch.float32, torch.channels_last)
    assert quick[0] == pytest.approx(plain[0], rel=1e-5)
    largest = max(float(gradient.abs().max()) for gradient in plain[1].values())
    for name, expected in plain[1].items():
        torch.testing.assert_close(quick[1][name], expected, rtol=1e-3, atol=1e-5 * largest)


def apart(a, b):
    """Return the difference of the gradients of two steps as a share of the first one's length."""
    a, b = (torch.cat([g.flatten() for g in step[1].values()]) for step in (a, b))
    return float((a - b).norm() / a.norm())


def test_the_quick_step_in_low_precision_is_the_plain_one_up_to_rounding(taught, plain):
    quick = gradients(taught, taught["QuickPReLU"], *QUICK)
    pytorchs = gradients(taught, torch.nn.PReLU, *QUICK)
    assert quick[0] == pytest.approx(plain[0], rel=0.01)
    assert apart(pytorchs, quick) < 0.02
    assert apart(plain, quick) < 1.1 * apart(plain, pytorchs) < 0.4


def test_no_map_of_the_quick_step_falls_back_to_float32_or_to_contiguous(taught):
    network = taught["QuickNAT"](4, 8, act=taught["QuickPReLU"])
    network = network.to(memory_format=torch.channels_last)
    seen = []
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.register_forward_hook(lambda _, given, out: seen.extend(given))
    taught["forward"](network, taught["placed"](torch.randn(2, 32, 32), *QUICK))
    assert len(seen) == 27
    assert {map_.dtype for map_ in seen} == {torch.bfloat16}
    assert all(map_.stride(1) == 1 for map_ in seen)


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


def feed_of(arrays):
    """Return the lesson's batches of one case, (slice, y, x), whatever the view."""
    given = {
        "SEED": 1, "THROUGH": {"coronal": 1}, "low": None, "settings": {"batch": 4, "window": 16},
        "slices_of": lambda k, view, name: arrays[name], "worth": lambda k, view: np.arange(10),
        "layout": torch.channels_last, "where": torch.device("cpu"),
    }  # fmt: skip
    return lessons.defined_by(LESSON, ("imports", "placed", "feed", "window"), given)["batches"]


def test_for_manual_labels_disputed_slices_are_drawn_more_often():
    fast = np.full((10, 16, 16), 2)
    people = fast.copy()
    people[3, :10, :10] = 3  # grey to FAST, white to people
    fast[5, :10, :10] = 1  # fluid to FAST: another question
    draw = feed_of({"automatic": fast, "manual": people, "image": np.ones(fast.shape)})

    def share(name, value):
        drawn = torch.cat([y for _, y in draw([0], "coronal", name, 0, 300)])
        return float((drawn == value).any(2).any(1).float().mean())

    assert share("manual", 3) == pytest.approx(120 / 300, abs=0.06)
    assert share("automatic", 1) == pytest.approx(1 / 10, abs=0.04)


def test_what_is_shifted_out_of_a_slice_does_not_come_in_on_the_other_side():
    image = np.zeros((10, 16, 16))
    image[:, :8, :8] = 1
    draw = feed_of({"automatic": image.astype(int), "manual": image.astype(int), "image": image})
    firsts = set()
    for x, y in draw([0], "coronal", "automatic", 0, 100):
        assert not x[:, 0, 11:].any() and not x[:, 0, :, 11:].any()
        assert torch.equal(x[:, 0] != 0, y > 0)
        firsts.add(int(y[0].sum()))
    assert min(firsts) == 5 * 5 and max(firsts) == 8 * 8


def test_a_window_stays_in_the_slice_and_on_the_brain():
    names = lessons.defined_by(LESSON, ("imports", "window"), {"settings": {"window": 16}})
    rng = np.random.default_rng(0)
    pictures = np.zeros((2, 48, 20))
    pictures[0, 3:40, 2:9] = pictures[1, 30:33, 15:20] = 1
    labels = np.arange(pictures.size).reshape(pictures.shape)
    seen = set()
    for _ in range(60):
        x, y = names["windows"](rng, pictures, labels)
        assert x.shape == y.shape == (2, 16, 16)
        assert np.array_equal(pictures.ravel()[y], x)  # image and labels from the same place
        assert x[0].any() and x[1].sum() == pictures[1].sum()  # the small brain is whole
        seen |= {int(row) for row in y[0, 0] // 20 % 48}
    assert min(seen) == 3 and max(seen) == 24
    names["settings"]["window"] = 64
    whole, _ = names["windows"](rng, pictures, labels)
    assert np.array_equal(whole, pictures)


def test_a_step_is_never_longer_than_a_gradient_of_length_2_makes_it():
    torch.manual_seed(0)
    names = built(settings={"steps": 1}, scaler=torch.amp.GradScaler("cpu", enabled=False))
    x, y = names["placed"](torch.randn(2, 32, 32), *QUICK), torch.randint(4, (2, 32, 32))
    names["batches"] = lambda *_: [(x, y)]
    network = names["QuickNAT"](4, 8)
    before = [p.detach().clone() for p in network.parameters()]
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    names["one_epoch"](network, optimizer, torch.full((4,), 1e6), "coronal", [0], "manual", 0)
    moved = [after.detach() - first for after, first in zip(network.parameters(), before)]
    assert float(torch.cat([m.flatten() for m in moved]).norm()) == pytest.approx(0.2, rel=0.01)


def test_the_greys_are_those_of_imsave():
    through = lessons.defined_by(LESSON, ("imports", "colour"))["through_colours"]
    assert through(np.array([[0, 1, 2, 3]]))[0].tolist() == [30, 91, 137, 215]
    assert through(np.array([[0, 1, 2]]))[0].tolist() == [30, 110, 215]


def test_dice_above_one_is_derived_as_monai_computes_it(taught, capsys):
    exec(lessons.sources(LESSON)["dice-above-one"], dict(taught))
    said = capsys.readouterr().out
    assert said.splitlines() == [
        "Dice of a perfect prediction: 1.333", "by hand: 2 * 12 / (12 + 6) = 1.333",
    ]  # fmt: skip


@pytest.mark.parametrize("sizes", [[16, 16, 16, 16], [700, 20, 160, 120]])
def test_the_floor_of_two_softmaxes_is_that_of_the_sizes_of_the_classes(sizes):
    floor = lessons.defined_by(LESSON, ("imports", "softmax-floor"))["floor_of"](sizes)
    truth = torch.eye(4).repeat_interleave(torch.tensor(sizes), 0)
    said = (50 * truth).softmax(1).softmax(1)
    dice = 2 * (said * truth).sum(0) / (said + truth).sum(0)
    assert floor == pytest.approx(float(1 - dice.mean()), abs=1e-4)
    assert floor == pytest.approx({16: 0.525, 700: 0.638}[sizes[0]], abs=1e-3)


def test_the_share_of_leaking_draws_is_counted_and_not_estimated(taught):
    group = pd.Series([*"abcdefghij", "k", "k", "l", "l"])
    names = dict(taught, merged=SimpleNamespace(group=group), known=np.full(14, True))
    exec(lessons.sources(LESSON)["leak-random"], names)
    draws = [set(drawn) for drawn in combinations(range(14), 3)]
    leaking = sum(len(drawn & pair) == 1 for drawn in draws for pair in ({10, 11}, {12, 13}))
    leaking -= sum(len(drawn & {10, 11}) == len(drawn & {12, 13}) == 1 for drawn in draws)
    assert names["leaks"] == pytest.approx(100 * leaking / len(draws))


def test_labels_that_stand_upside_down_are_refused():
    """The manual ones, too: it is them that the networks are scored against."""
    scan = oasis.scan(seed=1, name=1000)
    cell = lessons.sources(LESSON)["prepare-run"]
    checked = cell[cell.index("for k, scan") :]
    for name in ("automatic", "manual"):
        given = {"automatic": [scan.automatic], "manual": [scan.manual]}
        names = given | dict(
            metrics=metrics, np=np, image=[scan.image], known=[True],
            scans=[{"automatic": scan.automatic}], back=lambda labels, k: labels,
        )  # fmt: skip
        exec(checked, names)
        names[name] = [given[name][0][..., ::-1]]
        with pytest.raises(AssertionError):
            exec(checked, names)


def test_fluid_far_from_the_ventricles_does_not_count_near_them():
    manual = np.zeros((20, 3, 3), int)
    manual[:4] = 1
    given = {"manual": [manual], "spacing": [(3, 3, 3)]}
    near = lessons.defined_by(LESSON, ("imports", "gain-csf"), given)["near_ventricles"]
    far_too = manual.copy()
    far_too[10:] = 1
    assert near(0, far_too) == 1
    far_too[4:6] = 1  # 3 and 6 mm beyond
    assert near(0, far_too) == pytest.approx(0.8)


def test_the_main_score_leaves_out_fluid_which_the_two_kinds_of_labels_define_differently():
    manual = np.arange(64).reshape(4, 4, 4) % 4
    given = {"manual": [manual], "spacing": [(1, 1, 1)]}
    row = lessons.defined_by(LESSON, ("imports", "baseline"), given)["score"]
    no_fluid = row(0, np.where(manual == 1, 0, manual), far=True)
    assert (no_fluid["dice"], no_fluid["dice_csf"], no_fluid["hd95_mm"]) == (1, 0, 0)
    assert no_fluid["hd95_csf"] > 6
    no_white = row(0, np.where(manual == 3, 0, manual))
    assert (no_white["dice"], no_white["dice_gm"], no_white["dice_wm"]) == (0.5, 1, 0)


def test_the_single_view_is_chosen_without_the_test_people(taught):
    of_view = {"coronal": 0.7, "axial": 0.9, "sagittal": 0.8}
    names = dict(
        taught, networks={view: view for view in of_view}, validation=[4, 5],
        tissue_of=np.arange(4), back=lambda labels, k: labels,
        lesson=SimpleNamespace(stopwatch=lambda name: nullcontext()),
        probabilities=lambda network, k, view: np.full((4, 2), of_view[view]),
        table_of=lambda cases, found: SimpleNamespace(dice=np.array([of_view[next(left)]])),
    )  # fmt: skip
    left = iter(of_view)
    assert "test" not in names and "scores" not in names
    exec(lessons.sources(LESSON)["single"], names)
    assert names["single"] == "axial"


def test_the_short_training_from_scratch_keeps_its_best_epoch_too(taught, tmp_path):
    network, of_epoch = torch.nn.Linear(1, 1, bias=False), iter([0.2, 0.5, 0.3, 0.6])

    def one_epoch(network, optimizer, *given):
        optimizer.step()  # without gradients: changes nothing
        network.weight.data += 1
        return {"loss": 1.0}

    names = lessons.defined_by(LESSON, ("imports", "given", "train"), dict(
        settings={"drop": 9}, key="key", one_epoch=one_epoch,
        validate=lambda *given: {"val_dice": next(of_epoch)},
        lesson=SimpleNamespace(
            folder=tmp_path, parameters={}, stopwatch=lambda name: nullcontext()
        ),
    ))  # fmt: skip
    names["classes_of"] = lambda *given: (4, None)
    network.weight.data[:] = 0
    names["train_network"](network, "a", "coronal", [0], "target", 0.1, 4, look=3)
    short = torch.load(tmp_path / "a, short.pt", weights_only=True)
    assert short["weight"].item() == 2 and network.weight.item() == 4


def test_torchios_figure_has_the_left_on_the_left_as_all_others():
    image = np.zeros((8, 10, 12), np.float32)
    image[:3] = 1  # x runs to the right: this is the person's left
    drawn = []
    names = lessons.defined_by(LESSON, ("imports",), {
        "known": np.array([True]), "image": [image], "manual": [image.astype(np.uint8)],
        "cache": {"affine": [np.diag([3.0, 3, 3, 1])]},
        "lesson": SimpleNamespace(figure=lambda figure, *given: drawn.append(figure)),
    })  # fmt: skip
    exec(lessons.sources(LESSON)["subject"], names)
    panels = [axis for axis in drawn[0].axes if "sagittal" not in axis.get_title()]
    assert len(panels) == 4
    for axis in panels:
        shown = np.asarray(axis.images[0].get_array(), float)
        shown = shown.reshape(*shown.shape[:2], -1)[..., 0]
        bright = shown.mean(0)
        halves = bright[: len(bright) // 2].mean() - bright[len(bright) // 2 :].mean()
        assert (halves > 0) != axis.xaxis_inverted(), axis.get_title()
    plt.close(drawn[0])


def test_limits_of_agreement_have_intervals_that_hold_for_a_handful_of_people():
    limits = lessons.defined_by(LESSON, ("imports", "agree"))["limits"]
    rng, held = np.random.default_rng(0), 0
    for _ in range(1000):
        (_, _), (_, _), (upper, half) = limits(rng.normal(0, 1, 6)).items()
        held += abs(upper - 1.96) <= half
    assert held > 900


def test_a_trend_between_structures_is_no_trend_within_them():
    rng = np.random.default_rng(1)
    doubt = pd.DataFrame({"structure": np.repeat(["small", "large"], 40)})
    level = np.repeat([0.5, 0.9], 40)
    doubt["agreement"], doubt["dice"] = (level + rng.normal(0, 0.02, 80) for _ in range(2))
    names = lessons.defined_by(LESSON, ("imports", "doubt-figure"), {"doubt": doubt})
    everything = np.arange(80.0)
    assert names["correlation"](everything, within=False) > 0.9
    assert abs(names["correlation"](everything, within=True)) < 0.3
    wide = doubt.structure == "small"  # no structure decides because its values vary more
    doubt.loc[wide, "dice"] = doubt.agreement[wide]
    doubt.loc[wide, ["agreement", "dice"]] *= 10
    assert names["correlation"](everything, within=True) < 0.8
    doubt["dice"] = doubt.agreement
    assert names["correlation"](everything, within=True) == pytest.approx(1)


def test_nibabel_assumes_which_side_is_left_whatever_the_orient_byte_says(tmp_path):
    for value in range(6):
        header = nibabel.AnalyzeHeader(endianness=">")
        header["orient"] = bytes([value])
        image = nibabel.AnalyzeImage(np.zeros((3, 4, 5, 1), np.int16), None, header)
        nibabel.save(image, tmp_path / "scan.img")
        read = nibabel.load(tmp_path / "scan.img")
        assert read.header["orient"].item().ljust(1, b"\0") == bytes([value])
        assert nibabel.aff2axcodes(read.affine) == ("L", "A", "S")


@pytest.mark.parametrize("name", ["turn", "dice", "softmax", "rate", "missed"])
def test_each_solution_passes_its_check_and_each_placeholder_does_not(taught, name):
    check_exercise(LESSON, name, taught)


@pytest.mark.parametrize("seed", [7, 2018])
def test_the_networks_learn_their_task_on_generated_brains(tmp_path, seed):
    result, folder = learned(LESSON, seed, tmp_path)
    found, fast = result["metrics"], result["baseline"]["FAST"]
    for tissue in ("dice_gm", "dice_csf"):  # where FAST errs by habit; in white matter it is good
        assert found[tissue]["low"] > fast[tissue]["high"], f"{tissue}: {found}, FAST: {fast}"
    assert found["dice"]["low"] > 0.75, f"Dice of grey and white matter: {found}"
    assert result["data"]["source"].startswith("generated")
    assert len(list((folder / "figures").glob("*.png"))) >= 10
    (saved,) = folder.glob("*_quicknat.nii.gz")
    labels = nibabel.load(saved)
    assert nibabel.aff2axcodes(labels.affine) == ("L", "A", "S")
    assert set(np.unique(np.asarray(labels.dataobj))) == {0, 1, 2, 3}


def test_a_copy_with_wrong_answers_runs(tmp_path):
    assert wrongly_answered(LESSON, tmp_path)["lesson"] == LESSON


def test_real_scans_run_from_their_folder(tmp_path, real_brains):
    result = run(
        LESSON, tmp_path, "--profile", "cpu", "-p", "DATA_DIR", str(real_brains),
        "-p", "EPOCHS", "1", "-p", "FINE_EPOCHS", "1", "-p", "WIDTH", "4",
    )  # fmt: skip
    assert result["data"]["release_cases"] == 35
    assert result["data"]["cases"] <= 35
