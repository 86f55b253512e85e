r"""What a continuous system is: a Gaussian latent, an energy with its gradient, observables.

The state of every continuous system is a flat vector xi whose prior is N(0, I); the system maps xi
to its weights (theta = prior width times xi, or another map).  It is sampled from

.. math:: P(\xi) \propto \exp[-|\xi|^2/2 - E(\xi)/T] ,

so that steps are preconditioned by the prior and one step size fits all weights.  A system is a
``NamedTuple`` of numbers and arrays with the properties of :class:`ContinuousSystem` and three
functions registered by :func:`phasegrok.systems.discrete.behaviour`:

``gradient(system, xi, work, out)``
    E/T in nats; fills ``out`` with its derivative by xi.  The prior is not in it.
``observe(system, xi, work, series)``
    Fills ``series`` with one number for each of ``series_names``.
``units(system, xi, work, order)``
    Fills ``order``, shape (n_units, 2): the order parameter of each unit (neuron), and one further
    number of it (``unit_name``), of which means at fixed order parameter are kept.

A system that holds what kernels cannot take, such as a network, is another object with the same
properties, which makes its NamedTuple and the scratch of a thread in a method ``for_kernels()``.
"""

from typing import Any, Protocol

import numpy as np

from phasegrok.compiled import IN_KERNELS
from phasegrok.systems.discrete import behaviour, call, generic

__all__ = ["ContinuousSystem", "behaviour", "for_kernels", "gradient", "observe", "units",
           "with_blas"]

def with_blas(stub):
    """A generic function whose versions may call BLAS, which needs counted references."""
    return generic(stub, IN_KERNELS)


class ContinuousSystem(Protocol):
    """What samplers ask of a continuous system, beside its three functions."""

    @property
    def n_coordinates(self) -> int:
        """Length of xi."""

    @property
    def n_units(self) -> int:
        """Units that have an order parameter each: neurons, or 1."""

    @property
    def work_size(self) -> int:
        """Numbers of scratch that the three functions need."""

    @property
    def series_names(self) -> tuple[str, ...]:
        """Names of the observables of ``observe``."""

    @property
    def unit_name(self) -> str:
        """What the second number of a unit is."""

    def aligned(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """A draw of xi from the prior, with the order parameter of every unit at ``phi``."""


def for_kernels(system: Any) -> tuple[Any, Any]:
    """The NamedTuple that kernels take for ``system``, and scratch of one thread."""
    made = getattr(system, "for_kernels", None)
    return made() if made else (system, np.empty(system.work_size))


def raise_errors(system: Any) -> None:
    """Raise what went wrong in a function that kernels called, where a system has such ones."""
    made = getattr(system, "raise_errors", None)
    if made:
        made()


@with_blas
def gradient(system, xi, work, out):
    """E/T at ``xi``, without the prior; fills ``out`` with its derivative."""
    return call("gradient", system, xi, work, out)


@with_blas
def observe(system, xi, work, series):
    """Fill ``series`` with the observables of ``series_names``."""
    return call("observe", system, xi, work, series)


@with_blas
def units(system, xi, work, order):
    """Fill ``order`` (n_units, 2) with order parameter and a further number of every unit."""
    return call("units", system, xi, work, order)
