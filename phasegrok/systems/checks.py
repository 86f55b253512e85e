"""Whether a system is whole and agrees with itself, before kernels run it and while they do.

Compiled kernels check no index and keep E and Phi by differences, so a wrong behaviour gives wrong
physics without a word.  Before a run the behaviours are tried as plain Python on a few moves, down
and up in energy, and compared with ``prepare``, which computes E, Phi and the cache from scratch;
at every checkpoint and result the running E, Phi and cache are compared with it as well.
"""

import dis
import math
import sys
import time
from pathlib import Path

import numpy as np

from phasegrok.rng import streams
from phasegrok.systems import continuous, discrete, hamiltonian

_VISITS = 60_000  # of sites by prepare in a walk: a few tenths of a second of plain Python
_MOST_MOVES, _FEWEST_MOVES = 400, 8
_SECONDS = 1.0  # of a walk, where prepare costs more than a visit of every site
_TOLERANCE = 1e-6  # of energies and order parameters, relative where they are large
_SITES = 12  # or places, whose changes of E and Phi tell what is large
_ROUNDING = 1000.0 * np.finfo(float).eps  # a step of the random walk of rounding, with room
_MOST_SITES = 300_000_000  # prepared at one checkpoint: about a second


def check_system(system, family: str) -> None:
    """Refuse a system whose behaviours are missing, disagree, or leave the cells of its landscape.

    Parameters
    ----------
    system : NamedTuple
        As the ``build`` of a card's parameters returns it.
    family : str
        What protocols run it: "discrete", "continuous" and "hamiltonian" systems are checked.

    Raises
    ------
    ValueError
        One sentence that names the function at fault.
    """
    if family == "hamiltonian":
        _check_whole(system, hamiltonian)
        fault = hamiltonian.fault_of(system)
        if fault:
            raise ValueError(fault)
    if family not in ("discrete", "continuous"):
        return
    _check_whole(system, discrete if family == "discrete" else continuous)
    if family == "discrete":
        _values(system)
        if system.n_sites * _FEWEST_MOVES <= _VISITS:
            _check_cells(system, "known_cells()", system.known_cells())
            fault = fault_of(system)
            if fault:
                raise ValueError(fault)


def fault_of(system, sigma: np.ndarray | None = None) -> str:
    """Which function of a discrete system disagrees with ``prepare``, in a sentence; empty if none.

    Parameters
    ----------
    system : NamedTuple
        A discrete system.
    sigma : ndarray, shape (N,), optional
        The configuration to begin at; else a random one.
    """
    try:
        for sign in (1.0, -1.0):
            _walk(system, _values(system), sign, sigma)
    except ValueError as error:
        return str(error)
    return ""


def _check_whole(system, module) -> None:
    """Members and behaviours are there, and names mean in the file what they mean elsewhere."""
    cls = type(system)
    protocol = {discrete: discrete.DiscreteSystem, continuous: continuous.ContinuousSystem,
                hamiltonian: hamiltonian.HamiltonianSystem}[module]
    members = [m for m in vars(protocol) if not m.startswith("_") and not hasattr(system, m)]
    if members:
        hint = ("; coordinates are of another family: family = \"hamiltonian\" on the card"
                if module is discrete and hasattr(system, "n_coordinates") else "")
        raise ValueError(f"{cls.__name__} has no {', '.join(members)}{hint}")
    names = [name for name, stub in discrete.STUBS.items()
             if stub.__module__ == module.__name__ and name not in discrete.DEFAULT]
    of_moves = [name for name in ("propose", "present") if cls in discrete.GENERIC[name]]
    names += ["propose", "present"] if of_moves else []
    missing = [name for name in names if cls not in discrete.GENERIC[name]]
    if missing:
        here = vars(sys.modules.get(cls.__module__, discrete))
        plain = [name for name in missing if callable(here.get(name))
                 and here[name] is not discrete.STUBS[name]]
        how = f" (put it above {', '.join(plain)})" if plain else ""
        raise ValueError(f"{cls.__name__} has no behaviour {', '.join(missing)}: a function of "
                         f"that name below @behaviour({cls.__name__}){how}")
    for name in names:
        function = discrete.GENERIC[name][cls]
        if not hasattr(function, "__code__"):
            continue
        names_of = {step.argval for step in dis.get_instructions(function)
                    if step.opname == "LOAD_GLOBAL"}
        for called in names_of & set(discrete.STUBS):
            found = function.__globals__.get(called, discrete.STUBS[called])
            if found is not discrete.STUBS[called]:
                file = Path(function.__code__.co_filename).name
                raise ValueError(f"{name} calls {called}, which is in {file} a plain function that "
                                 f"kernels cannot call: write discrete.{called}, with `from "
                                 "phasegrok.systems import discrete`")


