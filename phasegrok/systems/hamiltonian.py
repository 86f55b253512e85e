r"""What a system of plain coordinates is: an energy with its gradient, and an order parameter.

Angles of spins, fields on a lattice and positions of atoms are coordinates x of a flat vector, and

.. math:: P(x) \propto e^{-E(x)/T}

has no prior; the protocol has T.  A system is a ``NamedTuple`` of numbers and arrays with the
properties of :class:`HamiltonianSystem` and two functions registered by
:func:`phasegrok.systems.discrete.behaviour`:

``energy_gradient(system, x, slope)``
    E; fills ``slope`` with its derivative by x.
``order_parameter(system, x)``
    The signed order parameter Phi of the whole system.

For its density of states it has one property more, ``lowest``, an energy below which none is.

Coordinates that are vectors of fixed length have a third function, :func:`spheres`; P(x) is then
that of the uniform measure on the spheres.  E is a function of all coordinates, on the spheres and
near them, and ``slope`` its derivative there: dynamics takes of it what is tangent.

What `sample` averages besides E and Phi is its own to say, by two properties that it may have:

``observables``
    Unit and meaning by name, ``{"radius": ("length", "distance from the origin")}``, of what a
    third function fills in this order: ``observe_coordinates(system, x, out)``.
``derived``
    Unit, meaning and function by name, of quantities that follow from the means of observables:
    ``{"stiffness": ("energy", "1/kT of the variance", lambda T, mean: T / mean["square"])}``.
    The function is applied to blocks of the run, whose jackknife is the error: it takes T and
    arrays.
"""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numba.core.errors import NumbaError

from phasegrok.compiled import kernel
from phasegrok.systems.discrete import DEFAULT, behaviour, call, generic

__all__ = ["HamiltonianSystem", "behaviour", "degrees_of_freedom", "derived_of", "energy_gradient",
           "evaluated", "fault_of", "observables_of", "observe_coordinates", "observed",
           "order_parameter", "spheres"]

_STEP = 1e-5  # of finite differences, relative to coordinates of order one
_WRONG = 1e-4  # share of the largest slope that differences may be off by
_COORDINATES = 50  # whose slope is compared
_OFF = 1e-6  # of the radius, by which a state may miss the spheres


