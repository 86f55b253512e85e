"""Ladders of a larger size from smaller ones, on Curie-Weiss spins."""

import math
from itertools import pairwise

import numpy as np
import pytest
from exact_samples import FIRST, drawn

from phasegrok.theory import curie_weiss
from phasegrok.thermodynamics.curves import Reweighted
from phasegrok.thermodynamics.ladders import rungs, too_high


@pytest.fixture(scope="module")
def first_order():
    return [drawn(N, np.linspace(1.7, 3.0, 12), FIRST) for N in (32, 64, 128)]


def test_rungs_are_close_enough_for_exchange(first_order):
    T_k = rungs(Reweighted(first_order[0]), 128)
    assert 1.7 <= T_k[0] < T_k[-1] <= 3.0
    # far enough that 128 spins are in one phase at either end: they coexist at 2.3224
    assert T_k[0] < 2.2 and T_k[-1] > 2.45
    for cold, hot in pairwise(T_k):
        C = curie_weiss.thermodynamics(128, 0.5 * (cold + hot), *FIRST).heat_capacity
        # standard deviations of E between neighbours; more where C of 128 peaks higher than of 32
        assert math.sqrt(C) * (hot - cold) / (0.5 * (cold + hot)) < 2.0


def test_a_barrier_too_high_is_not_tried(first_order):
    assert not too_high(first_order[:2], 128)
    assert too_high(first_order, 2000)  # 0.0218 nat a spin


def test_no_larger_size_where_histograms_do_not_overlap():
    """Nothing can be planned from it; what is known of the others is not lost."""
    assert too_high([drawn(400, [0.5, 20.0], FIRST)], 800)
    assert not too_high([drawn(32, [2.0, 2.3], FIRST)], 64)
