r"""Two-layer erf network that learns a cubic polynomial of one direction.

Student :math:`f(x) = \sum_i a_i\,\mathrm{erf}(w_i\cdot x)` with N neurons, inputs x ~ N(0, I_d);
teacher :math:`y = z + \epsilon(z^3 - 3z)` of z, the first input.  Priors
:math:`a \sim N(0, \sigma_a^2/N)`, :math:`w \sim N(0, \sigma_w^2/d)`.  The order parameter of a
neuron is :math:`\Phi_i = w_i\cdot w_*`, its first weight (Rubin, Seroussi and Ringel, arXiv
2310.03789).

``inputs = "drawn"``: n patterns and the energy :math:`E/T = \sum_\mu (f_\mu - y_\mu)^2/2\sigma^2`.
``inputs = "population"``: the limit of the equivalent kernel, in which no patterns are drawn and
:math:`E/T = L/2\kappa` with :math:`\kappa = \sigma^2/n` and the exact mean over all inputs

.. math:: L = \tfrac{2}{\pi}\sum_{ij} a_i a_j \arcsin\frac{2 w_i\cdot w_j}{\sqrt{A_i A_j}}
          - 2\sum_i a_i t_i + 1 + 6\epsilon^2 ,\qquad A_i = 1 + 2|w_i|^2 ,

.. math:: t_i = \tfrac{2}{\sqrt\pi}\Phi_i A_i^{-1/2}
          - \tfrac{4\epsilon}{\sqrt\pi}\Phi_i^3 A_i^{-3/2} .
"""

import math
from typing import NamedTuple

import numpy as np

from phasegrok.compiled import kernel
from phasegrok.systems.continuous import behaviour
from phasegrok.systems.elementary import CHUNK, TWO_OVER_ROOT_PI, arcsines

SERIES = ("train_loss", "test_loss", "residual_1", "residual_3", "outer_layer")


