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

from typing import NamedTuple

import numpy as np

from phasegrok.compiled import kernel
from phasegrok.systems.decoder import NORM_EPSILON, ModularDecoder, positions
from phasegrok.systems.transformer_compiled import (
    BYTES,
    NEVER,
    add,
    aligned,
    cross_entropy,
    fma,
    inner,
    load,
    mul,
    nn,
    nt,
    padded,
    positive_part,
    splat,
    store,
    sub,
    sum_of_lanes,
    tn,
)

_ROWS = 256  # pairs handled at once: their 512 hidden rows stay in the second-level cache


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
    p, d, m, heads = par.p, par.d_model, par.mlp, par.heads
    most = max(len(system.labels_train), len(system.labels_test))
    rows = min(most, _ROWS)
    d_head, classes, n_x = d // heads, padded(p), 2 * p + 2

    def block(n):
        shapes = dict.fromkeys(Rows._fields, (n, d))
        shapes |= dict(rate_1=(n,), rate_2=(n,), hidden=(n, m), d_hidden=(n, m))
        return Rows(**{name: aligned(shape, dtype) for name, shape in shapes.items()})

    shapes = dict.fromkeys(("X", "Q", "K", "V", "d_X", "d_Q", "d_K", "d_V", "part_X"), (n_x, d))
    shapes |= dict(
        A_tokens=(p, 4 * heads), A_pairs=(2 * rows, 4 * heads), A_answers=(rows, 4 * heads),
        q=(heads, rows, d_head), u=(heads, rows, d), context=(heads, rows, d),
        head=(rows, d_head), d_head=(rows, d_head), d_u=(rows, d), d_context=(rows, d),
        W_U=(d, classes), logits=(rows, classes), slopes=(4,), part_O=(d, d), part_in=(d, m),
        part_out=(m, d), part_head=(d_head, d), part_U=(d, classes), d_W_U=(d, classes),
    )  # fmt: skip
    return Workspace(
        position=positions(d).astype(dtype), tokens=block(2 * p), pairs=block(2 * rows),
        answers=block(rows), **{name: aligned(shape, dtype) for name, shape in shapes.items()},
    )  # fmt: skip


# ----------------------------------------------------------------------------------------------
# Pieces: sums over stretches of flat arrays, layer norm, ReLU
# ----------------------------------------------------------------------------------------------


@inner
def _dot(x, i, y, j, n):
    """Scalar product of x[i:i+n] and y[j:j+n]."""
    lanes = BYTES // x.itemsize
    whole = n - n % lanes
    sums = splat(x, x.dtype.type(0.0))
    for k in range(0, whole, lanes):
        sums = fma(load(x, i + k), load(y, j + k), sums)
    total = sum_of_lanes(sums)
    for k in range(whole, n):
        total += x[i + k] * y[j + k]
    return total


@inner
def _add_to(factor, x, i, y, j, n):
    """y[j:j+n] += factor x[i:i+n]."""
    lanes = BYTES // x.itemsize
    whole = n - n % lanes
    f = splat(x, factor)
    for k in range(0, whole, lanes):
        store(y, j + k, fma(f, load(x, i + k), load(y, j + k)))
    for k in range(whole, n):
        y[j + k] += factor * x[i + k]


@inner
def _add_product(x, y, part, total):
    """total += x^T y, with ``part`` to work in."""
    tn(x, y, part)
    for i in range(total.shape[0]):
        for j in range(total.shape[1]):
            total[i, j] += part[i, j]


@inner
def _normalise(residual, y, x, rate, gain, bias, n):
    """Layer norm of residual + y over n rows: y <- x gain + bias, x the sum scaled to variance 1."""
    d, lanes, real = x.shape[1], BYTES // x.itemsize, x.dtype.type
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


@inner
def _normalise_backward(d_y, x, rate, gain, d_gain, d_bias, n):
    """Gradient in the sum before the norm, in place of that in its output; adds to those of norms.

    dE/dz = rate (g - mean(g) - x mean(g x)) with g = gain dE/dy, means over the components.
    """
    d, lanes, real = x.shape[1], BYTES // x.itemsize, x.dtype.type
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


