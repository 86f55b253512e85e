"""A vector of 64 bytes as a Numba type, kept in registers.

Loops over these vectors need no aliasing checks and no reordering of sums by the compiler, so that
the order of every sum is fixed by the source and results repeat to the last bit.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

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


def _hyperbolic_tangent(builder, simd, x):
    """tanh(x) = (1 - e)/(1 + e) with e = exp(-2 |x|) and the sign of x, to two units of rounding.

    NaN where x is not finite, so that a broken state is not hidden.
    """
    vector = _llvm_vector(simd)
    one = _constant(vector, 1.0)
    size = _call(builder, "fabs", vector, x)
    e = _exponential(builder, simd, builder.fmul(size, _constant(vector, -2.0)))
    y = builder.fdiv(builder.fsub(one, e), builder.fadd(one, e))
    return builder.fadd(_call(builder, "copysign", vector, y, x), builder.fsub(x, x))


_LN2 = (6.93147180369123816490e-01, 1.90821492927058770002e-10)  # Cody and Waite, as in fdlibm

add = _lanewise("add", 2, lambda builder, simd, a, b: builder.fadd(a, b))
sub = _lanewise("sub", 2, lambda builder, simd, a, b: builder.fsub(a, b))
mul = _lanewise("mul", 2, lambda builder, simd, a, b: builder.fmul(a, b))
fma = _lanewise("fma", 3, _fmuladd)
larger = _lanewise("larger", 2, _larger)
keep_above = _lanewise("keep_above", 2, _keep_above)
positive_part = _lanewise("positive_part", 2, _positive_part)
exponential = _lanewise("exponential", 1, _exponential)
hyperbolic_tangent = _lanewise("hyperbolic_tangent", 1, _hyperbolic_tangent)


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
