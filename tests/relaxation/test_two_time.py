"""Relaxation times and the ageing exponent of known two-time functions."""

import math

import numpy as np
import pytest

from phasegrok.protocols.quench import log_times, waiting_times
from phasegrok.relaxation.two_time import THRESHOLD, ageing_exponent, relaxation_times


def curves(rng, tau_w, time, n):
    """Noisy replicas of exp(-t / tau) at every waiting time, (n, W, times)."""
    exact = np.exp(-time / tau_w[:, None])
    return exact + 0.1 * rng.normal(size=(n, *exact.shape))


def test_relaxation_times_and_the_ageing_exponent():
    """C = exp(-t/(a t_w^mu)): tau and mu come back, with honest errors."""
    rng = np.random.default_rng(2)
    time, waits = log_times(100_000), waiting_times(4096).astype(float)
    mu = 0.8
    tau_w = 3.0 * waits**mu
    z, z_mu = [], []
    for _ in range(200):
        found, error = relaxation_times(curves(rng, tau_w, time, 64), time, 1)
        z.append((found - tau_w) / error)
        slope, slope_error = ageing_exponent(waits, found, error)
        z_mu.append((slope - mu) / slope_error)
    assert np.all(error[2:] < 0.06 * tau_w[2:])
    assert 0.85 < np.sqrt(np.mean(np.square(z))) < 1.15
    assert abs(np.mean(z)) < 0.15  # interpolation adds no bias to speak of
    assert 0.6 < np.std(z_mu) < 1.15 and abs(np.mean(z_mu)) < 0.3


def test_relaxation_times_without_noise():
    time = log_times(5000)
    tau_w = np.array([0.4, 1.7, 40.0, 900.0, 1e6])
    rows = np.exp(-time / tau_w[:, None])[None].repeat(3, axis=0)
    rows = np.concatenate([rows, np.full((3, 1, len(time)), np.nan)], axis=1)
    found, error = relaxation_times(rows, time, 1)
    assert found[1:4] == pytest.approx(tau_w[1:4], rel=0.02)
    linear = (1.0 - THRESHOLD) / (1.0 - math.exp(-1.0 / 0.4))  # before the first time
    assert found[0] == pytest.approx(linear)
    assert math.isinf(found[4]) and math.isnan(found[5])
    assert error[:4] == pytest.approx(np.zeros(4), abs=1e-9)


def test_relaxation_times_over_samples():
    """Samples whose times differ: the error is their scatter, not that of replicas."""
    rng = np.random.default_rng(8)
    time, z = log_times(4096), []
    for _ in range(150):
        tau_s = np.exp(rng.normal(4.0, 0.3, 20))
        rows = np.exp(-time / tau_s[:, None])[:, None, None, :].repeat(4, axis=1)
        rows = rows.reshape(80, 1, -1) + 0.02 * rng.normal(size=(80, 1, len(time)))
        found, error = relaxation_times(rows, time, 20)
        z.append([(found[0] - np.exp(4.0)) / error[0], error[0]])
    z = np.array(z)
    assert 0.8 < np.std(z[:, 0]) < 1.25  # the mean curve has its own tau, near exp(4)
    assert np.std(z[:, 0] * z[:, 1]) == pytest.approx(z[:, 1].mean(), rel=0.25)
