"""One training step of QuickNAT: the plain float32 contiguous loop against the lesson's.

    python benchmarks/quicknat_step.py [--threads N]

The network and the loss are those of the lesson's notebook. Both loops see the same batches of
slices at 1 mm (4 of 144 x 144 pixels, width 16). Alternated in one process, medians of steps.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import nbformat
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
NOTEBOOK = ROOT / "notebooks" / "03_quicknat_brain_structures.ipynb"


def taught() -> dict:
    """Return what the cells of the lesson define that build the network and the loss."""
    cells = {cell.id: cell.source for cell in nbformat.read(NOTEBOOK, 4).cells}
    names: dict = {}
    for cell in ("imports", "dense", "se", "quicknat", "loss"):
        exec(compile(cells[cell], cell, "exec"), names)
    return names


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
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--side", type=int, default=144)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    names = taught()
    size = options.batch, options.side, options.width
    layouts = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
    loops = {
        f"{kind} {name}": loop(names, dtype, layout, *size)
        for kind, dtype in (("float32", None), ("bfloat16", torch.bfloat16))
        for name, layout in layouts.items()
    }
    times: dict[str, list[float]] = {name: [] for name in loops}
    for turn in range(options.rounds + 1):
        for name, step in loops.items():
            began = time.perf_counter()
            step()
            if turn:
                times[name].append(time.perf_counter() - began)
    found = {name: round(1000 * statistics.median(of), 1) for name, of in times.items()}
    ratio = found["float32 contiguous"] / found["bfloat16 channels last"]
    print(json.dumps({**vars(options), "ms": found, "ratio": round(ratio, 2)}))


if __name__ == "__main__":
    main()
