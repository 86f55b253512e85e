"""Ageing of increments: Gaussian processes whose spread of increments is known exactly."""

import numpy as np
import pytest
from calibration import assert_calibrated

from phasegrok.relaxation.increments import ageing_of_increments, spread_of_increments

AGES, LAGS = 2.0 ** np.arange(3, 9), 2.0 ** (np.arange(0, 41) / 4.0)


def measured(path, clones, sites, rng):
    """mu of ``path(times, clones, sites, rng)``, which gives states (times, C, N)."""
    times = np.unique(np.concatenate([AGES, (AGES[:, None] + LAGS).ravel()]))
    x = path(times, clones, sites, rng)
    spread, left_out = np.empty((len(AGES), len(LAGS))), np.empty((clones, len(AGES), len(LAGS)))
    for w, age in enumerate(AGES):
        for k, lag in enumerate(LAGS):
            then, now = np.searchsorted(times, [age, age + lag])
            spread[w, k], left_out[:, w, k] = spread_of_increments(x[then], x[now])
    return ageing_of_increments(AGES, LAGS, spread, left_out)


def brownian(clock, drift=0.0):
    """x = B(clock(t)), and a drift that all clones share: D is the change of the clock."""
    def path(times, clones, sites, rng):
        steps = np.diff(clock(times), prepend=0.0)
        noise = rng.standard_normal((len(times), clones, sites))
        return np.cumsum(np.sqrt(steps)[:, None, None] * noise, axis=0) + (
            drift * times[:, None, None])
    return path


def relaxing(times, clones, sites, rng):
    """Ornstein-Uhlenbeck from x = 20: the mean still falls, the increments soon do not change."""
    x, before, rows = np.full((clones, sites), 20.0), 0.0, []
    for t in times:
        keep = np.exp(-0.3 * (t - before))
        x = keep * x + np.sqrt(1.0 - keep**2) * rng.standard_normal(x.shape)
        rows.append(x)
        before = t
    return np.array(rows)


@pytest.mark.parametrize("path, exact", [
    (brownian(lambda t: t), 0.0), (brownian(lambda t: t, drift=5.0), 0.0),
    (brownian(np.log1p), None)], ids=["diffusion", "drift", "full ageing"])
def test_exponents_of_brownian_motion_by_its_clock(path, exact):
    rng = np.random.default_rng(4)
    found = [measured(path, 24, 8, rng)[:2] for _ in range(60)]
    value, error = np.array(found).T
    if exact is None:  # ln(1 + t_w + t) - ln(1 + t_w) depends on t/(1 + t_w) alone
        x = np.log(AGES) - np.log(AGES).mean()
        exact = x @ np.log1p(AGES) / (x @ x)
        assert abs(value.mean() / exact - 1.0) < 0.02
    assert_calibrated((value - exact) / error, 23)


def test_a_mean_that_still_relaxes_is_no_ageing():
    found = measured(relaxing, 48, 20, np.random.default_rng(1))
    assert abs(found.exponent) < 2.5 * found.error and found.error < 0.1
    assert found.reference == pytest.approx(2.0, rel=0.15)


def test_leaving_one_out_is_what_it_says():
    then, now = np.random.default_rng(2).normal(size=(2, 7, 5)) + np.arange(5)
    value, left_out = spread_of_increments(then, now)
    assert value == pytest.approx(np.var(now - then, axis=0, ddof=1).mean())
    for c in range(7):
        rest = np.delete(now - then, c, axis=0)
        assert left_out[c] == pytest.approx(np.var(rest, axis=0, ddof=1).mean())


def test_lags_that_no_clone_reaches_are_nan_and_so_is_the_exponent():
    spread = np.ones((3, 4)) * [0.1, 0.2, 0.3, 0.4]
    spread[1:, 1:] = np.nan
    found = ageing_of_increments([1, 2, 4], [1, 2, 3, 4], spread, np.repeat(spread[None], 5, 0))
    assert found.reference == pytest.approx(0.1) and found.exponent == pytest.approx(0.0)
    spread[2] = np.nan
    found = ageing_of_increments([1, 2, 4], [1, 2, 3, 4], spread, np.repeat(spread[None], 5, 0))
    assert np.isnan(found.exponent) and np.isnan(found.error)


@pytest.mark.parametrize("then, now, words", [
    (np.ones((4, 3)), np.ones((4, 2)), "one shape"), (np.ones(4), np.ones(4), "one shape"),
    (np.ones((2, 3)), np.ones((2, 3)), "at least three")])
def test_bad_states_are_refused(then, now, words):
    with pytest.raises(ValueError, match=words):
        spread_of_increments(then, now)


@pytest.mark.parametrize("ages, lags, spread, words", [
    ([2, 1], [1, 2], np.ones((2, 2)), "the ages so that they ascend"),
    ([1, 2], [0, 2], np.ones((2, 2)), "the lags so that they ascend"),
    ([1, 2], [1, 2], np.ones((2, 3)), "every age and lag")])
def test_bad_tables_are_refused(ages, lags, spread, words):
    with pytest.raises(ValueError, match=words):
        ageing_of_increments(ages, lags, spread, np.ones((3, *spread.shape)))
