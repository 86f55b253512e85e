"""Error of ln g of the Ising lattice against core seconds: ladders, Wang-Landau, and peers.

    pip install icet==4.0 mchammer-pt==0.27.1 flatwalk==0.1.0
    python benchmarks/bench_density_of_states.py [--only SIDE ...] [--sizes L ...]
        [--joint L ...] [--seeds 3] [--seconds 20]

ln g(E) at L = 8, 16 and 32 against exact counts (Beale), ln g(E, M) at L = 8 against a table: the
root mean square error over all cells, of whole runs of growing length, learning and the estimate
included, or of one run as it improves.  Errors are root mean squares over seeds, core seconds those
of the process, which compiles before.  Where 1e-3 is not reached, the law error^2 ~ 1/t is
continued from the longest three runs, and the row says so; where an error is still above half a nat
or falls by less than a fifth in the last two doublings there is no law, and no such number.

With ``--only``, ``--sizes`` or ``--joint``, these sides and sizes are measured anew and the others
kept.  Writes benchmarks/results/density_of_states_error.json and density_of_states_error.png.
"""

import argparse
import functools
import json
import math
import time
from pathlib import Path

import numpy as np
from side_by_side import RESULTS, save
from wang_landau_peers import Flatwalk, Icet, MchammerPT, Textbook

from phasegrok.protocols.temperature_ladder import TemperatureLadder
from phasegrok.protocols.wang_landau import WangLandau
from phasegrok.systems.ising import Lattice2DParameters
from phasegrok.theory.ising import exact_density_of_states

REFERENCE = Path(__file__).parents[1] / "data" / "reference"
NAME = "density_of_states_error"
TARGET, WALKERS = 1e-3, 8
LENGTHS = 5  # runs of seconds, seconds/2, ...
STILL, WRONG = 0.8, 0.5  # errors that fall by less than a fifth, or are of half a nat


@functools.cache
def exact(L, joint):
    """Energies (with magnetisations) of the cells and ln g."""
    if joint:
        table = np.loadtxt(REFERENCE / f"ising2d_gEM_L{L}.csv", delimiter=",", skiprows=1)
        return table[:, :2], np.log(table[:, 2])
    energy_c, g_c = exact_density_of_states(L)
    return np.array(energy_c, dtype=float), np.array([math.log(g) for g in g_c])


def error_of(L, joint, found):
    """Cells that were not found, and the rms of ln g - exact over the others; NaN if any lacks.

    ``found`` is a dictionary of ln g by energy, or by energy and magnetisation.
    """
    cells, log_g_c = exact(L, joint)
    keys = [tuple(c) for c in cells.tolist()] if joint else cells.tolist()
    error_c = np.array([found.get(key, math.nan) for key in keys]) - log_g_c
    missing = int(np.isnan(error_c).sum())
    return missing, float(np.sqrt(np.mean(error_c**2)))


def of_group(group, joint):
    """ln g of a group of the package by cell."""
    E, log_g = group["energy"].tolist(), group["log_g"]
    if joint:
        return {(e, m): log_g[i, j] for i, e in enumerate(E)
                for j, m in enumerate(group["order_parameter"].tolist())}
    return dict(zip(E, log_g.tolist()))


def whole_runs(make):
    """Points (core seconds, missing, error) of whole runs of the package, of growing length."""

    def measure(L, joint, seed, seconds):
        system = Lattice2DParameters(L=L).build({})

        def run(sweeps):
            protocol, start = make(system, sweeps, joint), time.process_time()
            state = protocol.init(seed)
            while protocol.done(state) < protocol.total():
                protocol.advance(state, 10_000)
            group = protocol.result(state)["density_of_states"]
            return time.process_time() - start, of_group(group, joint)

        run(2000)  # compiles
        (a, _), (b, _) = run(2000), run(12_000)
        rate = max(b - a, 1e-3) / 10_000
        points = []
        for k in reversed(range(LENGTHS)):
            core, found = run(max(2000, round((seconds / 2**k - a) / rate)))
            points.append((core, *error_of(L, joint, found)))
        return points

    return measure


def one_run(peer, first):
    """The same of one run of a peer, as it improves."""

    def measure(L, joint, seed, seconds):
        peer(4, 1).advance(first)  # compiles
        walker, core, points = peer(L, seed), 0.0, []
        attempts = first
        for k in reversed(range(LENGTHS)):
            while core < seconds / 2**k:
                start = time.process_time()
                walker.advance(attempts)
                spent = time.process_time() - start
                core += spent
                left = seconds / 2**k - core
                attempts = round(0.5 * attempts * left / max(spent, 1e-3)) // first * first
                attempts = max(first, attempts)
            energy, log_g = walker.log_g()
            points.append((core, *error_of(L, joint, dict(zip(energy.tolist(), log_g.tolist())))))
        return points

    return measure


