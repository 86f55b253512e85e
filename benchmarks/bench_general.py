"""Time of single-spin updates on any graph, with couplings and field, against mcising, one core.

    pip install mcising==1.1.0
    python benchmarks/bench_general.py [--rounds 7]

Nanoseconds an attempted update of Metropolis at T_c of the square lattice, started on both sides
from one configuration that Wolff clusters brought to equilibrium.  mcising visits the sites in
sequence: rows "sequential" compare like with like; rows "random-site" compare its sweep with one of
sites drawn with replacement, the dynamics that is timed and aged.  The energies at T = 2.6 of the
two sides must agree, and at h = 0 with Kaufman's exact one, before a ratio is printed.  Rows of our
side alone show spin glasses, for which mcising has no couplings, and the kernel for every discrete
system.  Writes benchmarks/results/general.json.
"""

import argparse

import numpy as np
from mcising import _core
from side_by_side import agreement, ratio, save, seconds, show

from phasegrok.dynamics.clusters import Clusters
from phasegrok.dynamics.local_fields import SiteUpdates
from phasegrok.dynamics.single_flip import sweeps
from phasegrok.rng import streams
from phasegrok.statistics import mean_with_error
from phasegrok.systems.discrete import draw_and_prepare, prepare
from phasegrok.systems.ising import EdwardsAndersonParameters, Lattice2DParameters
from phasegrok.theory.ising import critical_temperature, kaufman

FLOOR, GOAL = 1.2, 2.0
CASES = [(L, h, order) for L, h in ((64, 0.0), (256, 0.0), (256, 0.1), (1024, 0.0))
         for order in ("sequential", "random-site")]
ATTEMPTS = 2e7  # a round
CHECK_TEMPERATURE, CHECK_ATTEMPTS = 2.6, 6e7
NOTHING = np.empty(0)


class Ours:
    """One configuration of a system and its updates."""

    def __init__(self, system, order, sigma=None):
        self.updates = SiteUpdates(system, "metropolis", order)
        self.rng = streams(1, ["benchmark", order], 1)[0]
        self.sigma = np.zeros(system.n_sites, dtype=np.int8)
        self.cache = np.zeros(system.cache_size, dtype=np.int64)
        self.values = np.zeros(2)
        draw_and_prepare(system, True, self.sigma, self.cache, self.values, self.rng)
        if sigma is not None:
            self.sigma[:] = sigma
            self.values[:] = prepare(system, self.sigma, self.cache)

    def advance(self, temperature, n, record=False):
        """E after each of n sweeps, or nothing."""
        energy_t, phi_t = np.zeros((2, n if record else 0))
        self.updates.advance(temperature, n, self.sigma, self.cache, self.values, self.rng,
                             energy_t, phi_t)
        return energy_t

    def timed(self, temperature, n):
        """Seconds and attempts of n sweeps."""
        return seconds(self.advance, temperature, n), n * len(self.sigma)


class General(Ours):
    """The same with the kernel for every discrete system."""

    def advance(self, temperature, n, record=False):  # noqa: ARG002
        """Nothing is recorded."""
        sweeps(self.updates.system, False, temperature, n, self.sigma, self.cache, self.values,
               self.rng, NOTHING, NOTHING)


def peer(L, h, sigma):
    """A lattice of mcising."""
    simulation = _core.IsingSimulation(L, 1.0, 0.0, 0.0, h, 1, "metropolis")
    simulation.set_spins(sigma.reshape(L, L))
    return simulation


def critical_configuration(L):
    """A configuration of the lattice without field at T_c."""
    engine = Clusters((Lattice2DParameters(L=L).build({}),), "wolff")
    replicas = engine.start(1, "benchmark", np.array([True]), 1)
    engine.advance(replicas, 0, critical_temperature(), 100, *np.zeros((2, 1, 0)))
    return replicas.configurations[0, 0]


def check(L, h, order, sigma):
    """Standard errors between the energies of the two sides and the exact one."""
    n = max(200, int(CHECK_ATTEMPTS / L**2))
    ours = Ours(Lattice2DParameters(L=L, h=h).build({}), order, sigma)
    other = peer(L, h, sigma)
    ours.advance(CHECK_TEMPERATURE, n // 4)
    other.sweep(n // 4, temperature=CHECK_TEMPERATURE)
    found = other.production_sweeps(n, 1, temperature=CHECK_TEMPERATURE, store_configs=False)
    a = mean_with_error(ours.advance(CHECK_TEMPERATURE, n, True) / L**2)
    b = mean_with_error(np.array(found["energies"]))
    pairs = [(a.value, a.error, b.value, b.error)]
    exact = float(kaufman(L, CHECK_TEMPERATURE).energy) / L**2 if h == 0.0 else None
    if exact is not None:
        pairs += [(a.value, a.error, exact, 0.0), (b.value, b.error, exact, 0.0)]
    return dict(agreement=agreement(f"L {L}", *pairs), energy_ours=a.value, energy_peer=b.value,
                energy_err_ours=a.error, energy_err_peer=b.error, energy_exact=exact)


def measure(L, h, order, rounds):
    """One row of the table."""
    T, sigma = critical_temperature(), critical_configuration(L)
    checked = check(L, h, order, sigma)
    n = max(5, int(ATTEMPTS / L**2))
    ours = Ours(Lattice2DParameters(L=L, h=h).build({}), order, sigma)
    other = peer(L, h, sigma)
    ours.advance(T, n)
    other.sweep(n, temperature=T)

    def peer_timed():
        return seconds(lambda: other.sweep(n, temperature=T)), n * L**2

    times = ratio(peer_timed, lambda: ours.timed(T, n), rounds)
    case = f"L {L}, {order}" + (f", h {h:g}" if h else "")
    return dict(case=case, L=L, h=h, order=order, floor=FLOOR, goal=GOAL, **times, **checked)


def alone(rounds):
    """Our nanoseconds an attempt where there is no peer."""
    lattice = Lattice2DParameters(L=64).build({})
    cases = {"L 64, kernel for every discrete system": (General, lattice, critical_temperature())}
    for couplings in ("binary", "gaussian"):
        parameters = EdwardsAndersonParameters(L=16, dimension=3, couplings=couplings)
        glass = parameters.build(parameters.disorder(None))
        cases[f"Edwards-Anderson, 3D, L 16, {couplings}"] = (Ours, glass, 1.0)
    rows = []
    for case, (side, system, T) in cases.items():
        ours = side(system, "random-site")
        n = int(ATTEMPTS / 4 / system.n_sites)
        ours.advance(T, n)
        times = [ours.timed(T, n) for _ in range(rounds)]
        rows.append(dict(case=case, ours_ns=float(np.median([1e9 * s / u for s, u in times]))))
        print(f"{case:44s} {rows[-1]['ours_ns']:9.2f}", flush=True)
    return rows


def main():
    """Measure every case, print the table, write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="interleaved repetitions")
    rounds = parser.parse_args().rounds
    print("Metropolis at T_c                  mcising ns  ours ns   ratio (range)  floor  goal  z")
    rows = []
    for case in CASES:
        rows.append(measure(*case, rounds))
        show(rows[-1])
    save("general", ["mcising"], rounds, rows, without_peer=alone(rounds))


if __name__ == "__main__":
    main()
