"""Crossings of Binder ratios and quotients there against enumeration, and limits of large sizes."""

import math

import numpy as np
import pytest
from exact_samples import drawn_lattice, ising_averages
from scipy.optimize import brentq

from phasegrok.thermodynamics.crossings import crossings, large_size_limit

TEMPERATURES = (2.0, 2.4, 2.8)
OMEGA = 1.75


def test_crossing_and_quotients_against_enumeration():
    T = brentq(lambda T: ising_averages(4, T)["binder"]
                        - ising_averages(6, T)["binder"], 2.0, 2.8)
    small, large = (ising_averages(L, T) for L in (4, 6))
    b = math.log(6 / 4)
    expected = [T, small["binder"], math.log(large["binder_slope"] / small["binder_slope"]) / b,
                -math.log(large["order_parameter_abs"] / small["order_parameter_abs"]) / b,
                math.log(large["susceptibility"] / small["susceptibility"]) / b]
    rng = np.random.default_rng(6)
    z = []
    for _ in range(16):
        found = crossings([drawn_lattice(L, TEMPERATURES, rng) for L in (4, 6)])
        assert found.sizes_p2.tolist() == [[4, 6]]
        z.append((found.values_pq[0] - expected) / found.errors_pq[0])
    z = np.array(z)
    assert np.all(np.abs(z.mean(axis=0)) < 4.0 / math.sqrt(16))
    assert 0.7 < math.sqrt((z**2).mean()) < 1.3


def test_limit_of_large_sizes_is_unbiased_where_the_correction_hides_in_the_errors():
    rng = np.random.default_rng(2)
    sizes, error = np.array([8, 16, 32, 64]), np.array([2e-3, 2e-3, 3e-3, 4e-3])
    true = 1.0 + 0.15 * sizes**-OMEGA  # 2 errors at L = 8
    z = []
    for _ in range(300):
        limit = large_size_limit(sizes, true + error * rng.normal(size=4), np.diag(error**2),
                                     OMEGA)
        z.append((limit.value - 1.0) / limit.error)
    assert abs(np.mean(z)) < 4.0 / math.sqrt(300)
    assert 0.85 < np.std(z) < 1.15
    assert np.isnan(large_size_limit([8], [math.nan], np.ones((1, 1)), 1.0).value)


def test_smallest_size_is_left_out_where_one_correction_is_not_enough():
    sizes = np.array([4, 8, 16, 32, 64])
    values = 2.0 + 0.5 * sizes**-1.0 + np.array([0.3, 0.0, 0.0, 0.0, 0.0])
    limit = large_size_limit(sizes, values, 1e-6 * np.eye(5), 1.0)
    assert limit.n == 4 and limit.value == pytest.approx(2.0) and limit.chi2 < 1e-6
    assert limit.amplitude == pytest.approx(0.5)
