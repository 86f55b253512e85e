"""Dynamics of a discrete system by its own moves: Metropolis and heat bath at random places.

One sweep is N attempted updates, N the number of sites, at places (sites, unless the system says
otherwise) drawn with replacement.  Heat bath draws the new state from its conditional distribution
(at T = 0: one of lowest energy, ties broken at random), of moves that are the system's own one of
the two that they lead between; Metropolis proposes another state and accepts with min(1,
exp(-dE/T)) (Metropolis et al., J. Chem. Phys. 21 (1953) 1087).  They are different dynamics with
the same equilibrium.  An attempt at a place that a kinetic constraint holds fixed counts as an
attempt and changes nothing.
"""

import math

import numpy as np

from phasegrok.compiled import kernel
from phasegrok.rng import below, uniform
from phasegrok.systems.discrete import (
    allowed,
    assign,
    energy_change,
    n_choices,
    n_places,
    order_change,
    present,
    propose,
    value_of,
)

DYNAMICS = {"metropolis": 0, "heat-bath": 1}
_NO_CHANGE = 0.0
_TIE = 1e-12  # at T = 0, energies nearer than this are equal: 0.1 + 0.2 - 0.3 is 5e-17


@kernel(allocates=False)
def _metropolis(system, temperature, sigma, cache, place, rng):
    value = propose(system, sigma, place, rng)
    change = energy_change(system, sigma, cache, place, value)
    if change <= 0.0:
        return value, change
    if temperature > 0.0:
        accepted = uniform(rng) < math.exp(-change / temperature)
    else:
        accepted = change < _TIE
    if accepted:
        return value, change
    return np.int64(present(system, sigma, place)), _NO_CHANGE


@kernel(allocates=False)
def _heat_bath_two(system, temperature, sigma, cache, place, rng):
    value = propose(system, sigma, place, rng)
    change = energy_change(system, sigma, cache, place, value)
    if temperature > 0.0:
        flips = uniform(rng) * (1.0 + math.exp(min(change / temperature, 700.0))) < 1.0
    else:
        flips = change < _TIE and (change < -_TIE or uniform(rng) < 0.5)
    if flips:
        return value, change
    return np.int64(present(system, sigma, place)), _NO_CHANGE


@kernel(allocates=False)
def _heat_bath_many(system, temperature, sigma, cache, place, rng):
    lowest = 0.0
    for k in range(n_choices(system)):
        lowest = min(lowest, energy_change(system, sigma, cache, place, value_of(system, k)))
    total = 0.0
    chosen = np.int64(present(system, sigma, place))
    chosen_change = _NO_CHANGE
    for k in range(n_choices(system)):
        value = value_of(system, k)
        change = energy_change(system, sigma, cache, place, value)
        if temperature > 0.0:
            weight = math.exp(-(change - lowest) / temperature)
        else:
            weight = 1.0 if change < lowest + _TIE else 0.0
        total += weight  # keep the k-th state with probability weight/total: one pass, no table
        if uniform(rng) * total < weight:
            chosen = np.int64(value)
            chosen_change = change
    return chosen, chosen_change


@kernel(allocates=False)
def new_value(system, heat_bath, temperature, sigma, cache, place, rng):
    """Value at ``place`` after one attempted update, and the change of energy it brings."""
    if not allowed(system, sigma, cache, place):
        return np.int64(present(system, sigma, place)), _NO_CHANGE
    if heat_bath:
        if n_choices(system) == 2:
            return _heat_bath_two(system, temperature, sigma, cache, place, rng)
        return _heat_bath_many(system, temperature, sigma, cache, place, rng)
    return _metropolis(system, temperature, sigma, cache, place, rng)


@kernel(allocates=False)
def sweeps(system, heat_bath, temperature, n_sweeps, sigma, cache, values, rng, energy_t, phi_t):
    """Advance one configuration by ``n_sweeps`` sweeps; record E and Phi after each.

    Parameters
    ----------
    system : NamedTuple
        A discrete system.
    heat_bath : bool
        Heat bath, or Metropolis.
    temperature : float
        T in units of energy, >= 0.
    n_sweeps : int
        Sweeps of N attempted updates at random places.
    sigma, cache, values : arrays
        Configuration, its derived integers, and [E, Phi]; changed in place.
    rng : uint64[4]
        Generator state, changed in place.
    energy_t, phi_t : float64[n_sweeps]
        Series, filled; arrays of length 0 record nothing.
    """
    n, places = sigma.shape[0], n_places(system, sigma)
    for t in range(n_sweeps):
        for _ in range(n):
            place = below(rng, places)
            value, change = new_value(system, heat_bath, temperature, sigma, cache, place, rng)
            if value != present(system, sigma, place):
                values[0] += change
                values[1] += order_change(system, sigma, cache, place, value)
                assign(system, sigma, cache, place, value)
        if energy_t.shape[0] > 0:
            energy_t[t] = values[0]
            phi_t[t] = values[1]
