"""Exact results for spin systems against independent calculations."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from scipy import integrate, linalg, optimize, special

from phasegrok.theory import (
    blume_capel,
    east,
    glauber,
    mean_field_potts,
    potts,
    random_energy,
    spherical_p_spin,
)


def z_score(samples, expected):
    """Deviation of the mean in standard errors; the errors must be able to see 3 %."""
    error = samples.std(ddof=1) / math.sqrt(samples.size)
    assert error < 0.01 * abs(expected)
    return (samples.mean() - expected) / error


# --- Potts: interfaces ---------------------------------------------------------------------------


def test_potts_correlation_length_literature():
    # Borgs and Janke, J. Phys. I France 2 (1992) 2011; 2 sigma: Billoire, Neuhaus, Berg 1993
    xi = [potts.disordered_correlation_length(q) for q in (5, 7, 10, 20)]
    assert xi == pytest.approx([2512.2468, 48.095907, 10.559519, 2.6955017], rel=1e-7)
    assert 2 * potts.interface_tension(10) == pytest.approx(0.094701, abs=5e-7)
    assert potts.disordered_correlation_length(4) == math.inf and potts.interface_tension(3) == 0.0
    with pytest.raises(ValueError, match="colours"):
        potts.interface_tension(0.5)


@pytest.mark.parametrize("q", [4.5, 9.4, 9.6, 100.0])
def test_potts_correlation_length_as_it_stands(q):
    # the sum of Buffenoir and Wallon, on both sides of the change of method (v = 1/2 at q = 9.52)
    v = math.log(0.5 * (math.sqrt(math.sqrt(q) + 2) + math.sqrt(math.sqrt(q) - 2)))
    total = 0.0
    for n in range(400):
        x = (n + 0.5) * math.pi**2 / (2 * v)
        w = 1 / (math.sqrt(2) * math.cosh(x)) if x < 300 else 0.0
        total += math.log1p(w) - math.log1p(-w)
    assert potts.disordered_correlation_length(q) == pytest.approx(1 / (4 * total), rel=1e-12)


def test_potts_interface_large_q():
    # 2 sigma = (1/2) ln q - 4 q^(-1/4) + ...: a bare wall and its first steps, on each side
    for q in (1e8, 1e12, 1e16):
        rest = (0.5 * math.log(q) - 2 * potts.interface_tension(q)) * q**0.25
        assert rest == pytest.approx(4.0, abs=3 * q**-0.25)


def cluster_splitting(q, L):
    """ln of the ratio of the two largest eigenvalues of the cluster transfer matrix at T_c.

    Fortuin-Kasteleyn weights sqrt(q)^bonds q^clusters on a cylinder; the states are the connected
    sets of a row.  Splitting by tunnelling between the ordered and the disordered phase.
    """

    def renamed(row):
        names = {}
        return tuple(names.setdefault(c, len(names)) for c in row)

    v = math.sqrt(q)

    def add_row(state):
        vector = {state: 1.0}
        for i in range(L):  # vertical bond i is there, or the site starts a new cluster
            new = Counter()
            for s, weight in vector.items():
                new[s] += v * weight
                alone = s.count(s[i]) == 1
                new[renamed((*s[:i], L, *s[i + 1 :]))] += weight * (q if alone else 1.0)
            vector = new
        for i in range(L):  # horizontal bond
            new = Counter()
            for s, weight in vector.items():
                new[s] += weight
                a, b = s[i], s[(i + 1) % L]
                new[renamed(a if c == b else c for c in s)] += v * weight
            vector = new
        return vector

    index, columns = {tuple(range(L)): 0}, []
    for state in iter_growing(index):
        columns.append(add_row(state))
        for target in columns[-1]:
            index.setdefault(target, len(index))
    matrix = np.zeros((len(index), len(index)))
    for j, column in enumerate(columns):
        for target, weight in column.items():
            matrix[index[target], j] = weight / q**L
    first, second = np.sort(np.abs(np.linalg.eigvals(matrix)))[:-3:-1]
    return math.log(first / second)


def iter_growing(index):
    """Keys of a dictionary that grows on the way, in order."""
    done = 0
    while done < len(index):
        yield list(index)[done]
        done += 1


@pytest.mark.parametrize("q", [1e3, 1e4])
def test_potts_interface_from_transfer_matrix(q):
    # splitting = const exp(-sigma L) x (closed capillary walk with steps of weight q^(-1/4))
    x = q**-0.25
    k = 2 * math.pi * np.arange(2000) / 2000
    steps = (1 - x) ** 2 / (1 - 2 * x * np.cos(k) + x * x)
    logs = [math.log(cluster_splitting(q, L) / np.mean(steps**L)) for L in (5, 6)]
    assert logs[0] - logs[1] == pytest.approx(potts.interface_tension(q), rel=2e-3)


# --- infinite-range Potts ------------------------------------------------------------------------


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


# --- random-energy model -------------------------------------------------------------------------


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
        else:  # f + J sqrt ln 2 = (T_c/2) ln N/N + O(1/N) (Derrida 1981)
            growth = (N[1] * (free[1] - limit_f) - N[0] * (free[0] - limit_f)) / math.log(2)
            assert growth == pytest.approx(0.5 * T_c, rel=0.05)
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


# --- spherical p-spin ----------------------------------------------------------------------------


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
    assert overlap == pytest.approx((p - 2) / (p - 1), abs=0.03) and height > 0
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


# --- Glauber chain -------------------------------------------------------------------------------


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


# --- East model ----------------------------------------------------------------------------------


def test_east_simulated():
    N, T, n = 5, 0.8, 40000
    c = east.thermodynamics(T).energy
    times = [1.0, 4.0, 12.0]
    exact_C, exact_P = east.autocorrelation(times, T, N), east.persistence(times, T, N)
    rng, ring = np.random.default_rng(3), np.arange(n)
    start = (rng.random((n, N)) < c).astype(int)
    s, untouched = start.copy(), np.ones((n, N), bool)
    for step in range(1, 61):
        i, u = rng.integers(N, size=n), rng.random(n)
        new = np.where(s[ring, i - 1] == 1, u < c, s[ring, i])
        untouched[ring, i] &= new == s[ring, i]
        s[ring, i] = new
        if step / N in times:
            k = times.index(step / N)
            C = ((s - c) * (start - c)).mean(1) / (c * (1 - c))
            assert abs(z_score(C, exact_C[k])) < 3
            assert abs(z_score(untouched.mean(1), exact_P[k])) < 3


def test_east_equilibrium():
    T, h = 0.6, 1e-4
    at = east.thermodynamics(T)
    near = [east.thermodynamics(t) for t in (T - h, T + h)]
    assert at.energy == pytest.approx(T**2 * (near[1].ln_Z - near[0].ln_Z) / (2 * h), rel=1e-6)
    assert at.heat_capacity == pytest.approx((near[1].energy - near[0].energy) / (2 * h), rel=1e-6)
    assert at.energy == pytest.approx(1 / (1 + math.exp(1 / T)), rel=1e-14)


# --- Blume-Capel ---------------------------------------------------------------------------------


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
