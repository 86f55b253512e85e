"""Barriers of Potts spins against size: python data/reference/make_barriers.py 6 8 10 > FILE.

Swendsen-Wang runs of 12 replicas at three temperatures of each size, begun ordered and at random,
reweighted to where both wells are equally deep.  Writes one line a size: q, L, N, independent
samples, barrier of P(Phi) and of P(E) with errors (nat), into barriers.csv.  The order of
transitions is judged on them in tests/thermodynamics/test_order.py.  About ten minutes of one core.
"""

import csv
import sys

import numpy as np

from phasegrok import cards
from phasegrok.statistics import jackknife_error
from phasegrok.studies.finite_size import flip_energy
from phasegrok.studies.phase_diagram import PhaseDiagramColumn, phase_diagram_series
from phasegrok.theory import potts
from phasegrok.thermodynamics.barriers import energy_columns, size_barrier
from phasegrok.thermodynamics.curves import Reweighted
from phasegrok.thermodynamics.peaks import peak
from phasegrok.thermodynamics.smooth_potential import equal_height

SWEEPS = {**{(q, L): 10_000 for q in (2, 3, 4, 5) for L in (16, 32, 64)},
          **{(6, L): 20_000 for L in (16, 32, 64)},
          (8, 8): 20_000, (8, 16): 20_000, (8, 32): 60_000,
          (10, 8): 20_000, (10, 16): 40_000, (10, 24): 80_000}


POWER = {2: 1.0, 3: 1.2, 4: 1.5, 5: 1.5}  # 1/nu, with which the peak widens and shifts; 1.7 above


def ladder(q: int, L: int) -> str:
    """Three temperatures about the peak of the susceptibility."""
    width = 1.2 / L ** POWER.get(q, 1.7)
    T_c = potts.transition_temperature(q)
    return ", ".join(repr(round(T_c * (1.0 + x * width), 7)) for x in (-0.5, 0.5, 1.5))


def measure(q: int, L: int) -> list:
    """One line of the table."""
    sweeps = SWEEPS[q, L]
    card = cards.load("potts-2d", {
        "parameters.q": q, "parameters.L": L, "phase_diagram.temperatures": ladder(q, L),
        "phase_diagram.replicas": 12, "phase_diagram.sweeps": sweeps,
        "phase_diagram.equilibration": sweeps // 10})
    protocol = phase_diagram_series(card)
    state = protocol.init(1000 * q + L)
    protocol.advance(state, protocol.total())
    column = PhaseDiagramColumn(float(q), card)
    column.add(protocol.result(state))
    data = Reweighted(column.series[0])
    chi = peak(data, "susceptibility")
    rows = equal_height(data, chi).barrier_r if chi.found else np.full(13, np.nan)
    found = data.found
    width = flip_energy(card)
    energy, joint = energy_columns(found.energies_c, found.log_g_c, width)
    left_out = np.stack([energy_columns(found.energies_c, row, width)[1]
                         for row in found.log_g_jackknife_bc])
    barrier = size_barrier(found.energies_c, energy, joint, left_out, data.range)
    return [q, L, L * L, round(data.independent), f"{rows[0]:.4f}",
            f"{float(jackknife_error(rows[1:])):.4f}", f"{barrier.height:.4f}",
            f"{barrier.error:.4f}"]


if __name__ == "__main__":
    writer = csv.writer(sys.stdout)
    writer.writerow(["q", "L", "N", "independent", "barrier_phi", "barrier_phi_err",
                     "barrier_energy", "barrier_energy_err"])
    for colours in map(int, sys.argv[1:]):
        for size in sorted(L for q, L in SWEEPS if q == colours):
            writer.writerow(measure(colours, size))
            sys.stdout.flush()