def _run(system, name, *arguments):
    try:
        return discrete.STUBS[name](system, *arguments)
    except Exception as error:
        raise ValueError(f"{name} of {type(system).__name__} fails: {type(error).__name__}: "
                         f"{error}") from error


def _values(system) -> list[int]:
    number = _run(system, "n_values")
    if not 2 <= number <= 256:
        raise ValueError(f"n_values is {number}, but a site has 2 to 256 states")
    values = [_run(system, "value_of", k) for k in range(number)]
    for k, value in enumerate(values):
        if value != int(value) or not -128 <= value <= 127:
            raise ValueError(f"value_of({k}) is {value}, but the state of a site is a whole number "
                             "from -128 to 127 (int8)")
    if len(set(values)) < number:
        raise ValueError("value_of gives two states the same value")
    if system.cache_size < 1:
        raise ValueError("cache_size is at least 1")
    return [int(value) for value in values]


def _check_cells(system, what: str, states) -> None:
    """Each (E, Phi) lies in the cell that is nearest to it."""
    for name, levels, k in (("energy_cell", _levels(system), 0),
                            ("order_cell", np.asarray(system.order_levels()), 1)):
        if levels is None:
            continue
        for state in states:
            value = float(state[k])
            cell = _run(system, name, value)
            if not 0 <= cell < len(levels):
                raise ValueError(f"{name} gives cell {cell} of {len(levels)} for {value:g} of "
                                 f"{what}")
            nearest = float(np.min(np.abs(levels - value)))
            if abs(levels[cell] - value) > nearest + _TOLERANCE * max(1.0, abs(value)):
                raise ValueError(f"{name} gives cell {cell}, of level {levels[cell]:g}, for "
                                 f"{value:g} of {what}")


def _levels(system) -> np.ndarray | None:
    try:
        return np.asarray(system.energy_levels())
    except ValueError:
        return None  # no landscape: the script that needs it says so


