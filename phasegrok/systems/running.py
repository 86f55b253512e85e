"""Whether the sums that a sampler keeps are those of its configurations.

Samplers add up what ``energy_change`` and ``order_change`` say and trust ``assign`` with the cache.
One of them that is wrong gives a smooth, wrong landscape.  So at every checkpoint and result the
running E, Phi and cache are compared with those that ``prepare`` makes of the configuration.
"""

import math

import numpy as np

from phasegrok.systems import discrete
from phasegrok.systems.checks import fault_of
from phasegrok.systems.discrete import draw_and_prepare

_SITES = 12  # whose changes of E and Phi tell what is large
_ROUNDING = 1000.0 * np.finfo(float).eps  # a step of the random walk of rounding, with room
_MOST_SITES = 300_000_000  # prepared at one checkpoint: about a second


def _prepared(system, sigma, cache) -> tuple[np.ndarray, np.ndarray]:
    """[E, Phi] and the cache that ``prepare`` makes of a configuration, from a copy of a cache."""
    cache, values = cache.copy(), np.zeros(2)
    draw_and_prepare(system, False, sigma.copy(), cache, values, np.zeros(4, np.uint64))
    return values, cache


def _largest_changes(system, sigma) -> np.ndarray:
    """The largest changes of E and Phi that some sites of a configuration make."""
    sigma, cache, largest = sigma.astype(np.int64), np.zeros(system.cache_size, np.int64), [0, 0]
    discrete.prepare(system, sigma, cache)
    for site in range(min(len(sigma), _SITES)):
        for value in (int(discrete.value_of(system, k)) for k in range(discrete.n_values(system))):
            for k, change in enumerate((discrete.energy_change, discrete.order_change)):
                largest[k] = max(largest[k], abs(change(system, sigma, cache, site, value)))
    return np.array(largest, dtype=float)


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

    if len(sigma_rn) == 0:
        return
    # what sums of so many changes may be off by: a random walk of rounding errors
    scale = math.sqrt(sigma_rn.shape[1]) * _largest_changes(system, sigma_rn[0])
    rounding = _ROUNDING * math.sqrt(max(updates, sigma_rn.shape[1]))
    for sigma, cache, values in zip(sigma_rn, cache_rc, values_r2):
        kept = cache if len(cache) else np.zeros(system.cache_size, dtype=np.int64)
        true, true_cache = _prepared(system, sigma, kept)
        allowed = rounding * (np.abs(true) + scale)
        right = np.abs(values - true[: len(values)]) <= allowed[: len(values)]
        if right.all() and (not len(cache) or np.array_equal(cache, true_cache)):
            continue
        if right.all():
            what = "the running cache is not that of the configuration"
        else:
            k = int(np.argmin(right))
            what = (f"the running {('E', 'Phi')[k]} is {values[k]:.10g}, that of the configuration "
                    f"{true[k]:.10g}")
        fault = fault_of(system, sigma) or ("energy_change, order_change, assign or prepare is "
                                            "wrong for some configurations")
        name = type(getattr(system, "inner", system)).__name__
        raise InputError(f"{name}: {fault} ({what}): mend it; no result is given")


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
