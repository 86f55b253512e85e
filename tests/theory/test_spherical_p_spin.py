"""Spherical p-spin glass: statics, Franz-Parisi potential and dynamics."""

import itertools
import math

import numpy as np
import pytest
from scipy import optimize, special
from theory_checks import z_score

from phasegrok.theory import spherical_p_spin


def test_p_spin_temperatures():
    assert spherical_p_spin.dynamic_temperature() == pytest.approx(math.sqrt(3 / 8), rel=1e-14)
    assert spherical_p_spin.static_temperature() == pytest.approx(0.58605, abs=5e-6)
    assert spherical_p_spin.ground_state_energy() == pytest.approx(-1.17167, abs=5e-6)
    assert spherical_p_spin.threshold_energy() == pytest.approx(-2 / math.sqrt(3), rel=1e-14)


@pytest.mark.parametrize("p", [3, 4, 7])
def test_p_spin_statics(p):
    T_K = spherical_p_spin.static_temperature(p)

    def free_energy(q, m, T):  # Crisanti and Sommers
        inside = 1 - (1 - m) * q
        bracket = (1 - (1 - m) * q**p) / (2 * T**2) + (m - 1) / m * math.log(1 - q)
        return -0.5 * T * (bracket + math.log(inside) / m)

    for fraction in (0.3, 0.7, 0.98):
        T = fraction * T_K
        at = spherical_p_spin.statics(T, p)
        assert at.free_energy == pytest.approx(free_energy(at.q, at.m, T), rel=1e-12)
        for axis in (0, 1):  # stationary: the vertex of a parabola through three points
            x = np.array([at.q, at.m])
            step = 1e-3 * (1 - at.q) * np.eye(2)[axis]
            low, mid, high = (free_energy(*(x + k * step), T) for k in (-1, 0, 1))
            assert abs(high - low) / abs(high - 2 * mid + low) / 2 < 0.01
        h = 1e-5 * T
        slope = [spherical_p_spin.statics(t, p).free_energy for t in (T - h, T + h)]
        assert (slope[1] - slope[0]) / (2 * h) == pytest.approx(-at.entropy, rel=1e-8)
    below = spherical_p_spin.statics(T_K * (1 - 1e-9), p)
    above = spherical_p_spin.statics(T_K, p)
    assert below.m == pytest.approx(1.0, abs=1e-7)  # the overlap jumps, energies do not
    assert below[:3] == pytest.approx(above[:3], rel=1e-7)
    # two ways to the ground state: the limit of statics and the zero of the number of minima
    ground = spherical_p_spin.ground_state_energy(p)
    rise = spherical_p_spin.statics(1e-6, p).energy - ground  # equipartition about a minimum
    assert rise / 1e-6 == pytest.approx(0.5, rel=1e-3)
    assert spherical_p_spin.complexity(ground, p) == pytest.approx(0.0, abs=1e-12)
    threshold = spherical_p_spin.threshold_energy(p)
    assert spherical_p_spin.complexity(0.999 * ground + 0.001 * threshold, p) > 0
    with pytest.raises(ValueError, match="threshold"):
        spherical_p_spin.complexity(0.99 * threshold, p)


def test_p_spin_hessian_at_threshold():
    # E = -sum g_ijk s_i s_j s_k with independent g of variance 1/(2 N^2) has the same covariance;
    # the Hessian in the tangent plane is then a semicircle of variance p (p - 1)/2 around the
    # radial force -p e, and its edge vanishes at the threshold
    N, p, rng, variances, forces = 20, 3, np.random.default_rng(8), [], []
    for _ in range(400):
        g = rng.normal(0, math.sqrt(0.5) / N, (N, N, N))
        s = rng.normal(size=N)
        s *= math.sqrt(N) / np.linalg.norm(s)
        orders = list(itertools.permutations(range(3)))
        H = -sum(np.transpose(g, order) @ s for order in orders)
        energy = -np.einsum("ijk,i,j,k->", g, s, s, s)
        forces.append(s @ H @ s / (2 * energy))  # p (p - 1) E, of which p E is radial
        P = np.eye(N) - np.outer(s, s) / N
        variances.append(np.sum((P @ H @ P) ** 2) / (N - 1))
    np.testing.assert_allclose(forces, p, rtol=1e-9)
    assert abs(z_score(np.array(variances), p * (p - 1) / 2)) < 3
    edge = 2 * math.sqrt(p * (p - 1) / 2)
    assert spherical_p_spin.threshold_energy() == pytest.approx(-edge / p, rel=1e-12)


