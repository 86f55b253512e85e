"""Energy and gradient of the committee machine, compiled: the sums over its units are done first.

With phi(h) = c_1 h + c_2 h^2 the output and its gradient depend on the weights through two moments
(Kumar et al., arXiv 2310.06110, eq. 4), s = alpha/N the factor of the output:

    f = s (c_1 sum_i w_i . x + c_2 x^T M x),                 M = sum_i w_i w_i^T
    dE/dw_i = s (c_1 q + 2 c_2 S w_i),     q = sum_mu e_mu x_mu,     S = sum_mu e_mu x_mu x_mu^T

where e_mu = dE/df_mu.  That is 2 (P + N) D^2 products instead of the 2 P N D of the hidden layer.
"""

from typing import Any, NamedTuple

import numpy as np

from phasegrok.networks.compiled.kernels import aligned, inner, nn, padded, tn
from phasegrok.networks.compiled.mlp import NIL, copy_matrix
from phasegrok.networks.compiled.simd import BYTES, fma, load, mul, splat, store, sum_of_lanes
from phasegrok.networks.models.mlp import Committee


class Workspace(NamedTuple):
    """Scratch arrays of one calculation; one a thread.  D is the padded number of inputs."""

    inputs: int
    nil: Any  # weights and gradients below are zero, see ``mlp.py``
    linear: Any  # s c_1
    square: Any  # s c_2
    w: np.ndarray  # (N, D)
    mean: np.ndarray  # (D,) s c_1 sum_i w_i
    M: np.ndarray  # (D, D)
    rows: np.ndarray  # (P, D) x M, then e x
    q: np.ndarray  # (D,)
    S: np.ndarray  # (D, D)
    d_w: np.ndarray  # (N, D)


def workspace(system: Committee) -> Workspace:
    """Scratch arrays for the energy of ``system``; make one a thread."""
    structure, dtype = system.structure, system.dtype
    real, (inputs, units, _) = dtype.type, structure.units
    D, most = padded(inputs), max(len(system.train.targets), len(system.test.targets))
    linear, square = (real(structure.scales[-1] * c) for c in structure.polynomial)
    shapes = ((units, D), (D,), (D, D), (most, D), (D,), (D, D), (units, D))
    return Workspace(inputs, real(NIL[dtype.name]), linear, square,
                     *(aligned(shape, dtype) for shape in shapes))


@inner
def _add_row(factor, x, i, out):
    """out += factor times row i of x."""
    row, f = i * out.shape[0], splat(out, factor)
    for j in range(0, out.shape[0], BYTES // out.itemsize):
        store(out, j, fma(f, load(x, row + j), load(out, j)))


@inner
def _moments(w, work):
    weights = w.theta.reshape(work.w.shape[0], work.inputs)
    copy_matrix(work.mean.dtype.type(1.0), weights, work.w, work.nil)
    tn(work.w, work.w, work.M)
    work.mean[:] = 0.0
    for i in range(work.w.shape[0]):
        _add_row(work.linear, work.w, i, work.mean)


@inner
def _errors(data, scale, work):
    """Sum of squared errors; ``scale`` dE/df x in ``rows``."""
    n, D = data.x.shape
    lanes, real, total = BYTES // data.x.itemsize, data.x.dtype.type, 0.0
    nn(data.x, work.M, work.rows[:n])
    square = splat(work.mean, work.square)
    for i in range(n):
        f = splat(work.mean, real(0.0))
        for j in range(0, D, lanes):
            h = fma(square, load(work.rows, i * D + j), load(work.mean, j))
            f = fma(load(data.x, i * D + j), h, f)
        error = sum_of_lanes(f) - data.y[i, 0]
        total += np.float64(error) * np.float64(error)
        e = splat(work.mean, real(2.0 * scale * error))
        for j in range(0, D, lanes):
            store(work.rows, i * D + j, mul(e, load(data.x, i * D + j)))
    return total


@inner
def losses_from_tables(w, data, work):
    """Loss and order parameter with the weights whose energy was computed last with ``work``."""
    energy = _errors(data, 0.0, work) / data.x.shape[0]
    return energy, 1.0 - energy / data.variance


@inner
def losses_inner(w, data, work):
    """``networks.losses`` of this network."""
    _moments(w, work)
    return losses_from_tables(w, data, work)


@inner
def energy_and_gradient_inner(w, g, data, work):
    """``networks.energy_and_gradient`` of this network."""
    n, D = data.x.shape
    real, lanes = work.q.dtype.type, BYTES // work.q.itemsize
    _moments(w, work)
    energy = _errors(data, 1.0 / n, work) / n
    work.q[:] = 0.0
    for i in range(n):
        _add_row(real(1.0), work.rows, i, work.q)
    tn(data.x, work.rows[:n], work.S)
    nn(work.w, work.S, work.d_w)
    linear, square = splat(work.q, work.linear), splat(work.q, real(2.0) * work.square)
    for i in range(work.w.shape[0]):
        for j in range(0, D, lanes):
            d = mul(square, load(work.d_w, i * D + j))
            store(work.d_w, i * D + j, fma(linear, load(work.q, j), d))
    copy_matrix(real(1.0), work.d_w, g.theta.reshape(work.w.shape[0], work.inputs), work.nil)
    return energy, 1.0 - energy / data.variance
