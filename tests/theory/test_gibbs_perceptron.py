"""Gibbs learning of perceptrons against published numbers, identities and enumeration."""

import math

import numpy as np
import pytest
from scipy import integrate, special

from phasegrok.theory import gibbs_perceptron as gibbs
from phasegrok.theory import numbers
from phasegrok.theory.perceptron import annealed_entropy, joint_counts, overlaps, thermodynamics


def test_published_numbers():
    """Gyorgyi 1990: transition at 1.245, spinodal at 1.493, alpha eps -> 0.625 on the sphere."""
    at, end = gibbs.ising_transition(), gibbs.ising_spinodal()
    assert at.alpha == pytest.approx(1.245, abs=5e-4) and abs(at.entropy) < 1e-9
    assert end.alpha == pytest.approx(1.493, abs=5e-4) and end.R > at.R
    far = gibbs.spherical(0.9998)
    assert far.alpha * far.error == pytest.approx(0.625, abs=1e-3)
    far = gibbs.spherical_at(20_000.0)
    assert far.alpha * far.error == pytest.approx(0.6247, abs=1e-4)


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
    for call, values in ((gibbs.ising, (0.0,)), (gibbs.spherical, (1.0,)),
                         (gibbs.pattern_term, (1.0,)), (gibbs.ising_thermal, (1.0, 0.0)),
                         (gibbs.ising_thermal, (0.0, 1.0)), (gibbs.ising_entropy, (1.0, 0.5)),
                         (gibbs.ising_thermal_spinodal, (101.0,))):
        with pytest.raises(ValueError, match="required"):
            call(*values)


# --- T > 0 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("q, R, beta", [(0.5, 0.3, 1.0), (0.3, 0.5, 4.0), (0.9, 0.93, 0.1),
                                        (0.6, 0.6, math.inf), (0.2, -0.3, 30.0)])
def test_slopes_of_the_pattern_term(q, R, beta):
    _, *slopes = gibbs.pattern_slopes(q, R, beta)
    step = 1e-5
    for k, slope in enumerate(slopes):
        if math.isinf(beta) and k == 2:
            assert slope == 0.0
            continue
        sides = []
        for sign in (1.0, -1.0):
            point = [q, R, beta]
            point[k] += sign * step
            sides.append(gibbs.pattern_slopes(*point)[0])
        assert (sides[0] - sides[1]) / (2.0 * step) == pytest.approx(slope, rel=1e-6)


def free_energy(q, R, q_hat, R_hat, alpha, beta):
    """phi as printed, by adaptive quadrature."""
    def normal(t):
        return math.exp(-0.5 * t * t) / math.sqrt(2.0 * math.pi)

    def weight(z):
        return normal(z) * np.logaddexp(*(x * (math.sqrt(q_hat) * z + R_hat) for x in (1, -1)))

    def pattern(t):
        H, other = (special.ndtr(-x * t) for x in (R / math.sqrt(q - R * R),
                                                   math.sqrt(q / (1.0 - q))))
        return normal(t) * H * math.log(math.exp(-beta) + (1.0 - math.exp(-beta)) * other)

    first, second = (integrate.quad(f, -9.0, 9.0, epsabs=1e-11, limit=200)[0]
                     for f in (weight, pattern))
    return -0.5 * q_hat * (1.0 - q) - R * R_hat + first + 2.0 * alpha * second


@pytest.mark.parametrize("alpha, temperature", [(1.0, 0.5), (2.0, 1.0), (0.3, 3.0)])
def test_free_energy_is_stationary(alpha, temperature):
    found, beta = gibbs.ising_thermal(alpha, temperature), 1.0 / temperature
    _, by_q, by_R, _ = gibbs.pattern_slopes(found.q, found.R, beta)
    at = np.array([found.q, found.R, -2.0 * alpha * by_q, alpha * by_R])
    assert free_energy(*at, alpha, beta) == pytest.approx(found.phi, abs=1e-9)
    for k in range(4):
        step = 1e-4 * np.eye(4)[k]
        slope = (free_energy(*at + step, alpha, beta) - free_energy(*at - step, alpha, beta)) / 2e-4
        assert abs(slope) < 1e-6


