"""Seconds until ln g of the Ising lattice is right to 1e-3, against a textbook 1/t loop.

    python benchmarks/bench_wang_landau_error.py [--side ours|peer] [--seeds 4] [--scale 1]

The root mean square error over all energies, against exact counts (Beale), of one process on two
cores: for phasegrok, whole runs of 8 walkers of different lengths, learning and the estimate
included; for the loop, the mean ln g of two walkers, one a core, as it improves.  Errors are root
mean squares over seeds, core seconds those of the whole process.  Where 1e-3 is not reached, the
law error^2 ~ 1/t is continued from the longest three runs, and the row says so.

With ``--side``, one side is measured anew and the other kept.  Writes
benchmarks/results/wang_landau_error.json.
"""

import argparse
import functools
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from side_by_side import RESULTS, save
from wang_landau_peers import Textbook

from phasegrok.protocols.wang_landau import WangLandau
from phasegrok.systems.ising import Lattice2DParameters
from phasegrok.theory.ising import exact_density_of_states

TARGET, WALKERS, CORES = 1e-3, 8, 2
ATTEMPTS = {16: 2e9, 32: 4e9}  # of all walkers together in the longest run
LENGTHS = 6  # runs of attempts, attempts/2, ...


@functools.cache
def exact(L):
    """Energies and ln g."""
    energy_c, g_c = exact_density_of_states(L)
    return energy_c, np.array([math.log(g) for g in g_c])


def error_of(L, energy_c, log_g_c):
    """Energies that were not found, and the root mean square of ln g - exact; NaN if any."""
    levels_c, exact_c = exact(L)
    missing = len(levels_c) - np.isin(levels_c, energy_c[np.isfinite(log_g_c)]).sum()
    return missing, np.sqrt(np.mean((log_g_c - exact_c) ** 2)) if missing == 0 else math.nan


def lengths(attempts):
    """Numbers of attempts of all walkers together, ascending."""
    return [attempts / 2**k for k in reversed(range(LENGTHS))]


def ours(L, seed, attempts):
    """Points (wall seconds, core seconds, missing, error) of whole runs of growing length."""
    system = Lattice2DParameters(L=L).build({})
    points = []
    for n in [L * L * WALKERS * 64, *lengths(attempts)]:  # the first compiles
        protocol = WangLandau(system, round(n / (L * L * WALKERS)), WALKERS)
        wall, core = time.perf_counter(), time.process_time()
        state = protocol.init(seed)
        while protocol.done(state) < protocol.total():
            protocol.advance(state, protocol.total())
        group = protocol.result(state)["density_of_states"]
        wall, core = time.perf_counter() - wall, time.process_time() - core
        points.append((wall, core, *error_of(L, group["energy"], group["log_g"])))
    return points[1:]


def peer(L, seed, attempts):
    """The same of the mean ln g of one walker a core, at growing times of one run."""
    Textbook(4, 1).advance(10_000)  # compiles
    # Numba's generator belongs to a thread, so each walker has its own
    pools = [ThreadPoolExecutor(1) for _ in range(CORES)]
    wall, core = time.perf_counter(), time.process_time()
    walkers = [pool.submit(Textbook, L, 1000 * seed + k).result() for k, pool in enumerate(pools)]
    points, done = [], 0
    for n in lengths(attempts):
        step = round((n / CORES - done) / 10_000) * 10_000
        done += step
        for work in [pool.submit(w.advance, step) for pool, w in zip(pools, walkers)]:
            work.result()
        energies = functools.reduce(np.intersect1d, [w.log_g()[0] for w in walkers])
        mean_c = np.mean([w.log_g()[1][np.isin(w.log_g()[0], energies)] for w in walkers], axis=0)
        points.append((time.perf_counter() - wall, time.process_time() - core,
                       *error_of(L, energies, mean_c)))
    for pool in pools:
        pool.shutdown()
    return points


def measure(run, L, seeds, attempts):
    """Curve of the error against seconds, and the seconds to the target."""
    points_ntx = np.array([run(L, seed, attempts) for seed in range(1, seeds + 1)])
    wall_t, core_t = points_ntx[:, :, :2].mean(axis=0).T
    missing_t = points_ntx[:, :, 2].max(axis=0)
    error_t = np.sqrt((points_ntx[:, :, 3] ** 2).mean(axis=0))
    late = np.flatnonzero(missing_t == 0)[-3:]
    row = dict(L=L, seeds=seeds, attempts=lengths(attempts), wall_seconds=wall_t.tolist(),
               core_seconds=core_t.tolist(), missing=missing_t.tolist(), error=error_t.tolist(),
               error_of_seeds=points_ntx[:, :, 3].tolist())
    for name, seconds_t in (("wall", wall_t), ("core", core_t)):
        # the mean of ln(error^2 t): the law error^2 = a / t
        late_t = error_t[late] ** 2 * seconds_t[late]
        needed = np.exp(np.mean(np.log(late_t))) / TARGET**2 if late.size else math.nan
        row[f"{name}_seconds_to_target"] = float(needed)
    row["extrapolated"] = bool(not error_t[-1] <= TARGET)
    return row


def main():
    """Measure one side or both, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", choices=("ours", "peer"), help="one side only")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--scale", type=float, default=1.0, help="factor of all attempts")
    arguments = parser.parse_args()
    path = RESULTS / "wang_landau_error.json"
    old = json.loads(path.read_text())["rows"] if path.is_file() else []
    rows = {(row["side"], row["L"]): row for row in old}
    print("side   L  attempts   wall s   core s  missing    error")
    for side, run in (("ours", ours), ("peer", peer)):
        for L, attempts in ATTEMPTS.items() if arguments.side in (None, side) else ():
            row = dict(side=side) | measure(run, L, arguments.seeds, arguments.scale * attempts)
            rows[side, L] = row
            for n, *point in zip(row["attempts"], row["wall_seconds"],
                                 row["core_seconds"], row["missing"], row["error"]):
                print(f"{side:4s} {L:4d} {n:9.2e} {point[0]:8.1f} {point[1]:8.1f} {point[2]:8.0f} "
                      f"{point[3]:8.4f}")
            print(f"core s to {TARGET:g}: {row['core_seconds_to_target']:.3g}"
                  + (" (extrapolated)" if row["extrapolated"] else ""), flush=True)
            save("wang_landau_error", [], row["seeds"], list(rows.values()), target=TARGET,
                 cores=CORES)


if __name__ == "__main__":
    main()
