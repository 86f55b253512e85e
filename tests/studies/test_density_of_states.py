"""Protocols from a card to groups: potentials, coexistence, components of the verdict, exactly."""

import dataclasses
import functools
import math

import numpy as np
import pytest
from repository import REFERENCE
from scipy.special import gammaln, logsumexp

from phasegrok import cards
from phasegrok.accounts.components import Measurements, barrier_at, judge
from phasegrok.errors import InputError
from phasegrok.figures.landscapes import potential_lines
from phasegrok.groups import Group
from phasegrok.relaxation.waiting_times import size_slope, temperature_slope
from phasegrok.studies.common import temperature_table
from phasegrok.studies.density_of_states import (
    landscape_temperatures,
    potential_groups,
    wang_landau,
)
from phasegrok.studies.finite_size import landscape_of
from phasegrok.studies.training import training
from phasegrok.studies.waiting_times import clones, waiting_groups
from phasegrok.theory import curie_weiss as cw_theory
from phasegrok.theory import first_passage
from phasegrok.theory import perceptron as perceptron_theory
from phasegrok.thermodynamics import tables
from phasegrok.thermodynamics.effective_potential import spinodals

BAND = (0.4, 2.7)  # rms z of one run with errors from 8 walkers: see test_wang_landau


def drive(protocol, seed=1):
    """The state at the end of a run."""
    state = protocol.init(seed)
    while protocol.done(state) < protocol.total():
        protocol.advance(state, 10**6)
    return state


def rms(x):
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(x))))


@functools.cache
def curie_weiss_potential(size=100, sweeps=100_000):
    """Groups of the landscape of the Curie-Weiss card at one size."""
    card = cards.load("curie-weiss-p3", {"parameters.N": size})
    protocol = wang_landau(card, sweeps, joint=True)
    temperatures = np.linspace(0.9, 1.9, 51)
    return potential_groups(protocol, drive(protocol), temperatures)


# --- effective potential, barrier, coexistence, spinodal -----------------------------------------


def test_effective_potential_of_curie_weiss():
    group = curie_weiss_potential()["effective_potential"]
    assert group.attributes["complete"] and group.attributes["per"] == "system"
    for k, temperature in enumerate(group["temperature"]):
        m, exact = cw_theory.effective_potential(100, temperature, J3=1.0)
        assert group["order_parameter"] == pytest.approx(m)
        V, error = group["potential"][k], group["potential_err"][k]
        assert np.nanmin(V) == 0.0
        here = int(np.argmin(V))
        deviation = V - (exact - exact[here])
        others = error > 0.0
        z = (deviation / np.where(others, error, 1.0))[others]
        assert others.sum() == 100  # all but the reference
        assert BAND[0] < rms(z) < BAND[1] and np.abs(z).max() < 5.5
        assert np.abs(deviation).max() < 0.3 and rms(deviation) < 0.1


def test_barrier_of_curie_weiss_at_every_temperature():
    group = curie_weiss_potential()["effective_potential"]
    for k, temperature in enumerate(group["temperature"]):
        height = group["barrier"][k]
        try:
            exact = cw_theory.barrier(100, temperature, J3=1.0)
        except ValueError:
            assert math.isnan(height) and group["wells"][k] == 1
            continue
        lower = min(exact.from_low, exact.from_high)
        if math.isnan(height):  # below the resolution of the run
            assert lower < 2.0 * group.attributes["resolution"]
            continue
        # the highest of several noisy columns near a flat top lies a little too high
        assert abs(height - lower) < 4.0 * group["barrier_err"][k]
        if lower > 1.5:
            assert abs(height - lower) < 0.03 * lower
        assert group["wells"][k] == 2
        assert group["well_low"][k] == pytest.approx(exact.m_low, abs=0.041)
        assert group["well_high"][k] == pytest.approx(exact.m_high, abs=0.041)
        same = barrier_at(group, temperature)
        assert same.value == height and same.error == group["barrier_err"][k]
    assert barrier_at(group, 1.2345) is None


def test_coexistence_of_curie_weiss_by_height_and_by_weight():
    group = curie_weiss_potential()["effective_potential"]
    for name, criterion in (("coexistence", "height"), ("equal_weight", "weight")):
        exact = cw_theory.finite_coexistence(100, J3=1.0, criterion=criterion)
        error = float(group[f"{name}_temperature_err"])
        assert 0.0 < error < 0.0015
        assert abs(float(group[f"{name}_temperature"]) - exact.temperature) < 4.0 * error
    exact = cw_theory.finite_coexistence(100, J3=1.0)
    deviation = float(group["coexistence_barrier"]) - exact.barrier.from_low
    assert abs(deviation) < 4.0 * float(group["coexistence_barrier_err"])
    assert abs(deviation) < 0.03 * exact.barrier.from_low


