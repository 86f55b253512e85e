"""Systems of plain coordinates: equilibrium, first passages, relaxation against exact answers."""

import dataclasses
import math
import re

import numpy as np
import pytest
from driving import drive
from scipy import integrate
from scipy.special import ive

from phasegrok import cards
from phasegrok.cards.kinds import parameters_class
from phasegrok.dynamics.hamiltonian_steps import HamiltonianSteps
from phasegrok.errors import InputError
from phasegrok.protocols.canonical import Canonical
from phasegrok.protocols.clones import HamiltonianClones
from phasegrok.protocols.coordinate_ladder import CoordinateLadder
from phasegrok.protocols.quench import Quench
from phasegrok.studies.density_of_states import density_of_states
from phasegrok.studies.relaxation import relaxation
from phasegrok.studies.sampling import sampling, sampling_groups
from phasegrok.studies.waiting_times import clones, waiting_groups
from phasegrok.systems import discrete, hamiltonian
from phasegrok.systems.checks import check_system
from phasegrok.systems.phi4 import Phi4
from phasegrok.theory import coordinates
from phasegrok.theory.solved import exact_averages
from phasegrok.thermodynamics.effective_potential import effective_potential_with_errors
from phasegrok.thermodynamics.tables import thermodynamics

BOTH = pytest.mark.parametrize("friction", [None, 0.7])


def build(kind, **parameters):
    """System of a kind."""
    return parameters_class(kind)(**parameters).build({})


def averages(system, friction, step, temperatures, exchange=False, sweeps=60_000):
    """Group ``averages`` of 16 replicas at each temperature."""
    engine = HamiltonianSteps((system,), step, friction)
    protocol = Canonical(engine, temperatures, 16, sweeps, 2000, exchange, tune=False)
    return protocol.result(drive(protocol))["averages"]


# --- theory against quadrature -------------------------------------------------------------------


def test_three_planar_spins_are_those_of_a_double_integral():
    angle = np.linspace(0.0, 2.0 * math.pi, 96, endpoint=False)
    a, b = np.meshgrid(angle, angle)
    energy = -1.5 * (np.cos(a) + np.cos(a - b) + np.cos(b))
    for T in (0.4, 1.0, 5.0):
        weight = np.exp(-energy / T)
        mean = (weight * energy).sum() / weight.sum()
        square = (weight * energy**2).sum() / weight.sum()
        found = coordinates.xy_ring(3, 1.5, T)
        assert found == pytest.approx((mean, (square - mean**2) / T**2), rel=1e-10)


@pytest.mark.parametrize("T", [0.3, 1.2])
def test_three_fields_are_those_of_a_triple_sum(T):
    def V(x):
        return (x * x - 1.0) ** 2 - 0.2 * x

    x = np.linspace(-2.8, 2.8, 121)  # a periodic rule of what is zero at both ends
    a, b, c = np.meshgrid(x, x, x)
    energy = V(a) + V(b) + V(c) + 0.35 * ((a - b) ** 2 + (b - c) ** 2 + (c - a) ** 2)
    weight = np.exp(-(energy - energy.min()) / T)
    mean = (weight * energy).sum() / weight.sum()
    square = (weight * energy**2).sum() / weight.sum()
    found = coordinates.field_ring(3, V, 0.7, T, 1.6)
    assert found == pytest.approx((mean, (square - mean**2) / T**2), rel=1e-6)


# --- equilibrium ---------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("kind, parameters, step", [
    ("xy", {"L": 8, "dimension": 1}, 0.4), ("heisenberg", {"L": 8, "dimension": 1}, 0.4),
    ("phi4", {"L": 2, "h": 0.3}, 0.2),
    ("phi4", {"L": 6, "dimension": 1, "K": 0.8}, 0.25)])
def test_energy_and_heat_capacity_are_exact_whatever_the_step(kind, parameters, step, friction):
    model = parameters_class(kind)(**parameters)
    temperatures = (0.6, 1.0, 1.6)
    group = averages(model.build({}), friction, step if friction else step**2, temperatures)
    exact = exact_averages(kind, model, temperatures)
    z = []
    # 3 % of the thermal energy, and of the heat capacity, are three errors
    for name, scale in (("energy", temperatures), ("heat_capacity", exact["heat_capacity"])):
        assert np.all(group[f"{name}_err"] < 0.01 * np.array(scale))
        z.append((group[name] - exact[name]) / group[f"{name}_err"])
    assert np.abs(z).max() < 4.0
    assert np.sqrt(np.mean(np.square(z))) < 2.0


