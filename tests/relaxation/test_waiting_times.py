"""Waiting-time laws against samples of known laws, with and without censoring."""

import math

import numpy as np
import pytest

from phasegrok.relaxation import waiting_times as wt

TRIALS = 400


def shifted(rng, n, lag, scale):
    return lag + scale * rng.exponential(size=n)


def watched(time_i, horizon):
    return np.minimum(time_i, horizon), time_i > horizon


@pytest.mark.parametrize(("horizon", "n"), [(math.inf, 30), (2.4, 60), (2.0, 100)])
def test_estimates_and_errors(horizon, n):
    # lag 0.5, scale 1.5, tau 2; the horizons censor 28 % and 37 %, hardly ever more than half.
    rng = np.random.default_rng(12)
    fits = []
    for _ in range(1000):
        time_i, censored_i = watched(shifted(rng, n, 0.5, 1.5), horizon)
        fits.append(wt.waiting_times(time_i, censored_i, n_resamples=4))
    fits = [fit for fit in fits if not fit.mostly_censored]
    assert len(fits) > 985
    for name, exact in [("tau", 2.0), ("lag", 0.5), ("scale", 1.5)]:
        values = np.array([getattr(f, name) for f in fits])
        errors = np.array([getattr(f, f"{name}_err") for f in fits])
        # Censoring biases s by about s/n: less than the error of this mean of 1000.
        assert abs(values.mean() - exact) < 3.0 * values.std() / math.sqrt(len(fits)), name
        # The spread of 1000 exponential-like values is known to about 4 %.
        assert abs(math.sqrt(np.mean(errors**2)) / values.std() - 1.0) < 0.12, name


def test_without_censoring_the_mean_is_the_mean():
    time_i = np.array([3.0, 1.0, 4.0, 1.5, 9.0])
    fit = wt.waiting_times(time_i, n_resamples=200)
    assert fit.tau == pytest.approx(3.7)
    assert fit.tau_err == pytest.approx(time_i.std(ddof=1) / math.sqrt(5))
    # The shifted-exponential law has the same mean by construction.
    assert fit.lag + fit.scale == pytest.approx(3.7)
    assert fit.scale == pytest.approx((time_i - 1.0).sum() / 4)
    assert fit.cv == pytest.approx(time_i.std(ddof=1) / 3.7)
    assert fit.tau_lower == 0.0 and not fit.mostly_censored
    # Beyond the median 3: (1 + 6) / 2 over the scale.
    assert fit.memoryless == pytest.approx(3.5 / fit.scale)
    again = wt.waiting_times(time_i, n_resamples=200)
    assert again == fit


def test_censored_fit_by_hand():
    fit = wt.waiting_times([1.0, 2.0, 4.0, 5.0, 5.0], [False, False, False, True, True])
    assert fit.scale == pytest.approx((1 + 3 + 4 + 4) / 2)
    assert fit.lag == pytest.approx(1.0 - 6.0 / 5)
    assert fit.tau == pytest.approx(fit.lag + fit.scale)


def test_censoring_leaves_the_spread_unbiased():
    rng = np.random.default_rng(5)
    cv, memoryless = [], []
    for _ in range(TRIALS):
        time_i, censored_i = watched(shifted(rng, 200, 0.5, 1.5), 2.6)  # a quarter is censored
        fit = wt.waiting_times(time_i, censored_i, n_resamples=2)
        cv.append(fit.cv)
        memoryless.append(fit.memoryless)
    assert np.mean(cv) == pytest.approx(0.75, rel=0.02)
    assert np.mean(memoryless) == pytest.approx(1.0, abs=0.03)


def test_mostly_censored_gives_a_bound_only():
    rng = np.random.default_rng(2)
    time_i, censored_i = watched(rng.exponential(size=40), 0.3)
    fit = wt.waiting_times(time_i, censored_i)
    assert fit.mostly_censored and math.isnan(fit.tau) and math.isnan(fit.cv)
    assert math.isnan(fit.p_value) and "mean waiting time >" in str(fit)
    assert 0.0 < fit.tau_lower < 1.0
    # Nobody crossed: the probability to wait longer is at least 0.05^(1/n).
    nobody = wt.waiting_times(np.full(48, 10.0), np.full(48, True))
    assert nobody.tau_lower == pytest.approx(10.0 * 0.05 ** (1 / 48))
    assert nobody.n_censored == 48


