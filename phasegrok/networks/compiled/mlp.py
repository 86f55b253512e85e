"""Energy and gradient of multilayer perceptrons, compiled: BLAS and explicit SIMD.

Weights are copied into padded arrays, each matrix times its factor s_l, so that every pass over
rows is one over whole vectors; the gradient comes back the same way.  With dz = dE/dz etc.

    dh_L = dE/df,    dW_l = dh_l^T z_{l-1},    db_l = sum of the rows of dh_l,
    dh_{l-1} = (dh_l W_l) phi'(h_{l-1})

On pairs the first layer adds two rows of its tables, and its gradient adds to these rows; on
patterns it is a matrix product as the others.  Which of the two follows from the type of the data.
Large sets go through in chunks of rows that stay in the second-level cache.
"""

import itertools
from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload

from phasegrok.compiled import IN_KERNELS
from phasegrok.networks.compiled.kernels import (
    NEVER,
    Pairs,
    add_product,
    aligned,
    cross_entropy,
    inner,
    nn,
    nt,
    padded,
)
from phasegrok.networks.compiled.simd import (
    BYTES,
    add,
    fma,
    hyperbolic_tangent,
    larger,
    largest_lane,
    load,
    mul,
    positive_part,
    splat,
    store,
    sub,
    sum_of_lanes,
)
from phasegrok.networks.models.mlp import MLP

CHUNK_BYTES = 1 << 20  # activities of the widest layer handled at once: they stay in the cache
NIL = {"float32": 1e-16, "float64": 1e-150}
_POLYNOMIAL, _RELU, _TANH = range(3)
_CROSS_ENTROPY, _MSE = range(2)
_ACTIVATIONS = {"polynomial": _POLYNOMIAL, "relu": _RELU, "tanh": _TANH}
_LOSSES = {"cross-entropy": _CROSS_ENTROPY, "mse": _MSE}


class Layer(NamedTuple):
    """One layer: sizes, and where its parts begin in flat arrays; rows of ``Workspace.layers``."""

    rows: int  # of the matrix; of tables both together
    columns: int
    height: int  # rows of the padded matrix
    width: int  # columns of the padded matrix
    units: int
    padded: int  # padded units
    W: int  # where the matrix is in theta
    b: int  # where the biases are in theta; -1: there are none
    weights: int  # where the padded matrix is
    biases: int  # where the padded biases are
    active: int  # where the activities of a chunk are


_ROWS, _COLUMNS, _HEIGHT, _WIDTH, _UNITS, _PADDED, _W, _B, _WEIGHTS, _BIASES, _ACTIVE = range(11)


class Workspace(NamedTuple):
    """Scratch arrays of one calculation; one a thread."""

    layers: np.ndarray  # (L, 11) int64, a ``Layer`` each
    scales: np.ndarray  # (L,) float64
    chunk: int  # patterns handled at once
    activation: int
    loss: int
    nil: Any  # weights and gradients below are zero: their squares would be denormal, and slow
    polynomial: np.ndarray  # (2,)
    mask: np.ndarray  # (outputs padded,) 1, and 0 where an output is padding
    weights: np.ndarray  # padded matrices, one after the other
    biases: np.ndarray  # padded
    active: np.ndarray  # z_1, ..., z_{L-1}, f of a chunk; then dE/df in the place of f
    slopes: np.ndarray  # phi' likewise
    d_weights: np.ndarray
    d_biases: np.ndarray
    part: np.ndarray  # gradient of one matrix by one chunk
    d_rows: np.ndarray  # (2, chunk times the widest layer) gradients in two adjacent layers


