"""A network: inputs, targets, loss, and the layout of its weights in one flat vector."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


class DataSet(NamedTuple):
    """Pairs and labels of both sets, in lexicographic order."""

    pairs_train: np.ndarray  # (n, 2) int64
    labels_train: np.ndarray  # (n,) int64
    pairs_test: np.ndarray
    labels_test: np.ndarray


@dataclass(frozen=True)
class Network:
    """A network with its data set.

    Attributes
    ----------
    parameters : Parameters
        What it was built from.
    pairs_train, pairs_test : (n, 2) int64 arrays
        Operands (a, b), in lexicographic order; of a regression the inputs, (n, D) real.
    labels_train, labels_test : (n,) int64 arrays
        The result of the operation, 0..elements-1; of a regression the targets, (n, outputs) real.
    layout : dict
        Name of each matrix -> (offset, shape) in the flat vector theta, in order.
    n_parameters : int
        Length of theta.
    """

    parameters: Any
    pairs_train: np.ndarray
    labels_train: np.ndarray
    pairs_test: np.ndarray
    labels_test: np.ndarray
    layout: dict[str, tuple[int, tuple[int, ...]]]
    n_parameters: int

    @property
    def dtype(self) -> np.dtype:
        """Floating-point type of theta."""
        return np.dtype(self.parameters.precision)

    @property
    def loss_name(self) -> tuple[str, str]:
        """Unit of the energy, and what it is."""
        return "nat", "mean cross-entropy"

    @property
    def order_name(self) -> str:
        """What the order parameter is."""
        return "accuracy"

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
