"""Barriers of one size from densities of states that are known."""

import math

import numpy as np
import pytest

from phasegrok.theory import curie_weiss, ising, potts
from phasegrok.thermodynamics.barriers import energy_columns, size_barrier


def test_barrier_of_exact_curie_weiss_weights_is_the_exact_one():
    for N in (60, 100):
        m = (2.0 * np.arange(N + 1) - N) / N
        log_g = curie_weiss.log_weights(N, 1e9, J3=0.0)[1]
        energy = N * curie_weiss.energy_per_spin(m, J3=1.0)
        order = np.argsort(energy)
        joint = np.full((N + 1, N + 1), np.nan)
        joint[np.arange(N + 1), order] = log_g[order]
        found = size_barrier(energy[order], m, joint, np.stack([joint] * 3), (1.3, 1.7))
        exact = curie_weiss.finite_coexistence(N, J3=1.0)
        assert found.coexistence.temperature_equal_height == pytest.approx(exact.temperature)
        assert found.height == pytest.approx(exact.barrier.from_low)


def test_teeth_of_a_small_lattice_are_no_barrier():
    """Potts q = 10, L = 4: every level a column has a barrier that is one of single sites."""
    energy, g = potts.density_of_states(10, 4)
    log_g = np.array([math.log(n) for n in g])
    width = 4.0  # energy of one flipped site in an ordered configuration
    heights = []
    for w in (0.0, width):
        columns, joint = energy_columns(energy, log_g, w)
        found = size_barrier(energy, columns, joint, np.stack([joint] * 3), (0.65, 0.9))
        heights.append(found.height)
    assert heights[0] > 1.7 and heights[1] < 0.5
    columns, joint = energy_columns(energy, log_g, width)
    assert len(columns) == 9 and np.isfinite(joint).sum() == len(energy)


def test_ising_energies_have_one_peak():
    energy, g = ising.density_of_states(8)
    columns, joint = energy_columns(energy, np.log(g.astype(float)), 8.0)
    noise = np.random.default_rng(1).normal(0.0, 0.01, (4, *joint.shape))
    found = size_barrier(energy, columns, joint, joint + noise, (2.1, 2.6))
    assert found.height == 0.0 and found.error > 0.0 and not found.coexistence.found
