"""First-passage times against simulations, quadrature and closed forms."""

import math

import numpy as np
import pytest
from scipy import integrate, special

from phasegrok.theory import curie_weiss, first_passage


def test_curie_weiss_passage_number():
    passage = first_passage.curie_weiss_first_passage(100, 1.2, 0.0, 0.9, J3=1.0)
    assert passage.mean == pytest.approx(156.49, abs=0.005)
    up, down = first_passage.curie_weiss_chain(100, 1.2, J3=1.0)
    n = 95
    Q = np.diag(1 - up - down) + np.diag(up[:-1], 1) + np.diag(down[1:], -1)
    A = np.eye(n) - Q[:n, :n]
    mean = np.linalg.solve(A, np.ones(n))
    second = np.linalg.solve(A, 2 * mean - 1)
    assert passage.mean == pytest.approx(mean[50] / 100, rel=1e-9)
    assert passage.second_moment == pytest.approx(second[50] / 1e4, rel=1e-9)
    # the chain keeps the exact Boltzmann weights: detailed balance
    _, log_w = curie_weiss.log_weights(100, 1.2, J3=1.0)
    for dynamics in ("heat-bath", "metropolis"):
        up, down = first_passage.curie_weiss_chain(100, 1.2, dynamics, J3=1.0)
        np.testing.assert_allclose(
            log_w[:-1] + np.log(up[:-1]), log_w[1:] + np.log(down[1:]), atol=1e-10
        )


