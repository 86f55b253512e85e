"""Errors of averages against processes whose autocorrelations are known in closed form."""

import math

import numpy as np
import pytest
from scipy.signal import lfilter

from phasegrok import statistics


def ar1(rho, n_chains, n_times, seed):
    """Stationary first-order autoregressive chains of unit variance, shape (n_chains, n_times)."""
    rng = np.random.default_rng(seed)
    noise_ct = rng.normal(size=(n_chains, n_times)) * math.sqrt(1.0 - rho**2)
    noise_ct[:, 0] = rng.normal(size=n_chains)
    return lfilter([1.0], [1.0, -rho], noise_ct, axis=1)


def ar2(radius, omega, n_chains, n_times, seed):
    """Stationary oscillating chains, roots radius exp(+- i omega), and the exact error of a mean.

    A sum over T samples has variance sum_k (c_k - c_{k-T})^2, c the cumulated response to a kick.
    """
    a = np.array([1.0, -2.0 * radius * math.cos(omega), radius**2])
    start = int(40.0 / (1.0 - radius))  # by when the first values are forgotten to 1e-17
    noise = np.random.default_rng(seed).normal(size=(n_chains, start + n_times))
    kick = np.zeros(start + n_times)
    kick[0] = 1.0
    cumulated = np.cumsum(lfilter([1.0], a, kick))
    of_sum = cumulated.copy()
    of_sum[n_times:] -= cumulated[:-n_times]
    exact = math.sqrt((of_sum**2).sum()) / n_times
    return lfilter([1.0], a, noise, axis=1)[:, start:], exact


OSCILLATIONS = [(0.5, 0.8), (0.9, 0.3), (0.9, 1.57), (0.9, 2.4), (0.97, 0.8), (0.97, 2.4)]


@pytest.mark.parametrize(("radius", "omega"), OSCILLATIONS)
@pytest.mark.parametrize("n_times", [400, 3000])
def test_the_error_of_an_oscillating_series(radius, omega, n_times):
    # positive and negative autocovariances cancel to a few per cent of the variance and less
    n_chains = 300
    x_ct, exact = ar2(radius, omega, n_chains, n_times, seed=11)
    estimates = [statistics.mean_with_error(x_t) for x_t in x_ct]
    error_c = np.array([e.error for e in estimates])
    pull_c = np.array([e.value for e in estimates]) / error_c
    assert np.median(error_c) == pytest.approx(exact, rel=0.04)
    assert abs(np.mean(pull_c**2) - 1.0) < 3.0 * math.sqrt(2.0 / n_chains) + 2.0 / n_times**0.5
    tau = 0.5 * n_times * exact**2 / x_ct.var()
    assert np.median([e.tau for e in estimates]) == pytest.approx(tau, rel=0.08)


def test_students_intervals_of_short_series():
    # 7 to 45 independent samples; the error is uncertain itself, and normal intervals are too short
    inside, inside_normal = [], []
    for seed, (rho, n_times) in enumerate([(0.9, 150), (0.9, 300), (0.9, 800), (0.5, 60),
                                           (0.98, 1000), (0.98, 3000), (0.0, 30)]):
        for x_t in ar1(rho, 400, n_times, seed=seed):
            estimate = statistics.mean_with_error(x_t)
            low, high = estimate.interval()
            inside.append(low < 0.0 < high)
            inside_normal.append(abs(estimate.value) < 1.96 * estimate.error)
    for seed, (radius, omega, n_times) in enumerate([(0.9, 0.3, 60), (0.9, 0.3, 100),
                                                     (0.5, 0.8, 60), (0.9, 0.8, 40)]):
        for x_t in ar2(radius, omega, 400, n_times, seed=seed)[0]:
            estimate = statistics.mean_with_error(x_t)
            low, high = estimate.interval()
            inside.append(low < 0.0 < high)
            inside_normal.append(abs(estimate.value) < 1.96 * estimate.error)
    assert 0.94 < np.mean(inside) < 0.96
    assert np.mean(inside_normal) < 0.93


