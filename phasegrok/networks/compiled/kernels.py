"""What the compiled engines of all networks share: arrays, matrix products, cross-entropy.

The cross-entropy keeps the right class apart: with delta = ln sum_{j != y} exp(l_j) - l_y the loss
is ln(1 + exp(delta)) and the gradient of l_y is -1/(1 + exp(-delta)), so that neither is lost when
the other classes fall below the rounding of one (the float32 stall of arXiv 2501.04697).  Losses
are summed in float64 at either precision.

BLAS is that of SciPy, which Numba calls.  Limit it to one thread (``single_threaded_blas``) when
replicas run in threads: the products here are too small to gain from more.
"""

import functools
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from phasegrok.compiled import IN_KERNELS, kernel
from phasegrok.networks.compiled.simd import (
    BYTES,
    add,
    exponential,
    keep_above,
    larger,
    largest_lane,
    load,
    mul,
    splat,
    store,
    sub,
    sum_of_lanes,
)

LANES = 16  # columns are padded to whole vectors of the narrower type
_FAINT = 1e-20  # a class this much below the row's strongest wrong one is lost in any rounding
_NIL = 1e-30  # gradients below this are dropped: products with them would be denormal, and slow
NEVER = -1e30  # logit of the padding columns: finite, and exp of it is zero


class Pairs(NamedTuple):
    """Inputs and labels of a data set, each (n,) int64; a ascending keeps table rows in cache."""

    a: np.ndarray
    b: np.ndarray
    labels: np.ndarray


class Patterns(NamedTuple):
    """Inputs and targets of a regression, of the network's precision."""

    x: np.ndarray  # (n, inputs padded)
    y: np.ndarray  # (n, outputs padded)
    variance: float  # of the targets, mean over the outputs, each about its mean over the set


def padded(n: int) -> int:
    """Columns of a matrix whose rows are whole vectors."""
    return -(-n // LANES) * LANES


def aligned(shape, dtype):
    """Zeros that begin on a cache line: a vector across two lines costs twice.

    One vector behind the end may be read and written too.
    """
    size = int(np.prod(shape)) * dtype.itemsize
    room = np.zeros(size + 2 * BYTES, np.uint8)
    begin = -room.ctypes.data % BYTES
    return room[begin : begin + size].view(dtype).reshape(shape)


def pairs(operands: np.ndarray, labels: np.ndarray) -> Pairs:
    """Arrays of a data set for the kernels, copies of ``(n, 2)`` operands and ``(n,)`` labels."""
    columns = np.ascontiguousarray(operands.T.astype(np.int64))
    return Pairs(columns[0], columns[1], labels.astype(np.int64))


def patterns(inputs: np.ndarray, targets: np.ndarray, dtype: np.dtype) -> Patterns:
    """The same of a regression, of ``(n, D)`` inputs and ``(n, outputs)`` targets."""
    x, y = (aligned((len(v), padded(v.shape[1])), dtype) for v in (inputs, targets))
    x[:, : inputs.shape[1]], y[:, : targets.shape[1]] = inputs, targets
    return Patterns(x, y, float(np.mean(np.var(targets.astype(float), axis=0))))


@contextmanager
def single_threaded_blas():
    """Limit every BLAS of the process, also the one that Numba calls (SciPy's), to one thread."""
    import scipy.linalg  # noqa: F401  (loads the library, so that the limit reaches it)
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


inner: Any = functools.partial(kernel, **IN_KERNELS)


@inner
def nn(x, y, out):
    """out = x y."""
    np.dot(x, y, out)


@inner
def nt(x, y, out):
    """out = x y^T."""
    np.dot(x, y.T, out)


@inner
def tn(x, y, out):
    """out = x^T y."""
    np.dot(x.T, y, out)


@inner
def add_product(x, y, part, total):
    """total += x^T y, with ``part`` to work in."""
    tn(x, y, part)
    lanes, size = BYTES // part.itemsize, part.size
    whole = size - size % lanes
    for j in range(0, whole, lanes):
        store(total, j, add(load(total, j), load(part, j)))
    for j in range(whole, size):
        total[j // total.shape[1], j % total.shape[1]] += part[j // total.shape[1],
                                                               j % total.shape[1]]


@inner
def _cross_entropy_row(logits, i, target):
    """Of one row: ln(1 + exp(delta)), its slope, and whether the right class leads.

    Leaves exp(l_j - max over the wrong classes) in the row, and returns with the slope the factor
    that turns it into the gradient of the loss.
    """
    lanes, width = BYTES // logits.itemsize, logits.shape[1]
    row = i * width
    right = logits[i, target]
    logits[i, target] = NEVER
    top, probe = load(logits, row), splat(logits, right - right)
    for j in range(0, width, lanes):
        x = load(logits, row + j)
        top = larger(x, top)
        probe = add(probe, sub(x, x))  # NaN where a logit is not finite
    highest = largest_lane(top)
    shift, total = splat(logits, highest), splat(logits, right * 0)
    for j in range(0, width, lanes):
        x = exponential(sub(load(logits, row + j), shift))
        store(logits, row + j, x)
        total = add(total, x)
    others, gap = np.float64(sum_of_lanes(total)), np.float64(right) - np.float64(highest)
    if gap >= 0.0:  # exp(delta) = others exp(-gap)
        ratio = others * np.exp(-gap)
        loss, slope = np.log1p(ratio), ratio / (1.0 + ratio)
    else:
        norm = others + np.exp(gap)
        loss, slope = np.log(norm) - gap, others / norm
    loss += np.float64(sum_of_lanes(probe))
    return loss, slope, slope / others, right > highest


@inner
def cross_entropy(data, first, n, logits, scale):
    """Loss summed over rows and number of right answers; gradient times ``scale`` in logits."""
    lanes, width = BYTES // logits.itemsize, logits.shape[1]
    total, n_right = 0.0, 0
    for i in range(n):
        target = data.labels[first + i]
        loss, slope, factor, right = _cross_entropy_row(logits, i, target)
        total += loss
        n_right += right
        if scale > 0.0:
            f = splat(logits, logits.dtype.type(factor * scale))
            floor = splat(logits, logits.dtype.type(max(_FAINT, _NIL / (factor * scale + _NIL))))
            for j in range(i * width, (i + 1) * width, lanes):
                store(logits, j, mul(f, keep_above(load(logits, j), floor)))
            logits[i, target] = -slope * scale
    return total, n_right
