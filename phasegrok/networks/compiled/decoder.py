"""Energy and gradient of the two-layer decoder, compiled: BLAS and explicit SIMD.

The sums are those of the plain network, but what many inputs share is computed once.  Under the
causal mask position 0 depends on a alone and so does position 1, where the sign stands; positions 2
and 3 depend on the pair.  Hence

- queries, keys and values of the first layer are tables over the 2 p + 2 vectors that can enter it:
  a residue at position 0 or 2, the sign, and "=";
- positions 0 and 1 are computed once for each residue ("tokens", 2 p rows), positions 2 and 3 once
  for each pair ("pairs", 2 n rows);
- of the second layer only the answer is read, so only "=" has a query, a ReLU layer and logits
  ("answers", n rows).  One query per input meets four keys: with u_h = W_K,h^T q_h the scores are
  u_h . x_t, and the values enter as W_V,h sum_t A_ht x_t, so that neither keys nor values of the
  2 p + 2 n vectors are formed.

The gradient is the same chain backwards: rows that share a token add up in its tables.  Large sets
go through in chunks of rows that stay in the second-level cache.
"""

import functools
from typing import NamedTuple

import numpy as np

from phasegrok.networks.compiled.kernels import (
    NEVER,
    add_product,
    aligned,
    cross_entropy,
    inner,
    nn,
    nt,
    padded,
    tn,
)
from phasegrok.networks.compiled.simd import (
    BYTES,
    add,
    fma,
    lanes_of,
    load,
    mul,
    positive_part,
    splat,
    store,
    sub,
    sum_of_lanes,
)
from phasegrok.networks.models.decoder import NORM_EPSILON, ModularDecoder, positions

ROWS = 256  # pairs handled at once: their 512 hidden rows stay in the second-level cache


class Rows(NamedTuple):
    """One layer after its attention: activations of some rows, and gradients in them."""

    mixed: np.ndarray  # (rows, d) outputs of the heads, side by side
    x_1: np.ndarray  # (rows, d) residual vector; then its sum with the attention, normalised
    rate_1: np.ndarray  # (rows,) 1 / standard deviation of that sum
    a: np.ndarray  # (rows, d) output of the first norm
    hidden: np.ndarray  # (rows, mlp)
    x_2: np.ndarray  # (rows, d) as x_1, for the second norm
    rate_2: np.ndarray  # (rows,)
    out: np.ndarray  # (rows, d) residual vector that leaves the layer
    d_out: np.ndarray  # (rows, d); after the way back that in the sum before the second norm
    d_hidden: np.ndarray  # (rows, mlp)
    d_a: np.ndarray  # (rows, d); after the way back that in the sum before the first norm
    d_mixed: np.ndarray  # (rows, d)


class Workspace(NamedTuple):
    """Scratch arrays of one calculation; one a thread.

    Rows of the tables: 0..p-1 residues at position 0, p..2p-1 residues at position 2, 2p the sign
    at position 1, 2p + 1 "=" at position 3.  ``rows`` is the number of pairs of a chunk.
    """

    position: np.ndarray  # (4, d) encoding of the positions
    rest: np.ndarray  # (lanes,) 1 where the last, incomplete vector of a head has components
    X: np.ndarray  # (2p + 2, d) residual vectors at the input
    Q: np.ndarray  # (2p + 2, d) queries of the first layer, heads side by side
    K: np.ndarray  # (2p + 2, d)
    V: np.ndarray  # (2p + 2, d)
    A_tokens: np.ndarray  # (p, 4 heads) attention weights of the sign, heads x keys
    A_pairs: np.ndarray  # (2 rows, 4 heads)
    A_answers: np.ndarray  # (rows, 4 heads)
    tokens: Rows  # 2 p rows: position 0, then position 1, of each residue
    pairs: Rows  # 2 rows rows: position 2, then position 3, of each pair
    answers: Rows  # rows rows: position 3 in the second layer
    q: np.ndarray  # (heads, rows, d / heads) scaled queries of the second layer
    u: np.ndarray  # (heads, rows, d) those queries carried back through W_K
    context: np.ndarray  # (heads, rows, d) attention's mean of the residual vectors
    head: np.ndarray  # (rows, d / heads) output of a head, or the gradient in it
    d_head: np.ndarray  # (rows, d / heads)
    d_u: np.ndarray  # (rows, d)
    d_context: np.ndarray  # (rows, d)
    W_U: np.ndarray  # (d, p padded)
    logits: np.ndarray  # (rows, p padded), then the gradient in them
    slopes: np.ndarray  # (4,) gradients in the scores of one query
    d_X: np.ndarray  # (2p + 2, d)
    d_Q: np.ndarray  # (2p + 2, d)
    d_K: np.ndarray  # (2p + 2, d)
    d_V: np.ndarray  # (2p + 2, d)
    part_X: np.ndarray  # (2p + 2, d) a summand of d_X
    part_O: np.ndarray  # (d, d) summands of gradients: of one chunk of rows
    part_in: np.ndarray  # (d, mlp)
    part_out: np.ndarray  # (mlp, d)
    part_head: np.ndarray  # (d / heads, d)
    part_U: np.ndarray  # (d, p padded)
    d_W_U: np.ndarray  # (d, p padded)


