"""Variances of overlaps, their densities and plateaus, and motions of known law."""

import math

import numpy as np
import pytest
from calibration import assert_calibrated
from scipy.integrate import quad
from scipy.stats import norm

from phasegrok.relaxation.heterogeneity import (
    FourPointSusceptibility,
    four_point_susceptibility,
    overlap_at_peak,
    overlap_distribution,
    pair_overlap_distribution,
    peak_of_susceptibility,
    plateau,
    self_intermediate_scattering,
)

TIMES = np.geomspace(0.05, 5.0, 12)


def overlaps(rng, replicas, groups, size):
    """C(t) of groups of spins that flip together at rate 1/2: (R, T), with mean exp(-t)."""
    s, rows = np.ones((replicas, groups)), []
    for dt in np.diff(TIMES, prepend=0.0):
        s *= np.where(rng.random(s.shape) < -0.5 * math.expm1(-dt), -1.0, 1.0)
        rows.append(s.repeat(size, axis=1).mean(axis=1))
    return np.stack(rows, axis=1)


@pytest.mark.parametrize("size", [1, 5])
def test_spins_that_flip_in_groups(size):
    """chi_4 = m (1 - exp(-2t)) for groups of m spins, at every time."""
    exact, z, at = size * -np.expm1(-2.0 * TIMES), [], 6
    for seed in range(100):
        rows = overlaps(np.random.default_rng(seed), 256, 60, size)
        found = four_point_susceptibility(rows, 60 * size)
        z.append((found.value_t[at] - exact[at]) / found.error_t[at])
    assert found.error_t[at] < 0.12 * exact[at]
    assert_calibrated(z)
    pooled = np.concatenate([overlaps(np.random.default_rng([9, s]), 256, 60, size)
                             for s in range(40)])
    found = four_point_susceptibility(pooled, 60 * size)
    assert (found.error_t < 0.017 * exact).all()
    assert (np.abs(found.value_t - exact) < 3.5 * found.error_t).all()


def test_the_variance_is_that_within_samples():
    """Samples with magnetisations of their own, which are no fluctuations of histories."""
    rng, z = np.random.default_rng(1), []
    for _ in range(100):
        rows = rng.uniform(0.0, 1.0, 40).repeat(6)[:, None] + 0.1 * rng.normal(size=(240, 3))
        found = four_point_susceptibility(rows, 50, n_samples=40)
        z.append((found.value_t[0] - 0.5) / found.error_t[0])
    assert found.error_t[0] < 0.06
    assert_calibrated(z, dof=39)
    rows = np.random.default_rng(2).normal(size=(9, 2))
    assert four_point_susceptibility(rows, 7).value_t == pytest.approx(7 * rows.var(0, ddof=1))
    left_out = [7 * np.delete(rows, r, axis=0).var(0, ddof=1) for r in range(9)]
    assert four_point_susceptibility(rows, 7).left_out_nt == pytest.approx(np.array(left_out))


