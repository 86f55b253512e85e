"""Single-site dynamics of Ising spins on any graph, with the local fields kept.

The same Metropolis and heat-bath dynamics as :mod:`phasegrok.dynamics.single_flip`, several times
faster: an attempt reads one number, the local field f_i = sum_j J_ij s_j with the spin in its
lowest bit, and only a flip visits the neighbours.  Fields are integers, in units of the common step
of the couplings, so they do not drift; where there is no such step, couplings are rounded to 2^-50
of the largest possible local field.  Sites and random fractions are drawn in batches.

Orders of the sites: "random-site" (with replacement, the one with the physics of time), and
"sequential" (0, 1, ..., N - 1, again and again), which samples the same equilibrium but has other
relaxation laws.
"""

import dataclasses
import functools
import math
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from phasegrok.compiled import kernel
from phasegrok.dynamics.single_flip import DYNAMICS, sweeps
from phasegrok.rng import next_word
from phasegrok.systems.discrete import DiscreteSystem
from phasegrok.systems.ising import Ising, common_step

ORDERS = ("random-site", "sequential")
_BATCH = 1024  # attempts whose sites and fractions are drawn together: they fit the level-1 cache
_MOST_LEVELS = 2**13  # of |f|: beyond, probabilities are tabulated for intervals of f
_SMALL = 60  # |f| that fits a byte when packed
_MOST_STRENGTHS = 64  # different couplings among which a common step is sought
_BITS = 50  # of a rounded field: the sum over a batch fits 63 bits, and a field fits a float
_INTERVAL = 0.25  # width of an interval of f, as a change of dE/T
_RANGE = 40.0  # |dE/T| beyond which an acceptance is certain or never happens (exp(-40) < 2^-57)
_TIE = 1e-12  # at T = 0, energies nearer than this are equal: 3 * 0.1 - 0.3 is 6e-17
_TO_UNIT = 1.0 / 18446744073709551616.0  # 2^-64


class _Scaled(NamedTuple):
    """Couplings of a system in integer multiples of ``unit``; the field h in units of energy."""

    degree: int  # number of neighbours where all sites have the same, else 0
    common: int  # the coupling where all are the same, which spares reading it; else 0
    first: np.ndarray
    neighbour: np.ndarray
    coupling: np.ndarray
    h: float
    unit: float
    largest: int  # |f| is at most this


def _scaled(system: Ising) -> _Scaled:
    strengths = np.unique(np.abs(np.append(system.coupling, 0.0)))
    sums = np.add.reduceat(np.append(np.abs(system.coupling), 0.0), system.first[:-1])
    sums[np.diff(system.first) == 0] = 0.0
    bound = float(sums.max())
    unit = 0.0
    if len(strengths) <= _MOST_STRENGTHS:
        try:
            unit = common_step(strengths)
        except ValueError:
            pass
    kind: type = np.int8 if bound < _SMALL * unit else np.int16
    if unit == 0.0 or bound / unit > _MOST_LEVELS:
        unit, kind = 2.0 ** (math.ceil(math.log2(bound)) - _BITS) if bound > 0.0 else 1.0, np.int64
    coupling: np.ndarray = np.rint(system.coupling / unit).astype(kind)
    largest = round(bound / unit) + len(strengths)  # rounding may add up
    degrees = np.diff(system.first)
    degree = int(degrees[0]) if np.all(degrees == degrees[0]) else 0
    common = int(coupling[0]) if len(coupling) and np.all(coupling == coupling[0]) else 0
    return _Scaled(degree, common, system.first, system.neighbour, coupling, system.h, unit,
                   largest)


def _acceptance(heat_bath: bool, temperature: float, change: np.ndarray) -> np.ndarray:
    """Probability that an attempt flips a spin when that changes the energy by ``change``."""
    if temperature == 0.0:
        return np.where(np.abs(change) < _TIE, 0.5 if heat_bath else 1.0, change < 0.0)
    if heat_bath:
        return expit(-change / temperature)
    return np.exp(-np.maximum(change, 0.0) / temperature)


def _threshold(p: np.ndarray) -> np.ndarray:
    """``p`` in units of 2^-64, 1 being the largest word."""
    return np.where(p < 1.0, np.minimum(p, 1.0 - 2.0**-53) * 2.0**64, 0.0).astype(np.uint64) | (
        np.where(p < 1.0, 0, 2**64 - 1).astype(np.uint64))


