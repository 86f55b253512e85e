"""Time of a standard normal number against NumPy's generator, one core.

    python benchmarks/bench_normals.py [--rounds 15]

Nanoseconds a number, arrays filled in place by calls from Python.  Second and fourth moments of
both sides must be those of the normal law before a ratio is printed.  Writes
benchmarks/results/normals.json.
"""

import argparse
import math

import numpy as np
from side_by_side import agreement, ratio, save, seconds

from phasegrok.rng import fill_noise, streams

NUMBERS = 2_000_000  # a round
SIZES = (256, 65_536)


def moments(fill, out):
    """Largest deviation of <x^2> and <x^4> over many arrays, in standard errors; refuse four."""
    sums, n = np.zeros(2), NUMBERS // out.size * out.size
    for _ in range(n // out.size):
        fill(out)
        square = out.astype(float) ** 2
        sums += square.sum(), (square**2).sum()
    return agreement("moments", (sums[0] / n, math.sqrt(2.0 / n), 1.0, 0.0),
                     (sums[1] / n, math.sqrt(96.0 / n), 3.0, 0.0))


def measure(dtype, size, rounds):
    """One row."""
    rng, generator = streams(1, "benchmark", 1)[0], np.random.default_rng(1)
    out = np.empty(size, dtype)

    def ours(out):
        fill_noise(rng, out)

    def peer(out):
        generator.standard_normal(out=out, dtype=dtype)

    def many(fill):
        for _ in range(NUMBERS // size):
            fill(out)

    n = NUMBERS // size * size
    z = max(moments(ours, out), moments(peer, out))
    times = ratio(lambda: (seconds(many, peer), n), lambda: (seconds(many, ours), n), rounds)
    return dict(case=f"{size} of {dtype.__name__}", agreement=z, **times)


def main():
    """Measure both types, print the table, write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="interleaved repetitions")
    rounds = parser.parse_args().rounds
    rows = []
    print("array              NumPy ns   ours ns   ratio (range)")
    for dtype in (np.float64, np.float32):
        for size in SIZES:
            r = measure(dtype, size, rounds)
            rows.append(r)
            print(f"{r['case']:18s} {r['peer_ns']:8.2f} {r['ours_ns']:9.2f}   {r['ratio']:5.2f} "
                  f"({r['ratio_low']:.2f}-{r['ratio_high']:.2f})", flush=True)
    save("normals", (), rounds, rows)


if __name__ == "__main__":
    main()