@BOTH
def test_mean_field_in_a_field_is_that_of_quadrature(friction):
    """The signed order parameter, and its moments."""
    T, h = 0.7, 0.3
    group = averages(build("phi4", L=1, h=h), friction, 0.2 if friction else 0.05, (T,),
                     sweeps=100_000)

    def moment(k):
        return integrate.quad(
            lambda x: x**k * math.exp(-((x * x - 1.0) ** 2 - h * x) / T), -4, 4)[0]

    z = (group["order_parameter"][0] - moment(1) / moment(0)) / group["order_parameter_err"][0]
    assert abs(z) < 4.0 and group["order_parameter_err"][0] < 0.007
    binder = 1.0 - moment(4) * moment(0) / (3.0 * moment(2) ** 2)
    assert abs(group["binder"][0] - binder) < 4.0 * group["binder_err"][0]


def test_replica_exchange_keeps_each_temperature_in_equilibrium():
    """Barriers of ten times T are crossed by exchange alone; velocities stay at their rung."""
    temperatures = (0.1, 0.17, 0.3, 0.5, 0.9)
    model = parameters_class("phi4")(L=2, h=0.02)
    group = averages(model.build({}), 0.7, 0.2, temperatures, exchange=True)
    exact = exact_averages("phi4", model, temperatures)
    z = (group["energy"] - exact["energy"]) / group["energy_err"]
    assert np.abs(z).max() < 4.0
    well = [integrate.quad(lambda x, k=k: x**k * math.exp(-((x * x - 1.0) ** 2 - 0.02 * x) / 0.1),
                           -3, 3)[0] for k in (0, 1)]
    error = group["order_parameter_err"][0]
    assert error < 0.04
    assert abs(group["order_parameter"][0] - well[1] / well[0]) < 4.0 * error


def test_planar_spins_in_two_dimensions_as_the_spin_wave_and_the_high_temperature_series():
    """E/N = -2 J + T/2 (1 - 1/N) + O(T^2) below; above, a bond has <cos> = t + 2 t^3 + O(t^5) with
    t = I_1/I_0 at J/T, the second from the two plaquettes that it is in."""
    T, n, t = 0.05, 64, ive(1, 0.25) / ive(0, 0.25)
    group = averages(build("xy", L=8), 0.5, 0.25, (T, 4.0), sweeps=20_000)
    low, high = group["energy"]
    assert np.all(group["energy_err"] < [1e-4, 1e-3])
    assert low == pytest.approx(-2.0 + 0.5 * T * (1.0 - 1.0 / n), abs=T**2 / 8.0)
    assert high == pytest.approx(-2.0 * (t + 2.0 * t**3), abs=2e-3)


@pytest.mark.parametrize("N, lowest", [(3, -3.0), (4, -6.0), (7, -16.505384), (13, -44.326801)])
def test_ordered_clusters_are_the_published_minima(N, lowest):
    """Hoare and Pal (1971); Wales and Doye (1997), table 1."""
    system = build("lennard-jones", N=N, radius=3.0)
    x = system.configuration(1.0, np.random.default_rng(0))
    slope = np.empty(3 * N)
    assert hamiltonian.evaluated(system, x, slope) == pytest.approx(lowest, abs=2e-6)
    assert np.abs(slope).max() < 1e-2
    turned = x.reshape(N, 3) @ np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0] + 0.1
    rows = system.vectors(np.array([x, turned.ravel()]))
    assert rows @ rows.T / N == pytest.approx(np.ones((2, 2)))


def test_atoms_begin_inside_and_apart():
    system = build("lennard-jones", N=13, radius=2.5)
    rng = np.random.default_rng(2)
    for _ in range(20):
        r = system.start(rng).reshape(13, 3)
        gaps = np.linalg.norm(r[:, None] - r, axis=2)[np.triu_indices(13, 1)]
        assert gaps.min() > 1.0 and np.linalg.norm(r, axis=1).max() < 2.6
        assert abs(hamiltonian.evaluated(system, r.ravel(), np.empty(39))) < 44.0


