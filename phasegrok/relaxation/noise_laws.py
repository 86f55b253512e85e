r"""What noise does to the time at which a system leaves its state: the law of noise.

The mean waiting time :math:`\tau` of clones and its spread CV are measured at several strengths
:math:`\epsilon` of the noise: temperatures at which the landscape is the same, or 1/N of systems of
N sites.  How both depend on :math:`\epsilon` tells apart what one strength cannot:

.. math::

   \text{flow}\quad & \tau = c, \quad \mathrm{CV} = s\sqrt\epsilon, \\
   \text{search}\quad & \tau = c, \quad \mathrm{CV} = s, \\
   \text{escape from a saddle}\quad & \tau = c - A\ln\epsilon, \quad \mathrm{CV} = s/\tau, \\
   \text{start beside a saddle}\quad & \tau = c - A\ln(\epsilon + \epsilon_1), \quad
       \mathrm{CV} = s\sqrt{\epsilon/(\epsilon + \epsilon_1)}/\tau, \\
   \text{scaling}\quad & \tau = c\,\epsilon^{-p}, \quad \mathrm{CV} = s, \\
   \text{activation}\quad & \tau = t_0 + c\,\epsilon^q e^{B/\epsilon}, \quad
       \mathrm{CV} = (\tau - t_0)/\tau, \quad q = 0, 1, -\tfrac12, \\
   \text{surface barrier}\quad & \tau = c\, e^{B N^{(d-1)/d}}, \quad \mathrm{CV} = 1.

A flow carries all clones along one path, about which noise scatters them [1]_.  At an unstable
point noise of size :math:`\sqrt\epsilon` grows as :math:`e^{\lambda t}`, so that A is
:math:`1/2\lambda` and the spread does not depend on the noise [2]_.  Over a barrier of height B
clones go at random times [3]_, q being 0 between two smooth wells.  A system of N sites that orders
through a wall pays for the wall alone.  The laws are fitted to :math:`\ln\tau` and
:math:`\ln\mathrm{CV}` together.

References
----------
.. [1] N. G. van Kampen, Stochastic Processes in Physics and Chemistry (North-Holland 1992), ch. X.
.. [2] M. Suzuki, Adv. Chem. Phys. 46 (1981) 195.
.. [3] H. A. Kramers, Physica 7 (1940) 284.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from phasegrok.relaxation.fitted_laws import DECIDES, OPEN, FittedLaw, fit_law
from phasegrok.relaxation.inputs import points

FLOW, SEARCH, SADDLE, SCALING = "flow", "search", "saddle", "scaling"
ACTIVATION = "activation"

FLOORS = (0.05, 0.1)
"""Least errors of ln tau and ln CV: no law holds better than that at noise that is not small."""

MOST_CHI2 = 4.0
"""chi^2/dof from which on a law does not hold."""

FEWEST = 5
"""Strengths of the noise at which both tau and CV are known, or a bound of tau."""

DECADES = 1.2
"""Of noise, below which a logarithm, a power and a constant are not told apart."""

LEAST_POWER = 0.1
"""Exponent of the noise, at two errors, up to which a time is said not to depend on it."""

_LEAST_BARRIER = 2.0  # B over the least noise: below, a prefactor bends as a power does


@dataclass(frozen=True)
class NoiseLaw:
    """How the mean waiting time and its spread depend on noise.

    Attributes
    ----------
    kind : str
        "flow", "search", "saddle", "scaling" or "activation"; "open" where the data cannot say.
    difference : float
        BIC of the best law of another kind less that of the best.
    fits : tuple of FittedLaw
        All laws, the best first; chi^2, degrees of freedom and parameters are of each.
    reason : str
        Why it is open, in a sentence; empty where it is not.
    """

    kind: str
    difference: float
    fits: tuple[FittedLaw, ...]
    reason: str = ""

    @property
    def best(self) -> FittedLaw:
        """The law of least BIC."""
        return self.fits[0]


class _Law(NamedTuple):
    name: str
    kind: str
    parameters: tuple[str, ...]
    logarithms: Callable[..., tuple[np.ndarray, np.ndarray]]  # ln tau and ln CV of (noise, *p)
    starts: Callable[["_Data"], list[tuple[float, ...]]]
    bounds: Callable[["_Data"], tuple[list[float], list[float]]]


class _Data(NamedTuple):
    noise_k: np.ndarray
    tau_k: np.ndarray
    tau_err_k: np.ndarray
    cv_k: np.ndarray  # NaN where not known
    cv_err_k: np.ndarray
    bound_k: np.ndarray  # bool: tau is a lower bound


def noise_law(noise_k, tau_k, tau_err_k, cv_k, cv_err_k, bound_k=None,
              dimension: int | None = None) -> NoiseLaw:
    r"""The law that waiting times and their spreads follow as noise is varied, by BIC.

    Parameters
    ----------
    noise_k : array_like, shape (K,)
        Strength of the noise: T where the landscape does not depend on it, or 1/N.
    tau_k, tau_err_k : array_like, shape (K,)
        Mean waiting times with standard errors.
    cv_k, cv_err_k : array_like, shape (K,)
        Standard deviation over mean of the waiting times; NaN where it is not known.
    bound_k : array_like of bool, shape (K,), optional
        Where tau is only a lower bound, since too few clones have left; their CV is not taken.
    dimension : int, optional
        Of a lattice whose size is varied: then a barrier may also grow as the surface of a drop,
        N^((d - 1)/d).

    Returns
    -------
    NoiseLaw
        Open where the best law has chi^2/dof >= 4, where a law of another kind is less than 4
        behind in BIC, or where noise was varied over less than 1.2 decades or at fewer than five
        strengths.

    Raises
    ------
    ValueError
        Shapes that differ, or values that are not finite or not positive.
    """
    data = _checked(noise_k, tau_k, tau_err_k, cv_k, cv_err_k, bound_k)
    known = ~data.bound_k
    if len(data.noise_k) < FEWEST or known.sum() < 2:
        return NoiseLaw(OPEN, math.nan, (), f"noise was varied at {len(data.noise_k)} strengths, "
                        f"at {known.sum()} of which clones left: at least {FEWEST} and two "
                        "are wanted")
    fits = []
    for law in _laws(dimension):
        fit = _fitted(law, data)
        if fit is not None:
            fits.append((law, fit))
    fits.sort(key=lambda pair: pair[1].bic)
    kinds = [_kind(law, fit, data) for law, fit in fits]
    best = fits[0][1]
    others = [fit.bic for (_, fit), kind in zip(fits, kinds) if kind != kinds[0]]
    difference = min(others) - best.bic if others else math.inf
    decades = math.log10(data.noise_k.max() / data.noise_k.min())
    reason = ""
    if decades < DECADES:
        reason = f"noise was varied over {decades:.1f} decades, {DECADES:g} are wanted"
    elif best.chi2 >= MOST_CHI2 * best.dof:
        reason = f"no law holds: the nearest, {best.name}, has chi2/dof {best.chi2 / best.dof:.1f}"
    elif difference < DECIDES:
        rival = next(law.name for (law, _), kind in zip(fits, kinds) if kind != kinds[0])
        reason = (f"{best.name} and {rival} fit alike (BIC differs by {difference:.1f}, "
                  f"{DECIDES:g} is wanted)")
    elif kinds[0] == OPEN:
        reason = "the start is as far beside the saddle as noise leads"
    return NoiseLaw(OPEN if reason else kinds[0], difference, tuple(fit for _, fit in fits), reason)


def _checked(noise_k, tau_k, tau_err_k, cv_k, cv_err_k, bound_k) -> _Data:
    what = "law of noise"
    bound_k = np.zeros(len(noise_k), bool) if bound_k is None else np.asarray(bound_k, bool)
    tau_err_k = np.where(bound_k, 1.0, np.asarray(tau_err_k, float))
    order = np.argsort(np.asarray(noise_k, float))
    if not len(cv_k) == len(cv_err_k) == len(bound_k) == len(order):
        raise ValueError(f"{what}: give a CV, an error and a mark for each strength of the noise")
    noise_k, tau_k, tau_err_k = points(noise_k, tau_k, tau_err_k, 1, what)
    if not (tau_k > 0.0).all():
        raise ValueError(f"{what}: leave out waiting times that are not positive")
    cv_k, cv_err_k = (np.asarray(v, float)[order] for v in (cv_k, cv_err_k))
    bound_k = bound_k[order]
    unknown = bound_k | ~(np.isfinite(cv_k) & np.isfinite(cv_err_k) & (cv_k > 0.0))
    return _Data(noise_k, tau_k, tau_err_k, np.where(unknown, np.nan, cv_k), cv_err_k, bound_k)


# The laws -------------------------------------------------------------------------------------


def _laws(dimension: int | None) -> list[_Law]:
    laws = [
        _Law("flow", FLOW, ("ln c", "ln s"),
             lambda e, c, s: (c + 0.0 * e, s + 0.5 * np.log(e)),
             lambda d: [(_level(d), _width(d) - 0.5 * _middle(d))], lambda _: _free(2)),
        _Law("search", SEARCH, ("ln c", "ln s"), lambda e, c, s: (c + 0.0 * e, s + 0.0 * e),
             lambda d: [(_level(d), _width(d))], lambda _: _free(2)),
        _Law("saddle", SADDLE, ("ln A", "ln g", "ln s/A"), _from_saddle, _saddle_starts,
             lambda _: _SADDLE),
        _Law("beside a saddle", SADDLE, ("ln A", "ln g", "ln s/A", "ln eps1"), _beside_saddle,
             lambda d: [(*start, at) for start in _saddle_starts(d) for at in np.quantile(
                 np.log(d.noise_k), (0.0, 0.3, 0.6, 1.0))], _beside_bounds),
        _Law("scaling", SCALING, ("ln c", "p", "ln s"),
             lambda e, c, p, s: (c - p * np.log(e), s + 0.0 * e),
             lambda d: [(_level(d) + p * _middle(d), p, _width(d)) for p in (0.3, 1.0, 2.0)],
             lambda _: _free(3)),
        *(_activation(q) for q in (0.0, 1.0, -0.5)),
    ]
    if dimension is not None and dimension > 1:
        laws.append(_activation(0.0, (dimension - 1.0) / dimension))
    return laws


def _free(n: int) -> tuple[list[float], list[float]]:
    return [-np.inf] * n, [np.inf] * n


def _level(d: _Data) -> float:
    return float(np.log(d.tau_k[~d.bound_k]).mean())


def _width(d: _Data) -> float:
    return float(np.log(d.cv_k[np.isfinite(d.cv_k)]).mean()) if np.isfinite(d.cv_k).any() else 0.0


def _middle(d: _Data) -> float:
    return float(np.log(d.noise_k).mean())


# ln A, ln g and ln s/A: g is c/A less ln eps of the strongest noise, and s/A 2.22 for one unstable
# direction, less for more
_SADDLE = [-np.inf, math.log(0.05), math.log(0.2)], [np.inf, math.log(60.0), math.log(6.0)]


def _saddle_starts(d: _Data) -> list[tuple[float, ...]]:
    below = float(np.log(d.noise_k[-1] / d.noise_k).mean())
    return [(_level(d) - math.log(g + below), math.log(g), 0.8) for g in (0.5, 2.0, 6.0, 20.0)]


def _from_saddle(e, A, g, s):
    y = np.exp(g) - np.log(e / e[-1])
    return A + np.log(y), s - np.log(y)


def _beside_saddle(e, A, g, s, at):
    together = e + np.exp(at)
    y = np.maximum(np.exp(g) - np.log(together / e[-1]), 1e-6)
    return A + np.log(y), s + 0.5 * np.log(e / together) - np.log(y)


def _beside_bounds(d: _Data):
    edges = np.log(d.noise_k[[0, -1]])
    return [*_SADDLE[0], edges[0] - 2.3], [*_SADDLE[1], edges[1] + 2.3]


def _activation(q: float, power: float = 1.0) -> _Law:
    """Arrhenius' law with a prefactor eps^q, and a barrier B/eps^power."""

    def logarithms(e, c, B, t0):
        jump = c + q * np.log(e) + B * e**-power
        tau = np.logaddexp(t0, jump)
        return tau, jump - tau

    def starts(d: _Data):
        known = ~d.bound_k
        e, log_tau, floor = d.noise_k[known], np.log(d.tau_k[known]), np.log(d.tau_k.min())
        barriers = np.geomspace(1.0, 30.0, 8) * _LEAST_BARRIER * d.noise_k[0] ** power
        return [(float((log_tau - q * np.log(e) - B * e**-power).mean()), float(B), floor - lag)
                for B, lag in itertools.product(barriers, (0.3, 2.0, 6.0))]

    def bounds(d: _Data):
        least, floor = _LEAST_BARRIER * d.noise_k[0] ** power, float(np.log(d.tau_k.min()))
        return [-np.inf, 0.999 * least, floor - 20.0], [np.inf, np.inf, floor + 1.0]

    kind = "surface barrier" if power != 1.0 else "activation"
    name = {0.0: kind, 1.0: f"{kind} / eps^-1", -0.5: f"{kind} / eps^(1/2)"}[q]
    return _Law(name, ACTIVATION, ("ln c", "B", "ln t0"), logarithms, starts, bounds)


