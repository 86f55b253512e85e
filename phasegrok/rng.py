"""Random numbers: one generator, whose state is four words of an array.

Kernels draw from xoshiro256++ (Blackman and Vigna, ACM Trans. Math. Softw. 47 (2021) 36); its state
is a row of four ``uint64`` and is stored in the checkpoint.  Streams come from
``numpy.random.SeedSequence(seed, spawn_key=(hash of the point, replica))``, never from the order of
calls and never from ``seed + i``.
"""

import hashlib
import json
import math

import numpy as np

from phasegrok.compiled import kernel
from phasegrok.normals import fill_abreast

_TO_UNIT = 1.0 / 9007199254740992.0  # 2^-53


def streams(seed: int, point, n: int, first: int = 0) -> np.ndarray:
    """Generator states of ``n`` replicas of one parameter point, shape (n, 4), uint64.

    Parameters
    ----------
    seed : int
        The user's seed.
    point : JSON-serialisable
        What identifies the point: the protocol's name and the parameters' values.
    n : int
        Number of replicas.
    first : int
        Number of the first replica.
    """
    digest = hashlib.sha256(json.dumps(point, sort_keys=True, default=str).encode()).digest()
    key = int.from_bytes(digest[:4], "little")
    rows = [
        np.random.SeedSequence(seed, spawn_key=(key, first + k)).generate_state(4, np.uint64)
        for k in range(n)
    ]
    return np.array(rows, dtype=np.uint64).reshape(n, 4)


@kernel(inline="always", allocates=False)
def _rotate(x, k):
    return (x << np.uint64(k)) | (x >> np.uint64(64 - k))


@kernel(allocates=False)
def next_word(rng):
    """Next 64 random bits of the generator ``rng`` (uint64[4], changed in place)."""
    result = _rotate(rng[0] + rng[3], 23) + rng[0]
    t = rng[1] << np.uint64(17)
    rng[2] ^= rng[0]
    rng[3] ^= rng[1]
    rng[1] ^= rng[2]
    rng[0] ^= rng[3]
    rng[2] ^= t
    rng[3] = _rotate(rng[3], 45)
    return result


@kernel(allocates=False)
def next_words(rng, words, n):
    """Fill the first n of ``words`` as n calls of :func:`next_word` would, in a third of the time.

    The state stays in registers, which it cannot where a store might change it.
    """
    a, b, c, d = rng[0], rng[1], rng[2], rng[3]
    for i in range(n):
        words[i] = _rotate(a + d, 23) + a
        t = b << np.uint64(17)
        c ^= a
        d ^= b
        b ^= c
        a ^= d
        c ^= t
        d = _rotate(d, 45)
    rng[0], rng[1], rng[2], rng[3] = a, b, c, d


@kernel(allocates=False)
def uniform(rng):
    """Uniform variate in [0, 1), 53 bits."""
    return np.float64(next_word(rng) >> np.uint64(11)) * _TO_UNIT


@kernel(allocates=False)
def below(rng, n):
    """Uniform integer in 0..n-1, for n < 2^31 (bias below n/2^32)."""
    return np.int64(((next_word(rng) >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@kernel(allocates=False)
def normal_pair(rng):
    """Two independent standard normal variates (Marsaglia's polar method)."""
    while True:
        x = 2.0 * uniform(rng) - 1.0
        y = 2.0 * uniform(rng) - 1.0
        r = x * x + y * y
        if 0.0 < r < 1.0:
            scale = math.sqrt(-2.0 * math.log(r) / r)
            return x * scale, y * scale


@kernel(allocates=False)
def fill_normal(rng, out):
    """Fill the flat array ``out`` with standard normal variates, of what is drawn once.

    Starts and initial weights of a seed are the same in all versions.
    """
    n = out.shape[0]
    for i in range(0, n - 1, 2):
        x, y = normal_pair(rng)
        out[i] = x
        out[i + 1] = y
    if n % 2:
        out[n - 1] = normal_pair(rng)[0]


@kernel(allocates=False)
def fill_noise(rng, out):
    """Fill the flat array ``out`` with standard normal variates, abreast: the noise of every step.

    One word of the generator is the key of the stream that they are made of
    (``phasegrok.normals``), which takes a tenth of the time.
    """
    fill_abreast(next_word(rng), out)
    if out.shape[0] % 2:
        out[out.shape[0] - 1] = normal_pair(rng)[0]


def fill_symmetric(rng, out):
    """Fill the flat float64 array ``out`` with uniform variates in [-1, 1)."""
    words = np.empty(out.size, np.uint64)
    next_words(rng, words, out.size)
    out[:] = (words >> np.uint64(11)) * 2.0**-52 - 1.0


@kernel(allocates=False)
def fill_uniform(rng, out):
    """Fill ``out`` with numbers of [0, 1)."""
    for i in range(out.shape[0]):
        out[i] = uniform(rng)


def point_seed(seed: int, name: str) -> int:
    """Seed of the point ``name``: a descendant of the scan's, below 2^63."""
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    sequence = np.random.SeedSequence(seed, spawn_key=(key >> 32, key & 0xFFFFFFFF))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
