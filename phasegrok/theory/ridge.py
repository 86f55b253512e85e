r"""Ridge regression as a posterior, and the stationary laws of Langevin integrators on it.

y = X theta + noise of variance sigma2, prior theta ~ N(0, width^2).  In the latent xi =
theta/width, U = |xi|^2/2 + |X theta - y|^2/(2 sigma2) is quadratic with curvature A = 1 + width^2
X^T X/sigma2, and the posterior of xi is N(A^-1 b, A^-1).  An integrator of step h has a law of its
own, with the same mean and, in the eigenbasis of A with eigenvalue a, the variances of
:func:`stationary_variance`.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import linalg


class Posterior(NamedTuple):
    """Mean and covariance of the weights, and the curvature of U in the latent, (d,), (d, d)."""

    mean: np.ndarray
    covariance: np.ndarray
    curvature: np.ndarray


def posterior(X, y, sigma2: float, width: float) -> Posterior:
    """Exact posterior of the weights.

    Parameters
    ----------
    X : array_like, shape (n, d)
        Inputs.
    y : array_like, shape (n,)
        Targets.
    sigma2, width : float
        Variance of the likelihood, standard deviation of the prior of a weight.

    Raises
    ------
    ValueError
        If shapes do not fit or a variance is not positive.
    """
    X, y = np.asarray(X, float), np.asarray(y, float)
    if X.ndim != 2 or y.shape != (len(X),):
        raise ValueError("X must be (n, d) and y (n,)")
    if not (sigma2 > 0.0 and width > 0.0):
        raise ValueError("sigma2 > 0 and width > 0 are required")
    A = np.eye(X.shape[1]) + width**2 * X.T @ X / sigma2
    factor = linalg.cho_factor(A)
    mean = width**2 * linalg.cho_solve(factor, X.T @ y) / sigma2
    return Posterior(mean, width**2 * linalg.cho_solve(factor, np.eye(len(A))), A)


def expected_loss(found: Posterior, X, y) -> float:
    """Posterior mean of the mean squared error on (X, y)."""
    X, y = np.asarray(X, float), np.asarray(y, float)
    spread = np.einsum("ni,ij,nj->n", X, found.covariance, X)
    return float(np.mean((X @ found.mean - y) ** 2 + spread))


def stationary_variance(a, h: float, integrator: str, friction: float = 1.0) -> np.ndarray:
    r"""Variance of a coordinate of curvature ``a`` under an integrator of step ``h``.

    Euler-Maruyama: :math:`1/[a(1 - ha/2)]`, stable for ha < 2.  Leimkuhler-Matthews: 1/a, same
    limit.  BAOAB: from the discrete Lyapunov equation of its map of (x, v), which gives 1/a, stable
    for h sqrt(a) < 2.

    Raises
    ------
    ValueError
        For an unknown integrator, or a step beyond the limit of stability.
    """
    a = np.atleast_1d(np.asarray(a, float))
    limit = {"euler-maruyama": h * a, "leimkuhler-matthews": h * a, "baoab": h * np.sqrt(a)}
    if integrator not in limit:
        raise ValueError(f'"{integrator}" is none of {", ".join(limit)}')
    if np.any(limit[integrator] >= 2.0):
        raise ValueError(f"h = {h:g} is beyond the limit of stability of {integrator}")
    if integrator == "euler-maruyama":
        return 1.0 / (a * (1.0 - 0.5 * h * a))
    if integrator == "leimkuhler-matthews":
        return 1.0 / a
    return np.array([_baoab(value, h, friction)[0, 0] for value in a])


def _baoab(a: float, h: float, friction: float) -> np.ndarray:
    """Covariance of (x, v) after steps of BAOAB."""
    keep = math.exp(-friction * h)
    kick = np.array([[1.0, 0.0], [-0.5 * h * a, 1.0]])
    drift = np.array([[1.0, 0.5 * h], [0.0, 1.0]])
    after = kick @ drift
    step = after @ np.diag([1.0, keep]) @ drift @ kick
    noise = after @ np.diag([0.0, 1.0 - keep**2]) @ after.T
    return linalg.solve_discrete_lyapunov(step, noise)
