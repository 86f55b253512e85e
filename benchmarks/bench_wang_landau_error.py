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
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from side_by_side import RESULTS, save
from wang_landau_peers import Textbook

from phasegrok.sampling.wang_landau import WangLandau
from phasegrok.systems.ising import Lattice2DParameters
from phasegrok.theory.ising import exact_density_of_states

TARGET, WALKERS, CORES = 1e-3, 8, 2
ATTEMPTS = {16: 2e9, 32: 8e9}  # of all walkers together in the longest run
LENGTHS = 6  # runs of attempts, attempts/2, ...


def error_of(L, energy_c, log_g_c):
    """Root mean square of ln g - exact over all energies; NaN if one is missing."""
    levels_c, g_c = exact(L)
    if not np.array_equal(energy_c, levels_c):
        return math.nan
    return float(np.sqrt(np.mean((log_g_c - g_c) ** 2)))


def exact(L, known={}):  # noqa: B006
    """Energies and ln g, made once."""
    if L not in known:
        energy_c, g_c = exact_density_of_states(L)
        known[L] = energy_c, np.array([math.log(g) for g in g_c])
    return known[L]


def lengths(attempts):
    """Numbers of attempts of all walkers together, ascending."""
    return [attempts / 2**k for k in reversed(range(LENGTHS))]


def ours(L, seed, attempts):
    """Points (wall seconds, core seconds, error) of whole runs of growing length."""
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
        points.append((wall, core, error_of(L, group["energy"], group["log_g"])))
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
        found = [w.log_g() for w in walkers]
        error = math.nan
        if all(np.array_equal(found[0][0], energy) for energy, _ in found):
            error = error_of(L, found[0][0], np.mean([log_g for _, log_g in found], axis=0))
        points.append((time.perf_counter() - wall, time.process_time() - core, error))
    for pool in pools:
        pool.shutdown()
    return points


def measure(run, L, seeds, attempts):
    """Curve of the error against seconds, and the seconds to the target."""
    points_ntx = np.array([run(L, seed, attempts) for seed in range(1, seeds + 1)])
    wall_t, core_t = points_ntx[:, :, :2].mean(axis=0).T
    error_t = np.sqrt((points_ntx[:, :, 2] ** 2).mean(axis=0))
    late = np.flatnonzero(np.isfinite(error_t))[-3:]
    row = dict(L=L, seeds=seeds, attempts=attempts, wall_seconds=wall_t.tolist(),
               core_seconds=core_t.tolist(), error=error_t.tolist(),
               error_of_seeds=points_ntx[:, :, 2].tolist())
    for name, seconds_t in (("wall", wall_t), ("core", core_t)):
        # the mean of ln(error^2 t): the law error^2 = a / t
        a = np.exp(np.mean(np.log(error_t[late] ** 2 * seconds_t[late])))
        row[f"{name}_seconds_to_target"] = float(a / TARGET**2)
    row["extrapolated"] = bool(not error_t[-1] <= TARGET)
    return row


def main():
    """Measure one side or both, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", choices=("ours", "peer"), help="one side only")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--scale", type=float, default=1.0, help="factor of all numbers of attempts")
    arguments = parser.parse_args()
    path = RESULTS / "wang_landau_error.json"
    old = json.loads(path.read_text())["rows"] if path.is_file() else []
    rows = []
    print("side   L  attempts   wall s   core s    error")
    for side, run in (("ours", ours), ("peer", peer)):
        if arguments.side not in (None, side):
            rows += [row for row in old if row["side"] == side]
            continue
        for L, attempts in ATTEMPTS.items():
            row = dict(side=side) | measure(run, L, arguments.seeds, arguments.scale * attempts)
            rows.append(row)
            for n, *point in zip(lengths(row["attempts"]), row["wall_seconds"],
                                 row["core_seconds"], row["error"]):
                print(f"{side:4s} {L:4d} {n:9.2e} {point[0]:8.1f} {point[1]:8.1f} {point[2]:8.4f}")
            print(f"core s to {TARGET:g}: {row['core_seconds_to_target']:.3g}"
                  + (" (extrapolated)" if row["extrapolated"] else ""), flush=True)
    save("wang_landau_error", [], arguments.seeds, rows, target=TARGET, cores=CORES)


if __name__ == "__main__":
    main()