class Population(NamedTuple):
    """The network in the limit of the equivalent kernel; widths are those of the priors."""

    d: int
    N: int
    kappa: float
    epsilon: float
    width_a: float
    width_w: float

    @property
    def n_coordinates(self) -> int:
        """Output weights, then input weights."""
        return self.N * (1 + self.d)

    @property
    def n_units(self) -> int:
        """Neurons."""
        return self.N

    @property
    def work_size(self) -> int:
        """Weights, their gradient, two matrices of neurons, five rows, scratch."""
        return 2 * self.N * self.d + 2 * self.N**2 + 5 * self.N + 2 * CHUNK

    @property
    def series_names(self) -> tuple[str, ...]:
        """Losses (mean squared error), y - f on He_1 and He_3, and N <a^2>/sigma_a^2."""
        return SERIES

    @property
    def unit_name(self) -> str:
        """Squared norm of the weights across the teacher."""
        return "s"

    def aligned(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """Weights from the prior with Phi = +-phi; output weights that have the sign of Phi."""
        return aligned_start(self, phi, rng)


def aligned_start(system, phi, rng) -> np.ndarray:
    """Latent from the prior with Phi = +-phi and output weights that have the sign of Phi."""
    xi = rng.standard_normal(system.n_coordinates)
    w = xi[system.N:].reshape(system.N, system.d)
    w[:, 0] = np.sign(w[:, 0]) * phi / system.width_w
    xi[: system.N] = np.abs(xi[: system.N]) * np.sign(w[:, 0])
    return xi


@kernel
def input_weights(system, xi, work):
    """Input weights (N, d) in ``work`` from the latent, and room for their gradient."""
    size = system.N * system.d
    w, slope = work[:size], work[size : 2 * size]
    for k in range(size):
        w[k] = system.width_w * xi[system.N + k]
    return w.reshape(system.N, system.d), slope.reshape(system.N, system.d)


@kernel
def population_loss(system, xi, work, out):
    """Mean squared error over all inputs; fills ``out`` with its slope by xi if it has room."""
    N, d = system.N, system.d
    w, slope_w = input_weights(system, xi, work)
    at = 2 * N * d
    gram = work[at : at + N * N].reshape(N, N)
    pull = work[at + N * N : at + 2 * N * N].reshape(N, N)
    at += 2 * N * N
    a, norm, angle = work[at : at + N], work[at + N : at + 2 * N], work[at + 2 * N : at + 3 * N]
    scaled, across = work[at + 3 * N : at + 4 * N], work[at + 4 * N : at + 5 * N]
    room = work[at + 5 * N : at + 5 * N + 2 * CHUNK].reshape(2, CHUNK)
    np.dot(w, w.T, gram)
    for i in range(N):
        norm[i] = 1.0 / math.sqrt(1.0 + 2.0 * gram[i, i])
        a[i] = system.width_a * xi[i]
        scaled[i] = a[i] * norm[i]
    loss = 1.0 + 6.0 * system.epsilon**2
    wants = out.shape[0] > 0
    for i in range(N):
        row, weight = gram[i], pull[i]
        two = 2.0 * norm[i]
        for j in range(N):
            row[j] *= two * norm[j]
        if wants:
            turned = 0.0
            for j in range(N):
                weight[j] = 1.0 / math.sqrt(1.0 - row[j] * row[j])
            for j in range(N):
                turned += a[j] * row[j] * weight[j]
                weight[j] *= scaled[i] * scaled[j]
            across[i] = a[i] * turned
    arcsines(work[2 * N * d : 2 * N * d + N * N], room)
    for i in range(N):
        total = 0.0
        for j in range(N):
            total += a[j] * gram[i, j]
        angle[i] = total
    if wants:
        np.dot(pull, w, slope_w)
    for i in range(N):
        q = norm[i] * norm[i]
        phi = w[i, 0]
        target = TWO_OVER_ROOT_PI * norm[i] * phi * (1.0 - 2.0 * system.epsilon * phi * phi * q)
        mean = 2.0 / math.pi * angle[i]
        loss += a[i] * (mean - 2.0 * target)
        if wants:
            out[i] = system.width_a * 2.0 * (mean - target)
            by_phi = TWO_OVER_ROOT_PI * norm[i] * (1.0 - 6.0 * system.epsilon * phi * phi * q)
            by_norm = -TWO_OVER_ROOT_PI * norm[i] * 2.0 * phi * q * (
                1.0 - 6.0 * system.epsilon * phi * phi * q)
            own = -8.0 / math.pi * across[i] * q - 2.0 * a[i] * by_norm
            first = N + i * d
            for k in range(d):
                out[first + k] = system.width_w * (
                    8.0 / math.pi * slope_w[i, k] + own * w[i, k])
            out[first] -= system.width_w * 2.0 * a[i] * by_phi
    return loss


@kernel
def residuals(system, xi, series):
    """y - f on He_1 and He_3 in closed form, and the size of the outer layer."""
    one, three, outer = 1.0, system.epsilon, 0.0
    for i in range(system.N):
        first = system.N + i * system.d
        square = 0.0
        for k in range(system.d):
            square += xi[first + k] ** 2
        phi = system.width_w * xi[first]
        x = phi / math.sqrt(1.0 + 2.0 * system.width_w**2 * square)
        a = system.width_a * xi[i]
        one -= a * TWO_OVER_ROOT_PI * x
        three += a * TWO_OVER_ROOT_PI * x**3 / 3.0
        outer += xi[i] ** 2
    series[2], series[3], series[4] = one, three, outer / system.N


@kernel
def neurons(system, xi, order):
    """Phi and |w_perp|^2 of every neuron."""
    for i in range(system.N):
        first = system.N + i * system.d
        square = 0.0
        for k in range(1, system.d):
            square += xi[first + k] ** 2
        order[i, 0] = system.width_w * xi[first]
        order[i, 1] = system.width_w**2 * square


@behaviour(Population)
def gradient(system, xi, work, out):
    loss = population_loss(system, xi, work, out)
    scale = 0.5 / system.kappa
    for k in range(out.shape[0]):
        out[k] *= scale
    return scale * loss


@behaviour(Population)
def observe(system, xi, work, series):
    series[0] = population_loss(system, xi, work, xi[:0])
    series[1] = series[0]
    residuals(system, xi, series)


@behaviour(Population)
def units(system, xi, work, order):
    neurons(system, xi, order)