@pytest.mark.parametrize("n_times", [8000, 40000])
def test_slow_correlations_below_fast_ones(n_times):
    # tau 99.5 of a tenth of the variance under an oscillation: autocovariances that were cut after
    # the first lobe gave a tenth of the error
    n_chains = 150
    fast_ct, fast_error = ar2(0.95, 1.0, n_chains, n_times, seed=2)
    x_ct = fast_ct / fast_ct.std() + math.sqrt(0.1) * ar1(0.98, n_chains, n_times, seed=3)
    exact = math.hypot(fast_error / fast_ct.std(), math.sqrt(0.1 * 1.98 / 0.02 / n_times))
    estimates = [statistics.mean_with_error(x_t) for x_t in x_ct]
    assert np.median([e.error for e in estimates]) == pytest.approx(exact, rel=0.1)
    pull_c = np.array([e.value / e.error for e in estimates])
    assert 0.85 < math.sqrt(np.mean(pull_c**2)) < 1.2


def test_an_offset_and_a_unit_do_not_matter():
    x_t = ar2(0.9, 1.0, 1, 500, seed=4)[0][0]
    plain = statistics.mean_with_error(x_t)
    for factor in (1e-200, 1e200):
        scaled = statistics.mean_with_error(factor * x_t)
        assert scaled.error == pytest.approx(factor * plain.error, rel=1e-9)
    assert statistics.mean_with_error(x_t + 1e6).error == pytest.approx(plain.error, rel=1e-6)


@pytest.mark.parametrize("x_t", [np.resize([1.0, -1.0], 64), np.cos(0.3 * np.arange(200.0)),
                                 np.arange(50.0), [0.0, 1.0], [[0.0, 1.0], [1.0, 3.0]],
                                 np.cumsum(np.random.default_rng(1).normal(size=5000))])
def test_series_that_are_not_random_have_a_finite_error(x_t):
    estimate = statistics.mean_with_error(x_t)
    assert 0.0 < estimate.error < np.ptp(x_t) and estimate.tau > 0.0 and estimate.dof >= 1.0


def test_blocks_that_are_all_alike_leave_no_error():
    alternating = statistics.mean_with_error(np.resize([1.0, -1.0], 2048 * 6))
    assert alternating.value == 0.0 and alternating.error < 1e-3


@pytest.mark.parametrize("rho", [-0.9, -0.3, 0.0, 0.6, 0.9])
def test_tau_and_error_of_a_decaying_series(rho):
    # For the AR(1) process tau_int = (1 + rho) / (2 (1 - rho)) and sigma^2 = 2 tau / n.
    n_chains, n_times = 200, 20000
    estimates = [statistics.mean_with_error(x_t) for x_t in ar1(rho, n_chains, n_times, seed=3)]
    tau = 0.5 * (1.0 + rho) / (1.0 - rho)
    tau_c = np.array([e.tau for e in estimates])
    tau_error_c = np.array([e.tau_error for e in estimates])
    assert abs(tau_c.mean() - tau) < 0.02 * tau
    assert 0.75 < tau_c.std(ddof=1) / tau_error_c.mean() < 1.25
    error_c = np.array([e.error for e in estimates])
    assert np.mean(error_c) == pytest.approx(math.sqrt(2.0 * tau / n_times), rel=0.015)
    pull_c = np.array([e.value / e.error for e in estimates])
    assert abs(np.mean(pull_c**2) - 1.0) < 3.0 * math.sqrt(2.0 / n_chains)
    assert not any(e.more_needed for e in estimates)


def test_replicas_are_one_long_chain():
    x_rt = ar1(0.8, 8, 5000, seed=5)
    pooled = statistics.mean_with_error(x_rt)
    assert pooled.n == 40000
    assert pooled.value == pytest.approx(x_rt.mean())
    assert abs(pooled.tau - 4.5) < 3.0 * pooled.tau_error


def test_short_chain_says_how_much_more_it_needs():
    short = statistics.mean_with_error(ar1(0.99, 1, 500, seed=2)[0])
    assert short.more_needed > 0
    assert f"at least {short.more_needed} more samples" in str(short)
    assert short.more_needed == math.ceil(100.0 * short.tau) - 500


