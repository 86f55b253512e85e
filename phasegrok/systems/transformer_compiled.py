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

The cross-entropy keeps the right class apart: with delta = ln sum_{j != y} exp(l_j) - l_y the loss
is ln(1 + exp(delta)) and the gradient of l_y is -1/(1 + exp(-delta)), so that neither is lost when
the other classes fall below the rounding of one (the float32 stall of arXiv 2501.04697).  Losses
are summed in float64 at either precision.

BLAS is that of SciPy, which Numba calls.  Limit it to one thread (``single_threaded_blas``) when
replicas run in threads: the products here are too small to gain from more.
"""

import functools
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from phasegrok.compiled import kernel
from phasegrok.systems.transformer import ModularTransformer

# ----------------------------------------------------------------------------------------------
# SIMD: a vector of 64 bytes as a Numba type, kept in registers.  Loops over these vectors need no
# aliasing checks and no reordering of sums by the compiler, so that the order of every sum is fixed
# by the source and results repeat to the last bit.
# ----------------------------------------------------------------------------------------------

BYTES = 64  # one AVX-512 register, or several narrower ones: LLVM splits


class Simd(types.Type):
    """64 bytes of float32 or float64 lanes."""

    def __init__(self, element):
        self.element = element
        self.lanes = BYTES * 8 // element.bitwidth
        super().__init__(name=f"Simd({element}, {self.lanes})")


@register_model(Simd)
class _SimdModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, _llvm_vector(fe_type))


def _llvm_vector(simd):
    element = ir.FloatType() if simd.element == types.float32 else ir.DoubleType()
    return ir.VectorType(element, simd.lanes)


def _llvm_integers(simd):
    return ir.VectorType(ir.IntType(simd.element.bitwidth), simd.lanes)


def _constant(llvm_type, value):
    return ir.Constant(llvm_type, [ir.Constant(llvm_type.element, value)] * llvm_type.count)


def _pointer(context, builder, array_type, array, offset, llvm_type):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), llvm_type.as_pointer())


@intrinsic
def load(typingctx, array, offset):
    """Vector that starts at linear index ``offset`` of a C-contiguous array."""
    simd = Simd(array.dtype)

    def codegen(context, builder, signature, args):
        pointer = _pointer(context, builder, signature.args[0], *args, _llvm_vector(simd))
        value = builder.load(pointer)
        value.align = array.dtype.bitwidth // 8
        return value

    return simd(array, types.intp), codegen


@intrinsic
def store(typingctx, array, offset, vector):
    """Write a vector at linear index ``offset`` of a C-contiguous array."""

    def codegen(context, builder, signature, args):
        pointer = _pointer(
            context, builder, signature.args[0], args[0], args[1], _llvm_vector(vector)
        )
        builder.store(args[2], pointer).align = array.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.none(array, types.intp, vector), codegen


@intrinsic
def splat(typingctx, array, value):
    """Vector with every lane equal to ``value``, of the type of ``array``'s elements."""
    simd = Simd(array.dtype)

    def codegen(context, builder, signature, args):
        undefined = ir.Constant(_llvm_vector(simd), ir.Undefined)
        zero = ir.Constant(ir.IntType(32), 0)
        first = builder.insert_element(undefined, args[1], zero)
        mask = ir.Constant(ir.VectorType(ir.IntType(32), simd.lanes), None)
        return builder.shuffle_vector(first, undefined, mask)

    return simd(array, array.dtype), codegen


@intrinsic
def lanes_of(typingctx, array):
    """Elements of a vector of ``array``'s type: a constant of the compiled code."""
    n = BYTES * 8 // array.dtype.bitwidth

    def codegen(context, builder, signature, args):
        return context.get_constant(types.intp, n)

    return types.intp(array), codegen


def _lanewise(name, n_args, build):
    """An operation on ``n_args`` vectors, lane by lane; ``build(builder, simd, *args)``."""

    def make(args):
        simd = args[0]

        def codegen(context, builder, signature, values):
            return build(builder, simd, *values)

        return simd(*args), codegen

    if n_args == 1:
        return intrinsic(lambda typingctx, a: make((a,)))
    if n_args == 2:
        return intrinsic(lambda typingctx, a, b: make((a, b)))
    return intrinsic(lambda typingctx, a, b, c: make((a, b, c)))


