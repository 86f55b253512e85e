"""Closed forms and exact counts against independent calculations."""

import itertools
import math
import runpy
from collections import Counter

import numpy as np
import pytest
from repository import REFERENCE
from scipy import integrate, special

from phasegrok.theory import curie_weiss, first_passage, ising, perceptron, potts


def table(name):
    """Rows of an exact table as tuples of Python integers."""
    lines = (REFERENCE / name).read_text().splitlines()[1:]
    return [tuple(int(word) for word in line.split(",")) for line in lines]


def marginal(rows):
    """Number of states by energy of a joint table."""
    total = Counter()
    for row in rows:
        total[row[0]] += row[-1]
    return sorted(total.items())


def joint_rows(energy, second, counts):
    return [
        (int(energy[i]), int(second[j]), int(counts[i, j])) for i, j in np.argwhere(counts != 0)
    ]


def sums(energy, g_E, T):
    """ln Z, <E> and C by direct summation over exact counts."""
    a = np.array([math.log(g) for g in g_E]) - np.asarray(energy) / T
    ln_Z = special.logsumexp(a)
    p = np.exp(a - ln_Z)
    mean = p @ energy
    return ln_Z, mean, p @ (energy - mean) ** 2 / T**2


def lattice_states(q, L):
    """All states of a q-colour L x L lattice, shape (q^N, L, L)."""
    index = np.arange(q ** (L * L))
    digits = index[:, None] // q ** np.arange(L * L) % q
    return digits.reshape(-1, L, L).astype(np.int8)


# --- Ising ---------------------------------------------------------------------------------------


def test_ising_counts_brute_force():
    s = 2 * lattice_states(2, 4) - 1
    energy = -(s * np.roll(s, 1, 1)).sum((1, 2)) - (s * np.roll(s, 1, 2)).sum((1, 2))
    brute = Counter(zip(energy.tolist(), s.sum((1, 2)).tolist()))
    expected = sorted((e, m, g) for (e, m), g in brute.items())
    assert joint_rows(*ising.joint_density_of_states(4)) == expected
    assert table("ising2d_gEM_L4.csv") == expected
    assert list(zip(*(x.tolist() for x in ising.density_of_states(4)))) == marginal(expected)


def test_ising_transfer_matrix_equals_kaufman_polynomial():
    for L in (4, 6, 8):
        energy, g_E = ising.density_of_states(L)
        energy_p, g_p = ising.exact_density_of_states(L)
        assert energy.tolist() == energy_p.tolist()
        assert [int(g) for g in g_E] == g_p


def test_ising_tables():
    g_8 = table("ising2d_gE_L8.csv")
    assert sum(g for _, g in g_8) == 2**64
    assert dict(g_8) == {-e: g for e, g in g_8}
    joint = table("ising2d_gEM_L8.csv")
    assert marginal(joint) == g_8
    assert {(e, -m): g for e, m, g in joint} == {(e, m): g for e, m, g in joint}
    by_m = Counter()
    for _, m, g in joint:
        by_m[m] += g
    assert by_m == {2 * k - 64: math.comb(64, k) for k in range(65)}
    g_16 = table("ising2d_gE_L16.csv")
    assert sum(g for _, g in g_16) == 2**256
    # two ground states, one flipped spin, a flipped pair: Beale, Phys. Rev. Lett. 76 (1996) 78
    assert g_16[:3] == [(-512, 2), (-504, 512), (-500, 1024)]


@pytest.mark.parametrize("L", [3, 5, 8, 16])
def test_kaufman_against_counts(L):
    if L == 16:
        rows = table("ising2d_gE_L16.csv")
        energy, g_E = np.array([e for e, _ in rows]), [g for _, g in rows]
    else:
        energy, g_E = ising.density_of_states(L)
    T = np.array([0.4, 1.0, 2.0, ising.critical_temperature(), 2.5, 20.0])
    expected = np.array([sums(energy, [int(g) for g in g_E], t) for t in T]).T
    ln_Z, mean, heat_capacity = ising.kaufman(L, T)
    np.testing.assert_allclose(ln_Z, expected[0], rtol=1e-12)
    np.testing.assert_allclose(mean, expected[1], rtol=1e-12)
    # the second derivative is a difference of terms of order N K^2, so its error is absolute
    error = np.abs(heat_capacity - expected[2])
    assert np.all(error < 1e-11 * expected[2] + 1e-15 * L**2 / T**2)