@kernel(inline="always", allocates=False)
def _mixed(z):
    """SplitMix64's output function (Steele, Lea and Flood, OOPSLA 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@kernel(allocates=False)
def draw(rng, n_sites, sequential, begin, n, site, word):
    """Sites and independent random words, in units of 2^-64, of the next n attempts.

    SplitMix64 from a starting point that the generator draws: its words are independent of one
    another, so a vector unit makes several at once.  The site is the integer part of N w / 2^64
    and the word is the fraction, exact to N 2^-64.
    """
    key = next_word(rng)
    for m in range(n):
        word[m] = _mixed(key + np.uint64(m + 1) * np.uint64(0x9E3779B97F4A7C15))
    if sequential:
        for m in range(n):
            site[m] = begin + m
        return
    N = np.uint64(n_sites)
    half = np.uint64(32)
    for m in range(n):
        low = (word[m] & np.uint64(0xFFFFFFFF)) * N
        site[m] = ((word[m] >> half) * N + (low >> half)) >> half
    for m in range(n):
        word[m] *= N


@kernel(allocates=False)
def _pack(scaled, sigma, packed):
    """Twice the local field, plus 1 for a spin up."""
    for i in range(sigma.shape[0]):
        field = 0
        for k in range(scaled.first[i], scaled.first[i + 1]):
            field += scaled.coupling[k] * sigma[scaled.neighbour[k]]
        packed[i] = 2 * field + (1 if sigma[i] > 0 else 0)


@kernel(inline="always", allocates=False)
def _push(scaled, k, change, packed):
    J = scaled.common if scaled.common != 0 else scaled.coupling[np.uint64(k)]
    packed[np.uint64(scaled.neighbour[np.uint64(k)])] += change * J


@kernel(inline="always", allocates=False)
def _flip(scaled, i, packed):
    """Flip spin i; returns the change of the couplings' energy/(2 unit), and of M/2."""
    old = np.int64(packed[i])
    packed[i] = old ^ 1
    up = old & 1
    change = 4 - 8 * up  # of twice the field of a neighbour, through unit coupling
    if scaled.degree == 4:  # spares the square lattice the loop and the look-up of its ends
        k = np.uint64(4) * i
        _push(scaled, k, change, packed)
        _push(scaled, k + np.uint64(1), change, packed)
        _push(scaled, k + np.uint64(2), change, packed)
        _push(scaled, k + np.uint64(3), change, packed)
    else:
        for k in range(scaled.first[i], scaled.first[i + np.uint64(1)]):
            _push(scaled, k, change, packed)
    return (2 * up - 1) * (old >> 1), 1 - 2 * up


@kernel(allocates=False)
def _visit_levels(scaled, below, site, word, n, packed):
    """n attempts; ``below`` is the threshold of the word for every value of a packed field."""
    rise = 0
    moment = 0
    offset = below.shape[0] // 2 - 1
    for m in range(n):
        i = np.uint64(site[m])
        if word[m] < below[np.uint64(np.int64(packed[i]) + offset)]:
            de, dm = _flip(scaled, i, packed)
            rise += de
            moment += dm
    return rise, moment


@kernel(allocates=False)
def _visit_intervals(scaled, never, surely, shift, heat_bath, temperature, site, word, n, packed):
    """n attempts; the exponential is taken only if the interval of the field does not decide."""
    rise = 0
    moment = 0
    centre = never.shape[0] // 4
    for m in range(n):
        i = np.uint64(site[m])
        x = packed[i]
        interval = min(max((x >> 1) >> shift, -centre), centre - 1) + centre
        index = np.uint64(2 * interval + (x & 1))
        flips = word[m] < surely[index]
        if not flips and word[m] < never[index]:
            change = 2.0 * (2 * (x & 1) - 1) * (scaled.unit * (x >> 1) + scaled.h)
            if temperature == 0.0:
                p = 0.0 if change > _TIE else (0.5 if heat_bath and change > -_TIE else 1.0)
            elif heat_bath:
                p = 1.0 / (1.0 + math.exp(min(change / temperature, 700.0)))
            else:
                p = math.exp(-max(change, 0.0) / temperature)
            flips = np.float64(word[m]) * _TO_UNIT < p
        if flips:
            de, dm = _flip(scaled, i, packed)
            rise += de
            moment += dm
    return rise, moment


@kernel(allocates=False)
def _sweeps(scaled, tables, sequential, heat_bath, temperature, n_sweeps, sigma, packed, site,
            word, values, rng, energy_t, phi_t):
    """As `single_flip.sweeps`; ``packed`` (N,), ``site`` and ``word`` are scratch."""
    n_sites = sigma.shape[0]
    never, surely, shift = tables
    _pack(scaled, sigma, packed)
    for t in range(n_sweeps):
        for begin in range(0, n_sites, site.shape[0]):
            n = min(site.shape[0], n_sites - begin)
            draw(rng, n_sites, sequential, begin, n, site, word)
            if shift < 0:
                rise, moment = _visit_levels(scaled, surely, site, word, n, packed)
            else:
                rise, moment = _visit_intervals(scaled, never, surely, shift, heat_bath,
                                                temperature, site, word, n, packed)
            values[0] += 2.0 * (scaled.unit * rise - scaled.h * moment)
            values[1] += 2.0 * moment
        if energy_t.shape[0] > 0:
            energy_t[t] = values[0]
            phi_t[t] = values[1]
    for i in range(n_sites):
        sigma[i] = 2 * (packed[i] & 1) - 1


