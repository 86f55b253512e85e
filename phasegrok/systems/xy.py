r"""The XY model: planar spins on a periodic chain, square or simple cubic lattice.

:math:`E = -J\sum_{\langle ij\rangle}\cos(\theta_i - \theta_j)`; the order parameter is the length
of the magnetisation, :math:`|\sum_i (\cos\theta_i, \sin\theta_i)|`.  In two dimensions there is no
order but a Kosterlitz-Thouless transition at T = .8929 J (Hasenbusch, J. Phys. A 38 (2005) 5869); a
chain has :math:`E/N = -J I_1(J/T)/I_0(J/T)` up to a correction that falls exponentially with N.

The helicity modulus, the stiffness against a twist of the boundaries along an axis, is

.. math:: Y = \frac{J}{N}\langle C_\mu\rangle - \frac{J^2}{NT}\langle S_\mu^2\rangle ,\qquad
          C_\mu = \sum_i\cos(\theta_i - \theta_{i+\mu}),\;
          S_\mu = \sum_i\sin(\theta_i - \theta_{i+\mu})

(Teitel and Jayaprakash, Phys. Rev. B 27 (1983) 598), here the mean over the axes
:math:`\mu`; in two dimensions it falls from :math:`2T/\pi` to zero at the transition (Nelson and
Kosterlitz, Phys. Rev. Lett. 39 (1977) 1201).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.systems.hamiltonian import behaviour
from phasegrok.systems.ising import sites_ahead


class Parameters(BaseModel):
    """Parameters of the XY model on a periodic lattice."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    L: int = Field(ge=3, le=4096, description="linear size in sites; L = 2 would double the bonds")
    dimension: int = Field(2, ge=1, le=3, description="of the lattice")
    J: float = Field(1.0, gt=0.0, description="coupling, in units of energy")

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Quenched arrays of the system: none here."""
        return {}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Linear size L."""
        return self.L

    def build(self, arrays: dict[str, np.ndarray]) -> "XY":
        """The system on which kernels run."""
        return XY(self.J, sites_ahead(self.L, self.dimension))


class XY(NamedTuple):
    """Angles; ``ahead`` has the next site of each along every axis."""

    J: float
    ahead: np.ndarray  # (N, dimension)

    @property
    def n_coordinates(self) -> int:
        """An angle a site."""
        return len(self.ahead)

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

    @property
    def observables(self) -> dict[str, tuple[str, str]]:
        """Both parts of the helicity modulus."""
        return {"bond_energy": ("energy", "mean over bonds of J cos(theta_i - theta_j)"),
                "current_squared": ("energy^2", "mean over axes of J^2 S^2/N, S = sum over the "
                                    "bonds along an axis of sin(theta_i - theta_j)")}

    @property
    def derived(self) -> dict[str, tuple[str, str, Callable]]:
        """The stiffness against a twist."""
        return {"helicity_modulus": ("energy", "helicity modulus, mean over axes", lambda T, mean:
                                     mean["bond_energy"] - mean["current_squared"] / T)}

    def start(self, rng: np.random.Generator) -> np.ndarray:
        """Angles at random."""
        return rng.uniform(-math.pi, math.pi, self.n_sites)

    def configuration(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """Angles on an arc whose mean spin has the length ``phi``; at 1 all are equal."""
        half = 0.0  # of the arc: sin(half)/half = phi, by bisection
        low, high = 0.0, math.pi
        for _ in range(60):
            half = 0.5 * (low + high)
            low, high = (half, high) if math.sin(half) > phi * half else (low, half)
        return rng.uniform(-1.0, 1.0, self.n_sites) * (half if phi < 1.0 else 0.0)

    def vectors(self, x_rn: np.ndarray) -> np.ndarray:
        """Spins (cos, sin): the overlap is the mean cosine of the difference."""
        return np.concatenate([np.cos(x_rn), np.sin(x_rn)], axis=1)


@behaviour(XY)
def energy_gradient(system, x, slope):
    slope[:] = 0.0
    energy = 0.0
    for i in range(x.shape[0]):
        for axis in range(system.ahead.shape[1]):
            k = system.ahead[i, axis]
            difference = x[i] - x[k]
            energy -= system.J * math.cos(difference)
            force = system.J * math.sin(difference)
            slope[i] += force
            slope[k] -= force
    return energy


@behaviour(XY)
def order_parameter(system, x):
    along, across = 0.0, 0.0
    for i in range(x.shape[0]):
        along += math.cos(x[i])
        across += math.sin(x[i])
    return math.sqrt(along * along + across * across)


@behaviour(XY)
def observe_coordinates(system, x, out):
    n, axes = system.ahead.shape
    out[:] = 0.0
    for axis in range(axes):
        current = 0.0
        for i in range(n):
            difference = x[i] - x[system.ahead[i, axis]]
            out[0] += system.J * math.cos(difference)
            current += system.J * math.sin(difference)
        out[1] += current * current
    out[0] /= n * axes
    out[1] /= n * axes
