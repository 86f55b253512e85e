"""East model: equilibrium, and exact relaxation of short rings.

E = sum_i n_i with n_i = 0, 1, k_B = 1.  A site may change only while its neighbour n_(i-1) is 1
(Jackle and Eisinger, Z. Phys. B 84 (1991) 115), so that equilibrium is trivial, sites being
independent, and all slowness is kinetic.  Heat bath: a site drawn at random, if its neighbour is 1,
takes the value 1 with the probability c = 1/(1 + exp(1/T)).  One sweep of a ring of N sites is N
such draws, with replacement, allowed or not.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import sparse

_LARGEST_RING = 14


class Thermodynamics(NamedTuple):
    """Per site: ln Z, mean energy, which is the concentration of excitations, and heat capacity."""

    ln_Z: float
    energy: float
    heat_capacity: float


def thermodynamics(temperature: float) -> Thermodynamics:
    """ln Z = ln(1 + exp(-1/T)), e = c = 1/(1 + exp(1/T)) and C = c (1 - c)/T^2 of each site.

    Raises
    ------
    ValueError
        If the temperature is not positive and finite.
    """
    if not (temperature > 0.0 and math.isfinite(temperature)):
        raise ValueError(f"temperature = {temperature}: must be positive and finite")
    x = math.exp(-1.0 / temperature)
    c = x / (1.0 + x)
    return Thermodynamics(math.log1p(x), c, c * (1.0 - c) / temperature**2)


def _ring(N: int, c: float) -> tuple[np.ndarray, np.ndarray, sparse.csr_matrix, sparse.csr_matrix]:
    """n of the first site, equilibrium, flips of the first site and all the rest of one update."""
    if not 2 <= N <= _LARGEST_RING:
        raise ValueError(f"N = {N}: rings of 2 to {_LARGEST_RING} sites")
    state = np.arange(2**N)
    n = state[:, None] >> np.arange(N) & 1
    equilibrium = np.prod(np.where(n == 1, c, 1.0 - c), axis=1)
    rate = np.roll(n, 1, axis=1) * np.where(n == 1, 1.0 - c, c) / N
    flips = [
        sparse.csr_matrix((rate[:, i], (state ^ (1 << i), state)), shape=(2**N, 2**N))
        for i in range(N)
    ]
    rest = sparse.diags(1.0 - rate.sum(axis=1)) + sum(flips[1:])
    return n[:, 0], equilibrium, flips[0], sparse.csr_matrix(rest)


def _at_sweeps(matrix, vector: np.ndarray, t, N: int) -> Iterator[np.ndarray]:
    """The vector after round(N t) updates for each of the times, which must ascend."""
    updates = np.rint(N * np.asarray(t, dtype=float)).astype(int)
    if updates.ndim != 1 or np.any(np.diff(updates, prepend=0) < 0):
        raise ValueError("times must ascend from 0 or later")
    for steps in np.diff(updates, prepend=0):
        for _ in range(steps):
            vector = matrix @ vector
        yield vector


def autocorrelation(t, temperature: float, N: int) -> np.ndarray:
    """Equilibrium autocorrelation [<n_i(0) n_i(t)> - c^2]/[c (1 - c)] of a site of a ring.

    Exact, from all 2^N states; the start is drawn from independent sites, the empty ring, which
    never changes, included.

    Parameters
    ----------
    t : (n_t,) array
        Times in sweeps, ascending, rounded to whole updates.
    temperature : float
        Positive.
    N : int
        Sites of the ring, 2..14.

    Raises
    ------
    ValueError
        If the temperature, the size or the times are out of range.
    """
    c = thermodynamics(temperature).energy
    n, equilibrium, flips, rest = _ring(N, c)
    fluctuation = n - c
    start = fluctuation * equilibrium
    found = [fluctuation @ v for v in _at_sweeps(rest + flips, start, t, N)]
    return np.array(found) / (c * (1.0 - c))


def persistence(t, temperature: float, N: int) -> np.ndarray:
    """Probability that a site of a ring in equilibrium has never changed up to time t.

    Parameters and errors as ``autocorrelation``.
    """
    c = thermodynamics(temperature).energy
    _, equilibrium, _, rest = _ring(N, c)
    return np.array([v.sum() for v in _at_sweeps(rest, equilibrium, t, N)])
