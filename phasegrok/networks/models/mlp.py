"""Multilayer perceptrons that are trained, and the one that learns a task on pairs.

Layers l = 1..L of k_0, k_1, ..., k_L units, with a factor s_l before each matrix:

    h_l = s_l W_l z_{l-1} + b_l,      z_l = phi(h_l),      f = h_L

On pairs the input is the one-hot vectors of a and b, one after the other, so that the first matrix
is two tables: W_1 z_0 = U_a + V_b.  With one hidden layer of square activation, without factors and
biases, the logits are those of the landscape convention, f_c = sum_k W_ck (U_ak + V_bk)^2.

``scaling = "mean-field"`` is the network of Gromov (arXiv 2301.02679, eqs. 1, 2 and 4),

    f = W_2 (W_1 x)^2 / (2n N),      2n inputs, N hidden units, all weights N(0, 1) at the start:

s_1 = (2n)^(-1/2) and s_L = 1/k_{L-1}; matrices between hidden layers have s_l = k_{l-1}^(-1/2).
``scaling = "none"`` has s_l = 1 and starts as PyTorch's ``nn.Linear`` does, weights and biases
uniform within +-k_{l-1}^(-1/2).

Only arrays are made here; the energy and its gradient are in ``compiled/mlp.py`` (Numba) and
``pytorch/mlp.py`` (PyTorch), which give the same function of the same flat vector theta.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from phasegrok.networks.network import LOSSES, Data, Network, layout_of
from phasegrok.networks.tasks import pairs as tasks
from phasegrok.networks.tasks.pairs import data_set

Precision = Literal["float32", "float64"]
ACTIVATIONS = ("polynomial", "relu", "tanh")
PRECISION = "floating-point type of the weights (the loss is always summed in float64)"


class Structure(NamedTuple):
    """What makes a multilayer perceptron beside its weights."""

    units: tuple[int, ...]  # k_0..k_L
    scales: tuple[float, ...]  # s_1..s_L
    activation: Literal["polynomial", "relu", "tanh"]
    biases: bool
    normal: bool  # weights are N(0, 1) and biases 0 at the start; else as PyTorch draws them
    polynomial: tuple[float, float] = (0.0, 1.0)  # phi(h) = c_1 h + c_2 h^2
    tables: bool = False  # inputs are pairs: the first matrix is U and V


class Parameters(tasks.Parameters):
    """A task on pairs and the multilayer perceptron that learns it (all dimensionless)."""

    hidden: list[int] = Field(
        [256], min_length=1, max_length=31, description="units of each hidden layer"
    )
    activation: Literal["quadratic", "relu", "tanh"] = Field(
        "quadratic", description="of the hidden units; quadratic: h^2"
    )
    biases: bool = Field(False, description="of every layer")
    loss: Literal["cross-entropy", "mse"] = Field(
        "cross-entropy", description="mean over the pairs; mse: squared distance to the one-hot "
        "label, averaged over the classes too"
    )
    scaling: Literal["none", "mean-field"] = Field(
        "none", description="mean-field: factors (2n)^(-1/2) of the first and 1/width of the last "
        "layer, normal weights; none: PyTorch's default weights"
    )
    precision: Precision = Field("float32", description=PRECISION)

    def structure(self) -> Structure:
        """Sizes, factors and functions of the network.

        Raises
        ------
        ValueError
            Where a hidden layer has no unit.
        """
        if min(self.hidden) < 1:
            raise ValueError(f"hidden = {self.hidden}: every layer needs a unit")
        units = (2 * self.elements, *self.hidden, self.elements)
        mean_field = self.scaling == "mean-field"
        scales = [k**-0.5 if mean_field else 1.0 for k in units[:-1]]
        scales[-1] = 1.0 / units[-2] if mean_field else 1.0
        activation = "polynomial" if self.activation == "quadratic" else self.activation
        return Structure(units, tuple(scales), activation, self.biases, normal=mean_field,
                         tables=True)

    def build(self, arrays: dict[str, np.ndarray] | None = None) -> "MLP":
        """Make the data set and the layout of the weights.

        Raises
        ------
        ValueError
            Where the training or the test set would be empty, or a layer.
        """
        return build(self, *data_set(self, arrays), self.loss)


class Weights(NamedTuple):
    """All weights (or their gradient), one flat vector: kernels cut it by the sizes of layers.

    They are compiled once for networks of any depth.
    """

    theta: Any


@dataclass(frozen=True)
class MLP(Network):
    """A multilayer perceptron with its data set; attributes as ``Network``, and ``structure``.

    The layout is U, V (or W_1), b_1, W_2, b_2, ...: U and V (n, k_1), W_l (k_l, k_{l-1}), b_l
    (k_l,), without what the network lacks.
    """

    structure: Structure

    losses: ClassVar[tuple[str, ...]] = tuple(LOSSES)

    def __post_init__(self):
        """Refuse what the engines would compute as something else."""
        super().__post_init__()
        s = self.structure
        if s.activation not in ACTIVATIONS:
            raise ValueError(f"a perceptron has no activation {s.activation}: one of "
                             f"{', '.join(ACTIVATIONS)}")
        if s.tables != self.on_pairs:
            raise ValueError("inputs are integer pairs where the first matrix is two tables, and "
                             "real patterns otherwise")

    def initial(self, rng_state: np.ndarray) -> np.ndarray:
        """Draw weights, as ``structure.normal`` says.

        Arguments and result as ``Network.initial``.
        """
        from phasegrok.rng import fill_normal, fill_symmetric  # Numba is loaded where one draws

        theta = np.empty(self.n_parameters)
        for name, (offset, shape) in self.layout.items():
            part = theta[offset : offset + math.prod(shape)]
            layer = int(name[2:]) if "_" in name else 1
            if not self.structure.normal:
                fill_symmetric(rng_state, part)
                part *= self.structure.units[layer - 1] ** -0.5
            elif name.startswith("b_"):
                part[:] = 0.0
            else:
                fill_normal(rng_state, part)
        return theta.astype(self.dtype)

    def matrices(self, theta: Any) -> Weights:
        """The flat vector ``theta`` (or a gradient) as the kernels take it; raises as ``views``."""
        self.views(theta)
        return Weights(theta)

    @property
    def hidden(self) -> tuple[str, ...]:
        """Names of the matrices between hidden layers."""
        return tuple(f"W_{layer}" for layer in range(2, len(self.structure.scales)))


class Committee(MLP):
    """A perceptron whose last matrix is not trained: it is all ones, and not in theta.

    The sums over its units that ``compiled/committee.py`` does first are those of polynomials.
    """

    def __post_init__(self):
        """Refuse what the compiled kernels would compute as something else."""
        super().__post_init__()
        s = self.structure
        if (s.activation != "polynomial" or s.biases or s.tables or len(s.units) != 3
                or s.units[-1] != 1 or s.scales[0] != 1.0):
            raise ValueError("the compiled kernels of a committee are for one layer of polynomial "
                             "units without factor and biases, and one output")


def build(parameters: Any, train: Data, test: Data, loss: str, network: type[MLP] = MLP) -> MLP:
    """The network of ``parameters.structure()`` with these data."""
    structure = parameters.structure()
    shapes = _shapes(structure)
    if network is Committee:
        del shapes[f"W_{len(structure.scales)}"]
    return network(parameters, train, test, loss, structure=structure, **layout_of(shapes))


def _shapes(structure: Structure) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, (k, after) in enumerate(itertools.pairwise(structure.units), start=1):
        if layer == 1 and structure.tables:
            shapes |= {"U": (k // 2, after), "V": (k // 2, after)}
        else:
            shapes[f"W_{layer}"] = (after, k)
        if structure.biases:
            shapes[f"b_{layer}"] = (after,)
    return shapes