def _call(builder, name, llvm_type, *args):
    count = llvm_type.count
    kind = "f32" if isinstance(llvm_type.element, ir.FloatType) else "f64"
    function_type = ir.FunctionType(llvm_type, [llvm_type] * len(args))
    function = cgutils.get_or_insert_function(
        builder.module, function_type, f"llvm.{name}.v{count}{kind}"
    )
    return builder.call(function, args)


def _fmuladd(builder, simd, a, b, c):
    return _call(builder, "fmuladd", _llvm_vector(simd), a, b, c)


def _positive_part(builder, simd, x, gate):
    """x where gate > 0, else 0; NaN passes, so that a broken state is not hidden."""
    zero = _constant(_llvm_vector(simd), 0.0)
    return builder.select(builder.fcmp_ordered("<=", gate, zero), zero, x)


def _keep_above(builder, simd, x, floor):
    """x where it exceeds the floor, else 0."""
    zero = _constant(_llvm_vector(simd), 0.0)
    return builder.select(builder.fcmp_ordered(">", x, floor), x, zero)


def _larger(builder, simd, a, b):
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _exponential(builder, simd, x):
    """exp(x) for x <= 0, zero below the smallest normal number; error < 2 units in the last place.

    x = n ln 2 + r with |r| <= ln(2)/2, the Taylor series of exp(r), and 2^n put in the exponent.
    """
    vector, integers = _llvm_vector(simd), _llvm_integers(simd)
    single = simd.element == types.float32
    degree, low, bias, shift = (7, -87.0, 127, 23) if single else (13, -708.0, 1023, 52)
    ln2_high, ln2_low = (0.693359375, -2.12194440e-4) if single else _LN2
    low_v = _constant(vector, low)
    above = builder.fcmp_ordered(">", x, low_v)
    x = builder.select(above, x, low_v)
    n = _call(builder, "rint", vector, builder.fmul(x, _constant(vector, 1.4426950408889634)))
    r = _fmuladd(builder, simd, n, _constant(vector, -ln2_high), x)
    r = _fmuladd(builder, simd, n, _constant(vector, -ln2_low), r)
    coefficient, series = 1.0, None
    factorials = [1.0]
    for k in range(1, degree + 1):
        factorials.append(factorials[-1] * k)
    for k in range(degree, -1, -1):
        coefficient = _constant(vector, 1.0 / factorials[k])
        series = coefficient if series is None else _fmuladd(builder, simd, series, r, coefficient)
    exponent = builder.add(builder.fptosi(n, integers), _constant(integers, bias))
    power = builder.bitcast(builder.shl(exponent, _constant(integers, shift)), vector)
    return builder.select(above, builder.fmul(series, power), _constant(vector, 0.0))


_LN2 = (6.93147180369123816490e-01, 1.90821492927058770002e-10)  # Cody and Waite, as in fdlibm

add = _lanewise("add", 2, lambda builder, simd, a, b: builder.fadd(a, b))
sub = _lanewise("sub", 2, lambda builder, simd, a, b: builder.fsub(a, b))
mul = _lanewise("mul", 2, lambda builder, simd, a, b: builder.fmul(a, b))
fma = _lanewise("fma", 3, _fmuladd)
larger = _lanewise("larger", 2, _larger)
keep_above = _lanewise("keep_above", 2, _keep_above)
positive_part = _lanewise("positive_part", 2, _positive_part)
exponential = _lanewise("exponential", 1, _exponential)


def _fold(name, combine):
    """Reduction of a vector to a scalar by halving: the order is fixed."""

    def make(simd):
        def codegen(context, builder, signature, args):
            value, count = args[0], simd.lanes
            while count > 1:
                count //= 2
                low = ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(count)))
                high = ir.Constant(
                    ir.VectorType(ir.IntType(32), count), list(range(count, 2 * count))
                )
                value = combine(
                    builder,
                    builder.shuffle_vector(value, value, low),
                    builder.shuffle_vector(value, value, high),
                )
            return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

        return simd.element(simd), codegen

    return intrinsic(lambda typingctx, vector: make(vector))


