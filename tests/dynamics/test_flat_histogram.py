"""The flat-histogram kernel: its random numbers."""

import numpy as np
import pytest
from scipy.stats import kstest

from phasegrok.dynamics import flat_histogram
from phasegrok.rng import next_word, streams


def test_random_numbers_of_attempts():
    """Site and uniform fraction are the integer part and the rest of N times a random word."""
    n, n_sites = 1000, 12_345
    words, sites, variates = np.zeros(1024, np.uint64), np.zeros(1024, np.int32), np.zeros(1024)
    rng = streams(1, "attempts", 1)[0]
    same = rng.copy()
    flat_histogram.random_numbers(rng, n_sites, n, words, sites, variates)
    for i in range(n):
        product = int(next_word(same)) * n_sites
        assert sites[i] == product >> 64
        assert int(words[i]) == product % 2**64
    assert np.array_equal(rng, same)


def test_exponential_variates():
    """Equal to -ln u to rounding, so exponential."""
    words = np.random.default_rng(1).integers(0, 2**64, 200_000, dtype=np.uint64)
    words[:3] = 0, 2**64 - 1, 2**63
    variates = np.zeros(words.size)
    flat_histogram.exponential_variates(words, variates, words.size)
    u = ((words >> np.uint64(11)).astype(float) + 1.0) * 2.0**-53
    assert variates == pytest.approx(-np.log(u), rel=1e-14, abs=1e-15)
    assert kstest(variates[3:], "expon").pvalue > 1e-3