def test_maximum_of_the_susceptibility():
    """C = exp(-t/tau), ln tau normal of replica to replica: the variance has one maximum."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights /= weights.sum()
    spread, fine = 0.5, np.geomspace(0.1, 10.0, 4001)
    curve = np.exp(-fine[:, None] * np.exp(-spread * nodes))
    chi = 100.0 * ((curve**2) @ weights - (curve @ weights) ** 2)
    at, height = fine[np.argmax(chi)], chi.max()
    times, z = np.geomspace(0.05, 40.0, 24), []
    for seed in range(100):
        tau = np.exp(spread * np.random.default_rng(seed).normal(size=400))
        found = peak_of_susceptibility(times, four_point_susceptibility(
            np.exp(-times / tau[:, None]), 100))
        z.append([math.log(found.place / at) / (found.place_err / found.place),
                  (found.height - height) / found.height_err])
    assert found.place_err < 0.1 * at and found.height_err < 0.1 * height
    for z_s in np.transpose(z):
        assert_calibrated(z_s)
    exact = np.interp(np.log(times), np.log(fine), chi, left=0.0, right=0.0)
    found = peak_of_susceptibility(times, FourPointSusceptibility(
        exact, 0.01 * exact, exact * np.array([[0.9], [1.0], [1.1]])))
    assert (found.place, found.height) == pytest.approx((at, height), rel=2e-3)
    assert found.height_err == pytest.approx(height * 0.1 * math.sqrt(2.0 * 2.0 / 3.0), rel=0.01)


EDGES = np.linspace(-1.0, 1.0, 41)


def two_peaks(rng, samples, number, q=0.5, width=0.1):
    """Overlaps of both signs about a value, of which half is that of the sample."""
    scatter = rng.normal(size=(samples, 1)) + rng.normal(size=(samples, number))
    return rng.choice([-1.0, 1.0], size=(samples, number)) * (q + width * scatter / math.sqrt(2.0))


def test_density_of_gaussian_overlaps():
    """The density and the place of its peak; overlaps of one sample depend on one another."""
    def normal(q, mean, width):
        return math.exp(-0.5 * ((q - mean) / width) ** 2) / (width * math.sqrt(2.0 * math.pi))

    z, z_peak, b = [], [], 29  # q from 0.45 to 0.5
    exact = 0.5 * quad(lambda q: normal(q, 0.5, 0.1), 0.45, 0.5)[0] / 0.05
    for seed in range(100):
        q_sm = two_peaks(np.random.default_rng(seed), 200, 50)
        found = overlap_distribution(q_sm, EDGES, symmetric=True)
        z.append((found.value_b[b] - exact) / found.error_b[b])
        value, error = overlap_at_peak(found)
        z_peak.append((value - 0.5) / error)
    assert found.middle_b[b] == pytest.approx(0.475)
    assert found.value_b.sum() * 0.05 == pytest.approx(1.0)
    assert found.error_b[b] < 0.06 * exact and error < 0.02
    assert_calibrated(z, dof=199)
    assert_calibrated(z_peak, dof=199)
    halves = overlap_distribution(np.abs(q_sm), np.linspace(0.0, 1.0, 21))
    assert overlap_at_peak(halves) == pytest.approx((value, error))


def test_density_of_pairs_of_replicas():
    """q = m_a m_b with ln m normal: ln q is normal too, with twice the variance."""
    edges, z = np.array([0.0, 0.15, 0.3, 5.0]), []
    exact = norm.cdf((np.log(edges[1:3]) + 1.4) / (0.4 * math.sqrt(2.0)))
    for seed in range(100):
        m = np.exp(np.random.default_rng(seed).normal(-0.7, 0.4, size=200))
        found = pair_overlap_distribution(np.outer(m, m), edges)
        z.append((found.value_b[:2] * 0.15 - [exact[0], exact[1] - exact[0]])
                 / (found.error_b[:2] * 0.15))
    assert (found.value_b * np.diff(edges)).sum() == pytest.approx(1.0)
    for z_s in np.transpose(z):
        assert_calibrated(z_s, dof=199)
    less = pair_overlap_distribution(np.outer(m[1:], m[1:]), edges)
    assert found.left_out_nb[0] == pytest.approx(less.value_b)


def test_density_of_independent_pairs():
    """Angles with q = cos: P(q) = 1/(pi sqrt(1 - q^2)), and errors that are sqrt(2) too large."""
    edges, z = np.array([-1.0, -0.5, 0.0, 0.5, 1.0]), []
    for seed in range(100):
        angle = np.random.default_rng(seed).uniform(0.0, 2.0 * math.pi, size=(20, 12))
        found = pair_overlap_distribution(np.cos(angle[:, :, None] - angle[:, None, :]), edges)
        z.append((found.value_b[1] - 1.0 / 3.0) / found.error_b[1] * math.sqrt(2.0))
    assert found.error_b[1] < 0.04
    assert_calibrated(z, dof=11)
    q_rr = np.cos(angle[0][:, None] - angle[0])
    one = pair_overlap_distribution(q_rr, edges, symmetric=True)
    upper = np.histogram(q_rr[np.triu_indices(12, 1)], edges, density=True)[0]
    assert one.value_b == pytest.approx(0.5 * (upper + upper[::-1]))


def test_no_frozen_overlap():
    q_sm = 0.1 * np.random.default_rng(0).normal(size=(50, 400))
    assert overlap_at_peak(overlap_distribution(q_sm, EDGES)) == (0.0, pytest.approx(0.05))


@pytest.mark.parametrize("slow", [1e5, 1e12])
def test_plateau_between_two_decays(slow):
    """C = 0.4 exp(-t) + 0.6 exp(-t/slow), which may or may not decay within the run."""
    times, z = np.geomspace(0.1, 1e7, 65), []
    curve = 0.4 * np.exp(-times) + 0.6 * np.exp(-times / slow)
    for seed in range(100):
        rng = np.random.default_rng(seed)
        rows = curve + 0.03 * rng.normal(size=(24, 1)) + 0.01 * rng.normal(size=(24, 65))
        found = plateau(times, rows, width=10.0)
        z.append((found.value - 0.6) / found.error)
    assert found.error < 0.01 and abs(found.fall) < 0.01
    assert found.last == pytest.approx(10.0 * found.first)
    assert_calibrated(z, dof=23)


def test_scattering_of_harmonic_modes():
    """F_s = exp(-k^2 (T/kappa) (1 - exp(-kappa t))) in equilibrium, at two wave numbers."""
    T, kappa, k = 0.8, 1.5, np.array([0.5, 2.0])
    exact = np.exp(-(k[:, None] ** 2) * T / kappa * -np.expm1(-kappa * TIMES))
    z = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        then = math.sqrt(T / kappa) * rng.normal(size=(24, 300))
        x, rows = then, []
        for dt in np.diff(TIMES, prepend=0.0):
            decay = math.exp(-kappa * dt)
            x = decay * x + math.sqrt(T / kappa * (1.0 - decay**2)) * rng.normal(size=x.shape)
            rows.append(x)
        found = self_intermediate_scattering(then, np.stack(rows, axis=1), k)
        z.append((found.value_kt - exact) / found.error_kt)
    assert found.replicas_rkt.shape == (24, 2, 12) and (found.error_kt < 0.1 * exact).all()
    for at in ((0, 3), (0, 11), (1, 3), (1, 11)):
        assert_calibrated([z_kt[at] for z_kt in z], dof=23)
    one = self_intermediate_scattering(then, np.stack(rows, axis=1), 2.0, n_samples=6)
    assert one.value_kt[0] == pytest.approx(found.value_kt[1])
    means = found.replicas_rkt[:, 1].reshape(6, 4, 12).mean(axis=1)
    assert one.error_kt[0] == pytest.approx(means.std(axis=0, ddof=1) / math.sqrt(6.0))


Q = np.zeros((4, 5))


@pytest.mark.parametrize("function, arguments, sentence", [
    (four_point_susceptibility, (Q[0], 5), "one row"),
    (four_point_susceptibility, (Q[:3], 5), "four replicas"),
    (four_point_susceptibility, (Q, 5, 4), "two at least"),
    (four_point_susceptibility, (Q * np.nan, 5), "finite"),
    (overlap_distribution, (Q[:2], EDGES), "three samples"),
    (overlap_distribution, (Q + 2.0, EDGES), "widen the edges"),
    (overlap_distribution, (Q + np.inf, EDGES), "not finite"),
    (overlap_distribution, (Q, EDGES[::-1]), "ascending"),
    (overlap_distribution, (Q, EDGES[1:], True), "symmetric about 0"),
    (pair_overlap_distribution, (Q, EDGES), "square matrix"),
    (pair_overlap_distribution, (np.triu(np.ones((4, 4))), EDGES), "is symmetric"),
    (plateau, (TIMES, np.zeros((4, 12))), "above 0.1"),
    (plateau, (TIMES, np.ones((4, 12)), 1.0), "width above 1"),
    (plateau, (TIMES, np.ones((2, 12))), "three replicas"),
    (self_intermediate_scattering, (Q, np.zeros((4, 3, 6)), 1.0), "give coordinates"),
    (self_intermediate_scattering, (Q[:2], np.zeros((2, 3, 5)), 1.0), "three replicas"),
    (self_intermediate_scattering, (Q, np.full((4, 3, 5), np.nan), 1.0), "not finite"),
])
def test_bad_input_is_refused(function, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        function(*arguments)


def test_peaks_that_cannot_be_seen_are_refused():
    odd = overlap_distribution(Q, np.linspace(-1.0, 1.0, 4))
    with pytest.raises(ValueError, match="an edge at 0"):
        overlap_at_peak(odd)
    with pytest.raises(ValueError, match="five points"):
        overlap_at_peak(overlap_distribution(Q + 0.5, np.linspace(-1.0, 1.0, 9)))
    last = overlap_distribution(Q + 0.99, EDGES)
    with pytest.raises(ValueError, match="last point"):
        overlap_at_peak(last)
    rows = np.random.default_rng(0).normal(size=(9, 1)) * TIMES
    with pytest.raises(ValueError, match="last point"):
        peak_of_susceptibility(TIMES, four_point_susceptibility(rows, 5))
