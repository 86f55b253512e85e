"""Two-layer erf network with a cubic teacher on n drawn patterns (see ``two_layer_population``)."""

from typing import NamedTuple

import numpy as np

from phasegrok.compiled import kernel
from phasegrok.systems.continuous import behaviour
from phasegrok.systems.elementary import CHUNK, error_functions
from phasegrok.systems.two_layer_population import (
    SERIES,
    aligned_start,
    input_weights,
    neurons,
    population_loss,
    residuals,
)


class Patterns(NamedTuple):
    """The network on n drawn patterns."""

    d: int
    N: int
    kappa: float
    epsilon: float
    width_a: float
    width_w: float
    x: np.ndarray
    y: np.ndarray

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
        """Weights, their gradient, fields of the neurons on the patterns and their slopes."""
        n = len(self.y)
        return 2 * self.N * self.d + 3 * CHUNK + max(
            2 * n * self.N + n, 2 * self.N**2 + 5 * self.N)

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


@kernel
def _fit(system, xi, work):
    """Errors f - y on the patterns, erf of the fields and its slope there, room for a gradient."""
    n, N, d = system.y.shape[0], system.N, system.d
    w, slope_w = input_weights(system, xi, work)
    at = 2 * N * d
    flat, flat_slope = work[at : at + n * N], work[at + n * N : at + 2 * n * N]
    error = work[at + 2 * n * N : at + 2 * n * N + n]
    at += 2 * n * N + n
    room = work[at : at + 2 * CHUNK].reshape(2, CHUNK)
    bits = work[at + 2 * CHUNK : at + 3 * CHUNK].view(np.int64)
    active, slope = flat.reshape(n, N), flat_slope.reshape(n, N)
    np.dot(system.x, w.T, active)
    error_functions(flat, flat_slope, room, bits)
    for m in range(n):
        total = 0.0
        for i in range(N):
            total += xi[i] * active[m, i]
        error[m] = system.width_a * total - system.y[m]
    return active, slope, error, slope_w


@behaviour(Patterns)
def gradient(system, xi, work, out):
    n, N, d = system.y.shape[0], system.N, system.d
    active, slope, error, slope_w = _fit(system, xi, work)
    scale = 1.0 / (system.kappa * n)
    for i in range(N):
        out[i] = 0.0
    loss = 0.0
    for m in range(n):
        e = error[m] * scale * system.width_a
        loss += error[m] ** 2
        for i in range(N):
            out[i] += e * active[m, i]
            slope[m, i] *= e * xi[i]
    np.dot(slope.T, system.x, slope_w)
    for i in range(N):
        for k in range(d):
            out[N + i * d + k] = system.width_w * slope_w[i, k]
    return 0.5 * scale * loss


@behaviour(Patterns)
def observe(system, xi, work, series):
    _, _, error, _ = _fit(system, xi, work)
    total = 0.0
    for m in range(error.shape[0]):
        total += error[m] ** 2
    series[0] = total / error.shape[0]
    series[1] = population_loss(system, xi, work, xi[:0])
    residuals(system, xi, series)


@behaviour(Patterns)
def units(system, xi, work, order):
    neurons(system, xi, order)