def test_lower_bound_holds_for_any_law():
    # Two-point law with half of its weight just beyond the horizon: Markov's bound is tight.
    rng = np.random.default_rng(8)
    held = 0
    for _ in range(TRIALS):
        time_i, censored_i = watched(np.where(rng.random(30) < 0.3, 0.0, 1.0001), 1.0)
        held += wt.waiting_times(time_i, censored_i).tau_lower < 0.7 * 1.0001
    assert held >= 0.95 * TRIALS - 3.0 * math.sqrt(0.05 * 0.95 * TRIALS)


@pytest.mark.parametrize("horizon", [math.inf, 2.5])
def test_p_value_is_uniform_under_the_law(horizon):
    rng = np.random.default_rng(14)
    p = []
    for trial in range(TRIALS):
        time_i, censored_i = watched(shifted(rng, 24, 0.4, 1.5), horizon)
        p.append(wt.waiting_times(time_i, censored_i, n_resamples=300, seed=trial).p_value)
    p = np.array(p)
    # Kolmogorov's distance of 400 uniform values exceeds 1.63 / 20 with probability 1 %.
    rank = np.arange(1, TRIALS + 1) / TRIALS
    assert np.abs(np.sort(p) - rank).max() < 1.63 / math.sqrt(TRIALS)


def test_p_value_rejects_other_laws():
    rng = np.random.default_rng(3)
    two_scales = np.where(rng.random((60, 40)) < 0.5, 0.03, 1.0)
    samples = {
        "normal": 10.0 + rng.normal(size=(60, 40)),
        "two scales": rng.exponential(size=(60, 40)) * two_scales,
    }
    for name, time_bi in samples.items():
        p = [wt.waiting_times(t, n_resamples=200).p_value for t in time_bi]
        assert np.median(p) < 0.02, name


def test_coarse_records_do_not_reject_the_law():
    rng = np.random.default_rng(9)
    fine, aware = [], []
    for trial in range(100):
        time_i = 0.5 * np.ceil(shifted(rng, 40, 0.3, 1.5) / 0.5)
        fine.append(wt.waiting_times(time_i, n_resamples=200, seed=trial).p_value)
        aware.append(wt.waiting_times(time_i, None, 0.5, n_resamples=200, seed=trial).p_value)
    assert np.mean(np.array(fine) < 0.05) > 0.5
    assert np.mean(np.array(aware) < 0.05) < 0.05 + 3.0 * math.sqrt(0.05 * 0.95 / 100)


def test_errors_of_cv_and_memoryless_index():
    rng = np.random.default_rng(4)
    fits = [wt.waiting_times(shifted(rng, 100, 0.5, 1.5), n_resamples=200) for _ in range(300)]
    for name, exact in [("cv", 0.75), ("memoryless", 1.0)]:
        values = np.array([getattr(f, name) for f in fits])
        errors = np.array([getattr(f, f"{name}_err") for f in fits])
        assert values.mean() == pytest.approx(exact, abs=0.03)
        assert 0.85 < np.mean(errors) / values.std() < 1.2, name


def test_memoryless_index_orders_the_laws():
    rng = np.random.default_rng(6)
    sharp = wt.waiting_times(10.0 + rng.normal(size=1000), n_resamples=20)
    tailed = wt.waiting_times(rng.exponential(size=1000) ** 2, n_resamples=20)
    assert sharp.memoryless < 0.55 and tailed.memoryless > 1.6


@pytest.mark.parametrize(
    ("time_i", "censored_i"),
    [([1.0, math.nan], None), ([-1.0], None), ([1, 2], [True])],
)
def test_bad_times_are_refused(time_i, censored_i):
    with pytest.raises(ValueError):
        wt.waiting_times(time_i, censored_i)


