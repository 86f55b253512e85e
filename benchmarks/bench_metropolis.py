"""Metropolis updates of Ising lattices a nanosecond, multi-spin coding against peers, on one core.

    python benchmarks/bench_metropolis.py [--rounds 7]

How the peers are installed stands in ising_peers.py.  Before a ratio is printed both sides run in
equilibrium, at a temperature where they reach it in some sweeps, and their energies a spin must
agree within their errors.  Then they are timed in turn, round by round, in one process: square
lattices at T_c, spin glasses at T = 1.2.  The ratio is the median over the rounds, its range is
printed beside it.  Writes benchmarks/results/metropolis.json.
"""

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
from ising_peers import McIsing, Peapods, Textbook

from phasegrok.dynamics.multi_spin import MultiSpin
from phasegrok.statistics import mean_with_error
from phasegrok.systems.ising import EdwardsAndersonParameters, Lattice2DParameters
from phasegrok.theory.ising import critical_temperature

RESULT = Path(__file__).parent / "results" / "metropolis.json"
T_CRITICAL, T_GLASS = critical_temperature(), 1.2
T_CHECKED = 3.0  # equilibrium within tens of sweeps at any size, glass or not
ATTEMPTS = dict(ours=6e7, peer=4e6)  # a round: long enough for the clock, short for the noise
FLOOR_PLAIN, GOAL_PLAIN = 30.0, 60.0
FLOOR_MEASURED, GOAL_MEASURED = 20.0, 40.0
FLOOR_GLASS, GOAL_GLASS = 30.0, 100.0