def workspace(system: ModularDecoder) -> Workspace:
    """Scratch arrays for ``energy_and_gradient`` and ``losses``; make one a thread."""
    par, dtype = system.parameters, system.dtype
    p, d, m, heads = par.elements, par.d_model, par.mlp, par.heads
    most = max(len(system.train.targets), len(system.test.targets))
    rows = min(most, ROWS)
    d_head, classes, n_x = d // heads, padded(p), 2 * p + 2

    def block(n):
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(Rows._fields, (n, d))
        shapes |= dict(rate_1=(n,), rate_2=(n,), hidden=(n, m), d_hidden=(n, m))
        return Rows(**{name: aligned(shape, dtype) for name, shape in shapes.items()})

    tables = ("X", "Q", "K", "V", "d_X", "d_Q", "d_K", "d_V", "part_X")
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(tables, (n_x, d))
    shapes |= dict(
        A_tokens=(p, 4 * heads), A_pairs=(2 * rows, 4 * heads), A_answers=(rows, 4 * heads),
        q=(heads, rows, d_head), u=(heads, rows, d), context=(heads, rows, d),
        head=(rows, d_head), d_head=(rows, d_head), d_u=(rows, d), d_context=(rows, d),
        W_U=(d, classes), logits=(rows, classes), slopes=(4,), part_O=(d, d), part_in=(d, m),
        part_out=(m, d), part_head=(d_head, d), part_U=(d, classes), d_W_U=(d, classes),
    )  # fmt: skip
    return Workspace(
        position=positions(d).astype(dtype), rest=_rest(d_head, dtype),
        tokens=block(2 * p), pairs=block(2 * rows), answers=block(rows),
        **{name: aligned(shape, dtype) for name, shape in shapes.items()},
    )  # fmt: skip


def _rest(n, dtype):
    lanes = BYTES // dtype.itemsize
    return (np.arange(lanes) < n % lanes).astype(dtype)


# ----------------------------------------------------------------------------------------------
# Pieces: sums over stretches of flat arrays, layer norm, ReLU
# ----------------------------------------------------------------------------------------------


# Called for single rows: counting references to arrays would cost more than the sums.
bare = functools.partial(inner, allocates=False)


@bare
def _dot(x, i, y, j, n, rest):
    """Scalar product of x[i:i+n] and y[j:j+n]; ``rest`` marks the components of the last vector."""
    lanes = lanes_of(x)
    whole = n - n % lanes
    sums = splat(x, x.dtype.type(0.0))
    for k in range(0, whole, lanes):
        sums = fma(load(x, i + k), load(y, j + k), sums)
    if whole < n:
        sums = fma(mul(load(rest, 0), load(x, i + whole)), load(y, j + whole), sums)
    return sum_of_lanes(sums)


@bare
def _add_to(factor, x, i, y, j, n, rest):
    """y[j:j+n] += factor x[i:i+n]; what the last vector has beyond is written as it was."""
    lanes = lanes_of(x)
    whole = n - n % lanes
    f = splat(x, factor)
    for k in range(0, whole, lanes):
        store(y, j + k, fma(f, load(x, i + k), load(y, j + k)))
    if whole < n:
        f = mul(f, load(rest, 0))
        store(y, j + whole, fma(f, load(x, i + whole), load(y, j + whole)))