@dataclasses.dataclass(frozen=True)
class SiteUpdates:
    """Single-site updates of one discrete system, by the fastest kernel that makes them.

    Parameters
    ----------
    system : DiscreteSystem
    dynamics : {"metropolis", "heat-bath"}
    order : {"random-site", "sequential"}
        Sites with replacement, or 0, 1, ..., N - 1: for sampling alone, and Ising spins alone.

    Raises
    ------
    ValueError
        Unknown dynamics or order, or sequential order of a system that is not Ising.
    """

    system: DiscreteSystem
    dynamics: str
    order: str = "random-site"

    def __post_init__(self):
        if self.dynamics not in DYNAMICS or self.order not in ORDERS:
            raise ValueError(f"{self.dynamics}, {self.order}: choose from {', '.join(DYNAMICS)} "
                             f"and {', '.join(ORDERS)}")
        if self.order == "sequential" and not isinstance(self.system, Ising):
            raise ValueError("sequential order is implemented for Ising spins")

    @property
    def name(self) -> str:
        """Dynamics and order of updates, for the run file."""
        return f"{self.dynamics}, {self.order} order"

    @functools.cached_property
    def scaled(self) -> _Scaled:
        """Couplings as integers, of as few bits as their fields allow."""
        return _scaled(self.system)  # type: ignore[arg-type]

    @functools.cached_property
    def _tables_of(self):
        return functools.lru_cache(maxsize=256)(self._tables)  # a ladder comes back to its rungs

    def _tables(self, temperature: float):
        """Thresholds of the word for no, and for a sure, flip, and log2 of the width of intervals.

        Every value of a packed field has its own (exact) threshold where there are few of them;
        the width is then given as -1.
        """
        heat_bath, scaled = bool(DYNAMICS[self.dynamics]), self.scaled
        if scaled.coupling.dtype != np.int64:
            packed = np.arange(-2 * scaled.largest, 2 * scaled.largest + 2)
            change = 2.0 * (2 * (packed & 1) - 1) * (scaled.unit * (packed >> 1) + scaled.h)
            surely = _threshold(_acceptance(heat_bath, temperature, change))
            return surely, surely, -1
        if temperature == 0.0:  # two intervals that decide nothing
            never = np.full(4, 2**64 - 1, dtype=np.uint64)
            return never, np.zeros(4, dtype=np.uint64), 62
        step = 2.0 * scaled.unit / temperature
        shift = min(max(0, math.floor(math.log2(_INTERVAL / step))), _BITS)
        span = _RANGE + 2.0 * abs(scaled.h) / temperature
        n = 1 + min(scaled.largest >> shift, math.ceil(span / (step * 2.0**shift)))
        edge = np.arange(-n, n + 1) * 2.0**shift
        change = 2.0 * (scaled.unit * edge[:, None] + scaled.h) * np.array([-1.0, 1.0])
        p = _acceptance(heat_bath, temperature, change)
        ends = np.stack([p[:-1], p[1:]])
        low, high = ends.min(axis=0), ends.max(axis=0)
        low[[0, -1]], high[[0, -1]] = 0.0, 1.0  # these hold everything beyond: taken exactly
        return _threshold(high.ravel()), _threshold(low.ravel()), shift

    def advance(self, temperature: float, n_sweeps: int, sigma: np.ndarray, cache: np.ndarray,
                values: np.ndarray, rng: np.ndarray, energy_t: np.ndarray, phi_t: np.ndarray
                ) -> None:
        """Advance one configuration by ``n_sweeps`` sweeps; record E and Phi after each.

        Parameters
        ----------
        temperature : float
            T in units of energy, >= 0.
        n_sweeps : int
            Sweeps of N attempted updates.
        sigma, cache, values, rng : arrays
            Configuration, its derived integers, [E, Phi] and generator; changed in place.
        energy_t, phi_t : float64[n_sweeps]
            Series, filled; arrays of length 0 record nothing.
        """
        heat_bath = bool(DYNAMICS[self.dynamics])
        if not isinstance(self.system, Ising):
            sweeps(self.system, heat_bath, temperature, n_sweeps, sigma, cache, values, rng,
                   energy_t, phi_t)
            return
        packed = np.empty(len(sigma), dtype=self.scaled.coupling.dtype)
        site, word = np.empty(_BATCH, dtype=np.uint32), np.empty(_BATCH, dtype=np.uint64)
        T = float(temperature)
        _sweeps(self.scaled, self._tables_of(T), self.order == "sequential", heat_bath, T,
                n_sweeps, sigma, packed, site, word, values, rng, energy_t, phi_t)
