"""One reweighted size against exact enumeration: averages, peaks and crossings, with errors."""

import math

import numpy as np
import pytest
from exact_samples import (
    FIRST,
    SYMMETRIC,
    drawn,
    drawn_lattice,
    exact_peak,
    ising_averages,
    jackknife,
)

from phasegrok.thermodynamics.curves import Reweighted, Series, cells, curves
from phasegrok.thermodynamics.peaks import crossing, peak

TEMPERATURES = (2.0, 2.4, 2.8)


def test_curves_and_their_errors_against_enumeration():
    rng = np.random.default_rng(5)
    grid = np.array([2.0, 2.13, 2.5, 2.8])
    z = []
    for _ in range(12):
        found = curves(drawn_lattice(4, TEMPERATURES, rng), grid)
        for name in ising_averages(4, 2.0):
            value, error = found.mean_and_error(name)
            expected = [ising_averages(4, T)[name] for T in grid]
            z.append((value - expected) / error)
    z = np.array(z)  # 12 seeds x 6 names, 4 temperatures of which about 3 are independent
    assert abs(z.mean()) < 4.0 / math.sqrt(12 * 2)
    assert 0.85 < math.sqrt((z**2).mean()) < 1.15
    assert error.max() / np.abs(value).max() < 0.03


def test_what_the_histograms_do_not_cover_is_refused():
    data = drawn_lattice(6, TEMPERATURES, np.random.default_rng(7), replicas=8, n=50)
    assert data.found.log_g_jackknife_bc.shape[0] == 8
    with pytest.raises(ValueError, match="do not cover"):
        curves(data, [40.0])
    with pytest.raises(ValueError, match="blocks"):
        Reweighted(data.series, np.ones(3), 12)


def test_blocks_of_replicas_and_stretches_of_them():
    """All leave the averages as they are, and give errors of one size of independent samples."""
    series = drawn_lattice(4, TEMPERATURES, np.random.default_rng(3), replicas=16, n=801).series
    numbers = (8, 16, 64)
    found = [Reweighted(series, np.ones(3), n).averages(np.array([2.2]))["energy"][:, 0]
             for n in numbers]
    assert [len(rows) for rows in found] == [9, 17, 65]
    assert found[0][0] == found[1][0] == pytest.approx(found[2][0], abs=1e-3)  # of 801, 800 are cut
    errors = [math.sqrt((n - 1) / n * ((rows[1:] - rows[1:].mean()) ** 2).sum())
              for n, rows in zip(numbers, found)]
    assert errors == pytest.approx(3 * [errors[2]], rel=0.8)


def test_many_energies_are_binned_far_finer_than_they_fluctuate():
    rng = np.random.default_rng(1)
    energy = rng.normal(0.0, 50.0, (1, 8, 5000))
    cell, energies = cells(energy)
    assert len(energies) < energy.size / 10
    assert np.abs(energies[cell] - energy).max() < 0.01 * 50.0
    assert energies[cell].mean() == pytest.approx(energy.mean(), abs=1e-9)
    assert energies[cell].var() == pytest.approx(energy.var(), rel=1e-4)


def test_energies_that_do_not_recur_overlap_all_the_same():
    """Few samples of a continuous energy: no two are equal."""
    rng = np.random.default_rng(2)
    energy = np.stack([rng.normal(mean, 50.0, (8, 20)) for mean in (-50.0, 0.0, 50.0)])
    series = Series(100, np.array([1.0, 1.01, 1.02]), energy, rng.normal(size=energy.shape), True)
    assert np.isfinite(Reweighted(series).found.log_g_c).all()


def test_distributions_of_the_order_parameter_agree_with_averages():
    data = Reweighted(drawn(64, np.linspace(1.7, 3.0, 8), FIRST))
    T = np.array([2.2])
    p_rf, found = data.p_phi(T), data.averages(T)
    assert p_rf.sum(axis=1) == pytest.approx(1.0, rel=1e-5)
    assert p_rf @ data.phi_f == pytest.approx(found["order_parameter"][:, 0], abs=1e-5)
    rows = data.averages_of_rows(np.full(len(p_rf), 2.2))
    for name, values in found.items():
        assert rows[name] == pytest.approx(values[:, 0], rel=1e-9), name


def test_peaks_have_their_exact_place_and_height():
    for series, couplings in (
            (drawn(64, np.linspace(1.7, 3.0, 12), FIRST), FIRST),
            (drawn(100, np.linspace(0.6, 1.6, 14), SYMMETRIC, symmetric=True), SYMMETRIC)):
        found = peak(Reweighted(series), "susceptibility")
        T, height = exact_peak(series.n_sites, couplings, found.low, found.high)
        for row_r, known in ((found.temperature_r, T), (found.height_r, height)):
            error = jackknife(row_r)
            assert error < 0.01 * known
            assert abs(row_r[0] - known) < 3.0 * error


def test_no_peak_where_a_curve_is_highest_at_an_end():
    found = peak(Reweighted(drawn(64, np.linspace(3.0, 4.0, 5), FIRST)), "susceptibility")
    assert not found.found and np.isnan(found.height_r).all()


def test_crossing_of_known_curves():
    T = np.linspace(0.0, 1.0, 21)
    rows = 0.01 * np.array([0.0, 1.0, -1.0, 2.0, -2.0])[:, None]
    small, large = 1.0 - T + rows, 1.9 - 3.0 * T - rows
    found = crossing(T, small, large)
    assert found.value == pytest.approx(0.45, abs=1e-12)
    # each size moves the root by row / 2; jackknife of (1, -1, 2, -2) / 200 is sqrt(3/4 10) / 200
    assert found.error == pytest.approx(math.sqrt(2.0) * math.sqrt(7.5) / 200.0)
    assert math.isnan(crossing(T, large, small).value)


def test_of_several_crossings_the_one_that_divides_best():
    """Both curves are the same, but for noise, on one side."""
    T = np.linspace(0.0, 1.0, 101)
    small = np.where(T < 0.5, 2.0 / 3.0, 2.0 / 3.0 - (T - 0.5)) * np.ones((5, 1))
    large = np.where(T < 0.6, 2.0 / 3.0, 2.0 / 3.0 - 2.0 * (T - 0.6)) * np.ones((5, 1))
    large = large + 1e-3 * np.random.default_rng(1).normal(size=T.size) * (T < 0.4)
    found = crossing(T, small, large)
    assert found.value == pytest.approx(0.7)
    assert found.small_b == pytest.approx(0.7) and found.error == pytest.approx(0.0, abs=1e-12)
