r"""A particle in the potential of Mueller and Brown: three wells in the plane, and two passes.

The energy, its stationary points, averages and mean first-passage times are in
:mod:`phasegrok.theory.muller_brown`.  The order parameter is y - x: -.6 in the lower well, .5 in
the middle one and 2 in the upper one, which is the deepest.
"""

import math
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.systems.hamiltonian import behaviour
from phasegrok.theory.muller_brown import LOWEST, PASSES, TERMS, on_the_line

_LOWER_PASS, _UPPER_PASS = PASSES


class Parameters(BaseModel):
    """Parameters of the potential of Mueller and Brown."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    scale: float = Field(1.0, gt=0.0, description="of all energies")

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Quenched arrays of the system: none here."""
        return {}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """One particle."""
        return 1

    def build(self, arrays: dict[str, np.ndarray]) -> "MullerBrown":
        """The system on which kernels run."""
        return MullerBrown(self.scale, TERMS)


class MullerBrown(NamedTuple):
    """A particle at (x, y); a row of ``terms`` has A, a, b, c, X, Y."""

    scale: float
    terms: np.ndarray

    @property
    def n_coordinates(self) -> int:
        """Two."""
        return 2

    @property
    def n_sites(self) -> int:
        """One."""
        return 1

    @property
    def order_unit(self) -> float:
        """The order parameter is y - x."""
        return 1.0

    @property
    def lowest(self) -> float:
        """No energy is below."""
        return self.scale * LOWEST

    @property
    def observables(self) -> dict[str, tuple[str, str]]:
        """Shares of the wells, which the lines of constant y - x through the passes divide."""
        return {"lower_well": ("1", "share of time in the lower well, y - x < 0.08"),
                "middle_well": ("1", "share of time in the middle well"),
                "upper_well": ("1", "share of time in the upper well, y - x > 1.45")}

    def start(self, rng: np.random.Generator) -> np.ndarray:
        """The lower well."""
        return on_the_line(-0.59546164)

    def configuration(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """On the straight line through the minima of the lower and the upper well; at 1 and more
        the upper one."""
        return on_the_line(phi if phi < 1.0 else 1.99994948)

    def vectors(self, x_rn: np.ndarray) -> np.ndarray:
        """The side of the upper pass, as a spin: the overlap is whether two states share it."""
        return np.where(x_rn[:, 1:] - x_rn[:, :1] > _UPPER_PASS, 1.0, -1.0)


@behaviour(MullerBrown)
def energy_gradient(system, x, slope):
    energy = 0.0
    slope[:] = 0.0
    for k in range(system.terms.shape[0]):
        A, a, b, c, X, Y = system.terms[k]
        u, v = x[0] - X, x[1] - Y
        term = system.scale * A * math.exp(a * u * u + b * u * v + c * v * v)
        energy += term
        slope[0] += term * (2.0 * a * u + b * v)
        slope[1] += term * (b * u + 2.0 * c * v)
    return energy


@behaviour(MullerBrown)
def order_parameter(system, x):
    return x[1] - x[0]


@behaviour(MullerBrown)
def observe_coordinates(system, x, out):
    phi = x[1] - x[0]
    out[0] = 1.0 if phi < _LOWER_PASS else 0.0
    out[2] = 1.0 if phi > _UPPER_PASS else 0.0
    out[1] = 1.0 - out[0] - out[2]