def test_two_atoms_in_a_sphere_are_those_of_a_triple_integral():
    """Over both distances from the centre and the cosine of the angle between them."""
    R, temperatures = 1.2, (0.3, 0.6)
    group = averages(build("lennard-jones", N=2, radius=R), 0.7, 0.02, temperatures, sweeps=120_000)
    node, w = np.polynomial.legendre.leggauss(120)
    far = R + 0.9
    r, wr = 0.5 * far * (node + 1.0), 0.5 * far * w
    a, b, cosine = np.meshgrid(r, r, node, indexing="ij")
    weight = wr[:, None, None] * wr[:, None] * w * a**2 * b**2
    square = np.maximum(a * a + b * b - 2.0 * a * b * cosine, 0.3)
    E = 4.0 * (square**-6.0 - square**-3.0) + 50.0 * (
        np.maximum(0.0, a - R) ** 2 + np.maximum(0.0, b - R) ** 2)
    for k, T in enumerate(temperatures):
        p = weight * np.exp(-E / T)
        p /= p.sum()
        mean, variance = (p * E).sum(), (p * E**2).sum() - (p * E).sum() ** 2
        for name, exact in (("energy", mean / 2.0), ("heat_capacity", variance / 2.0 / T**2)):
            error = group[f"{name}_err"][k]
            assert error < 0.012 * (T if name == "energy" else exact)
            assert abs(group[name][k] - exact) < 4.0 * error


def test_two_atoms_about_their_centre_of_mass_are_those_of_an_integral_over_their_distance():
    R, temperatures = 1.1, (0.3, 0.6)
    system = build("lennard-jones", N=2, radius=R, centre="mass")
    assert not check_system(system, "hamiltonian")
    group = averages(system, 0.7, 0.02, temperatures, sweeps=60_000)
    r = np.linspace(0.7, 4.0, 20_001)
    E = 4.0 * (r**-12.0 - r**-6.0) + 100.0 * np.maximum(0.0, 0.5 * r - R) ** 2
    for k, T in enumerate(temperatures):
        p = r**2 * np.exp(-E / T)
        p /= p.sum()
        mean, variance = (p * E).sum(), (p * E**2).sum() - (p * E).sum() ** 2
        for name, exact in (("energy", mean / 2.0), ("heat_capacity", variance / 2.0 / T**2)):
            error = group[f"{name}_err"][k]
            assert error < 0.012 * (T if name == "energy" else exact)
            assert abs(group[name][k] - exact) < 4.0 * error


# --- density of states ---------------------------------------------------------------------------


def test_volume_of_two_wells_in_bins_of_energy_is_exact():
    """Of one well |{(x^2 - 1)^2 < E}| = 2 (sqrt(1 + sqrt E) - sqrt(1 - sqrt E)), the last below 1
    only; of two the area is an integral of it."""
    engine = HamiltonianSteps((build("phi4", L=2, dimension=1),), 0.25, 0.7)
    protocol = CoordinateLadder(engine, (0.1, 0.2, 0.4, 0.8), 16, 40_000, 2000, True, False, 0.1)
    group = protocol.result(drive(protocol))["density_of_states"]
    assert group.attributes["complete"], group.attributes["complete_reason"]
    edges = protocol.system.lowest + 0.1 * np.arange(80)
    x = np.linspace(0.0, 2.5, 200_001)
    well = (x * x - 1.0) ** 2

    def area(E):
        root = np.sqrt(np.maximum(E - well, 0.0))
        length = 2.0 * (np.sqrt(1.0 + root) - np.sqrt(np.maximum(1.0 - root, 0.0)))
        return 2.0 * integrate.trapezoid(np.where(well < E, length, 0.0), x)

    volume = np.diff([area(E) for E in edges])
    energy = group["energy"]
    assert energy[0] == pytest.approx(edges[0] + 0.05) and len(energy) > 40
    exact = np.log(volume[: len(energy)])
    kept = group["log_g_err"] < 0.03
    assert kept.sum() > 20
    # both up to a constant, which is that of the largest bins
    error = (group["log_g"] - exact)[kept]
    error -= np.average(error, weights=group["log_g_err"][kept] ** -2.0)
    z = error / group["log_g_err"][kept]
    assert 0.4 < np.sqrt(np.mean(z**2)) < 2.2
    assert np.sqrt(np.mean(error**2)) < 0.03


@pytest.mark.parametrize("kind, parameters", [
    ("xy", {"L": 8, "dimension": 1}), ("heisenberg", {"L": 8, "dimension": 1}),
    ("phi4", {"L": 6, "dimension": 1, "K": 0.8})])