def test_kaufman_coupling_scale_and_extremes():
    one, scaled = ising.kaufman(6, 2.0), ising.kaufman(6, 5.0, J=2.5)
    np.testing.assert_allclose(scaled, [one[0], 2.5 * one[1], one[2]], rtol=1e-13)
    assert np.shape(one.ln_Z) == ()
    T = np.array([1e-3, 0.1, 1e3, 1e6])
    ln_Z, energy, heat_capacity = ising.kaufman(1024, T)
    N = 1024**2
    np.testing.assert_allclose(ln_Z[:2], 2 * N / T[:2] + math.log(2), rtol=1e-15)
    # high temperatures: ln Z = N (ln 2 + 2 ln cosh K + K^4 + ...), the last from plaquettes
    K = 1 / T[2:]
    np.testing.assert_allclose(ln_Z[2:], N * (math.log(2) + K**2 + 5 / 6 * K**4), rtol=1e-14)
    np.testing.assert_allclose(energy[2], -2 * N / T[2] * (1 + 5 / 3 / T[2] ** 2), rtol=1e-8)
    np.testing.assert_allclose(heat_capacity[2], 2 * N / T[2] ** 2, rtol=1e-5)
    with pytest.raises(ValueError, match="L >= 3"):
        ising.kaufman(2, 1.0)


def test_onsager_is_the_limit_of_kaufman():
    L, N = 256, 256**2
    T = np.array([1.0, 1.8, 2.1, 2.5, 3.0, 10.0])
    ln_Z, energy, heat_capacity = ising.kaufman(L, T)
    below = np.where(T < ising.critical_temperature(), math.log(2), 0.0)  # two ordered phases
    np.testing.assert_allclose(-T * (ln_Z - below) / N, ising.onsager_free_energy(T), rtol=1e-13)
    np.testing.assert_allclose(energy / N, ising.onsager_energy(T), rtol=1e-12)
    np.testing.assert_allclose(heat_capacity / N, ising.onsager_heat_capacity(T), rtol=1e-10)
    T_c = ising.critical_temperature()
    catalan = 0.915965594177219015
    exact = -T_c * (0.5 * math.log(2) + 2 * catalan / math.pi)  # Onsager 1944, eq. 121
    assert ising.onsager_free_energy(T_c) == pytest.approx(exact, rel=1e-13)
    assert ising.onsager_energy(T_c) == pytest.approx(-math.sqrt(2), rel=1e-12)
    # at T_c: E/N = -sqrt 2 - 2 theta_2 theta_3 theta_4/(theta_2 + theta_3 + theta_4)/L + O(1/L^3),
    # nome exp(-pi) (Ferdinand and Fisher, Phys. Rev. 185 (1969) 832)
    nome, n = math.exp(-math.pi), np.arange(1, 8)
    theta_2 = 2 * np.sum(nome ** ((n - 0.5) ** 2))
    theta_3 = 1 + 2 * np.sum(nome ** (n**2))
    theta_4 = 1 + 2 * np.sum((-1.0) ** n * nome ** (n**2))
    amplitude = 2 * theta_2 * theta_3 * theta_4 / (theta_2 + theta_3 + theta_4)
    shift = L * (ising.kaufman(L, T_c).energy / N + math.sqrt(2))
    assert shift == pytest.approx(-amplitude, rel=1e-4)


def test_spontaneous_magnetisation_against_counts():
    rows = np.array(table("ising2d_gEM_L8.csv"), dtype=float)
    T = 1.1
    log_w = np.log(rows[:, 2]) - rows[:, 0] / T
    p = np.exp(log_w - special.logsumexp(log_w))
    mean = p @ np.abs(rows[:, 1]) / 64
    # corrections are walls across the lattice, exp(-16 K) times their number
    assert mean == pytest.approx(float(ising.spontaneous_magnetisation(T)), abs=2e-5)
    assert 1.0 - mean > 1e-3
    T_c = ising.critical_temperature()
    assert ising.spontaneous_magnetisation([T_c + 1e-9, 3.0]).tolist() == [0.0, 0.0]


def test_enumerated_bonds():
    bonds = [(x + 4 * y, (x + 1) % 4 + 4 * y) for x in range(4) for y in range(4)]
    bonds += [(x + 4 * y, x + 4 * ((y + 1) % 4)) for x in range(4) for y in range(4)]
    rows = joint_rows(*ising.enumerate_bonds(16, bonds, np.ones(32, int)))
    assert rows == table("ising2d_gEM_L4.csv")
    rng = np.random.default_rng(5)
    pairs, J = rng.choice(7, (12, 2)), rng.integers(-2, 3, 12)
    pairs[:, 1] = (pairs[:, 0] + 1 + pairs[:, 1] % 6) % 7
    s = 2 * (np.arange(2**7)[:, None] >> np.arange(7) & 1) - 1
    energy = -(J * s[:, pairs[:, 0]] * s[:, pairs[:, 1]]).sum(1)
    brute = Counter(zip(energy.tolist(), s.sum(1).tolist()))
    rows = joint_rows(*ising.enumerate_bonds(7, pairs, J))
    assert rows == sorted((e, m, g) for (e, m), g in brute.items())
    with pytest.raises(ValueError, match="itself"):
        ising.enumerate_bonds(3, [(1, 1)], [1])
    with pytest.raises(ValueError, match="integer"):
        ising.enumerate_bonds(3, [(0, 1)], [0.5])


