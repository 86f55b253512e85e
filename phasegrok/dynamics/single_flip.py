"""Single-site dynamics of a discrete system: Metropolis and heat bath at random sites.

One sweep is N attempted updates at sites drawn with replacement.  Heat bath draws the new state of
the site from its conditional distribution (at T = 0: one of lowest energy, ties broken at random);
Metropolis proposes another state and accepts with min(1, exp(-dE/T)) (Metropolis et al., J. Chem.
Phys. 21 (1953) 1087).  They are different dynamics with the same equilibrium.  An
attempt at a site that a kinetic constraint holds fixed counts as an attempt and changes nothing.
"""

import math

import numpy as np

from phasegrok.compiled import kernel
from phasegrok.rng import below, uniform
from phasegrok.systems.discrete import (
    allowed,
    assign,
    energy_change,
    n_values,
    order_change,
    value_of,
)

DYNAMICS = {"metropolis": 0, "heat-bath": 1}
_NO_CHANGE = 0.0
_TIE = 1e-12  # at T = 0, energies nearer than this are equal: 0.1 + 0.2 - 0.3 is 5e-17


@kernel(allocates=False)
def propose(system, sigma, site, rng):
    """A state of ``site`` other than the present one, each equally likely."""
    q = n_values(system)
    if q == 2:
        return value_of(system, 0) + value_of(system, 1) - sigma[site]
    value = value_of(system, below(rng, q))
    while value == sigma[site]:
        value = value_of(system, below(rng, q))
    return value


@kernel(allocates=False)
def _metropolis(system, temperature, sigma, cache, site, rng):
    value = propose(system, sigma, site, rng)
    change = energy_change(system, sigma, cache, site, value)
    if change <= 0.0:
        return value, change
    if temperature > 0.0:
        accepted = uniform(rng) < math.exp(-change / temperature)
    else:
        accepted = change < _TIE
    if accepted:
        return value, change
    return np.int64(sigma[site]), _NO_CHANGE


@kernel(allocates=False)
def _heat_bath_two(system, temperature, sigma, cache, site, rng):
    value = value_of(system, 0) + value_of(system, 1) - sigma[site]
    change = energy_change(system, sigma, cache, site, value)
    if temperature > 0.0:
        flips = uniform(rng) * (1.0 + math.exp(min(change / temperature, 700.0))) < 1.0
    else:
        flips = change < _TIE and (change < -_TIE or uniform(rng) < 0.5)
    if flips:
        return value, change
    return np.int64(sigma[site]), _NO_CHANGE


@kernel(allocates=False)
def _heat_bath_many(system, temperature, sigma, cache, site, rng):
    lowest = 0.0
    for k in range(n_values(system)):
        lowest = min(lowest, energy_change(system, sigma, cache, site, value_of(system, k)))
    total = 0.0
    chosen = np.int64(sigma[site])
    chosen_change = _NO_CHANGE
    for k in range(n_values(system)):
        value = value_of(system, k)
        change = energy_change(system, sigma, cache, site, value)
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
def new_value(system, heat_bath, temperature, sigma, cache, site, rng):
    """State of ``site`` after one attempted update, and the change of energy it brings."""
    if not allowed(system, sigma, cache, site):
        return np.int64(sigma[site]), _NO_CHANGE
    if heat_bath:
        if n_values(system) == 2:
            return _heat_bath_two(system, temperature, sigma, cache, site, rng)
        return _heat_bath_many(system, temperature, sigma, cache, site, rng)
    return _metropolis(system, temperature, sigma, cache, site, rng)


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
        Sweeps of N attempted updates at random sites.
    sigma, cache, values : arrays
        Configuration, its derived integers, and [E, Phi]; changed in place.
    rng : uint64[4]
        Generator state, changed in place.
    energy_t, phi_t : float64[n_sweeps]
        Series, filled; arrays of length 0 record nothing.
    """
    n = sigma.shape[0]
    for t in range(n_sweeps):
        for _ in range(n):
            site = below(rng, n)
            value, change = new_value(system, heat_bath, temperature, sigma, cache, site, rng)
            if value != sigma[site]:
                values[0] += change
                values[1] += order_change(system, sigma, cache, site, value)
                assign(system, sigma, cache, site, value)
        if energy_t.shape[0] > 0:
            energy_t[t] = values[0]
            phi_t[t] = values[1]
