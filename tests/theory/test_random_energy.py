"""The random energy model against samples, quadrature and its limit."""

import math

import numpy as np
import pytest
from scipy import integrate, special
from theory_checks import z_score

from phasegrok.theory import random_energy


@pytest.mark.parametrize("T", [0.4, 0.9])
def test_random_energy_sampled(T):
    N, J, n = 9, 1.2, 20000
    rng = np.random.default_rng(5)
    energy = rng.normal(0.0, J * math.sqrt(N / 2), (n, 2**N))
    log_w = -energy / T
    ln_Z = special.logsumexp(log_w, axis=1)
    w = np.exp(log_w - ln_Z[:, None])
    exact = random_energy.quenched_averages(N, T, J)
    assert abs(z_score(ln_Z, exact.ln_Z)) < 3
    assert abs(z_score((w * energy).sum(1), exact.energy)) < 3
    assert abs(z_score((w**2).sum(1), exact.participation)) < 3


def test_random_energy_quadrature():
    # two levels: ln(e^a + e^b) = (a + b)/2 + ln 2 cosh((a - b)/2), one Gaussian integral
    T = 0.8
    s = math.sqrt(0.5) / T

    def mean(function):
        def integrand(d):
            return function(d) * math.exp(-(d**2) / (4 * s * s)) / (2 * s * math.sqrt(math.pi))

        return integrate.quad(integrand, -20 * s, 20 * s, epsabs=1e-14, epsrel=1e-13)[0]

    exact = random_energy.quenched_averages(1, T)
    ln_Z = mean(lambda d: math.log(2 * math.cosh(d / 2)))
    assert exact.ln_Z == pytest.approx(ln_Z, rel=1e-11)
    square = mean(lambda d: 0.5 * (1 + math.tanh(d / 2) ** 2))
    assert exact.participation == pytest.approx(square, rel=1e-11)
    assert exact.energy == pytest.approx(-T * mean(lambda d: d / 2 * math.tanh(d / 2)), rel=1e-11)


def lowest_levels(N, T):
    """-T <ln Z> of a Poisson process of levels, whose density grows exponentially.

    Such are the lowest of 2^N normal levels, about the energy below which one is expected (Derrida
    1981).  Z is then a positive stable variable of index T/T_N, of which <ln Z> is known.
    """
    sigma, b = math.sqrt(N / 2), -special.ndtri_exp(-N * math.log(2))
    T_N = sigma / b
    return -sigma * b - T_N * special.gammaln(1 - T / T_N) - np.euler_gamma * (T_N - T)


def test_random_energy_limit():
    T_c = random_energy.transition_temperature()
    assert T_c == pytest.approx(1 / (2 * math.sqrt(math.log(2))))
    N = np.array([50, 100])
    for T in (0.1, 0.2, 0.9, 1.5):
        found = [random_energy.quenched_averages(int(n), T) for n in N]
        free = np.array([-T * f.ln_Z / n for f, n in zip(found, N)])
        energy = np.array([f.energy / n for f, n in zip(found, N)])
        limit_f, limit_e = random_energy.free_energy(T), random_energy.energy(T)
        if T > T_c:
            assert energy[1] == pytest.approx(float(limit_e), rel=1e-3)
            assert free[1] == pytest.approx(float(limit_f), rel=1e-5)
        else:
            gap = N * free - [lowest_levels(n, T) for n in N]  # of order 1/N
            excess = N[1] * (free[1] - limit_f)  # 1.5 to 1.7, growing as (T_c/2) ln N
            assert abs(gap[1]) < 0.005 * excess and abs(2 * gap[1] - gap[0]) < 3e-4 * excess
            assert lowest_levels(1e9, T) / 1e9 == pytest.approx(float(limit_f), rel=2e-8)
            share = [f.participation for f in found]
            extrapolated = 2 * share[1] - share[0]
            assert extrapolated == pytest.approx(float(random_energy.participation(T)), rel=0.005)
            # w_i of a Poisson-Dirichlet process, by its sequential construction
            x = T / T_c
            rng = np.random.default_rng(2)
            sticks = rng.beta(1 - x, x * np.arange(1, 301), size=(5000, 300))
            left = np.cumprod(np.insert(1 - sticks, 0, 1.0, axis=1), axis=1)[:, :-1]
            for moment in (2, 3):
                samples = np.sum((sticks * left) ** moment, axis=1)
                assert abs(z_score(samples, random_energy.participation(T, moment))) < 3
        entropy = (limit_e - limit_f) / T
        assert random_energy.entropy(T) == pytest.approx(float(entropy), abs=1e-14)
