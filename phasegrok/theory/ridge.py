r"""Ridge regression as a posterior, and the stationary laws of Langevin integrators on it.

y = X theta + noise of variance sigma2, prior theta ~ N(0, width^2).  In the latent xi =
theta/width, U = |xi|^2/2 + |X theta - y|^2/(2 sigma2) is quadratic with curvature A = 1 + width^2
X^T X/sigma2, and the posterior of xi is N(A^-1 b, A^-1).  An integrator of step h has a law of its
own, with the same mean and, in the eigenbasis of A with eigenvalue a, the variances of
:func:`stationary_variance`.  The teacher is the first axis of the inputs.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import linalg, optimize


class Posterior(NamedTuple):
    """Mean and covariance of the weights, and the curvature of U in the latent, (d,), (d, d)."""

    mean: np.ndarray
    covariance: np.ndarray
    curvature: np.ndarray


def drawn(d: int, n: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs ~ N(0, 1), (n, d), and targets x_1 + label noise of variance ``noise``, (n,)."""
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    X = rng.standard_normal((n, d))
    return X, X[:, 0] + math.sqrt(noise) * rng.standard_normal(n)


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


def expected_test_loss(found: Posterior, noise: float) -> float:
    """Posterior mean of the mean squared error over all inputs and label noise."""
    off = found.mean.copy()
    off[0] -= 1.0
    return float(off @ off + np.trace(found.covariance) + noise)


def overlap_law(found: Posterior, Phi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Law of :math:`\Phi = \theta\cdot\theta_*` when only its size is known.

    Parameters
    ----------
    Phi : array_like, shape (K,)

    Returns
    -------
    tuple
        :math:`-\ln\{[N(\Phi; m, v) + N(-\Phi; m, v)]/2\}`, a density on the real axis, and the mean
        of :math:`|\theta_\perp|^2` at fixed :math:`|\Phi|`; both of shape (K,).
    """
    m, v = found.mean[0], found.covariance[0, 0]
    slope = found.covariance[1:, 0] / v
    rest = np.trace(found.covariance[1:, 1:]) - v * slope @ slope
    both = np.stack([np.asarray(Phi, float), -np.asarray(Phi, float)])
    log_p = -0.5 * (both - m) ** 2 / v - 0.5 * math.log(2.0 * math.pi * v)
    at = found.mean[1:, None, None] + slope[:, None, None] * (both - m)
    total = np.logaddexp(*log_p)
    second = np.sum(np.exp(log_p - total) * np.sum(at**2, axis=0), axis=0) + rest
    return math.log(2.0) - total, second


def at_step(found: Posterior, h: float, integrator: str, friction: float = 1.0) -> Posterior:
    """The law that an integrator of step ``h`` samples in place of the posterior.

    Raises
    ------
    ValueError
        As :func:`stationary_variance`.
    """
    a, basis = linalg.eigh(found.curvature)
    width2 = float(np.trace(found.covariance @ found.curvature)) / len(a)
    variance = width2 * stationary_variance(a, h, integrator, friction)
    return found._replace(covariance=(basis * variance) @ basis.T)


def largest_steps(found: Posterior) -> dict[str, float]:
    """Steps h up to which the map of each integrator is stable.

    The kick and rotation of ghmc: h (a - 1) tan(h/2) < 2, from the trace of the map.  Beyond, its
    law stays exact, and steps are rejected.
    """
    a = float(linalg.eigvalsh(found.curvature)[-1])
    ghmc = optimize.brentq(lambda h: h * (a - 1.0) * math.tan(0.5 * h) - 2.0, 0.0,
                           math.pi * (1.0 - 1e-12))
    return {"euler-maruyama": 2.0 / a, "leimkuhler-matthews": 2.0 / a,
            "baoab": 2.0 / math.sqrt(a), "ghmc": float(ghmc)}


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
