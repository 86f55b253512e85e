"""Curie-Weiss spins at finite size and in mean field, by independent calculations."""

import itertools
import math

import numpy as np
import pytest
from scipy import special

from phasegrok.theory import curie_weiss


def test_curie_weiss_weights_brute_force():
    N, T, h, J2, J3 = 9, 1.7, 0.1, 0.4, 0.8
    states = np.array(list(itertools.product([-1, 1], repeat=N)))
    m_all = states.mean(1)
    energy = -N * (h * m_all + J2 / 2 * m_all**2 + J3 * m_all**3)
    m, log_w = curie_weiss.log_weights(N, T, h, J2, J3)
    direct = [np.exp(-energy[np.isclose(m_all, value)] / T).sum() for value in m]
    np.testing.assert_allclose(np.exp(log_w), direct, rtol=1e-12)
    w = np.exp(-energy / T)
    mean = w @ energy / w.sum()
    exact = (
        math.log(w.sum()),
        mean,
        w @ (energy - mean) ** 2 / w.sum() / T**2,
        w @ m_all / w.sum(),
    )
    np.testing.assert_allclose(curie_weiss.thermodynamics(N, T, h, J2, J3), exact, rtol=1e-12)
    assert curie_weiss.effective_potential(N, T, h, J2, J3)[1].min() == 0.0


def test_mean_field_three_spin():
    T_s, m_s = curie_weiss.spinodals(J3=1.0)
    assert T_s == pytest.approx([1.7477487], abs=5e-8)  # no lower one: m = 0 stays metastable
    minima, maxima = curie_weiss.stationary_points(T_s[0] * (1 - 1e-8), J3=1.0)
    assert len(minima) == 2 and abs(minima[1] - m_s[0]) < 1e-3 and abs(maxima[0] - m_s[0]) < 1e-3
    assert len(curie_weiss.stationary_points(T_s[0] * (1 + 1e-8), J3=1.0)[0]) == 1
    at = curie_weiss.coexistence(J3=1.0)
    assert at.temperature == pytest.approx(1.4879075, abs=5e-8)
    assert at.free_energy_barrier == pytest.approx(0.0717328, abs=5e-8)
    assert at.barrier.from_low == pytest.approx(at.barrier.from_high, rel=1e-9)
    mirror = curie_weiss.coexistence(J3=-1.0)
    assert mirror.temperature == pytest.approx(at.temperature, rel=1e-12)
    assert mirror.barrier.m_low == pytest.approx(-at.barrier.m_high)


def test_mean_field_two_and_three_spin():
    T_s, m_s = curie_weiss.spinodals(J2=1.0, J3=1.0)
    assert len(T_s) == 2 and (T_s[0], m_s[0]) == (1.0, 0.0)
    at = curie_weiss.coexistence(J2=1.0, J3=1.0)
    assert T_s[0] < at.temperature < T_s[1]
    # all stationary points and mergers from the potential itself, on a fine grid
    m = np.linspace(-0.9999, 0.9999, 400001)
    for T in (0.9, 1.1, at.temperature, T_s[1] * 0.999, T_s[1] * 1.001):
        phi = curie_weiss.mean_field_potential(m, T, J2=1.0, J3=1.0)
        inner = phi[1:-1]
        low = m[1:-1][(inner < phi[:-2]) & (inner < phi[2:])]
        minima, maxima = curie_weiss.stationary_points(T, J2=1.0, J3=1.0)
        np.testing.assert_allclose(low, minima, atol=1e-5)
        assert len(maxima) == len(minima) - 1
    with pytest.raises(ValueError, match="coexist at every"):
        curie_weiss.coexistence(J2=1.0)
    with pytest.raises(ValueError, match="no coexistence"):
        curie_weiss.coexistence(h=0.5, J2=1.0)


def test_field_spinodal_closed_form():
    # J2 = 1: m_s = sqrt(1 - T), |h_s| = m_s - T atanh(m_s)
    T = 0.7
    m_s = math.sqrt(1 - T)
    h_s = m_s - T * math.atanh(m_s)
    T_s, m = curie_weiss.spinodals(h=h_s, J2=1.0)
    assert T_s == pytest.approx([T], rel=1e-10) and m == pytest.approx([-m_s], rel=1e-9)


def test_finite_barriers_approach_mean_field():
    limit = curie_weiss.mean_field_barrier(1.4, J3=1.0)
    slopes = []
    for N in (2000, 4000, 8000):
        walls = curie_weiss.barrier(N, 1.4, J3=1.0)
        slopes.append(walls.from_low - N * limit.from_low)
        assert walls.m_saddle == pytest.approx(limit.m_saddle, abs=2 / N + 1e-3)
    # what is left over is the ratio of Gaussian widths of the binomial: -(1/2) ln(1 - m_saddle^2)
    expected = 0.5 * math.log(1 - limit.m_saddle**2)
    assert slopes[-1] == pytest.approx(expected, abs=2e-3)
    assert abs(slopes[-1] - expected) < abs(slopes[0] - expected) + 1e-3


def test_finite_coexistence():
    N = 200
    height = curie_weiss.finite_coexistence(N, J3=1.0)
    assert height.barrier.from_low == pytest.approx(height.barrier.from_high, abs=1e-9)
    weight = curie_weiss.finite_coexistence(N, J3=1.0, criterion="weight")
    m, log_w = curie_weiss.log_weights(N, weight.temperature, J3=1.0)
    p = np.exp(log_w - special.logsumexp(log_w))
    half = 0.5 * p[m == weight.barrier.m_saddle].sum()
    assert p[m > weight.barrier.m_saddle].sum() + half == pytest.approx(0.5, abs=1e-9)
    limit = curie_weiss.coexistence(J3=1.0).temperature
    far = curie_weiss.finite_coexistence(20 * N, J3=1.0).temperature
    assert (far - limit) * 20 == pytest.approx(height.temperature - limit, rel=0.1)  # 1/N
    with pytest.raises(ValueError, match="criterion"):
        curie_weiss.finite_coexistence(N, J3=1.0, criterion="area")
