"""What a discrete system is: nine functions that the kernels call, and five that it may leave out.

A system is a ``NamedTuple`` of numbers and arrays.  Its behaviour is given by functions with the
names below, registered with :func:`behaviour`; kernels are written once against these names, and
Numba compiles them for each system at full speed.  A configuration is a flat ``int8`` array
``sigma`` of ``n_sites`` local states; ``cache`` is an ``int64`` array of derived integers that the
system keeps up to date itself (colour counts, local fields); energies and order parameters are
floats.

A *move* is attempted at a *place* and gives it a *value*.  By default the places are the sites, and
the value is another state of the site.  A system whose moves are others, such as exchanges of two
sites, numbers its places (say, its bonds) and has three more functions: :func:`n_places`,
:func:`propose`, and :func:`present`, the value that changes nothing; its ``energy_change``,
``order_change`` and ``assign`` take such a place and value.  The reverse of a move must be proposed
as often as the move.

A constrained system also has :func:`allowed`, which says where its dynamics may move; all others
leave it out and pay nothing.  Only the dynamics obeys it: statics is that of the energy alone.

Besides these functions a system has the plain Python methods and properties of
:class:`DiscreteSystem`.
"""

from typing import Any, Protocol

import numpy as np
from numba.extending import overload

from phasegrok.compiled import IN_KERNELS, kernel
from phasegrok.rng import below, next_word

KERNEL_OPTIONS = {"_nrt": False, **IN_KERNELS}
"""Of what stands for a behaviour in kernels."""