def test_spinodal_of_curie_weiss_at_this_size():
    """The exact potential's second well falls below the same resolution at the same temperature."""
    group = curie_weiss_potential()["effective_potential"]
    N = 100
    m, log_w = cw_theory.log_weights(N, 1.0, J3=1.0)
    energy = N * cw_theory.energy_per_spin(m, J3=1.0)
    log_g = np.full((N + 1, N + 1), np.nan)
    np.fill_diagonal(log_g, log_w + energy)
    exact = spinodals(energy, log_g, (0.9, 1.9), group.attributes["resolution"])
    assert exact.lower is None and np.isnan(group["spinodal_low"])
    error = float(group["spinodal_high_err"])
    assert 0.0 < error < 0.0075 * exact.upper
    assert abs(float(group["spinodal_high"]) - exact.upper) < 4.0 * error
    mean_field = cw_theory.spinodals(J3=1.0)[0].max()
    assert abs(exact.upper / mean_field - 1.0) < 0.02


def test_thermodynamics_of_curie_weiss():
    group = curie_weiss_potential()["thermodynamics"]
    for name, scale in (("mean_energy", 100.0), ("heat_capacity", 100.0), ("log_Z", 1.0)):
        exact = [cw_theory.thermodynamics(100, T, J3=1.0) for T in group["temperature"]]
        field = {"mean_energy": "energy", "heat_capacity": "heat_capacity", "log_Z": "ln_Z"}[name]
        values = np.array([getattr(x, field) for x in exact]) / scale
        z = (group[name] - values) / group[f"{name}_err"]
        assert rms(z) < BAND[1] and np.abs(z).max() < 5.0, name


@pytest.mark.slow
def test_barrier_grows_with_the_number_of_spins_as_it_should():
    low, high = (curie_weiss_potential(N, 200_000)["effective_potential"] for N in (50, 150))
    for k, temperature in enumerate(low["temperature"]):
        if not 1.0 < temperature < 1.6:
            continue
        slope = (high["barrier"][k] - low["barrier"][k]) / 100.0
        error = math.hypot(high["barrier_err"][k], low["barrier_err"][k]) / 100.0
        exact = [cw_theory.barrier(N, temperature, J3=1.0) for N in (50, 150)]
        heights = [min(x.from_low, x.from_high) for x in exact]
        assert abs(slope - (heights[1] - heights[0]) / 100.0) < 4.0 * error


def test_a_landscape_without_order_parameter_has_no_potential():
    card = cards.load("curie-weiss-p3", {"parameters.N": 10})
    protocol = wang_landau(card, 200, 2)
    groups = potential_groups(protocol, drive(protocol), np.array([1.0, 2.0]))
    assert "effective_potential" not in groups
    assert "--joint" in groups["not_estimated"].attributes["effective_potential"]


def test_no_barrier_of_a_size_whose_landscape_is_not_complete():
    card = cards.load("curie-weiss-p3")  # of 100 spins; its barriers are those in m
    density = curie_weiss_potential()["density_of_states"]
    exact = cw_theory.finite_coexistence(100, 0.0, 0.0, 1.0)
    for complete in (True, False):
        run = {"density_of_states": dataclasses.replace(
            density, attributes=density.attributes | {"complete": complete})}
        _, found, whole, _ = landscape_of(run, card)
        assert whole == complete == found.coexistence.found
        if complete:
            assert abs(found.height - exact.barrier.from_low) < 4.0 * found.error
        else:
            assert math.isnan(found.height) and math.isnan(found.error)
            assert np.isfinite(found.potential_b).any()


def test_no_coexistence_of_a_sample_whose_landscape_is_not_complete():
    """Two students: R = 1 without error and R = 1/3 at one error, of 8: T = 1/ln 8."""
    from phasegrok.protocols.landscapes import LandscapesState
    from phasegrok.studies.learning_curve import landscapes

    card = cards.load("ising-perceptron", {"parameters.N": 3, "parameters.P": 1})
    log_g = np.full((2, 2, 4), -np.inf)
    log_g[:, 0, 3], log_g[:, 1, 2] = 0.0, math.log(8.0)
    protocol = landscapes(card, 2, 10, 2)
    group = protocol.result(LandscapesState(log_g, np.array([True, False]), 1, 2))["landscapes"]
    assert group["coexistence"][0] == pytest.approx(1.0 / math.log(8.0), rel=1e-6)
    assert np.isnan(group["coexistence"][1])