class Ours:
    """R replicas of the engine, from random starts."""

    def __init__(self, systems, order, R, temperature, measured):
        self.engine = MultiSpin(tuple(systems), "metropolis", order)
        self.R, self.temperature, self.measured = R, temperature, measured
        self.n_sites = R * systems[0].n_sites  # of all replicas
        self.replicas = self.engine.start(1, "benchmark", np.zeros(R, dtype=bool), 1)

    def advance(self, n):
        """n sweeps, with E and M of every replica after each where ``measured``."""
        energy_rt, phi_rt = np.empty((2, self.R, n if self.measured else 0))
        self.engine.advance(self.replicas, 0, self.temperature, n, energy_rt, phi_rt)

    def energies(self, n, temperature):
        """E/N after each of n sweeps, means over the replicas of the first sample."""
        energy_rt, phi_rt = np.empty((2, self.R, n))
        self.engine.advance(self.replicas, 0, temperature, n, energy_rt, phi_rt)
        first = energy_rt[: self.R // len(self.engine.systems)]
        return first.mean(axis=0) / self.engine.systems[0].n_sites


def square(L):
    """The square lattice."""
    return Lattice2DParameters(L=L).build({})


def glass(L, dimension, seed):
    """A sample of the +-J spin glass."""
    parameters = EdwardsAndersonParameters(L=L, dimension=dimension, disorder_seed=seed)
    return parameters.build(parameters.disorder(None))


def cases():
    """Name, our side, the peer, floor and goal; built when their turn comes."""
    for L in (64, 256, 1024):
        for measured in (False, True):
            suffix = ", E and M" if measured else ""
            limits = (FLOOR_MEASURED, GOAL_MEASURED) if measured else (FLOOR_PLAIN, GOAL_PLAIN)
            for R in (64, 1) if L >= 128 else (64,):
                label = "64 replicas" if R == 64 else "one lattice"
                yield (f"2D {L}, {label}{suffix}",
                       lambda L=L, R=R, m=measured: Ours([square(L)], "checkerboard", R,
                                                         T_CRITICAL, m),
                       lambda L=L, m=measured: McIsing(L, T_CRITICAL, m), *limits)
        yield (f"2D {L}, 64 replicas",
               lambda L=L: Ours([square(L)], "checkerboard", 64, T_CRITICAL, False),
               lambda L=L: Peapods(square(L), T_CRITICAL), None, None)
        for order in ("checkerboard", "random-site"):
            yield (f"2D {L}, 64 replicas" + (", random sites" if order == "random-site" else ""),
                   lambda L=L, o=order: Ours([square(L)], o, 64, T_CRITICAL, False),
                   lambda L=L, o=order: Textbook(L, T_CRITICAL, o == "random-site"), None, None)
    for dimension, L in ((2, 64), (3, 16)):
        for S in (1, 64):
            label = "64 replicas" if S == 1 else "64 samples"
            yield (f"Edwards-Anderson {dimension}D {L}, {label}",
                   lambda L=L, d=dimension, S=S: Ours([glass(L, d, s) for s in range(S)],
                                                      "checkerboard", 64, T_GLASS, False),
                   lambda L=L, d=dimension: Peapods(glass(L, d, 0), T_GLASS),
                   FLOOR_GLASS, GOAL_GLASS)


def checked_energies(ours, peer, name):
    """E/N of both in equilibrium at the same temperature; raises where they differ."""
    found = []
    for side in (ours, peer):
        n = int(np.clip(3e7 / side.n_sites, 60, 2000)) // 20 * 20
        side.energies(60, T_CHECKED)  # equilibrate
        mean = mean_with_error(side.energies(n, T_CHECKED))
        found.append((mean.value, mean.error))
    (a, a_err), (b, b_err) = found
    if abs(a - b) > 4.0 * np.hypot(a_err, b_err) or np.hypot(a_err, b_err) > 0.01 * abs(a):
        raise RuntimeError(f"{name}: energies a spin differ, {a:.5f} +- {a_err:.5f} and "
                           f"{b:.5f} +- {b_err:.5f}")
    return found


def seconds(side, attempts):
    """Wall time of one attempted update."""
    n = max(1, round(attempts / side.n_sites))
    start = time.perf_counter()
    side.advance(n)
    return (time.perf_counter() - start) / (n * side.n_sites)


def measure(name, ours, peer, floor, goal, rounds):
    """Times of both sides, after their energies were compared."""
    energies = checked_energies(ours, peer, name)
    seconds(ours, ATTEMPTS["ours"] / 4), seconds(peer, ATTEMPTS["peer"] / 4)  # compile, warm up
    times = [(seconds(peer, ATTEMPTS["peer"]), seconds(ours, ATTEMPTS["ours"]))
             for _ in range(rounds)]
    peer_s, ours_s = np.array(times).T
    ratio = peer_s / ours_s
    return dict(
        case=name, dynamics=ours.engine.name, peer=peer.name,
        n_sites=ours.engine.systems[0].n_sites, energy_ours=energies[0], energy_peer=energies[1],
        ours_per_ns=float(1e-9 / np.median(ours_s)), peer_per_ns=float(1e-9 / np.median(peer_s)),
        ratio=float(np.median(ratio)), ratio_low=float(ratio.min()),
        ratio_high=float(ratio.max()), floor=floor, goal=goal,
    )  # fmt: skip


def cost_exponents(rows):
    """Slope of ln(time a sweep) against ln(L) for each kind of row that has several sizes."""
    kinds: dict = {}
    for row in rows:
        if row["case"].startswith("2D"):
            kind = (row["case"].split(", ", 1)[1], row["dynamics"])
            L = np.sqrt(row["n_sites"])
            kinds.setdefault(kind, {})[L] = L**2 / row["ours_per_ns"]
    return {" / ".join(kind): float(np.polyfit(np.log(list(at)), np.log(list(at.values())), 1)[0])
            for kind, at in kinds.items() if len(at) > 1}


def main():
    """Measure every case, print the table, write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="interleaved repetitions")
    rounds = parser.parse_args().rounds
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})  # both sides, so that neither gets a second one
    rows = []
    print("case                                 peer                           updates/ns ours"
          "   peer    ratio (range)       floor  goal   E/N ours / peer")
    for name, ours, peer, floor, goal in cases():
        r = measure(name, ours(), peer(), floor, goal, rounds)
        rows.append(r)
        limits = f"{floor:7.0f} {goal:5.0f}" if floor else "      -     -"
        print(f"{name:36s} {r['peer']:34s} {r['ours_per_ns']:8.2f} {r['peer_per_ns']:8.4f}   "
              f"{r['ratio']:5.1f} ({r['ratio_low']:.0f}-{r['ratio_high']:.0f}) {limits}   "
              f"{r['energy_ours'][0]:.4f}({r['energy_ours'][1]:.4f}) / "
              f"{r['energy_peer'][0]:.4f}({r['energy_peer'][1]:.4f})", flush=True)
    exponents = cost_exponents(rows)
    for kind, exponent in exponents.items():
        print(f"time a sweep ~ L^{exponent:.2f}: {kind}")
    versions = dict(python=platform.python_version(), numpy=np.__version__)
    result = dict(threads=1, processor=processor(), versions=versions, rounds=rounds, rows=rows,
                  exponents=exponents)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    below = [r["case"] for r in rows if r["floor"] and r["ratio"] < r["floor"]]
    if below:
        sys.exit("below the floor: " + "; ".join(below))


def processor():
    """Name of the processor, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


if __name__ == "__main__":
    main()