def test_edwards_anderson_instance():
    rows = np.array(table("edwards_anderson_L4_bonds.csv"))
    assert sorted(Counter(rows[:, :2].ravel().tolist()).values()) == [4] * 16
    s = (2 * lattice_states(2, 4) - 1).reshape(-1, 16).astype(int)
    energy = -(s[:, rows[:, 0]] * s[:, rows[:, 1]] * rows[:, 2]).sum(1)
    assert sorted(Counter(energy.tolist()).items()) == table("edwards_anderson_L4_gE.csv")


# --- Potts ---------------------------------------------------------------------------------------


def test_potts_two_colours_is_ising():
    for L in (3, 4, 5):
        energy, g_E = potts.density_of_states(2, L)
        energy_ising, g_ising = ising.density_of_states(L)
        # -sum delta = (E_Ising - 2 N)/2
        assert (2 * energy + 2 * L * L).tolist() == energy_ising.tolist()
        assert g_E == [int(g) for g in g_ising]
    assert 2 * potts.transition_temperature(2) == pytest.approx(ising.critical_temperature())


def test_potts_counts_brute_force():
    s = lattice_states(3, 3)
    energy = -(s == np.roll(s, 1, 1)).sum((1, 2)) - (s == np.roll(s, 1, 2)).sum((1, 2))
    largest = np.max([(s == c).sum((1, 2)) for c in range(3)], axis=0)
    brute = Counter(zip(energy.tolist(), largest.tolist()))
    expected = sorted((e, n, g) for (e, n), g in brute.items())
    assert joint_rows(*potts.joint_density_of_states(3, 3)) == expected
    energy, g_E = potts.density_of_states(3, 3)
    assert list(zip(energy.tolist(), g_E)) == marginal(expected)


def test_potts_more_colours_than_a_row():
    energy, g_E = potts.density_of_states(5, 3)
    assert list(zip(energy.tolist(), g_E)) == marginal(
        joint_rows(*potts.joint_density_of_states(5, 3))
    )


def test_potts_tables():
    for q in (3, 10):
        energy, g_E = potts.density_of_states(q, 4)
        assert table(f"potts_gE_q{q}_L4.csv") == list(zip(energy.tolist(), g_E))
        assert sum(g_E) == q**16
        # first moment over all states: a bond is satisfied with probability 1/q
        assert q * sum(int(e) * g for e, g in zip(energy, g_E)) == -32 * q**16
    joint = table("potts_gEn_q3_L4.csv")
    assert marginal(joint) == table("potts_gE_q3_L4.csv")
    # 16 sites of three colours with a largest class of 6: 6+6+4 and 6+5+5
    ways = 3 * math.factorial(16)
    by_n = sum(g for _, n, g in joint if n == 6)
    six_six_four = ways // (math.factorial(6) ** 2 * math.factorial(4))
    assert by_n == six_six_four + ways // (math.factorial(6) * math.factorial(5) ** 2)


def test_latent_heat():
    assert potts.latent_heat(10) == pytest.approx(0.69605, abs=5e-6)  # Baxter 1973
    assert potts.latent_heat(5) == pytest.approx(0.052919, abs=5e-7)
    assert potts.latent_heat(4) == 0.0
    for q in (5.0, 7.0, 9.5, 10.0, 12.0):  # the product as it stands
        theta = math.acosh(math.sqrt(q) / 2)
        product = math.prod(math.tanh(n * theta) ** 2 for n in range(1, 400))
        expected = 2 * (1 + 1 / math.sqrt(q)) * math.tanh(theta / 2) * product
        assert potts.latent_heat(q) == pytest.approx(expected, rel=1e-13)
    # physics of large q at T_c: a flipped site in the ordered phase costs 4 and weighs
    # (q - 1) exp(-4/T), a satisfied bond in the disordered one gains exp(1/T)/(exp(1/T) + q - 1)
    q, ordered = 1e6, potts.transition_energies(1e6)[0]
    assert ordered == pytest.approx(-2 + 4 * (q - 1) / (1 + math.sqrt(q)) ** 4, abs=0.03 * 4 / q)


# --- Curie-Weiss ---------------------------------------------------------------------------------


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


# --- first-passage times -------------------------------------------------------------------------


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