def test_constant_series_has_no_tau():
    for value in (2.5, 0.1, 0.0):
        constant = statistics.mean_with_error(np.full(1000, value))
        assert constant.value == pytest.approx(value) and constant.error == 0.0
        assert math.isnan(constant.tau) and "constant" in str(constant)
        assert constant.interval() == (constant.value, constant.value)


@pytest.mark.parametrize("bad", [[1.0], [1.0, math.nan], []])
def test_bad_series_are_refused(bad):
    with pytest.raises(ValueError):
        statistics.mean_with_error(bad)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (3.14159, 0.0123, "3.142 ± 0.012"),
        (1234.5, 67.0, "1234 ± 67"),
        (-0.5, 2.0, "-0.5 ± 2.0"),
        (1.0, math.nan, "1 ± nan"),
        (2.5625660176483e-10, 8.3e-12, "2.563e-10 ± 8.3e-12"),
        (1.23456e8, 2e5, "1.2346e+08 ± 2.0e+05"),
    ],
)
def test_printing(value, error, text):
    assert statistics.format_error(value, error) == text


def test_jackknife_of_the_mean_is_the_standard_error():
    x_w = np.random.default_rng(4).normal(size=12)
    leave_w = (x_w.sum() - x_w) / 11
    assert statistics.jackknife_error(leave_w) == pytest.approx(x_w.std(ddof=1) / math.sqrt(12))
    table = np.stack([leave_w, 2.0 * leave_w], axis=1)
    assert statistics.jackknife_error(table).shape == (2,)
    assert statistics.jackknife_error(table.T, axis=1)[1] == pytest.approx(
        2.0 * statistics.jackknife_error(leave_w)
    )
    assert np.isnan(statistics.jackknife_error(leave_w[:1]))


def test_bootstrap_error_of_the_mean():
    x_n = np.random.default_rng(6).exponential(size=200)
    mean_b = statistics.bootstrap(x_n, lambda x_bn: x_bn.mean(axis=1), 40000, seed=1)
    # The bootstrap variance of a mean is var_n / n exactly, up to 1/sqrt(2 * 40000) = 0.35 %.
    assert mean_b.std() == pytest.approx(x_n.std() / math.sqrt(200), rel=0.0106)
    again_b = statistics.bootstrap(x_n, lambda x_bn: x_bn.mean(axis=1), 40000, seed=1)
    assert np.array_equal(mean_b, again_b)


def test_r_hat():
    rng = np.random.default_rng(7)
    x_ct = rng.normal(size=(6, 4000))
    assert statistics.r_hat(x_ct) == pytest.approx(1.0, abs=0.003)
    shift = math.sqrt(0.21)
    # Half the chains at +shift, half at -shift: B/n = shift^2 * 12/11 for twelve half-chains.
    x_ct[:3] += shift
    x_ct[3:] -= shift
    assert statistics.r_hat(x_ct) == pytest.approx(math.sqrt(1.0 + 0.21 * 12 / 11), rel=0.01)
    # A drift shows within a single chain.
    assert statistics.r_hat(np.linspace(0.0, 1.0, 1000)) > 1.5
    assert math.isinf(statistics.r_hat([[0.0] * 8, [1.0] * 8]))
    assert math.isnan(statistics.r_hat([[0.0] * 8, [0.0] * 8]))
    with pytest.raises(ValueError):
        statistics.r_hat([[1.0, 2.0]])


def test_bic_prefers_the_true_law():
    rng = np.random.default_rng(8)
    x = np.linspace(1.0, 5.0, 60)
    y = 2.0 * np.log(x) + rng.normal(size=60) * 0.1

    def score(basis):
        residual = y - (basis @ y) / (basis @ basis) * basis
        variance = residual.var()
        return statistics.bic(-30.0 * (math.log(2.0 * math.pi * variance) + 1.0), 2, 60)

    assert score(np.log(x)) < score(x - 1.0)
    assert statistics.bic(-3.0, 2, 100) == pytest.approx(2.0 * math.log(100.0) + 6.0)