class DiscreteSystem(Protocol):
    """What protocols ask of a discrete system outside of kernels."""

    @property
    def n_sites(self) -> int:
        """Number of sites, the length of ``sigma``."""

    @property
    def cache_size(self) -> int:
        """Number of derived integers, the length of ``cache`` (at least 1)."""

    @property
    def log_n_states(self) -> float:
        """ln of the total number of states, to which ln g is normalised."""

    @property
    def order_unit(self) -> float:
        """What Phi is divided by to become intensive: N for M = sum s, 1 for an overlap."""

    @property
    def order_merge(self) -> int:
        """Neighbouring values of Phi that the potential takes together: 2 against parity, or 1."""

    def energy_levels(self) -> np.ndarray:
        """E of the cells of the landscape, ascending; `NoLevels` is raised where there are none."""

    def order_levels(self) -> np.ndarray:
        """Phi of the cells of the landscape, ascending."""

    def known_cells(self) -> list[tuple[float, float]]:
        """(E, Phi) of states known beforehand, which a complete landscape must have visited."""

    def configuration(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """A configuration whose Phi / ``order_unit`` is nearest to ``phi``."""


class NoLevels(ValueError):
    """Energies have no levels, or so many that most have one state each.

    The system knows its ``energy_bounds()``, (lowest, highest), and :mod:`phasegrok.systems.binned`
    counts its energies in bins.
    """


GENERIC: dict[str, dict[type, Any]] = {}
"""Name of a behaviour -> system -> its version."""
DEFAULT: dict[str, Any] = {}
"""Name of a behaviour that a system may leave out -> what stands for it."""
STUBS: dict[str, Any] = {}
"""Name of a behaviour -> the function of all systems."""


def generic(stub, options=KERNEL_OPTIONS):
    """Make ``stub`` a function that is looked up by the class of its first argument."""
    table = GENERIC.setdefault(stub.__name__, {})
    STUBS[stub.__name__] = stub

    def typing_function(system, *args):
        return table.get(getattr(system, "instance_class", None), DEFAULT.get(stub.__name__))

    overload(stub, strict=False, jit_options=options)(typing_function)
    return stub


def behaviour(system_class, name=""):
    """Register the decorated function as ``system_class``'s version of a function.

    Parameters
    ----------
    system_class : type
        A NamedTuple.
    name : str
        Of the function, where it is not that of the decorated one.

    Raises
    ------
    NameError
        If no function of this name belongs to a system, or the file defines it twice.
    """

    def register(function):
        of = name or function.__name__
        if of not in GENERIC:
            raise NameError(f"{of} is no behaviour of a system; there are {', '.join(GENERIC)}")
        versions = GENERIC[of]
        earlier = versions.get(system_class)
        if earlier is not None and earlier.__module__ == function.__module__:
            raise NameError(f"{of} of {system_class.__name__} is defined twice")
        versions[system_class] = function
        if of == "propose":
            GENERIC["n_choices"].setdefault(system_class, _two)
        return function

    return register


def call(name, system, *args):
    """Call a behaviour from Python."""
    return (GENERIC[name].get(type(system)) or DEFAULT[name])(system, *args)


@generic
def draw(system, sigma, rng):
    """Fill ``sigma`` with a configuration drawn uniformly."""
    return call("draw", system, sigma, rng)


@generic
def prepare(system, sigma, cache):
    """Fill ``cache`` from ``sigma``; returns (E, Phi) computed from scratch."""
    return call("prepare", system, sigma, cache)


@generic
def n_values(system):
    """Number of states of one site."""
    return call("n_values", system)


@generic
def value_of(system, k):
    """The k-th state of a site (-1, +1 for spins; 0..q-1 for colours)."""
    return call("value_of", system, k)


@generic
def energy_change(system, sigma, cache, place, value):
    """E after the move that gives ``place`` (a site) the ``value``, minus E."""
    return call("energy_change", system, sigma, cache, place, value)


@generic
def order_change(system, sigma, cache, place, value):
    """Phi after the move, minus Phi."""
    return call("order_change", system, sigma, cache, place, value)


@generic
def assign(system, sigma, cache, place, value):
    """Make the move (set ``sigma[place]`` to ``value``) and keep ``cache`` true."""
    return call("assign", system, sigma, cache, place, value)


@generic
def n_places(system, sigma):
    """Number of places where moves are attempted; of sites where a system does not say."""
    return call("n_places", system, sigma)


@generic
def propose(system, sigma, place, rng):
    """The value of a move at ``place``; another state of the site, each equally likely, where a
    system does not say.  One that does leaves two choices: this value, and the present one."""
    return call("propose", system, sigma, place, rng)


@generic
def present(system, sigma, place):
    """The value that leaves everything as it is; ``sigma[place]`` where a system does not say."""
    return call("present", system, sigma, place)


@generic
def n_choices(system):
    """Values among which heat bath chooses at a place: ``n_values``, or the two of own moves."""
    return call("n_choices", system)


@generic
def allowed(system, sigma, cache, place):
    """Whether the dynamics may move at ``place`` now; True where a system does not say.

    It must not depend on what the move would change: then the reverse of a move is allowed wherever
    the move is, and the constrained dynamics keeps detailed balance.
    """
    return call("allowed", system, sigma, cache, place)


def _n_sites(system, sigma):
    return sigma.shape[0]


def _another_state(system, sigma, place, rng):
    q = n_values(system)
    if q == 2:
        return value_of(system, 0) + value_of(system, 1) - sigma[place]
    value = value_of(system, below(rng, q))
    while value == sigma[place]:
        value = value_of(system, below(rng, q))
    return value


def _state(system, sigma, place):
    return sigma[place]


def _n_values(system):
    return n_values(system)


def _always(system, sigma, cache, place):
    return True


DEFAULT.update(n_places=_n_sites, propose=_another_state, present=_state, n_choices=_n_values,
               allowed=_always)


def has_own_moves(system) -> bool:
    """Whether moves of a system are others than those of single sites."""
    return type(getattr(system, "inner", system)) in GENERIC["propose"]


@generic
def energy_cell(system, energy):
    """Index of ``energy`` in ``energy_levels()``."""
    return call("energy_cell", system, energy)


@generic
def order_cell(system, phi):
    """Index of ``phi`` in ``order_levels()``."""
    return call("order_cell", system, phi)


@kernel(allocates=False)
def draw_and_prepare(system, random, sigma, cache, values, rng):
    """Draw ``sigma`` if ``random``, then fill ``cache`` and ``values`` = [E, Phi] from it."""
    if random:
        draw(system, sigma, rng)
    values[0], values[1] = prepare(system, sigma, cache)


@kernel(allocates=False)
def draw_spins(sigma, rng):
    """Fill ``sigma`` with independent fair spins, 64 from each random word."""
    word = next_word(rng)
    for i in range(sigma.shape[0]):
        if i % 64 == 0 and i > 0:
            word = next_word(rng)
        sigma[i] = 1 if (word >> np.uint64(i % 64)) & np.uint64(1) else -1


def _draw(system, sigma, rng):
    draw_spins(sigma, rng)


def _two(system):
    return 2


def _sign(system, k):
    return 2 * k - 1


def spins(system_class):
    """Class decorator: the sites are spins -1, +1 (registers draw, n_values and value_of)."""
    for name, function in (("draw", _draw), ("n_values", _two), ("value_of", _sign)):
        GENERIC[name][system_class] = function
    return system_class


def spins_with_magnetisation(n: int, m: float, rng: np.random.Generator) -> np.ndarray:
    """Spins at random sites whose mean is as near to ``m`` as ``n`` spins allow."""
    n_up = round(n * (1.0 + m) / 2.0)
    sigma = np.full(n, -1, dtype=np.int8)
    sigma[rng.permutation(n)[:n_up]] = 1
    return sigma