def test_averages_between_the_rungs_follow_from_the_density_of_states(kind, parameters):
    model = parameters_class(kind)(**parameters)
    engine = HamiltonianSteps((model.build({}),), 0.25, 0.7)
    protocol = CoordinateLadder(engine, (0.5, 0.8, 1.3, 2.0), 16, 40_000, 2000, True, False)
    density = protocol.result(drive(protocol))["density_of_states"]
    assert density.attributes["complete"], density.attributes["complete_reason"]
    between = np.array([0.6, 1.0, 1.6])
    found = thermodynamics(density, between, protocol.system.n_sites)
    exact = exact_averages(kind, model, between)
    for name, of in (("mean_energy", "energy"), ("heat_capacity", "heat_capacity")):
        error = found[f"{name}_err"]
        assert np.all(error < 0.01 * (between if of == "energy" else exact[of]))
        assert np.all(np.abs(found[name] - exact[of]) < 4.5 * error)


def test_effective_potential_of_two_fields_is_exact():
    """-ln P of their mean, against the integral of e^(-E/T) over the plane."""
    engine = HamiltonianSteps((build("phi4", L=2, dimension=1, h=0.1),), 0.25, 0.7)
    protocol = CoordinateLadder(engine, (0.15, 0.25, 0.4, 0.8), 16, 60_000, 2000, True, False,
                                joint=True)
    density = protocol.result(drive(protocol))["density_of_states"]
    assert density.attributes["complete"], density.attributes["complete_reason"]
    mean = density["order_parameter"]
    width = mean[1] - mean[0]
    across = np.linspace(-3.0, 3.0, 201)
    fine = np.add.outer(mean, width * (np.arange(8) + 0.5) / 8.0 - 0.5 * width)
    point = np.stack(np.broadcast_arrays(fine[..., None] + across, fine[..., None] - across), -1)
    energy = np.apply_along_axis(
        lambda x: hamiltonian.evaluated(protocol.system, x, np.empty(2)), -1, point)
    for T in (0.2, 0.3, 0.6):
        exact = -np.log(np.exp(-energy / T).sum(axis=(1, 2)))
        found, error = effective_potential_with_errors(
            density["energy"], density["log_g"], density["log_g_jackknife"], T)
        kept = (found < 6.0) & np.isfinite(found)
        assert kept.sum() > 20
        difference = (found - exact)[kept]
        difference -= np.average(difference, weights=np.exp(-exact[kept] + exact.min()))
        assert np.abs(difference).max() < 0.3
        weight = np.exp(-found[kept]) / np.exp(-found[kept]).sum()
        assert math.sqrt(weight @ difference**2) < 0.03
        lowest = np.argmin(found[kept])  # against which errors are given
        others = np.arange(kept.sum()) != lowest
        z = (difference - difference[lowest])[others] / error[kept][others]
        assert 0.4 < np.sqrt(np.mean(z**2)) < 2.2


def test_a_ladder_of_coordinates_refuses_what_it_cannot_count():
    card = cards.load("xy-2d")
    with pytest.raises(InputError, match="leave out --fold"):
        density_of_states(card, walkers=4)
    fine = cards.load("xy-2d", {"density_of_states.bin_width": 1e-4})
    for joint, most in ((False, 20000), (True, 8333)):
        with pytest.raises(InputError, match=f"more than {most} bins"):
            density_of_states(fine, joint=joint)
    system = build("phi4", L=2)
    nowhere = type("Nowhere", (), {"n_coordinates": 4})()
    assert system.lowest < 0.0
    with pytest.raises(ValueError, match="its `lowest`"):
        CoordinateLadder(HamiltonianSteps((nowhere,), 0.1), (0.1, 0.2), 16, 100, 10)


@pytest.mark.parametrize("h", [0.0, 0.4, -3.0])
def test_no_energy_is_below_the_lowest(h):
    system = build("phi4", L=1, h=h, barrier=0.7)
    x = np.linspace(-6.0, 6.0, 100_001)
    energy = 0.7 * (x * x - 1.0) ** 2 - h * x
    assert system.lowest < energy.min() < system.lowest + 0.01


# --- dynamics ------------------------------------------------------------------------------------


def test_first_passage_over_a_barrier_takes_the_exact_mean_time():
    card = cards.load("phi4-double-well", {"waiting_times.clones": 1500})
    protocol = clones(card, 0.3)
    group = waiting_groups(card, protocol, drive(protocol))["waiting_times"]
    exact = group.attributes["exact_tau"]
    time = group["time"]
    assert not group["censored"].any()
    error = time.std() / math.sqrt(len(time))
    assert error < 0.03 * exact
    assert abs(time.mean() - exact) < 3.5 * error


