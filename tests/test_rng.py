"""Normal variates: their law to the far tail, their independence, their streams."""

import math

import numpy as np
import pytest
from scipy import special, stats

from phasegrok.compiled import kernel
from phasegrok.normals import fill_abreast
from phasegrok.rng import fill_noise, normal_pair, streams

N = 10_000_000
TYPES = (np.float64, np.float32)


@kernel
def of_key(key, out):
    """The variates of a key."""
    fill_abreast(np.uint64(key), out)


@kernel
def pairs(rng, out):
    """As many calls of ``normal_pair``."""
    for i in range(0, out.shape[0], 2):
        out[i], out[i + 1] = normal_pair(rng)


@kernel
def beyond(rng, room, rounds, counts):
    """Count variates of more than 1, 2, 3 ... in size."""
    for _ in range(rounds):
        fill_noise(rng, room)
        for i in range(room.shape[0]):
            for k in range(min(counts.shape[0], int(abs(room[i])))):
                counts[k] += 1


def drawn(n, dtype):
    out = np.empty(n, dtype)
    fill_noise(streams(1, "test-rng", 1)[0], out)
    return out.astype(float)


@pytest.fixture(scope="module", params=TYPES)
def x(request):
    return drawn(N, request.param)


def moment(k):
    """<x^k> of a standard normal."""
    return float(special.factorial2(k - 1)) if k % 2 == 0 else 0.0


def splitmix(key, n):
    """Words of the stream of a key, in Python's integers."""
    for i in range(1, n + 1):
        z = (key + i * 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        yield z ^ (z >> 31)


def test_words_are_those_of_splitmix64():
    """The first of the streams of 0 and 1234567, those of the authors' code."""
    assert list(splitmix(0, 2)) == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]
    assert next(splitmix(1234567, 1)) == 6457827717110365317


@pytest.mark.parametrize("n", [2, 8, 1000])
def test_variates_are_those_of_box_and_muller(n):
    """Against the standard library's functions, to the rounding of the type."""
    key = 0x0123456789ABCDEF
    words = list(splitmix(key, n))
    double, single = np.empty(n), np.empty(n, np.float32)
    of_key(key, double)
    of_key(key, single)
    for i in range(n // 2):
        r = math.sqrt(-2.0 * math.log(((words[2 * i] >> 11) + 1) * 2.0**-53))
        angle = 2.0 * math.pi * words[2 * i + 1] * 2.0**-64
        expected = r * math.cos(angle), r * math.sin(angle)
        np.testing.assert_allclose(double[[i, n // 2 + i]], expected, rtol=1e-14, atol=5e-15)
        r = math.sqrt(-2.0 * math.log(((words[i] >> 24) + 1) * 2.0**-40))
        angle = 2.0 * math.pi * (words[i] % 2**24) * 2.0**-24
        expected = r * math.cos(angle), r * math.sin(angle)
        np.testing.assert_allclose(single[[i, n // 2 + i]], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n", [0, 1, 3, 7])
def test_arrays_of_any_length_are_filled(n, dtype):
    out = np.full(n + 1, np.nan, dtype)
    fill_noise(streams(2, "test-rng", 1)[0], out[:n])
    assert np.isfinite(out[:n]).all() and np.isnan(out[n]) and len(set(out[:n])) == n


def test_the_law_is_that_of_the_error_function(x):
    p = special.ndtr(x)
    assert stats.kstest(p, "uniform", mode="asymp").pvalue > 1e-3
    for bins in (512, 100_000):
        counts = np.bincount((p * bins).astype(np.int64), minlength=bins)
        chi2 = np.sum((counts - N / bins) ** 2) / (N / bins)
        assert abs(chi2 - bins + 1.0) < 4.0 * math.sqrt(2.0 * bins)


def test_moments(x):
    power = np.ones(N)
    for k in range(1, 9):
        power *= x
        error = math.sqrt((moment(2 * k) - moment(k) ** 2) / N)
        assert abs(power.mean() - moment(k)) < 4.0 * error
        assert k % 2 or 4.0 * error < 0.03 * moment(k)


@pytest.mark.parametrize("dtype", TYPES)
def test_the_tail_has_its_law(dtype):
    n, counts = 400_000_000, np.zeros(6, np.int64)
    beyond(streams(2, "test-rng", 1)[0], np.empty(1000, dtype), n // 1000, counts)
    expected = n * special.erfc(np.arange(1, 7) / math.sqrt(2.0))
    assert np.all(np.abs(counts - expected)[:5] < 4.0 * np.sqrt(expected[:5]))
    assert counts[5] < 6  # 0.8 are expected
    assert 4.0 * math.sqrt(expected[3]) < 0.03 * expected[3]


def test_neighbours_are_independent(x):
    """No correlation of x, |x| or x with |x| at any small distance, nor within a pair."""
    size = (np.abs(x) - math.sqrt(2.0 / math.pi)) / math.sqrt(1.0 - 2.0 / math.pi)
    for lag in (1, 2, 3, 4, 8, 1000, N // 2):  # the last is that of the two of a pair
        for a, b in ((x, x), (size, size), (x, size), (size, x)):
            assert abs(np.mean(a[:-lag] * b[lag:])) < 4.0 / math.sqrt(N - lag)


def test_pairs_have_the_law_too():
    out = np.empty(1_000_000)
    pairs(streams(3, "test-rng", 1)[0], out)
    assert stats.kstest(out, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(out[::2], out[1::2])[0, 1]) < 4.0 / math.sqrt(500_000)