@inner
def _rectify(x, gate, n):
    """x <- x where gate > 0, else 0, over n rows."""
    width, lanes = x.shape[1], BYTES // x.itemsize
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
    _add_product(at.hidden[:n], at.d_out[:n], work.part_out, g.W_out)
    nt(at.d_out[:n], w.W_out, at.d_hidden[:n])
    _rectify(at.d_hidden, at.hidden, n)
    _add_product(at.a[:n], at.d_hidden[:n], work.part_in, g.W_in)
    nt(at.d_hidden[:n], w.W_in, at.d_a[:n])
    for i in range(n):
        for j in range(at.d_a.shape[1]):
            at.d_a[i, j] += at.d_out[i, j]
    _normalise_backward(
        at.d_a, at.x_1, at.rate_1, w.gain_attention, g.gain_attention, g.bias_attention, n
    )
    _add_product(at.mixed[:n], at.d_a[:n], work.part_O, g.W_O)
    nt(at.d_a[:n], w.W_O, at.d_mixed[:n])


# ----------------------------------------------------------------------------------------------
# Attention of the first layer, from tables
# ----------------------------------------------------------------------------------------------


@inner
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


@inner
def _attend(shape, query, keys, count, tables, A, first, out, row):
    """Heads' outputs for one query and the first ``count`` of its four keys.

    ``shape`` is (heads, d / heads), ``tables`` are Q, K and V; all arrays are flat, and ``query``,
    ``keys``, ``first`` and ``row`` say where rows of Q, of K and V, of A, and of ``out`` begin.
    """
    heads, n = shape
    Q, K, V = tables
    scale = Q.dtype.type(1.0 / np.sqrt(n))
    for h in range(heads):
        o, A_h = h * n, first + 4 * h
        for t in range(count):
            A[A_h + t] = scale * _dot(Q, query + o, K, keys[t] + o, n)
        _softmax(A, A_h, count)
        out[row + o : row + o + n] = 0.0
        for t in range(count):
            _add_to(A[A_h + t], V, keys[t] + o, out, row + o, n)


@inner
def _attend_backward(shape, query, keys, count, tables, A, first, d_out, row, d_tables, slopes):
    """Adds to the gradients in Q, K and V; dE/ds_t = A_t (dE/dA_t - sum_l A_l dE/dA_l)."""
    heads, n = shape
    Q, K, V = tables
    d_Q, d_K, d_V = d_tables
    scale = Q.dtype.type(1.0 / np.sqrt(n))
    for h in range(heads):
        o, A_h = h * n, first + 4 * h
        mean = scale * 0
        for t in range(count):
            slopes[t] = _dot(d_out, row + o, V, keys[t] + o, n)
            mean += A[A_h + t] * slopes[t]
            _add_to(A[A_h + t], d_out, row + o, d_V, keys[t] + o, n)
        for t in range(count):
            slope = scale * A[A_h + t] * (slopes[t] - mean)
            _add_to(slope, K, keys[t] + o, d_Q, query + o, n)
            _add_to(slope, Q, query + o, d_K, keys[t] + o, n)


@inner
def _tokens(w, work):
    """Everything that depends on the weights and on one residue alone."""
    heads, d_head, d = w.first.W_Q.shape
    p, X, at = w.W_U.shape[1], work.X, work.tokens
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
    tables = (work.Q.reshape(-1), work.K.reshape(-1), work.V.reshape(-1))
    A, mixed = work.A_tokens.reshape(-1), at.mixed.reshape(-1)
    sign = 2 * p * d
    for a in range(p):
        for j in range(d):
            at.mixed[a, j] = work.V[a, j]  # position 0 sees itself only
            at.x_1[a, j] = X[a, j]
            at.x_1[p + a, j] = X[2 * p, j]
        keys = (a * d, sign, sign, sign)
        _attend((heads, d_head), sign, keys, 2, tables, A, 4 * heads * a, mixed, (p + a) * d)
    _layer(w.first, at, 2 * p)