# --- pairs of overlaps of the perceptron ---------------------------------------------------------


def test_merged_columns_add_their_states():
    log_g = np.log(np.array([[1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]]))
    log_g[0, 1] = np.nan
    log_g[1, 2:4] = np.nan
    group = Group(attributes={"complete": True})
    group.add("energy", [0.0, 1.0], "energy")
    group.add("order_parameter", [-1.0, -0.5, 0.0, 0.5, 1.0], "order_parameter")
    group.add("walker", [0, 1], "walker")
    group.add("log_g", log_g, ("energy", "order_parameter"))
    group.add("log_g_jackknife", np.stack([log_g, log_g + 1.0]),
              ("walker", "energy", "order_parameter"))
    pairs = tables.merge_columns(group, 2)
    assert pairs["order_parameter"] == pytest.approx([-0.75, 0.25, 1.0])
    expected = np.array([[1.0, 7.0, 5.0], [13.0, np.nan, 10.0]])
    assert np.exp(pairs["log_g"]) == pytest.approx(expected, nan_ok=True)
    assert np.exp(pairs["log_g_jackknife"][1]) == pytest.approx(math.e * expected, nan_ok=True)
    assert pairs.attributes["complete"]
    whole = np.exp(pairs["log_g"][np.isfinite(pairs["log_g"])]).sum()
    assert whole == pytest.approx(np.nansum(np.exp(log_g)))


@functools.cache
def small_perceptron():
    """Groups of the enumerated perceptron, and its exact counts by ascending overlap."""
    card = cards.load("ising-perceptron", {
        "parameters.N": 11, "parameters.P": 11,
        "data.file": str(REFERENCE / "perceptron_N11_P11_patterns.csv")})
    rows = card.arrays["patterns"]
    protocol = wang_landau(card, 100_000, 8, joint=True)
    temperatures = np.linspace(0.3, 2.0, 18)
    groups = potential_groups(protocol, drive(protocol), temperatures)
    return groups, perceptron_theory.joint_counts(rows[1:], rows[0])[:, ::-1]


def test_perceptron_potential_is_that_of_pairs_of_overlaps():
    groups, counts = small_perceptron()
    group = groups["effective_potential"]
    assert group.attributes["merged_values"] == 2
    R = -1.0 + 2.0 * np.arange(12) / 11.0
    assert group["order_parameter"] == pytest.approx(0.5 * (R[::2] + R[1::2]))
    assert groups["density_of_states"]["log_g"].shape[1] == 12  # the landscape itself keeps all
    with np.errstate(divide="ignore"):
        log_g = np.log(counts.astype(float))
    for k, temperature in enumerate(group["temperature"]):
        log_P = logsumexp(log_g - np.arange(12.0)[:, None] / temperature, axis=0)
        exact = -np.logaddexp(log_P[::2], log_P[1::2])
        here = int(np.argmin(group["potential"][k]))
        deviation = group["potential"][k] - (exact - exact[here])
        z = deviation[np.arange(6) != here] / np.delete(group["potential_err"][k], here)
        assert np.abs(z).max() < 5.5 and rms(z) < BAND[1]
        assert np.abs(deviation).max() < 0.05


def test_perceptron_thermodynamics_against_enumeration():
    groups, counts = small_perceptron()
    group = groups["thermodynamics"]
    exact = [perceptron_theory.thermodynamics(counts[:, ::-1], T) for T in group["temperature"]]
    for name, values in (("mean_energy", [x.energy / 11.0 for x in exact]),
                         ("heat_capacity", [x.heat_capacity / 11.0 for x in exact]),
                         ("log_Z", [x.ln_Z for x in exact])):
        z = (group[name] - values) / group[f"{name}_err"]
        assert rms(z) < BAND[1] and np.abs(z).max() < 5.0, name
        assert np.abs(group[name] / values - 1.0).max() < 0.03, name


# --- components of the verdict -------------------------------------------------------------------


TEMPERATURES, SIZES = (1.2, 1.1, 1.3), (50, 100)