def test_energy_is_the_slope_of_the_free_energy():
    for alpha, beta in ((1.0, 2.0), (2.0, 1.0)):
        phi = [gibbs.ising_thermal(alpha, 1.0 / (beta + step)).phi for step in (1e-4, -1e-4)]
        energy = gibbs.ising_thermal(alpha, 1.0 / beta).energy
        assert (phi[1] - phi[0]) / 2e-4 == pytest.approx(energy, rel=1e-6)


def test_limit_of_low_temperature():
    for alpha in (0.3, 1.2):
        cold, zero = gibbs.ising_thermal(alpha, 0.02), gibbs.ising_at(alpha)
        assert cold.R == pytest.approx(zero.R, rel=1e-6)
        assert cold.q == pytest.approx(zero.R, rel=1e-6)
        assert cold.phi == pytest.approx(zero.entropy, rel=1e-6)
    assert gibbs.ising_thermal_transition(0.02) == pytest.approx(gibbs.ising_transition().alpha)
    assert gibbs.ising_thermal_spinodal(0.02) == pytest.approx(gibbs.ising_spinodal().alpha)


def test_limit_of_high_temperature():
    """T to infinity at fixed a = alpha/T: phi = H(R) - a arccos(R)/pi, whose maximum is exact.

    Linear in 1/T from T = 40 and 80.
    """
    def limit(function):
        return 2.0 * function(80.0) - function(40.0)

    R = np.linspace(0.0, 0.9, 900_001)
    entropy, error = special.entr((1.0 + R) / 2.0) + special.entr((1.0 - R) / 2.0), np.arccos(R)
    for a in (0.5, 1.5):
        best = R[np.argmax(entropy - a * error / math.pi)]
        found = [limit(lambda T, a=a, k=k: gibbs.ising_thermal(a * T, T)[k]) for k in range(2)]
        assert found == pytest.approx([best, best**2], rel=2e-3)
    coexistence = np.max(entropy * math.pi / error)
    assert limit(lambda T: gibbs.ising_thermal_transition(T) / T) == pytest.approx(coexistence,
                                                                                   rel=1e-3)


def test_transition_and_spinodal_bound_the_poor_state():
    end = gibbs.ising_thermal_spinodal(0.7)
    assert gibbs.ising_thermal(0.9999 * end, 0.7) is not None
    assert gibbs.ising_thermal(1.0001 * end, 0.7) is None
    at = gibbs.ising_thermal_transition(0.7)
    assert abs(gibbs.ising_thermal(at, 0.7).phi) < 1e-9 and at < end


def enumerated(N, P, samples, seed):
    rng = np.random.default_rng([seed, N])
    return [joint_counts(2 * rng.integers(0, 2, (P, N)) - 1, np.ones(N, int))
            for _ in range(samples)]


def extrapolated(sizes, values):
    """Value and error for 1/N -> 0 of means over samples, linear in 1/N."""
    means, errors = np.array([(np.mean(v), np.std(v) / math.sqrt(len(v))) for v in values]).T
    line, covariance = np.polyfit(1.0 / np.array(sizes), means, 1, w=1.0 / errors, cov="unscaled")
    return line[1], math.sqrt(covariance[1, 1])


def test_enumerated_free_energy_at_temperature_one():
    """ln Z/N, <E>/N and <R> at alpha = T = 1."""
    sizes = (9, 13, 17)
    data = [[thermodynamics(c, 1.0) for c in enumerated(N, N, samples, 1)]
            for N, samples in zip(sizes, (10_000, 5_000, 2_000))]
    found = gibbs.ising_thermal(1.0, 1.0)
    for exact, function in ((found.phi, lambda t, N: t.ln_Z / N),
                            (found.energy, lambda t, N: t.energy / N),
                            (found.R, lambda t, N: t.overlap)):
        limit, error = extrapolated(sizes, [[function(t, N) for t in row]
                                            for row, N in zip(data, sizes)])
        assert error < 0.007 * exact
        assert abs(limit - exact) < 4.0 * error


