"""The East model against simulations and its equilibrium."""

import math

import numpy as np
import pytest
from theory_checks import z_score

from phasegrok.theory import east


def test_east_simulated():
    N, T, n = 5, 0.8, 40000
    c = east.thermodynamics(T).energy
    times = [1.0, 4.0, 12.0]
    exact_C, exact_P = east.autocorrelation(times, T, N), east.persistence(times, T, N)
    rng, ring = np.random.default_rng(3), np.arange(n)
    start = (rng.random((n, N)) < c).astype(int)
    s, untouched = start.copy(), np.ones((n, N), bool)
    for step in range(1, 61):
        i, u = rng.integers(N, size=n), rng.random(n)
        new = np.where(s[ring, i - 1] == 1, u < c, s[ring, i])
        untouched[ring, i] &= new == s[ring, i]
        s[ring, i] = new
        if step / N in times:
            k = times.index(step / N)
            C = ((s - c) * (start - c)).mean(1) / (c * (1 - c))
            assert abs(z_score(C, exact_C[k])) < 3
            assert abs(z_score(untouched.mean(1), exact_P[k])) < 3


def test_east_equilibrium():
    T, h = 0.6, 1e-4
    at = east.thermodynamics(T)
    near = [east.thermodynamics(t) for t in (T - h, T + h)]
    assert at.energy == pytest.approx(T**2 * (near[1].ln_Z - near[0].ln_Z) / (2 * h), rel=1e-6)
    assert at.heat_capacity == pytest.approx((near[1].energy - near[0].energy) / (2 * h), rel=1e-6)
    assert at.energy == pytest.approx(1 / (1 + math.exp(1 / T)), rel=1e-14)
