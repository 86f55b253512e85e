"""Gibbs learning of perceptrons at T = 0 against published numbers, identities and enumeration."""

import math

import numpy as np
import pytest

from phasegrok.theory import gibbs_perceptron as gibbs
from phasegrok.theory.perceptron import joint_counts, overlaps


def test_published_numbers():
    """Gyorgyi 1990: transition at 1.245, spinodal at 1.493, alpha eps -> 0.625 on the sphere."""
    at, end = gibbs.ising_transition(), gibbs.ising_spinodal()
    assert at.alpha == pytest.approx(1.245, abs=5e-4) and abs(at.entropy) < 1e-9
    assert end.alpha == pytest.approx(1.493, abs=5e-4) and end.R > at.R
    far = gibbs.spherical(0.9998)
    assert far.alpha * far.error == pytest.approx(0.625, abs=1e-3)


@pytest.mark.parametrize("R", [0.01, 0.2, 0.6, 0.95, 0.999])
def test_derivative_of_the_pattern_term(R):
    step = 1e-5 * (1.0 - R)
    sides = [gibbs.pattern_term(R + sign * step)[0] for sign in (1.0, -1.0)]
    assert (sides[0] - sides[1]) / (2.0 * step) == pytest.approx(gibbs.pattern_term(R)[1], rel=1e-5)


@pytest.mark.parametrize("curve, x", [(gibbs.ising, 0.4), (gibbs.ising, 1.5),
                                      (gibbs.spherical, 0.3), (gibbs.spherical, 0.9)])
def test_entropy_falls_by_what_one_more_pattern_tells(curve, x):
    """d phi/d alpha = Psi(R) along the curve, since phi is stationary in R and r."""
    one, two = curve(x * (1.0 - 1e-4)), curve(x * (1.0 + 1e-4))
    slope = (two.entropy - one.entropy) / (two.alpha - one.alpha)
    assert slope == pytest.approx(gibbs.pattern_term(curve(x).R)[0], rel=1e-5)


def test_few_patterns():
    """R = 2 alpha/pi and a loss of ln 2 a pattern to first order."""
    point = gibbs.ising(1e-4)
    assert point.R == pytest.approx(2.0 * point.alpha / math.pi, rel=1e-3)
    assert math.log(2.0) - point.entropy == pytest.approx(math.log(2.0) * point.alpha, rel=1e-3)


def test_enumerated_students_approach_the_curve():
    """Mean overlap at alpha = 0.6 of all students without error, extrapolated in 1/N."""
    rng = np.random.default_rng(1)
    sizes, means, errors = (11, 21), [], []
    for N, samples in zip(sizes, (4000, 400)):
        P = round(0.6 * N)
        R_samples = []
        for _ in range(samples):
            patterns = 2 * rng.integers(0, 2, (P, N)) - 1
            counts = joint_counts(patterns, np.ones(N, int))[0]
            R_samples.append(counts @ overlaps(N) / counts.sum())
        # P is an integer: shift to alpha = 0.6 by the slope of the curve
        curve = [gibbs.ising(r) for r in np.linspace(0.2, 1.5, 200)]
        alphas, R = np.array([(p.alpha, p.R) for p in curve]).T
        shift = np.interp(0.6, alphas, R) - np.interp(P / N, alphas, R)
        means.append(np.mean(R_samples) + shift)
        errors.append(np.std(R_samples) / math.sqrt(samples))
    large, small = sizes[1], sizes[0]
    limit = (large * means[1] - small * means[0]) / (large - small)
    error = math.hypot(large * errors[1], small * errors[0]) / (large - small)
    exact = np.interp(0.6, alphas, R)
    assert error < 0.03 * exact
    assert abs(limit - exact) < 4.0 * error


def test_out_of_range_is_refused():
    for call, value in ((gibbs.ising, 0.0), (gibbs.spherical, 1.0), (gibbs.pattern_term, 1.0)):
        with pytest.raises(ValueError, match="required"):
            call(value)
