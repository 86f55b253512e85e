"""Generalised hybrid Monte Carlo: its test, its reversal, exact laws with and without a prior."""

import math

import numpy as np
import pytest
from scipy import integrate, special

from phasegrok.compiled import kernel
from phasegrok.dynamics.ghmc import Splitting, accept, propose, reject
from phasegrok.rng import fill_noise, fill_normal, streams
from phasegrok.statistics import mean_with_error

FREE, WELLS, RING, FIELD = range(4)


@kernel
def energy_of(kind, x, g):
    """0; sum of (x^2 - 1)^2; XY spins -cos of differences round a ring; -cos of each angle."""
    n, E = x.shape[0], 0.0
    for i in range(n):
        if kind == FREE:
            g[i] = 0.0
        elif kind == WELLS:
            E += (x[i] * x[i] - 1.0) ** 2
            g[i] = 4.0 * x[i] * (x[i] * x[i] - 1.0)
        elif kind == RING:
            E -= math.cos(x[i] - x[i - 1])
            g[i] = math.sin(x[i] - x[i - 1]) + math.sin(x[i] - x[(i + 1) % n])
        else:
            E -= math.cos(x[i])
            g[i] = math.sin(x[i])
    return E


@kernel
def chain(kind, splitting, every, x, v, g, kept, noise, rng, xs, vs):
    """A state a row, ``every`` steps apart; returns how many steps were accepted."""
    E, n_accepted = energy_of(kind, x, g), 0
    for t in range(every * xs.shape[0]):
        before = propose(splitting, x, v, g, kept, noise, rng)
        proposed = energy_of(kind, x, g)
        if accept(splitting, x, v, g, proposed - E, before, rng):
            E = proposed
            n_accepted += 1
        else:
            reject(x, v, g, kept, noise)
        if (t + 1) % every == 0:
            xs[t // every], vs[t // every] = x, v
    return n_accepted


@kernel
def one_step(kind, splitting, change, x, v, g, kept, noise, rng):
    """A step whose energy changes by ``change`` more; whether it was accepted, and H - E before."""
    E = energy_of(kind, x, g)
    before = propose(splitting, x, v, g, kept, noise, rng)
    change += energy_of(kind, x, g) - E
    return accept(splitting, x, v, g, change, before, rng), before


@kernel
def times_accepted(splitting, change, before, x, v, g, rng, n):
    """How often the same change of energy is accepted."""
    total = 0
    for _ in range(n):
        total += accept(splitting, x, v, g, change, before, rng)
    return total


@kernel
def back(x, v, g, kept, noise):
    reject(x, v, g, kept, noise)


def rooms(n, dtype=np.float64, seed=1):
    """x, v, g, kept, noise and the generator; x and v are normal."""
    rng = streams(seed, "test-ghmc", 1)[0]
    x, v = np.empty(n, dtype), np.empty(n, dtype)
    fill_normal(rng, x)
    fill_normal(rng, v)
    return x, v, np.empty(n, dtype), np.empty((2, n), dtype), np.empty(n, dtype), rng


def sampled(kind, splitting, n, records, every, seed=1, dtype=np.float64):
    """States of a chain without the first twentieth, and the share of steps accepted."""
    xs, vs = np.empty((records, n), dtype), np.empty((records, n), dtype)
    n_accepted = chain(kind, splitting, every, *rooms(n, dtype, seed), xs, vs)
    begin = records // 20
    return xs[begin:].astype(float), vs[begin:].astype(float), n_accepted / (records * every)


def held_to(exact, series):
    """Four errors of the mean are less than 3 %, and the exact value is within them."""
    found = mean_with_error(series)
    assert 4.0 * found.error < 0.03 * abs(exact)
    assert abs(found.value - exact) < 4.0 * found.error


# --- one step ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype, h", [
    (np.float64, 0.1), (np.float64, 1.3), (np.float64, 40.0), (np.float32, 1.3)])
def test_the_prior_alone_is_never_rejected_and_keeps_its_law(dtype, h):
    splitting = Splitting(h, 0.7, 0.3, 2.5, 1.6)
    x, v, accepted = sampled(FREE, splitting, 40, 4000, 8, dtype=dtype)
    assert accepted == 1.0
    held_to(0.3 / (2.5 * 1.6**2), np.mean(x**2, axis=1))
    held_to(0.3 / 2.5, np.mean(v**2, axis=1))


@pytest.mark.parametrize("omega", [0.0, 1.7])
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-13), (np.float32, 1e-5)])
def test_a_step_is_that_of_the_equations_and_is_reversible(omega, dtype, tolerance):
    h, T, mass, n = 0.2, 0.7, 2.0, 7
    x, v, g, kept, noise, rng = rooms(n, dtype)
    x_0, v_0 = x.copy(), v.copy()
    xi = np.empty(n, dtype)
    fill_noise(rng.copy(), xi)
    _, before = one_step(WELLS, Splitting(h, 0.8, T, mass, omega), 0.0, x, v, g, kept, noise, rng)
    u = 0.8 * v_0 + math.sqrt(0.36 * T / mass) * xi
    np.testing.assert_allclose(noise, -u, rtol=tolerance, atol=tolerance)
    assert before == pytest.approx(0.5 * mass * np.sum(u**2 + omega**2 * x_0.astype(float)**2),
                                   rel=tolerance)
    np.testing.assert_array_equal(kept[0], x_0)
    y, w = x_0.astype(float), u - 0.5 * h / mass * 4.0 * (x_0.astype(float)**3 - x_0)
    if omega:
        c, s = math.cos(omega * h), math.sin(omega * h)
        y, w = c * y + s / omega * w, c * w - omega * s * y
    else:
        y = y + h * w
    w -= 0.5 * h / mass * 4.0 * (y**3 - y)
    np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(v, w, rtol=tolerance, atol=tolerance)
    v *= -1.0
    one_step(WELLS, Splitting(h, 1.0, T, mass, omega), 0.0, x, v, g, kept, noise, rng)
    np.testing.assert_allclose(x, x_0, rtol=0, atol=tolerance)
    np.testing.assert_allclose(v, -u, rtol=0, atol=tolerance)


