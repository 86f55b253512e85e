"""The one-layer transformer that learns arithmetic modulo a prime: parameters, data, weights.

The network is that of Nanda et al. (arXiv 2301.05217): the sequence "a b =" is embedded, one causal
attention layer and one ReLU layer write to the residual stream, there is no layer norm, and the
logits are read at "=".  The energy of the weights is the mean cross-entropy of the training set,
the order parameter is the test accuracy.

Only arrays are made here; the energy and its gradient are in ``transformer_compiled`` (Numba) and
``transformer_torch`` (PyTorch), which give the same function of the same flat vector theta.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Operation = Literal["+", "-", "*", "/", "x2+y", "x2+y2", "x2+xy+y2", "x2+xy+y2+x", "x3+xy",
                    "x3+xy2", "x3+xy2+y"]
SYMMETRIC = ("+", "*", "x2+y2", "x2+xy+y2")  # (a, b) and (b, a) have the same label
_POLYNOMIALS = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "x2+y": lambda x, y: x * x + y,
    "x2+y2": lambda x, y: x * x + y * y,
    "x2+xy+y2": lambda x, y: x * x + x * y + y * y,
    "x2+xy+y2+x": lambda x, y: x * x + x * y + y * y + x,
    "x3+xy": lambda x, y: x * x * x + x * y,
    "x3+xy2": lambda x, y: x * x * x + x * y * y,
    "x3+xy2+y": lambda x, y: x * x * x + x * y * y + y,
}


def is_prime(n: int) -> bool:
    """True where n is a prime number (trial division; n is small here)."""
    return n >= 2 and all(n % k for k in range(2, math.isqrt(n) + 1))


class Parameters(BaseModel):
    """Modular arithmetic and the transformer that learns it (all quantities dimensionless)."""

    model_config = ConfigDict(extra="forbid")

    operation: Operation = Field(
        "-", description="of residues modulo p; / leaves out b = 0"
    )
    p: int = Field(113, ge=3, description="modulus, a prime; also the number of classes")
    train_fraction: float = Field(
        0.3, gt=0.0, lt=1.0, description="share of the pairs in the training set, between 0 and 1"
    )
    split_seed: int = Field(0, ge=0, description="seed of the division into training and test set")
    split: Literal["unordered", "ordered"] = Field(
        "unordered", description="unordered: (a, b) and (b, a) are on one side where they have one "
        "label; ordered: they may not be, and a memoriser scores about the train fraction"
    )
    d_model: int = Field(128, ge=1, description="width of the residual stream, in components")
    heads: int = Field(4, ge=1, description="number of attention heads; divides d_model")
    mlp: int = Field(512, ge=1, description="number of hidden units of the ReLU layer")
    precision: Literal["float32", "float64"] = Field(
        "float32", description="floating-point type of the weights (the loss is always float64)"
    )

    @field_validator("operation", mode="before")
    @classmethod
    def _as_written(cls, operation):
        if not isinstance(operation, str):
            return operation
        for power, digit in (("²", "2"), ("³", "3"), ("**", ""), ("^", ""), (" ", "")):
            operation = operation.replace(power, digit)
        return operation

    @field_validator("p")
    @classmethod
    def _p_is_prime(cls, p: int) -> int:
        if not is_prime(p):
            smaller = next((q for q in range(p, 2, -1) if is_prime(q)), 3)
            raise ValueError(f"the modulus p = {p} is not a prime (the next smaller is {smaller})")
        return p

    @model_validator(mode="after")
    def _heads_divide_width(self):
        if self.d_model % self.heads:
            raise ValueError(f"d_model = {self.d_model} is not divisible by heads = {self.heads}")
        return self

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Quenched arrays of the system: none, the split follows from its seed."""
        return {}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """The modulus p."""
        return self.p

    def build(self, arrays: dict[str, np.ndarray] | None = None) -> "ModularTransformer":
        """Make the data set and the layout of the weights.

        Raises
        ------
        ValueError
            Where the training or the test set would be empty.
        """
        return ModularTransformer(**data_and_layout(self, _shapes(self)))


class Matrices(NamedTuple):
    """The weights (or their gradient) as named arrays or tensors; d = d_model, x @ W unless stated.

    W_Q, W_K and W_V map a residual vector x (d,) to ``W[head] @ x`` (d/heads,).
    """

    W_E: Any  # (p + 1, d) embedding of the residues and, in the last row, of "="
    W_pos: Any  # (3, d) embedding of the position
    W_Q: Any  # (heads, d / heads, d) queries
    W_K: Any  # (heads, d / heads, d) keys
    W_V: Any  # (heads, d / heads, d) values
    W_O: Any  # (d, d) heads' outputs, concatenated, to the residual stream
    W_in: Any  # (d, mlp)
    b_in: Any  # (mlp,)
    W_out: Any  # (mlp, d)
    b_out: Any  # (d,)
    W_U: Any  # (d, p) residual stream to logits