def workspace(system: MLP) -> Workspace:
    """Scratch arrays for the energy of ``system``; make one a thread."""
    structure, dtype = system.structure, system.dtype
    widest = max(padded(k) for k in structure.units[1:])
    most = max(len(system.train.targets), len(system.test.targets))
    chunk = min(most, max(64, CHUNK_BYTES // (widest * dtype.itemsize)))
    layers = _layers(system, chunk)
    last = layers[-1]
    mask = aligned((last.padded,), dtype)
    mask[: last.units] = 1.0
    sizes = (last.weights + last.height * last.width, last.biases + last.padded,
             last.active + chunk * last.padded)
    weights, biases, active, d_weights, d_biases, slopes = (
        aligned((n,), dtype) for n in 2 * sizes)
    if structure.tables:
        biases[last.biases + last.units :] = NEVER
    largest = max(layer.height * layer.width for layer in layers)
    return Workspace(
        np.array(layers, dtype=np.int64), np.array(structure.scales), chunk,
        _ACTIVATIONS[structure.activation], _LOSSES[system.loss],
        dtype.type(NIL[dtype.name]), np.array(structure.polynomial, dtype), mask, weights,
        biases, active, slopes, d_weights, d_biases, aligned((largest,), dtype),
        aligned((2, chunk * widest), dtype),
    )  # fmt: skip


def _layers(system: MLP, chunk: int) -> list[Layer]:
    layers: list[Layer] = []
    weights, biases, active = 0, 0, 0
    for k, (before, after) in enumerate(itertools.pairwise(system.structure.units), start=1):
        if k == 1 and system.structure.tables:
            name, shape, size = "U", (before, after), (before, padded(after))
        else:
            name, shape = f"W_{k}", (after, before)
            size = padded(after), padded(before)
        W, b = (system.layout.get(key, (-1,))[0] for key in (name, f"b_{k}"))
        layers.append(Layer(*shape, *size, after, padded(after), W, b, weights, biases, active))
        weights += size[0] * size[1]
        biases += padded(after)
        active += chunk * padded(after)
    return layers


# ----------------------------------------------------------------------------------------------
# Copies of the weights
# ----------------------------------------------------------------------------------------------


@inner
def _matrix(flat, begin, rows, columns):
    return flat[begin : begin + rows * columns].reshape(rows, columns)


@inner
def copy_matrix(scale, x, out, nil):
    """out = scale x where both have entries; what is below ``nil`` becomes 0."""
    zero = out.dtype.type(0.0)
    for i in range(min(x.shape[0], out.shape[0])):
        for j in range(min(x.shape[1], out.shape[1])):
            v = scale * x[i, j]
            out[i, j] = zero if abs(v) < nil else v


@inner
def _copy_in(w, work):
    """Padded copies of the weights, each matrix times its factor."""
    for k in range(work.layers.shape[0]):
        layer = work.layers[k]
        scale = work.weights.dtype.type(work.scales[k])
        matrix = _matrix(w.theta, layer[_W], layer[_ROWS], layer[_COLUMNS])
        copy = _matrix(work.weights, layer[_WEIGHTS], layer[_HEIGHT], layer[_WIDTH])
        copy_matrix(scale, matrix, copy, work.nil)
        if layer[_B] >= 0:
            for i in range(layer[_UNITS]):
                work.biases[layer[_BIASES] + i] = w.theta[layer[_B] + i]


@inner
def _copy_out(g, work):
    """The gradient in the weights from that in their padded copies."""
    for k in range(work.layers.shape[0]):
        layer = work.layers[k]
        scale = work.weights.dtype.type(work.scales[k])
        matrix = _matrix(g.theta, layer[_W], layer[_ROWS], layer[_COLUMNS])
        copy = _matrix(work.d_weights, layer[_WEIGHTS], layer[_HEIGHT], layer[_WIDTH])
        copy_matrix(scale, copy, matrix, work.nil)
        if layer[_B] >= 0:
            for i in range(layer[_UNITS]):
                g.theta[layer[_B] + i] = work.d_biases[layer[_BIASES] + i]


# ----------------------------------------------------------------------------------------------
# The first layer and the loss, on pairs and on patterns
# ----------------------------------------------------------------------------------------------


def _enter(data, first, n, work):
    """s_1 W_1 z_0 of patterns first..first+n-1, in the place of their first activities."""


def _enter_backward(data, first, n, d_z, work):
    """Adds the gradients of the first layer, from those in its activities."""


def _leave(data, work):
    """Completes the gradient of the first layer, when all chunks have been added."""


def _outcome(data, first, n, f, work, scale):
    """Sum of the losses and number of right answers; ``scale`` dE/df in the place of f."""


def _verdict(data, loss, n_right):
    """Mean loss and order parameter of a data set."""


@inner
def _enter_pairs(data, first, n, work):
    layer = work.layers[0]
    m, b_table, lanes = layer[_PADDED], layer[_HEIGHT] // 2, BYTES // work.active.itemsize
    for i in range(n):
        a = layer[_WEIGHTS] + data.a[first + i] * m
        b = layer[_WEIGHTS] + (b_table + data.b[first + i]) * m
        row = layer[_ACTIVE] + i * m
        for j in range(0, m, lanes):
            store(work.active, row + j, add(load(work.weights, a + j), load(work.weights, b + j)))


@inner
def _enter_pairs_backward(data, first, n, d_z, work):
    layer, d_weights = work.layers[0], work.d_weights
    m, b_table, lanes = layer[_PADDED], layer[_HEIGHT] // 2, BYTES // work.active.itemsize
    for i in range(n):
        a = layer[_WEIGHTS] + data.a[first + i] * m
        b = layer[_WEIGHTS] + (b_table + data.b[first + i]) * m
        row, slopes = i * m, layer[_ACTIVE] + i * m
        for j in range(0, m, lanes):
            d = mul(load(d_z, row + j), load(work.slopes, slopes + j))
            store(d_weights, a + j, add(load(d_weights, a + j), d))
            store(d_weights, b + j, add(load(d_weights, b + j), d))


@inner
def _leave_pairs(data, work):
    layer = work.layers[0]
    if layer[_B] >= 0:  # every pair has one row of the first table
        d_h = _matrix(work.d_weights, layer[_WEIGHTS], layer[_HEIGHT] // 2, layer[_PADDED])
        _add_rows(d_h, d_h.shape[0], layer, work)


@inner
def _enter_patterns(data, first, n, work):
    layer = work.layers[0]
    W = _matrix(work.weights, layer[_WEIGHTS], layer[_HEIGHT], layer[_WIDTH])
    nt(data.x[first : first + n], W, _matrix(work.active, layer[_ACTIVE], n, layer[_PADDED]))


@inner
def _enter_patterns_backward(data, first, n, d_z, work):
    layer = work.layers[0]
    if work.layers.shape[0] > 1:  # the last layer is linear
        _times_slopes(d_z, layer, work)
    if layer[_B] >= 0:
        _add_rows(d_z, n, layer, work)
    _add_gradient(d_z, data.x[first : first + n], layer, work)


@inner
def _leave_patterns(data, work):
    pass


@inner
def _square(f, i, mask, scale):
    """Sum of squares of row i, which is multiplied by ``scale``."""
    lanes, row = BYTES // f.itemsize, i * f.shape[1]
    factor, total = splat(f, f.dtype.type(scale)), splat(f, f.dtype.type(0.0))
    for j in range(0, f.shape[1], lanes):
        x = mul(load(f, row + j), load(mask, j))
        total = fma(x, x, total)
        store(f, row + j, mul(factor, x))
    return np.float64(sum_of_lanes(total))


@inner
def _outcome_pairs(data, first, n, f, work, scale):
    if work.loss == _CROSS_ENTROPY:
        return cross_entropy(data, first, n, f, scale)
    if work.loss != _MSE:
        raise ValueError("no kernel of this loss: write it in compiled/mlp.py, _outcome_pairs")
    lanes, outputs = BYTES // f.itemsize, work.layers[-1, _UNITS]
    total, n_right = 0.0, 0
    for i in range(n):
        target = data.labels[first + i]
        right = f[i, target]
        f[i, target] = NEVER
        top = load(f, i * f.shape[1])
        for j in range(0, f.shape[1], lanes):
            top = larger(load(f, i * f.shape[1] + j), top)
        n_right += right > largest_lane(top)
        f[i, target] = right - 1
        total += _square(f, i, work.mask, 2.0 * scale / outputs)
    return total / outputs, n_right


@inner
def _outcome_patterns(data, first, n, f, work, scale):
    lanes, outputs = BYTES // f.itemsize, work.layers[-1, _UNITS]
    total = 0.0
    for i in range(n):
        row, target = i * f.shape[1], (first + i) * f.shape[1]
        for j in range(0, f.shape[1], lanes):
            store(f, row + j, sub(load(f, row + j), load(data.y, target + j)))
        total += _square(f, i, work.mask, 2.0 * scale / outputs)
    return total / outputs, 0


@inner
def _verdict_pairs(data, loss, n_right):
    n = data.a.shape[0]
    return loss / n, n_right / n


@inner
def _verdict_patterns(data, loss, n_right):
    energy = loss / data.x.shape[0]
    return energy, 1.0 - energy / data.variance


@overload(_enter, strict=False, jit_options=IN_KERNELS)
def _enter_of(data, first, n, work):
    return (_enter_pairs if data.instance_class is Pairs else _enter_patterns).py_func


@overload(_enter_backward, strict=False, jit_options=IN_KERNELS)
def _enter_backward_of(data, first, n, d_z, work):
    pairs = data.instance_class is Pairs
    return (_enter_pairs_backward if pairs else _enter_patterns_backward).py_func


@overload(_leave, strict=False, jit_options=IN_KERNELS)
def _leave_of(data, work):
    return (_leave_pairs if data.instance_class is Pairs else _leave_patterns).py_func


@overload(_outcome, strict=False, jit_options=IN_KERNELS)
def _outcome_of(data, first, n, f, work, scale):
    return (_outcome_pairs if data.instance_class is Pairs else _outcome_patterns).py_func


@overload(_verdict, strict=False, jit_options=IN_KERNELS)
def _verdict_of(data, loss, n_right):
    return (_verdict_pairs if data.instance_class is Pairs else _verdict_patterns).py_func


# ----------------------------------------------------------------------------------------------
# Forward and backward
# ----------------------------------------------------------------------------------------------


@inner
def _activate(n, layer, work):
    """Biases, phi and phi' of n rows: from W z to z and the slopes."""
    active, slopes, biases = work.active, work.slopes, work.biases
    m, lanes = layer[_PADDED], BYTES // active.itemsize
    one = splat(active, active.dtype.type(1.0))
    c_1, c_2 = splat(active, work.polynomial[0]), splat(active, work.polynomial[1])
    two_c_2 = add(c_2, c_2)
    for i in range(n):
        row = layer[_ACTIVE] + i * m
        if work.activation == _TANH:
            for j in range(0, m, lanes):
                h = add(load(active, row + j), load(biases, layer[_BIASES] + j))
                y = hyperbolic_tangent(h)
                store(active, row + j, y)
                store(slopes, row + j, sub(one, mul(y, y)))
        elif work.activation == _RELU:
            for j in range(0, m, lanes):
                h = add(load(active, row + j), load(biases, layer[_BIASES] + j))
                store(active, row + j, positive_part(h, h))
                store(slopes, row + j, positive_part(one, h))
        elif work.activation == _POLYNOMIAL:
            for j in range(0, m, lanes):
                h = add(load(active, row + j), load(biases, layer[_BIASES] + j))
                store(active, row + j, mul(h, fma(c_2, h, c_1)))
                store(slopes, row + j, fma(two_c_2, h, c_1))
        else:
            raise ValueError("no kernel of this activation: write it in compiled/mlp.py, _activate")


@inner
def _forward(data, first, n, work):
    """Activities of all layers of patterns first..first+n-1; returns the outputs, with padding."""
    last = work.layers.shape[0] - 1
    _enter(data, first, n, work)
    z = _matrix(work.active, work.layers[0, _ACTIVE], n, work.layers[0, _PADDED])
    for k in range(1, last + 1):
        _activate(n, work.layers[k - 1], work)
        layer = work.layers[k]
        h = _matrix(work.active, layer[_ACTIVE], n, layer[_PADDED])
        nt(z, _matrix(work.weights, layer[_WEIGHTS], layer[_HEIGHT], layer[_WIDTH]), h)
        z = h
    lanes, begin = BYTES // z.itemsize, work.layers[last, _BIASES]
    for i in range(n):
        for j in range(0, z.shape[1], lanes):
            at = i * z.shape[1] + j
            store(z, at, add(load(z, at), load(work.biases, begin + j)))
    return z


@inner
def _add_gradient(d_h, z, layer, work):
    """Adds the gradient of the matrix of ``layer``, z its inputs."""
    size = layer[_HEIGHT], layer[_WIDTH]
    add_product(d_h, z, _matrix(work.part, 0, size[0], size[1]),
                _matrix(work.d_weights, layer[_WEIGHTS], size[0], size[1]))


@inner
def _add_rows(d_h, n, layer, work):
    """Adds the gradient of the biases of ``layer``."""
    lanes, begin = BYTES // d_h.itemsize, layer[_BIASES]
    for i in range(n):
        for j in range(0, d_h.shape[1], lanes):
            d = add(load(work.d_biases, begin + j), load(d_h, i * d_h.shape[1] + j))
            store(work.d_biases, begin + j, d)


@inner
def _times_slopes(d_z, layer, work):
    """From the gradient in z to that in h, in place."""
    for j in range(0, d_z.size, BYTES // d_z.itemsize):
        store(d_z, j, mul(load(d_z, j), load(work.slopes, layer[_ACTIVE] + j)))


@inner
def _backward(data, first, n, d_h, work):
    """Adds the gradients of all weights, from that in the outputs of n patterns."""
    last = work.layers.shape[0] - 1
    for k in range(last, 0, -1):
        layer, before = work.layers[k], work.layers[k - 1]
        if k < last:
            _times_slopes(d_h, layer, work)
        if layer[_B] >= 0:
            _add_rows(d_h, n, layer, work)
        z = _matrix(work.active, before[_ACTIVE], n, before[_PADDED])
        _add_gradient(d_h, z, layer, work)
        d_z = _matrix(work.d_rows[k % 2], 0, n, before[_PADDED])
        nn(d_h, _matrix(work.weights, layer[_WEIGHTS], layer[_HEIGHT], layer[_WIDTH]), d_z)
        d_h = d_z
    _enter_backward(data, first, n, d_h, work)


@inner
def losses_from_tables(w, data, work):
    """Loss and order parameter with the weights whose energy was computed last with ``work``."""
    n = data[0].shape[0]
    total, n_right = 0.0, 0
    for first in range(0, n, work.chunk):
        now = min(work.chunk, n - first)
        f = _forward(data, first, now, work)
        loss, right = _outcome(data, first, now, f, work, 0.0)
        total += loss
        n_right += right
    return _verdict(data, total, n_right)


@inner
def losses_inner(w, data, work):
    """``networks.losses`` of this network."""
    _copy_in(w, work)
    return losses_from_tables(w, data, work)


@inner
def energy_and_gradient_inner(w, g, data, work):
    """``networks.energy_and_gradient`` of this network."""
    n = data[0].shape[0]
    _copy_in(w, work)
    work.d_weights[:] = 0.0
    work.d_biases[:] = 0.0
    total, n_right = 0.0, 0
    for first in range(0, n, work.chunk):
        now = min(work.chunk, n - first)
        f = _forward(data, first, now, work)
        loss, right = _outcome(data, first, now, f, work, 1.0 / n)
        _backward(data, first, now, f, work)
        total += loss
        n_right += right
    _leave(data, work)
    _copy_out(g, work)
    return _verdict(data, total, n_right)
