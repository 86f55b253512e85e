r"""The landscape of a network: its weights under a measure, at a temperature.

.. math:: P(\theta) \propto e^{-E(\theta)/T}\, d\mu(\theta)

E is the train loss, the mean over the train set, and :math:`\mu` a measure of
:mod:`phasegrok.networks.measures`.  In its latent this is a continuous system, prior N(0, I) and
energy E/T, on which the chains of :mod:`phasegrok.dynamics.langevin` run.  A step costs one
gradient of all training pairs; the test set is looked at where a record is taken.

Of a network in float32 E is known to about 1e-7 of itself, and counts as E/T: take
``precision = "float64"`` where T is below 1e-5 of it.
"""

import dataclasses
import functools
import math
from typing import Any, Literal, NamedTuple

import numpy as np

from phasegrok.dynamics.ghmc import sum_of_squares
from phasegrok.dynamics.langevin import BINS, INTEGRATORS, Chain, Plan, advance_chain
from phasegrok.errors import InputError
from phasegrok.networks.compiled.cold import apart, network_of
from phasegrok.networks.engine import (
    data,
    energy_and_gradient,
    losses,
    losses_again,
    workspace,
)
from phasegrok.networks.kinds import kernels_of, pytorch_of, small
from phasegrok.networks.measures import (
    Sphere,
    Spheres,
    measure_of,
    pull_back,
    room_size,
    weights,
)
from phasegrok.networks.network import Network
from phasegrok.systems.continuous import behaviour


@dataclasses.dataclass(frozen=True)
class Landscape:
    """A network under a measure, as a continuous system.

    Its one unit is the network, with the order parameter of the test set.

    Attributes
    ----------
    network : Network
    measure : NamedTuple
        Of :mod:`phasegrok.networks.measures`.
    temperature : float
        T, in units of the loss.
    engine : str
        "compiled", or "torch" for a network that has no compiled kernels: the same chains, whose
        steps call PyTorch for the gradient.

    Raises
    ------
    ValueError
        Where T is not positive, or the network lacks the engine.
    """

    network: Network
    measure: Any
    temperature: float
    engine: Literal["compiled", "torch"] = "compiled"

    def __post_init__(self):
        """Refuse what cannot be sampled."""
        if not (math.isfinite(self.temperature) and self.temperature > 0.0):
            raise ValueError(f"temperature = {self.temperature:g}: give a positive number, in "
                             "units of the loss")
        if self.engine == "compiled":
            kernels_of(self.network, "langevin")
        else:
            pytorch_of(self.network)

    @property
    def n_coordinates(self) -> int:
        """Weights."""
        return self.network.n_parameters

    @property
    def n_units(self) -> int:
        """One: the network."""
        return 1

    @property
    def series_names(self) -> tuple[str, ...]:
        """Losses and order parameters of both sets; the norm of all weights where it is free."""
        order = self.network.order_name.replace(" ", "_")
        names = ("train_loss", "test_loss", f"train_{order}", f"test_{order}")
        return names if isinstance(self.measure, (Sphere, Spheres)) else (*names, "norm")

    @property
    def unit_name(self) -> str:
        """The loss of the test set."""
        return "test_loss"

    def aligned(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """Refused: weights of a given order parameter cannot be drawn."""
        raise ValueError("weights of a given test accuracy cannot be drawn: all chains begin from "
                         "the measure")

    def for_kernels(self) -> tuple[Any, Any]:
        """The NamedTuple that kernels take, and scratch of one thread."""
        self._compiled_apart  # noqa: B018
        return self.arguments()

    @functools.cached_property
    def _compiled_apart(self):
        """Once a landscape; kernels that call PyTorch are the same for all networks."""
        network = self.network
        if self.engine == "torch":
            network = small("modular-mlp", network.dtype.name)
        apart("chains", "phasegrok.networks.landscape:compile_here", network,
              type(self.measure).__name__.lower(), self.engine)

    def raise_errors(self) -> None:
        """Raise what went wrong in a network of PyTorch while kernels called it.

        Raises
        ------
        InputError
            Which network, and its error.
        """
        error = self._callback.error if self.engine == "torch" else None
        if error is not None:
            name = getattr(self.network, "name", type(self.network).__name__)
            raise InputError(
                f"{name} fails in a chain: {type(error).__name__}: {error}") from error

    def arguments(self) -> tuple[Any, Any]:
        """What ``for_kernels`` returns, without a look at whether kernels are compiled."""
        network, n = self.network, self.n_coordinates
        theta, slope = np.zeros((2, n), network.dtype)
        room = np.empty(room_size(n))
        if self.engine == "torch":
            from phasegrok.networks.pytorch import landscape

            return (landscape.InPyTorch(self.temperature, self.measure, self._callback.address),
                    landscape.Scratch(theta, slope, np.zeros(4), room))
        work = Scratch(theta, slope, network.matrices(theta), network.matrices(slope),
                       workspace(network), room)
        return Compiled(self.temperature, self.measure, *self._sets), work

    @functools.cached_property
    def _sets(self):
        """Train and test set as kernels take them."""
        network = self.network
        return [data(network, *part) for part in (network.train, network.test)]

    @functools.cached_property
    def _callback(self):
        from phasegrok.networks.pytorch.landscape import Callback

        return Callback(self.network)


def compile_here(kind: str, precision: str, measure: str, engine: Any) -> None:
    """Compile the kernel of chains: two steps; arguments as ``cold.network_of`` takes them."""
    network = network_of(kind, precision)
    landscape = Landscape(network, measure_of(measure, 1.0, network), 1.0, engine)
    n, names = landscape.n_coordinates, landscape.series_names
    xi, v, noise = np.ones((3, n))
    system, work = landscape.arguments()
    plan = Plan(INTEGRATORS.index("ghmc"), 1e-3, 1.0, math.inf, 1.0, 1, 0)
    counts, sums = np.zeros((2, 1, BINS + 1))
    chain = Chain(xi, v, noise, np.ones(4, np.uint64), np.zeros((2, len(names))), counts, sums,
                  np.zeros(4))
    advance_chain(system, plan, chain, 0, 2, work, np.empty((4, n)), np.empty((1, 2)))


# --- in kernels -----------------------------------------------------------------------------------


class Compiled(NamedTuple):
    """A landscape as kernels take it."""

    temperature: float
    measure: Any
    train: Any  # Pairs or Patterns
    test: Any


class Scratch(NamedTuple):
    """Scratch of one thread."""

    theta: np.ndarray  # (n,) of the network's precision
    slope: np.ndarray  # (n,) derivative of E by theta
    w: Any  # the matrices, views of theta
    g: Any  # views of slope
    work: Any  # the network's workspace
    room: np.ndarray  # of the measure


@behaviour(Compiled)
def gradient(system, xi, work, out):
    weights(system.measure, xi, work.theta, work.room)
    energy, _ = energy_and_gradient(work.w, work.g, system.train, work.work)
    pull_back(system.measure, xi, work.slope, 1.0 / system.temperature, work.room, out)
    return energy / system.temperature


@behaviour(Compiled)
def observe(system, xi, work, series):
    weights(system.measure, xi, work.theta, work.room)
    series[0], series[2] = losses(work.w, system.train, work.work)
    series[1], series[3] = losses_again(work.w, system.test, work.work)
    if series.shape[0] > 4:
        series[4] = math.sqrt(sum_of_squares(work.theta))


@behaviour(Compiled)
def units(system, xi, work, order):
    weights(system.measure, xi, work.theta, work.room)
    order[0, 1], order[0, 0] = losses(work.w, system.test, work.work)
