r"""Two-layer network with quadratic activation that learns addition modulo P.

Inputs are pairs (n, m) of digits, outputs p = 0..P-1, N neurons with weights u, v for the digits:

.. math:: f_p(n, m) = \sum_i a_{ip}(u_{in} + v_{im})^2,\qquad y_p(n, m) = P\delta_{p, n+m} - 1 .

Priors :math:`a \sim N(0, \sigma_a^2/N)` and :math:`u, v \sim N(0, 1/P)`; the posterior is

.. math:: -\ln P = \sum_{(n,m)}\sum_p \frac{(f_p - y_p)^2}{2\sigma^2} + \text{prior}
          + \frac{P\gamma}{6}\sum_i\sum_{k\neq 0}(\Phi_{ik}^3 + \Psi_{ik}^3) ,

the sum over all pairs or those of a training set.  :math:`\Phi_k = |\hat u_k|^2` and
:math:`\Psi_k = |\hat v_k|^2` are powers at the frequency k (unitary transform), the order parameter
of a unit; a unit is a neuron at one of the frequencies k = 1..(P-1)/2.  The sextic term keeps
specialised weights finite (Rubin, Seroussi and Ringel, arXiv 2310.03789, sec. 4).
"""

import math
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.compiled import kernel
from phasegrok.systems.continuous import behaviour

SERIES = ("train_loss", "test_loss", "residual", "test_accuracy", "outer_layer")