@inner
def _tokens_backward(w, g, work):
    """Gradients of the first layer and of the embedding, from all that was added up."""
    heads, d_head, d = w.first.W_Q.shape
    p, at, d_X = w.W_U.shape[1], work.tokens, work.d_X
    _layer_backward(w.first, g.first, at, 2 * p, work)
    tables = (work.Q.reshape(-1), work.K.reshape(-1), work.V.reshape(-1))
    d_tables = (work.d_Q.reshape(-1), work.d_K.reshape(-1), work.d_V.reshape(-1))
    A, d_mixed = work.A_tokens.reshape(-1), at.d_mixed.reshape(-1)
    sign = 2 * p * d
    for a in range(p):
        for j in range(d):
            work.d_V[a, j] += at.d_mixed[a, j]
            d_X[a, j] += at.d_a[a, j]
            d_X[2 * p, j] += at.d_a[p + a, j]
        keys = (a * d, sign, sign, sign)
        _attend_backward((heads, d_head), sign, keys, 2, tables, A, 4 * heads * a, d_mixed,
                         (p + a) * d, d_tables, work.slopes)  # fmt: skip
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
    """total += x y, with ``part`` to work in; rows of ``total`` beyond those of x stay."""
    nn(x, y, part)
    for i in range(x.shape[0]):
        for j in range(total.shape[1]):
            total[i, j] += part[i, j]


@inner
def _pairs(w, data, first, n, work):
    """First layer at positions 2 and 3 of pairs first..first+n-1."""
    heads, d_head, d = w.first.W_Q.shape
    p, at = w.W_U.shape[1], work.pairs
    tables = (work.Q.reshape(-1), work.K.reshape(-1), work.V.reshape(-1))
    A, mixed = work.A_pairs.reshape(-1), at.mixed.reshape(-1)
    for i in range(n):
        a, b = data.a[first + i], p + data.b[first + i]
        keys = (a * d, 2 * p * d, b * d, (2 * p + 1) * d)
        for j in range(d):
            at.x_1[i, j] = work.X[b, j]
            at.x_1[n + i, j] = work.X[2 * p + 1, j]
        _attend((heads, d_head), keys[2], keys, 3, tables, A, 4 * heads * i, mixed, i * d)
        row = n + i
        _attend((heads, d_head), keys[3], keys, 4, tables, A, 4 * heads * row, mixed, row * d)
    _layer(w.first, at, 2 * n)


@inner
def _pairs_backward(w, g, data, first, n, work):
    heads, d_head, d = w.first.W_Q.shape
    p, at, d_X = w.W_U.shape[1], work.pairs, work.d_X
    _layer_backward(w.first, g.first, at, 2 * n, work)
    tables = (work.Q.reshape(-1), work.K.reshape(-1), work.V.reshape(-1))
    d_tables = (work.d_Q.reshape(-1), work.d_K.reshape(-1), work.d_V.reshape(-1))
    A, d_mixed = work.A_pairs.reshape(-1), at.d_mixed.reshape(-1)
    for i in range(n):
        a, b = data.a[first + i], p + data.b[first + i]
        keys = (a * d, 2 * p * d, b * d, (2 * p + 1) * d)
        row = n + i
        _attend_backward((heads, d_head), keys[2], keys, 3, tables, A, 4 * heads * i, d_mixed,
                         i * d, d_tables, work.slopes)  # fmt: skip
        _attend_backward((heads, d_head), keys[3], keys, 4, tables, A, 4 * heads * row, d_mixed,
                         row * d, d_tables, work.slopes)  # fmt: skip
        for j in range(d):
            d_X[b, j] += at.d_a[i, j]
            d_X[2 * p + 1, j] += at.d_a[row, j]


# ----------------------------------------------------------------------------------------------
# Second layer: the query of "=" alone
# ----------------------------------------------------------------------------------------------