@pytest.mark.parametrize("p", [3, 5])
def test_franz_parisi_potential(p):
    T_K = spherical_p_spin.static_temperature(p)
    T_d = spherical_p_spin.dynamic_temperature(p)
    q = np.linspace(0.0, 0.95, 3001)

    def minimum(T):
        """Overlap and height of the second minimum on the grid, or None."""
        V = spherical_p_spin.franz_parisi_potential(q, T, p)
        assert V[0] == 0.0
        inner = np.flatnonzero((V[1:-1] < V[:-2]) & (V[1:-1] < V[2:])) + 1
        assert inner.size < 2
        return (q[inner[0]], V[inner[0]]) if inner.size else None

    assert minimum(T_d * 1.0005) is None
    overlap, height = minimum(T_d * 0.9995)
    assert overlap == pytest.approx(spherical_p_spin.plateau(T_d * 0.9995, p), abs=5e-4)
    assert height > 0
    last = spherical_p_spin.plateau(T_d * (1 - 1e-8), p)  # it ends as a square root
    assert last == pytest.approx((p - 2) / (p - 1), abs=1e-4)
    overlap, height = minimum(T_K)
    assert height == pytest.approx(0.0, abs=1e-6)
    assert overlap == pytest.approx(spherical_p_spin.statics(T_K * (1 - 1e-9), p).q, abs=1e-3)
    # between: the height is T times the complexity of the TAP states that dominate at T
    T = 0.5 * (T_K + T_d)
    at = spherical_p_spin.plateau(T, p)
    z2 = 2 * (1 - at) / p  # z = q^((p-2)/2) (1 - q)/T of a TAP state
    tap = 0.5 * (
        (2 - p) / p - math.log(0.5 * p * z2) + 0.5 * (p - 1) * z2 - 2 / (p * p * z2)
    )
    height = spherical_p_spin.franz_parisi_potential(at, T, p)
    assert height / T == pytest.approx(tap, rel=1e-10)
    assert minimum(T)[0] == pytest.approx(at, abs=5e-4)


@pytest.mark.parametrize(("q", "broken"), [(0.2, False), (0.4, True)])
def test_franz_parisi_from_replicas(q, broken):
    # one reference and n copies in groups of m: the weight of their overlap matrix, n -> 0
    T, p = 0.62, 3

    def exponent(n, q0, q1, m):  # sum_ab Q_ab^p/(4 T^2) + (1/2) ln det Q
        A = 1 - q1 + m * (q1 - q0)
        terms = 1 + n + 2 * n * q**p + n * (m - 1) * q1**p + n * (n - m) * q0**p
        log_det = n * (m - 1) / m * math.log(1 - q1) + (n / m - 1) * math.log(A)
        return terms / (4 * T * T) + 0.5 * (log_det + math.log(A + n * (q0 - q * q)))

    copies = 0.3 + 0.25 * np.kron(np.eye(3), np.ones((2, 2))) + 0.45 * np.eye(6)
    Q = np.block([[np.ones((1, 1)), np.full((1, 6), q)], [np.full((6, 1), q), copies]])
    direct = np.sum(Q**p) / (4 * T * T) + 0.5 * np.linalg.slogdet(Q)[1]
    assert exponent(6, 0.3, 0.55, 2) == pytest.approx(direct, rel=1e-12)

    def minus_potential(x):
        q0, q1, m = x[0], x[0] + x[1] ** 2, x[2] if broken else 0.5
        slope = (exponent(1e-5, q0, q1, m) - exponent(-1e-5, q0, q1, m)) / 2e-5
        return T * (slope - 1 / (4 * T * T))

    start = [0.3, 0.4, 0.7] if broken else [0.1, 0.0]
    options = {"xatol": 1e-9, "fatol": 1e-15, "maxiter": 5000}
    best = optimize.minimize(minus_potential, start, method="Nelder-Mead", options=options)
    assert best.x[1] ** 2 > 0.1 if broken else best.x[1] ** 2 < 1e-3
    V = spherical_p_spin.franz_parisi_potential(q, T, p)
    assert V == pytest.approx(-best.fun, rel=1e-6)