@pytest.mark.parametrize("dynamics", ["heat-bath", "metropolis"])
def test_passage_against_simulated_spins(dynamics):
    N, T, J2, J3, n = 10, 1.9, 0.3, 1.0, 40000
    rng = np.random.default_rng(11)
    spins = np.tile([1, -1], (n, N // 2))
    waiting, alive = np.zeros(n), np.arange(n)

    def energy(m):
        return -N * (J2 / 2 * m**2 + J3 * m**3)

    for step in range(1, 100000):
        site = rng.integers(N, size=alive.size)
        old = spins[alive, site]
        total = spins[alive].sum(1)
        u = rng.random(alive.size)
        if dynamics == "heat-bath":
            rest = total - old
            up = 1 / (1 + np.exp((energy((rest + 1) / N) - energy((rest - 1) / N)) / T))
            new = np.where(u < up, 1, -1)
        else:
            rise = energy((total - 2 * old) / N) - energy(total / N)
            new = np.where(u < np.exp(-rise / T), -old, old)
        spins[alive, site] = new
        done = spins[alive].sum(1) >= 8
        waiting[alive[done]] = step
        alive = alive[~done]
        if alive.size == 0:
            break
    exact = first_passage.curie_weiss_first_passage(N, T, 0.0, 0.8, dynamics, J2=J2, J3=J3)
    w = waiting / N
    assert abs(w.mean() - exact.mean) < 3 * w.std() / math.sqrt(n)
    assert abs((w**2).mean() - exact.second_moment) < 3 * (w**2).std() / math.sqrt(n)
    assert w.std() / math.sqrt(n) < 0.01 * exact.mean  # sharp enough to see 3 %
    survival = first_passage.curie_weiss_survival(
        N, T, 0.0, 0.8, [exact.mean], dynamics, J2=J2, J3=J3
    )[0]
    error = math.sqrt(survival * (1 - survival) / n)
    assert abs((waiting > round(exact.mean * N)).mean() - survival) < 3 * error


def test_survival_against_propagation():
    up, down = first_passage.curie_weiss_chain(40, 1.3, J3=1.0)
    Q = np.diag(1 - up - down) + np.diag(up[:-1], 1) + np.diag(down[1:], -1)
    Q, v = Q[:36, :36], np.eye(36)[20]
    direct = []
    for _ in range(20001):
        direct.append(v.sum())
        v = v @ Q
    steps = [0, 1, 16, 17, 1000, 5001, 20000]
    survival = first_passage.survival_probability(up, down, 20, 36, steps)
    np.testing.assert_allclose(survival, np.array(direct)[steps], rtol=1e-11)
    passage = first_passage.first_passage_moments(up, down, 20, 36)
    late = direct[-1] / (1 - direct[-1] / direct[-2])  # geometric tail of sum P(T > t)
    assert sum(direct[:-1]) + late == pytest.approx(passage.mean, rel=1e-9)


def test_deep_barriers_keep_their_digits():
    # N = 400 deep in the metastable state: exponential, with mean 3e9 sweeps
    passage = first_passage.curie_weiss_first_passage(400, 1.5, 0.0, 0.9, J3=1.0)
    assert passage.mean > 1e9
    assert passage.second_moment / passage.mean**2 == pytest.approx(2.0, abs=1e-6)
    t = passage.mean * np.array([0.01, 1.0, 3.0])
    survival = first_passage.curie_weiss_survival(400, 1.5, 0.0, 0.9, t, J3=1.0)
    np.testing.assert_allclose(survival, np.exp([-0.01, -1.0, -3.0]), rtol=1e-6)
    # a chain with a constant drift back, closed form: beyond a double, and still finite in ln
    n, p, q = 2000, 0.2, 0.5
    deep = first_passage.first_passage_moments(np.full(n + 1, p), np.full(n + 1, q), 0, n)
    r = q / p
    exact = n * math.log(r) + math.log(r / (p * (r - 1) ** 2))
    assert deep.mean == math.inf and deep.log_mean == pytest.approx(exact, abs=1e-9)
    mirror = first_passage.first_passage_moments(np.full(n + 1, q), np.full(n + 1, p), n, 0)
    assert mirror.log_mean == pytest.approx(deep.log_mean, abs=1e-9)


def test_first_passage_errors():
    with pytest.raises(ValueError, match="never reached"):
        first_passage.first_passage_moments([0.5, 0.0, 0.5, 0], [0, 0.5, 0.5, 0.5], 0, 3)
    with pytest.raises(ValueError, match="not a magnetisation"):
        first_passage.curie_weiss_first_passage(101, 1.2, 0.0, 0.9, J3=1.0)
    with pytest.raises(ValueError, match="dynamics"):
        first_passage.curie_weiss_chain(10, 1.2, "glauber")


def double_well(x):
    return x - x**3


def test_diffusion_passage_nested_quadrature():
    T = 0.12

    def potential(x):
        return -(x**2) / 2 + x**4 / 4

    def inner(y):
        return integrate.quad(lambda z: math.exp((potential(y) - potential(z)) / T), -4, y)[0]

    expected = integrate.quad(inner, -1, 1, epsrel=1e-9)[0] / T
    exact = first_passage.diffusion_first_passage(double_well, T, -1.0, 1.0)
    assert exact == pytest.approx(expected, rel=1e-7)
    back = first_passage.diffusion_first_passage(double_well, T, 1.0, -1.0)
    assert back == pytest.approx(exact, rel=1e-10)
    # Kramers with its first correction, 1 + O(T)
    kramers = math.sqrt(2) * math.pi * math.exp(0.25 / 0.005)
    deep = first_passage.diffusion_first_passage(double_well, 0.005, -1.0, 1.0)
    assert 1.0 < deep / kramers < 1.02


def test_diffusion_passage_is_the_limit_of_a_chain():
    # hops of length a from -1 to 1 with rates (T/a^2) exp(+-f a/(2T)) and a wall half a hop beyond
    # the first site: the error is of order a^2
    T, deviation = 0.3, []
    for n in (300, 600):
        a = 3.0 / n
        x = -2.0 + a * np.arange(n + 1)
        up = np.exp(double_well(x + a / 2) * a / (2 * T))
        down = np.exp(-double_well(x - a / 2) * a / (2 * T))
        scale = 0.4 / max(up.max(), down.max())
        steps = first_passage.first_passage_moments(scale * up, scale * down, n // 3, n).mean
        wall = -2.0 - a / 2
        exact = first_passage.diffusion_first_passage(double_well, T, -1.0, 1.0, x_reflect=wall)
        deviation.append(steps * scale * a**2 / T / exact - 1.0)
    assert abs(deviation[1]) < 1e-5
    assert deviation[0] / deviation[1] == pytest.approx(4.0, rel=0.01)


def test_diffusion_closed_forms():
    free = first_passage.diffusion_first_passage(np.zeros_like, 0.5, 0.3, 1.0, x_reflect=0.0)
    assert free == pytest.approx((1 - 0.3**2) / (2 * 0.5), rel=1e-9)
    # Ornstein-Uhlenbeck from 0 to 1 at T = 1
    expected = integrate.quad(
        lambda y: math.sqrt(2 * math.pi) * math.exp(y * y / 2) * special.ndtr(y), 0, 1
    )[0]
    found = first_passage.diffusion_first_passage(lambda x: -x, 1.0, 0.0, 1.0)
    assert found == pytest.approx(expected, rel=1e-9)
    # weak noise on a slope is the deterministic flow
    slope = first_passage.diffusion_first_passage(double_well, 1e-6, 0.1, 0.9, x_reflect=0.05)
    crossing = first_passage.drift_crossing_time(double_well, 0.1, 0.9)
    assert slope == pytest.approx(crossing, rel=1e-4)
    with pytest.raises(ValueError, match="confine"):
        first_passage.diffusion_first_passage(np.zeros_like, 0.5, 0.0, 1.0)


def test_drift_crossing_time():
    cross = first_passage.drift_crossing_time
    assert cross(lambda x: -x, 1.0, 0.1) == pytest.approx(math.log(10), rel=1e-12)
    # x - x^3: t = [ln x - (1/2) ln(1 - x^2)]
    exact = math.log(0.9 / 0.1) - 0.5 * math.log((1 - 0.81) / (1 - 0.01))
    assert cross(double_well, 0.1, 0.9) == pytest.approx(exact, rel=1e-12)
    bottleneck = 2e3 * math.atan(1e3)  # x^2 + 1e-6 from -1 to 1
    assert cross(lambda x: x**2 + 1e-6, -1.0, 1.0) == pytest.approx(bottleneck, rel=1e-10)
    assert cross(double_well, -0.1, 0.9) == math.inf
