"""The two-layer decoder of the first grokking paper.

The network is that of Power et al. (arXiv 2201.02177) as published (github.com/openai/grok): a
learned token embedding plus a fixed sinusoidal position encoding, causal self-attention and a ReLU
layer of four times the width in each of two layers, a layer norm *after* each residual sum, no
biases but those of the norms, a separate unembedding, no dropout:

    x <- norm(x + attention(x)),      x <- norm(x + relu(x W_in) W_out).

The sequence is "a o b =" and the answer is read at "=".  Three things differ from the published
code: it begins sequences with a constant token, it reads logits of all tokens of all its tasks
where only the elements are classes here, and its loss also counts the end token that follows the
answer, which is learned at once.

The energy of the weights is the mean cross-entropy of the training set, the order parameter is the
test accuracy.  Only arrays are made here; the energy and its gradient are in
``compiled/decoder.py`` (Numba) and ``pytorch/decoder.py`` (PyTorch), which give the same function
of the same flat vector theta.
"""

import math
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from phasegrok.networks.models import transformer
from phasegrok.networks.network import Network, layout_of
from phasegrok.networks.tasks.pairs import Operation, data_set

LAYERS = (1, 2)
NORM_EPSILON = 1e-5  # added to the variance; the value of torch.nn.LayerNorm


class Parameters(transformer.Parameters):
    """A task on pairs and the two-layer decoder that learns it (all dimensionless)."""

    operation: Operation = Field(
        "/", description=transformer.Parameters.model_fields["operation"].description
    )
    p: int = Field(97, ge=3, description="modulus, a prime")
    train_fraction: float = Field(
        0.5, gt=0.0, lt=1.0, description="share of the pairs in the training set, between 0 and 1"
    )
    mlp: int = Field(512, ge=1, description="number of hidden units of each ReLU layer")
    precision: Literal["float32", "float64"] = Field(
        "float32", description="floating-point type of the weights (the loss is always float64)"
    )

    def build(self, arrays: dict[str, np.ndarray] | None = None) -> Network:
        """Make the data set and the layout of the weights.

        Raises
        ------
        ValueError
            Where the training or the test set would be empty.
        """
        return ModularDecoder(self, *data_set(self, arrays), "cross-entropy",
                              **layout_of(_shapes(self)))


class Layer(NamedTuple):
    """Weights of one layer (or their gradient); x @ W unless stated.

    W_Q, W_K and W_V map a residual vector x (d,) to ``W[head] @ x`` (d/heads,).
    """

    W_Q: Any  # (heads, d / heads, d) queries
    W_K: Any  # (heads, d / heads, d) keys
    W_V: Any  # (heads, d / heads, d) values
    W_O: Any  # (d, d) heads' outputs, concatenated, to the residual stream
    gain_attention: Any  # (d,) of the norm after the attention
    bias_attention: Any  # (d,)
    W_in: Any  # (d, mlp)
    W_out: Any  # (mlp, d)
    gain_mlp: Any  # (d,) of the norm after the ReLU layer
    bias_mlp: Any  # (d,)


class Matrices(NamedTuple):
    """All weights (or their gradient) as named arrays or tensors; d = d_model."""

    W_E: Any  # (n + 2, d) embedding of the n elements, of the operation sign, and of "="
    first: Any  # Layer
    second: Any  # Layer
    W_U: Any  # (d, n) residual stream to logits


class ModularDecoder(Network):
    """A two-layer decoder with its data set; attributes as ``Network``."""

    def initial(self, rng_state: np.ndarray) -> np.ndarray:
        """Draw weights as PyTorch's modules do, which the published code leaves as they are.

        Standard normal embeddings, gains 1 and biases 0, and every other matrix uniform within
        +-n^(-1/2), n the number of its inputs.

        Arguments and result as ``Network.initial``.
        """
        from phasegrok.rng import fill_normal, fill_symmetric  # Numba is loaded where one draws

        theta = np.empty(self.n_parameters)
        for name, (offset, shape) in self.layout.items():
            part = theta[offset : offset + math.prod(shape)]
            if name == "W_E":
                fill_normal(rng_state, part)
            elif len(shape) == 1:
                part[:] = 1.0 if name.startswith("gain") else 0.0
            else:
                inputs = shape[-1] if len(shape) == 3 else shape[0]
                fill_symmetric(rng_state, part)
                part *= inputs**-0.5
        return theta.astype(self.dtype)

    def matrices(self, theta: Any) -> Matrices:
        """Views of the flat vector ``theta`` (or of a gradient) as named ``Matrices``."""
        return assemble(self.views(theta))


def assemble(parts: list) -> Matrices:
    """Matrices of a list in the order of ``ModularDecoder.layout``, arrays or tensors."""
    n = len(Layer._fields)
    first, second = (Layer(*parts[1 + k * n : 1 + (k + 1) * n]) for k in range(2))
    return Matrices(parts[0], first, second, parts[-1])


def positions(d_model: int, library: Any = np, **where: Any) -> Any:
    """Encoding of the four positions, (4, d_model) float64.

    Component i of position t is sin(t / 10000^(i/d)) for even i, and cos(t / 10000^((i-1)/d)) for
    odd i (Vaswani et al., arXiv 1706.03762, section 3.5).

    Parameters
    ----------
    d_model : int
    library : module
        Whose arrays to make: NumPy or PyTorch.
    where
        Further arguments of its ``arange``: the device.
    """
    x = library
    t, i = (x.arange(n, dtype=x.float64, **where) for n in (4, d_model))
    angle = t[:, None] / 10000.0 ** ((i - i % 2) / d_model)
    return x.where(i % 2 == 0, x.sin(angle), x.cos(angle))


def _shapes(parameters: Parameters) -> dict[str, tuple[int, ...]]:
    n, d, m, heads = parameters.elements, parameters.d_model, parameters.mlp, parameters.heads
    projection = (heads, d // heads, d)
    layer: list[tuple[int, ...]] = [projection, projection, projection, (d, d), (d,), (d,)]
    layer += [(d, m), (m, d), (d,), (d,)]
    shapes: dict[str, tuple[int, ...]] = {"W_E": (n + 2, d)}
    for k in LAYERS:
        shapes |= {f"{name}_{k}": shape for name, shape in zip(Layer._fields, layer)}
    return shapes | {"W_U": (d, n)}
