"""LightGBM itself on the prepared matrix: `python -m tests.benchmarks.serving.native DIR THREADS`.

Prints the seconds of every call: what a request of so many rows cannot be quicker than.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter

import lightgbm
import numpy as np

from tests.benchmarks.serving.load import hold


def main() -> None:
    """Predict until the seconds given are over."""
    folder, threads, seconds, core = Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:5]
    hold(int(core) if core != "all" else None)
    booster = lightgbm.Booster(model_str=(folder / "booster.txt").read_text())
    matrix = np.load(folder / "matrix.npy")
    taken = []
    warm = perf_counter() + 0.5
    while perf_counter() < warm:
        booster.predict(matrix, num_threads=threads)
    until = perf_counter() + float(seconds)
    while perf_counter() < until:
        began = perf_counter()
        booster.predict(matrix, num_threads=threads)
        taken.append(perf_counter() - began)
    sys.stdout.write(json.dumps(taken))


if __name__ == "__main__":
    main()
