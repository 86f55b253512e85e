r"""Adaptive-kernel theory of a two-layer quadratic network on addition modulo P, all pairs.

Network, prior and sextic term as in :mod:`phasegrok.systems.two_layer_modular`.  The target lies in
one eigenspace of every kernel that the symmetry allows, so one number, the residual a of the target
(y - f = a y), is the field.  A unit (neuron at frequencies +-k) has the density
:math:`\exp(-2 S_k)\,d\Phi\,d\Psi` with

.. math:: S_k = P\Big[\tfrac{\Phi + \Psi}{2} - U a^2\Phi\Psi + \tfrac\gamma6(\Phi^3 + \Psi^3)\Big],
          \qquad U = \frac{2\sigma_a^2 P^2}{N\sigma^4} ,

(Rubin, Seroussi and Ringel, arXiv 2310.03789, sec. 4.2), and the kernel's eigenvalue on the target
is :math:`4\sigma_a^2\langle\Phi\Psi\rangle`, so that

.. math:: 1 - a = \frac{4\sigma_a^2}{\sigma^2}\,a\,\langle\Phi\Psi\rangle_a .

The left side falls with a and the right side grows: there is one solution.  As P grows at fixed
:math:`\gamma` the density is at its minima, Phi = Psi = 0 or :math:`x_* = \sqrt{3/\gamma}`, which
are equally deep at :math:`U a^2 = 2\sqrt{\gamma/3}`.  Fluctuations of the P^2 other modes of the
output add to the action terms of relative order P^2/N, which are left out.
"""

import dataclasses
import functools
import math
from typing import NamedTuple

import numpy as np
from scipy import optimize

from phasegrok.theory.adaptive_kernel import first_change, wells_of

_POINTS, _FEWEST = 801, 201  # of the grid of Phi, odd
_STEP = 0.1  # of it, times P, where these allow it
_NATS = 45.0  # the density is integrated to this far below its maximum


@dataclasses.dataclass(frozen=True)
class Model:
    """Sizes and variances, as on the card."""

    P: int
    N: int
    sigma2: float
    sigma_a2: float
    gamma: float

    def __post_init__(self):
        if not (self.P >= 3 and self.N >= 1 and min(self.sigma2, self.sigma_a2, self.gamma) > 0.0):
            raise ValueError("P >= 3, N >= 1, and sigma2, sigma_a2, gamma > 0 are required")

    @property
    def drive(self) -> float:
        """U, of which U a^2 multiplies -Phi Psi."""
        return 2.0 * self.sigma_a2 * self.P**2 / (self.N * self.sigma2**2)

    @property
    def units(self) -> int:
        """Neurons at each frequency, N (P - 1)/2."""
        return self.N * (self.P - 1) // 2


class ClosedForms(NamedTuple):
    """Limit of large P at fixed gamma; sigma2_II is nan where GMFL-II is not reached."""

    sigma2_I: float
    sigma2_II: float
    well: float
    barrier: float


def closed_forms(P: int, N: int, sigma_a2: float, gamma: float) -> ClosedForms:
    r"""Where GMFL-I and GMFL-II begin, the outer well and the barrier of a unit (nat).

    :math:`\sigma_I^2 = [\sigma_a^2 P^2/(N\sqrt{\gamma/3})]^{1/2}`: wells of equal depth with a = 1.
    Below, :math:`a = \sigma^2/\sigma_I^2` keeps them so, while the fraction of specialised units
    grows to one at :math:`\sigma_{II}^2 = \sigma_I^2 - 12\sigma_a^2/\gamma`.  The well is at
    :math:`\sqrt{3/\gamma}` and the barrier :math:`(8/27) P \sqrt{3/\gamma}`.

    Units are those of `phasegrok.systems.two_layer_modular`: targets P delta - 1 and weights of
    variance 1/P.  With targets delta - 1/P and weights of variance one, as in the paper, sigma^2 is
    P^2 and sigma_a^2 is P^4 times smaller, and the factor 12 reads 12 P^2.
    """
    first = math.sqrt(sigma_a2 * P**2 / (N * math.sqrt(gamma / 3.0)))
    second = first - 12.0 * sigma_a2 / gamma
    well = math.sqrt(3.0 / gamma)
    return ClosedForms(first, second if second > 0.0 else math.nan, well, 8.0 / 27.0 * P * well)


