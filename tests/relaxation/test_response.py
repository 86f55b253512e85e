"""Responses of harmonic modes and of single spins, which are known at all times."""

import math

import numpy as np
import pytest
from calibration import assert_calibrated

from phasegrok.relaxation.response import (
    fluctuation_dissipation_ratio,
    integrated_response,
    kovacs_hump,
)

TIMES = np.geomspace(0.05, 8.0, 14)


def modes(rng, start_rn, stiffness, T, times, field=0.0):
    """Positions of modes dx = -k x dt + h dt + sqrt(2 T) dW at times, (R, n_t, N), exactly."""
    x, rows = start_rn.copy(), []
    for dt in np.diff(times, prepend=0.0):
        decay = np.exp(-stiffness * dt)
        x = (x * decay + field / stiffness * (1.0 - decay)
             + np.sqrt(T / stiffness * (1.0 - decay**2)) * rng.normal(size=x.shape))
        rows.append(x)
    return np.stack(rows, axis=1)


def pairs(seed, stiffness, T, h=0.3, replicas=24, times=TIMES):
    """chi and C of pairs of runs with noise of their own; stiffness and T of every mode."""
    rng = np.random.default_rng(seed)
    start = np.sqrt(T / stiffness) * rng.normal(size=(replicas, len(stiffness)))
    field = h * rng.choice([-1.0, 1.0], size=start.shape)
    free = modes(rng, start, stiffness, T, times)
    pulled = modes(rng, start, stiffness, T, times, field)
    return integrated_response(field, pulled, free), (free * start[:, None]).mean(axis=2)


def test_modes_in_equilibrium_have_the_ratio_one():
    k, T, z_chi, z_ratio = np.full(200, 1.3), 0.7, [], []
    for seed in range(100):
        chi, c_rt = pairs(seed, k, T)
        z_chi.append((chi.value_t[6] - (1.0 - np.exp(-1.3 * TIMES[6])) / 1.3) / chi.error_t[6])
        found = fluctuation_dissipation_ratio(chi.chi_rt, c_rt, T)
        z_ratio.append((found.ratio - 1.0) / found.error)
    assert found.n == 14 and found.error < 0.1 and chi.error_t[6] < 0.06
    assert_calibrated(z_chi, dof=23)
    assert_calibrated(z_ratio, dof=23)


def test_slow_modes_that_are_hotter_have_a_smaller_ratio():
    """As in an ageing glass: fast modes at T = 0.5, slow ones at 2, so X = 1 and then 1/4."""
    k, temperature = np.repeat([1.0, 1e-5], 150), np.repeat([0.5, 2.0], 150)
    scale = np.sqrt(k)  # of coordinates that have an equal response
    times = np.concatenate([np.geomspace(0.05, 3.0, 8), np.geomspace(1e4, 3e5, 8)])
    z = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        start = np.sqrt(temperature / k) * rng.normal(size=(24, 300))
        field = 0.4 * rng.choice([-1.0, 1.0], size=start.shape)
        free = scale * modes(rng, start, k, temperature, times)
        pulled = scale * modes(rng, start, k, temperature, times, scale * field)
        chi = integrated_response(field, pulled, free)
        c_rt = (free * scale * start[:, None]).mean(axis=2)
        fast = fluctuation_dissipation_ratio(chi.chi_rt[:, :8], c_rt[:, :8], 0.5)
        slow = fluctuation_dissipation_ratio(chi.chi_rt[:, 8:], c_rt[:, 8:], 0.5)
        z.append([(fast.ratio - 1.0) / fast.error, (slow.ratio - 0.25) / slow.error])
    assert slow.error < 0.06
    for z_s in np.transpose(z):
        assert_calibrated(z_s, dof=23)
    mean_t = c_rt.mean(axis=0)
    ranged = fluctuation_dissipation_ratio(chi.chi_rt, c_rt, 0.5, (mean_t[-1], mean_t[8]))
    assert ranged.n == 8 and ranged.ratio == slow.ratio


