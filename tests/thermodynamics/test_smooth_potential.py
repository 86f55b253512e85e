"""Wells of equal height from series of Curie-Weiss spins, whose exact weights are known."""

import math

import numpy as np
import pytest
from exact_samples import FIELD, FIRST, drawn, jackknife

from phasegrok.theory import curie_weiss
from phasegrok.thermodynamics.curves import Reweighted
from phasegrok.thermodynamics.peaks import peak
from phasegrok.thermodynamics.smooth_potential import equal_height


def test_no_barrier_where_there_is_one_well():
    series = drawn(64, np.linspace(2.5, 6.5, 14), FIELD)
    data = Reweighted(series)
    found = equal_height(data, peak(data, "susceptibility"))
    error = jackknife(found.barrier_r)
    assert found.barrier_r[0] <= 3.0 * max(error, 0.01)


@pytest.mark.slow
def test_errors_are_calibrated():
    """z of the temperature of coexistence and of the critical point, over 24 seeds."""
    z = []
    exact = [curie_weiss.finite_coexistence(N, *FIRST).temperature for N in (32, 64)]
    for seed in range(24):
        for N, known in zip((32, 64), exact):
            data = Reweighted(drawn(N, np.linspace(1.7, 3.0, 8), FIRST, seed=seed))
            T_r = equal_height(data, peak(data, "susceptibility")).temperature_r
            error = jackknife(T_r)
            z.append((T_r[0] - known) / error)
    z = np.array(z)  # 48 values: the rms of a unit normal is 1 +- 0.1
    assert 0.7 < math.sqrt(np.mean(z**2)) < 1.35
    assert abs(z.mean()) < 3.0 / math.sqrt(len(z))