def test_weighted_line():
    rng = np.random.default_rng(10)
    x = np.array([0.0, 1.0, 2.5, 4.0, 7.0])
    y_error = np.array([0.1, 0.2, 0.1, 0.3, 0.2])
    pulls = []
    for _ in range(2000):
        line = statistics.weighted_line(x, 1.0 - 0.7 * x + rng.normal(size=5) * y_error, y_error)
        design = np.stack([np.ones(5), x], axis=1) / y_error[:, None]
        covariance = np.linalg.inv(design.T @ design)
        pulls.append((line.slope + 0.7) / math.sqrt(covariance[1, 1]))
    assert abs(np.mean(pulls)) < 3.0 / math.sqrt(2000)
    assert abs(np.var(pulls) - 1.0) < 3.0 * math.sqrt(2.0 / 2000)
    exact = statistics.weighted_line(x, 1.0 - 0.7 * x, y_error)
    assert exact.slope_error == pytest.approx(math.sqrt(covariance[1, 1]))
    assert exact.intercept_error == pytest.approx(math.sqrt(covariance[0, 0]))
    assert exact.intercept == pytest.approx(1.0)
    # A curved law enlarges the error; a missing point is dropped; one point has no slope.
    assert statistics.weighted_line(x, x**2, y_error).slope_error > 5.0 * exact.slope_error
    assert statistics.weighted_line([1, 2, 3], [1, math.nan, 3], [1, 1, 1]).n == 2
    assert math.isnan(statistics.weighted_line([1.0], [1.0], [1.0]).slope)


# pip install pyerrors==2.17.0; then for each row
#   o = pyerrors.Obs(list(x_ct), [f"e|{c}" for c in range(n_chains)]); o.gamma_method(S=1.5)
#   o.value, o.dvalue, o.e_tauint["e"], o.e_dtauint["e"]
PYERRORS = [
    (0.3, 1, 20000, 1, -0.015463244, 0.0093658764, 0.89563308, 0.032529503),
    (0.6, 1, 20000, 2, 0.013991315, 0.014252516, 2.0378841, 0.1094372),
    (0.9, 1, 50000, 3, 0.018841525, 0.019791487, 9.8167595, 0.69332611),
    (0.98, 1, 100000, 4, 0.0351391, 0.03102709, 48.027738, 4.9211406),
    (0.8, 4, 10000, 5, 0.024955785, 0.014892288, 4.4356077, 0.24681945),
]


@pytest.mark.parametrize("rho, n_chains, n_times, seed, value, error, tau, tau_error", PYERRORS)
def test_the_gamma_method_of_pyerrors_agrees_on_decaying_series(rho, n_chains, n_times, seed, value,
                                                                error, tau, tau_error):
    # another estimator, on the same samples: the two are closer than the error of either
    ours = statistics.mean_with_error(ar1(rho, n_chains, n_times, seed))
    exact = 0.5 * (1.0 + rho) / (1.0 - rho)
    assert ours.value == pytest.approx(value, rel=1e-6)
    assert ours.error == pytest.approx(error, rel=0.06)
    assert ours.tau == pytest.approx(tau, abs=math.hypot(ours.tau_error, tau_error))
    assert abs(ours.tau - exact) < 2.0 * ours.tau_error
    assert ours.tau_error < max(1.25 * tau_error, 0.12 * tau)


