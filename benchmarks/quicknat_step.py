"""One training step of QuickNAT: the plain float32 contiguous loop against the lesson's.

    python benchmarks/quicknat_step.py [--threads N]

The network and the loss are those of the lesson's notebook. Both loops see the same batches of
slices at 1 mm (4 of 144 x 144 pixels, width 16). They are timed in turn, and the ratio of each
round is taken. The result goes to ``benchmarks/results/quicknat_step.json``.
"""

from __future__ import annotations

import argparse
import statistics

import torch
from compare import ratio, rounds_of, write

from course_utils import lessons

LESSON = "03_quicknat_brain_structures"


def loop(names: dict, dtype, layout, batch: int, side: int, width: int):
    """Return a function that does one training step."""
    torch.manual_seed(0)
    network = names["QuickNAT"](4, width, 0.1).to(memory_format=layout)
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.95)
    x = torch.randn(batch, 1, side, side).contiguous(memory_format=layout)
    y = torch.randint(4, (batch, side, side))
    weights = torch.ones(4)

    def step() -> None:
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            logits = network(x)
        loss = names["quicknat_loss"](logits.float(), y, weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--side", type=int, default=144)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    names = lessons.defined_by(LESSON, ("imports", "dense", "se", "quicknat", "loss"))
    size = options.batch, options.side, options.width
    layouts = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
    loops = {
        f"{kind} {name}": loop(names, dtype, layout, *size)
        for kind, dtype in (("float32", None), ("bfloat16", torch.bfloat16))
        for name, layout in layouts.items()
    }
    times = rounds_of(loops, options.rounds)
    result = {
        "step: float32 contiguous / bfloat16 channels last": ratio(
            times["float32 contiguous"], times["bfloat16 channels last"]
        ),
        "ms": {name: round(1000 * statistics.median(of), 1) for name, of in times.items()},
    }
    write("quicknat_step", result | vars(options))


if __name__ == "__main__":
    main()
