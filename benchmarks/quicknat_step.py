"""One training step of QuickNAT: the plain float32 contiguous loop against the lesson's.

    python benchmarks/quicknat_step.py [--threads N]

The network and the loss are those of the lesson's notebook. Both loops see the same batches of
slices at 1 mm (4 of 144 x 144 pixels, width 16). They are timed in turn, and the ratio of each
round is taken. In the lesson a step sees windows of its slices (128 x 128): that is timed as well.
Beside them the convolutions of the step alone, in bfloat16 and channels last: no
step in these types can take less. The result goes to ``benchmarks/results/quicknat_step.json``.
"""

from __future__ import annotations

import argparse
import statistics

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


def batch_of(size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return random slices (case, y, x) and their labels; the same ones at each call."""
    chance = torch.Generator().manual_seed(0)
    shape = (size[0], size[1], size[1])
    return torch.randn(shape, generator=chance), torch.randint(4, shape, generator=chance)


def plain(names: dict, size: tuple[int, int], width: int, cast: bool = False) -> Work:
    """Return one step as a tutorial writes it; ``cast``: with autocast and channels last added."""
    torch.manual_seed(0)
    layout = torch.channels_last if cast else torch.contiguous_format
    network = names["QuickNAT"](4, width, 0.1).to(memory_format=layout)
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.95, weight_decay=1e-4)
    x, y = batch_of(size)
    x = x[:, None].contiguous(memory_format=layout)
    weights = torch.ones(4)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=cast):
            logits = network(x)
        loss = names["quicknat_loss"](logits.float(), y, weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def quick(names: dict, size: tuple[int, int], width: int) -> Work:
    """Return one step of the lesson, as its `one_epoch` takes it."""
    torch.manual_seed(0)
    network = names["QuickNAT"](4, width, 0.1, act=names["QuickPReLU"])
    network = network.to(memory_format=torch.channels_last)
    optimizer = names["sgd"](network, 0.01)
    x, y = batch_of(size)
    x = names["placed"](x, torch.bfloat16, torch.channels_last)
    weights = torch.ones(4)

    def step() -> None:
        names["batches"] = lambda *_: [(x, y)]
        names["one_epoch"](network, optimizer, weights, "coronal", [0], "manual", 0)

    return step


def convolutions(names: dict, size: tuple[int, int], width: int) -> Work:
    """Return the convolutions of one step by themselves, forward and backward."""
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
        network(batch_of(size)[0][:, None])

    def step() -> None:
        for x, weight, padding, gradient in calls:
            torch.nn.functional.conv2d(x, weight, padding=padding)
            torch.ops.aten.convolution_backward(
                gradient, x, weight, None, (1, 1), padding, (1, 1), False, (0, 0), 1,
                (True, True, False),
            )  # fmt: skip

    return step


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--side", type=int, default=144)
    parser.add_argument("--window", type=int, default=128)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    given = {
        "where": torch.device("cpu"), "low": torch.bfloat16, "settings": {"steps": 1},
        "scaler": torch.amp.GradScaler("cpu", enabled=False),
    }  # fmt: skip
    names = lessons.defined_by(LESSON, CELLS, given)
    size, width = (options.batch, options.side), options.width
    loops = {
        PLAIN: plain(names, size, width),
        CAST: plain(names, size, width, cast=True),
        QUICK: quick(names, size, width),
        WINDOW: quick(names, (options.batch, options.window), width),
        ALONE: convolutions(names, size, width),
    }
    times = rounds_of(loops, options.rounds)
    result = {
        f"step: {PLAIN} / {name}": ratio(times[PLAIN], times[name])
        for name in (CAST, QUICK, WINDOW)
    }
    result[f"most that is possible: step, {PLAIN} / {ALONE}"] = ratio(times[PLAIN], times[ALONE])
    result["ms"] = {name: round(1000 * statistics.median(of), 1) for name, of in times.items()}
    write("quicknat_step", result | vars(options))


if __name__ == "__main__":
    main()
