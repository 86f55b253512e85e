"""Stretched exponentials of processes whose correlations are known."""

import numpy as np
import pytest
from calibration import assert_calibrated
from scipy.integrate import quad
from scipy.special import gamma

from phasegrok.relaxation.stretched import stretched_exponential

TIMES = np.geomspace(0.02, 20.0, 24)


def flipping_spins(rng, replicas, spins, rate_of):
    """C(t) of spins that flip at rates w/2: exp(-w t), averaged over the law of w, (R, T)."""
    rate = rate_of(rng, (replicas, spins))
    s, rows = np.ones((replicas, spins), dtype=int), []
    for step in np.diff(TIMES, prepend=0.0):
        s *= np.where(rng.random(s.shape) < -0.5 * np.expm1(-rate * step), -1, 1)
        rows.append(s.mean(axis=1))
    return np.stack(rows, axis=1)


def levy(rng, shape):
    """Rates 1/(2 z^2), z normal: the mean of exp(-w t) is exp(-sqrt(t))."""
    return 0.5 / rng.normal(size=shape) ** 2


def equal(rng, shape):
    return np.full(shape, 0.5)


def deviations(rate_of, exact, amplitude, seeds=200):
    found = []
    for seed in range(seeds):
        rows = flipping_spins(np.random.default_rng(seed), 16, 900, rate_of)
        fit = stretched_exponential(TIMES, rows, amplitude)
        found.append([[(getattr(fit, name) - value) / getattr(fit, f"{name}_err"),
                       getattr(fit, f"{name}_err") / value] for name, value in exact.items()])
    return np.moveaxis(np.array(found), 0, 2)


@pytest.mark.parametrize("rate_of, exact", [
    (levy, {"tau": 1.0, "beta": 0.5, "integral": 2.0}),
    (equal, {"tau": 2.0, "beta": 1.0, "integral": 2.0}),
])
@pytest.mark.parametrize("amplitude", [None, 1.0])
def test_laws_come_back_within_their_errors(rate_of, exact, amplitude):
    exact = exact | ({"amplitude": 1.0} if amplitude is None else {})
    for z, relative in deviations(rate_of, exact, amplitude):
        assert relative.mean() < 0.06
        assert_calibrated(z, dof=15)


def test_parameters_without_noise():
    """A plateau of 0.7 before a decay with beta = 0.6."""
    curve = 0.7 * np.exp(-((TIMES / 1.7) ** 0.6))
    rows = curve * (1.0 + 1e-7 * np.array([[-2.0], [-1.0], [0.0], [1.0], [2.0]]))
    fit = stretched_exponential(TIMES, rows)
    assert (fit.amplitude, fit.tau, fit.beta) == pytest.approx((0.7, 1.7, 0.6), rel=1e-5)
    assert fit.integral == pytest.approx(1.7 / 0.6 * gamma(1.0 / 0.6), rel=1e-5)
    area = quad(lambda t: np.exp(-((t / 1.7) ** 0.6)), 0.0, np.inf)[0]
    assert fit.integral == pytest.approx(area, rel=1e-5)
    assert fit.remaining == pytest.approx(np.exp(-((20.0 / 1.7) ** 0.6)), rel=1e-4)


def test_another_function_is_not_fitted_well():
    """Two steps of decay that are far apart."""
    rng = np.random.default_rng(3)
    curve = 0.5 * np.exp(-TIMES / 0.05) + 0.5 * np.exp(-TIMES / 8.0)
    rows = curve + 0.02 * rng.normal(size=(16, len(TIMES)))
    assert stretched_exponential(TIMES, rows).rms > 3.0
    rows = np.exp(-np.sqrt(TIMES)) + 0.02 * rng.normal(size=(16, len(TIMES)))
    assert stretched_exponential(TIMES, rows).rms < 1.5


ROWS = np.exp(-TIMES) + 0.01 * np.random.default_rng(0).normal(size=(5, 24))


@pytest.mark.parametrize("time, rows, options, sentence", [
    (TIMES, ROWS[:2], {}, "three replicas"),
    (TIMES, ROWS[:4], {}, "at least 5 replicas"),
    (TIMES[:4], ROWS[:, :4], {}, "at least 5 times"),
    (TIMES, ROWS[0], {}, "a row for each replica"),
    (TIMES[::-1], ROWS, {}, "ascend"),
    (TIMES - TIMES[0], ROWS, {}, "not positive"),
    (TIMES, ROWS * np.nan, {}, "not finite"),
    (TIMES, np.tile(ROWS[0], (5, 1)), {}, "replicas agree"),
    (TIMES, ROWS[:, ::-1], {}, "decays"),
    (TIMES, ROWS, {"amplitude": -1.0}, "positive amplitude"),
])
def test_bad_input_is_refused(time, rows, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        stretched_exponential(time, rows, **options)
