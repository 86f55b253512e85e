r"""Lennard-Jones clusters: atoms that attract, in a soft sphere that keeps them together.

.. math:: E = \sum_{i<j} 4(r_{ij}^{-12} - r_{ij}^{-6})
          + k\sum_i \max(0, |\mathbf{r}_i - \mathbf{c}| - R)^2

in units of the depth and of the diameter of a pair.  The centre c of the sphere is a point in
space, or the centre of mass of the atoms, as in most of the literature (with a hard wall in place
of k).  With the first a cluster as a whole moves about in the room that its size leaves, which
favours compact ones: it melts at a higher temperature.  Lowest minima: -16.505384 of seven atoms, a
pentagonal bipyramid, and -44.326801 of thirteen, an icosahedron (Hoare and Pal, Adv. Phys. 20
(1971) 161; Wales and Doye, J. Phys. Chem. A 101 (1997) 5111).  The order parameter counts contacts,
:math:`\sum_{i<j} [1 + (r_{ij}/1.4)^{12}]^{-1}`.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.optimize import minimize

from phasegrok.systems import hamiltonian
from phasegrok.systems.hamiltonian import behaviour

_STIFFNESS = 50.0  # k
_SPACING = 1.12  # of the grid on which atoms begin: near the minimum of a pair
_CONTACT = 1.4
_MINIMISATIONS = 40  # from random starts, of which the lowest is the ordered state
_COHESION = 9.0  # a bulk crystal has -8.61 an atom


class Parameters(BaseModel):
    """Parameters of a Lennard-Jones cluster."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    N: int = Field(ge=2, le=150, description="atoms")
    radius: float = Field(gt=0.0, le=50.0, description="of the sphere beyond which "
                          "atoms are drawn back")
    centre: Literal["origin", "mass"] = Field(
        "origin", description="of the sphere: a point in space, or the centre of mass of the atoms")

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Quenched arrays of the system: none here."""
        return {}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Number of atoms."""
        return self.N

    def build(self, arrays: dict[str, np.ndarray]) -> "LennardJones":
        """The system on which kernels run."""
        room = len(_places(self.radius))
        if room < self.N:
            raise ValueError(f"radius = {self.radius:g}: the sphere has room for {room} atoms, not "
                             f"for {self.N}: give a larger one")
        return LennardJones(self.N, self.radius, self.centre == "mass")


def _places(radius: float) -> np.ndarray:
    """Points (., 3) of a grid inside the sphere."""
    reach = math.ceil(radius / _SPACING)
    axis = _SPACING * (np.arange(-reach, reach + 1) + 0.5)
    places = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    return places[np.linalg.norm(places, axis=1) < radius]


class LennardJones(NamedTuple):
    """Atoms at x = (x_1, y_1, z_1, x_2, ...)."""

    N: int
    radius: float
    about_mass: bool  # whether the sphere is about the centre of mass

    @property
    def n_coordinates(self) -> int:
        """Three an atom."""
        return 3 * self.N

    @property
    def n_sites(self) -> int:
        """Atoms."""
        return self.N

    @property
    def order_unit(self) -> float:
        """Pairs: the share of them in contact."""
        return 0.5 * self.N * (self.N - 1)

    @property
    def lowest(self) -> float:
        """No energy is below: every pair at its minimum, or the cohesion of a crystal."""
        return -min(0.5 * self.N * (self.N - 1), _COHESION * self.N)

    def start(self, rng: np.random.Generator) -> np.ndarray:
        """Atoms at random places of a grid in the sphere, none of which overlap."""
        chosen = rng.permutation(_places(self.radius))[: self.N]
        return (chosen + rng.uniform(-0.03, 0.03, chosen.shape)).ravel()

    def configuration(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """The lowest of some minima that are found from random starts, whatever ``phi``."""

        def energy(x):
            slope = np.empty_like(x)
            return hamiltonian.evaluated(self, x, slope), slope

        found = [minimize(energy, self.start(rng), jac=True, method="L-BFGS-B",
                          options={"maxiter": 2000}) for _ in range(_MINIMISATIONS)]
        return min(found, key=lambda result: result.fun).x

    def vectors(self, x_rn: np.ndarray) -> np.ndarray:
        """Contacts of all pairs, of length sqrt(N): the overlap is the share that two states have
        in common, wherever the cluster lies and however it is turned."""
        i, j = np.triu_indices(self.N, 1)
        r = x_rn.reshape(len(x_rn), self.N, 3)
        distance = np.linalg.norm(r[:, i] - r[:, j], axis=2)
        contact = 1.0 / (1.0 + (distance / _CONTACT) ** 12)
        length = np.linalg.norm(contact, axis=1, keepdims=True)
        return contact * math.sqrt(self.N) / np.where(length > 0.0, length, 1.0)


@behaviour(LennardJones)
def energy_gradient(system, x, slope):
    n, energy = system.N, 0.0
    for i in range(3 * n):
        slope[i] = 0.0
    X, Y, Z = 0.0, 0.0, 0.0  # centre of the sphere
    if system.about_mass:
        for i in range(n):
            X += x[3 * i] / n
            Y += x[3 * i + 1] / n
            Z += x[3 * i + 2] / n
    p, q, s = 0.0, 0.0, 0.0  # what an atom feels of the pull, as it moves the centre
    for i in range(n):
        a = 3 * i
        u, v, w = x[a] - X, x[a + 1] - Y, x[a + 2] - Z
        r = math.sqrt(u * u + v * v + w * w)
        beyond = r - system.radius
        if beyond > 0.0:
            energy += _STIFFNESS * beyond * beyond
            pull = 2.0 * _STIFFNESS * beyond / r
            slope[a] += pull * u
            slope[a + 1] += pull * v
            slope[a + 2] += pull * w
            p += pull * u / n
            q += pull * v / n
            s += pull * w / n
    if system.about_mass:
        for i in range(n):
            slope[3 * i] -= p
            slope[3 * i + 1] -= q
            slope[3 * i + 2] -= s
    for i in range(n):
        a = 3 * i
        for j in range(i):
            b = 3 * j
            u, v, w = x[a] - x[b], x[a + 1] - x[b + 1], x[a + 2] - x[b + 2]
            inverse = 1.0 / (u * u + v * v + w * w)
            six = inverse * inverse * inverse
            energy += 4.0 * six * (six - 1.0)
            push = -24.0 * six * (2.0 * six - 1.0) * inverse
            slope[a] += push * u
            slope[a + 1] += push * v
            slope[a + 2] += push * w
            slope[b] -= push * u
            slope[b + 1] -= push * v
            slope[b + 2] -= push * w
    return energy


@behaviour(LennardJones)
def order_parameter(system, x):
    contacts = 0.0
    for i in range(system.N):
        for j in range(i):
            square = 0.0
            for k in range(3):
                square += (x[3 * i + k] - x[3 * j + k]) ** 2
            contacts += 1.0 / (1.0 + (square / (_CONTACT * _CONTACT)) ** 6)
    return contacts
