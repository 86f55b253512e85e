"""The Glauber chain against its master equation and its limits."""

import math

import numpy as np
import pytest
from scipy import special

from phasegrok.theory import glauber


@pytest.mark.parametrize(("T", "J"), [(1.3, 1.0), (0.0, 1.0), (0.9, -0.5)])
def test_glauber_master_equation(T, J):
    N = 8
    state = np.arange(2**N)
    s = 1 - 2 * (state[:, None] >> np.arange(N) & 1)
    field = J * (np.roll(s, 1, 1) + np.roll(s, -1, 1))
    drift = np.tanh(field / T) if T else np.sign(field)
    flip = 0.5 * (1 - s * drift) / N  # probability to be drawn and changed
    P = np.diag(1 - flip.sum(1))
    for i in range(N):
        P[state ^ (1 << i), state] += flip[:, i]
    energy = -J * (s * np.roll(s, 1, 1)).sum(1)
    w = np.exp(-(energy - energy.min()) / T) if T else (energy == energy.min()).astype(float)
    w /= w.sum()
    np.testing.assert_allclose(P @ w, w, atol=1e-15)
    t, power = 2.5, np.linalg.matrix_power(P, 20)
    start = (s.sum(1) == 4) / np.sum(s.sum(1) == 4)
    decay = (s.mean(1) @ power @ start) / (s.mean(1) @ start)
    assert decay == pytest.approx(float(glauber.magnetisation_decay(t, T, J, N)), abs=1e-13)
    for r in (0, 1, 3, 4):
        exact = s[:, r] @ power @ (w * s[:, 0])
        assert glauber.autocorrelation(t, T, r, J, N) == pytest.approx(exact, abs=1e-13)
    quenched = power @ np.full(2**N, 2.0**-N)
    assert glauber.quench_energy(t, T, J, N) == pytest.approx(energy @ quenched / N, abs=1e-13)
    for r in (2, 4):
        exact = (s[:, 0] * s[:, r]) @ quenched
        assert glauber.quench_correlation(t, T, r, J, N) == pytest.approx(exact, abs=1e-13)
    later = s[:, 0] @ np.linalg.matrix_power(P, 12) @ (quenched * s[:, 0])
    assert glauber.ageing_correlation(t, 1.5, T, J, N) == pytest.approx(later, abs=1e-13)


@pytest.mark.parametrize(("T", "J"), [(0.8, 1.0), (0.0, 1.0), (1.1, -1.0)])
def test_glauber_infinite_chain(T, J):
    # rings of N and 2N in sweeps, extrapolated in 1/N, against Bessel functions
    def limit(function):
        return 2 * function(2000) - function(1000)

    t = np.array([0.0, 0.5, 3.0])
    cases = (
        lambda N: glauber.magnetisation_decay(t, T, J, N),
        lambda N: glauber.autocorrelation(t, T, 0, J, N),
        lambda N: glauber.autocorrelation(t, T, 2, J, N),
        lambda N: glauber.quench_energy(t, T, J, N),
        lambda N: glauber.quench_correlation(t, T, 3, J, N),
        lambda N: glauber.ageing_correlation(2.0, t, T, J, N),
    )
    for case in cases:
        np.testing.assert_allclose(limit(case), case(None), atol=2e-6)


def test_glauber_limits():
    # the autocorrelation of one spin is not the decay of the magnetisation, which is its slowest
    # mode: both fall with the same rate in the end
    T, t = 0.7, np.array([2000.0, 4000.0])
    gamma = math.tanh(2 / T)
    C = glauber.autocorrelation(t, T)
    rate = -math.log(C[1] / C[0] * math.sqrt(2)) / 2000  # band edge: t^(-1/2) exp
    assert rate == pytest.approx(1 - gamma, rel=0.02)
    assert np.all(C < 0.5 * glauber.magnetisation_decay(t, T))
    # equilibrium and its approach
    assert glauber.quench_energy(1e3, 1.0) == pytest.approx(-math.tanh(1.0), rel=1e-12)
    assert glauber.autocorrelation(0.0, 1.0, 3) == pytest.approx(math.tanh(1.0) ** 3, rel=1e-12)
    # T = 0: walls, and ageing
    walls = 0.5 * (1 + glauber.quench_energy(1e4, 0.0))
    assert walls == pytest.approx(1 / math.sqrt(4 * math.pi * 1e4), rel=1e-4)
    exact = 1 - special.ive(0, 6.0) - special.ive(1, 6.0)
    assert -glauber.quench_energy(3.0, 0.0) == pytest.approx(exact, rel=1e-13)
    ratio = np.array([0.1, 1.0, 10.0])
    found = glauber.ageing_correlation(1e3, 1e3 * ratio, 0.0)
    np.testing.assert_allclose(found, glauber.ageing_limit(ratio), rtol=1e-3)