@dataclass(frozen=True)
class ModularTransformer:
    """A one-layer transformer with its data set.

    Attributes
    ----------
    parameters : Parameters
        What it was built from.
    pairs_train, pairs_test : (n, 2) int64 arrays
        Operands (a, b), in lexicographic order.
    labels_train, labels_test : (n,) int64 arrays
        The result of the operation, 0..p-1.
    layout : dict
        Name of each matrix -> (offset, shape) in the flat vector theta, in order.
    n_parameters : int
        Length of theta.
    """

    parameters: Parameters
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

    def initial(self, rng_state: np.ndarray) -> np.ndarray:
        """Draw weights: independent normals, biases zero.

        The standard deviations are those of Nanda et al. (arXiv 2301.05217, their code):
        (p + 1)^(-1/2) for W_U, d_model^(-1/2) for every other matrix.

        Parameters
        ----------
        rng_state : (4,) uint64 array
            State of the generator (``phasegrok.rng.streams``), changed in place.

        Returns
        -------
        theta : (n_parameters,) array of the system's precision
        """
        from phasegrok.rng import fill_normal  # Numba is loaded only where numbers are drawn

        draws = np.empty(self.n_parameters)
        fill_normal(rng_state, draws)
        width = self.parameters.d_model**-0.5
        for name, (offset, shape) in self.layout.items():
            scale = (self.parameters.p + 1) ** -0.5 if name == "W_U" else width
            draws[offset : offset + math.prod(shape)] *= 0.0 if name.startswith("b_") else scale
        return draws.astype(self.dtype)

    def matrices(self, theta: np.ndarray) -> Any:
        """Views of the flat vector ``theta`` (or of a gradient) as named ``Matrices``.

        Raises
        ------
        ValueError
            Where theta is not a contiguous vector of length n_parameters.
        """
        return Matrices(*self.views(theta))

    def views(self, theta: np.ndarray) -> list[np.ndarray]:
        """The matrices in the order of ``layout``, views of ``theta``; raises as ``matrices``."""
        if theta.shape != (self.n_parameters,) or not theta.flags.c_contiguous:
            raise ValueError(
                f"theta has shape {theta.shape}; a contiguous ({self.n_parameters},) is expected"
            )
        return [theta[o : o + math.prod(s)].reshape(s) for o, s in self.layout.values()]


def label(operation: Operation, p: int, pairs: np.ndarray) -> np.ndarray:
    """Result of the operation for each pair.

    Parameters
    ----------
    operation : Operation
    p : int
        Prime modulus.
    pairs : (n, 2) integer array

    Returns
    -------
    labels : (n,) int64 array, 0..p-1
    """
    a, b = pairs[:, 0].astype(np.int64), pairs[:, 1].astype(np.int64)
    if operation in _POLYNOMIALS:
        return _POLYNOMIALS[operation](a, b) % p
    inverse = np.array([0] + [pow(k, -1, p) for k in range(1, p)], dtype=np.int64)
    return (a * inverse[b]) % p


def data_and_layout(
    parameters: Parameters, shapes: dict[str, tuple[int, ...]]
) -> dict[str, Any]:
    """Fields of a network: both data sets with their labels, and where each matrix lies in theta.

    Parameters
    ----------
    parameters : Parameters
    shapes : dict
        Name of each matrix -> shape, in the order of theta.

    Raises
    ------
    ValueError
        Where the training or the test set would be empty.
    """
    train, test = _split(parameters)
    layout, offset = {}, 0
    for name, shape in shapes.items():
        layout[name] = (offset, shape)
        offset += math.prod(shape)
    return dict(
        parameters=parameters,
        pairs_train=train,
        labels_train=label(parameters.operation, parameters.p, train),
        pairs_test=test,
        labels_test=label(parameters.operation, parameters.p, test),
        layout=layout,
        n_parameters=offset,
    )


def _split(parameters: Parameters) -> tuple[np.ndarray, np.ndarray]:
    """Training and test pairs, each (n, 2) in lexicographic order.

    With ``split = "unordered"``, for symmetric operations unordered pairs are divided, so that
    (a, b) and (b, a) are on the same side: on ordered pairs a network that memorises {a, b} would
    score about the train fraction.
    """
    p = parameters.p
    symmetric = parameters.operation in SYMMETRIC and parameters.split == "unordered"
    a, b = np.divmod(np.arange(p * p), p)
    if parameters.operation == "/":
        a, b = a[b != 0], b[b != 0]
    if symmetric:
        a, b = a[a <= b], b[a <= b]
    n_train = round(parameters.train_fraction * len(a))
    if not 0 < n_train < len(a):
        raise ValueError(
            f"train_fraction = {parameters.train_fraction} of {len(a)} pairs leaves no "
            f"{'training' if n_train == 0 else 'test'} set"
        )
    # argsort of uniform numbers: Generator.permutation may change between versions of NumPy
    order = np.argsort(np.random.default_rng(parameters.split_seed).random(len(a)), kind="stable")
    sides = []
    for chosen in (order[:n_train], order[n_train:]):
        keys = a[chosen] * p + b[chosen]
        if symmetric:
            keys = np.union1d(keys, b[chosen] * p + a[chosen])
        sides.append(np.stack(np.divmod(np.sort(keys), p), axis=1))
    return sides[0], sides[1]


def _shapes(parameters: Parameters) -> dict[str, tuple[int, ...]]:
    p, d, m, heads = parameters.p, parameters.d_model, parameters.mlp, parameters.heads
    projection = (heads, d // heads, d)
    shapes: list[tuple[int, ...]] = [(p + 1, d), (3, d), projection, projection, projection]
    shapes += [(d, d), (d, m), (m,), (m, d), (d,), (d, p)]
    return dict(zip(Matrices._fields, shapes))
