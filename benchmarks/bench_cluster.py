"""Time of Wolff clusters of the 2D Ising model at T_c against mcising, on one core.

    pip install mcising==1.1.0
    python benchmarks/bench_cluster.py [--rounds 7]

Nanoseconds a flipped spin.  Energies and cluster sizes of the two sides must agree, and the
energies with Kaufman's exact one, before a ratio is printed.  Each lattice has two rows: clusters
alone, and with E and M after each cluster.  Writes benchmarks/results/cluster.json.
"""

import argparse
import copy

import numpy as np
from mcising import _core
from side_by_side import agreement, ratio, save, seconds, show

from phasegrok.dynamics.clusters import Clusters
from phasegrok.statistics import mean_with_error
from phasegrok.systems.ising import Lattice2DParameters
from phasegrok.theory.ising import critical_temperature, kaufman

FLOOR = {256: 1.0, 1024: 1.5}
GOAL = {256: 2.0, 1024: 2.0}
CLUSTERS = {64: 4000, 256: 600, 1024: 60}  # a round
CHECKED = {64: 20000, 256: 4000, 1024: 500}
T = critical_temperature()


class Ours:
    """One replica and its engine."""

    def __init__(self, L):
        self.engine = Clusters((Lattice2DParameters(L=L).build({}),), "wolff")
        self.replicas = self.engine.start(1, "benchmark", np.array([True]), 1)

    def advance(self, n, record):
        """E and M after each of n clusters, or nothing."""
        series = np.zeros((2, 1, n if record else 0))
        self.engine.advance(self.replicas, 0, T, n, *series)
        return series[:, 0]

    def clusters(self, n, record):
        """Seconds for n clusters, and the spins flipped; the same clusters in both ways."""
        before, start = copy.deepcopy(self.replicas), self.replicas.phi[0, 0]
        _, M = self.advance(n, True)
        self.replicas = before
        return seconds(self.advance, n, record), flipped(np.append(start, M))


class Peer:
    """One lattice of mcising."""

    def __init__(self, L):
        self.N = L * L
        self.simulation = _core.IsingSimulation(L, 1.0, 0.0, 0.0, 0.0, 1, "wolff")
        self.simulation.set_spins(np.ones((L, L), dtype=np.int8))

    def advance(self, n):
        """E and M after each of n clusters."""
        found = self.simulation.production_sweeps(n, 1, temperature=T, store_configs=False)
        return self.N * np.array(found["energies"]), self.N * np.array(found["magnetizations"])

    def clusters(self, n, record):
        """Seconds for n clusters, and the spins flipped."""
        if record:
            start = self.N * self.simulation.magnetization()
            found = []
            time = seconds(lambda: found.append(self.advance(n)))
            return time, flipped(np.append(start, found[0][1]))
        spins = []
        time = seconds(lambda: spins.append(self.simulation.sweep(n, temperature=T)[0]))
        return time, spins[0]


def flipped(M):
    """Spins flipped between neighbours of a series of M."""
    return np.abs(np.diff(M)).sum() / 2.0


def check(L, ours, peer):
    """Standard errors between the two sides, and between each and the exact energy."""
    n = CHECKED[L]
    for side in (lambda: ours.advance(n // 10, True), lambda: peer.advance(n // 10)):
        side()
    E, M = ours.advance(n, True)
    E_peer, M_peer = peer.advance(n)
    E, E_peer = mean_with_error(E / L**2), mean_with_error(E_peer / L**2)
    size, size_peer = (mean_with_error(np.abs(np.diff(m)) / 2.0 / L**2) for m in (M, M_peer))
    exact = float(kaufman(L, T).energy) / L**2
    z = agreement(f"L {L}", (E.value, E.error, E_peer.value, E_peer.error),
                  (E.value, E.error, exact, 0.0), (E_peer.value, E_peer.error, exact, 0.0),
                  (size.value, size.error, size_peer.value, size_peer.error))
    return dict(agreement=z, energy_ours=E.value, energy_peer=E_peer.value, energy_exact=exact,
                mean_size_ours=size.value, mean_size_peer=size_peer.value)


def main():
    """Measure every lattice, print the table, write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="interleaved repetitions")
    rounds = parser.parse_args().rounds
    rows = []
    print("Wolff at T_c                       mcising ns  ours ns   ratio (range)  floor  goal  z")
    for L in CLUSTERS:
        ours, peer = Ours(L), Peer(L)
        checked = check(L, ours, peer)
        for record in (False, True):
            n = CLUSTERS[L]
            case = f"L {L}" + (", E and M each cluster" if record else "")
            times = ratio(lambda p=peer, n=n, r=record: p.clusters(n, r),
                          lambda o=ours, n=n, r=record: o.clusters(n, r), rounds)
            row = dict(case=case, L=L, floor=FLOOR.get(L, 1.0), goal=GOAL.get(L, 2.0),
                       **times, **checked)
            rows.append(row)
            show(row)
    exponents = {}
    for name in ("ours_ns", "peer_ns"):
        alone = [row for row in rows if not row["case"].endswith("cluster")]
        slope = np.polyfit(np.log([r["L"] for r in alone]), np.log([r[name] for r in alone]), 1)[0]
        exponents[name] = float(slope)
    print("cost of a flipped spin ~ L^x: " + ", ".join(f"{k} {v:+.2f}"
                                                       for k, v in exponents.items()))
    save("cluster", ["mcising"], rounds, rows, exponents=exponents)


if __name__ == "__main__":
    main()