@bare
def _normalise(residual, y, x, rate, gain, bias, n):
    """Layer norm of residual + y over n rows: y <- x gain + bias, x the sum at variance 1."""
    d, lanes, real = x.shape[1], lanes_of(x), x.dtype.type
    whole = d - d % lanes
    for i in range(n):
        row = i * d
        sums = splat(x, real(0.0))
        for j in range(0, whole, lanes):
            z = add(load(residual, row + j), load(y, row + j))
            store(x, row + j, z)
            sums = add(sums, z)
        total = sum_of_lanes(sums)
        for j in range(whole, d):
            x[i, j] = residual[i, j] + y[i, j]
            total += x[i, j]
        mean = real(total / d)
        centre = splat(x, mean)
        sums = splat(x, real(0.0))
        for j in range(0, whole, lanes):
            z = sub(load(x, row + j), centre)
            store(x, row + j, z)
            sums = fma(z, z, sums)
        total = sum_of_lanes(sums)
        for j in range(whole, d):
            x[i, j] -= mean
            total += x[i, j] * x[i, j]
        scale = real(1.0 / np.sqrt(total / d + NORM_EPSILON))
        rate[i] = scale
        factor = splat(x, scale)
        for j in range(0, whole, lanes):
            z = mul(factor, load(x, row + j))
            store(x, row + j, z)
            store(y, row + j, fma(z, load(gain, j), load(bias, j)))
        for j in range(whole, d):
            x[i, j] *= scale
            y[i, j] = x[i, j] * gain[j] + bias[j]


@bare
def _normalise_backward(d_y, x, rate, gain, d_gain, d_bias, n):
    """Gradient in the sum before the norm, in place of that in its output; adds to those of norms.

    dE/dz = rate (g - mean(g) - x mean(g x)) with g = gain dE/dy, means over the components.
    """
    d, lanes, real = x.shape[1], lanes_of(x), x.dtype.type
    whole = d - d % lanes
    for i in range(n):
        row = i * d
        sums = splat(x, real(0.0))
        products = sums
        for j in range(0, whole, lanes):
            y, z = load(d_y, row + j), load(x, row + j)
            store(d_gain, j, fma(y, z, load(d_gain, j)))
            store(d_bias, j, add(load(d_bias, j), y))
            y = mul(y, load(gain, j))
            sums, products = add(sums, y), fma(y, z, products)
            store(d_y, row + j, y)
        total, product = sum_of_lanes(sums), sum_of_lanes(products)
        for j in range(whole, d):
            d_gain[j] += d_y[i, j] * x[i, j]
            d_bias[j] += d_y[i, j]
            d_y[i, j] *= gain[j]
            total += d_y[i, j]
            product += d_y[i, j] * x[i, j]
        mean, slope = real(-total / d), real(-product / d)
        centre, tilt, factor = splat(x, mean), splat(x, slope), splat(x, rate[i])
        for j in range(0, whole, lanes):
            y = fma(tilt, load(x, row + j), add(load(d_y, row + j), centre))
            store(d_y, row + j, mul(factor, y))
        for j in range(whole, d):
            d_y[i, j] = rate[i] * (d_y[i, j] + mean + slope * x[i, j])