def test_slopes():
    temperature_k = np.array([0.1, 0.12, 0.15])
    tau_k = 3.0 * np.exp(0.5 / temperature_k)
    line = wt.temperature_slope(temperature_k[:2], tau_k[:2], 0.1 * tau_k[:2])
    exact = (0.5 / 0.12 - 0.5 / 0.1) / math.log(1.2)
    assert line.slope == pytest.approx(exact)
    assert line.slope_error == pytest.approx(0.1 * math.sqrt(2.0) / math.log(1.2))
    power = wt.temperature_slope(temperature_k, temperature_k**-1.7, 0.01 * temperature_k)
    assert power.slope == pytest.approx(-1.7)
    grows = wt.size_slope([100, 150, 200], np.exp(0.0285 * np.array([100, 150, 200])), [1, 2, 3])
    assert grows.slope == pytest.approx(0.0285) and grows.n == 3
    lost = wt.size_slope([100, 150, 200], [2.0, 4.0, math.nan], [0.1, 0.2, math.nan])
    assert lost.n == 2 and lost.slope == pytest.approx(math.log(2.0) / 50)
    assert math.isnan(wt.size_slope([100], [2.0], [0.1]).slope)
    with pytest.raises(ValueError, match="positive"):
        wt.temperature_slope([0.0, 1.0], [1.0, 1.0], [0.1, 0.1])


def test_crossing_time():
    t = np.array([0.0, 1.0, 2.0, 5.0, 6.0, 7.0])
    phi = np.array([0.0, 1.0, 0.2, 1.0, 1.0, 1.0])
    assert wt.crossing_time(t, phi, 0.9) == 1.0
    assert wt.crossing_time(t, phi, 0.9, hold=2) == 5.0
    assert wt.crossing_time(t, phi, 0.9, hold=3) == 5.0
    assert math.isnan(wt.crossing_time(t, phi, 0.9, hold=4))
    assert math.isnan(wt.crossing_time(t, phi, 0.9, hold=7))
    assert wt.crossing_time(t, -phi, -0.9, hold=2, falling=True) == 5.0
    assert wt.crossing_time(t, phi, 1.0) == 1.0  # at the threshold counts
    many = wt.crossing_time(t, np.stack([phi, 0 * phi, phi * math.nan]), 0.9, 2)
    assert many == pytest.approx([5.0, math.nan, math.nan], nan_ok=True)
    with pytest.raises(ValueError):
        wt.crossing_time(t, phi[1:], 0.9)
    with pytest.raises(ValueError):
        wt.crossing_time(t, phi, 0.9, hold=0)


def test_transit_time():
    t = np.arange(8.0)
    phi = np.array([0.0, 0.5, 0.1, 0.3, 0.6, 0.95, 1.0, 0.0])
    assert wt.transit_time(t, phi, 0.2, 0.9, 2) == 3.0
    assert wt.transit_time(t, -phi, -0.2, -0.9, 2, falling=True) == 3.0
    assert math.isnan(wt.transit_time(t, phi, 0.2, 2.0))
    assert wt.transit_time(t, phi, -1.0, 0.9) == 5.0
    assert wt.transit_time(t, np.stack([phi, phi]), 0.2, 0.9).shape == (2,)


def test_grokking_clock():
    step = np.array([0.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0])
    accuracy = np.array([0.0, 0.6, 0.96, 0.7, 0.97, 0.99, 0.96])
    assert wt.first_step(step, accuracy) == 10.0
    assert wt.first_step(step, accuracy, 0.95) == 20.0
    assert math.isnan(wt.first_step(step, accuracy, 0.999))
    assert wt.sustained_step(step, accuracy, 0.95, 100.0) == 100.0
    assert wt.sustained_step(step, accuracy, 0.95, 30.0) == 100.0  # the dip at 50 is in the window
    assert wt.sustained_step(step, accuracy, 0.95, 29.0) == 20.0
    assert wt.sustained_step(step, accuracy, 0.95, 400.0) == 100.0
    assert math.isnan(wt.sustained_step(step, accuracy, 0.95, 401.0))
    assert math.isnan(wt.sustained_step(step, accuracy, 0.98, 300.0))
    assert math.isnan(wt.sustained_step(step, accuracy * math.nan, 0.5, 0.0))
    with pytest.raises(ValueError):
        wt.sustained_step(step, accuracy, 0.95, -1.0)
