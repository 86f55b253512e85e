"""Laws of the time to generalise, fitted to times that were made."""

import numpy as np
import pytest

from phasegrok.relaxation.delay_laws import divergence, local_exponents, power_law

RNG = np.random.default_rng(5)


def made(law, x, replicas, scatter):
    """Times of a law, with a factor of each time that is lognormal."""
    return law(x)[:, None] * np.exp(scatter * RNG.standard_normal((len(x), replicas)))


def test_power_law_is_found_within_its_error():
    x, found = np.geomspace(1e-3, 3e-2, 6), []
    for _ in range(60):
        fit = power_law(x, made(lambda x: 4.0 * x**-1.2, x, 16, 0.3))
        found.append([(fit.value[1] - 1.2) / fit.error[1], fit.error[1]])
    z, error = np.array(found).T
    assert error.max() < 0.12 and abs(z.mean()) < 3.0 / np.sqrt(60)
    assert 0.7 < z.std() < 1.4


def test_divergence_is_found_within_its_error():
    x = np.array([0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9])
    found = []
    for _ in range(12):
        fit = divergence(x, made(lambda x: 50.0 * (x - 0.35) ** -1.5, x, 32, 0.1))
        found.append([*fit.value[1:], *fit.error[1:]])
    b, critical, _, critical_error = np.array(found).T
    assert abs(np.mean(b) - 1.5) < 0.12 and abs(np.mean(critical) - 0.35) < 0.01
    assert 0.5 < np.std(critical) / np.median(critical_error) < 2.0
    exact = divergence(x, made(lambda x: 50.0 * (x - 0.35) ** -1.5, x, 4, 0.0))
    assert exact.value == pytest.approx([50.0, 1.5, 0.35], rel=1e-4) and exact.rms < 1e-6


def test_a_bent_law_has_a_larger_error():
    x = np.geomspace(1e-3, 3e-2, 6)
    straight, bent = (power_law(x, made(law, x, 16, 0.1)) for law in (
        lambda x: 4.0 / x, lambda x: 4.0 / x + 2e4 * np.sqrt(x)))
    assert straight.rms < 0.06 < 0.2 < bent.rms and bent.error[1] > 5.0 * straight.error[1]
    local, error = local_exponents(x, made(lambda x: 4.0 * x**-0.7, x, 200, 0.1))
    assert error.max() < 0.03 and (np.abs(local - 0.7) < 4.0 * error).all()


def test_values_that_half_of_the_replicas_never_reach_do_not_enter():
    x = np.array([1.0, 2.0, 4.0, 8.0])
    times = np.repeat(8.0 / x[:, None], 4, axis=1)
    times[0, :2] = np.nan  # the median is not known
    times[1, 0] = np.nan  # later than all others: the median is not moved
    fit = power_law(x, times)
    assert fit.points == 3 and fit.value == pytest.approx([8.0, 1.0])
    times[1, :3] = np.nan
    fit = power_law(x, times)
    assert fit.points == 2 and np.isnan(fit.value).all()