@bare
def _rectify(x, gate, n):
    """x <- x where gate > 0, else 0, over n rows."""
    width, lanes = x.shape[1], lanes_of(x)
    whole = n * width - n * width % lanes
    for j in range(0, whole, lanes):
        store(x, j, positive_part(load(x, j), load(gate, j)))
    for j in range(whole, n * width):
        if gate[j // width, j % width] <= 0.0:
            x[j // width, j % width] = 0.0


# ----------------------------------------------------------------------------------------------
# A layer after its attention
# ----------------------------------------------------------------------------------------------


@inner
def _layer(w, at, n):
    """From the outputs of the heads and the residual vectors of n rows to the layer's output."""
    nn(at.mixed[:n], w.W_O, at.a[:n])
    _normalise(at.x_1, at.a, at.x_1, at.rate_1, w.gain_attention, w.bias_attention, n)
    nn(at.a[:n], w.W_in, at.hidden[:n])
    _rectify(at.hidden, at.hidden, n)
    nn(at.hidden[:n], w.W_out, at.out[:n])
    _normalise(at.a, at.out, at.x_2, at.rate_2, w.gain_mlp, w.bias_mlp, n)


@inner
def _layer_backward(w, g, at, n, work):
    """From ``d_out`` to ``d_mixed`` and, in ``d_a``, the gradient in the residual vectors."""
    _normalise_backward(at.d_out, at.x_2, at.rate_2, w.gain_mlp, g.gain_mlp, g.bias_mlp, n)
    add_product(at.hidden[:n], at.d_out[:n], work.part_out, g.W_out)
    nt(at.d_out[:n], w.W_out, at.d_hidden[:n])
    _rectify(at.d_hidden, at.hidden, n)
    add_product(at.a[:n], at.d_hidden[:n], work.part_in, g.W_in)
    nt(at.d_hidden[:n], w.W_in, at.d_a[:n])
    for i in range(n):
        for j in range(at.d_a.shape[1]):
            at.d_a[i, j] += at.d_out[i, j]
    _normalise_backward(
        at.d_a, at.x_1, at.rate_1, w.gain_attention, g.gain_attention, g.bias_attention, n
    )
    add_product(at.mixed[:n], at.d_a[:n], work.part_O, g.W_O)
    nt(at.d_a[:n], w.W_O, at.d_mixed[:n])


# ----------------------------------------------------------------------------------------------
# Attention of the first layer, from tables
# ----------------------------------------------------------------------------------------------


@bare
def _softmax(A, first, count):
    """Scores A[first:first+count] to their attention weights."""
    top = A[first]
    for t in range(1, count):
        top = max(top, A[first + t])
    total = A[first] * 0
    for t in range(count):
        A[first + t] = np.exp(A[first + t] - top)
        total += A[first + t]
    for t in range(count):
        A[first + t] /= total


class _Attention(NamedTuple):
    """Flat arrays of the first layer's attention; rows are given by where they begin."""

    Q: np.ndarray
    K: np.ndarray
    V: np.ndarray
    d_Q: np.ndarray
    d_K: np.ndarray
    d_V: np.ndarray
    A: np.ndarray
    mixed: np.ndarray  # heads' outputs, or the gradient in them
    slopes: np.ndarray
    rest: np.ndarray


@inner
def _attention(work, A, mixed):
    return _Attention(
        work.Q.reshape(-1), work.K.reshape(-1), work.V.reshape(-1), work.d_Q.reshape(-1),
        work.d_K.reshape(-1), work.d_V.reshape(-1), A.reshape(-1), mixed.reshape(-1),
        work.slopes, work.rest,
    )  # fmt: skip


@bare
def _attend(heads, n, query, keys, count, at, first, row):
    """Heads' outputs, each of n components, for a query and the first ``count`` of four keys."""
    scale = at.Q.dtype.type(1.0 / np.sqrt(n))
    for h in range(heads):
        o, A_h = h * n, first + 4 * h
        for t in range(count):
            at.A[A_h + t] = scale * _dot(at.Q, query + o, at.K, keys[t] + o, n, at.rest)
        _softmax(at.A, A_h, count)
        for k in range(n):
            at.mixed[row + o + k] = 0.0
        for t in range(count):
            _add_to(at.A[A_h + t], at.V, keys[t] + o, at.mixed, row + o, n, at.rest)


@bare
def _attend_backward(heads, n, query, keys, count, at, first, row):
    """Adds to the gradients in Q, K and V; dE/ds_t = A_t (dE/dA_t - sum_l A_l dE/dA_l)."""
    scale = at.Q.dtype.type(1.0 / np.sqrt(n))
    for h in range(heads):
        o, A_h = h * n, first + 4 * h
        mean = scale * 0
        for t in range(count):
            at.slopes[t] = _dot(at.mixed, row + o, at.V, keys[t] + o, n, at.rest)
            mean += at.A[A_h + t] * at.slopes[t]
            _add_to(at.A[A_h + t], at.mixed, row + o, at.d_V, keys[t] + o, n, at.rest)
        for t in range(count):
            slope = scale * at.A[A_h + t] * (at.slopes[t] - mean)
            _add_to(slope, at.K, keys[t] + o, at.d_Q, query + o, n, at.rest)
            _add_to(slope, at.Q, query + o, at.d_K, keys[t] + o, n, at.rest)


@bare
def _token_rows(heads, p, X, V, mixed, x_1, at):
    d = X.shape[1]
    sign = 2 * p * d
    for a in range(p):
        for j in range(d):
            mixed[a, j] = V[a, j]  # position 0 sees itself only
            x_1[a, j] = X[a, j]
            x_1[p + a, j] = X[2 * p, j]
        keys = (a * d, sign, sign, sign)
        _attend(heads, d // heads, sign, keys, 2, at, 4 * heads * a, (p + a) * d)


@bare
def _token_rows_backward(heads, p, d_X, d_V, d_mixed, d_a, at):
    d = d_X.shape[1]
    sign = 2 * p * d
    for a in range(p):
        for j in range(d):
            d_V[a, j] += d_mixed[a, j]
            d_X[a, j] += d_a[a, j]
            d_X[2 * p, j] += d_a[p + a, j]
        keys = (a * d, sign, sign, sign)
        _attend_backward(heads, d // heads, sign, keys, 2, at, 4 * heads * a, (p + a) * d)


@bare
def _pair_rows(heads, p, data, first, n, X, x_1, at):
    d = X.shape[1]
    for i in range(n):
        b, row = p + data.b[first + i], n + i
        keys = (data.a[first + i] * d, 2 * p * d, b * d, (2 * p + 1) * d)
        for j in range(d):
            x_1[i, j] = X[b, j]
            x_1[row, j] = X[2 * p + 1, j]
        _attend(heads, d // heads, keys[2], keys, 3, at, 4 * heads * i, i * d)
        _attend(heads, d // heads, keys[3], keys, 4, at, 4 * heads * row, row * d)


@bare
def _pair_rows_backward(heads, p, data, first, n, d_X, d_a, at):
    d = d_X.shape[1]
    for i in range(n):
        b, row = p + data.b[first + i], n + i
        keys = (data.a[first + i] * d, 2 * p * d, b * d, (2 * p + 1) * d)
        _attend_backward(heads, d // heads, keys[2], keys, 3, at, 4 * heads * i, i * d)
        _attend_backward(heads, d // heads, keys[3], keys, 4, at, 4 * heads * row, row * d)
        for j in range(d):
            d_X[b, j] += d_a[i, j]
            d_X[2 * p + 1, j] += d_a[row, j]


@inner
def _tokens(w, work):
    """Everything that depends on the weights and on one residue alone."""
    heads, _, d = w.first.W_Q.shape
    p, X, rows = w.W_U.shape[1], work.X, work.tokens
    for t in range(p):
        for j in range(d):
            X[t, j] = w.W_E[t, j] + work.position[0, j]
            X[p + t, j] = w.W_E[t, j] + work.position[2, j]
    for j in range(d):
        X[2 * p, j] = w.W_E[p, j] + work.position[1, j]
        X[2 * p + 1, j] = w.W_E[p + 1, j] + work.position[3, j]
        for k in range(p):
            work.W_U[j, k] = w.W_U[j, k]
    nt(X, w.first.W_Q.reshape(d, d), work.Q)
    nt(X, w.first.W_K.reshape(d, d), work.K)
    nt(X, w.first.W_V.reshape(d, d), work.V)
    at = _attention(work, work.A_tokens, rows.mixed)
    _token_rows(heads, p, X, work.V, rows.mixed, rows.x_1, at)
    _layer(w.first, rows, 2 * p)


@inner
def _tokens_backward(w, g, work):
    """Gradients of the first layer and of the embedding, from all that was added up."""
    heads, _, d = w.first.W_Q.shape
    p, rows, d_X = w.W_U.shape[1], work.tokens, work.d_X
    _layer_backward(w.first, g.first, rows, 2 * p, work)
    at = _attention(work, work.A_tokens, rows.d_mixed)
    _token_rows_backward(heads, p, d_X, work.d_V, rows.d_mixed, rows.d_a, at)
    tn(work.d_Q, work.X, g.first.W_Q.reshape(d, d))
    tn(work.d_K, work.X, g.first.W_K.reshape(d, d))
    tn(work.d_V, work.X, g.first.W_V.reshape(d, d))
    _add_rows(work.d_Q, w.first.W_Q.reshape(d, d), work.part_X, d_X)
    _add_rows(work.d_K, w.first.W_K.reshape(d, d), work.part_X, d_X)
    _add_rows(work.d_V, w.first.W_V.reshape(d, d), work.part_X, d_X)
    for j in range(d):
        for t in range(p):
            g.W_E[t, j] = d_X[t, j] + d_X[p + t, j]
        g.W_E[p, j] = d_X[2 * p, j]
        g.W_E[p + 1, j] = d_X[2 * p + 1, j]
        for k in range(p):
            g.W_U[j, k] = work.d_W_U[j, k]


@inner
def _add_rows(x, y, part, total):
    """total += x y, with ``part`` to work in."""
    nn(x, y, part)
    for i in range(total.shape[0]):
        for j in range(total.shape[1]):
            total[i, j] += part[i, j]


@inner
def _pairs(w, data, first, n, work):
    """First layer at positions 2 and 3 of pairs first..first+n-1."""
    heads, p, rows = w.first.W_Q.shape[0], w.W_U.shape[1], work.pairs
    at = _attention(work, work.A_pairs, rows.mixed)
    _pair_rows(heads, p, data, first, n, work.X, rows.x_1, at)
    _layer(w.first, rows, 2 * n)


@inner
def _pairs_backward(w, g, data, first, n, work):
    heads, p, rows = w.first.W_Q.shape[0], w.W_U.shape[1], work.pairs
    _layer_backward(w.first, g.first, rows, 2 * n, work)
    at = _attention(work, work.A_pairs, rows.d_mixed)
    _pair_rows_backward(heads, p, data, first, n, work.d_X, rows.d_a, at)


# ----------------------------------------------------------------------------------------------
# Second layer: the query of "=" alone
# ----------------------------------------------------------------------------------------------


class _Context(NamedTuple):
    """Flat arrays of one head of the second layer; x of positions 0 and 1, and of 2 and 3."""

    x_01: np.ndarray
    x_23: np.ndarray
    d_01: np.ndarray
    d_23: np.ndarray
    A: np.ndarray
    u: np.ndarray
    context: np.ndarray
    d_u: np.ndarray
    d_context: np.ndarray


@inner
def _context(work, h):
    return _Context(
        work.tokens.out.reshape(-1), work.pairs.out.reshape(-1), work.tokens.d_out.reshape(-1),
        work.pairs.d_out.reshape(-1), work.A_answers.reshape(-1), work.u[h].reshape(-1),
        work.context[h].reshape(-1), work.d_u.reshape(-1), work.d_context.reshape(-1),
    )  # fmt: skip


@bare
def _four_dots(v, row, c, at, d):
    """Scalar products of v[row:row+d] with the residual vectors of the four positions."""
    lanes = lanes_of(v)
    whole = d - d % lanes
    s_0 = splat(v, v.dtype.type(0.0))
    s_1, s_2, s_3 = s_0, s_0, s_0
    for j in range(0, whole, lanes):
        y = load(v, row + j)
        s_0 = fma(y, load(c.x_01, at[0] + j), s_0)
        s_1 = fma(y, load(c.x_01, at[1] + j), s_1)
        s_2 = fma(y, load(c.x_23, at[2] + j), s_2)
        s_3 = fma(y, load(c.x_23, at[3] + j), s_3)
    t_0, t_1, t_2, t_3 = sum_of_lanes(s_0), sum_of_lanes(s_1), sum_of_lanes(s_2), sum_of_lanes(s_3)
    for j in range(whole, d):
        t_0 += v[row + j] * c.x_01[at[0] + j]
        t_1 += v[row + j] * c.x_01[at[1] + j]
        t_2 += v[row + j] * c.x_23[at[2] + j]
        t_3 += v[row + j] * c.x_23[at[3] + j]
    return t_0, t_1, t_2, t_3


@bare
def _combine(f_0, f_1, f_2, f_3, c, at, out, row, d):
    """out[row:row+d] = sum of the four residual vectors with these factors."""
    lanes = lanes_of(out)
    whole = d - d % lanes
    v_0, v_1, v_2, v_3 = splat(out, f_0), splat(out, f_1), splat(out, f_2), splat(out, f_3)
    for j in range(0, whole, lanes):
        y = fma(v_1, load(c.x_01, at[1] + j), mul(v_0, load(c.x_01, at[0] + j)))
        y = fma(v_2, load(c.x_23, at[2] + j), y)
        store(out, row + j, fma(v_3, load(c.x_23, at[3] + j), y))
    for j in range(whole, d):
        y_01 = f_0 * c.x_01[at[0] + j] + f_1 * c.x_01[at[1] + j]
        out[row + j] = y_01 + f_2 * c.x_23[at[2] + j] + f_3 * c.x_23[at[3] + j]


@bare
def _add_both(weight, slope, c, row, d_x, at, d):
    """d_x[at:at+d] += weight d_context + slope u, what one key receives."""
    lanes = lanes_of(d_x)
    whole = d - d % lanes
    v, w = splat(d_x, weight), splat(d_x, slope)
    for j in range(0, whole, lanes):
        y = fma(v, load(c.d_context, row + j), load(d_x, at + j))
        store(d_x, at + j, fma(w, load(c.u, row + j), y))
    for j in range(whole, d):
        d_x[at + j] += weight * c.d_context[row + j] + slope * c.u[row + j]


@bare
def _context_rows(heads, h, p, d, data, first, n, c):
    """Attention weights of head h, and its mean of the residual vectors, of n rows."""
    A = c.A
    for i in range(n):
        row, o = i * d, 4 * (heads * i + h)
        at = (data.a[first + i] * d, (p + data.a[first + i]) * d, row, (n + i) * d)
        A[o], A[o + 1], A[o + 2], A[o + 3] = _four_dots(c.u, row, c, at, d)
        _softmax(A, o, 4)
        _combine(A[o], A[o + 1], A[o + 2], A[o + 3], c, at, c.context, row, d)


@bare
def _context_rows_backward(heads, h, p, d, data, first, n, c):
    """Gradients in the residual vectors and in u of head h, from that in its mean of vectors."""
    for i in range(n):
        row, o = i * d, 4 * (heads * i + h)
        at = (data.a[first + i] * d, (p + data.a[first + i]) * d, row, (n + i) * d)
        A_0, A_1, A_2, A_3 = c.A[o], c.A[o + 1], c.A[o + 2], c.A[o + 3]
        s_0, s_1, s_2, s_3 = _four_dots(c.d_context, row, c, at, d)
        mean = A_0 * s_0 + A_1 * s_1 + A_2 * s_2 + A_3 * s_3
        s_0, s_1 = A_0 * (s_0 - mean), A_1 * (s_1 - mean)
        s_2, s_3 = A_2 * (s_2 - mean), A_3 * (s_3 - mean)
        _combine(s_0, s_1, s_2, s_3, c, at, c.d_u, row, d)
        _add_both(A_0, s_0, c, row, c.d_01, at[0], d)
        _add_both(A_1, s_1, c, row, c.d_01, at[1], d)
        _add_both(A_2, s_2, c, row, c.d_23, at[2], d)
        _add_both(A_3, s_3, c, row, c.d_23, at[3], d)


@bare
def _scale(x, factor):
    for i in range(x.shape[0]):
        for k in range(x.shape[1]):
            x[i, k] *= factor


@inner
def _answers(w, data, first, n, work):
    """Second layer and logits at "=" of pairs first..first+n-1."""
    heads, d_head, d = w.second.W_Q.shape
    p, rows, x_3 = w.W_U.shape[1], work.answers, work.pairs.out[n : 2 * n]
    for h in range(heads):
        q, u, context = work.q[h, :n], work.u[h, :n], work.context[h, :n]
        nt(x_3, w.second.W_Q[h], q)
        _scale(q, work.X.dtype.type(1.0 / np.sqrt(d_head)))
        nn(q, w.second.W_K[h], u)
        _context_rows(heads, h, p, d, data, first, n, _context(work, h))
        nt(context, w.second.W_V[h], work.head[:n])
        for i in range(n):
            for k in range(d_head):
                rows.mixed[i, h * d_head + k] = work.head[i, k]
    for i in range(n):
        for j in range(d):
            rows.x_1[i, j] = x_3[i, j]
    _layer(w.second, rows, n)
    nn(rows.out[:n], work.W_U, work.logits[:n])
    for i in range(n):
        for k in range(p, work.logits.shape[1]):
            work.logits[i, k] = NEVER


@inner
def _answers_backward(w, g, data, first, n, work):
    """Gradients of the second layer and in the residual vectors, from that in the logits."""
    heads, d_head, d = w.second.W_Q.shape
    p, rows, x_3 = w.W_U.shape[1], work.answers, work.pairs.out[n : 2 * n]
    add_product(rows.out[:n], work.logits[:n], work.part_U, work.d_W_U)
    nt(work.logits[:n], work.W_U, rows.d_out[:n])
    _layer_backward(w.second, g.second, rows, n, work)
    d_x_3 = work.pairs.d_out[n : 2 * n]
    for i in range(n):
        for j in range(d):
            work.pairs.d_out[i, j] = 0.0
            d_x_3[i, j] = rows.d_a[i, j]
    head, d_q = work.head[:n], work.d_head[:n]
    for h in range(heads):
        for i in range(n):
            for k in range(d_head):
                head[i, k] = rows.d_mixed[i, h * d_head + k]
        add_product(head, work.context[h, :n], work.part_head, g.second.W_V[h])
        nn(head, w.second.W_V[h], work.d_context[:n])
        _context_rows_backward(heads, h, p, d, data, first, n, _context(work, h))
        add_product(work.q[h, :n], work.d_u[:n], work.part_head, g.second.W_K[h])
        nt(work.d_u[:n], w.second.W_K[h], d_q)
        _scale(d_q, work.X.dtype.type(1.0 / np.sqrt(d_head)))
        add_product(d_q, x_3, work.part_head, g.second.W_Q[h])
        _add_rows(d_q, w.second.W_Q[h], work.d_context[:n], d_x_3)


# ----------------------------------------------------------------------------------------------
# The energy
# ----------------------------------------------------------------------------------------------


@inner
def losses_from_tables(w, data, work):
    """Loss and accuracy with the weights whose energy was computed last with this workspace."""
    n, rows = data.a.shape[0], work.logits.shape[0]
    total, n_right = 0.0, 0
    for first in range(0, n, rows):
        now = min(rows, n - first)
        _pairs(w, data, first, now, work)
        _answers(w, data, first, now, work)
        loss, right = cross_entropy(data, first, now, work.logits, 0.0)
        total += loss
        n_right += right
    return total / n, n_right / n


@inner
def losses_inner(w, data, work):
    """``networks.losses`` of this network."""
    _tokens(w, work)
    return losses_from_tables(w, data, work)


@inner
def _clear(g, work):
    """Zero what is added up over chunks of rows."""
    for layer in (g.first, g.second):
        layer.W_Q[:] = 0.0
        layer.W_K[:] = 0.0
        layer.W_V[:] = 0.0
        layer.W_O[:] = 0.0
        layer.gain_attention[:] = 0.0
        layer.bias_attention[:] = 0.0
        layer.W_in[:] = 0.0
        layer.W_out[:] = 0.0
        layer.gain_mlp[:] = 0.0
        layer.bias_mlp[:] = 0.0
    work.d_W_U[:] = 0.0
    work.tokens.d_out[:] = 0.0
    work.d_X[:] = 0.0
    work.d_Q[:] = 0.0
    work.d_K[:] = 0.0
    work.d_V[:] = 0.0


@inner
def energy_and_gradient_inner(w, g, data, work):
    """``networks.energy_and_gradient`` of this network: E is the mean cross-entropy."""
    n, rows = data.a.shape[0], work.logits.shape[0]
    _clear(g, work)
    _tokens(w, work)
    total, n_right = 0.0, 0
    for first in range(0, n, rows):
        now = min(rows, n - first)
        _pairs(w, data, first, now, work)
        _answers(w, data, first, now, work)
        loss, right = cross_entropy(data, first, now, work.logits, 1.0 / n)
        _answers_backward(w, g, data, first, now, work)
        _pairs_backward(w, g, data, first, now, work)
        total += loss
        n_right += right
    _tokens_backward(w, g, work)
    return total / n, n_right / n
