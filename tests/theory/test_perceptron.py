"""Counts of the students of a perceptron, and their annealed average."""

import itertools
import math

import numpy as np
import pytest
from repository import REFERENCE
from theory_checks import joint_rows, table

from phasegrok.theory import perceptron


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
    """Mean over all sets of patterns of the students without error at distance d.

    It is binom(N, d) p_d^P, where a random pattern is classified alike with the probability p_d (a
    sum over its two halves).
    """
    N, P = 5, 2
    patterns = np.array(list(itertools.product([-1, 1], repeat=N)))
    mean = np.mean([perceptron.joint_counts(np.array(xi), np.ones(N, int))[0]
                    for xi in itertools.product(patterns, repeat=P)], axis=0)
    for d in range(N + 1):
        alike = sum(
            math.comb(d, a) * math.comb(N - d, b)
            for a in range(d + 1)
            for b in range(N - d + 1)
            if (2 * a - d + 2 * b - (N - d)) * (-(2 * a - d) + 2 * b - (N - d)) > 0
        )
        assert mean[d] == pytest.approx(math.comb(N, d) * (alike / 2**N) ** P, rel=1e-12)


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
