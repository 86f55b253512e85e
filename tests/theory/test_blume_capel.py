"""Blume-Capel spins: counts, strips, the tricritical point and the mean field."""

import itertools
import math

import numpy as np
import pytest
from scipy import linalg, optimize, special

from phasegrok.theory import blume_capel


def test_blume_capel_brute_force():
    L, T, D, J, h = 3, 0.9, 1.4, 1.2, 0.3
    s = np.array(list(itertools.product([-1, 0, 1], repeat=L * L))).reshape(-1, L, L)
    B = (s * np.roll(s, 1, 1) + s * np.roll(s, 1, 2)).sum((1, 2))
    Q, M = (s**2).sum((1, 2)), s.sum((1, 2))
    energy = -J * B + D * Q - h * M
    w = np.exp(-energy / T)
    p = w / w.sum() / (L * L)
    exact = (math.log(w.sum()) / (L * L), p @ energy, p @ Q, p @ M)
    np.testing.assert_allclose(blume_capel.strip(L, T, D, J, h, length=L)[:4], exact, rtol=1e-12)
    counted = np.zeros((4 * L * L + 1, L * L + 1), int)
    np.add.at(counted, (B + 2 * L * L, Q), 1)
    assert np.array_equal(blume_capel.joint_density_of_states(L)[2], counted)


def test_blume_capel_counts_and_strips():
    T, D = 0.7, 1.9
    B, Q, g = blume_capel.joint_density_of_states(4)
    assert g.sum() == 3**16
    ising = g[:, 16]  # no vacancies
    assert ising.sum() == 2**16 and ising[-1] == 2 and ising[-9] == 32  # one flipped spin: B - 8
    energy = -B[:, None] + D * Q
    w = g * np.exp(-(energy - energy.min()) / T)
    ln_Z = math.log(w.sum()) - energy.min() / T
    p = w / w.sum() / 16
    exact = (ln_Z / 16, np.sum(p * energy), np.sum(p * Q))
    np.testing.assert_allclose(blume_capel.strip(4, T, D, length=4)[:3], exact, rtol=1e-12)
    # the infinite strip is the limit of long tori; its derivatives are those of its ln Z
    strip = blume_capel.strip(4, T, D, h=0.1)
    torus = blume_capel.strip(4, T, D, h=0.1, length=400)
    np.testing.assert_allclose(torus[:4], strip[:4], rtol=1e-9)
    e = 1e-5
    for value, (dT, dD, dh), factor in (
        (strip.energy, (e, 0, 0), T**2),
        (strip.s2, (0, e, 0), -T),
        (strip.magnetisation, (0, 0, e), T),
    ):
        up, down = (
            blume_capel.strip(4, T + k * dT, D + k * dD, h=0.1 + k * dh).ln_Z for k in (1, -1)
        )
        assert value == pytest.approx(factor * (up - down) / (2 * e), rel=1e-6)


def test_blume_capel_is_ising_without_vacancies():
    # ring of infinite length and D -> -infinity: Onsager's strip, 1/xi = ln(lambda_0/lambda_1)
    L, T = 4, 2.5
    K = 1 / T
    k_even, k_odd = (math.pi * (2 * np.arange(L) + f) / L for f in (1, 0))

    def gamma(k):  # cosh gamma = cosh 2K coth 2K - cos k; Onsager 1944
        return np.arccosh(np.cosh(2 * K) / np.tanh(2 * K) - np.cos(k))

    odd = gamma(k_odd)
    odd[0] = 2 * K + math.log(math.tanh(K))  # gamma_0 changes its sign at T_c
    exact = 0.5 * (gamma(k_even).sum() - odd.sum())
    found = blume_capel.strip(L, T, -60.0)
    assert 1 / found.correlation_length == pytest.approx(exact, rel=1e-9)
    assert found.s2 == pytest.approx(1.0, abs=1e-9)
    frozen = blume_capel.strip(L, 0.05, -1.0, length=6)  # two ground states, -2 - 1 a site
    assert frozen[:3] == pytest.approx((3 / 0.05 + math.log(2) / 24, -3.0, 1.0), rel=1e-12)
    assert frozen.correlation_length > 1e12