SIDES = {
    "ladder": whole_runs(lambda s, n, joint: TemperatureLadder(s, n, WALKERS, joint=joint)),
    "ladder, folded": whole_runs(lambda s, n, _: TemperatureLadder(s, n, WALKERS, fold=True)),
    "Wang-Landau": whole_runs(lambda s, n, joint: WangLandau(s, n, WALKERS, joint)),
    "textbook 1/t": one_run(Textbook, 10_000),
    "flatwalk 0.1.0, batched": one_run(Flatwalk, 100_000),
    "icet 4.0": one_run(Icet, 10_000),
    "mchammer-pt 0.27.1": one_run(MchammerPT, 20_000),
}
OURS = ("ladder", "Wang-Landau")  # with M too


def row_of(side, L, joint, seeds, seconds):
    """Curve of the error against core seconds, and the seconds to the target."""
    points_ntx = np.array([SIDES[side](L, joint, seed, seconds) for seed in range(1, seeds + 1)])
    core_t, missing_t = points_ntx[:, :, 0].mean(axis=0), points_ntx[:, :, 1].max(axis=0)
    error_t = np.sqrt((points_ntx[:, :, 2] ** 2).mean(axis=0))
    return dict(side=side, L=L, joint=joint, seeds=seeds, core_seconds=core_t.tolist(),
                missing=missing_t.tolist(), error=error_t.tolist(),
                error_of_seeds=points_ntx[:, :, 2].tolist(),
                core_seconds_to_target=to_target(core_t, missing_t, error_t),
                extrapolated=bool(not error_t[-1] <= TARGET))


def to_target(core_t, missing_t, error_t):
    """Core seconds to the target by the law error^2 = a / t of the longest three runs, or NaN."""
    late = np.flatnonzero(missing_t == 0)[-3:]
    if late.size < 3 or error_t[late[0]] > WRONG:
        return math.nan
    if error_t[-1] > max(TARGET, STILL * error_t[late[0]]):
        return math.nan
    return float(np.exp(np.mean(np.log(error_t[late] ** 2 * core_t[late]))) / TARGET**2)


def draw(rows):
    """The figure: a panel each for the sizes, and for ln g(E, M)."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = sorted({(row["joint"], row["L"]) for row in rows})
    figure, axes = plt.subplots(1, len(panels), figsize=(3.3 * len(panels), 3.2), sharex=True,
                                sharey=True, layout="constrained")
    colours = dict(zip(SIDES, plt.get_cmap("tab10").colors))
    for (joint, L), axis in zip(panels, axes):
        for row in rows:
            if (row["joint"], row["L"]) == (joint, L):
                axis.loglog(row["core_seconds"], row["error"], "o-", ms=3,
                            color=colours[row["side"]], label=row["side"])
        axis.axhline(TARGET, color="grey", lw=0.6, ls=":")
        axis.set_title(f"ln g(E{', M' if joint else ''}), L = {L}", fontsize=9)
        axis.set_xlabel("core seconds")
    axes[0].set_ylabel("rms error (nat)")
    handles = {t.get_label(): t for axis in axes for t in axis.lines if t.get_label()[0] != "_"}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", fontsize=8,
                  ncols=len(handles), frameon=False)
    figure.savefig(RESULTS / f"{NAME}.png", dpi=150)


def main():
    """Measure, print, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SIDES, help="these sides only")
    parser.add_argument("--sizes", nargs="*", type=int, default=[8, 16, 32], help="L of ln g(E)")
    parser.add_argument("--joint", nargs="*", type=int, default=[8], help="L of ln g(E, M)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0, help="core seconds of longest runs")
    arguments = parser.parse_args()
    path = RESULTS / f"{NAME}.json"
    old = json.loads(path.read_text())["rows"] if path.is_file() else []
    rows = {(row["side"], row["joint"], row["L"]): row for row in old}
    cases = [(False, L) for L in arguments.sizes] + [(True, L) for L in arguments.joint]
    for joint, L in cases:
        for side in arguments.only or SIDES:
            if joint and side not in OURS:
                continue
            row = row_of(side, L, joint, arguments.seeds, arguments.seconds)
            rows[side, joint, L] = row
            print(f"{side:24s} L = {L:2d}{' (E, M)' if joint else ''}: core s "
                  + ", ".join(f"{t:.3g}" for t in row["core_seconds"]) + "; error "
                  + ", ".join(f"{e:.2g}" for e in row["error"])
                  + f"; {row['core_seconds_to_target']:.3g} s to {TARGET:g}"
                  + (" (extrapolated)" if row["extrapolated"] else ""), flush=True)
            save(NAME, ["icet", "mchammer-pt", "flatwalk"], arguments.seeds, list(rows.values()),
                 target=TARGET)
    draw(list(rows.values()))


if __name__ == "__main__":
    main()