def _kind(law: _Law, fit: FittedLaw, d: _Data) -> str:
    """What the law says: beside a saddle, a flow where noise is less than the distance from it; a
    power that is none, a search."""
    if law.kind == SCALING:
        p, error = fit["p"]
        return SEARCH if abs(p) - 2.0 * error < LEAST_POWER else SCALING
    if law.name != "beside a saddle":
        return law.kind
    at, error = fit["ln eps1"]
    middle = float(np.log(d.noise_k[[0, -1]]).mean())
    if abs(at - middle) < min(error, 1.0):
        return OPEN
    return FLOW if at > middle else SADDLE


# The fits -------------------------------------------------------------------------------------


def _fitted(law: _Law, d: _Data) -> FittedLaw | None:
    """The law at the data, from the best of its starts; None where there are too few points."""
    known = np.isfinite(d.cv_k)
    tau_err = np.maximum(d.tau_err_k / d.tau_k, FLOORS[0])
    cv_err = np.maximum(d.cv_err_k[known] / d.cv_k[known], FLOORS[1])
    y = np.concatenate([np.where(d.bound_k, 0.0, np.log(d.tau_k)), np.log(d.cv_k[known])])
    errors = np.concatenate([np.where(d.bound_k, 1.0, tau_err), cv_err])

    def values(_, *p):
        log_tau, log_cv = law.logarithms(d.noise_k, *p)
        short = -np.log(d.tau_k) + log_tau  # of a lower bound
        missed = np.sqrt(-2.0 * norm.logcdf(short / FLOORS[0]))
        return np.concatenate([np.where(d.bound_k, missed, log_tau), log_cv[known]])

    table = np.arange(1.0, len(y) + 1.0), y, errors
    low, high = law.bounds(d)
    starts = [np.clip(start, low, high) for start in law.starts(d)]

    def misfit(start) -> float:
        with np.errstate(all="ignore"):
            chi2 = float((((values(None, *start) - y) / errors) ** 2).sum())
        return chi2 if math.isfinite(chi2) else math.inf

    found = []
    for start in sorted(starts, key=misfit)[:3]:
        try:
            found.append(fit_law(law.name, law.parameters, values, table, start, (low, high)))
        except ValueError:  # a search that does not end, or too few points
            continue
    return min(found, key=lambda fit: fit.chi2, default=None)