@pytest.mark.parametrize("change", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_rejected_and_nothing_moves(change):
    x, v, g, kept, noise, rng = rooms(5)
    x_0, v_0, g_0 = x.copy(), v.copy(), np.empty(5)
    energy_of(WELLS, x, g_0)
    accepted, _ = one_step(WELLS, Splitting(0.3, 1.0, 1.0, 1.0, 1.0), change, x, v, g, kept, noise,
                           rng)
    assert not accepted
    back(x, v, g, kept, noise)
    for found, expected in ((x, x_0), (v, -v_0), (g, g_0)):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("T, mass, omega", [(1.0, 1.0, 1.0), (0.4, 2.5, 0.0), (1.7, 0.6, 1.3)])
def test_the_total_change_is_accepted_with_its_boltzmann_factor(T, mass, omega):
    n, (x, v, g, _, _, rng) = 1_000_000, rooms(3)
    H = 0.5 * mass * np.sum(v**2 + omega**2 * x**2)  # g = 0 leaves v as it is
    g[:] = 0.0
    for cost in (0.3 * T, T, 2.0 * T):
        change = cost - (H - 1.0)
        p = math.exp(-cost / T)
        found = times_accepted(Splitting(0.3, 0.5, T, mass, omega), change, 1.0, x, v, g, rng, n)
        error = math.sqrt(n * p * (1.0 - p))
        assert abs(found - n * p) < 4.0 * error < 0.03 * cost / T * n * p  # 3 % of T would show
    assert times_accepted(Splitting(0.3, 0.5, T, mass, omega), -H, 1.0, x, v, g, rng, 9) == 9


# --- stationary laws -----------------------------------------------------------------------------


@pytest.mark.parametrize("omega, T, mass, h, dtype", [
    (0.0, 0.6, 1.0, 0.45, np.float64), (0.0, 1.4, 0.5, 0.3, np.float64),
    (1.0, 1.0, 1.0, 0.45, np.float64), (2.2, 0.7, 2.0, 0.75, np.float64),
    (1.5, 0.5, 0.4, 0.3, np.float32)])
def test_a_double_well_has_the_law_of_quadrature(omega, T, mass, h, dtype):
    """Rejections are many, so that the law depends on the test as on the steps."""
    def weight(x, power=0):
        return x**power * math.exp(-((x * x - 1.0) ** 2 + 0.5 * mass * omega**2 * x * x) / T)

    def integral(power, end):
        return integrate.quad(weight, -end, end, (power,))[0] / integrate.quad(weight, -6.0, 6.0)[0]

    x, v, accepted = sampled(WELLS, Splitting(h, 0.6, T, mass, omega), 1, 300_000, 8, dtype=dtype)
    x, v = x[:, 0], v[:, 0]
    assert 0.6 < accepted < 0.92
    held_to(integral(2, 6.0), x**2)
    held_to(integral(4, 6.0), x**4)
    held_to(integral(0, 0.5), (np.abs(x) < 0.5).astype(float))
    held_to(T / mass, v**2)
    held_to(3.0 * (T / mass) ** 2, v**4)
    cross = mean_with_error(x * v)
    assert abs(cross.value) < 4.0 * cross.error


def test_an_angle_in_a_field_has_the_law_of_bessel_functions():
    for K in (0.7, 2.0):
        x, v, accepted = sampled(FIELD, Splitting(1.2, 0.5, 1.0 / K, 1.0, 0.0), 1, 200_000, 4)
        assert 0.7 < accepted < 0.97
        held_to(special.i1(K) / special.i0(K), np.cos(x[:, 0]))
        held_to(1.0 / K, v[:, 0] ** 2)


@pytest.mark.parametrize("N", [3, 4])
def test_a_ring_of_xy_spins_has_its_exact_energy(N):
    """Z = sum over m of I_m(1/T)^N, m an integer of either sign."""
    T, m = 0.8, np.arange(-40, 41)
    bessel, slope = special.iv(m, 1.0 / T), special.ivp(m, 1.0 / T)
    exact = np.sum(bessel ** (N - 1) * slope) / np.sum(bessel**N)
    x, _, accepted = sampled(RING, Splitting(0.8, 0.5, T, 1.0, 0.0), N, 200_000, 4)
    assert 0.7 < accepted < 0.97
    held_to(exact, np.mean(np.cos(x - np.roll(x, 1, axis=1)), axis=1))