def _walk(system, values: list[int], sign: float, sigma: np.ndarray | None) -> None:
    """Moves at random sites that lower ``sign`` E, each compared with ``prepare``."""
    rng, stream = np.random.default_rng(1), streams(1, "check", 1)[0]
    n, own = system.n_sites, discrete.has_own_moves(system)
    if sigma is None:
        sigma = rng.choice(values, size=n)
        if own:  # which may keep what a state drawn site by site has not
            _run(system, "draw", sigma, stream)
    # wider than the int8 of kernels, in whose compiled arithmetic all integers have 64 bits
    sigma = sigma.astype(np.int64)
    places = _run(system, "n_places", sigma)
    if places < 1:
        raise ValueError(f"n_places is {places}: there is no move")
    cache, states = np.zeros(system.cache_size, dtype=np.int64), []
    E, phi = _run(system, "prepare", sigma, cache)
    again, again_phi = _run(system, "prepare", sigma, cache + 1)
    if _differ(E, again) or _differ(phi, again_phi):
        raise ValueError("prepare depends on what was in the cache before")
    end = time.monotonic() + _SECONDS
    for _ in range(min(_MOST_MOVES, _VISITS // n)):
        if time.monotonic() > end:
            break
        states.append((E, phi))
        place = int(rng.integers(places))
        value = int(_own_move(system, sigma, cache, place, stream) if own else rng.choice(values))
        if not _run(system, "allowed", sigma, cache, place):
            continue
        old, known = sigma.copy(), cache.copy()
        dE = _run(system, "energy_change", sigma, cache, place, value)
        dphi = _run(system, "order_change", sigma, cache, place, value)
        if not np.array_equal(sigma, old) or not np.array_equal(cache, known):
            raise ValueError("energy_change or order_change makes the change that it is asked for")
        moved, after, kept = sigma.copy(), sigma.copy(), cache.copy()
        _run(system, "assign", moved, kept, place, value)
        if own:
            after = moved.copy()
            if not np.isin(moved, values).all():
                raise ValueError(f"assign leaves a state that is none of {values} (place {place}, "
                                 f"value {value})")
        else:
            after[place] = value
        fresh = np.zeros_like(cache)
        new_E, new_phi = _run(system, "prepare", after.copy(), fresh)
        what = (f"place {place}, value {value}" if own else
                f"site {place} from {sigma[place]} to {value}")
        move = f"where prepare gives {{:g}} ({what}, N = {n})"
        if _differ(E + dE, new_E):
            raise ValueError(f"energy_change gives {dE:g}, {move.format(new_E - E)}")
        if _differ(phi + dphi, new_phi):
            raise ValueError(f"order_change gives {dphi:g}, {move.format(new_phi - phi)}")
        if sign * dE > 0.0 and len(states) > 20:
            continue
        if not np.array_equal(moved, after):
            raise ValueError(f"assign leaves other states than sigma[{place}] = {value} makes")
        if not np.array_equal(kept, fresh):
            same = " to which it is set already" if not own and value == sigma[place] else ""
            raise ValueError("assign leaves another cache than prepare makes "
                             f"({'place' if own else 'site'} {place}, value {value}{same})")
        sigma, cache, E, phi = moved, kept, new_E, new_phi
    _check_cells(system, "a configuration", states)


def _own_move(system, sigma, cache, place: int, stream: np.ndarray) -> int:
    """The value that a system proposes at a place; its present one must change nothing."""
    same, kept = sigma.copy(), cache.copy()
    value = _run(system, "present", sigma, place)
    _run(system, "assign", same, kept, place, value)
    if (not np.array_equal(same, sigma) or not np.array_equal(kept, cache)
            or _run(system, "energy_change", sigma, cache, place, value) != 0.0):
        raise ValueError(f"present gives {value} at place {place}, a move that changes something")
    return int(_run(system, "propose", sigma, place, stream))


def _differ(a: float, b: float) -> bool:
    return not abs(a - b) <= _TOLERANCE * max(1.0, abs(a), abs(b))


# --- while it runs --------------------------------------------------------------------------------


def _prepared(system, sigma, cache) -> tuple[np.ndarray, np.ndarray]:
    """[E, Phi] and the cache that ``prepare`` makes of a configuration, from a copy of a cache."""
    cache, values = cache.copy(), np.zeros(2)
    discrete.draw_and_prepare(system, False, sigma.copy(), cache, values, np.zeros(4, np.uint64))
    return values, cache


def _largest_changes(system, sigma) -> np.ndarray:
    """The largest changes of E and Phi that some sites of a configuration make."""
    _, cache = _prepared(system, sigma, np.zeros(system.cache_size, dtype=np.int64))
    sigma, largest, stream = sigma.astype(np.int64), [0, 0], streams(1, "check", 1)[0]
    own = discrete.has_own_moves(system)
    values = [int(discrete.value_of(system, k)) for k in range(discrete.n_values(system))]
    for place in range(min(discrete.n_places(system, sigma), _SITES)):
        for value in [discrete.propose(system, sigma, place, stream)] if own else values:
            for k, change in enumerate((discrete.energy_change, discrete.order_change)):
                largest[k] = max(largest[k], abs(change(system, sigma, cache, place, value)))
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
    from phasegrok.errors import InputError

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
    if not hasattr(engine.systems[0], "cache_size"):
        return  # of coordinates E and Phi are computed anew, not added up
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
