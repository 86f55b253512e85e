"""Ising lattices: counts, partition functions and limits, by independent calculations."""

import math
from collections import Counter

import numpy as np
import pytest
from scipy import special
from theory_checks import joint_rows, lattice_states, marginal, table

from phasegrok.theory import ising


def sums(energy, g_E, T):
    """ln Z, <E> and C by direct summation over exact counts."""
    a = np.array([math.log(g) for g in g_E]) - np.asarray(energy) / T
    ln_Z = special.logsumexp(a)
    p = np.exp(a - ln_Z)
    mean = p @ energy
    return ln_Z, mean, p @ (energy - mean) ** 2 / T**2


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


@pytest.mark.slow
def test_ising_counts_at_32():
    energy, g_E = ising.exact_density_of_states(32)
    assert sum(g_E) == 2**1024 and g_E == g_E[::-1]
    for T in (1.0, 2.3, 5.0):
        expected = sums(energy, g_E, T)
        np.testing.assert_allclose(ising.kaufman(32, T), expected, rtol=1e-9)