@functools.cache
def curie_weiss_measurements(n_clones=2000):
    """Waiting times at three temperatures and two sizes, the noise-free run, the potentials."""
    card = cards.load("curie-weiss-p3")

    def wait(sized, temperature, number=n_clones):
        protocol = clones(sized, temperature, number)
        return waiting_groups(sized, protocol, drive(protocol))["waiting_times"]

    potentials = {}
    for N in SIZES:
        density = curie_weiss_potential(N)["density_of_states"]
        potentials[N] = tables.effective_potential(density, np.array(sorted(TEMPERATURES)))
    return Measurements(
        waits={T: wait(card, T) for T in TEMPERATURES},
        noise_free=wait(card, 0.0, 1),
        size=100,
        sizes={50: wait(card.resized(50), TEMPERATURES[0])},
        potentials=potentials,
    )


@functools.cache
def judged():
    """Components and verdict of these measurements."""
    return judge(curie_weiss_measurements(), temperature_drives=True)


def exact_tau(N, temperature):
    """Exact mean and standard deviation of the card's waiting time."""
    return first_passage.curie_weiss_first_passage(N, temperature, 0.0, 0.9, J3=1.0)


@pytest.mark.slow
def test_components_of_curie_weiss_against_exact_values():
    measured = curie_weiss_measurements()
    found = judged()[0]
    main = exact_tau(100, 1.2)
    assert found.tau.error < 0.025 * found.tau.value
    assert abs(found.tau.value - main.mean) < 4.0 * found.tau.error
    assert abs(found.cv.value - main.standard_deviation / main.mean) < 4.0 * found.cv.error
    # G and d ln tau/dN: the same fits to the exact means, weighted by the same errors
    errors = [float(measured.waits[T]["tau_err"]) for T in TEMPERATURES]
    line = temperature_slope(np.array(TEMPERATURES),
                             np.array([exact_tau(100, T).mean for T in TEMPERATURES]),
                             np.array(errors))
    # ln tau is curved in ln T, which enlarges the stated error; the statistical one is smaller
    statistical = line.slope_error / math.sqrt(max(1.0, line.chi2))
    assert statistical < 0.04 * line.slope
    assert abs(found.G.value - line.slope) < 4.0 * statistical
    assert line.slope > 6.0  # d ln tau/d ln T > 0: this T also drives the transition
    sizes = np.array([100.0, 50.0])
    errors = np.array([float(measured.waits[1.2]["tau_err"]), float(measured.sizes[50]["tau_err"])])
    line = size_slope(sizes, np.array([exact_tau(int(N), 1.2).mean for N in sizes]), errors)
    assert found.size_slope.error < 0.03 * found.size_slope.value
    assert abs(found.size_slope.value - line.slope) < 4.0 * found.size_slope.error
    barriers = [cw_theory.barrier(N, 1.2, J3=1.0) for N in SIZES]
    heights = [min(b.from_low, b.from_high) for b in barriers]
    assert abs(found.barrier.value - heights[1]) < 4.0 * found.barrier.error
    slope = (heights[1] - heights[0]) / 50.0
    assert abs(found.barrier_size_slope.value - slope) < 4.0 * found.barrier_size_slope.error
    assert found.barrier_size_slope.error < 0.03 * slope


def test_noise_free_time_of_curie_weiss():
    """At T = 0 every visited down spin turns: a sum of geometric times, one run of it."""
    found = judged()[0]
    up = np.arange(50, 95)
    p = (100 - up) / 100.0
    mean, variance = (1.0 / p).sum() / 100.0, ((1.0 - p) / p**2).sum() / 100.0**2
    assert abs(found.t0.value - mean) < 4.0 * math.sqrt(variance)


def test_verdict_of_curie_weiss_is_first_order():
    found, verdict = judged()
    assert verdict.label == "FIRST-ORDER"
    assert found.p_value.value > 0.01 and found.transit.value < 0.2


def test_waiting_groups_hold_the_exact_values_beside():
    measured = curie_weiss_measurements()
    for temperature, group in measured.waits.items():
        exact = cw_theory.barrier(100, temperature, J3=1.0)
        assert group.attributes["exact_tau"] == exact_tau(100, temperature).mean
        assert group.attributes["exact_barrier"] == min(exact.from_low, exact.from_high)
        z = (float(group["tau"]) - group.attributes["exact_tau"]) / float(group["tau_err"])
        assert abs(z) < 4.0
        assert group.attributes["time_unit"] == "sweeps"
    assert measured.sizes[50].attributes["exact_tau"] == exact_tau(50, 1.2).mean
    assert "exact_tau" not in measured.noise_free.attributes


# --- mistakes ------------------------------------------------------------------------------------


