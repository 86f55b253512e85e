r"""Ridge regression of a linear teacher: a posterior whose every law is Gaussian and known.

Targets :math:`y = x\cdot\theta_* + \text{noise}` of inputs x ~ N(0, I_d), with the teacher
:math:`\theta_*` the first unit vector; prior :math:`\theta \sim N(0, \sigma_w^2/d)` and

.. math:: E/T = |X\theta - y|^2/2\sigma^2 .

The order parameter of the one unit is :math:`\Phi = \theta\cdot\theta_*`.  What is exact is in
:mod:`phasegrok.theory.ridge`.
"""

import math
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.compiled import kernel
from phasegrok.systems.continuous import behaviour
from phasegrok.theory.ridge import drawn


class Parameters(BaseModel):
    """Parameters of ridge regression; patterns and targets are drawn, or read from a file.

    A file has n rows of d inputs and the target, d + 1 numbers.  The teacher, along which the
    overlap is measured and to which the test loss refers, is the first input's direction.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    d: int = Field(ge=2, le=10_000, description="input dimension")
    n: int = Field(ge=1, le=1_000_000, description="patterns")
    sigma2: float = Field(gt=0.0, description="variance of the likelihood: T = 2 sigma2/n for the "
                          "mean squared error")
    noise: float = Field(0.0, ge=0.0, description="variance of the noise of the labels")
    sigma_w2: float = Field(1.0, gt=0.0, description="d times the prior variance of a weight")
    disorder_seed: int = Field(1, ge=0, description="seed of patterns and noise")

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Patterns (n, d) and targets (n,), drawn or from d + 1 columns of a file."""
        if rows is None:
            X, y = drawn(self.d, self.n, self.noise, self.disorder_seed)
            return {"patterns": X, "targets": y}
        if rows.shape != (self.n, self.d + 1):
            raise ValueError(f"the file has shape {rows.shape}, but n = {self.n} rows of "
                             f"d = {self.d} inputs and one target are needed")
        if not np.all(np.isfinite(rows)):
            raise ValueError("a number of the file is not finite")
        return {"patterns": np.array(rows[:, :-1], float), "targets": np.array(rows[:, -1], float)}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Input dimension d."""
        return self.d

    def build(self, arrays: dict[str, np.ndarray]) -> "Ridge":
        """The system on which kernels run."""
        return Ridge(self.sigma2, self.noise, math.sqrt(self.sigma_w2 / self.d),
                     np.ascontiguousarray(arrays["patterns"]),
                     np.ascontiguousarray(arrays["targets"]))


class Ridge(NamedTuple):
    """Patterns, targets and variances; ``width`` is the standard deviation of the prior."""

    sigma2: float
    noise: float
    width: float
    x: np.ndarray  # (n, d)
    y: np.ndarray  # (n,)

    @property
    def n_coordinates(self) -> int:
        """Weights."""
        return self.x.shape[1]

    @property
    def n_units(self) -> int:
        """One: the whole model."""
        return 1

    @property
    def work_size(self) -> int:
        """Weights and errors."""
        return self.x.shape[0] + self.x.shape[1]

    @property
    def series_names(self) -> tuple[str, ...]:
        """Mean squared errors, on the patterns and over all inputs and label noise; Phi."""
        return ("train_loss", "test_loss", "overlap")

    @property
    def unit_name(self) -> str:
        """Squared norm of the weights across the teacher."""
        return "s"

    def aligned(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """Weights from the prior with Phi = phi."""
        xi = rng.standard_normal(self.n_coordinates)
        xi[0] = phi / self.width
        return xi


@kernel
def _errors(system, xi, work):
    """X theta - y in ``work``, and the sum of its squares."""
    n, d = system.x.shape
    theta, error = work[:d], work[d : d + n]
    for k in range(d):
        theta[k] = system.width * xi[k]
    np.dot(system.x, theta, error)
    square = 0.0
    for m in range(n):
        error[m] -= system.y[m]
        square += error[m] ** 2
    return error, square


@behaviour(Ridge)
def gradient(system, xi, work, out):
    error, square = _errors(system, xi, work)
    np.dot(system.x.T, error, out)
    for k in range(out.shape[0]):
        out[k] *= system.width / system.sigma2
    return 0.5 * square / system.sigma2


@behaviour(Ridge)
def observe(system, xi, work, series):
    _, square = _errors(system, xi, work)
    distance = (system.width * xi[0] - 1.0) ** 2
    for k in range(1, xi.shape[0]):
        distance += (system.width * xi[k]) ** 2
    series[0] = square / system.y.shape[0]
    series[1] = distance + system.noise
    series[2] = system.width * xi[0]


@behaviour(Ridge)
def units(system, xi, work, order):
    across = 0.0
    for k in range(1, xi.shape[0]):
        across += (system.width * xi[k]) ** 2
    order[0, 0] = system.width * xi[0]
    order[0, 1] = across
