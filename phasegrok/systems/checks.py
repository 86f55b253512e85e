"""Whether the functions of a discrete system agree with one another, found by trying them.

Samplers add up what ``energy_change`` and ``order_change`` say and trust ``assign`` with the cache.
One of them that is wrong gives a smooth, wrong landscape.  So at every checkpoint and result the
running E, Phi and cache are compared with those that ``prepare`` makes of the configuration.
"""

import math

import numpy as np

from phasegrok.compiled import kernel
from phasegrok.rng import streams
from phasegrok.systems.discrete import (
    assign,
    draw_and_prepare,
    energy_change,
    n_values,
    order_change,
    value_of,
)

_CONFIGURATIONS, _SITES = 8, 12  # tried: a fault shows in most of them
_ROUNDING = 1000.0 * np.finfo(float).eps  # a step of the random walk of rounding, with room
_MOST_SITES = 300_000_000  # prepared at one checkpoint: about a second


@kernel(allocates=False)
def _changes(system, sigma, cache, site, value, changes):
    changes[0] = energy_change(system, sigma, cache, site, value)
    changes[1] = order_change(system, sigma, cache, site, value)


@kernel(allocates=False)
def _assign(system, sigma, cache, site, value):
    assign(system, sigma, cache, site, value)


def _prepared(system, sigma, cache) -> tuple[np.ndarray, np.ndarray]:
    """[E, Phi] and the cache that ``prepare`` makes of a configuration, from a copy of a cache."""
    cache, values = cache.copy(), np.zeros(2)
    draw_and_prepare(system, False, sigma.copy(), cache, values, np.zeros(4, np.uint64))
    return values, cache


def _rounding(system, sigma, cache, values, updates: float) -> np.ndarray:
    """What sums of so many changes to E and Phi may be off by: a random walk of rounding errors."""
    changes, largest = np.zeros(2), np.zeros(2)
    for site in range(min(len(sigma), _SITES)):
        for k in range(n_values(system)):
            _changes(system, sigma.copy(), cache.copy(), site, value_of(system, k), changes)
            largest = np.maximum(largest, np.abs(changes))
    scale = np.abs(values) + math.sqrt(len(sigma)) * largest
    return _ROUNDING * scale * math.sqrt(max(updates, len(sigma)))


def check_running(system, sigma_rn: np.ndarray, cache_rc: np.ndarray, values_r2: np.ndarray,
                  updates: float) -> None:
    """Compare the running E, Phi and cache of replicas with those of their configurations.

    Parameters
    ----------
    system : NamedTuple
        A discrete system.
    sigma_rn : ndarray, shape (R, N)
        Configurations.
    cache_rc : ndarray, shape (R, C)
        Derived integers as they were kept; C = 0 where the sampler keeps none.
    values_r2 : ndarray, shape (R, 2) or (R, 1)
        E and Phi as they were added up; E alone where Phi is not kept.
    updates : float
        Attempted updates of a replica so far, for the rounding of the sums.

    Raises
    ------
    InputError
        If they differ: which function of the system is at fault.
    """
    from phasegrok.cards import InputError

    size = system.cache_size
    for sigma, cache, values in zip(sigma_rn, cache_rc, values_r2):
        kept = cache if len(cache) else np.zeros(size, dtype=np.int64)
        true, true_cache = _prepared(system, sigma, kept)
        allowed = _rounding(system, sigma, true_cache, true, updates)
        right = np.abs(values - true[: len(values)]) <= allowed[: len(values)]
        if right.all() and (not len(cache) or np.array_equal(cache, true_cache)):
            continue
        if right.all():
            what = "the running cache is not that of the configuration"
        else:
            k = int(np.argmin(right))
            what = (f"the running {('E', 'Phi')[k]} is {values[k]:.10g}, that of the configuration "
                    f"{true[k]:.10g}")
        fault = check_behaviours(system, sigma) or (
            f"energy_change, order_change, assign or prepare of {_name(system)} is wrong for some "
            "configurations")
        raise InputError(f"{fault} ({what}): mend it; no result is given")


