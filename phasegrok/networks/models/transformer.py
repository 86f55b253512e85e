"""The one-layer transformer of the grokking literature: parameters and weights.

The network is that of Nanda et al. (arXiv 2301.05217): the sequence "a b =" is embedded, one causal
attention layer and one ReLU layer write to the residual stream, there is no layer norm, and the
logits are read at "=".  The energy of the weights is the mean cross-entropy of the training set,
the order parameter is the test accuracy.

Only arrays are made here; the energy and its gradient are in ``compiled/transformer.py`` (Numba)
and ``pytorch/transformer.py`` (PyTorch), which give the same function of the same flat vector
theta.
"""

import math
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from phasegrok.networks.network import Network, layout_of
from phasegrok.networks.tasks import pairs as tasks
from phasegrok.networks.tasks.pairs import data_set


class Parameters(tasks.Parameters):
    """A task on pairs and the transformer that learns it (all quantities dimensionless)."""

    d_model: int = Field(128, ge=1, description="width of the residual stream, in components")
    heads: int = Field(4, ge=1, description="number of attention heads; divides d_model")
    mlp: int = Field(512, ge=1, description="number of hidden units of the ReLU layer")
    precision: Literal["float32", "float64"] = Field(
        "float32", description="floating-point type of the weights (the loss is always float64)"
    )

    @model_validator(mode="after")
    def _heads_divide_width(self):
        if self.d_model % self.heads:
            raise ValueError(f"d_model = {self.d_model} is not divisible by heads = {self.heads}")
        return self

    def build(self, arrays: dict[str, np.ndarray] | None = None) -> Network:
        """Make the data set and the layout of the weights.

        Raises
        ------
        ValueError
            Where the training or the test set would be empty.
        """
        return ModularTransformer(self, *data_set(self, arrays), "cross-entropy",
                                  **layout_of(_shapes(self)))


class Matrices(NamedTuple):
    """The weights (or their gradient) as named arrays or tensors; d = d_model, x @ W unless stated.

    W_Q, W_K and W_V map a residual vector x (d,) to ``W[head] @ x`` (d/heads,).
    """

    W_E: Any  # (n + 1, d) embedding of the n elements and, in the last row, of "="
    W_pos: Any  # (3, d) embedding of the position
    W_Q: Any  # (heads, d / heads, d) queries
    W_K: Any  # (heads, d / heads, d) keys
    W_V: Any  # (heads, d / heads, d) values
    W_O: Any  # (d, d) heads' outputs, concatenated, to the residual stream
    W_in: Any  # (d, mlp)
    b_in: Any  # (mlp,)
    W_out: Any  # (mlp, d)
    b_out: Any  # (d,)
    W_U: Any  # (d, n) residual stream to logits


class ModularTransformer(Network):
    """A one-layer transformer with its data set; attributes as ``Network``."""

    @property
    def hidden(self) -> tuple[str, ...]:
        """Names of the matrices that neither embed nor read out."""
        return tuple(name for name in super().hidden if name != "W_pos")

    def initial(self, rng_state: np.ndarray) -> np.ndarray:
        """Draw weights: independent normals, biases zero.

        The standard deviations are those of Nanda et al. (arXiv 2301.05217, their code):
        (n + 1)^(-1/2) for W_U, n the number of elements, d_model^(-1/2) for every other matrix.

        Arguments and result as ``Network.initial``.
        """
        from phasegrok.rng import fill_normal  # Numba is loaded only where numbers are drawn

        draws = np.empty(self.n_parameters)
        fill_normal(rng_state, draws)
        width = self.parameters.d_model**-0.5
        for name, (offset, shape) in self.layout.items():
            scale = (self.parameters.elements + 1) ** -0.5 if name == "W_U" else width
            draws[offset : offset + math.prod(shape)] *= 0.0 if name.startswith("b_") else scale
        return draws.astype(self.dtype)

    def matrices(self, theta: Any) -> Matrices:
        """Views of the flat vector ``theta`` (or of a gradient) as named ``Matrices``."""
        return Matrices(*self.views(theta))


def _shapes(parameters: Parameters) -> dict[str, tuple[int, ...]]:
    n, d, m, heads = parameters.elements, parameters.d_model, parameters.mlp, parameters.heads
    projection = (heads, d // heads, d)
    shapes: list[tuple[int, ...]] = [(n + 1, d), (3, d), projection, projection, projection]
    shapes += [(d, d), (d, m), (m,), (m, d), (d,), (d, n)]
    return dict(zip(Matrices._fields, shapes))