@inner
def _answers(w, data, first, n, work):
    """Second layer and logits at "=" of pairs first..first+n-1."""
    heads, d_head, d = w.second.W_Q.shape
    p, at, x_3 = w.W_U.shape[1], work.answers, work.pairs.out[n : 2 * n]
    x_01, x_23 = work.tokens.out.reshape(-1), work.pairs.out.reshape(-1)
    A, scale = work.A_answers.reshape(-1), work.X.dtype.type(1.0 / np.sqrt(d_head))
    for h in range(heads):
        q, u, context = work.q[h, :n], work.u[h, :n], work.context[h, :n]
        nt(x_3, w.second.W_Q[h], q)
        for i in range(n):
            for k in range(d_head):
                q[i, k] *= scale
        nn(q, w.second.W_K[h], u)
        u_flat, context_flat = u.reshape(-1), context.reshape(-1)
        for i in range(n):
            row, o = i * d, 4 * (heads * i + h)
            at_0, at_1 = data.a[first + i] * d, (p + data.a[first + i]) * d
            at_2, at_3 = row, (n + i) * d
            A[o] = _dot(u_flat, row, x_01, at_0, d)
            A[o + 1] = _dot(u_flat, row, x_01, at_1, d)
            A[o + 2] = _dot(u_flat, row, x_23, at_2, d)
            A[o + 3] = _dot(u_flat, row, x_23, at_3, d)
            _softmax(A, o, 4)
            context_flat[row : row + d] = 0.0
            _add_to(A[o], x_01, at_0, context_flat, row, d)
            _add_to(A[o + 1], x_01, at_1, context_flat, row, d)
            _add_to(A[o + 2], x_23, at_2, context_flat, row, d)
            _add_to(A[o + 3], x_23, at_3, context_flat, row, d)
        nt(context, w.second.W_V[h], work.head[:n])
        for i in range(n):
            for k in range(d_head):
                at.mixed[i, h * d_head + k] = work.head[i, k]
    for i in range(n):
        for j in range(d):
            at.x_1[i, j] = x_3[i, j]
    _layer(w.second, at, n)
    nn(at.out[:n], work.W_U, work.logits[:n])
    for i in range(n):
        for k in range(p, work.logits.shape[1]):
            work.logits[i, k] = NEVER


@inner
def _answers_backward(w, g, data, first, n, work):
    """Gradients of the second layer and in the residual vectors, from that in the logits."""
    heads, d_head, d = w.second.W_Q.shape
    p, at, x_3 = w.W_U.shape[1], work.answers, work.pairs.out[n : 2 * n]
    _add_product(at.out[:n], work.logits[:n], work.part_U, work.d_W_U)
    nt(work.logits[:n], work.W_U, at.d_out[:n])
    _layer_backward(w.second, g.second, at, n, work)
    d_x_3 = work.pairs.d_out[n : 2 * n]
    work.pairs.d_out[:n] = 0.0
    for i in range(n):
        for j in range(d):
            d_x_3[i, j] = at.d_a[i, j]
    scale = work.X.dtype.type(1.0 / np.sqrt(d_head))
    head, d_head_rows = work.head[:n], work.d_head[:n]
    for h in range(heads):
        for i in range(n):
            for k in range(d_head):
                head[i, k] = at.d_mixed[i, h * d_head + k]
        _add_product(head, work.context[h, :n], work.part_head, g.second.W_V[h])
        nn(head, w.second.W_V[h], work.d_context[:n])
        _scores_backward(data, first, n, work, h, p)
        _add_product(work.q[h, :n], work.d_u[:n], work.part_head, g.second.W_K[h])
        nt(work.d_u[:n], w.second.W_K[h], d_head_rows)
        for i in range(n):
            for k in range(d_head):
                d_head_rows[i, k] *= scale
        _add_product(d_head_rows, x_3, work.part_head, g.second.W_Q[h])
        _add_rows(d_head_rows, w.second.W_Q[h], work.d_context[:n], d_x_3)


