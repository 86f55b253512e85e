"""Error of Wang-Landau's ln g against exact tables, in nats and in units of its own stated error.

    python benchmarks/accuracy_wang_landau.py [--only TEXT] [--seed 1]

For every case: the largest and the root mean square error of ln g over the cells, the root mean
square of the stated errors, the root mean square z = (error / stated error), whether the run calls
itself complete, and the seconds (compilation excluded).  Errors come from 8 walkers, so a z is
about Student's t with 7 degrees of freedom, whose rms is sqrt(7/5) = 1.18; cells of one run are
strongly correlated, so that rms z of a single run scatters between about 0.4 and 2.7.
Writes benchmarks/results/wang_landau_accuracy.json.
"""

import argparse
import json
import math
import platform
import time
from pathlib import Path

import numpy as np

from phasegrok.cards.kinds import parameters_class
from phasegrok.protocols.wang_landau import WangLandau
from phasegrok.theory.ising import exact_density_of_states

RESULT = Path(__file__).parent / "results" / "wang_landau_accuracy.json"
REFERENCE = Path(__file__).parents[1] / "data" / "reference"
# name: kind, parameters, file with the disorder, file of the exact counts (or made here where there
# is none), sweeps of each walker
CASES = {
    "ising L=4": ("ising-2d", {"L": 4}, "", "ising2d_gE_L4.csv", 200_000),
    "ising L=8": ("ising-2d", {"L": 8}, "", "ising2d_gE_L8.csv", 200_000),
    "ising L=16": ("ising-2d", {"L": 16}, "", "ising2d_gE_L16.csv", 200_000),
    "ising L=32": ("ising-2d", {"L": 32}, "", "", 200_000),
    "ising L=4 joint": ("ising-2d", {"L": 4}, "", "ising2d_gEM_L4.csv", 200_000),
    "ising L=8 joint": ("ising-2d", {"L": 8}, "", "ising2d_gEM_L8.csv", 100_000),
    "ising L=8 joint, long": ("ising-2d", {"L": 8}, "", "ising2d_gEM_L8.csv", 1_000_000),
    "potts q=3 L=4": ("potts-2d", {"q": 3, "L": 4}, "", "potts_gE_q3_L4.csv", 200_000),
    "potts q=3 L=4 joint": ("potts-2d", {"q": 3, "L": 4}, "", "potts_gEn_q3_L4.csv", 200_000),
    "potts q=10 L=4": ("potts-2d", {"q": 10, "L": 4}, "", "potts_gE_q10_L4.csv", 200_000),
    "perceptron N=11 joint": ("ising-perceptron", {"N": 11, "P": 11},
                              "perceptron_N11_P11_patterns.csv",
                              "perceptron_N11_P11_counts.csv", 200_000),
    "edwards-anderson L=4": ("ising-graph", {}, "edwards_anderson_L4_bonds.csv",
                             "edwards_anderson_L4_gE.csv", 200_000),
}


def build(kind, parameters, disorder):
    """The system of a case; the disorder file has a header where it is a bond list."""
    model = parameters_class(kind)(**parameters)
    rows = None
    if disorder:
        header = int(kind == "ising-graph")
        rows = np.loadtxt(REFERENCE / disorder, delimiter=",", skiprows=header)
    return model.build(model.disorder(rows))


def exact_log_g(kind, system, table):
    """Exact ln g on the cells of the landscape, -inf where no state is; (E,) or (E, Phi)."""
    if table:
        lines = [line.split(",") for line in (REFERENCE / table).read_text().split()[1:]]
    else:
        lines = list(zip(*exact_density_of_states(system.L)))
    energies, n = system.energy_levels(), system.n_sites
    joint = len(lines[0]) == 3
    log_g = np.full((len(energies), len(system.order_levels()) if joint else 1), -np.inf)
    for line in lines:
        phi = float(line[1]) if joint else 0.0
        if kind == "potts-2d":
            phi /= n
        elif kind == "ising-perceptron":  # differing weights d: R = 1 - 2 d/N
            phi = 1.0 - 2.0 * phi / n
        column = int(np.argmin(np.abs(system.order_levels() - phi))) if joint else 0
        # math.log takes integers beyond the range of a double
        log_g[np.argmin(np.abs(energies - float(line[0]))), column] = math.log(int(line[-1]))
    return log_g if joint else log_g[:, 0]


def drive(protocol, seed):
    """The state at the end of the run."""
    state = protocol.init(seed)
    while protocol.done(state) < protocol.total():
        protocol.advance(state, protocol.total())
    return state


def measure(name, seed, walkers=8):
    """Run one case; returns its row of the table."""
    kind, parameters, disorder, table, sweeps = CASES[name]
    system = build(kind, parameters, disorder)
    exact = exact_log_g(kind, system, table)
    drive(WangLandau(system, 2, 1, exact.ndim == 2), seed)  # compiles
    protocol = WangLandau(system, sweeps, walkers, exact.ndim == 2)
    start = time.perf_counter()
    state = drive(protocol, seed)
    seconds = time.perf_counter() - start
    group = protocol.result(state)["density_of_states"]
    row = np.searchsorted(system.energy_levels(), group["energy"])
    log_g, stated = (np.full(exact.shape, np.nan) for _ in range(2))
    log_g[row], stated[row] = group["log_g"], group["log_g_err"]
    cells = np.isfinite(exact)
    error = (log_g - exact)[cells]
    z = error / stated[cells]
    return {
        "cells": int(cells.sum()),
        "missing_cells": int(np.isnan(error).sum()),
        "false_cells": int((np.isfinite(log_g) & ~cells).sum()),
        "sweeps": protocol.total(),
        "walkers": walkers,
        "max_error": float(np.nanmax(np.abs(error))),
        "rms_error": float(np.sqrt(np.nanmean(error**2))),
        "rms_stated_error": float(np.sqrt(np.nanmean(stated[cells] ** 2))),
        "rms_z": float(np.sqrt(np.nanmean(z**2))),
        "max_z": float(np.nanmax(np.abs(z))),
        "complete": bool(group.attributes["complete"]),
        "seconds": seconds,
    }


def main():
    """Measure all cases, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="run the cases whose name holds this text")
    parser.add_argument("--seed", type=int, default=1, help="seed of the walkers")
    arguments = parser.parse_args()
    rows = {}
    print(f"{'case':24}{'cells':>7}{'sweeps':>9}{'max':>8}{'rms':>8}{'stated':>8}{'rms z':>7}"
          f"{'max z':>7}{'complete':>10}{'s':>7}")
    for name in (name for name in CASES if arguments.only in name):
        row = rows[name] = measure(name, arguments.seed)
        print(f"{name:24}{row['cells']:7d}{row['sweeps']:9d}{row['max_error']:8.4f}"
              f"{row['rms_error']:8.4f}{row['rms_stated_error']:8.4f}{row['rms_z']:7.2f}"
              f"{row['max_z']:7.2f}{row['complete']!s:>10}{row['seconds']:7.1f}", flush=True)
    if not arguments.only:
        RESULT.parent.mkdir(exist_ok=True)
        text = {"unit": "nat", "seed": arguments.seed, "machine": platform.processor() or
                platform.machine(), "python": platform.python_version(), "cases": rows}
        RESULT.write_text(json.dumps(text, indent=1) + "\n")


if __name__ == "__main__":
    main()