# --- perceptron ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("N", "P"), [(5, 4), (7, 9)])
def test_perceptron_counts_naive(N, P):
    rng = np.random.default_rng(N)
    xi, teacher = rng.choice([-1, 1], (P, N)), rng.choice([-1, 1], N)
    naive = np.zeros((P + 1, N + 1), dtype=int)
    energies, R = [], []
    for student in itertools.product([-1, 1], repeat=N):
        wrong = sum(int(np.sign(p @ student) != np.sign(p @ teacher)) for p in xi)
        naive[wrong, int(np.sum(teacher != student))] += 1
        energies.append(wrong)
        R.append(teacher @ student / N)
    counts = perceptron.joint_counts(xi, teacher)
    assert np.array_equal(counts, naive)
    T, E, R = 0.6, np.array(energies), np.array(R)
    w = np.exp(-E / T)
    p = w / w.sum()
    mean = p @ E
    exact = (math.log(w.sum()), mean, p @ (E - mean) ** 2 / T**2, p @ R, p @ R**2)
    np.testing.assert_allclose(perceptron.thermodynamics(counts, T), exact, rtol=1e-12)
    overlap, potential = perceptron.effective_potential(counts, T)
    log_P = np.log([p[np.isclose(R, r)].sum() for r in overlap])
    np.testing.assert_allclose(potential, log_P.max() - log_P, atol=1e-12)


def test_perceptron_instance():
    rows = np.loadtxt(REFERENCE / "perceptron_N11_P11_patterns.csv", delimiter=",", dtype=int)
    counts = perceptron.joint_counts(rows[1:], rows[0])
    listed = joint_rows(np.arange(12), np.arange(12), counts)
    assert table("perceptron_N11_P11_counts.csv") == listed
    assert counts[0].sum() == 13 and counts.sum() == 2**11
    with pytest.raises(ValueError, match="odd"):
        perceptron.joint_counts(rows[1:, 1:], rows[0, 1:])


def test_perceptron_annealed_average():
    # Mean over pattern sets of the students without error at distance d: binom(N, d) p_d^P, where a
    # random pattern is classified alike with the probability p_d (exact sum over its two halves)
    N, P, n = 9, 6, 4000
    rng = np.random.default_rng(3)
    samples = np.array(
        [perceptron.joint_counts(rng.choice([-1, 1], (P, N)), np.ones(N, int))[0] for _ in range(n)]
    )
    for d in (1, 2, 4):
        alike = sum(
            math.comb(d, a) * math.comb(N - d, b)
            for a in range(d + 1)
            for b in range(N - d + 1)
            if (2 * a - d + 2 * b - (N - d)) * (-(2 * a - d) + 2 * b - (N - d)) > 0
        )
        expected = math.comb(N, d) * (alike / 2**N) ** P
        error = samples[:, d].std() / math.sqrt(n)
        assert error < 0.03 * expected
        assert abs(samples[:, d].mean() - expected) < 3 * error


def test_annealed_transition():
    alpha, R = perceptron.annealed_transition()
    assert alpha == pytest.approx(1.448, abs=5e-4)  # Gyorgyi 1990
    grid = np.linspace(0.0, 0.95, 200001)
    for T in (0.0, 0.5, 2.0):
        alpha, R = perceptron.annealed_transition(T)
        s = perceptron.annealed_entropy(grid, alpha, T)
        top = int(s.argmax())
        assert s[top] == pytest.approx(0.0, abs=1e-9) and grid[top] == pytest.approx(R, abs=1e-5)
        spinodal = perceptron.annealed_spinodal(T)
        fine = np.linspace(0.0, 0.999, 400001)
        for factor, has_maximum in ((0.999, True), (1.001, False)):
            s = perceptron.annealed_entropy(fine, factor * spinodal, T)
            assert bool(np.any(np.diff(s) < 0)) is has_maximum


# --- the tables can be made again ----------------------------------------------------------------


@pytest.mark.slow
def test_reference_tables_are_reproduced(tmp_path):
    script = runpy.run_path(str(REFERENCE / "make_reference.py"))
    script["main"](tmp_path)
    made = sorted(path.name for path in tmp_path.iterdir())
    assert len(made) == 10
    for name in made:
        assert (tmp_path / name).read_text() == (REFERENCE / name).read_text()


@pytest.mark.slow
def test_ising_counts_at_32():
    energy, g_E = ising.exact_density_of_states(32)
    assert sum(g_E) == 2**1024 and g_E == g_E[::-1]
    for T in (1.0, 2.3, 5.0):
        expected = sums(energy, g_E, T)
        np.testing.assert_allclose(ising.kaufman(32, T), expected, rtol=1e-9)
