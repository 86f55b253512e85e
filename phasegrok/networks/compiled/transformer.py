"""Energy and gradient of the one-layer transformer, compiled: BLAS and explicit SIMD.

Only the last position is read, and its query is the same for every input, so that attention is
known from tables over the p residues.  With x_2 the residual vector of "=", v_{k,t,h} the value
vector of residue t at position k in head h, and R = [W_in | W_U],

    c   = x_2 + sum_h v_{2,h} W_O,h                       (what does not depend on the input)
    T_k = (v_{k,t,h} - v_{2,h}) W_O,h R                   (tables, (2p, heads, mlp + p))
    Y_i = c R + [b_in | b_out W_U] + sum_h A_{0ih} T_0[a_i, h] + A_{1ih} T_1[b_i, h]

is at once the input of the ReLU layer and the part of the logits that passes by it, where A are the
attention weights (A_2 = 1 - A_0 - A_1).  With W_f = W_out W_U the logits are
Y[mlp:] + relu(Y[:mlp]) W_f.  The only matrix products with as many rows as there are training pairs
are that one and its two transposes; everything else costs p rows or is a pass over 2 heads rows of
a table.  The gradient is the same chain backwards (gradient of the tables by scattering).
"""

from typing import NamedTuple

import numpy as np

from phasegrok.networks.compiled.kernels import (
    LANES,
    NEVER,
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
    load,
    positive_part,
    splat,
    store,
    sum_of_lanes,
)
from phasegrok.networks.models.transformer import ModularTransformer

# ----------------------------------------------------------------------------------------------
# Arrays of a calculation
# ----------------------------------------------------------------------------------------------

_CHUNK_BYTES = 1 << 20  # hidden activations handled at once: they stay in the second-level cache
_SAFE_SCORE = 600.0  # exp of a difference of scores below this is a float64


class Workspace(NamedTuple):
    """Scratch arrays of one calculation; one a thread.

    n_t = 2 p rows are residues at the first and at the second position, row 2 p is "=";
    w = columns of the tables: the padded hidden units, then the padded classes.
    """

    X: np.ndarray  # (2p + 1, d) residual vectors at the input
    V: np.ndarray  # (2p + 1, d) values, heads side by side
    scores: np.ndarray  # (2p + 1, heads) query . key / sqrt(d_head)
    boltzmann: np.ndarray  # (2p + 1, heads) float64, exp(score - score of "=")
    q: np.ndarray  # (d,) query of "=", heads side by side
    u: np.ndarray  # (heads, d) the query carried back through W_K
    c: np.ndarray  # (d,) residual vector that all inputs share
    R: np.ndarray  # (d, w) [W_in | W_U], padded
    W_U: np.ndarray  # (d, p padded)
    G: np.ndarray  # (d, w) W_O R
    V_h: np.ndarray  # (heads, 2p, d_head) values less that of "="
    T: np.ndarray  # (heads, 2p, w) tables
    base: np.ndarray  # (w,) what all inputs share
    W_f: np.ndarray  # (mlp padded, p padded) W_out W_U
    A: np.ndarray  # (rows, 2 heads) attention weights of the two operands
    hidden: np.ndarray  # (rows, mlp padded)
    logits: np.ndarray  # (rows, p padded), then the gradient in them
    d_A: np.ndarray  # (rows, 2 heads)
    d_hidden: np.ndarray  # (rows, mlp padded)
    d_T: np.ndarray  # (heads, 2p, w)
    d_base: np.ndarray  # (w,)
    d_W_f: np.ndarray  # (mlp padded, p padded)
    d_W_f_rows: np.ndarray  # (mlp padded, p padded), of one chunk of rows
    d_G: np.ndarray  # (d, w)
    d_V_h: np.ndarray  # (heads, 2p, d_head)
    d_V: np.ndarray  # (2p + 1, d)
    d_X: np.ndarray  # (2p + 1, d)
    d_scores: np.ndarray  # (2p + 1, heads)
    d_u: np.ndarray  # (heads, d)
    d_q: np.ndarray  # (d,)
    d_c: np.ndarray  # (d,)
    d_v2: np.ndarray  # (d,)
    d_R: np.ndarray  # (d, w)
    d_W_U: np.ndarray  # (d, p padded)