class HamiltonianSystem(Protocol):
    """What protocols ask of a system of plain coordinates outside of kernels."""

    @property
    def n_coordinates(self) -> int:
        """Length of x."""

    @property
    def n_sites(self) -> int:
        """What E is divided by to become intensive."""

    @property
    def order_unit(self) -> float:
        """What Phi is divided by to become intensive."""

    def start(self, rng: np.random.Generator) -> np.ndarray:
        """A disordered state from which a run begins."""

    def configuration(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """An ordered state whose Phi / ``order_unit`` is near ``phi``; at 1, one of low energy."""

    def vectors(self, x_rn: np.ndarray) -> np.ndarray:
        """Rows whose scalar products, over ``n_sites``, are the overlaps of states x_rn (R, n)."""


@generic
def energy_gradient(system, x, slope):
    """E at ``x``; fills ``slope`` with its derivative."""
    return call("energy_gradient", system, x, slope)


@generic
def order_parameter(system, x):
    """Phi of the whole system at ``x``."""
    return call("order_parameter", system, x)


@generic
def spheres(system):
    """(size, radius): successive groups of ``size`` coordinates lie on spheres of ``radius``, as
    (3, 1.0) for unit vectors in space; (0, 0.0), none, where a system does not say."""
    return call("spheres", system)


def _none(system):
    return 0, 0.0


DEFAULT["spheres"] = _none


def degrees_of_freedom(system) -> int:
    """Coordinates, less one for each sphere that they lie on."""
    size, _ = spheres(system)
    return system.n_coordinates - (system.n_coordinates // size if size else 0)


@generic
def observe_coordinates(system, x, out):
    """Fill ``out`` with the observables of the system at ``x``."""
    return call("observe_coordinates", system, x, out)


def _nothing(system, x, out):
    return None


DEFAULT["observe_coordinates"] = _nothing


def observables_of(system) -> dict[str, tuple[str, str]]:
    """Unit and meaning of the observables of a system, by name; empty where it has none."""
    return getattr(system, "observables", {})


def derived_of(system) -> dict[str, tuple[str, str, Callable]]:
    """Unit, meaning and function of what follows from their means; empty where nothing does."""
    return getattr(system, "derived", {})


@kernel
def evaluated(system, x, slope):
    """`energy_gradient` from Python, compiled."""
    return energy_gradient(system, x, slope)


@kernel
def observed(system, x, out):
    """`observe_coordinates` from Python, compiled."""
    observe_coordinates(system, x, out)


def fault_of(system) -> str:
    """What is wrong with the functions of a system, in a sentence; empty if nothing is.

    The slope is compared with differences of E at a disordered state and at an ordered one.
    """
    try:
        return _fault_of(system)
    except NumbaError as error:
        line = next((line for line in str(error).splitlines() if line.strip()), "")
        return (f"a behaviour of {type(system).__name__} cannot be compiled "
                f"(numbers, loops and the module math alone: no arrays, lists or dicts): {line}")
    except Exception as error:  # of the user's own code
        place = traceback.extract_tb(error.__traceback__)[-1]
        return (f"{place.name} of {type(system).__name__} fails, line {place.lineno} of "
                f"{Path(place.filename).name}: {type(error).__name__}: {error}")


def _fault_of(system) -> str:
    rng = np.random.default_rng(1)
    states = {"start": system.start(rng), "configuration": system.configuration(1.0, rng)}
    for what, state in states.items():
        x = np.array(state, dtype=float)
        if x.shape != (system.n_coordinates,) or not np.isfinite(x).all():
            return (f"{what} gives {x.shape} numbers, or some that are not finite, for "
                    f"{system.n_coordinates} coordinates")
        fault = _off_spheres(system, what, x)
        if fault:
            return fault
        slope, other = np.full((2, len(x)), np.nan)
        energy = energy_gradient(system, x, slope)
        phi = order_parameter(system, x)
        for name, value in (("energy_gradient", energy), ("order_parameter", phi)):
            if not isinstance(value, (int, float, np.number)):
                return f"{name} returns {value!r}, not a number"
        if not (np.isfinite(energy) and np.isfinite(slope).all() and np.isfinite(phi)):
            return f"E, its gradient or Phi is not finite at the state that {what} gives"
        scale = max(np.abs(slope).max(), 1.0)
        for k in rng.permutation(len(x))[:_COORDINATES]:
            sides = []
            for sign in (1.0, -1.0):
                moved = x.copy()
                moved[k] += sign * _STEP
                sides.append(energy_gradient(system, moved, other))
            difference = (sides[0] - sides[1]) / (2.0 * _STEP)
            if not abs(difference - slope[k]) <= _WRONG * scale:
                return (f"energy_gradient gives {slope[k]:g} for coordinate {k}, where differences "
                        f"of E give {difference:g}")
        rows = np.asarray(system.vectors(np.array([x, x])))
        if rows.ndim != 2 or len(rows) != 2:
            return (f"vectors gives an array of shape {rows.shape} for two states: give a row for "
                    "each")
        evaluated(system, x, slope)
        fault = _fault_of_observables(system, x, what)
        if fault:
            return fault
    if not isinstance(getattr(system, "lowest", 0.0), (int, float, np.number)):
        return "lowest is no number: make it a property"
    return ""


def _off_spheres(system, what: str, x: np.ndarray) -> str:
    """Whether a state misses the spheres, or they are none, in a sentence; empty if all is well."""
    size, radius = spheres(system)
    if not size:
        return ""
    if size != int(size) or size < 2 or len(x) % size or not 0.0 < radius < np.inf:
        return (f"spheres gives groups of {size} on spheres of radius {radius:g} for {len(x)} "
                "coordinates: give a whole number of groups, of two or more, and a positive radius")
    length = np.linalg.norm(x.reshape(-1, size), axis=1)
    worst = int(np.argmax(np.abs(length - radius)))
    if abs(length[worst] - radius) <= _OFF * radius:
        return ""
    return (f"{what} gives a vector of length {length[worst]:g}, group {worst} of {size} "
            f"coordinates, where spheres says {radius:g}")


def _fault_of_observables(system, x: np.ndarray, state: str) -> str:
    """As `fault_of`: every observable has a name and a value, and what is derived from it too."""
    observables, derived = observables_of(system), derived_of(system)
    for what, table, parts in (("observables", observables, 2), ("derived", derived, 3)):
        for name, row in table.items():
            if not str(name).isidentifier() or not isinstance(row, tuple) or len(row) != parts:
                return (f"{what} of {type(system).__name__} is a dict of names, each with its unit "
                        f"and meaning{', and a function' if parts == 3 else ''}; not {name!r}: "
                        f"{row!r}")
    if set(observables) & set(derived):
        return f"observables and derived both have {', '.join(set(observables) & set(derived))}"
    value = np.full(len(observables), np.nan)
    observe_coordinates(system, x, value)
    lacking = [name for name, one in zip(observables, value) if not np.isfinite(one)]
    if lacking:
        return (f"observe_coordinates gives no finite {', '.join(lacking)} at the state that "
                f"{state} gives: it fills out[0], out[1], ... in the order of observables")
    observed(system, x, value)
    means = {name: np.full(3, one) for name, one in zip(observables, value)}
    for name, (_, _, function) in derived.items():
        if np.shape(function(1.0, means)) != (3,):
            return (f"derived {name} of {type(system).__name__} takes T and arrays of means, and "
                    "gives an array of their shape")
    return ""