class Parameters(BaseModel):
    """Parameters of the two-layer network on modular addition."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    P: int = Field(ge=3, le=1009, description="modulus, odd")
    N: int = Field(ge=2, le=100_000, description="neurons")
    sigma2: float = Field(gt=0.0, description="variance of the likelihood of each output of a pair")
    sigma_a2: float = Field(gt=0.0, description="N times the prior variance of an output weight")
    gamma: float = Field(gt=0.0, description="strength of the sextic term")
    train_fraction: float = Field(1.0, gt=0.0, le=1.0, description="of the P^2 pairs")
    disorder_seed: int = Field(1, ge=0, description="seed of the training pairs")

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Training pairs (n, m), shape (M, 2)."""
        if self.P % 2 == 0:
            raise ValueError(f"P = {self.P} is even: its frequency P/2 has no phase; take an odd P")
        if rows is None:
            every = np.arange(self.P**2)
            kept = max(1, round(self.train_fraction * self.P**2))
            if kept < self.P**2:
                rng = np.random.default_rng(np.random.SeedSequence(self.disorder_seed))
                every = np.sort(rng.permutation(every)[:kept])
            rows = np.stack([every // self.P, every % self.P], axis=1).astype(float)
        if rows.ndim != 2 or rows.shape[1] != 2 or np.any(
                (rows < 0) | (rows >= self.P) | (rows != np.floor(rows))):
            raise ValueError(f"the pairs file needs two columns of digits below P = {self.P}")
        return {"pairs": rows.astype(np.int64)}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """The modulus P, in which barriers grow."""
        return self.P

    def build(self, arrays: dict[str, np.ndarray]) -> "Modular":
        """The system on which kernels run."""
        trained = np.zeros((self.P, self.P), bool)
        trained[tuple(arrays["pairs"].T)] = True
        order = np.argsort(~trained.ravel(), kind="stable")  # training pairs first
        angle = 2.0 * math.pi / self.P * np.outer(np.arange(self.P),
                                                  np.arange(1, (self.P + 1) // 2))
        waves = np.concatenate([np.cos(angle), np.sin(angle)], axis=1) / math.sqrt(self.P)
        return Modular(self.P, self.N, self.sigma2, self.gamma, math.sqrt(self.sigma_a2 / self.N),
                       1.0 / math.sqrt(self.P), int(trained.sum()), order // self.P,
                       order % self.P, np.ascontiguousarray(waves))


class Modular(NamedTuple):
    """The network; the first ``n_trained`` of all pairs (first, second) are trained on."""

    P: int
    N: int
    sigma2: float
    gamma: float
    width_a: float
    width_w: float
    n_trained: int
    first: np.ndarray
    second: np.ndarray
    waves: np.ndarray  # (P, P - 1), cosines then sines

    @property
    def n_coordinates(self) -> int:
        """Output weights (N, P), then u (N, P), v (N, P)."""
        return 3 * self.N * self.P

    @property
    def n_units(self) -> int:
        """Neurons at each frequency."""
        return self.N * (self.P - 1) // 2

    @property
    def work_size(self) -> int:
        """Weights, activities and errors of all pairs, slopes, amplitudes."""
        pairs = self.P**2
        return (self.N * self.P * 6 + 2 * self.N * pairs + self.P * pairs
                + 4 * self.N * (self.P - 1))

    @property
    def series_names(self) -> tuple[str, ...]:
        """Losses (mean squared error), residual 1 - f.y/y.y on all pairs, accuracy, N <a^2>."""
        return SERIES

    @property
    def unit_name(self) -> str:
        """Power of the other digit's weights."""
        return "Psi"

    def aligned(self, phi: float, rng: np.random.Generator) -> np.ndarray:
        """Weights that solve the task: power ``phi`` at one frequency a neuron, phases in step."""
        xi = rng.standard_normal(self.n_coordinates)
        a, u, v = xi.reshape(3, self.N, self.P)
        k = rng.integers(1, (self.P + 1) // 2, size=(self.N, 1))
        angle = rng.uniform(0.0, 2.0 * math.pi, size=(2, self.N, 1))
        wave = 2.0 * math.pi * k * np.arange(self.P) / self.P
        for row, phase in ((u, angle[0]), (v, angle[1])):
            row[:] += 2.0 * math.sqrt(phi) * np.cos(wave + phase)
        a += np.cos(wave + angle[0] + angle[1])
        return xi


@kernel
def _weights(system, xi, work):
    """a, u, v (N, P) from the latent, and the rest of the scratch."""
    size = system.N * system.P
    for k in range(size):
        work[k] = system.width_a * xi[k]
        work[size + k] = system.width_w * xi[size + k]
        work[2 * size + k] = system.width_w * xi[2 * size + k]
    shape = system.N, system.P
    return (work[:size].reshape(shape), work[size : 2 * size].reshape(shape),
            work[2 * size : 3 * size].reshape(shape), work[3 * size :])


@kernel
def _errors(system, a, u, v, room, n_pairs):
    """f - y (P, n_pairs) on the first pairs, the activities (N, n_pairs), sum of squares."""
    N, P = system.N, system.P
    phi = room[: N * n_pairs].reshape(N, n_pairs)
    error = room[N * n_pairs : (N + P) * n_pairs].reshape(P, n_pairs)
    for i in range(N):
        for k in range(n_pairs):
            total = u[i, system.first[k]] + v[i, system.second[k]]
            phi[i, k] = total * total
    np.dot(a.T, phi, error)
    square = 0.0
    for p in range(P):
        for k in range(n_pairs):
            error[p, k] += 1.0
    for k in range(n_pairs):
        error[(system.first[k] + system.second[k]) % P, k] -= P
    for p in range(P):
        for k in range(n_pairs):
            square += error[p, k] ** 2
    return phi, error, square


@kernel
def _amplitudes(system, u, v, room):
    """Cosine and sine amplitudes of u and v, each (N, P - 1)."""
    size = system.N * (system.P - 1)
    shape = system.N, system.P - 1
    hat_u, hat_v = room[:size].reshape(shape), room[size : 2 * size].reshape(shape)
    np.dot(u, system.waves, hat_u)
    np.dot(v, system.waves, hat_v)
    return hat_u, hat_v


@kernel
def _sextic(system, hat):
    """Sum of the sextic term; turns amplitudes into its slope by them."""
    half = (system.P - 1) // 2
    total = 0.0
    for i in range(system.N):
        for k in range(half):
            c, s = hat[i, k], hat[i, half + k]
            power = c * c + s * s
            total += power * power * power
            slope = 2.0 * system.P * system.gamma * power * power
            hat[i, k], hat[i, half + k] = slope * c, slope * s
    return total * system.P * system.gamma / 3.0  # frequencies k and -k


@behaviour(Modular)
def gradient(system, xi, work, out):
    N, P, M = system.N, system.P, system.n_trained
    a, u, v, room = _weights(system, xi, work)
    hat_u, hat_v = _amplitudes(system, u, v, room)
    at = 2 * N * (P - 1)
    energy = _sextic(system, hat_u) + _sextic(system, hat_v)
    slope_u = room[at : at + N * P].reshape(N, P)
    slope_v = room[at + N * P : at + 2 * N * P].reshape(N, P)
    np.dot(hat_u, system.waves.T, slope_u)
    np.dot(hat_v, system.waves.T, slope_v)
    at += 2 * N * P
    slope_a = room[at : at + N * P].reshape(N, P)
    at += N * P
    phi, error, square = _errors(system, a, u, v, room[at:], M)
    at += (N + P) * M
    pull = room[at : at + N * M].reshape(N, M)
    np.dot(phi, error.T, slope_a)
    np.dot(a, error, pull)
    beta = 1.0 / system.sigma2
    for i in range(N):
        for k in range(M):
            n, m = system.first[k], system.second[k]
            force = 2.0 * beta * pull[i, k] * (u[i, n] + v[i, m])
            slope_u[i, n] += force
            slope_v[i, m] += force
    size = N * P
    for i in range(N):
        for p in range(P):
            k = i * P + p
            out[k] = system.width_a * beta * slope_a[i, p]
            out[size + k] = system.width_w * slope_u[i, p]
            out[2 * size + k] = system.width_w * slope_v[i, p]
    return energy + 0.5 * beta * square


@behaviour(Modular)
def observe(system, xi, work, series):
    N, P, M = system.N, system.P, system.n_trained
    pairs = P * P
    a, u, v, room = _weights(system, xi, work)
    _, error, square = _errors(system, a, u, v, room, pairs)
    trained, along, right = 0.0, 0.0, 0
    for k in range(pairs):
        answer = (system.first[k] + system.second[k]) % P
        best = 0
        for p in range(P):
            if k < M:
                trained += error[p, k] ** 2
            target = P - 1.0 if p == answer else -1.0
            along += error[p, k] * target
            f_best = error[best, k] + (P if best == answer else 0.0)
            if error[p, k] + (P if p == answer else 0.0) > f_best:
                best = p
        if k >= M or pairs == M:
            right += best == answer
    others = pairs - M
    series[0] = trained / (M * P)
    series[1] = (square - trained) / (others * P) if others > 0 else series[0]
    series[2] = -along / (pairs * P * (P - 1.0))
    series[3] = right / (others if others > 0 else pairs)
    outer = 0.0
    for k in range(N * P):
        outer += xi[k] ** 2
    series[4] = outer / (N * P)


@behaviour(Modular)
def units(system, xi, work, order):
    half = (system.P - 1) // 2
    _, u, v, room = _weights(system, xi, work)
    hat_u, hat_v = _amplitudes(system, u, v, room)
    for i in range(system.N):
        for k in range(half):
            order[i * half + k, 0] = hat_u[i, k] ** 2 + hat_u[i, half + k] ** 2
            order[i * half + k, 1] = hat_v[i, k] ** 2 + hat_v[i, half + k] ** 2