def test_single_spins_in_a_heat_bath():
    """chi = tanh(h/T) (1 - e^-t)/h and C = e^-t: X = T tanh(h/T)/h, with common random numbers."""
    T, h, z = 0.8, 0.4, []
    exact = T * math.tanh(h / T) / h
    for seed in range(100):
        rng = np.random.default_rng(seed)
        start = rng.choice([-1, 1], size=(20, 400)).astype(np.int8)
        signs = rng.choice([-1, 1], size=start.shape)
        free, pulled, runs = start.copy(), start.copy(), ([], [])
        for dt in np.diff(TIMES, prepend=0.0):
            updated = rng.random(start.shape) < -math.expm1(-dt)
            uniform = rng.random(start.shape)
            free = np.where(updated, np.where(uniform < 0.5, 1, -1), free)
            up = 0.5 * (1.0 + np.tanh(h * signs / T))
            pulled = np.where(updated, np.where(uniform < up, 1, -1), pulled)
            for run, s in zip(runs, (free, pulled)):
                run.append(s.astype(np.int8))
        free_rtn, pulled_rtn = (np.stack(run, axis=1) for run in runs)
        chi = integrated_response(h * signs, pulled_rtn, free_rtn)
        c_rt = (free_rtn * start[:, None].astype(float)).mean(axis=2)
        found = fluctuation_dissipation_ratio(chi.chi_rt, c_rt, T)
        z.append((found.ratio - exact) / found.error)
    assert found.error < 0.04
    assert_calibrated(z, dof=19)


def test_responses_of_samples_have_the_error_of_samples():
    rng = np.random.default_rng(2)
    strength = rng.normal(1.0, 0.5, size=6).repeat(4)  # of each sample
    field = rng.choice([-1.0, 1.0], size=(24, 10))
    pulled = np.stack([strength[:, None] * field] * 2, axis=1)
    found = integrated_response(field, pulled, np.zeros_like(pulled), n_samples=6)
    assert found.value_t == pytest.approx([strength.mean()] * 2)
    assert found.error_t == pytest.approx([strength[::4].std(ddof=1) / math.sqrt(6.0)] * 2)


FAST, SLOW = 1.0, 0.05
"""Stiffness of the two halves of the modes of a hump; they relax at twice these rates."""


def hump_law():
    """Temperatures of both halves after 2 in the cold, that of the bath, and the hump's maximum."""
    hot, cold, wait = 2.0, 0.2, 2.0
    fast, slow = (cold + (hot - cold) * math.exp(-2.0 * k * wait) for k in (FAST, SLOW))
    at = math.log(FAST / SLOW) / (2.0 * (FAST - SLOW))
    height = 0.125 * (slow - fast) * (math.exp(-2.0 * SLOW * at) - math.exp(-2.0 * FAST * at))
    return (fast, slow), 0.5 * (fast + slow), at, height


def test_hump_of_modes_that_were_cooled():
    """Half of the modes is too cold after the jump and half too hot, with the right energy."""
    (fast, slow), T, at, height = hump_law()
    k = np.repeat([FAST, SLOW], 400)
    times, z = np.geomspace(0.05, 40.0, 22), []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        start = np.sqrt(np.repeat([fast, slow], 400) / k) * rng.normal(size=(24, 800))
        energy = 0.5 * (k * modes(rng, start, k, T, times) ** 2).mean(axis=2)
        equilibrium = 0.5 * T + 0.003 * rng.normal()
        found = kovacs_hump(times, energy, equilibrium, 0.003)
        z.append([(found.height - height) / found.height_err,
                  (math.log(found.time / at)) / (found.time_err / found.time)])
    assert found.significance > 10.0 and found.time_err < 0.25 * found.time
    for z_s in np.transpose(z):
        assert_calibrated(z_s, dof=23)


