"""Landscapes from a card to groups: potentials, coexistence, thermodynamics, exactly."""

import dataclasses
import functools
import math

import numpy as np
import pytest
from driving import drive
from repository import REFERENCE
from scipy.special import logsumexp

from phasegrok import cards
from phasegrok.accounts.components import barrier_at
from phasegrok.errors import InputError
from phasegrok.figures.landscapes import potential_lines
from phasegrok.studies.common import temperature_table
from phasegrok.studies.density_of_states import (
    density_of_states,
    landscape_temperatures,
    potential_groups,
)
from phasegrok.studies.finite_size import landscape_of
from phasegrok.studies.training import training
from phasegrok.studies.waiting_times import clones
from phasegrok.theory import curie_weiss as cw_theory
from phasegrok.theory import perceptron as perceptron_theory
from phasegrok.thermodynamics import tables
from phasegrok.thermodynamics.effective_potential import spinodals

BAND = (0.4, 2.7)  # rms z of one run with errors from 8 walkers: see test_wang_landau


def rms(x):
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(x))))


@functools.cache
def curie_weiss_potential(size=100, sweeps=100_000):
    """Groups of the landscape of the Curie-Weiss card at one size."""
    card = cards.load("curie-weiss-p3", {"parameters.N": size})
    protocol = density_of_states(card, sweeps, joint=True)
    temperatures = np.linspace(0.9, 1.9, 51)
    return potential_groups(protocol, drive(protocol), temperatures)


# --- effective potential, barrier, coexistence, spinodal -----------------------------------------


@pytest.mark.parametrize("method", ["ladder", "wang-landau"])
def test_effective_potential_of_a_lattice_is_the_exact_one(method):
    """-ln P(M) of the 4 x 4 lattice, from 2^16 states."""
    card = cards.load("ising-2d", {"parameters.L": 4})
    sampler = density_of_states(card, 30_000, method=method, joint=True)
    group = potential_groups(sampler, drive(sampler), np.array([2.0, 3.0]))["effective_potential"]
    assert group.attributes["complete"], group.attributes["complete_reason"]
    E, M, number = np.loadtxt(REFERENCE / "ising2d_gEM_L4.csv", delimiter=",", skiprows=1).T
    for k, temperature in enumerate(group["temperature"]):
        exact = np.array([-np.log(np.sum((number * np.exp(-E / temperature))[m == M]))
                          for m in group["order_parameter"]])
        V, error = group["potential"][k], group["potential_err"][k]
        here = int(np.argmin(V))
        deviation = V - (exact - exact[here])
        z = deviation[error > 0.0] / error[error > 0.0]
        assert BAND[0] < rms(z) < BAND[1], z
        assert np.abs(deviation).max() < 0.05


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
    protocol = density_of_states(card, 200, 2, "wang-landau")
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


@functools.cache
def small_perceptron():
    """Groups of the enumerated perceptron, and its exact counts by ascending overlap."""
    card = cards.load("ising-perceptron", {
        "parameters.N": 11, "parameters.P": 11,
        "data.file": str(REFERENCE / "perceptron_N11_P11_patterns.csv")})
    rows = card.arrays["patterns"]
    protocol = density_of_states(card, 100_000, 8, "wang-landau", joint=True)
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


# --- mistakes ------------------------------------------------------------------------------------


def test_protocols_refuse_cards_of_another_family():
    with pytest.raises(InputError, match="needs a discrete or hamiltonian system"):
        density_of_states(cards.load("control-drift"))
    with pytest.raises(InputError, match="needs a network system"):
        training(cards.load("ising-2d"))


def test_protocols_say_what_a_card_lacks():
    with pytest.raises(InputError, match=r"\[waiting_times\]"):
        clones(cards.load("ising-2d"))
    with pytest.raises(InputError, match="negative"):
        clones(cards.load("curie-weiss-p3"), -1.0)
    with pytest.raises(InputError, match="no temperatures"):
        temperature_table(cards.load("control-drift"))
    with pytest.raises(InputError, match="effective potential needs a discrete or hamiltonian"):
        density_of_states(cards.load("control-drift"), what="the effective potential")
    with pytest.raises(InputError, match=r"effective potential: .*take a smaller system"):
        density_of_states(cards.load("ising-2d", {"parameters.L": 1000}), joint=True,
                          what="the effective potential")


def test_energies_are_counted_in_bins_where_they_have_no_levels_or_the_card_says_so():
    levels = density_of_states(cards.load("ising-2d")).system
    assert not hasattr(levels, "width")
    none = {"parameters.h": 0.314159265358979}
    assert density_of_states(cards.load("ising-2d", none)).system.width > 0.0
    asked = {"density_of_states.bin_width": 3.0}
    assert density_of_states(cards.load("ising-2d", asked)).system.width == 3.0
    assert density_of_states(cards.load("edwards-anderson-3d-gaussian")).system.n_bins > 1000


def test_temperatures_of_a_landscape():
    """Those given, those of the card, those of its sampling, those where its energy changes."""
    card = cards.load("curie-weiss-p3")
    assert landscape_temperatures(card, "1:2:3") == pytest.approx([1.0, 1.5, 2.0])
    assert landscape_temperatures(card) == pytest.approx(np.linspace(0.9, 1.9, 51))
    assert landscape_temperatures(cards.load("potts-2d")) == pytest.approx(
        np.linspace(0.8, 1.2, 9))
    assert landscape_temperatures(cards.load("control-nothing")) is None


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


@pytest.mark.parametrize("method", ["auto", "ladder", "wang-landau"])
def test_too_many_levels_are_one_sentence_by_every_method(method):
    card = cards.load("ising-2d", {"L": 512})
    with pytest.raises(InputError, match="more than 200000: take a smaller system") as error:
        density_of_states(card, method=method)
    assert len(error.value.messages) == 1
