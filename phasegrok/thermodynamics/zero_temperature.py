"""Averages at T = 0 over the students of a perceptron, from ln g(E, R) of every sample."""

import math

import numpy as np
from scipy import optimize, special

_BETWEEN = 0.85  # overlap between the poor state and the good one
_COLDEST, _HOTTEST = 0.02, 20.0  # between these a coexistence is looked for
_BOOTSTRAPS = 400


def gibbs(log_g_seo: np.ndarray, R: np.ndarray) -> dict[str, tuple[np.ndarray, str, str]]:
    """Gibbs averages at T = 0 and the temperature of coexistence, of every sample.

    Coexistence is where students with R > 0.85 and the others weigh the same; NaN where there is no
    such T between 0.02 and 20.

    Parameters
    ----------
    log_g_seo : ndarray, shape (S, P + 1, N + 1)
        ln g(E, R).
    R : ndarray, shape (N + 1,)
        Overlaps.
    """
    right = log_g_seo[:, 0]
    log_n = special.logsumexp(right, axis=1)
    p = np.exp(right - log_n[:, None])
    E = np.arange(log_g_seo.shape[1])[:, None]
    good = R > _BETWEEN

    def excess(log_T: float, log_g: np.ndarray) -> float:
        weight = log_g - E * math.exp(-log_T)
        return float(special.logsumexp(weight[:, good]) - special.logsumexp(weight[:, ~good]))

    low, high = math.log(_COLDEST), math.log(_HOTTEST)
    T = [math.exp(optimize.brentq(excess, low, high, args=(log_g,), xtol=1e-9))
         if excess(low, log_g) > 0.0 > excess(high, log_g) else math.nan for log_g in log_g_seo]
    return {
        "entropy": (log_n / (len(R) - 1), "nat per weight", "of students without error"),
        "overlap": (p @ R, "1", "<R> at T = 0"),
        "error": (p @ np.arccos(np.clip(R, -1.0, 1.0)) / math.pi, "1",
                  "generalisation error at T = 0, arccos(R)/pi"),
        "coexistence": (np.array(T), "energy", "T at which R > 0.85 weighs as much as the rest"),
    }


def annealed(log_g_seo: np.ndarray, R: np.ndarray) -> list[tuple[float, float]]:
    """Entropy and error of the mean of g over samples, at T = 0, with bootstrap errors."""
    N = len(R) - 1
    angle = np.arccos(np.clip(R, -1.0, 1.0)) / math.pi
    right = np.exp(log_g_seo[:, 0])

    def both(g):
        return np.array([np.log(g.sum()) / N, (g @ angle) / g.sum()])

    rng = np.random.default_rng(1)
    with np.errstate(divide="ignore", invalid="ignore"):  # no sample has a student without error
        again = [both(right[rng.integers(0, len(right), len(right))].mean(axis=0))
                 for _ in range(_BOOTSTRAPS)]
        return list(zip(both(right.mean(axis=0)), np.std(again, axis=0)))


def at_overlap(log_g_so: np.ndarray) -> dict[str, np.ndarray]:
    """Entropy at fixed overlap and T = 0 over samples, typical and annealed, with bootstrap errors.

    Typical is the median of ln g(0, R)/N, in which a sample without such a student counts as minus
    infinity; a mean does not exist, and that of the samples that have one is too high.  NaN where
    some bootstrap has no finite value.

    Parameters
    ----------
    log_g_so : ndarray, shape (S, N + 1)
        ln g(0, R) of S samples.
    """
    n, N = len(log_g_so), log_g_so.shape[1] - 1
    picks = np.random.default_rng(1).integers(0, n, (_BOOTSTRAPS, n))
    result = {"having": np.isfinite(log_g_so).mean(axis=0)}

    def annealed(log_g):
        return special.logsumexp(log_g, axis=0) - math.log(n)

    for name, function in (("typical", lambda x: np.median(x, axis=0)), ("annealed", annealed)):
        value = function(log_g_so) / N
        again_bo = np.array([function(log_g_so[pick]) for pick in picks]) / N
        known = np.isfinite(again_bo).all(axis=0)
        error = np.where(known, again_bo, 0.0).std(axis=0)
        result[name] = np.where(known, value, math.nan)
        result[f"{name}_err"] = np.where(known, error, math.nan)
    return result
