"""One training step of QuickNAT: the plain float32 contiguous loop against the lesson's.

    python benchmarks/quicknat_step.py [--threads N]

The network and the loss are those of the lesson's notebook. Both loops see the same batches: 4
slices of each view in turn, of the frame that holds 15 real scans at 1 mm; width 16. They are timed
in turn, and the ratio of each round is taken. In the lesson's cpu profile a step sees windows of
these slices (128 x 128): that is timed as well. Beside them the convolutions of the step alone, in
bfloat16 and channels last: no step in these types can take less. The result goes to
``benchmarks/results/quicknat_step.json``; its seconds are those of three steps, one a view.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence

import torch
from compare import Work, ratio, rounds_of, write

from course_utils import lessons

LESSON = "03_quicknat_brain_structures"
CELLS = ("imports", "dense", "se", "quicknat", "loss", "slope", "placed", "given", "epoch")
PLAIN, CAST, QUICK, WINDOW, ALONE = (
    "float32 contiguous",
    "bfloat16 channels last",
    "lesson's",
    "lesson's, on windows of the slices",
    "convolutions alone, bfloat16 channels last",
)


Shape = tuple[int, int, int]  # slices, y, x


def batch_of(shape: Shape) -> tuple[torch.Tensor, torch.Tensor]:
    """Return random slices (case, y, x) and their labels; the same ones at each call."""
    chance = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=chance), torch.randint(4, shape, generator=chance)


def shapes_of(batch: int, frame: Sequence[int], window: int = 0) -> list[Shape]:
    """Return the shape of a batch of each view: coronal, axial, sagittal; cut to a window if given.

    Examples
    --------
    >>> shapes_of(4, (160, 192, 144))
    [(4, 160, 144), (4, 160, 192), (4, 192, 144)]
    >>> shapes_of(4, (160, 192, 112), 128)
    [(4, 128, 112), (4, 128, 128), (4, 128, 112)]
    """
    x, y, z = (min(side, window or side) for side in frame)
    return [(batch, x, z), (batch, x, y), (batch, y, z)]


def plain(names: dict, shapes: Sequence[Shape], width: int, cast: bool = False) -> Work:
    """Return steps as a tutorial writes them; ``cast``: with autocast and channels last added."""
    torch.manual_seed(0)
    layout = torch.channels_last if cast else torch.contiguous_format
    network = names["QuickNAT"](4, width, 0.1).to(memory_format=layout)
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.95, weight_decay=1e-4)
    batches = [(x[:, None].contiguous(memory_format=layout), y) for x, y in map(batch_of, shapes)]
    weights = torch.ones(4)

    def steps() -> None:
        for x, y in batches:
            with torch.autocast("cpu", torch.bfloat16, enabled=cast):
                logits = network(x)
            loss = names["quicknat_loss"](logits.float(), y, weights)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return steps


def quick(names: dict, shapes: Sequence[Shape], width: int) -> Work:
    """Return steps of the lesson, as its `one_epoch` takes them."""
    torch.manual_seed(0)
    network = names["QuickNAT"](4, width, 0.1, act=names["QuickPReLU"])
    network = network.to(memory_format=torch.channels_last)
    optimizer = names["sgd"](network, 0.01)
    batches = [
        (names["placed"](x, torch.bfloat16, torch.channels_last), y)
        for x, y in map(batch_of, shapes)
    ]
    weights = torch.ones(4)

    def steps() -> None:
        names["batches"] = lambda *_: batches
        names["one_epoch"](network, optimizer, weights, "coronal", [0], "manual", 0)

    return steps


def convolutions(names: dict, shapes: Sequence[Shape], width: int) -> Work:
    """Return the convolutions of such steps by themselves, forward and backward."""
    network = names["QuickNAT"](4, width)
    how = {"dtype": torch.bfloat16, "memory_format": torch.channels_last}
    calls: list[tuple] = []

    def note(conv, given, out) -> None:
        x, weight = given[0].to(**how), conv.weight.detach().to(**how)
        calls.append((x, weight, conv.padding, torch.randn_like(out).to(**how)))

    for part in network.modules():
        if isinstance(part, torch.nn.Conv2d):
            part.register_forward_hook(note)
    with torch.no_grad():
        for shape in shapes:
            network(batch_of(shape)[0][:, None])

    def steps() -> None:
        for x, weight, padding, gradient in calls:
            torch.nn.functional.conv2d(x, weight, padding=padding)
            torch.ops.aten.convolution_backward(
                gradient, x, weight, None, (1, 1), padding, (1, 1), False, (0, 0), 1,
                (True, True, False),
            )  # fmt: skip

    return steps


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--frame", type=int, nargs=3, default=[160, 192, 144], metavar="VOXELS")
    parser.add_argument("--window", type=int, default=128)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    given = {
        "where": torch.device("cpu"), "low": torch.bfloat16, "settings": {"steps": 3},
        "scaler": torch.amp.GradScaler("cpu", enabled=False),
    }  # fmt: skip
    names = lessons.defined_by(LESSON, CELLS, given)
    whole, width = shapes_of(options.batch, options.frame), options.width
    loops = {
        PLAIN: plain(names, whole, width),
        CAST: plain(names, whole, width, cast=True),
        QUICK: quick(names, whole, width),
        WINDOW: quick(names, shapes_of(options.batch, options.frame, options.window), width),
        ALONE: convolutions(names, whole, width),
    }
    times = rounds_of(loops, options.rounds)
    result = {
        f"step: {PLAIN} / {name}": ratio(times[PLAIN], times[name])
        for name in (CAST, QUICK, WINDOW)
    }
    result[f"most that is possible: step, {PLAIN} / {ALONE}"] = ratio(times[PLAIN], times[ALONE])
    result["ms"] = {
        name: round(1000 * statistics.median(of) / len(whole), 1) for name, of in times.items()
    }
    write("quicknat_step", result | vars(options))


if __name__ == "__main__":
    main()