# --- at fixed overlap -----------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.2, 0.8, 1.3])
def test_entropy_at_overlap_is_largest_in_the_poor_state(alpha):
    poor = gibbs.ising_at(alpha)
    at = gibbs.ising_entropy(poor.R, alpha)
    assert at.entropy == pytest.approx(poor.entropy, abs=1e-9)
    assert at.q == pytest.approx(poor.R, rel=1e-7)
    step = 1e-3
    sides = [gibbs.ising_entropy(poor.R + x, alpha).entropy for x in (step, -step)]
    assert abs(sides[0] - sides[1]) / (2.0 * step) < 1e-5
    assert max(sides) < at.entropy
    R = np.linspace(-0.1, 0.99, 23)
    typical = np.array([gibbs.ising_entropy(r, alpha).entropy for r in R])
    known = np.isfinite(typical)
    assert known[R > 0.4].all() and np.all(typical[known] < annealed_entropy(R, alpha)[known])
    warm = gibbs.ising_thermal(alpha, 0.5)
    assert gibbs.ising_entropy(warm.R, alpha, 0.5) == pytest.approx((warm.phi, warm.q), abs=1e-9)


def fraction_wrong(N, d):
    """Exact probability that a student which differs in d weights misclassifies a pattern."""
    same, other = 2 * np.arange(N - d + 1) - (N - d), 2 * np.arange(d + 1) - d
    p = np.outer(special.comb(N - d, np.arange(N - d + 1)), special.comb(d, np.arange(d + 1)))
    return p[np.abs(other)[None, :] > np.abs(same)[:, None]].sum() / 2.0**N


def test_entropy_at_overlap_is_that_of_enumerated_students():
    """Mean of ln[sum_E g(E, R) exp(-E/T)]/N at T = alpha = 1, linear in 1/N from N = 9 and 15.

    The annealed value is exact at each N and takes the logarithms of N with it.  What is left out
    is c/N N' with c of order one: 2 % of s.
    """
    sizes, R = (9, 15), 1.0 / 3.0
    values = []
    for N, samples in zip(sizes, (20_000, 4_000)):
        d = N // 3
        weights = np.exp(-np.arange(N + 1))
        log_w = np.log([c[:, d] @ weights for c in enumerated(N, N, samples, 2)])
        annealed = (math.log(special.comb(N, d))
                    + N * math.log(1.0 - (1.0 - math.exp(-1.0)) * fraction_wrong(N, d)))
        values.append((log_w - annealed) / N)
    limit, error = extrapolated(sizes, values)
    exact = gibbs.ising_entropy(R, 1.0, 1.0).entropy
    assert error < 0.005 * exact
    assert abs(limit + annealed_entropy(R, 1.0, 1.0) - exact) < 1.0 / math.prod(sizes)


def test_entropy_at_overlap_at_high_temperature():
    """A pattern of teacher's field u is misclassified with probability H(R |u|/sqrt(1 - R^2)).

    To order alpha/T^2 patterns act one by one, and what is left out is of order alpha^2/T^4.
    """
    R, T = 0.5, 8.0
    u = np.linspace(0.0, 9.0, 9001)
    wrong = special.ndtr(-R * u / math.sqrt(1.0 - R * R))
    density = 2.0 * np.exp(-0.5 * u * u) / math.sqrt(2.0 * math.pi)
    log_right = np.log1p(np.expm1(-1.0 / T) * wrong)
    one_by_one = annealed_entropy(R, 0.0) + integrate.simpson(density * log_right, x=u)
    gap = one_by_one - annealed_entropy(R, 1.0, T)
    found = gibbs.ising_entropy(R, 1.0, T).entropy - annealed_entropy(R, 1.0, T)
    assert gap < -5e-5
    assert found == pytest.approx(gap, rel=0.03)


def test_rows_of_the_command():
    for T, alpha in ((0.0, 1.0), (0.5, 1.0)):
        rows = {name: value for name, value, _ in
                numbers.numbers("ising-perceptron", temperature=T, alpha=alpha)}
        R, q = (rows[f"overlap {x} at alpha = 1"] for x in ("R of the poor state",
                                                           "q of two students"))
        assert (R == q) == (T == 0.0)
        entropy = rows["entropy at alpha = 1"]
        energy = gibbs.ising_thermal(alpha, T).energy / T if T else 0.0
        assert gibbs.ising_entropy(R, alpha, T).entropy == pytest.approx(entropy - energy)
    assert rows["alpha of the first-order transition"] == gibbs.ising_thermal_transition(0.5)
    rows = numbers.numbers("ising-perceptron", temperature=0.5, alpha=2.0)
    assert rows[-1][1] == "none, beyond its spinodal"