def workspace(system: ModularTransformer) -> Workspace:
    """Scratch arrays for ``energy_and_gradient`` and ``losses``; make one a thread."""
    par, dtype = system.parameters, system.dtype
    p, d, heads = par.elements, par.d_model, par.heads
    m, classes = padded(par.mlp), padded(p)
    w = m + classes
    w += LANES * (1 - w // LANES % 2)  # an odd number of cache lines: rows spread over all sets
    most = max(len(system.train.targets), len(system.test.targets))
    rows = min(most, max(64, _CHUNK_BYTES // (m * dtype.itemsize)))
    n_x, d_head = 2 * p + 1, d // heads
    shapes = dict(
        X=(n_x, d), V=(n_x, d), scores=(n_x, heads), boltzmann=(n_x, heads), q=(d,),
        u=(heads, d), c=(d,), R=(d, w), W_U=(d, classes), G=(d, w), V_h=(heads, 2 * p, d_head),
        T=(heads, 2 * p, w), base=(w,), W_f=(m, classes), A=(rows, 2 * heads),
        hidden=(rows, m), logits=(rows, classes), d_A=(rows, 2 * heads), d_hidden=(rows, m),
        d_T=(heads, 2 * p, w), d_base=(w,), d_W_f=(m, classes), d_W_f_rows=(m, classes),
        d_G=(d, w), d_V_h=(heads, 2 * p, d_head), d_V=(n_x, d), d_X=(n_x, d),
        d_scores=(n_x, heads), d_u=(heads, d), d_q=(d,), d_c=(d,), d_v2=(d,), d_R=(d, w),
        d_W_U=(d, classes),
    )  # fmt: skip
    return Workspace(
        **{
            name: aligned(shape, np.dtype(np.float64) if name == "boltzmann" else dtype)
            for name, shape in shapes.items()
        }
    )


# ----------------------------------------------------------------------------------------------
# Forward
# ----------------------------------------------------------------------------------------------


@inner
def _row_times(x, M, out):
    """out = x M for a vector x; NumPy's dot would be one more routine to compile."""
    out[:] = 0.0
    for k in range(x.shape[0]):
        for j in range(out.shape[0]):
            out[j] += x[k] * M[k, j]


@inner
def _times_column(M, x, out):
    """out = M x for a vector x."""
    lanes, columns = BYTES // x.itemsize, x.shape[0]
    whole = columns - columns % lanes
    for k in range(M.shape[0]):
        total = splat(x, x[0] * 0)
        for j in range(0, whole, lanes):
            total = fma(load(M, k * columns + j), load(x, j), total)
        out[k] = sum_of_lanes(total)
        for j in range(whole, columns):
            out[k] += M[k, j] * x[j]


@inner
def _attention_scores(w, work):
    """Scores of the one query with every key, and exp of them relative to "="."""
    heads, d_head, d = w.W_Q.shape
    _times_column(w.W_Q.reshape(d, d), work.X[-1], work.q)
    scale = work.q.dtype.type(1.0 / np.sqrt(d_head))
    for h in range(heads):
        _row_times(work.q[h * d_head : (h + 1) * d_head], w.W_K[h], work.u[h])
        for j in range(d):
            work.u[h, j] *= scale
    nt(work.X, work.u, work.scores)
    for t in range(work.X.shape[0]):
        for h in range(heads):
            difference = np.float64(work.scores[t, h]) - np.float64(work.scores[-1, h])
            # beyond the range the weights are taken from the scores themselves (marked by NaN)
            safe = abs(difference) < _SAFE_SCORE
            work.boltzmann[t, h] = np.exp(difference) if safe else np.nan


@inner
def _tables(w, work):
    """Everything that depends on the weights alone (the equations at the head of the module)."""
    heads, d_head, d = w.W_Q.shape
    p, m, m_padded = w.W_U.shape[1], w.b_in.shape[0], work.hidden.shape[1]
    for t in range(p):
        for j in range(d):
            work.X[t, j] = w.W_E[t, j] + w.W_pos[0, j]
            work.X[p + t, j] = w.W_E[t, j] + w.W_pos[1, j]
    for j in range(d):
        work.X[-1, j] = w.W_E[p, j] + w.W_pos[2, j]
        for k in range(m):
            work.R[j, k] = w.W_in[j, k]
        for k in range(p):
            work.R[j, m_padded + k] = work.W_U[j, k] = w.W_U[j, k]
    _attention_scores(w, work)
    nt(work.X, w.W_V.reshape(d, d), work.V)
    nn(w.W_O, work.R, work.G)
    for h in range(heads):
        first = h * d_head
        for t in range(2 * p):
            for k in range(d_head):
                work.V_h[h, t, k] = work.V[t, first + k] - work.V[-1, first + k]
        nn(work.V_h[h], work.G[first : first + d_head], work.T[h])
    nn(w.W_out, work.W_U, work.W_f[:m])
    _row_times(work.V[-1], w.W_O, work.c)
    for j in range(d):
        work.c[j] += work.X[-1, j]
    _row_times(work.c, work.R, work.base)
    for j in range(m):
        work.base[j] += w.b_in[j]
    for j in range(d):
        for k in range(p):
            work.base[m_padded + k] += w.b_out[j] * w.W_U[j, k]
    work.base[m_padded + p :] = NEVER


@inner
def _attention(data, first, n, work):
    """Attention weights A of rows first..first+n-1: softmax over the two operands and "="."""
    p, heads = work.V_h.shape[1] // 2, work.scores.shape[1]
    for i in range(n):
        a, b = data.a[first + i], p + data.b[first + i]
        for h in range(heads):
            x, y = work.boltzmann[a, h], work.boltzmann[b, h]
            z = 1.0
            if not x + y < np.inf:  # out of range: shift by the largest score
                s_a, s_b = np.float64(work.scores[a, h]), np.float64(work.scores[b, h])
                s_c = np.float64(work.scores[-1, h])
                top = max(s_a, s_b, s_c)
                x, y, z = np.exp(s_a - top), np.exp(s_b - top), np.exp(s_c - top)
            norm = 1.0 / (x + y + z)
            work.A[i, 2 * h] = x * norm
            work.A[i, 2 * h + 1] = y * norm


@inner
def _mix(data, first, n, work, column, out, accumulate, rectify):
    """Rows of Y: out_i (+)= base + sum_h A_{0ih} T_0[a_i, h] + A_{1ih} T_1[b_i, h].

    ``column`` is where the columns of ``out`` begin in the tables; ``rectify`` applies the ReLU.
    """
    heads, n_t, w = work.T.shape
    T, base, A, width = work.T, work.base, work.A, out.shape[1]
    lanes = BYTES // out.itemsize
    for i in range(n):
        a, b = data.a[first + i], n_t // 2 + data.b[first + i]
        row = i * width
        for j in range(0, width, lanes):
            y = load(base, column + j)
            if accumulate:
                y = add(y, load(out, row + j))
            store(out, row + j, y)
        for h in range(heads):
            A_0, A_1 = splat(A, A[i, 2 * h]), splat(A, A[i, 2 * h + 1])
            T_0, T_1 = (h * n_t + a) * w + column, (h * n_t + b) * w + column
            for j in range(0, width, lanes):
                y = fma(A_0, load(T, T_0 + j), load(out, row + j))
                store(out, row + j, fma(A_1, load(T, T_1 + j), y))
        if rectify:
            for j in range(0, width, lanes):
                y = load(out, row + j)
                store(out, row + j, positive_part(y, y))


@inner
def _forward(data, first, n, work):
    """Hidden activations and logits of rows first..first+n-1."""
    _attention(data, first, n, work)
    _mix(data, first, n, work, 0, work.hidden, False, True)
    nn(work.hidden[:n], work.W_f, work.logits[:n])
    _mix(data, first, n, work, work.hidden.shape[1], work.logits, True, False)


@inner
def losses_from_tables(w, data, work):
    """Loss and accuracy with the weights whose energy was computed last with this workspace."""
    n, rows = data.a.shape[0], work.hidden.shape[0]
    total, n_right = 0.0, 0
    for first in range(0, n, rows):
        now = min(rows, n - first)
        _forward(data, first, now, work)
        loss, right = cross_entropy(data, first, now, work.logits, 0.0)
        total += loss
        n_right += right
    return total / n, n_right / n


@inner
def losses_inner(w, data, work):
    """``networks.losses`` of this network."""
    _tables(w, work)
    return losses_from_tables(w, data, work)


# ----------------------------------------------------------------------------------------------
# Backward
# ----------------------------------------------------------------------------------------------


@inner
def _scatter(data, first, n, work, column, dY):
    """Gradient of ``_mix``: adds dY to those of the tables and of what all share, and to d_A."""
    heads, n_t, w = work.T.shape
    T, d_T, d_base, A, d_A = work.T, work.d_T, work.d_base, work.A, work.d_A
    lanes, width = BYTES // dY.itemsize, dY.shape[1]
    for i in range(n):
        a, b = data.a[first + i], n_t // 2 + data.b[first + i]
        row = i * width
        for j in range(0, width, lanes):
            store(d_base, column + j, add(load(d_base, column + j), load(dY, row + j)))
        for h in range(heads):
            A_0, A_1 = splat(A, A[i, 2 * h]), splat(A, A[i, 2 * h + 1])
            T_0, T_1 = (h * n_t + a) * w + column, (h * n_t + b) * w + column
            s_0 = splat(A, A[i, 2 * h] * 0)
            s_1 = s_0
            for j in range(0, width, lanes):
                y = load(dY, row + j)
                s_0 = fma(y, load(T, T_0 + j), s_0)
                s_1 = fma(y, load(T, T_1 + j), s_1)
                store(d_T, T_0 + j, fma(y, A_0, load(d_T, T_0 + j)))
                store(d_T, T_1 + j, fma(y, A_1, load(d_T, T_1 + j)))
            d_A[i, 2 * h] += sum_of_lanes(s_0)
            d_A[i, 2 * h + 1] += sum_of_lanes(s_1)


@inner
def _rectify_gradient(n, work):
    """Gradient that passes the ReLU: zero where the unit is off."""
    lanes = BYTES // work.hidden.itemsize
    for j in range(0, n * work.hidden.shape[1], lanes):
        store(work.d_hidden, j, positive_part(load(work.d_hidden, j), load(work.hidden, j)))


@inner
def _attention_backward(data, first, n, work):
    """Gradient of the scores from that of the attention weights (softmax, "=" has weight A_2).

    dE/ds_k = A_k (dE/dA_k - sum_l A_l dE/dA_l); in the tables "=" is the reference, dE/dA_2 = 0.
    """
    p, heads = work.V_h.shape[1] // 2, work.scores.shape[1]
    A, d_A, d_scores = work.A, work.d_A, work.d_scores
    for i in range(n):
        a, b = data.a[first + i], p + data.b[first + i]
        for h in range(heads):
            A_0, A_1, d_0, d_1 = A[i, 2 * h], A[i, 2 * h + 1], d_A[i, 2 * h], d_A[i, 2 * h + 1]
            mean = A_0 * d_0 + A_1 * d_1
            d_scores[a, h] += A_0 * (d_0 - mean)
            d_scores[b, h] += A_1 * (d_1 - mean)
            d_scores[2 * p, h] -= (1 - A_0 - A_1) * mean


@inner
def _backward(data, first, n, work):
    """Gradients of the tables, of the scores and of W_f from those of the logits of n rows."""
    logits, hidden = work.logits[:n], work.hidden[:n]
    tn(hidden, logits, work.d_W_f_rows)
    lanes = BYTES // work.hidden.itemsize
    for j in range(0, work.d_W_f.size, lanes):
        store(work.d_W_f, j, add(load(work.d_W_f, j), load(work.d_W_f_rows, j)))
    nt(logits, work.W_f, work.d_hidden[:n])
    _rectify_gradient(n, work)
    work.d_A[:n] = 0.0
    _scatter(data, first, n, work, 0, work.d_hidden)
    _scatter(data, first, n, work, hidden.shape[1], work.logits)
    _attention_backward(data, first, n, work)


@inner
def _gradient_output(w, g, work):
    """W_U, W_in, W_out and the biases, from those of R, of W_f and of what all inputs share."""
    d, p = w.W_U.shape
    m, m_padded = w.b_in.shape[0], work.hidden.shape[1]
    tn(w.W_O, work.d_G, work.d_R)
    tn(w.W_out, work.d_W_f[:m], work.d_W_U)
    for j in range(d):
        share = 0.0
        for k in range(m):
            g.W_in[j, k] = work.d_R[j, k] + work.c[j] * work.d_base[k]
        for k in range(p):
            through = (work.c[j] + w.b_out[j]) * work.d_base[m_padded + k]
            g.W_U[j, k] = work.d_R[j, m_padded + k] + work.d_W_U[j, k] + through
            share += w.W_U[j, k] * work.d_base[m_padded + k]
        g.b_out[j] = share
    for k in range(m):
        g.b_in[k] = work.d_base[k]
    nt(work.d_W_f[:m], work.W_U, g.W_out)


@inner
def _gradient_values(w, g, work):
    """W_O, W_V and what the values pass on to the input vectors."""
    heads, n_t, d_head = work.V_h.shape
    d = heads * d_head
    for h in range(heads):
        G_h = work.G[h * d_head : (h + 1) * d_head]
        tn(work.V_h[h], work.d_T[h], work.d_G[h * d_head : (h + 1) * d_head])
        nt(work.d_T[h], G_h, work.d_V_h[h])
    _times_column(work.R, work.d_base, work.d_c)
    _times_column(w.W_O, work.d_c, work.d_v2)
    for h in range(heads):
        for t in range(n_t):
            for k in range(d_head):
                work.d_V[t, h * d_head + k] = work.d_V_h[h, t, k]
                work.d_v2[h * d_head + k] -= work.d_V_h[h, t, k]
    for k in range(d):
        work.d_V[-1, k] = work.d_v2[k]
    nt(work.d_G, work.R, g.W_O)
    for k in range(d):
        for j in range(d):
            g.W_O[k, j] += work.V[-1, k] * work.d_c[j]
    tn(work.d_V, work.X, g.W_V.reshape(d, d))
    nn(work.d_V, w.W_V.reshape(d, d), work.d_X)


@inner
def _gradient_scores(w, g, work):
    """W_Q, W_K and what the scores pass on to the input vectors."""
    heads, d_head, d = w.W_Q.shape
    scale = work.q.dtype.type(1.0 / np.sqrt(d_head))
    tn(work.d_scores, work.X, work.d_u)
    for t in range(work.X.shape[0]):
        for h in range(heads):
            for j in range(d):
                work.d_X[t, j] += work.d_scores[t, h] * work.u[h, j]
    for h in range(heads):
        for j in range(d):
            work.d_u[h, j] *= scale
        _times_column(w.W_K[h], work.d_u[h], work.d_q[h * d_head : (h + 1) * d_head])
        for k in range(d_head):
            for j in range(d):
                g.W_K[h, k, j] = work.q[h * d_head + k] * work.d_u[h, j]
                g.W_Q[h, k, j] = work.d_q[h * d_head + k] * work.X[-1, j]
                work.d_X[-1, j] += w.W_Q[h, k, j] * work.d_q[h * d_head + k]


@inner
def _gradient_embedding(g, work):
    p, d = g.W_E.shape[0] - 1, g.W_E.shape[1]
    g.W_pos[:] = 0.0
    for j in range(d):
        g.W_E[p, j] = g.W_pos[2, j] = work.d_X[-1, j] + work.d_c[j]
    for t in range(p):
        for j in range(d):
            g.W_E[t, j] = work.d_X[t, j] + work.d_X[p + t, j]
            g.W_pos[0, j] += work.d_X[t, j]
            g.W_pos[1, j] += work.d_X[p + t, j]


@inner
def energy_and_gradient_inner(w, g, data, work):
    """``networks.energy_and_gradient`` of this network: E is the mean cross-entropy."""
    n, rows = data.a.shape[0], work.hidden.shape[0]
    _tables(w, work)
    work.d_T[:] = 0.0
    work.d_base[:] = 0.0
    work.d_W_f[:] = 0.0
    work.d_scores[:] = 0.0
    total, n_right = 0.0, 0
    for first in range(0, n, rows):
        now = min(rows, n - first)
        _forward(data, first, now, work)
        loss, right = cross_entropy(data, first, now, work.logits, 1.0 / n)
        _backward(data, first, now, work)
        total += loss
        n_right += right
    _gradient_values(w, g, work)
    _gradient_output(w, g, work)
    _gradient_scores(w, g, work)
    _gradient_embedding(g, work)
    return total / n, n_right / n