sum_of_lanes = _fold("sum", lambda builder, a, b: builder.fadd(a, b))
largest_lane = _fold(
    "max", lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b)
)


# ----------------------------------------------------------------------------------------------
# Arrays of a calculation
# ----------------------------------------------------------------------------------------------

_LANES = 16  # columns are padded to whole vectors of the narrower type
_CHUNK_BYTES = 1 << 20  # hidden activations handled at once: they stay in the second-level cache
_SAFE_SCORE = 600.0  # exp of a difference of scores below this is a float64
_FAINT = 1e-20  # a class this much below the row's strongest wrong one is lost in any rounding
_NIL = 1e-30  # gradients below this are dropped: products with them would be denormal, and slow
NEVER = -1e30  # logit of the padding columns: finite, and exp of it is zero


class Pairs(NamedTuple):
    """Inputs and labels of a data set, each (n,) int64; a ascending keeps table rows in cache."""

    a: np.ndarray
    b: np.ndarray
    labels: np.ndarray


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


def padded(n: int) -> int:
    return -(-n // _LANES) * _LANES


def workspace(system: ModularTransformer) -> Workspace:
    """Scratch arrays for ``energy_and_gradient`` and ``losses``; make one a thread."""
    par, dtype = system.parameters, system.dtype
    p, d, heads = par.p, par.d_model, par.heads
    m, classes = padded(par.mlp), padded(p)
    w = m + classes
    w += _LANES * (1 - w // _LANES % 2)  # an odd number of cache lines: rows spread over all sets
    most = max(len(system.labels_train), len(system.labels_test))
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


def aligned(shape, dtype):
    """Zeros that begin on a cache line: a vector across two lines costs twice.

    One vector behind the end may be read and written too.
    """
    size = int(np.prod(shape)) * dtype.itemsize
    room = np.zeros(size + 2 * BYTES, np.uint8)
    begin = -room.ctypes.data % BYTES
    return room[begin : begin + size].view(dtype).reshape(shape)


def pairs(operands: np.ndarray, labels: np.ndarray) -> Pairs:
    """Arrays of a data set for the kernels, from ``(n, 2)`` operands and ``(n,)`` labels."""
    columns = np.ascontiguousarray(operands.T.astype(np.int64))
    return Pairs(columns[0], columns[1], np.ascontiguousarray(labels, dtype=np.int64))


@contextmanager
def single_threaded_blas():
    """Limit every BLAS of the process, also the one that Numba calls (SciPy's), to one thread."""
    import scipy.linalg  # noqa: F401  (loads the library, so that the limit reaches it)
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


# ----------------------------------------------------------------------------------------------
# Forward
# ----------------------------------------------------------------------------------------------


# Called from kernels only: the code that would take the arrays from Python is most of the compile.
# Division by zero gives infinity or NaN as in the rest of NumPy; a test would stop vectorisation.
inner = functools.partial(
    kernel, no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy"
)


@inner
def nn(x, y, out):
    np.dot(x, y, out)


@inner
def nt(x, y, out):
    np.dot(x, y.T, out)


@inner
def tn(x, y, out):
    np.dot(x.T, y, out)


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
def cross_entropy(data, first, n, work, scale):
    """Loss summed over rows and number of right answers; gradient times ``scale`` in logits."""
    logits, lanes, width = work.logits, BYTES // work.logits.itemsize, work.logits.shape[1]
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
        loss, right = cross_entropy(data, first, now, work, 0.0)
        total += loss
        n_right += right
    return total / n, n_right / n


@inner
def losses_inner(w, data, work):
    """``losses`` for callers that are kernels themselves."""
    _tables(w, work)
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
    """``energy_and_gradient`` for callers that are kernels themselves."""
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
        loss, right = cross_entropy(data, first, now, work, 1.0 / n)
        _backward(data, first, now, work)
        total += loss
        n_right += right
    _gradient_values(w, g, work)
    _gradient_output(w, g, work)
    _gradient_scores(w, g, work)
    _gradient_embedding(g, work)
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
        The training set.
    work : Workspace

    Returns
    -------
    energy : float
        Mean cross-entropy in nats; NaN or infinite where a logit is.
    accuracy : float
        Share of the pairs whose right class has the largest logit.
    """
    return energy_and_gradient_inner(w, g, data, work)
