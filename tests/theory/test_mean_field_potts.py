"""Mean-field Potts spins against enumeration and their limit of many spins."""

import itertools
import math

import numpy as np
import pytest
from scipy import optimize, special

from phasegrok.theory import mean_field_potts


@pytest.mark.parametrize(("q", "N"), [(2, 9), (3, 8), (5, 5)])
def test_mean_field_potts_brute_force(q, N):
    J, T = 1.3, 0.6
    states = np.array(list(itertools.product(range(q), repeat=N)))
    energy = np.zeros(len(states))
    for i, j in itertools.combinations(range(N), 2):
        energy -= J / N * (states[:, i] == states[:, j])
    n_max = np.max([(states == c).sum(1) for c in range(q)], axis=0)
    classes = mean_field_potts.occupations(q, N)
    w = np.exp(-energy / T)
    p = w / w.sum()
    mean = p @ energy
    exact = (math.log(w.sum()), mean, p @ (energy - mean) ** 2 / T**2, p @ n_max / N)
    np.testing.assert_allclose(mean_field_potts.thermodynamics(classes, T, J), exact, rtol=1e-12)
    Phi, potential = mean_field_potts.effective_potential(classes, T, J)
    P = np.array([p[n_max == round(N * phi)].sum() for phi in Phi])
    np.testing.assert_allclose(potential, np.log(P.max() / P), atol=1e-11)
    levels, log_g = mean_field_potts.density_of_states(classes, J)
    counts = [np.sum(np.isclose(energy, E)) for E in levels]
    np.testing.assert_allclose(np.exp(log_g), counts, rtol=1e-11)
    assert sum(counts) == q**N and np.all(np.diff(levels) > 0)


@pytest.mark.parametrize("q", [3, 4, 10])
def test_mean_field_potts_transition(q):
    J = 0.7
    T_c = mean_field_potts.transition_temperature(q, J)
    # coexistence from the potential alone, on a grid
    Phi = np.linspace(1 / q, 1 - 1e-6, 400001)

    def minima(T):
        phi = mean_field_potts.mean_field_potential(Phi, q, T, J)
        return phi[0], phi[Phi > 0.5].min()

    found = optimize.brentq(lambda T: np.subtract(*minima(T)), 0.99 * T_c, 1.005 * T_c)
    assert found == pytest.approx(T_c, rel=1e-8)
    walls = mean_field_potts.barrier(q, T_c, J)
    assert walls.from_disordered == pytest.approx(walls.from_ordered, rel=1e-9)
    m = (q * walls.Phi_ordered - 1) / (q - 1)
    assert m == pytest.approx(mean_field_potts.order_parameter_jump(q), rel=1e-12)
    phi = mean_field_potts.mean_field_potential(Phi, q, T_c, J)
    between = Phi < walls.Phi_ordered
    assert phi[between].max() - phi[0] == pytest.approx(walls.from_disordered, rel=1e-9)
    assert Phi[between][phi[between].argmax()] == pytest.approx(0.5, abs=1e-5)
    # latent heat from the slope of phi with 1/T at fixed Phi: e = d phi/d(1/T)
    energies = [-0.5 * J * (x**2 + (1 - x) ** 2 / (q - 1)) for x in (1 / q, walls.Phi_ordered)]
    assert energies[0] - energies[1] == pytest.approx(mean_field_potts.latent_heat(q, J), rel=1e-12)
    # spinodals: number of stationary points on the grid
    for T, wells in zip(mean_field_potts.spinodals(q, J), ((1, 2), (2, 1))):
        for factor, expected in zip((0.999, 1.001), wells):
            slope = np.diff(mean_field_potts.mean_field_potential(Phi, q, factor * T, J))
            rising = np.concatenate([[False], slope > 0])
            assert np.sum(rising[1:] & ~rising[:-1]) == expected
    with pytest.raises(ValueError, match="two phases"):
        mean_field_potts.barrier(q, 0.9 * J / q, J)


def test_mean_field_potts_large_N():
    q, T, free = 3, 0.5, []
    for N in (500, 1000):
        classes = mean_field_potts.occupations(q, N)
        assert special.logsumexp(classes.log_g) == pytest.approx(N * math.log(q), rel=1e-12)
        free.append(mean_field_potts.thermodynamics(classes, T).ln_Z)
    # ln Z = -N min phi + O(1): above T_c the state is disordered
    slope = (free[1] - free[0]) / 500
    limit = -float(mean_field_potts.mean_field_potential(1 / q, q, T))
    assert slope == pytest.approx(limit, rel=1e-5)
    # at T_c the barrier grows as N times that of the limit
    T_c = mean_field_potts.transition_temperature(q)
    heights = []
    for N in (1500, 3000):
        Phi, v = mean_field_potts.effective_potential(mean_field_potts.occupations(q, N), T_c)
        heights.append(v[Phi <= 0.5][-1] - v[Phi > 0.5].min())
    per_site = mean_field_potts.barrier(q, T_c).from_ordered
    # the ordered well is Gaussian in two dimensions, the saddle in one: no ln N is left over
    assert (heights[1] - heights[0]) / 1500 == pytest.approx(per_site, rel=0.01)
    assert mean_field_potts.transition_temperature(2) == 0.5
