r"""Many normal variates at once, in loops that LLVM turns into vectors.

Words are those of splitmix64 (Steele, Lea and Flood, doi:10.1145/2660193.2660195, fig. 15) in the
stream that begins at a key: a word is a function of its number alone, so that many are made at
once.  A key is a word of the generator (``phasegrok.rng``) and serves once.  Two independent
uniform variates u in (0, 1] and t in [0, 1) make two normal ones (Box and Muller, Ann. Math. Stat.
29 (1958) 610):

.. math:: \sqrt{-2\ln u}\,\cos 2\pi t, \qquad \sqrt{-2\ln u}\,\sin 2\pi t .

float64: u has 53 bits and t has 64, of a word each; float32: 40 and 24 bits of one word, more than
the numbers hold.  Logarithm, sine and cosine are series that are exact to the rounding of the
type.
"""

import math

import numpy as np
from numba import float64
from numba.extending import overload

from phasegrok.compiled import IN_KERNELS, NOT_FROM_PYTHON, kernel

SPLITMIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
"""Increment and factors of splitmix64."""
_GOLDEN, _MIX_1, _MIX_2 = map(np.uint64, SPLITMIX)
_LN_2, _QUARTER = math.log(2.0), 0.5 * math.pi
# bits of sqrt(1/2): a number is 2^e m, with m between that and twice as much
_ROOT_DOUBLE, _ROOT_SINGLE = np.int64(0x3FE6A09E667F3BCD), np.int32(0x3F3504F3)


def fill_abreast(key, out):
    """Fill the flat array ``out`` with the standard normal variates of ``key`` (uint64).

    One that is left over at an odd length stays as it is.  From kernels only.
    """
    raise NotImplementedError("for compiled code")


@overload(fill_abreast, strict=False, jit_options=IN_KERNELS | {"_nrt": False})
def _fill_abreast(key, out):  # noqa: ARG001 (the type of ``out`` decides)
    pairs = _double_pairs if out.dtype == float64 else _single_pairs

    def fill(key, out):
        half = out.shape[0] // 2
        pairs(key, out[:half], out[half : 2 * half])

    return fill


@kernel(allocates=False, **NOT_FROM_PYTHON)
def _word(key, number):
    x = key + np.uint64(number) * _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))


@kernel(allocates=False, **NOT_FROM_PYTHON)
def _log_double(u):
    """ln u by ln((1 + s)/(1 - s)) = 2 (s + s^3/3 + ...), |s| < 0.172."""
    bits = np.float64(u).view(np.int64)
    e = (bits - _ROOT_DOUBLE) >> np.int64(52)
    m = np.int64(bits - (e << np.int64(52))).view(np.float64)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = z * (1.0 / 21.0) + 1.0 / 19.0
    p = p * z + 1.0 / 17.0
    p = p * z + 1.0 / 15.0
    p = p * z + 1.0 / 13.0
    p = p * z + 1.0 / 11.0
    p = p * z + 1.0 / 9.0
    p = p * z + 1.0 / 7.0
    p = p * z + 1.0 / 5.0
    p = p * z + 1.0 / 3.0
    return e * _LN_2 + 2.0 * (s + s * z * p)


@kernel(allocates=False, **NOT_FROM_PYTHON)
def _sine_double(f, z):
    """sin f for |f| <= pi/4, z = f^2: Taylor's series."""
    p = 1.0 / 6227020800.0 - z * (1.0 / 1307674368000.0)
    p = p * z - 1.0 / 39916800.0
    p = p * z + 1.0 / 362880.0
    p = p * z - 1.0 / 5040.0
    p = p * z + 1.0 / 120.0
    p = p * z - 1.0 / 6.0
    return f + f * z * p


@kernel(allocates=False, **NOT_FROM_PYTHON)
def _cosine_double(z):
    p = z * (1.0 / 20922789888000.0) - 1.0 / 87178291200.0
    p = p * z + 1.0 / 479001600.0
    p = p * z - 1.0 / 3628800.0
    p = p * z + 1.0 / 40320.0
    p = p * z - 1.0 / 720.0
    p = p * z + 1.0 / 24.0
    p = p * z - 0.5
    return p * z + 1.0


@kernel(allocates=False, **NOT_FROM_PYTHON)
def _turned(r, quarter, cosine, sine):
    """r (cos, sin) of the angle, from those of its distance to so many quarter turns."""
    odd = quarter & 1
    x, y = (sine, cosine) if odd else (cosine, sine)
    return (-r if (quarter + 1) & 2 else r) * x, (-r if quarter & 2 else r) * y


@kernel(allocates=False, **NOT_FROM_PYTHON)
def _double_pairs(key, first, second):
    for i in range(first.shape[0]):
        u = (np.float64(np.int64(_word(key, 2 * i + 1) >> np.uint64(11))) + 1.0) * 2.0**-53
        r = math.sqrt(-2.0 * _log_double(u))
        t = np.int64(_word(key, 2 * i + 2))  # 2^64 times a turn
        quarter = (t + np.int64(1 << 61)) >> np.int64(62)
        f = np.float64(t - (quarter << np.int64(62))) * (_QUARTER * 2.0**-62)
        z = f * f
        first[i], second[i] = _turned(r, quarter, _cosine_double(z), _sine_double(f, z))


@kernel(allocates=False, **NOT_FROM_PYTHON)
def _log_single(u):
    one = np.float32(1.0)
    bits = np.float32(u).view(np.int32)
    e = (bits - _ROOT_SINGLE) >> np.int32(23)
    m = np.int32(bits - (e << np.int32(23))).view(np.float32)
    s = (m - one) / (m + one)
    z = s * s
    p = z * np.float32(1.0 / 9.0) + np.float32(1.0 / 7.0)
    p = p * z + np.float32(1.0 / 5.0)
    p = p * z + np.float32(1.0 / 3.0)
    return np.float32(e) * np.float32(_LN_2) + np.float32(2.0) * (s + s * z * p)


@kernel(allocates=False, **NOT_FROM_PYTHON)
def _sine_single(f, z):
    p = z * np.float32(1.0 / 362880.0) - np.float32(1.0 / 5040.0)
    p = p * z + np.float32(1.0 / 120.0)
    p = p * z - np.float32(1.0 / 6.0)
    return f + f * z * p


@kernel(allocates=False, **NOT_FROM_PYTHON)
def _cosine_single(z):
    p = z * np.float32(1.0 / 40320.0) - np.float32(1.0 / 720.0)
    p = p * z + np.float32(1.0 / 24.0)
    p = p * z - np.float32(0.5)
    return p * z + np.float32(1.0)


@kernel(allocates=False, **NOT_FROM_PYTHON)
def _single_pairs(key, first, second):
    for i in range(first.shape[0]):
        word = _word(key, i + 1)
        u = (np.float32(np.int64(word >> np.uint64(24))) + np.float32(1.0)) * np.float32(2.0**-40)
        r = np.sqrt(np.float32(-2.0) * _log_single(u))
        t = np.int32(np.int64(word << np.uint64(40)) >> np.int64(32))  # 2^32 times a turn
        quarter = (t + np.int32(1 << 29)) >> np.int32(30)
        f = np.float32(np.int32(t - (quarter << np.int32(30)))) * np.float32(_QUARTER * 2.0**-30)
        z = f * f
        first[i], second[i] = _turned(r, quarter, _cosine_single(z), _sine_single(f, z))