def test_without_noise_a_clone_slides_down_as_its_equation_says():
    """x' = h - 4 (x^2 - 1) x in a field that has left one well only."""
    card = cards.load("phi4-double-well", {"parameters.h": 2.0})
    protocol = clones(card, 0.0, 1)
    group = waiting_groups(card, protocol, drive(protocol))["waiting_times"]
    exact, _ = integrate.quad(lambda x: 1.0 / (2.0 - 4.0 * (x * x - 1.0) * x), -1.0, 0.7)
    assert group["time"][0] == pytest.approx(exact, abs=0.02 * exact)
    assert group.attributes["exact_tau"] == pytest.approx(exact, rel=1e-6)


def test_a_harmonic_oscillator_keeps_time_and_friction():
    """<x(t)> = x0 e^(-gamma t/2) (cos w t + gamma/(2 w) sin w t) of a clone at rest: wells are
    harmonic where T is small."""
    friction, step, t, number = 0.7, 0.02, 60, 4000
    system = build("phi4", L=1)
    engine = HamiltonianSteps((system,), step, friction)
    replicas = engine.start(1, "oscillator", np.zeros(number, dtype=bool), 1)
    engine.put(replicas, 0, np.full((number, 1), 1.0004))
    engine.advance(replicas, 0, 1e-7, t, *np.empty((2, number, 0)))
    w = math.sqrt(8.0 - friction**2 / 4.0)
    s = step * t
    exact = 0.0004 * math.exp(-friction * s / 2.0) * (
        math.cos(w * s) + friction / (2.0 * w) * math.sin(w * s))
    moved = replicas.configurations[0, :, 0] - 1.0
    error = moved.std() / math.sqrt(number)
    assert error < 0.02 * abs(exact)
    assert abs(moved.mean() - exact) < 4.0 * error + 0.01 * abs(exact)


@BOTH
def test_a_quench_cut_into_blocks_and_resumed_gives_the_same_bits(friction):
    engine = HamiltonianSteps((build("xy", L=4),), 0.1, friction)
    protocol, states = Quench(engine, 0.5, 8, 64), []
    for block in (64, 7):
        state = protocol.init(3)
        while protocol.done(state) < protocol.total():
            fields = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
            state = protocol.restore({k: v.copy() if isinstance(v, np.ndarray) else v
                                      for k, v in fields.items()})
            protocol.advance(state, block)
        states.append(state)
    for f in dataclasses.fields(states[0]):
        assert np.array_equal(*(getattr(state, f.name) for state in states), equal_nan=True)


def test_a_quench_of_planar_spins_ages_and_its_overlap_is_a_mean_cosine():
    card = cards.load("xy-2d", {"relaxation.sweeps": 64, "relaxation.replicas": 16,
                                "parameters.L": 8})
    protocol = relaxation(card)
    state = drive(protocol)
    groups = protocol.result(state)
    a, b = protocol.engine.unpacked(state.snapshots[0]), protocol.engine.unpacked(
        state.configurations[0])
    assert protocol.engine.overlap(state.snapshots[0], state.configurations[0]) == pytest.approx(
        np.cos(a - b).mean(axis=1))
    C = groups["two_time_overlap"]["overlap"]
    early, late = C[0], C[-1]
    known = np.isfinite(early) & np.isfinite(late)
    assert np.all(late[known][3:] > early[known][3:])  # what is older forgets more slowly


def test_a_step_that_is_too_long_says_so_and_is_not_believed():
    """All replicas stay where they began: without the share of accepted steps all would agree."""
    card = cards.load("phi4-chain", {"motion.step": 30.0, "sample.sweeps": 600, "parameters.L": 8,
                                     "sample.equilibration": 100, "relaxation.sweeps": 32})
    protocol = sampling(card)
    group = protocol.result(drive(protocol))["averages"]
    assert np.all(group["accepted"] < 0.01) and not group.attributes["converged"]
    assert "take a shorter one, --set motion.step=0.3" in group.attributes["converged_reason"]
    protocol = relaxation(card)
    assert "are wanted" in protocol.result(drive(protocol))["relaxation"].attributes["doubt"]
    for step, doubted in ((0.3, True), (0.002, False)):
        protocol = clones(cards.load("phi4-double-well", {
            "motion.step": step, "waiting_times.limit": 20.0, "waiting_times.clones": 20}))
        attributes = protocol.result(drive(protocol))["waiting_times"].attributes
        assert bool(attributes["doubt"]) == doubted == (attributes["accepted"] < 0.9)


