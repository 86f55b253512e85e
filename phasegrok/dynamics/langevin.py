r"""Langevin dynamics of continuous systems: four integrators over a flat latent, one chain a core.

The stationary law aimed at is :math:`P(\xi) \propto e^{-U}`, :math:`U = |\xi|^2/2 + E/T`: the
latent is scaled by the prior, so every integrator below is preconditioned by it, and the
temperature is that which the system states.  With :math:`\eta` standard normal and step h:

``euler-maruyama``
    :math:`\xi' = \xi - h\nabla U + \sqrt{2h}\,\eta_n` for :math:`d\xi = -\nabla U dt + \sqrt 2 dW`;
    noise of variance 2h a step; stationary law of order h.
``leimkuhler-matthews``
    :math:`\xi' = \xi - h\nabla U + \sqrt{h/2}\,(\eta_n + \eta_{n+1})`, the same equation; order
    h^2, exact where U is quadratic (Appl. Math. Res. Express 2013, 34, eq. 1.4).
``baoab``
    :math:`d\xi = v dt,\; dv = -\nabla U dt - \gamma v dt + \sqrt{2\gamma} dW`, split into half a
    kick, half a drift, :math:`v \to e^{-\gamma h} v + \sqrt{1 - e^{-2\gamma h}}\,\eta`, half a
    drift, half a kick; positions of order h^2, exact where U is quadratic.
``ghmc``
    The same equation, by kicks of E/T and the exact rotation of (xi, v), with a Metropolis test:
    the step of :mod:`phasegrok.dynamics.ghmc` with :math:`c = e^{-\gamma h}`,
    :math:`T = m = \omega = 1`.  No error of the step at all.

With a wall, ghmc samples the same law restricted to states in which |order parameter| of every unit
lies below it: steps beyond are rejected.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from phasegrok.compiled import kernel
from phasegrok.dynamics.ghmc import Splitting, accept, propose, reject
from phasegrok.rng import fill_noise, fill_normal
from phasegrok.systems.continuous import for_kernels, gradient, observe, units

INTEGRATORS = ("euler-maruyama", "leimkuhler-matthews", "baoab", "ghmc")
_EULER, _LEIMKUHLER, _BAOAB, _GHMC = range(4)
PER_BLOCK = 64  # records of which one histogram is kept
BINS = 256
_DRAWS = 1000
VIRIAL, KINETIC, ACCEPTED, MADE = range(4)  # of State.checks


@kernel
def _overdamped(scheme, xi, slope, noise, fresh, rng, h):
    """One step of Euler-Maruyama or Leimkuhler-Matthews; ``slope`` is that of E/T."""
    fill_noise(rng, fresh)
    half = math.sqrt(0.5 * h)
    before = half if scheme == _LEIMKUHLER else 2.0 * half
    for k in range(xi.shape[0]):
        random = before * fresh[k]
        if scheme == _LEIMKUHLER:
            random += half * noise[k]
            noise[k] = fresh[k]
        xi[k] += random - h * (xi[k] + slope[k])


@kernel
def _baoab(system, xi, v, slope, fresh, rng, h, friction, work):
    """One step; returns E/T at its end, where ``slope`` is taken anew."""
    fill_noise(rng, fresh)
    keep = math.exp(-friction * h)
    new = math.sqrt(1.0 - keep * keep)
    for k in range(xi.shape[0]):
        speed = v[k] - 0.5 * h * (xi[k] + slope[k])
        x = xi[k] + 0.5 * h * speed
        speed = keep * speed + new * fresh[k]
        xi[k] = x + 0.5 * h * speed
        v[k] = speed
    energy = gradient(system, xi, work, slope)
    for k in range(xi.shape[0]):
        v[k] -= 0.5 * h * (xi[k] + slope[k])
    return energy


@kernel
def largest_order(system, xi, work, order):
    """Largest |order parameter| of a unit."""
    units(system, xi, work, order)
    most = 0.0
    for k in range(order.shape[0]):
        most = max(most, abs(order[k, 0]))
    return most


@kernel
def _splitting(h, friction):
    """Of the latent, whose prior has frequency one, at the temperature that the system states."""
    return Splitting(h, math.exp(-friction * h), 1.0, 1.0, 1.0)


@kernel
def ghmc(system, splitting, wall, xi, v, slope, kept, fresh, energy, rng, work, order):
    """One step; returns E/T at its end and whether it was accepted."""
    before = propose(splitting, xi, v, slope, kept, fresh, rng)
    proposed = gradient(system, xi, work, slope)
    if accept(splitting, xi, v, slope, proposed - energy, before, rng) and (
            wall == math.inf or largest_order(system, xi, work, order) < wall):
        return proposed, True
    reject(xi, v, slope, kept, fresh)
    return energy, False


@kernel
def _record(system, xi, v, slope, work, order, series, counts, sums, largest, checks):
    """Observables, the histogram of the units, and what the temperature is checked by."""
    observe(system, xi, work, series)
    units(system, xi, work, order)
    bins = counts.shape[0] - 1  # the last is for what lies outside
    for i in range(order.shape[0]):
        bin_ = min(bins, int(abs(order[i, 0]) / largest * bins))
        counts[bin_] += 1
        sums[bin_] += order[i, 1]
    virial, kinetic = 0.0, 0.0
    for k in range(xi.shape[0]):
        virial += xi[k] * (xi[k] + slope[k])
        kinetic += v[k] * v[k]
    checks[VIRIAL] += virial / xi.shape[0]
    checks[KINETIC] += kinetic / xi.shape[0]


class Plan(NamedTuple):
    """What the steps and records of a chain depend on."""

    scheme: int  # place in INTEGRATORS
    h: float
    friction: float
    wall: float
    largest: float  # upper end of the histogram of |Phi|
    every: int  # steps between records
    equilibration: int  # steps without records


class Chain(NamedTuple):
    """One chain: its state, and what it records."""

    xi: np.ndarray  # (n,)
    v: np.ndarray  # (n,)
    noise: np.ndarray  # (n,)
    rng: np.ndarray  # (4,)
    series: np.ndarray  # (K, S)
    counts: np.ndarray  # (B, bins + 1)
    sums: np.ndarray  # (B, bins + 1)
    checks: np.ndarray  # (4,)


@kernel
def advance_chain(system, plan, chain, step, n_steps, work, room, order):
    """Advance one chain by ``n_steps``; returns the step at which it broke off, or -1.

    Parameters
    ----------
    system : ContinuousSystem
    plan : Plan
    chain : Chain
        Changed in place.
    step, n_steps : int
        Steps made before, and further ones.
    work : scratch of the system
    room, order : (4, n) and (n_units, 2) arrays
        To work in.
    """
    xi, v, rng, checks = chain.xi, chain.v, chain.rng, chain.checks
    slope, fresh, kept = room[0], room[1], room[2:]
    splitting = _splitting(plan.h, plan.friction)
    energy = gradient(system, xi, work, slope)
    for _ in range(n_steps):
        if plan.scheme == _BAOAB:
            energy = _baoab(system, xi, v, slope, fresh, rng, plan.h, plan.friction, work)
        elif plan.scheme == _GHMC:
            energy, accepted = ghmc(system, splitting, plan.wall, xi, v, slope, kept, fresh, energy,
                                    rng, work, order)
            checks[ACCEPTED] += accepted
        else:
            _overdamped(plan.scheme, xi, slope, chain.noise, fresh, rng, plan.h)
            energy = gradient(system, xi, work, slope)
        step += 1
        checks[MADE] += 1.0
        if not math.isfinite(energy):
            return step
        measured = step - plan.equilibration
        if measured > 0 and measured % plan.every == 0:
            k = measured // plan.every - 1
            _record(system, xi, v, slope, work, order, chain.series[k],
                    chain.counts[k // PER_BLOCK], chain.sums[k // PER_BLOCK], plan.largest, checks)
    return -1


def prior_below(system: Any, wall: float, rng: np.ndarray) -> np.ndarray:
    """A draw of the latent from the prior in which no unit reaches ``wall``.

    Raises
    ------
    ValueError
        If there is none among a thousand draws.
    """
    xi, order = np.empty(system.n_coordinates), np.empty((system.n_units, 2))
    system, work = for_kernels(system)
    for _ in range(_DRAWS):
        fill_normal(rng, xi)
        if largest_order(system, xi, work, order) < wall:
            return xi
    raise ValueError(f"the prior has units beyond the wall {wall:g} in each of {_DRAWS} draws: "
                     "take a wall farther out")


@kernel
def ghmc_until(system, h, friction, wall, threshold, n_steps, xi, v, rng, work, room, order):
    """Steps until a unit reaches ``threshold``, or -1 if none does in ``n_steps``."""
    slope, fresh, kept = room[0], room[1], room[2:]
    splitting = _splitting(h, friction)
    energy = gradient(system, xi, work, slope)
    for step in range(n_steps):
        energy, _ = ghmc(system, splitting, wall, xi, v, slope, kept, fresh, energy, rng, work,
                         order)
        if largest_order(system, xi, work, order) >= threshold:
            return step + 1
    return -1
