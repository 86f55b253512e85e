"""Regression: networks that learn real targets from Gaussian inputs.

Two kinds, both trained on the mean squared error over patterns and outputs.  The order parameter,
which the trainer calls accuracy, is the explained variance: one less that error over the variance
of the targets; it is 1 for a perfect network, 0 for the best constant, and below 0 for worse.

A student learns a teacher of its own shape (Liu, Michaud and Tegmark, arXiv 2210.01117, sec. 3).
The teacher and the patterns are those of ``tanh_mlp``, where the student is sampled.

A committee machine learns a square (Kumar et al., arXiv 2310.06110, eq. 3), inputs x ~ N(0, I/D):

    f = (alpha/N) sum_i phi(w_i . x),      phi(h) = h + (eps/2) h^2,      y = (beta . x)^2 / 2

Only w is trained, from N(0, 1); beta is drawn from N(0, I).
"""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.networks.models import mlp
from phasegrok.networks.models.mlp import MLP, PRECISION, Precision, Structure
from phasegrok.networks.network import Data
from phasegrok.systems import tanh_mlp

_PHI = {"tanh": np.tanh, "relu": lambda h: np.maximum(h, 0.0)}


class StudentParameters(tanh_mlp.Teacher):
    """A teacher and the student of its shape that is trained on its outputs."""

    activation: Literal["tanh", "relu"] = Field("tanh", description="of teacher and student")
    precision: Precision = Field("float32", description=PRECISION)

    def structure(self) -> Structure:
        """Sizes and functions of the network."""
        ones = (1.0,) * (len(self.layers) - 1)
        return Structure(tuple(self.layers), ones, self.activation, biases=True,
                         normal=False)

    def sets(self, arrays: dict[str, np.ndarray]) -> tuple[Data, Data]:
        """Patterns of the train and of the test set, with the outputs of the teacher."""
        def targets(x):
            return tanh_mlp.outputs(self.layers, arrays["teacher"], x, _PHI[self.activation])

        return _data(arrays, targets, self.precision)

    def build(self, arrays: dict[str, np.ndarray]) -> MLP:
        """The student with patterns and outputs of the teacher."""
        return mlp.build(self, *self.sets(arrays), "mse")


class CommitteeParameters(BaseModel):
    """A committee machine that learns the square of a direction."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    D: int = Field(100, ge=1, le=100_000, description="inputs")
    N: int = Field(500, ge=1, le=1_000_000, description="hidden units")
    n: int = Field(450, ge=1, le=1_000_000, description="patterns")
    n_test: int = Field(1000, ge=2, le=1_000_000, description="further patterns")
    epsilon: float = Field(0.02, ge=0.0, description="phi(h) = h + (epsilon/2) h^2")
    alpha: float = Field(1.0, gt=0.0, description="factor of the output: large is lazy")
    disorder_seed: int = Field(1, ge=0, description="seed of direction and patterns")
    precision: Precision = Field("float32", description=PRECISION)

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Direction beta (D,), patterns (n, D) and those of the test."""
        if rows is not None:
            raise ValueError("patterns are drawn, as is their direction: leave out [data]")
        beta, train, test = (np.random.default_rng(seed) for seed in
                             np.random.SeedSequence(self.disorder_seed).spawn(3))
        width = 1.0 / math.sqrt(self.D)
        return {"beta": beta.standard_normal(self.D),
                "patterns": width * train.standard_normal((self.n, self.D)),
                "test_patterns": width * test.standard_normal((self.n_test, self.D))}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Hidden units."""
        return self.N

    def structure(self) -> Structure:
        """Sizes and functions of the network."""
        return Structure((self.D, self.N, 1), (1.0, self.alpha / self.N), "polynomial",
                         biases=False, normal=True, polynomial=(1.0, 0.5 * self.epsilon))

    def build(self, arrays: dict[str, np.ndarray]) -> MLP:
        """The machine with its patterns and their squares."""
        def targets(x):
            return 0.5 * (x @ arrays["beta"])[:, None] ** 2

        return mlp.build(self, *_data(arrays, targets, self.precision), "mse", mlp.Committee)


def _data(arrays: dict[str, np.ndarray], targets: Callable[[np.ndarray], np.ndarray],
          precision: str) -> tuple[Data, Data]:
    """Patterns of the train and of the test set with their targets, at the network's precision."""
    train, test = (Data(x.astype(precision), targets(x).astype(precision))
                   for x in (arrays["patterns"], arrays["test_patterns"]))
    return train, test