# --- what a user may do wrong --------------------------------------------------------------------


def faulty(**wrong):
    """A class of fields with some functions replaced, and its instance."""
    system = build("phi4", L=3, K=0.5)
    own = type("Faulty", (Phi4,), {name: f for name, f in wrong.items() if name not in
                                   discrete.GENERIC})
    for name in ("energy_gradient", "order_parameter"):
        discrete.GENERIC[name][own] = wrong.get(name, discrete.GENERIC[name][Phi4])
    return own(*system)


def half_slope(system, x, slope):
    """The gradient of another energy."""
    energy = discrete.GENERIC["energy_gradient"][Phi4](system, x, slope)
    slope[4] *= 0.5
    return energy


def no_number(system, x, slope):
    """An energy that is none."""
    discrete.GENERIC["energy_gradient"][Phi4](system, x, slope)
    return math.nan


def nothing(system, x, slope):
    """Forgets to return the energy."""
    slope[:] = 0.0


def divides(system, x, slope):
    """Fails."""
    return 1.0 / int(x[0] - x[0])


def allocates(system, x, slope):
    """Makes arrays, which kernels do not."""
    slope[:] = discrete.GENERIC["energy_gradient"][Phi4](system, x, np.zeros(9)) * 0.0
    return 0.0


@pytest.mark.parametrize("wrong, words", [
    ({"energy_gradient": half_slope}, "for coordinate 4"),
    ({"energy_gradient": nothing}, "energy_gradient returns None, not a number"),
    ({"energy_gradient": divides}, "divides of Faulty fails, line"),
    ({"energy_gradient": allocates}, "of Faulty cannot be compiled"),
    ({"vectors": lambda self, x_rn: x_rn[0]}, "vectors gives an array of shape (9,)"),
    ({"lowest": lambda self: 0.0}, "lowest is no number"),
    ({"energy_gradient": no_number}, "not finite"),
    ({"start": lambda self, rng: np.zeros(3)}, "start gives (3,) numbers"),
    ({"configuration": lambda self, phi, rng: np.full(9, np.inf)}, "configuration gives")])
def test_a_wrong_function_is_named_before_the_run(wrong, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        check_system(faulty(**wrong), "hamiltonian")


def test_a_lowest_energy_that_is_not_the_lowest_is_found_out():
    system = build("phi4", L=2, dimension=1)
    above = type("Above", (Phi4,), {"lowest": 1.0})
    for name in ("energy_gradient", "order_parameter"):
        discrete.GENERIC[name][above] = discrete.GENERIC[name][Phi4]
    engine = HamiltonianSteps((above(*system),), 0.25, 0.7)
    protocol = CoordinateLadder(engine, (0.2, 0.4), 16, 2000, 200, True, False)
    attributes = protocol.result(drive(protocol))["density_of_states"].attributes
    assert not attributes["complete"]
    assert "below the `lowest` energy" in attributes["complete_reason"]


def test_what_does_not_fit_is_refused_in_a_sentence():
    with pytest.raises(InputError, match=r"\[motion\]"):
        card = cards.load("xy-2d")
        sampling(dataclasses.replace(card, model=card.model.model_copy(update={"motion": None})))
    with pytest.raises(InputError, match=r"sample\.dynamics: of lattices"):
        sampling(cards.load("xy-2d", {"sample.dynamics": "heat-bath"}))
    with pytest.raises(InputError, match="clones needs a discrete, overdamped, hamiltonian or"):
        clones(cards.load("two-layer-cubic", {
            "event.observable": "x", "event.threshold": 1.0, "waiting_times.limit": 10.0,
            "waiting_times.temperatures": [1.0]}))


def test_exact_values_stand_beside_the_averages():
    card = cards.load("phi4-chain", {"sample.sweeps": 600, "sample.equilibration": 100,
                                     "parameters.L": 8})
    protocol = sampling(card)
    group = sampling_groups(card, protocol, drive(protocol))["averages"]
    assert group["exact_energy"].shape == group["energy"].shape
    assert isinstance(HamiltonianClones(protocol.system, 1.0, 2, 1.0, 0.0, 10.0).memory(), int)