@inner
def _scores_backward(data, first, n, work, h, p):
    """Gradients in the residual vectors and in u of head h, from that in its mean of vectors."""
    d, heads = work.X.shape[1], work.q.shape[0]
    x_01, x_23 = work.tokens.out.reshape(-1), work.pairs.out.reshape(-1)
    d_01, d_23 = work.tokens.d_out.reshape(-1), work.pairs.d_out.reshape(-1)
    A, u = work.A_answers.reshape(-1), work.u[h, :n].reshape(-1)
    d_u, d_context = work.d_u.reshape(-1), work.d_context.reshape(-1)
    for i in range(n):
        row, o = i * d, 4 * (heads * i + h)
        at_0, at_1 = data.a[first + i] * d, (p + data.a[first + i]) * d
        at_2, at_3 = row, (n + i) * d
        A_0, A_1, A_2, A_3 = A[o], A[o + 1], A[o + 2], A[o + 3]
        s_0 = _dot(d_context, row, x_01, at_0, d)
        s_1 = _dot(d_context, row, x_01, at_1, d)
        s_2 = _dot(d_context, row, x_23, at_2, d)
        s_3 = _dot(d_context, row, x_23, at_3, d)
        mean = A_0 * s_0 + A_1 * s_1 + A_2 * s_2 + A_3 * s_3
        s_0, s_1 = A_0 * (s_0 - mean), A_1 * (s_1 - mean)
        s_2, s_3 = A_2 * (s_2 - mean), A_3 * (s_3 - mean)
        d_u[row : row + d] = 0.0
        _key_backward(A_0, s_0, d_context, u, row, x_01, d_01, at_0, d_u, d)
        _key_backward(A_1, s_1, d_context, u, row, x_01, d_01, at_1, d_u, d)
        _key_backward(A_2, s_2, d_context, u, row, x_23, d_23, at_2, d_u, d)
        _key_backward(A_3, s_3, d_context, u, row, x_23, d_23, at_3, d_u, d)


@inner
def _key_backward(weight, slope, d_context, u, row, x, d_x, at, d_u, d):
    """What one key adds: weight d_context + slope u to its own gradient, slope x to that in u."""
    _add_to(weight, d_context, row, d_x, at, d)
    _add_to(slope, u, row, d_x, at, d)
    _add_to(slope, x, at, d_u, row, d)


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
        loss, right = cross_entropy(data, first, now, work, 0.0)
        total += loss
        n_right += right
    return total / n, n_right / n


@inner
def losses_inner(w, data, work):
    """``losses`` for callers that are kernels themselves."""
    _tokens(w, work)
    return losses_from_tables(w, data, work)


@kernel
def losses(w, data, work):
    """Mean cross-entropy and accuracy of a data set.

    Parameters
    ----------
    w : Matrices
        The weights (``system.matrices(theta)``).
    data : Pairs
    work : Workspace

    Returns
    -------
    loss : float
        Mean cross-entropy in nats; NaN or infinite where a logit is.
    accuracy : float
        Share of the pairs whose right class has the largest logit.
    """
    return losses_inner(w, data, work)


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
    """``energy_and_gradient`` for callers that are kernels themselves."""
    n, rows = data.a.shape[0], work.logits.shape[0]
    _clear(g, work)
    _tokens(w, work)
    total, n_right = 0.0, 0
    for first in range(0, n, rows):
        now = min(rows, n - first)
        _pairs(w, data, first, now, work)
        _answers(w, data, first, now, work)
        loss, right = cross_entropy(data, first, now, work, 1.0 / n)
        _answers_backward(w, g, data, first, now, work)
        _pairs_backward(w, g, data, first, now, work)
        total += loss
        n_right += right
    _tokens_backward(w, g, work)
    return total / n, n_right / n


@kernel
def energy_and_gradient(w, g, data, work):
    """Energy E = mean cross-entropy of the data, and its gradient in all weights.

    Parameters
    ----------
    w : Matrices
        The weights (``system.matrices(theta)``).
    g : Matrices
        Receives the gradient.
    data : Pairs
        The training set, or a part of it.
    work : Workspace

    Returns
    -------
    energy : float
        Mean cross-entropy in nats; NaN or infinite where a logit is.
    accuracy : float
        Share of the pairs whose right class has the largest logit.
    """
    return energy_and_gradient_inner(w, g, data, work)
