"""Potts lattices: counts, latent heat, correlation length and interface tension."""

import math
from collections import Counter

import numpy as np
import pytest
from theory_checks import joint_rows, lattice_states, marginal, table

from phasegrok.theory import ising, potts

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
