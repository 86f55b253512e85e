r"""The step of :mod:`phasegrok.dynamics.ghmc` for coordinates that lie on spheres.

Velocities are tangent, noise and the gradient are projected on the tangent spaces, and the drift is
the exact flow of the kinetic energy: each vector turns by the angle |v| h/r along its great circle,

.. math:: x' = x\cos a + (r v/|v|)\sin a ,\quad v' = v\cos a - (|v| x/r)\sin a ,\quad a = |v| h/r .

Kicks and flow are reversible and keep the volume of positions and tangent velocities, so that the
Metropolis test is the same and equilibrium, e^(-E/T) times the uniform measure on the spheres, has
no error of the step (Byrne and Girolami, Scand. J. Stat. 40 (2013) 825, section 3).  With
velocities that are drawn anew at every step of length sqrt(2 dt) it is a step of

.. math:: dx = -P\nabla E\,dt + \sqrt{2T}\,P\circ dW ,\qquad P = 1 - x x^T/r^2 ,

whose drift in the sense of Ito has the term -(d - 1) T x dt/r^2 of d coordinates on a sphere.
"""

import math

import numpy as np

from phasegrok.compiled import NOT_FROM_PYTHON, kernel
from phasegrok.dynamics.ghmc import copy, kick, refresh, sum_of_squares
from phasegrok.rng import fill_noise


@kernel(allocates=False, **NOT_FROM_PYTHON)
def project(size, radius, x, u):
    """Take from ``u`` what is not tangent to the spheres at ``x``."""
    for first in range(0, x.shape[0], size):
        along = 0.0
        for k in range(first, first + size):
            along += x[k] * u[k]
        along /= radius * radius
        for k in range(first, first + size):
            u[k] -= along * x[k]


@kernel(allocates=False, **NOT_FROM_PYTHON)
def turn(h, size, radius, x, v):
    """The flow along great circles for a time ``h``; rounding takes neither x from the spheres nor
    v from their tangents."""
    for first in range(0, x.shape[0], size):
        speed = 0.0
        for k in range(first, first + size):
            speed += v[k] * v[k]
        speed = math.sqrt(speed)
        angle = h * speed / radius
        stay, sine = math.cos(angle), math.sin(angle)
        go = radius * sine / speed if speed > 0.0 else h
        back = speed * sine / radius
        square, along = 0.0, 0.0
        for k in range(first, first + size):
            x_k = stay * x[k] + go * v[k]
            v[k] = stay * v[k] - back * x[k]
            x[k] = x_k
            square += x_k * x_k
            along += x_k * v[k]
        along /= square
        scale = radius / math.sqrt(square)
        for k in range(first, first + size):
            v[k] -= along * x[k]
            x[k] *= scale


@kernel(allocates=False, **NOT_FROM_PYTHON)
def propose_on_spheres(splitting, size, radius, x, v, g, kept, noise, rng):
    """:func:`phasegrok.dynamics.ghmc.propose` on spheres, of a gradient ``g`` that is tangent."""
    fill_noise(rng, noise)
    project(size, radius, x, noise)
    copy(x, kept[0])
    copy(g, kept[1])
    refresh(splitting, v, noise)
    before = 0.5 * splitting.mass * sum_of_squares(v)
    kick(splitting, v, g)
    turn(splitting.h, size, radius, x, v)
    return before


def transported(size: int, radius: float, x_rn: np.ndarray, to_rn: np.ndarray, v_rn: np.ndarray
                ) -> np.ndarray:
    """Velocities at ``x_rn`` moved in parallel along great circles to ``to_rn``, shape (R, n).

    An isometry of the tangent spaces, whose inverse is the transport back: v less its part along
    the new x times (x + x')/(r^2 + x x').  At the opposite point v itself is tangent.
    """
    groups = (len(v_rn), v_rn.shape[1] // size, size)  # of no replicas too
    x, to, v = (a.reshape(groups) for a in (x_rn, to_rn, v_rn))
    along = (to * v).sum(axis=2, keepdims=True)
    sum_ = radius**2 + (x * to).sum(axis=2, keepdims=True)
    share = np.divide(along, sum_, out=np.zeros_like(along), where=sum_ > 1e-12 * radius**2)
    moved = v - share * (x + to)
    moved -= (to * moved).sum(axis=2, keepdims=True) / radius**2 * to
    return moved.reshape(v_rn.shape)
