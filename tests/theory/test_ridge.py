"""Ridge regression: the posterior against quadrature and draws, integrators against recursions."""

import math

import numpy as np
import pytest

from phasegrok.theory import ridge


def drawn(n=12, d=2):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((n, d))
    return X, X @ np.array([0.7, -0.4])[:d] + 0.5 * rng.standard_normal(n)


def test_posterior_is_that_of_a_grid():
    X, y = drawn()
    found = ridge.posterior(X, y, 0.3, 0.8)
    axis = np.linspace(-3.0, 3.0, 601)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    error = grid @ X.T - y
    log_p = -0.5 * np.sum(error**2, axis=1) / 0.3 - 0.5 * np.sum(grid**2, axis=1) / 0.8**2
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    mean = p @ grid
    np.testing.assert_allclose(found.mean, mean, rtol=1e-8)
    centred = grid - mean
    np.testing.assert_allclose(found.covariance, centred.T @ (p[:, None] * centred), rtol=1e-7)
    np.testing.assert_allclose(ridge.expected_loss(found, X, y), p @ np.mean(error**2, axis=1),
                               rtol=1e-8)


@pytest.mark.parametrize("integrator", ["euler-maruyama", "leimkuhler-matthews", "baoab"])
def test_variances_against_the_recursion_of_second_moments(integrator):
    """Moments of the written-out update, iterated to their limit."""
    h, a, friction = 0.3, 2.7, 1.4
    keep = math.exp(-friction * h)
    if integrator == "baoab":
        xx, xv, vv = 0.0, 0.0, 1.0
        for _ in range(4000):
            for part in ("B", "A", "O", "A", "B"):
                if part == "B":
                    k = -0.5 * h * a
                    xv, vv = xv + k * xx, vv + 2.0 * k * xv + k * k * xx
                elif part == "A":
                    k = 0.5 * h
                    xx, xv = xx + 2.0 * k * xv + k * k * vv, xv + k * vv
                else:
                    xv, vv = keep * xv, keep**2 * vv + 1.0 - keep**2
        expected = xx
    elif integrator == "euler-maruyama":
        expected = 0.0
        for _ in range(4000):
            expected = (1.0 - h * a) ** 2 * expected + 2.0 * h
    else:  # x' = (1 - ha) x + s (e_n + e_n+1): with the covariance of x and e_n
        s = math.sqrt(0.5 * h)
        expected, with_last = 0.0, 0.0
        for _ in range(4000):
            expected = ((1.0 - h * a) ** 2 * expected + 2.0 * s * s
                        + 2.0 * s * (1.0 - h * a) * with_last)
            with_last = s
    found = ridge.stationary_variance(a, h, integrator, friction)
    assert found[0] == pytest.approx(expected, rel=1e-10)
    if integrator != "euler-maruyama":
        assert found[0] == pytest.approx(1.0 / a, rel=1e-10)


def test_what_cannot_be_is_refused():
    X, y = drawn()
    with pytest.raises(ValueError, match="stability"):
        ridge.stationary_variance(10.0, 0.2, "euler-maruyama")
    with pytest.raises(ValueError, match="none of"):
        ridge.stationary_variance(1.0, 0.2, "leapfrog")
    with pytest.raises(ValueError, match="must be"):
        ridge.posterior(X, y[:-1], 0.3, 0.8)
    with pytest.raises(ValueError, match="required"):
        ridge.posterior(X, y, 0.0, 0.8)
