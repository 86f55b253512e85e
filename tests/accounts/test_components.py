"""Components of the verdict, measured on Curie-Weiss spins, against exact values."""

import functools
import math

import numpy as np
import pytest
from driving import drive

from phasegrok import cards
from phasegrok.accounts.components import Measurements, judge
from phasegrok.relaxation.waiting_times import size_slope, temperature_slope
from phasegrok.studies.density_of_states import density_of_states, potential_groups
from phasegrok.studies.waiting_times import clones, waiting_groups
from phasegrok.theory import curie_weiss as cw_theory
from phasegrok.theory import first_passage
from phasegrok.thermodynamics import tables


@functools.cache
def curie_weiss_potential(size=100, sweeps=100_000):
    """Groups of the landscape of the Curie-Weiss card at one size."""
    card = cards.load("curie-weiss-p3", {"parameters.N": size})
    protocol = density_of_states(card, sweeps, joint=True)
    temperatures = np.linspace(0.9, 1.9, 51)
    return potential_groups(protocol, drive(protocol), temperatures)


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
