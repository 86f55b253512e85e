r"""Measures of the weights of a network, each the image of one Gaussian latent xi ~ N(0, I).

A measure says which weights there are, and how likely they are before the loss is asked.  Kernels
need its map from xi to the n weights theta, and the pull-back of a gradient
:math:`g = \partial E/\partial\theta`:

``sphere``
    :math:`\theta = R\,\xi/|\xi|`, uniform on :math:`|\theta| = R`;
    :math:`\partial E/\partial\xi = (R/|\xi|)\,(g - \hat\xi\,\hat\xi\cdot g)` with
    :math:`\hat\xi = \xi/|\xi|`.  No energy depends on :math:`|\xi|`, which keeps the law of
    :math:`\chi_n`.
``spheres``
    The same of each matrix, with a radius of its own.
``box``
    :math:`\theta_i = a\,\mathrm{erf}(\xi_i/\sqrt 2)`, uniform in :math:`\pm a`;
    :math:`\partial E/\partial\xi_i = g_i\,a\sqrt{2/\pi}\,e^{-\xi_i^2/2}`.
``gaussian``
    :math:`\theta = \sigma\xi`; :math:`\partial E/\partial\xi = \sigma g`.

The temperature is not part of a measure.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from phasegrok.compiled import kernel
from phasegrok.networks.network import Network
from phasegrok.rng import fill_normal, streams
from phasegrok.systems.continuous import with_blas
from phasegrok.systems.discrete import behaviour, call
from phasegrok.systems.elementary import CHUNK, error_functions

MEASURES = ("sphere", "spheres", "box", "gaussian")
_DRAWS = 64  # initialisations whose root mean square is the norm of a network at its start


@with_blas
def weights(measure, xi, theta, room):
    """Fill ``theta`` with the weights of the latent ``xi``.

    Parameters
    ----------
    measure : Sphere, Spheres, Box or Gaussian
    xi : (n,) float64 array
    theta : (n,) array of the network's precision
    room : float64 array, of ``room_size(n)``
        Scratch, which ``pull_back`` at the same ``xi`` reads.
    """
    return call("weights", measure, xi, theta, room)


@with_blas
def pull_back(measure, xi, slope, factor, room, out):
    """Fill ``out`` with ``factor`` times the derivative by xi, after ``weights`` of the same xi.

    Parameters
    ----------
    measure : Sphere, Spheres, Box or Gaussian
    xi : (n,) float64 array
    slope : (n,) array
        Derivative by the weights.
    factor : float
    room : float64 array, as ``weights`` left it
    out : (n,) float64 array
    """
    return call("pull_back", measure, xi, slope, factor, room, out)


def room_size(n: int) -> int:
    """Numbers of scratch of ``weights`` and ``pull_back``, for n weights."""
    return n + 4 * CHUNK


# --- spheres --------------------------------------------------------------------------------------


class Sphere(NamedTuple):
    """Weights uniform on a sphere."""

    radius: float  # R

    def latent(self, theta: np.ndarray, rng: np.ndarray) -> np.ndarray:
        """A latent of the direction of ``theta``, with |xi| drawn; ValueError where it is zero."""
        return _drawn_length(theta, rng)


class Spheres(NamedTuple):
    """Each matrix uniform on a sphere of its own."""

    ends: np.ndarray  # (M,) int64, where each matrix ends in theta
    radii: np.ndarray  # (M,)

    def latent(self, theta: np.ndarray, rng: np.ndarray) -> np.ndarray:
        """As that of a sphere, matrix by matrix."""
        return np.concatenate([_drawn_length(part, rng)
                               for part in np.split(theta, self.ends[:-1])])


def _drawn_length(theta, rng):
    """The direction of ``theta``, as long as a draw of xi."""
    norm, xi = math.sqrt(np.dot(theta, theta)), np.empty(len(theta))
    if norm == 0.0:
        raise ValueError("weights that are all zero have no direction on a sphere: start from "
                         "others")
    fill_normal(rng, xi)
    return math.sqrt(np.dot(xi, xi)) / norm * theta


@kernel
def _on_sphere(radius, xi, theta):
    scale = radius / math.sqrt(np.dot(xi, xi))
    for i in range(xi.shape[0]):
        theta[i] = scale * xi[i]


@kernel
def _along_sphere(radius, xi, slope, factor, out):
    for i in range(xi.shape[0]):
        out[i] = slope[i]
    square = np.dot(xi, xi)
    radial, scale = np.dot(xi, out) / square, factor * radius / math.sqrt(square)
    for i in range(xi.shape[0]):
        out[i] = scale * (out[i] - radial * xi[i])


@behaviour(Sphere, "weights")
def _weights_on_sphere(measure, xi, theta, room):
    _on_sphere(measure.radius, xi, theta)


@behaviour(Sphere, "pull_back")
def _pull_back_to_sphere(measure, xi, slope, factor, room, out):
    _along_sphere(measure.radius, xi, slope, factor, out)


@behaviour(Spheres, "weights")
def _weights_on_spheres(measure, xi, theta, room):
    first = 0
    for k in range(measure.ends.shape[0]):
        part = slice(first, measure.ends[k])
        _on_sphere(measure.radii[k], xi[part], theta[part])
        first = measure.ends[k]


@behaviour(Spheres, "pull_back")
def _pull_back_to_spheres(measure, xi, slope, factor, room, out):
    first = 0
    for k in range(measure.ends.shape[0]):
        part = slice(first, measure.ends[k])
        _along_sphere(measure.radii[k], xi[part], slope[part], factor, out[part])
        first = measure.ends[k]


# --- box and Gaussian -----------------------------------------------------------------------------


class Box(NamedTuple):
    """Each weight uniform between -a and a."""

    half: float  # a

    def latent(self, theta: np.ndarray, rng: np.ndarray) -> np.ndarray:
        """The latent of ``theta``; ValueError where a weight does not lie inside the box."""
        if not np.all(np.abs(theta) < self.half):
            raise ValueError(f"a weight does not lie within {self.half:g}: take a larger radius")
        return math.sqrt(2.0) * special.erfinv(theta / self.half)


@behaviour(Box, "weights")
def _weights_in_box(measure, xi, theta, room):
    n = xi.shape[0]
    u, polynomials = room[n : n + CHUNK], room[n + CHUNK : n + 3 * CHUNK].reshape(2, CHUNK)
    bits, root = room[n + 3 * CHUNK : n + 4 * CHUNK].view(np.int64), math.sqrt(0.5)
    for first in range(0, n, CHUNK):
        now = min(CHUNK, n - first)
        for i in range(now):
            u[i] = root * xi[first + i]
        error_functions(u[:now], room[first : first + now], polynomials, bits)
        for i in range(now):
            theta[first + i] = measure.half * u[i]


@behaviour(Box, "pull_back")
def _pull_back_to_box(measure, xi, slope, factor, room, out):
    scale = factor * measure.half * math.sqrt(0.5)  # room holds the derivative of erf
    for i in range(xi.shape[0]):
        out[i] = scale * room[i] * slope[i]


class Gaussian(NamedTuple):
    """Independent normal weights."""

    width: float  # sigma

    def latent(self, theta: np.ndarray, rng: np.ndarray) -> np.ndarray:
        """The latent of ``theta``."""
        return theta / self.width


@behaviour(Gaussian, "weights")
def _gaussian_weights(measure, xi, theta, room):
    for i in range(xi.shape[0]):
        theta[i] = measure.width * xi[i]


@behaviour(Gaussian, "pull_back")
def _pull_back_to_gaussian(measure, xi, slope, factor, room, out):
    for i in range(xi.shape[0]):
        out[i] = factor * measure.width * slope[i]


# --- in Python ------------------------------------------------------------------------------------


@kernel
def _filled(measure, xi, theta, room):
    weights(measure, xi, theta, room)


def draw(measure: Any, n: int, rng: np.ndarray) -> np.ndarray:
    """A draw of n weights from the measure, in float64; ``rng`` is changed in place."""
    xi, theta = np.empty((2, n))
    fill_normal(rng, xi)
    _filled(measure, xi, theta, np.empty(room_size(n)))
    return theta


def initial_norms(network: Network) -> np.ndarray:
    """Root mean square norm of each matrix at the start of training, over 64 initialisations."""
    square_m = np.zeros(len(network.layout))
    for rng in streams(0, ["norm at the start"], _DRAWS):
        theta = network.initial(rng).astype(float)
        square_m += [float(np.sum(part**2)) for part in network.views(theta)]
    return np.sqrt(square_m / _DRAWS)


def measure_of(name: str, radius: float, network: Network) -> Any:
    """The measure ``name`` of the weights of a network.

    Parameters
    ----------
    name : str
        One of ``MEASURES``.
    radius : float
        Root mean square norm of the weights over R_0, that at the start of training; of each matrix
        in ``spheres``.
    network : Network

    Raises
    ------
    ValueError
        Where there is no such measure, or a matrix that starts at zero would have no radius.
    """
    if not (math.isfinite(radius) and radius > 0.0):
        raise ValueError(f"radius = {radius:g}: give a positive number, in units of the norm at "
                         "the start")
    norm_m, n = radius * initial_norms(network), network.n_parameters
    norm = float(np.sqrt(np.sum(norm_m**2)))
    if name == "sphere":
        return Sphere(norm)
    if name == "box":
        return Box(norm * math.sqrt(3.0 / n))
    if name == "gaussian":
        return Gaussian(norm / math.sqrt(n))
    if name != "spheres":
        raise ValueError(f"there is no measure {name}: one of {', '.join(MEASURES)}")
    at_zero = [key for key, norm in zip(network.layout, norm_m) if norm == 0.0]
    if at_zero:
        raise ValueError(f"{', '.join(at_zero)} starts at zero, so its sphere has no radius: take "
                         "measure = \"sphere\"")
    return Spheres(network.ends, norm_m)
