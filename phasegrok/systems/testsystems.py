"""Systems whose answer is known: overdamped ones in one dimension, and a Gaussian.

Overdamped: drift, saddle, double well.

dx = f(x) dt + sqrt(2 T) dW, f(x) = c0 + c1 x + c2 x^2 + c3 x^3.  The drift f = -x reaches its event
at a time that noise does not move; the saddle f = x - x^3 started at x = 0 leaves only because of
the noise, after a time that depends on its logarithm; the double well f = x - x^3 started in a well
waits for an activated event (exact first-passage times: :mod:`phasegrok.theory.first_passage`).

Gaussian: a continuous system of independent coordinates xi with E/T = sum_k a_k xi_k^2/2, so that
their variances are 1/(1 + a_k); every coordinate is a unit with itself as order parameter.
"""

from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from phasegrok.systems.continuous import behaviour


class Parameters(BaseModel):
    """Parameters of a one-dimensional overdamped system."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    c0: float = Field(0.0, description="constant force")
    c1: float = Field(0.0, description="coefficient of x in the force, 1/time")
    c2: float = Field(0.0, description="coefficient of x^2 in the force")
    c3: float = Field(0.0, description="coefficient of x^3 in the force")
    start: float = Field(description="initial position")
    order_parameter: Literal["x", "abs_x"] = Field("x", description="what the event looks at")
    dt: float = Field(1e-3, gt=0.0, description="time step of the Euler-Maruyama scheme")

    @model_validator(mode="after")
    def _stable(self):
        slope = self.c1 + self.start * (2.0 * self.c2 + 3.0 * self.c3 * self.start)
        if self.dt * abs(slope) >= 1.0:
            raise ValueError(f"dt = {self.dt:g} is too long a step for a force of slope {slope:g} "
                             "at the start: take dt below 0.1/slope")
        return self

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Quenched arrays of the system: none here."""
        return {}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Number of coordinates: 1."""
        return 1

    def build(self, arrays: dict[str, np.ndarray]) -> "Overdamped":
        """The system on which kernels run."""
        folded = self.order_parameter == "abs_x"
        return Overdamped(self.c0, self.c1, self.c2, self.c3, self.start, folded, self.dt)


class Overdamped(NamedTuple):
    """Coefficients of the force, start, whether Phi is |x|, and the time step."""

    c0: float
    c1: float
    c2: float
    c3: float
    start: float
    folded: bool
    dt: float

    def force(self, x):
        """f(x)."""
        return self.c0 + x * (self.c1 + x * (self.c2 + x * self.c3))


class Gaussian(NamedTuple):
    """Independent Gaussian coordinates: curvatures a of E/T, shape (n,)."""

    a: np.ndarray

    @property
    def n_coordinates(self) -> int:
        """Coordinates."""
        return len(self.a)

    @property
    def n_units(self) -> int:
        """Every coordinate is one."""
        return len(self.a)

    @property
    def work_size(self) -> int:
        """No scratch is needed, but an array must have room."""
        return 1

    @property
    def series_names(self) -> tuple[str, ...]:
        """The energy E/T."""
        return ("energy",)

    @property
    def unit_name(self) -> str:
        """The square of the coordinate."""
        return "square"

    def aligned(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """All coordinates at phi."""
        return np.full(len(self.a), phi)


@behaviour(Gaussian)
def gradient(system, xi, work, out):
    energy = 0.0
    for k in range(xi.shape[0]):
        slope = system.a[k] * xi[k]
        energy += 0.5 * slope * xi[k]
        if out.shape[0] > 0:
            out[k] = slope
    return energy


@behaviour(Gaussian)
def observe(system, xi, work, series):
    series[0] = 0.0
    for k in range(xi.shape[0]):
        series[0] += 0.5 * system.a[k] * xi[k] ** 2


@behaviour(Gaussian)
def units(system, xi, work, order):
    for k in range(xi.shape[0]):
        order[k, 0] = xi[k]
        order[k, 1] = xi[k] ** 2