def test_protocols_refuse_cards_of_another_family():
    with pytest.raises(InputError, match="needs a discrete system"):
        wang_landau(cards.load("control-drift"))
    with pytest.raises(InputError, match="needs a network system"):
        training(cards.load("ising-2d"))


def test_protocols_say_what_a_card_lacks():
    with pytest.raises(InputError, match=r"\[waiting_times\]"):
        clones(cards.load("ising-2d"))
    with pytest.raises(InputError, match="negative"):
        clones(cards.load("curie-weiss-p3"), -1.0)
    with pytest.raises(InputError, match="no temperatures"):
        temperature_table(cards.load("control-drift"))
    with pytest.raises(InputError, match="the effective potential needs a discrete system"):
        wang_landau(cards.load("control-drift"), what="the effective potential")
    with pytest.raises(InputError, match=r"effective potential: .*take a smaller system"):
        wang_landau(cards.load("ising-2d", {"parameters.L": 1000}), joint=True,
                              what="the effective potential")


def test_energies_are_counted_in_bins_where_they_have_no_levels_or_the_card_says_so():
    levels = wang_landau(cards.load("ising-2d")).system
    assert not hasattr(levels, "width")
    none = {"parameters.h": 0.314159265358979}
    assert wang_landau(cards.load("ising-2d", none)).system.width > 0.0
    asked = {"density_of_states.bin_width": 3.0}
    assert wang_landau(cards.load("ising-2d", asked)).system.width == 3.0
    assert wang_landau(cards.load("edwards-anderson-3d-gaussian")).system.n_bins > 1000


def test_temperatures_of_a_landscape():
    """Those given, those of the card, those of its sampling, those where its energy changes."""
    card = cards.load("curie-weiss-p3")
    assert landscape_temperatures(card, "1:2:3") == pytest.approx([1.0, 1.5, 2.0])
    assert landscape_temperatures(card) == pytest.approx(np.linspace(0.9, 1.9, 51))
    assert landscape_temperatures(cards.load("potts-2d")) == pytest.approx(
        np.linspace(0.8, 1.2, 9))
    assert landscape_temperatures(cards.load("control-nothing")) is None


def test_temperatures_where_nobody_named_any():
    """N free spins in a field: E/N = -h tanh(h/T), 1 % and 80 % of the way at known T."""
    N, h = 40, 0.7
    group = Group(attributes={"complete": True})
    k = np.arange(N + 1)
    group.add("energy", -h * (N - 2.0 * k), "energy")
    group.add("log_g", gammaln(N + 1) - gammaln(k + 1) - gammaln(N - k + 1), "energy")
    group.add("log_g_jackknife", group["log_g"][None], ("walker", "energy"))
    T = tables.temperatures_of(group)
    assert T[0] == pytest.approx(h / math.atanh(0.99), rel=0.05)  # two digits
    assert T[-1] == pytest.approx(h / math.atanh(0.2), rel=0.05)
    assert len(T) == 41 and np.all(np.diff(T) > 0.0)


def test_no_wells_of_a_landscape_that_is_not_complete():
    """The same landscape, called incomplete, keeps its potential and loses all that is in it."""
    density = curie_weiss_potential()["density_of_states"]
    T = np.linspace(0.9, 1.9, 51)
    whole = tables.effective_potential(density, T)
    part = tables.effective_potential(dataclasses.replace(
        density, attributes=density.attributes | {"complete": False}), T)
    assert np.array_equal(whole["potential"], part["potential"], equal_nan=True)
    assert np.isfinite(whole["coexistence_temperature"]) and whole["wells"].max() == 2
    for name in ("barrier", "barrier_err", "well_low", "well_high", "coexistence_temperature",
                 "coexistence_temperature_err", "equal_weight_temperature", "coexistence_barrier",
                 "spinodal_low", "spinodal_high"):
        assert np.isnan(part[name]).all(), name
    assert part["wells"].max() == 0 and "not complete" in part.attributes["coexistence"]
    text = potential_lines(part)
    assert "not complete" in text and "T =" not in text


def test_temperatures_of_the_command_line_replace_those_of_the_card():
    card = cards.load("curie-weiss-p3")
    assert temperature_table(card) == pytest.approx(np.linspace(0.9, 1.9, 51))
    assert temperature_table(card, "1:2:3") == pytest.approx([1.0, 1.5, 2.0])
    for text in ("1:2", "0:2:3", "a:b:c", "-1:1:3"):
        with pytest.raises(InputError, match="--temperatures"):
            temperature_table(card, text)
