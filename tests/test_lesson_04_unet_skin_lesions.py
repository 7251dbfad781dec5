"""Lesson 4: the functions that the student builds, and what a run of the lesson ends with."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from lesson_run import check_exercise, learned, run, wrongly_answered

from course_utils import lessons

LESSON = "04_unet_skin_lesions"
SIDE = 32


@pytest.fixture(scope="module")
def taught():
    """Names defined by the cells of the lesson that build things, without running the lesson."""
    cells = ["imports", "baseline", "unet-published", "dead-build", "network", "loss", "augment"]
    cells += ["rank"]
    names = {"side": SIDE, "settings": {"encoder": "none", "encoder_width": 0.25}}
    return lessons.defined_by(LESSON, [*cells, "encoder", "solution-mask", "views"], names)


def lesson_code(cell: str) -> str:
    return lessons.sources(LESSON)[cell]


def disc(centre=(16, 16), radius=6.0) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def test_the_tutorials_network_has_its_published_size(taught):
    assert taught["published"](shape=(64, 64, 3)).count_params() == 31_032_837


def test_the_lessons_network_takes_any_multiple_of_16(taught):
    network = taught["unet"]([4, 8, 12, 16, 24])
    found = network(np.zeros((1, 48, 80, 3), "float32"))
    assert tuple(found.shape) == (1, 48, 80, 1)


def test_otsu_takes_the_central_dark_region_not_the_dark_corner(taught):
    picture = np.full((SIDE, SIDE, 3), 200, np.uint8)
    picture[disc()] = (120, 70, 40)
    picture[:9, :9] = 0
    found = taught["otsu_on_blue"](picture)
    assert (found == disc()).mean() > 0.97 and not found[:9, :9].any()


def test_affine_moves_image_and_mask_together_and_keeps_the_mask_binary(taught):
    picture = np.where(disc()[..., None], 40, 220).astype(np.uint8).repeat(3, -1)
    mask = np.where(disc(), 255, 0).astype(np.uint8)[..., None]
    shifts = []
    for seed in range(8):
        moved, target = taught["affine"](np.random.default_rng(seed), picture, mask)
        assert set(np.unique(target)) == {0, 255} and moved.shape == picture.shape
        inside = target[..., 0] > 0
        assert moved[inside].mean() < 75
        shifts.append(np.argwhere(inside).mean(0) - 16)
    assert np.abs(shifts).max() > 1


def test_augmented_images_keep_their_range_and_differ_by_seed(taught):
    picture = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
    mask = np.where(disc(), 255, 0).astype(np.uint8)[..., None]
    first, again, other = (
        taught["augment"](np.random.default_rng(seed), picture, mask)[0] for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert first.dtype.kind == "f" and -0.5 < first.min() < first.max() < 1.6


def test_the_loss_is_least_at_the_truth_and_finite_at_the_edges(taught):
    truth = disc()[None, ..., None].astype("float32")
    loss = taught["border_loss"]
    assert float(loss(truth, truth)) < 0.01 < 1 < float(loss(truth, 1 - truth))
    empty = np.zeros_like(truth)
    assert np.isfinite(float(loss(empty, empty))) and np.isfinite(float(loss(empty, truth)))


def test_views_are_turned_back_before_they_are_averaged(taught):
    class Echo:
        """Says that what is red is lesion: turning must not matter."""

        def predict_on_batch(self, pictures):
            return pictures[..., :1]

    pictures = np.random.default_rng(0).random((3, SIDE, SIDE, 3))
    taught["arrays"] = lambda cases: (pictures[list(cases)], None)
    predict = taught["predict"]
    for views in (1, 8):
        assert np.allclose(predict(Echo(), [0, 1, 2], views), pictures[..., 0])


def test_the_two_networks_get_the_same_images_the_same_epoch_rule_and_the_same_mask():
    theirs, ours = lesson_code("tutorial-train"), lesson_code("fit") + lesson_code("train")
    for part in ("generators.endless(feed)", 'epochs=settings["epochs"]', "kept("):
        assert part in theirs and part in ours, part
    evaluated = lesson_code("evaluate")
    assert (
        "predict(tutorial, test, 8)" in evaluated and "largest(p > best_level[name])" in evaluated
    )
    assert "predicted[tutorial_name]" in lesson_code("tune")


def test_fresh_weights_differ_by_draw_come_back_and_forget_the_optimizer(taught):
    keras = taught["keras"]
    network = taught["small_unet"](True)
    network.compile(keras.optimizers.Adam(1e-2), "binary_crossentropy", jit_compile=False)
    drawn = []
    for seed in (0, 1, 0):
        taught["draw_again"](network, seed)
        drawn.append([np.array(weight) for weight in network.get_weights()])
        pictures = np.random.default_rng(0).random((4, 24, 24, 3)).astype("float32")
        network.train_on_batch(pictures, np.ones((4, 24, 24, 1), "float32"))
    assert all(np.array_equal(a, b) for a, b in zip(drawn[0], drawn[2]))
    assert not np.array_equal(drawn[0][0], drawn[1][0])
    assert float(network.optimizer.iterations) == 1


def test_a_dead_head_says_one_number_and_a_poor_network_does_not(taught):
    """A low range is no death: only an answer that is the same everywhere is."""
    network = taught["small_unet"](True)
    *_, head, last = network.layers
    assert head.filters == 2 and head.activation.__name__ == "relu"
    pictures = np.random.default_rng(0).random((4, 24, 24, 3)).astype("float32")
    head.kernel.assign(-abs(np.array(head.kernel)))
    inner = np.s_[:, 4:-4, 4:-4]
    assert np.ptp(network.predict_on_batch(pictures)[inner]) < 1e-6
    head.kernel.assign(abs(np.array(head.kernel)))
    last.kernel.assign(1e-2 * np.array(last.kernel))
    assert 1e-6 < np.ptp(network.predict_on_batch(pictures)[inner]) < 0.05


def test_the_two_heads_are_compared_by_their_pairs(taught, capsys):
    """The same seeds were drawn with either head: only those with one dead network count."""
    lesson = SimpleNamespace(figure=lambda figure, *_: taught["plt"].close(figure))
    for alone, p in ((0, "0.016"), (10, "1.000")):  # seeds with which both died say nothing
        both = [True] * 3
        dead = {
            ("two ReLU channels", "trained"): both + [True] * 7 + [False] * 30,
            ("sigmoid alone", "trained"): both + [True] * min(alone, 7) + [False] * 30,
        }
        dead["sigmoid alone", "trained"] += [False] * (40 - len(dead["sigmoid alone", "trained"]))
        exec(lesson_code("dead-figure"),
             dict(taught, dead=dead, lesson=lesson, settings={"trials": 40}))  # fmt: skip
        assert f"p = {p}" in capsys.readouterr().out


def test_a_mask_is_compared_with_the_skin_around_it_not_with_the_dark_corners(capsys):
    lesions = [disc((12, 18)), disc((20, 11), 4), disc((15, 22), 5)]
    images = [np.where(m[..., None], 150, 190) * np.ones(3) for m in lesions]
    for picture in images:
        picture[~disc(radius=15)] = 0  # what the lens did not light
    import pandas as pd
    from scipy import ndimage

    names = dict(np=np, ndimage=ndimage, side=SIDE, image=images, truth=lesions)
    names |= dict(train=np.arange(3), table=pd.DataFrame({"case": ["a", "b", "c"]}))
    exec(lesson_code("align"), names)
    assert names["right"] == pytest.approx([40, 40, 40])
    printed = capsys.readouterr().out
    assert "0 of 3 are brighter" in printed
    named = np.mean(np.array(names["wrong"]["of another image"]) < 0)
    assert f"of the exchanged masks {named:.0%} would be named" in printed


def test_the_last_fifth_is_judged_by_itself_not_by_another_odd_fifth(capsys):
    import pandas as pd

    share = np.tile(np.linspace(0.1, 0.5, 30), 5)
    for odd, last in ((slice(90, 120), "not shown to be unlike"), (slice(120, 150), "unlike")):
        described = pd.DataFrame({"share": share})
        described.loc[described.index[odd], "share"] -= 0.12
        exec(lesson_code("data-order"),
             dict(np=np, described=described, official_train=np.arange(150)))  # fmt: skip
        found = capsys.readouterr().out
        assert "is not a random one" in found and f"the last fifth is {last}" in found


def test_doubt_is_the_spread_of_the_views_not_a_mean_near_a_half(taught, capsys):
    """Eight views that agree at .5 are no doubt; eight that differ are."""
    names = run_doubt(taught, capsys)
    assert names["doubt"][0] == 0 and names["doubt"][1] > 0.3


def run_doubt(taught, capsys) -> dict:
    agree = np.where(disc(), 0.6, 0.3)
    moved = [np.where(disc((16, 16 + 2 * k)), 0.9, 0.1) for k in range(-4, 4)]
    views = [np.stack([agree, moved[k], *[agree] * 8]) for k in range(8)]
    import pandas as pd

    scores = pd.DataFrame({"iou": np.linspace(0.9, 0.5, 10), "thresholded_iou": np.full(10, 0.8)})
    names = dict(
        taught, by_view=views, all_views=np.mean(views, axis=0), test=np.arange(10), ours=scores,
        best_level={"this lesson": 0.5}, groups=np.arange(10),
        table=pd.DataFrame({"share": np.linspace(0.1, 0.4, 10)}),
    )  # fmt: skip
    exec(lesson_code("doubt"), names)
    assert "size taken out" in capsys.readouterr().out
    return names


def test_the_rank_correlation_lies_in_its_interval_and_takes_a_third_number_out(taught):
    correlation = taught["rank_correlation"]
    rng = np.random.default_rng(0)
    size = rng.normal(size=200)
    first, second = size + 0.5 * rng.normal(size=(2, 200))
    plain, without = correlation(first, second), correlation(first, second, given=size)
    assert plain.low <= plain.value <= plain.high and plain.low > 0.5
    assert without.low < 0 < without.high
    assert correlation(size, size).high <= 1 and np.isnan(correlation(size, 0 * size).low)


def test_the_interval_of_a_rank_correlation_holds_in_19_of_20(taught):
    rng = np.random.default_rng(0)
    pairs = rng.normal(size=(600, 2, 30))
    found = [taught["rank_correlation"](a, b) for a, b in pairs]
    assert 0.92 < np.mean([one.low < 0 < one.high for one in found]) < 0.98


@pytest.mark.parametrize("origin", ["pretrained", "untrained"])
def test_a_pretrained_way_down_rests_at_first_and_then_moves_slowly(taught, origin, monkeypatch):
    fits = []

    def with_encoder(backbone):
        network = taught["with_encoder"](backbone)
        down = {id(variable) for variable in backbone.variables}
        network.fit = lambda epochs, callbacks, **_: fits.append(
            (epochs, callbacks, down.isdisjoint(map(id, network.trainable_variables)))
        )
        return network

    names = dict(taught, with_encoder=with_encoder, SEED=1, feed=None, validation=None)
    names["settings"] = dict(encoder_epochs=6, encoder_width=0.25, encoder="none")
    names["encoder"] = lambda: (taught["encoder"]()[0], origin)
    names |= dict(arrays=lambda _: None, prepare_training=lambda _m, _e, rate, _n: rate)
    names["lesson"] = SimpleNamespace(stopwatch=lambda _: nullcontext())
    monkeypatch.setattr(names["generators"], "endless", lambda _: {})
    exec(lesson_code("encoder-fit"), names)
    if origin == "pretrained":
        assert fits == [(3, 1e-3, True), (3, 1e-4, False)]
    else:
        assert fits == [(6, 1e-3, False)]


def test_the_largest_region_stays_and_its_holes_are_filled(taught):
    two = disc((10, 10), 6) | disc((26, 26), 2)
    two[10, 10] = False
    assert np.array_equal(taught["largest"](two), disc((10, 10), 6))
    assert not taught["largest"](np.zeros((4, 4), bool)).any()


def test_without_network_the_encoder_is_an_untrained_one_and_one_line_says_so(
    taught, monkeypatch, capsys
):
    keras = taught["keras"]
    built = keras.applications.MobileNet

    def no_network(weights, **how):
        if weights == "imagenet":
            raise OSError("URL fetch failure: no route to host")
        return built(weights=weights, **how)

    monkeypatch.setattr(keras.applications, "MobileNet", no_network)
    monkeypatch.setitem(taught["settings"], "encoder", "imagenet")
    backbone, origin = taught["encoder"]()
    assert origin == "untrained"
    assert capsys.readouterr().out.count("\n") == 1
    network = taught["with_encoder"](backbone)
    assert network.output_shape == (None, SIDE, SIDE, 1)


@pytest.mark.parametrize("name", ["pairs", "jaccard", "head", "mask"])
def test_each_solution_passes_its_check_and_each_placeholder_does_not(taught, name):
    check_exercise(LESSON, name, taught)


@pytest.mark.parametrize("seed", [7, 2018])
def test_the_network_learns_its_task_on_generated_images(tmp_path, seed):
    result, folder = learned(LESSON, seed, tmp_path)
    gain = result["gain"]
    for baseline in ("mean mask", "Otsu on blue"):
        assert gain[baseline]["low"] > 0, f"thresholded Jaccard gained: {gain}"
    assert result["data"]["source"].startswith("generated")
    assert len(list((folder / "figures").glob("*.png"))) >= 10
    saved = folder / "predictions"
    probabilities = np.load(saved / "probabilities.npz")
    names = {f"{case}_segmentation.png" for case in probabilities["case"]}
    assert names == {path.name for path in saved.glob("*.png")}
    assert len(probabilities["ours"]) == len(probabilities["tutorial"]) == len(names)


SHORT = ("-p", "EPOCHS", "1")


def test_a_copy_with_wrong_answers_runs_on_pytorch_and_on_the_year_2018(tmp_path):
    result = wrongly_answered(LESSON, tmp_path, DATASET="isic2018")
    # Keras imports an installed TensorFlow whatever its backend; PyTorch only when it computes.
    assert "torch" in result["versions"] and result["data"]["name"] == "isic2018"


def test_real_images_run_from_their_folder(tmp_path, real_skin):
    result = run(
        LESSON, tmp_path, "--profile", "cpu", "-p", "DATA_DIR", str(real_skin), *SHORT,
        "-p", "ENCODER_WEIGHTS", "none",
    )  # fmt: skip
    assert result["data"]["release_cases"] == 2750
    assert 0 < result["metrics"]["dice"]["n"] <= result["data"]["cases"] <= 2750
    assert {"Otsu on blue", "mean mask"} <= set(result["baseline"])
    assert any(name.startswith("untrained encoder") for name in result["baseline"])