def test_sums_over_blocks_give_the_same_estimate_as_the_series():
    rho, every = 0.95, 10
    x_rt = ar1(rho, 300, 20000, seed=11) + 0.3
    blocks = x_rt.reshape(300, -1, every)
    estimates = [statistics.mean_of_blocks(b.sum(axis=1), (b**2).sum(axis=1), every)
                 for b in blocks]
    tau = 0.5 * (1.0 + rho) / (1.0 - rho)
    error_r = np.array([e.error for e in estimates])
    # The scatter of the means is known to 1/sqrt(600) = 4 %, the exact error much better.
    assert np.mean(error_r) == pytest.approx(math.sqrt(2.0 * tau / 20000), rel=0.015)
    tau_r = np.array([e.tau for e in estimates])
    assert tau_r.mean() == pytest.approx(tau, rel=0.025)
    assert 0.75 < tau_r.std(ddof=1) / np.mean([e.tau_error for e in estimates]) < 1.25
    pull_r = np.array([(e.value - 0.3) / e.error for e in estimates])
    assert abs(np.mean(pull_r**2) - 1.0) < 3.0 * math.sqrt(2.0 / 300)
    pooled = statistics.mean_of_blocks(blocks.sum(axis=2), (blocks**2).sum(axis=2), every)
    assert pooled.n == x_rt.size and pooled.value == pytest.approx(x_rt.mean())
    series = statistics.mean_with_error(x_rt)
    assert abs(pooled.tau - tau) < 3.0 * pooled.tau_error < 0.06 * tau
    assert abs(series.tau - tau) < 3.0 * series.tau_error < 0.06 * tau
    # White noise: blocks of ten know it too.
    white = np.random.default_rng(12).normal(size=(400, 1000, every))
    e = statistics.mean_of_blocks(white.sum(axis=2), (white**2).sum(axis=2), every)
    assert e.tau == pytest.approx(0.5, abs=3.0 * e.tau_error) and e.tau_error < 0.025
    assert math.isnan(statistics.mean_of_blocks(np.full(5, 20.0), np.full(5, 40.0), every).tau)
    with pytest.raises(ValueError, match="one shape"):
        statistics.mean_of_blocks(np.ones(4), np.ones(5), every)


def test_jackknife_of_a_variance_is_unbiased_and_its_error_honest():
    # The variance E2 - E^2 of B = 10 independent exponential variates, exactly 1, is low by 1/B
    # as it stands; its standard error is sqrt((mu_4 - (B - 3)/(B - 1))/B), with mu_4 = 9.
    x_nb = np.random.default_rng(13).exponential(size=(40000, 10))
    value_n, error_n = statistics.jackknife(lambda E, E2: E2 - E**2, x_nb.T, x_nb.T**2)
    assert abs(value_n.mean() - 1.0) < 3.0 * value_n.std() / 200.0
    assert value_n.std() / 200.0 < 0.01
    assert value_n.std() ** 2 == pytest.approx((9.0 - 7.0 / 9.0) / 10.0, rel=0.06)
    # On average the squared error is no less than the variance of the function as it stands, for
    # any distribution (Efron and Stein, Ann. Statist. 9 (1981) 586).
    assert np.mean(error_n**2) > 0.97 * x_nb.var(axis=1).var()
    # For many blocks the error is that of the linearised function, var(2 c x)/B for c x^2.
    x_nb = 2.0 + np.random.default_rng(14).normal(size=(500, 2000))
    _, error_n = statistics.jackknife(lambda m: 3.0 * m**2, x_nb.T)
    assert np.mean(error_n) == pytest.approx(12.0 / math.sqrt(2000), rel=0.01)
    # A linear function is the plain mean with its standard error; one block has none.
    x_b = x_nb[0]
    value, error = statistics.jackknife(lambda m: 2.0 * m, x_b)
    assert value == pytest.approx(2.0 * x_b.mean())
    assert error == pytest.approx(2.0 * x_b.std(ddof=1) / math.sqrt(2000))
    assert np.isnan(statistics.jackknife(lambda m: m, x_b[:1])[1])


def test_mean_and_error_leave_out_what_is_not_known():
    x = np.array([[1.0, 3.0, np.nan, 5.0], [2.0, np.nan, np.nan, np.nan], [np.nan] * 4])
    mean, error = statistics.mean_and_error(x, axis=1)
    np.testing.assert_allclose(mean, [3.0, 2.0, np.nan])
    np.testing.assert_allclose(error, [np.std([1, 3, 5], ddof=1) / np.sqrt(3), np.nan, np.nan])