def test_p_spin_dynamics_two_spins():
    # p = 2 is linear: relaxation in the eigenbasis of a semicircle of radius 2
    T = 1.3
    t = np.array([0.0, 1e-6, 1e-3, 0.1, 1.0, 5.0, 30.0, 200.0])
    angle = (np.arange(4000) + 0.5) * math.pi / 4000
    rate = T + 1 / T - 2 * np.cos(angle)
    exact = [np.sum(2 * np.sin(angle) ** 2 / 4000 * T / rate * np.exp(-rate * x)) for x in t]
    found = spherical_p_spin.equilibrium_correlation(t, T, 2)
    np.testing.assert_allclose(found, exact, atol=1e-6)


def test_p_spin_dynamics_uniform_grid():
    # the equation as it stands, trapezoids on a uniform grid, extrapolated in the step
    T, p, solved = 0.75, 3, []
    for n in (500, 1000):
        h = 5.0 / n
        C, slope = np.ones(n + 1), np.full(n + 1, -T)
        for i in range(1, n + 1):
            c = C[i - 1] + h * slope[i - 1]
            for _ in range(30):
                memory = C[i - 1 : 0 : -1] ** (p - 1) @ slope[1:i]
                slope[i] = -T * c - 0.5 * p / T * h * (
                    memory + 0.5 * c ** (p - 1) * slope[0] + 0.5 * slope[i]
                )
                new = C[i - 1] + 0.5 * h * (slope[i - 1] + slope[i])
                if abs(new - c) < 1e-14:
                    break
                c = new
            C[i] = c
        solved.append(C[:: n // 50])
    exact = (4 * solved[1] - solved[0]) / 3
    found = spherical_p_spin.equilibrium_correlation(np.linspace(0, 5, 51), T)
    np.testing.assert_allclose(found, exact, atol=2e-6)


def test_p_spin_dynamics_short_times_and_plateau():
    T = 0.7
    t = np.array([1e-5, 1e-3])
    second = T**2 + 1.5
    # C''' = -T C'' - (p/2T) [C'' + (p - 1) C'^2] at t = 0, from the derivative of the equation
    third = -T * second - 1.5 / T * (second + 2 * T**2)
    found = spherical_p_spin.equilibrium_correlation(t, T)
    np.testing.assert_allclose(found, 1 - T * t + second * t**2 / 2 + third * t**3 / 6, atol=1e-9)
    for p in (3, 4):
        low, high = spherical_p_spin.static_temperature(p), spherical_p_spin.dynamic_temperature(p)
        T = 0.4 * low + 0.6 * high
        C = spherical_p_spin.equilibrium_correlation(1e9, T, p)
        assert C == pytest.approx(spherical_p_spin.plateau(T, p), abs=1e-6)
        assert spherical_p_spin.equilibrium_correlation(1e6, 1.02 * high, p) < 1e-6
    with pytest.raises(ValueError, match="frozen"):
        spherical_p_spin.equilibrium_correlation(1.0, 0.5)


def test_p_spin_mode_coupling_exponents():
    # at T_d: C - 1/2 ~ t^-a with Gamma(1 - a)^2/Gamma(1 - 2a) = 1/2; above, tau ~ (T - T_d)^-gamma
    # with gamma = 1/(2a) + 1/(2b), b = 1 (exponent parameter 1/2 for every p)
    T_d = spherical_p_spin.dynamic_temperature()
    a = optimize.brentq(
        lambda x: special.gamma(1 - x) ** 2 - 0.5 * special.gamma(1 - 2 * x), 0.1, 0.49
    )
    t = np.array([1e5, 1e6])
    C = spherical_p_spin.equilibrium_correlation(t, T_d) - 0.5
    assert math.log10(C[0] / C[1]) == pytest.approx(a, rel=0.01)
    gamma = 1 / (2 * a) + 0.5
    tau = []
    for distance in (1e-3, 2.5e-4):
        t = np.geomspace(1e2, 1e8, 3000)
        C = spherical_p_spin.equilibrium_correlation(t, T_d * (1 + distance))
        tau.append(np.interp(0.2, C[::-1], np.log(t)[::-1]))
    assert (tau[1] - tau[0]) / math.log(4) == pytest.approx(gamma, rel=0.01)