@dataclasses.dataclass(frozen=True)
class Solution:
    """Residual and density of a unit.

    Attributes
    ----------
    residual : float
        a: y - f = a y.
    Phi : ndarray, shape (K,)
        Grid, from 0.
    potential : ndarray, shape (K,)
        -ln P(Phi) of a unit in nats, P normalised on Phi >= 0.
    Psi_mean : ndarray, shape (K,)
        <Psi> at Phi.
    wells : ndarray
        Minima of the potential, ascending; 0 first where the centre is one.
    barrier, depth, droplet : float
        From the centre to the top; of the outer well over the centre; fraction beyond the top.
        nan with one well.
    phase : str
        GFL (fewer than one unit of the network beyond the top), GMFL-I, or GMFL-II (fewer than one
        left, or no well at the centre).
    """

    residual: float
    Phi: np.ndarray
    potential: np.ndarray
    Psi_mean: np.ndarray
    wells: np.ndarray
    barrier: float
    depth: float
    droplet: float
    phase: str


def _grid(model: Model, a: float) -> np.ndarray:
    """Phi up to where a unit has no weight."""
    x = np.geomspace(1e-3, 1e6, 4001)
    S = 2.0 * model.P * (x - model.drive * a * a * x**2 + model.gamma * x**3 / 3.0)
    below = np.flatnonzero(S < min(0.0, S.min()) + _NATS)
    largest = x[min(below[-1] + 1, len(x) - 1)]
    half = math.ceil(0.5 * model.P * largest / _STEP)
    return np.linspace(0.0, largest, min(max(2 * half + 1, _FEWEST), _POINTS))


def _density(model: Model, Phi: np.ndarray, a: float) -> tuple[np.ndarray, np.ndarray]:
    """Density on the grid (Phi, Psi), and the weights of Simpson's rule."""
    x, y = Phi[:, None], Phi[None, :]
    S = 2.0 * model.P * (0.5 * (x + y) - model.drive * a * a * x * y
                         + model.gamma / 6.0 * (x**3 + y**3))
    p = np.exp(S.min() - S)
    simpson = np.full(len(Phi), 2.0 * (Phi[1] - Phi[0]) / 3.0)
    simpson[1::2] *= 2.0
    simpson[[0, -1]] *= 0.5
    return p / (simpson @ p @ simpson), simpson


def solve(model: Model) -> Solution:
    """Self-consistent residual a and the density of a unit.

    Raises
    ------
    ArithmeticError
        If the peaks of the density are too narrow for the grid: P/sqrt(gamma) beyond 2000.
    """

    def excess(a: float) -> float:
        Phi = _grid(model, a)
        p, weight = _density(model, Phi, a)
        product = (weight * Phi) @ p @ (weight * Phi)
        return 1.0 - a - 4.0 * model.sigma_a2 / model.sigma2 * a * float(product)

    a = float(optimize.brentq(excess, 0.0, 1.0, xtol=1e-12))
    Phi = _grid(model, a)
    if model.P * (Phi[1] - Phi[0]) > 0.5:
        raise ArithmeticError(f"the peaks are too narrow at P = {model.P}, gamma = "
                              f"{model.gamma:g}; the closed forms hold there")
    p, weight = _density(model, Phi, a)
    marginal = p @ weight
    with np.errstate(divide="ignore", invalid="ignore"):
        potential = -np.log(marginal)
        Psi_mean = p @ (weight * Phi) / marginal
    wells, barrier, depth, top = wells_of(Phi, potential)
    droplet = math.nan
    phase = "GFL" if wells[0] == 0.0 else "GMFL-II"
    if math.isfinite(top):
        droplet = float((weight * marginal)[Phi > top].sum())
        if model.units * (1.0 - droplet) < 1.0:
            phase = "GMFL-II"
        elif model.units * droplet >= 1.0:
            phase = "GMFL-I"
    return Solution(a, Phi, potential, Psi_mean, wells, barrier, depth, droplet, phase)


class Lines(NamedTuple):
    """sigma^2 at which the density of a unit changes, falling; nan where it does not."""

    outer_well: float
    first_droplet: float
    equal_depth: float
    last_centre: float


def transition_lines(model: Model, decades: float = 2.0, per_decade: int = 12,
                     tolerance: float = 1e-4) -> Lines:
    """Where sigma^2, lowered from the model's, takes the network through its phases.

    Parameters
    ----------
    model : Model
        Its sigma2 is the highest looked at.
    decades : float
        How far it is lowered.
    per_decade : int
        Points of the scan in which a change is then bracketed.
    tolerance : float
        To which ln sigma^2 is then found by bisection.
    """
    scan = model.sigma2 * 10.0 ** -np.linspace(0.0, decades, round(decades * per_decade) + 1)

    @functools.cache
    def at(log_sigma2: float) -> tuple[bool, bool, bool, bool]:
        found = solve(dataclasses.replace(model, sigma2=math.exp(log_sigma2)))
        two = math.isfinite(found.barrier)
        return (two or found.wells[0] > 0.0, found.phase != "GFL", two and found.depth < 0.0,
                found.phase == "GMFL-II")

    return Lines(*(first_change(lambda x, k=k: at(x)[k], np.log(scan), tolerance)
                   for k in range(4)))