def test_hump_without_noise():
    (fast, slow), T, at, height = hump_law()
    times = np.geomspace(0.05, 40.0, 22)
    curve = 0.125 * (slow - fast) * (np.exp(-2.0 * SLOW * times) - np.exp(-2.0 * FAST * times))
    for sign in (1.0, -1.0):
        rows = 0.5 * T + sign * curve * np.array([[0.99], [1.0], [1.01]])
        found = kovacs_hump(times, rows, 0.5 * T)
        assert found.deviation_t == pytest.approx(sign * curve)
        assert found.height == pytest.approx(sign * height, rel=0.003)
        assert found.height_err == pytest.approx(0.01 * height / math.sqrt(3.0), rel=0.03)
        assert math.log(found.time / at) == pytest.approx(0.0, abs=0.02)
        wide = kovacs_hump(times, rows, 0.5 * T, 0.02)  # an equilibrium that is not well known
        assert wide.height_err == pytest.approx(math.hypot(found.height_err, 0.02))
        assert wide.deviation_err_t == pytest.approx(np.hypot(found.deviation_err_t, 0.02))
        assert (wide.height, wide.time, wide.time_err) == (found.height, found.time,
                                                           found.time_err)


def test_noise_is_no_hump():
    rng, times = np.random.default_rng(0), np.geomspace(0.05, 40.0, 22)
    seen = []
    for _ in range(60):
        try:
            seen.append(kovacs_hump(times, rng.normal(size=(24, 22)), 0.0).significance)
        except ValueError:  # one point that is alone, or at the end
            seen.append(0.0)
    assert np.mean(np.array(seen) > 4.0) < 0.1


FIELD, RUN = np.ones((4, 5)), np.zeros((4, 6, 5))


@pytest.mark.parametrize("field, with_field, without, samples, sentence", [
    (FIELD, RUN, RUN[:, :5], 1, "both runs"),
    (FIELD.T, RUN, RUN, 1, "give fields"),
    (FIELD[:2], RUN[:2], RUN[:2], 1, "three pairs"),
    (FIELD, RUN, RUN, 3, "same number"),
    (0.0 * FIELD, RUN, RUN, 1, "not all zero"),
    (FIELD, RUN * np.nan, RUN, 1, "not finite"),
])
def test_bad_runs_are_refused(field, with_field, without, samples, sentence):
    with pytest.raises(ValueError, match=sentence):
        integrated_response(field, with_field, without, samples)


C_RT = np.exp(-np.tile(TIMES, (4, 1)))


@pytest.mark.parametrize("chi, c, T, between, sentence", [
    (C_RT, C_RT[:, :5], 1.0, None, "same replicas and times"),
    (C_RT, C_RT, 0.0, None, "positive temperature"),
    (C_RT[:2], C_RT[:2], 1.0, None, "three replicas"),
    (C_RT, C_RT * np.inf, 1.0, None, "not finite"),
    (C_RT, C_RT, 1.0, (2.0, 3.0), "three times"),
    (C_RT, np.ones_like(C_RT), 1.0, None, "differs"),
])
def test_bad_curves_are_refused(chi, c, T, between, sentence):
    with pytest.raises(ValueError, match=sentence):
        fluctuation_dissipation_ratio(chi, c, T, between)


@pytest.mark.parametrize("time, energy, equilibrium, sentence", [
    (TIMES, C_RT, 0.0, "first point"),
    (TIMES, 1.0 - C_RT, 0.0, "last point"),
    (TIMES - TIMES[0], C_RT, 0.0, "not positive"),
    (TIMES, C_RT[:2], 0.0, "three replicas"),
    (TIMES, C_RT, np.nan, "finite equilibrium"),
    (TIMES, np.where(TIMES == TIMES[5], 1.0, 0.1) + 0.0 * C_RT, 0.0, "closer"),
])
def test_bad_energies_are_refused(time, energy, equilibrium, sentence):
    with pytest.raises(ValueError, match=sentence):
        kovacs_hump(time, energy, equilibrium)