@pytest.mark.slow  # half a minute of transfer matrices
def test_blume_capel_tricritical_point():
    # the T and D at which the gaps of a strip are those of tricritical Ising, scaling dimensions
    # 3/40 and 1/5, extrapolated by a power of L from three widths
    def mismatch(x, L):
        E = blume_capel.transfer_energies(L, x[1])
        top = linalg.eigvalsh(np.exp(-E / x[0]), subset_by_index=[3**L - 3, 3**L - 1])
        return L * np.log(top[2] / top[1::-1]) / (2 * math.pi) - [3 / 40, 1 / 5]

    found = np.array([optimize.root(mismatch, [0.607, 1.966], args=(L,)).x for L in (4, 5, 6)])
    for values, exact in zip(found.T, blume_capel.TRICRITICAL_POINT_2D):
        ratio = (values[2] - values[1]) / (values[1] - values[0])

        def steps(x, ratio=ratio):
            return (6**-x - 5**-x) / (5**-x - 4**-x) - ratio

        x = optimize.brentq(steps, 0.5, 10.0)
        limit = values[2] - (values[2] - values[1]) * 6**-x / (6**-x - 5**-x)
        assert limit == pytest.approx(exact, rel=3e-4)
    strip = blume_capel.strip(6, *found[2])
    assert 6 / (2 * math.pi * strip.correlation_length) == pytest.approx(3 / 40, rel=1e-6)


def test_blume_capel_mean_field():
    T_t, D_t = blume_capel.mean_field_tricritical_point()
    # Landau coefficients m^2 and m^4 by differences of f
    m = 0.05 * np.arange(5)
    f = blume_capel.mean_field_free_energy(m, T_t, D_t)
    coefficients = np.linalg.solve(m[1:, None] ** np.array([2, 4, 6, 8]), f[1:] - f[0])
    assert np.all(np.abs(coefficients[:2]) < [1e-6, 1e-3]) and coefficients[2] > 0.05
    assert (T_t, D_t) == pytest.approx((1 / 3, 0.4620981), rel=1e-6)
    # continuous line: the curvature at m = 0 changes sign
    for T in (0.4, 0.6):
        D, jump = blume_capel.mean_field_transition(2 * T, zJ=2.0)
        assert jump == 0.0
        curve = [
            np.diff(blume_capel.mean_field_free_energy([0, 1e-3], T, D / 2 + d))[0]
            for d in (-1e-4, 1e-4)
        ]
        assert curve[0] < 0 < curve[1]
    # first-order line: two global minima on a grid
    m = np.linspace(0, 1, 200001)
    for T in (0.33, 0.2, 0.05):
        D, jump = blume_capel.mean_field_transition(T)
        f = blume_capel.mean_field_free_energy(m, T, D)
        assert f[m > jump / 2].min() == pytest.approx(f[0], abs=1e-11)
        assert m[m > jump / 2][f[m > jump / 2].argmin()] == pytest.approx(jump, abs=1e-4)
        assert f.min() > f[0] - 1e-11
    assert blume_capel.mean_field_transition(0.005) == (0.5, 1.0)
    with pytest.raises(ValueError, match="order needs"):
        blume_capel.mean_field_transition(1.0)


def test_blume_capel_mean_field_is_infinite_range():
    # E = -(1/(2N)) M^2 + D Q: exact sum over (n_up, n_down) at finite N
    N, T, D = 2000, 0.45, 0.3
    up, down = np.meshgrid(np.arange(N + 1), np.arange(N + 1))
    keep = up + down <= N
    up, down = up[keep], down[keep]
    log_w = special.gammaln(N + 1) - special.gammaln(up + 1) - special.gammaln(down + 1)
    log_w -= special.gammaln(N - up - down + 1)
    log_w += (0.5 * (up - down) ** 2 / N - D * (up + down)) / T
    free = -T * special.logsumexp(log_w) / N
    m = np.linspace(0, 1, 100001)
    limit = blume_capel.mean_field_free_energy(m, T, D).min()
    assert free == pytest.approx(limit, abs=2e-3 * abs(limit))
