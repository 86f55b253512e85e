"""The order of a transition from barriers against size, on systems whose order is known."""

import csv
import math

import numpy as np
import pytest
from repository import REFERENCE

from phasegrok.theory import curie_weiss
from phasegrok.theory.potts import interface_tension
from phasegrok.thermodynamics.order import (
    barrier_growth,
    label_of,
    order_of_peaks,
    order_of_transition,
)

TABLE = REFERENCE / "barriers.csv"


def sampled(q, coordinate):
    """N, barriers and errors of the square Potts model, from the table."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if int(row["q"]) == q]
    names = ("N", f"barrier_{coordinate}", f"barrier_{coordinate}_err")
    return np.array([[float(row[name]) for name in names] for row in rows]).T


@pytest.mark.parametrize("q, first_order", [
    (6, False),   # L = 64 is 0.4 correlation lengths
    (8, True),    # L = 32 is 1.3 of them
    (10, True)])  # L = 24 is 2.3 of them
@pytest.mark.parametrize("coordinate", ["phi", "energy"])
def test_potts_spins(coordinate, q, first_order):
    growth = barrier_growth(*sampled(q, coordinate), lattice=True)
    assert growth.first_order == first_order, growth.reason
    if not first_order:
        assert label_of(growth, scales=growth.grows) == "undecided"


def test_eight_colours_of_a_run_too_short_are_undecided():
    """Barriers of L = 16 and 32 from a twentieth of the sweeps: growth by less than 3 errors."""
    N, height, error = np.array([256.0, 1024.0]), np.array([1.62, 2.35]), np.array([0.07, 0.25])
    growth = barrier_growth(N, height, error, lattice=True)
    assert label_of(growth, scales=True) == "continuous" and not growth.first_order
    assert label_of(growth, scales=False) == "undecided"


@pytest.mark.parametrize("q, first_order", [(5, False), (6, False), (8, True), (10, True)])
def test_interfaces_of_the_exact_tension(q, first_order):
    """Barriers 2 sigma L over the one of order one that a critical point has, errors of 2 %."""
    L = np.array([16.0, 32.0, 64.0])
    for offset in (0.3, 0.6, 1.0):
        height = 2.0 * interface_tension(q) * L + offset
        found = barrier_growth(L**2, height, 0.02 * height, lattice=True)
        assert found.first_order == first_order, found.reason


def test_blume_capel_on_its_first_order_line():
    """D = 1.98, barriers in |m| of L = 6 and 10 from ladders of 16 replicas, 6000 sweeps."""
    N, height, error = np.array([36.0, 100.0]), np.array([2.97, 4.24]), np.array([0.19, 0.20])
    assert barrier_growth(N, height, error, lattice=True).first_order


@pytest.mark.parametrize("couplings", [(0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (-0.1, 1.0, 1.0)])
@pytest.mark.parametrize("sizes", [(24, 48), (50, 75, 100, 150), (32, 64, 128)])
def test_curie_weiss_spins_from_their_exact_weights(couplings, sizes):
    height = np.array([curie_weiss.finite_coexistence(N, *couplings).barrier.from_low
                       for N in sizes])
    found = barrier_growth(np.array(sizes), height, 0.04 * height, lattice=False)
    assert found.first_order, found.reason


@pytest.mark.parametrize("height_of", [
    lambda N: (N / 256.0) ** 0.22,            # slower than between phases: corrections to scaling
    lambda N: 1.2 * (N / 256.0) ** 0.22,
    lambda N: 1.0 - 0.5 * (N / 64.0) ** -0.5,  # one form at all sizes, but for a correction
    lambda N: 0.8 + 0.0 * N,
    lambda N: 0.0 * N,
])
def test_barriers_of_a_critical_point_are_not_first_order_however_small_the_errors(height_of):
    N = np.array([64.0, 256.0, 1024.0, 4096.0])
    height, error = height_of(N), np.full(4, 0.004)
    growth = barrier_growth(N, height, error, lattice=True)
    assert not growth.first_order, growth.reason
    assert growth.grows == (height[-1] - height[-2] > 3.0 * math.sqrt(2.0) * 0.004)
    assert label_of(growth, scales=True) == ("undecided" if growth.grows else "continuous")
    both = order_of_transition(N, np.sqrt(N), height, error, None, 2)
    assert both.label == "undecided" and growth.reason in both.reason


@pytest.mark.parametrize("height, label", [
    ((0.74, 1.0), "undecided"), ((1.9, 2.58), "undecided"), ((1.6, 2.9), "first-order")])
def test_a_phase_diagram_and_finite_size_scaling_judge_alike(height, label):
    """N^0.22 was first-order by the one and undecided by the other."""
    N = np.array([256.0, 1024.0])
    error = 0.02 * np.array(height)
    found, reason = order_of_peaks(N, height, error, [(0.9, 0.02)], [(math.nan, math.nan)], "",
                                   lattice=True)
    other = order_of_transition(N, np.sqrt(N), np.array(height), error, None, 2)
    assert found == other.label == label, reason


def test_what_the_sizes_do_not_show_is_undecided():
    N, height, error = (np.array(x) for x in ([64.0, 144.0, 256.0], [1.4, 2.0, 2.6], [0.05] * 3))
    assert barrier_growth(N, height, error, lattice=True).first_order
    assert not barrier_growth(N[:1], height[:1], error[:1], lattice=True).first_order
    assert not barrier_growth(N, height, 8.0 * error, lattice=True).first_order
    falls = barrier_growth(N, np.array([1.4, 2.6, 2.2]), error, lattice=False)
    assert not falls.first_order and "falls" in falls.reason
    unknown = np.full(3, np.nan)
    assert barrier_growth(N, unknown, unknown, lattice=True).reason == "barriers were not measured"
    # of unknown sizes the others are judged
    assert barrier_growth(N, np.array([1.4, np.nan, 2.6]), error, lattice=True).first_order


@pytest.mark.parametrize("heights, label", [
    ([1.0, 1.5, 2.0, 2.5], "first-order"),
    ([1.0, 1.5, 1.1, 2.5], "undecided"),
    ([0.5, 0.51, 0.5, 0.51], "undecided"),
    ([0.0, 0.0, 0.0, 0.0], "undecided"),  # a crossover has no barrier either
    ([1.0, 1.4, math.nan, math.nan], "undecided"),
])
def test_verdict_follows_its_rule(heights, label):
    area, error = np.array([8.0, 12.0, 16.0, 20.0]), np.full(4, 0.04)
    order = order_of_transition(area**2, area, np.array(heights), error, None, 2)
    assert order.label == label and order.reason
