"""Particles in landscapes of closed form, whose barriers and deterministic times are known."""

import math
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.systems.hamiltonian import behaviour

_FORMS = ("polynomial", "pendulum", "morse", "hat", "himmelblau", "channels", "neck")
_ORDERS = ("x", "abs_x", "radius", "minus_square", "minus_energy")
_PLANE = ("hat", "himmelblau", "channels")


class Parameters(BaseModel):
    """Coefficients a of a landscape, and stiffnesses k_j of further coordinates, k_j y_j^2 / 2."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    form: Literal["polynomial", "pendulum", "morse", "hat", "himmelblau", "channels", "neck"] = (
        "polynomial")
    a: list[float] = Field(min_length=1, description="coefficients, see `energy_gradient`")
    further: int = Field(0, ge=0, le=1000, description="number of further coordinates")
    softest: float = Field(0.0, ge=0.0, description="smallest stiffness of these")
    stiffest: float = Field(0.0, ge=0.0, description="largest; between, equal steps in ln k")
    order: Literal["x", "abs_x", "radius", "minus_square", "minus_energy"] = "x"

    def disorder(self, rows):
        """No quenched arrays."""
        return {}

    def size(self, arrays):
        """Number of coordinates."""
        return 1 + self.further

    def build(self, arrays):
        """The system on which kernels run."""
        if self.form in _PLANE and self.further != 1:
            raise ValueError(f"{self.form} is a landscape of the plane: further = 1")
        if self.form == "neck" and self.further < 1:
            raise ValueError("a neck has further coordinates")
        if self.softest == self.stiffest:
            k = np.full(self.further, self.softest)
        else:
            k = np.geomspace(self.softest, self.stiffest, self.further)
        return Landscape(_FORMS.index(self.form), _ORDERS.index(self.order),
                         np.array(self.a + [0.0] * max(0, 5 - len(self.a))), k)


class Landscape(NamedTuple):
    """Numbers of the form and of the order parameter, coefficients, stiffnesses."""

    form: int
    order: int
    a: np.ndarray
    k: np.ndarray

    @property
    def n_coordinates(self):
        return 1 + len(self.k)

    @property
    def n_sites(self):
        return 1

    @property
    def order_unit(self):
        return 1.0

    def start(self, rng):
        """Near the origin."""
        return rng.uniform(-0.5, 0.5, self.n_coordinates)

    def configuration(self, phi, rng):
        """At x = phi or distance phi, and y = 0; or with all coordinates of one square."""
        x = np.zeros(self.n_coordinates)
        name = _ORDERS[self.order]
        if name == "minus_square":
            x[:] = math.sqrt(max(-phi, 0.0)) * (2.0 * rng.integers(0, 2, len(x)) - 1.0)
        elif name == "minus_energy":  # of a bowl, with all coordinates of one size
            k = np.append(2.0 * self.a[2], self.k)
            size = math.sqrt(2.0 * max(-phi, 0.0) / k.sum())
            x[:] = size * (2.0 * rng.integers(0, 2, len(x)) - 1.0)
        elif _FORMS[self.form] == "channels":
            x[:] = phi, -1.0
        elif _FORMS[self.form] == "himmelblau":  # between both wells on the right
            x[:] = phi, 3.584 - 0.584 * (phi + 1.848) / 3.848
        else:
            x[0] = phi
        return x

    def vectors(self, x_rn):
        """Unit vectors."""
        length = np.sqrt((x_rn**2).sum(axis=1, keepdims=True))
        return x_rn / np.where(length > 0.0, length, 1.0)


@behaviour(Landscape)
def energy_gradient(system, x, slope):
    a, k = system.a, system.k
    u = x[0]
    for j in range(1, x.shape[0]):
        slope[j] = 0.0
    if system.form == 0:  # sum_i a_i x^i + sum_j k_j y_j^2 / 2
        energy, slope[0], power = a[0], 0.0, 1.0
        for i in range(1, a.shape[0]):
            slope[0] += i * a[i] * power
            power *= u
            energy += a[i] * power
    elif system.form == 1:  # -a0 cos x - a1 x
        energy, slope[0] = -a[0] * math.cos(u) - a[1] * u, a[0] * math.sin(u) - a[1]
    elif system.form == 2:  # a0 (1 - exp(-a1 x))^2
        w = math.exp(-a[1] * u)
        energy, slope[0] = a[0] * (1.0 - w) ** 2, 2.0 * a[0] * a[1] * w * (1.0 - w)
    elif system.form == 3:  # a0 (r^2 - 1)^2 - a1 x - a2 x^2
        w = u * u + x[1] * x[1] - 1.0
        energy = a[0] * w * w - a[1] * u - a[2] * u * u
        slope[0] = 4.0 * a[0] * w * u - a[1] - 2.0 * a[2] * u
        slope[1] = 4.0 * a[0] * w * x[1]
    elif system.form == 4:  # a0 ((y^2 + x - 11)^2 + (y + x^2 - 7)^2), x across both wells
        p, q = x[1] * x[1] + u - 11.0, x[1] + u * u - 7.0
        energy = a[0] * (p * p + q * q)
        slope[0], slope[1] = a[0] * (2.0 * p + 4.0 * q * u), a[0] * (4.0 * p * x[1] + 2.0 * q)
    elif system.form == 5:  # (x^2 - 1)^2 (a0 + a1 y) + a2 (y^2 - 1)^2, a0 + a1 y kept above 0
        w, v = u * u - 1.0, x[1] * x[1] - 1.0
        t = math.tanh(x[1])
        height = a[0] + a[1] * t
        energy = w * w * height + a[2] * v * v
        slope[0] = 4.0 * w * u * height
        slope[1] = w * w * a[1] * (1.0 - t * t) + 4.0 * a[2] * v * x[1]
    else:  # a0 x^8 + (a1 + a2 exp(-(x/a3)^2)) sum_j y_j^2 / 2: no barrier in E
        w = math.exp(-((u / a[3]) ** 2))
        square = 0.0
        for j in range(1, x.shape[0]):
            square += x[j] * x[j]
            slope[j] = (a[1] + a[2] * w) * x[j]
        energy = a[0] * u**8 + 0.5 * (a[1] + a[2] * w) * square
        slope[0] = 8.0 * a[0] * u**7 - a[2] * w * u / (a[3] * a[3]) * square
    for j in range(k.shape[0]):
        energy += 0.5 * k[j] * x[j + 1] ** 2
        slope[j + 1] += k[j] * x[j + 1]
    return energy


@behaviour(Landscape)
def order_parameter(system, x):
    if system.order == 0:
        return x[0]
    if system.order == 1:
        return abs(x[0])
    square = 0.0
    if system.order == 4:
        square = 2.0 * system.a[2] * x[0] * x[0]
        for j in range(system.k.shape[0]):
            square += system.k[j] * x[j + 1] ** 2
        return -0.5 * square
    for j in range(x.shape[0]):
        square += x[j] * x[j]
    return math.sqrt(square) if system.order == 2 else -square / x.shape[0]