def check_replicas(engine, replicas, sweeps: int) -> None:
    """`check_running` of the replicas that an engine moves, of all rungs.

    Of very many large ones every second, third, ... is looked at.

    Parameters
    ----------
    engine : phasegrok.dynamics.replicas.Engine
    replicas : phasegrok.dynamics.replicas.Replicas
    sweeps : int
        Sweeps of a replica so far.

    Raises
    ------
    InputError
        As `check_running`.
    """
    rungs, n_replicas = replicas.energy.shape
    n = engine.systems[0].n_sites
    every = -(-rungs * n_replicas * n // _MOST_SITES)
    values_kr2 = np.stack([replicas.energy, replicas.phi], axis=2)
    for k in range(rungs):
        sigma_rn = engine.unpacked(replicas.configurations[k])[:n_replicas]
        cache_rc = replicas.cache[k]
        if len(cache_rc) != n_replicas:  # kept in words of replicas: the engine's own
            cache_rc = np.zeros((n_replicas, 0), dtype=np.int64)
        for s, system in enumerate(engine.systems):
            some = slice(s * n_replicas // len(engine.systems),
                         (s + 1) * n_replicas // len(engine.systems), every)
            check_running(system, sigma_rn[some], cache_rc[some], values_kr2[k, some],
                          float(sweeps) * n)


def check_behaviours(system, sigma: np.ndarray | None = None) -> str:
    """Which function of a discrete system disagrees with ``prepare``, in words; empty if none.

    Single sites of ``sigma`` (if given) and of random configurations are changed: E and Phi must
    change as ``energy_change`` and ``order_change`` say, ``assign`` must leave what ``prepare``
    makes of the new configuration, nothing when it assigns the present value, and there and back
    must restore all.

    Parameters
    ----------
    system : NamedTuple
        A discrete system.
    sigma : ndarray of int8, shape (N,), optional
        A configuration to begin with.
    """
    rng = streams(0, "behaviours", 1)[0]
    choice = np.random.default_rng(0)
    local = [int(value_of(system, k)) for k in range(n_values(system))]
    cache, values = np.zeros(system.cache_size, dtype=np.int64), np.zeros(2)
    for trial in range(_CONFIGURATIONS):
        if sigma is None or trial > 0:
            sigma = np.zeros(system.n_sites, dtype=np.int8)
            draw_and_prepare(system, True, sigma, cache, values, rng)
        before, full = _prepared(system, sigma, np.zeros_like(cache))
        allowed = _rounding(system, sigma, full, before, 1.0)
        if not (np.abs(_prepared(system, sigma, full + 1)[0] - before) <= allowed).all():
            return f"E and Phi depend on what was in the cache before: prepare of {_name(system)}"
        for site in choice.integers(0, len(sigma), _SITES):
            fault = _fault_at(system, sigma, full, before, allowed, int(site),
                              local[int(choice.integers(len(local)))])
            if fault:
                return f"{fault} of {_name(system)}"
    return ""


def _fault_at(system, sigma: np.ndarray, cache: np.ndarray, before: np.ndarray,
              allowed: np.ndarray, site: int, value: int) -> str:
    """What is wrong when one site gets a value; empty where nothing is."""
    old = int(sigma[site])
    there, there_cache, changes = sigma.copy(), cache.copy(), np.zeros(2)
    _changes(system, there, there_cache, site, value, changes)
    if not (np.array_equal(there, sigma) and np.array_equal(there_cache, cache)):
        return "a change is made where it is only asked for: energy_change or order_change"
    _assign(system, there, there_cache, site, old)
    if not (np.array_equal(there, sigma) and np.array_equal(there_cache, cache)):
        return "to assign the present value is not without effect: assign"
    _assign(system, there, there_cache, site, value)
    after_sigma = sigma.copy()
    after_sigma[site] = value
    if not np.array_equal(there, after_sigma):
        return "another site than the one assigned changes: assign"
    after, after_cache = _prepared(system, after_sigma, cache)
    if not np.array_equal(there_cache, after_cache):
        return "the cache is not that of prepare after assign: assign"
    right = np.abs(after - before - changes) <= allowed
    if not right.all():
        k = int(np.argmin(right))
        name, number = (("energy_change", "E"), ("order_change", "Phi"))[k]
        return (f"a site of {old} that becomes {value} changes {number} by "
                f"{after[k] - before[k]:.10g} by prepare, and by {changes[k]:.10g} by {name}")
    _assign(system, there, there_cache, site, old)
    if not (np.array_equal(there, sigma) and np.array_equal(there_cache, cache)):
        return "there and back does not restore sigma and cache: assign"
    return ""


def _name(system) -> str:
    return type(getattr(system, "inner", system)).__name__
