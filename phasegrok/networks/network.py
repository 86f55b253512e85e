"""A network: inputs, targets, loss, and the layout of its weights in one flat vector."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

LOSSES = {"cross-entropy": ("nat", "mean cross-entropy"), "mse": ("1", "mean squared error")}
"""Name of a loss -> unit of the energy, and what it is."""


class Data(NamedTuple):
    """A data set; pairs are operands (a, b), and labels the result of the operation."""

    inputs: np.ndarray  # (n, 2) int64 pairs, or (n, D) real patterns
    targets: np.ndarray  # (n,) int64 labels 0..elements-1, or (n, outputs) real


@dataclass(frozen=True)
class Network:
    """A function of the weights with the data that it is trained on and tested with.

    Attributes
    ----------
    parameters : Parameters
        What it was built from.
    train, test : Data
        Of a task on pairs in lexicographic order.
    loss : str
        Of one pattern, a key of ``LOSSES``; the energy is its mean over the train set.
    layout : dict
        Name of each matrix -> (offset, shape) in the flat vector theta, in order.
    n_parameters : int
        Length of theta.

    Raises
    ------
    ValueError
        Where the engines would compute another loss.
    """

    parameters: Any
    train: Data
    test: Data
    loss: str
    layout: dict[str, tuple[int, tuple[int, ...]]]
    n_parameters: int

    losses: ClassVar[tuple[str, ...]] = ("cross-entropy",)  # those that its engines compute

    def __post_init__(self):
        """Refuse what the engines would compute as something else."""
        if self.loss not in self.losses:
            raise ValueError(f"{type(self).__name__} has no loss {self.loss}: one of "
                             f"{', '.join(self.losses)}")
        if self.on_pairs != _integers(self.train.targets):
            raise ValueError("integer pairs have integer labels, and real patterns real targets")
        if self.loss == "cross-entropy" and not self.on_pairs:
            raise ValueError("the cross-entropy is that of labels: real targets have the loss mse")

    @property
    def dtype(self) -> np.dtype:
        """Floating-point type of theta."""
        return np.dtype(self.parameters.precision)

    @property
    def on_pairs(self) -> bool:
        """Whether inputs are integer pairs; real patterns otherwise."""
        return _integers(self.train.inputs)

    @property
    def loss_name(self) -> tuple[str, str]:
        """Unit of the energy, and what it is."""
        return LOSSES[self.loss]

    @property
    def order_name(self) -> str:
        """What the order parameter is: of labels, or else of real targets."""
        return "accuracy" if _integers(self.train.targets) else "explained variance"

    @property
    def ends(self) -> np.ndarray:
        """Where each matrix ends in theta, (M,) int64."""
        return np.cumsum([math.prod(shape) for _, shape in self.layout.values()], dtype=np.int64)

    @property
    def hidden(self) -> tuple[str, ...]:
        """Names of the matrices between the first, which embeds, and the last, which reads out."""
        return tuple(name for name, (_, shape) in self.layout.items() if len(shape) > 1)[1:-1]

    def views(self, theta: Any) -> list:
        """The matrices in the order of ``layout``: views of ``theta``, an array or a tensor.

        Raises
        ------
        ValueError
            Where theta is not a contiguous vector of length n_parameters.
        """
        flags = getattr(theta, "flags", None)
        if theta.shape != (self.n_parameters,) or not (flags is None or flags.c_contiguous):
            raise ValueError(f"theta has shape {tuple(theta.shape)}; a contiguous "
                             f"({self.n_parameters},) is expected")
        shapes = [shape for _, shape in self.layout.values()]
        sizes = [math.prod(shape) for shape in shapes]
        # the gradient of one split is one copy, that of a slice each as many sums over theta
        parts = theta.split(sizes) if flags is None else np.split(theta, np.cumsum(sizes)[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, shapes)]

    def initial(self, rng_state: np.ndarray) -> np.ndarray:
        """Draw the weights.

        Parameters
        ----------
        rng_state : (4,) uint64 array
            State of the generator (``phasegrok.rng.streams``), changed in place.

        Returns
        -------
        theta : (n_parameters,) array of the system's precision
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how weights are drawn")

    def matrices(self, theta: Any) -> Any:
        """``views`` under their names, as the network's own NamedTuple; raises as ``views``."""
        raise NotImplementedError(f"{type(self).__name__} does not name its matrices")


def layout_of(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """Fields ``layout`` and ``n_parameters`` of a network with these matrices, in this order."""
    layout, offset = {}, 0
    for name, shape in shapes.items():
        layout[name] = (offset, shape)
        offset += math.prod(shape)
    return {"layout": layout, "n_parameters": offset}


def _integers(x: np.ndarray) -> bool:
    return np.issubdtype(x.dtype, np.integer)
