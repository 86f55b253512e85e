r"""Scalar fields with a double well at each site, on a periodic lattice or by themselves.

.. math:: E = \sum_i \lambda(\phi_i^2 - 1)^2 - h\sum_i\phi_i
          + \tfrac{K}{2}\sum_{\langle ij\rangle}(\phi_i - \phi_j)^2 ,

the :math:`\phi^4` field in units of its minima; K = 0 is N independent wells, whose barrier is
:math:`\lambda` each.  The order parameter is :math:`\sum_i\phi_i`.
"""

from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.systems.hamiltonian import behaviour
from phasegrok.systems.ising import sites_ahead


class Parameters(BaseModel):
    """Parameters of a scalar field with double wells."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    L: int = Field(ge=1, le=4096, description="linear size in sites; 1 or 2: without coupling")
    dimension: int = Field(2, ge=1, le=3, description="of the lattice")
    barrier: float = Field(1.0, gt=0.0, description="lambda, height of the barrier of a site")
    K: float = Field(0.0, ge=0.0, description="stiffness of the bonds")
    h: float = Field(0.0, description="field")

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Quenched arrays of the system: none here."""
        return {}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Linear size L."""
        return self.L

    def build(self, arrays: dict[str, np.ndarray]) -> "Phi4":
        """The system on which kernels run."""
        if self.K > 0.0 and self.L < 3:
            raise ValueError(f"L = {self.L}: a lattice with couplings K has L = 3 or more")
        n = self.L**self.dimension
        coupled = self.K > 0.0
        ahead = sites_ahead(self.L, self.dimension) if coupled else np.zeros((n, 0), dtype=np.int64)
        return Phi4(self.barrier, self.K, self.h, ahead)


class Phi4(NamedTuple):
    """Fields; ``ahead`` has the next site of each along every axis, or none."""

    barrier: float
    K: float
    h: float
    ahead: np.ndarray  # (N, dimension) or (N, 0)

    @property
    def n_coordinates(self) -> int:
        """A field a site."""
        return len(self.ahead)

    @property
    def n_sites(self) -> int:
        """Number of sites N."""
        return len(self.ahead)

    @property
    def order_unit(self) -> float:
        """N: the mean field."""
        return float(self.n_sites)

    @property
    def lowest(self) -> float:
        """No energy is below: every site in the deeper well, or lower by no more than the field
        can draw it, -lambda min (x^2 - 1)^2 - |h| x."""
        x = np.linspace(0.0, 2.0 + abs(self.h) / self.barrier, 20_001)
        well = self.barrier * (x * x - 1.0) ** 2 - abs(self.h) * x
        return self.n_sites * (float(well.min()) - 1e-6 * self.barrier)

    def start(self, rng: np.random.Generator) -> np.ndarray:
        """Each site in one of its wells, at random."""
        return rng.choice([-1.0, 1.0], self.n_sites)

    def configuration(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """The same field everywhere."""
        return np.full(self.n_sites, float(phi))

    def vectors(self, x_rn: np.ndarray) -> np.ndarray:
        """Fields over their root mean square: the overlap is their correlation."""
        square = np.mean(x_rn**2, axis=1, keepdims=True)
        return x_rn / np.sqrt(np.where(square > 0.0, square, 1.0))


@behaviour(Phi4)
def energy_gradient(system, x, slope):
    energy = 0.0
    for i in range(x.shape[0]):
        well = x[i] * x[i] - 1.0
        energy += system.barrier * well * well - system.h * x[i]
        slope[i] = 4.0 * system.barrier * well * x[i] - system.h
    for i in range(x.shape[0]):
        for axis in range(system.ahead.shape[1]):
            k = system.ahead[i, axis]
            difference = x[i] - x[k]
            energy += 0.5 * system.K * difference * difference
            slope[i] += system.K * difference
            slope[k] -= system.K * difference
    return energy


@behaviour(Phi4)
def order_parameter(system, x):
    total = 0.0
    for i in range(x.shape[0]):
        total += x[i]
    return total
