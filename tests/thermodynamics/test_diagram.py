"""Transitions along the temperature: classes and temperatures of Curie-Weiss spins."""

import dataclasses
import math

import numpy as np
import pytest
from exact_samples import FIELD, FIRST, SYMMETRIC, drawn, exact_peak

from phasegrok.theory import curie_weiss
from phasegrok.thermodynamics.curves import Reweighted, Series
from phasegrok.thermodynamics.diagram import PHASES, analyse, phases, transition


@pytest.fixture(scope="module")
def first_order():
    return [drawn(N, np.linspace(1.7, 3.0, 12), FIRST) for N in (32, 64, 128)]


@pytest.fixture(scope="module")
def symmetric():
    return [drawn(N, np.linspace(0.6, 1.6, 14), SYMMETRIC, symmetric=True)
            for N in (100, 200, 400)]


def test_first_order_where_the_barrier_grows(first_order):
    found = transition([Reweighted(series) for series in first_order])
    assert found.label == "first-order"
    exact = curie_weiss.coexistence(*FIRST).temperature
    assert abs(found.temperature - exact) < 3.0 * found.temperature_err < 0.02 * exact
    # equal height at every size against the exact weights of that size
    for s, N in enumerate((32, 64, 128)):
        known = curie_weiss.finite_coexistence(N, *FIRST)
        T, error = (found.sizes[f"barrier_temperature{x}"][s] for x in ("", "_err"))
        assert abs(T - known.temperature) < 3.0 * error < 0.02 * T
        barrier, error = (found.sizes[f"barrier{x}"][s] for x in ("", "_err"))
        assert error < 0.1 * barrier
        assert abs(barrier - known.barrier.from_low) < 3.0 * error


def test_continuous_where_peaks_grow_and_binder_ratios_cross(symmetric):
    data = [Reweighted(series) for series in symmetric]
    found = transition(data)
    assert found.label == "continuous"
    assert abs(found.temperature - 1.0) < 3.0 * found.temperature_err < 0.04
    # the Binder ratios of the exact weights of 200 and 400 spins cross here
    assert abs(found.binder_crossing - 0.992662) < 3.0 * found.binder_crossing_err < 0.02
    # chi ~ N^(1/2) at the mean-field critical point, with corrections below 0.05 at these sizes
    exact = [exact_peak(N, SYMMETRIC, 0.8, 1.4)[1] for N in (200, 400)]
    assert abs(found.growth - math.log(exact[1] / exact[0]) / math.log(2.0)) < (
        3.0 * found.growth_err) < 0.1
    assert abs(found.coexistence_end - 1.0) < 3.0 * found.coexistence_end_err + 0.01
    assert found.coexistence[0] == pytest.approx(0.6)
    T_t = np.array([0.65, 1.5])
    assert [PHASES[i] for i in phases(data[-2], data[-1], T_t)] == ["ordered", "disordered"]


def test_crossover_where_the_peak_stops_growing():
    series = [drawn(N, np.linspace(2.5, 6.5, 14), FIELD) for N in (32, 64, 128)]
    found = transition([Reweighted(one) for one in series])
    assert found.label == "crossover"
    assert not np.isfinite(found.coexistence_end)
    exact = exact_peak(128, FIELD, 2.6, 6.4)[0]
    assert abs(found.temperature - exact) < 3.0 * found.temperature_err < 0.03 * exact


def test_the_sign_of_the_order_parameter_does_not_matter(first_order):
    mirrored = [Series(one.n_sites, one.temperatures_k, one.energy_krt, -one.phi_krt, False)
                for one in first_order]
    found, other = (transition([Reweighted(one) for one in series])
                    for series in (first_order, mirrored))
    assert found.label == other.label
    for name in ("temperature", "temperature_err", "growth", "growth_err"):
        assert getattr(other, name) == pytest.approx(getattr(found, name), rel=1e-6), name
    for one, two in zip(first_order, mirrored):
        rows = [Reweighted(x).averages(np.array([2.35])) for x in (one, two)]
        assert rows[0]["order_parameter"] == pytest.approx(-rows[1]["order_parameter"])
        assert rows[0]["susceptibility"] == pytest.approx(rows[1]["susceptibility"])


def test_few_independent_samples_are_no_evidence(first_order):
    """The same averages, of series that stand still most of the time."""
    few = [dataclasses.replace(one, energy_krt=one.energy_krt[..., :5],
                               phi_krt=one.phi_krt[..., :5]) for one in first_order]
    slow = [dataclasses.replace(one, energy_krt=np.repeat(one.energy_krt, 500, axis=2),
                                phi_krt=np.repeat(one.phi_krt, 500, axis=2)) for one in few]
    assert not Reweighted(slow[-1]).is_evidence
    found = transition([Reweighted(one) for one in slow])
    assert found.label == "undecided" and "independent samples" in found.reason


def test_undecided_without_sizes_or_peak_or_equilibrium(first_order, symmetric):
    assert transition([Reweighted(first_order[0])]).reason == "one size only"
    above = [drawn(N, np.linspace(3.0, 4.0, 5), FIRST) for N in (32, 64)]
    assert transition([Reweighted(one) for one in above]).label == "undecided"
    stuck = first_order[1].energy_krt.copy()
    ordered_r = np.arange(stuck.shape[1]) // 2 % 2 == 1
    stuck[:, ordered_r] += 0.5 * stuck.std(axis=(1, 2))[:, None, None]
    late = Series(64, first_order[1].temperatures_k, stuck, first_order[1].phi_krt, False)
    found = transition([Reweighted(first_order[0]), Reweighted(late)])
    assert found.label == "undecided" and "disagree" in found.reason


def test_a_size_without_equilibrium_is_no_evidence(first_order):
    stuck = first_order[2].energy_krt.copy()
    ordered_r = np.arange(stuck.shape[1]) // 2 % 2 == 1
    stuck[:, ordered_r] += 0.5 * stuck.std(axis=(1, 2))[:, None, None]
    late = Series(128, first_order[2].temperatures_k, stuck, first_order[2].phi_krt, False)
    found = transition([Reweighted(one) for one in (*first_order[:2], late)])
    assert found.label == "first-order" and len(found.sizes["barrier"]) == 2


def test_phases_in_a_field_are_named_by_the_sign():
    series = [drawn(N, np.linspace(1.4, 3.2, 10), (-0.2, 1.0, 1.0)) for N in (32, 64)]
    column = analyse(series)
    T_co = curie_weiss.coexistence(-0.2, 1.0, 1.0).temperature  # the sign changes there
    hot = column.temperatures_t > T_co + 0.4
    cold = column.temperatures_t < T_co - 0.4
    assert {PHASES[i] for i in column.phase_t[hot]} == {"negative"}
    assert {PHASES[i] for i in column.phase_t[cold]} == {"positive"}


def test_a_size_whose_histograms_do_not_overlap_is_left_out(first_order):
    small, middle, large = first_order
    gap = drawn(96, [0.5, 20.0], FIRST)
    for series, known in (([small, gap, large], [0, 2]), ([gap, small, large], [1, 2]),
                          ([small, middle, gap], [0, 1]), ([gap], [])):
        found = analyse(series)
        assert "N = 96 left out: no energy occurred on both sides" in found.transition.reason
        assert np.flatnonzero(np.isfinite(found.curves["energy"]).any(axis=1)).tolist() == known
        if known:
            assert np.flatnonzero(np.isfinite(found.transition.sizes["barrier"])).tolist() == known
            other = analyse([series[k] for k in known]).transition
            assert found.transition.temperature == other.temperature
            assert found.transition.reason.startswith(other.reason)
