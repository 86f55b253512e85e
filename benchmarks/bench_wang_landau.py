"""Time of an attempted flip of Wang-Landau sampling, L = 16, against icet, smol, a textbook loop.

    pip install icet==4.0 smol==0.5.7
    python benchmarks/bench_wang_landau.py [--rounds 7]

Nanoseconds of processor time an attempt, one walker on one core, over all energies of the periodic
16 x 16 Ising lattice.  Before, ln g of each side on a 4 x 4 lattice must agree with the exact one
within its own scatter over 16 runs.  Writes benchmarks/results/wang_landau.json.
"""

import argparse
import dataclasses
import time

import numpy as np
from side_by_side import agreement, ratio, save, show
from wang_landau_peers import Icet, Smol, Textbook

from phasegrok.protocols.wang_landau import WangLandau
from phasegrok.systems.ising import Lattice2DParameters
from phasegrok.theory.ising import exact_density_of_states

L, RUNS = 16, 16
# attempts of a check run on 4 x 4, attempts of a warm-up and of a round on L x L
PEERS = {Textbook: (2_000_000, 20_000_000, 4_000_000), Icet: (160_000, 20_000, 10_000),
         Smol: (50_000, 5_000, 3_000)}
FLOOR = {Textbook: 4.0, Icet: 1000.0, Smol: 1000.0}
GOAL_NS = 10.0  # 1e8 attempts a second


def seconds(function, *arguments):
    """Processor time of a call, which other work on the machine disturbs less than wall time."""
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


class Ours:
    """One walker through the protocol, in learning or in production."""

    def __init__(self, learning, seed=1):
        n = 10**8 if learning else 40_000
        self.protocol = WangLandau(Lattice2DParameters(L=L).build({}), n, 1)
        self.state = self.protocol.init(seed)
        warm_up = 2_000 if learning else n
        while self.protocol.done(self.state) < warm_up:
            self.protocol.advance(self.state, warm_up - self.protocol.done(self.state))
        if not learning:  # more sweeps extend production
            self.protocol = dataclasses.replace(self.protocol, sweeps=10**9)

    def attempts(self, n_sweeps):
        """Seconds for n_sweeps, and their attempts."""
        return seconds(self.protocol.advance, self.state, n_sweeps), n_sweeps * L * L


def ours_on_4x4(seed):
    """Energies and ln g of a whole run of one walker."""
    protocol = WangLandau(Lattice2DParameters(L=4).build({}), 100_000, 1)
    state = protocol.init(seed)
    while protocol.done(state) < protocol.total():
        protocol.advance(state, protocol.total())
    group = protocol.result(state)["density_of_states"]
    return group["energy"], group["log_g"]


def peer_on_4x4(peer, n, seed):
    """Energies and ln g of a whole run."""
    walker = peer(4, seed)
    walker.advance(n)
    return walker.log_g()


def check(name, run):
    """Largest z of ln g - exact over cells, mean of independent runs."""
    energy_c, g_c = exact_density_of_states(4)
    exact_c = np.log(np.array(g_c, dtype=float))
    found = [run(seed) for seed in range(1, RUNS + 1)]
    for energy, _ in found:
        np.testing.assert_array_equal(energy, energy_c)
    log_g_rc = np.array([log_g for _, log_g in found])
    mean_c = log_g_rc.mean(axis=0)
    error_c = log_g_rc.std(axis=0, ddof=1) / np.sqrt(RUNS)
    return agreement(name, *zip(mean_c, error_c, exact_c, np.zeros(len(exact_c))))


def main():
    """Check the physics of every side, measure, print the table, write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="interleaved repetitions")
    rounds = parser.parse_args().rounds
    z_ours = check("phasegrok", ours_on_4x4)
    ours = {"learning": Ours(True), "production": Ours(False)}
    rows = []
    print("ns an attempt, L 16                  peer      ours      ratio (range)  floor  goal  z")
    for peer, (n_check, n_warm, n) in PEERS.items():
        z_peer = check(peer.name, lambda seed, p=peer, n=n_check: peer_on_4x4(p, n, seed))
        walker = peer(L, 1)
        walker.advance(n_warm)
        for stage, walk in ours.items():
            times = ratio(lambda w=walker, n=n: (seconds(w.advance, n), n),
                          lambda o=walk: o.attempts(20_000), rounds)
            row = dict(case=f"{peer.name}, {stage}", peer=peer.name, stage=stage,
                       floor=FLOOR[peer], goal=times["peer_ns"] / GOAL_NS, **times,
                       agreement=max(z_peer, z_ours), agreement_peer=z_peer, agreement_ours=z_ours)
            rows.append(row)
            show(row)
    save("wang_landau", ["icet", "smol"], rounds, rows, L=L)


if __name__ == "__main__":
    main()
