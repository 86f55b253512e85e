"""Data collapse of points on known scaling functions, and what does not collapse."""

import dataclasses
import math

import numpy as np
import pytest

from phasegrok.theory import ising
from phasegrok.thermodynamics.collapse import SHARES, Points, collapse
from phasegrok.thermodynamics.order import order_of_transition

T_C = ising.critical_temperature()
OMEGA = 1.75


def _points(rng, sizes=(8, 16, 32, 64), relative=2e-3, correction=0.0, bend=0.0, fault=0.0):
    """Points on known scaling functions, with errors that are correlated within a size."""
    data = []
    for L in sizes:
        x = np.linspace(-0.7, 0.7, 5)
        T = T_C * (1.0 + x / L)
        t = T / T_C - 1.0
        x = t * (1.0 + bend * t) * L
        shift = correction * L**-OMEGA
        y = np.stack([0.6 - 0.25 * np.tanh(x) + shift + fault * (L == 32),
                      -0.4 * np.tanh(x) - 0.125 * math.log(L) + shift,
                      -x**2 / 2.0 + 0.3 * x + 1.75 * math.log(L) - shift])
        distance = np.abs(np.subtract.outer(np.arange(15) % 5, np.arange(15) % 5))
        covariance = relative**2 * (0.2 * np.eye(15) + 0.8 * np.exp(-distance / 2.0)
                                    * np.kron(np.eye(3) * 0.6 + 0.4, np.ones((5, 5))))
        noise = np.linalg.cholesky(covariance) @ rng.normal(size=15)
        data.append(Points(L, T, y + noise.reshape(3, 5), covariance))
    return data


EXACT = np.array([T_C, 1.0, 0.125, 1.75])


@pytest.mark.parametrize("corrections", [{}, {"bend": -0.3}, {"correction": 0.2},
                                         {"correction": 0.6, "bend": -0.7}])
def test_collapse_finds_exponents_with_honest_errors(corrections):
    rng = np.random.default_rng(3)
    z, p = [], []
    for _ in range(40):
        found = collapse(_points(rng, **corrections), (T_C * 1.001, 0.97), OMEGA)
        assert found.collapsed
        z.append((found.parameters - EXACT) / found.errors)
        p.append(found.p)
    z = np.array(z)
    assert np.all(np.abs(z.mean(axis=0)) < 4.0 / math.sqrt(40))
    assert 0.8 < math.sqrt((z**2).mean()) < 1.2
    assert 0.3 < np.mean(p) < 0.7
    assert found.errors[1] < 0.03


def test_what_does_not_scale_does_not_collapse():
    rng = np.random.default_rng(4)
    found = collapse(_points(rng, fault=0.05), (T_C, 1.0), OMEGA)
    assert not found.collapsed and "no collapse" in found.reason
    few = collapse(_points(rng, sizes=(8, 16)), (T_C, 1.0), OMEGA)
    assert not few.collapsed and np.isnan(few.parameters).all()


def _smooth(rng, sizes=(8, 16, 32), relative=1e-3, second=0.6, stretched=0.0):
    """Windows of the same data, whole, half and a quarter, with terms of the next order.

    What is not known of the curve of a size is a smooth function of x, each Chebyshev coefficient
    0.3 of the one before: as reweighting has it.  ``stretched`` is for the size in the middle.
    """
    noise = {L: relative * 0.3 ** np.arange(5) * rng.normal(size=(3, 5)) for L in sizes}
    windows = []
    for share in SHARES:
        data = []
        for L in sizes:
            u = share * np.linspace(-1.0, 1.0, 5)
            x = 0.9 * u
            t = x / L
            next_order = second * np.stack([-0.1 * t * x**2, t * t + 0.1 * t * x**2,
                                            2.0 * t * t - 0.3 * t * x**2])
            y = next_order + np.stack([0.6 - 0.25 * np.tanh(x) + 0.2 * L**-OMEGA,
                                       -0.4 * np.tanh(x) - 0.125 * math.log(L),
                                       -x**2 / 2.0 + 0.3 * x + 1.75 * math.log(L)])
            basis = np.polynomial.chebyshev.chebvander(u, 4)
            part = (basis * (relative * 0.3 ** np.arange(5)) ** 2) @ basis.T
            wide = 1.0 + stretched * (L == sizes[1])
            data.append(Points(L, T_C * (1.0 + wide * t), y + noise[L] @ basis.T,
                                   np.kron(np.eye(3), part)))
        windows.append(data)
    return windows


def test_small_sizes_of_a_critical_point_collapse_near_it():
    """Terms that are a fraction of an error bar far from T_c are no lack of scaling."""
    rng = np.random.default_rng(11)
    for _ in range(3):
        whole, *narrower = _smooth(rng)
        assert not collapse(whole, (T_C, 1.0), OMEGA).collapsed
        found = collapse(whole, (T_C, 1.0), OMEGA, tuple(narrower))
        assert found.collapsed, found.reason
        assert found.window[1] <= 0.5
        assert np.abs((found.parameters - EXACT) / found.errors).max() < 4.0


@pytest.mark.parametrize("stretched, collapsed", [(0.0, True), (0.03, False), (-0.03, False)])
def test_a_wrong_exponent_does_not_collapse_in_any_window(stretched, collapsed):
    """One size with its temperatures off by 3 %: 1/nu of the pairs of sizes differs by 0.09."""
    rng = np.random.default_rng(12)
    for _ in range(2):
        whole, *narrower = _smooth(rng, second=0.0, stretched=stretched)
        assert collapse(whole, (T_C, 1.0), OMEGA, tuple(narrower)).collapsed == collapsed


def test_scaled_points_lie_on_the_master_curves():
    data = _points(np.random.default_rng(8), relative=1e-4, correction=0.6, bend=-0.7)
    found = collapse(data, (T_C, 1.0), OMEGA)
    for d in data:
        if d.size not in found.sizes:
            continue
        y = np.stack([d.y_ot[0], np.exp(d.y_ot[1]), np.exp(d.y_ot[2])])
        scaled = found.scaled(d.size, d.temperatures_t, y)
        assert scaled == pytest.approx(found.master(found.x(d.size, d.temperatures_t)), rel=1e-3)


def test_verdict_hears_the_collapse():
    found = collapse(_points(np.random.default_rng(9)), (T_C, 1.0), OMEGA)
    none = np.array([])
    assert order_of_transition(none, none, none, none, found, 2).label == "continuous"
    assert order_of_transition(none, none, none, none, None, 2).label == "undecided"
    fast = dataclasses.replace(found, parameters=np.array([T_C, 2.0, 0.1, 1.8]))  # 1/nu = d
    assert order_of_transition(none, none, none, none, fast, 2).label == "undecided"
    area, zero = np.array([4.0, 6.0, 8.0]), np.zeros(3)
    assert order_of_transition(area**2, area, zero, zero + 0.01, found, 2).label == "continuous"
    assert order_of_transition(area**2, area, zero, zero + 0.01, fast, 2).label == "undecided"
