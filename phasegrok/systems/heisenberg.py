r"""The classical Heisenberg model: unit vectors on a periodic chain, square or cubic lattice.

:math:`E = -J\sum_{\langle ij\rangle}\mathbf{s}_i\cdot\mathbf{s}_j`; the order parameter is the
length of the magnetisation, :math:`|\sum_i\mathbf{s}_i|`.  In three dimensions it orders at
T = 1.4429 J (Peczak, Ferrenberg and Landau, Phys. Rev. B 43 (1991) 6087; Chen, Ferrenberg and
Landau, Phys. Rev. B 48 (1993) 3249: J/T = .693035), in two at T = 0 alone; a chain has
:math:`E/N = -J(\coth(J/T) - T/J)` up to a correction that falls exponentially with N (Fisher,
Amer. J. Phys. 32 (1964) 343).
"""

import math
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.systems.hamiltonian import behaviour
from phasegrok.systems.ising import sites_ahead


class Parameters(BaseModel):
    """Parameters of the classical Heisenberg model on a periodic lattice."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    L: int = Field(ge=3, le=4096, description="linear size in sites; L = 2 would double the bonds")
    dimension: int = Field(3, ge=1, le=3, description="of the lattice")
    J: float = Field(1.0, gt=0.0, description="coupling, in units of energy")

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Quenched arrays of the system: none here."""
        return {}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Linear size L."""
        return self.L

    def build(self, arrays: dict[str, np.ndarray]) -> "Heisenberg":
        """The system on which kernels run."""
        return Heisenberg(self.J, sites_ahead(self.L, self.dimension))


class Heisenberg(NamedTuple):
    """Spins at x = (s_1x, s_1y, s_1z, s_2x, ...); ``ahead`` has the next site of each along every
    axis."""

    J: float
    ahead: np.ndarray  # (N, dimension)

    @property
    def n_coordinates(self) -> int:
        """Three a site."""
        return 3 * len(self.ahead)

    @property
    def n_sites(self) -> int:
        """Number of sites N."""
        return len(self.ahead)

    @property
    def order_unit(self) -> float:
        """N: the magnetisation a site lies in [0, 1]."""
        return float(self.n_sites)

    @property
    def lowest(self) -> float:
        """No energy is below: all spins parallel."""
        return -self.J * self.ahead.size

    def start(self, rng: np.random.Generator) -> np.ndarray:
        """Directions at random."""
        x = rng.standard_normal((self.n_sites, 3))
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).ravel()

    def configuration(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """Spins in a cap about the z axis whose mean has the length ``phi``; at 1 all are equal.

        Heights on a cap are uniform, so that their mean is in the middle.
        """
        height = 1.0 - 2.0 * (1.0 - min(max(phi, 0.0), 1.0)) * rng.uniform(size=self.n_sites)
        angle = rng.uniform(-math.pi, math.pi, self.n_sites)
        across = np.sqrt(1.0 - height**2)
        return np.stack([across * np.cos(angle), across * np.sin(angle), height], axis=1).ravel()

    def vectors(self, x_rn: np.ndarray) -> np.ndarray:
        """The spins themselves."""
        return x_rn


@behaviour(Heisenberg)
def spheres(system):
    return 3, 1.0


@behaviour(Heisenberg)
def energy_gradient(system, x, slope):
    slope[:] = 0.0
    energy = 0.0
    for i in range(system.ahead.shape[0]):
        for axis in range(system.ahead.shape[1]):
            a, b = 3 * i, 3 * system.ahead[i, axis]
            for k in range(3):
                energy -= system.J * x[a + k] * x[b + k]
                slope[a + k] -= system.J * x[b + k]
                slope[b + k] -= system.J * x[a + k]
    return energy


@behaviour(Heisenberg)
def order_parameter(system, x):
    along, across, up = 0.0, 0.0, 0.0
    for i in range(0, x.shape[0], 3):
        along += x[i]
        across += x[i + 1]
        up += x[i + 2]
    return math.sqrt(along * along + across * across + up * up)
