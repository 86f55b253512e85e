"""Two-layer network with a cubic teacher: gradients, integrators, theory, all together."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import special

from phasegrok.compiled import kernel
from phasegrok.dynamics.langevin import INTEGRATORS
from phasegrok.groups import Group
from phasegrok.protocols.chains import Langevin
from phasegrok.systems import continuous
from phasegrok.systems.two_layer import Parameters
from phasegrok.theory import adaptive_kernel as ak
from phasegrok.thermodynamics import unit_potential

SMALL = {"d": 7, "N": 5, "n": 50, "sigma2": 0.5, "sigma_a2": 0.9, "epsilon": -0.3}


@kernel
def energy_and_slope(system, xi, work, out):
    return continuous.gradient(system, xi, work, out)


@kernel
def series_of(system, xi, work, out):
    continuous.observe(system, xi, work, out)


def built(**more):
    p = Parameters(**(SMALL | more))
    return p.build(p.disorder(None))


def random_latent(system, scale=1.5):
    return scale * np.random.default_rng(1).standard_normal(system.n_coordinates)


# --- the network ----------------------------------------------------------------------------------


@pytest.mark.parametrize("inputs", ["population", "drawn"])
def test_gradient_is_the_slope_of_the_energy(inputs):
    system = built(inputs=inputs)
    xi = random_latent(system)
    work, slope, rest = np.empty(system.work_size), np.empty_like(xi), np.empty_like(xi)
    energy_and_slope(system, xi, work, slope)
    step = 1e-5
    for k in range(len(xi)):
        sides = []
        for sign in (1.0, -1.0):
            moved = xi.copy()
            moved[k] += sign * step
            sides.append(energy_and_slope(system, moved, work, rest))
        assert (sides[0] - sides[1]) / (2.0 * step) == pytest.approx(slope[k], abs=1e-7)


@pytest.mark.parametrize("inputs", ["population", "drawn"])
def test_observables_are_means_over_inputs(inputs):
    system = built(inputs=inputs)
    xi = random_latent(system)
    a, w = system.width_a * xi[:5], system.width_w * xi[5:].reshape(5, 7)
    found = np.empty(5)
    series_of(system, xi, np.empty(system.work_size), found)
    x = np.random.default_rng(2).standard_normal((400_000, 7))
    z = x[:, 0]
    error = z - 0.3 * (z**3 - 3.0 * z) - special.erf(x @ w.T) @ a
    for k, values in ((1, error**2), (2, error * z), (3, error * (z**3 - 3.0 * z) / 6.0)):
        assert abs(found[k] - values.mean()) < 4.0 * values.std() / math.sqrt(len(z))
    assert found[4] == pytest.approx(np.mean(xi[:5] ** 2))
    if inputs == "drawn":
        z = system.x[:, 0]
        direct = z - 0.3 * (z**3 - 3.0 * z) - special.erf(system.x @ w.T) @ a
        assert found[0] == pytest.approx(np.mean(direct**2), rel=1e-12)


def test_elementary_functions():
    from phasegrok.systems.elementary import CHUNK, arcsines, error_functions

    room, x = np.empty((2, CHUNK)), np.linspace(-1.0, 1.0, 4001)
    found = x.copy()
    arcsines(found, room)
    assert np.abs(found - np.arcsin(x)).max() < 1e-14
    u = np.concatenate([np.linspace(-40.0, 40.0, 8001), [0.0, 1e-9]])
    found, slope = u.copy(), np.empty_like(u)
    error_functions(found, slope, room, np.empty(CHUNK, np.int64))
    assert np.abs(found - special.erf(u)).max() < 3e-14
    assert np.abs(slope - 2.0 / math.sqrt(math.pi) * np.exp(-u * u)).max() < 3e-15


def test_patterns_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="n = 50 and d = 7"):
        Parameters(**SMALL, inputs="drawn").disorder(np.zeros((3, 7)))


# --- integrators ----------------------------------------------------------------------------------


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_blocks_do_not_change_a_bit(integrator):
    protocol = Langevin(built(), integrator, 0.01, 1.0, 3, 400, 100, 2, 0.9, 2.5)
    whole, parts = protocol.init(5), protocol.init(5)
    protocol.advance(whole, 400)
    for n in (1, 130, 269):
        protocol.advance(parts, n)
    for field in dataclasses.fields(whole):
        np.testing.assert_array_equal(getattr(whole, field.name), getattr(parts, field.name))


def chains_of(r_hat=1.01, **attributes):
    group = Group(attributes=attributes)
    group.add("observable", [0, 1], "observable", "1", "train_loss, residual_1")
    group.add("r_hat", [1.0, r_hat], "observable")
    return group


@pytest.mark.parametrize("chains, said", [
    (chains_of(configurational_temperature=1.03, kinetic_temperature=0.98), ""),
    (chains_of(configurational_temperature=1.2, configurational_temperature_err=0.06), ""),
    (chains_of(configurational_temperature=5.0, wall=0.6), ""),
    (chains_of(r_hat=1.3, configurational_temperature=1.0), "R-hat of residual 1 1.30"),
    (chains_of(r_hat=math.inf, configurational_temperature=1.0), "R-hat of residual 1 inf"),
    (chains_of(configurational_temperature=1.2, configurational_temperature_err=0.01),
     "configurational temperature 1.2, not 1: take a shorter step"),
    (chains_of(configurational_temperature=1.0, kinetic_temperature=0.9), "kinetic temperature"),
    (chains_of(configurational_temperature=math.nan), "configurational temperature nan"),
])
def test_equal_starts_are_not_all_that_is_needed(chains, said):
    """Chains of both starts may agree and yet differ among themselves, or be too hot."""
    against = unit_potential.doubts(chains)
    assert (said in "; ".join(against)) and bool(against) is bool(said)
    agreeing = Group(attributes={"convergence": "chains begun from the prior and aligned agree"})
    assert unit_potential.equilibrated(agreeing, chains) is (not said)
    counts = np.random.default_rng(1).poisson(100.0, (4, 8, 41))
    potential = unit_potential.potential_group(counts, 0.0 * counts, 2.0, np.arange(4) >= 2, "s", 5,
                                               against)
    text = potential.attributes["convergence"]
    assert text.startswith("NOT EQUILIBRATED") is bool(said) and said in text
    assert (potential.attributes["phase"] == unit_potential.NOT_EQUILIBRATED) is bool(said)
    assert not unit_potential.equilibrated(
        Group(attributes={"convergence": "not known: two chains"}), chains)


def test_the_temperature_of_a_step_too_long():
    """Euler-Maruyama in the prior alone: <xi^2> = 1/(1 - h/2), 1.25 at h = 0.4."""
    from phasegrok.systems.testsystems import Gaussian

    protocol = Langevin(Gaussian(np.zeros(20)), "euler-maruyama", 0.4, 1.0, 8, 4000, 100, 1, None,
                        6.0)
    state = protocol.init(2)
    protocol.advance(state, 4000)
    groups = protocol.result(state)
    assert groups["chains"].attributes["configurational_temperature_err"] < 0.01
    said = groups["effective_potential"].attributes["convergence"]
    assert "temperature 1.25" in said or "temperature 1.24" in said or "temperature 1.26" in said


def test_a_step_too_long_is_said():
    protocol = Langevin(built(), "euler-maruyama", 2.5, 1.0, 2, 4000, 0, 1, 0.9, 2.5)
    state = protocol.init(1)
    protocol.advance(state, 4000)
    assert np.all(state.broken > 0) and protocol.done(state) == protocol.total()
    assert protocol.result(state) == {}


# --- theory ---------------------------------------------------------------------------------------


def test_projections_are_integrals():
    x, weight = np.polynomial.hermite_e.hermegauss(200)
    weight = weight / weight.sum()
    for Phi, s in ((0.3, 0.5), (-1.1, 0.2)):
        field = special.erf(Phi * x[:, None] + math.sqrt(s) * x[None, :]) @ weight
        found = ak.projections(Phi, s, 4)
        for m, value in enumerate(found):
            k = 2 * m + 1
            he = np.polynomial.hermite_e.hermeval(x, [0.0] * k + [1.0])
            exact = weight @ (field * he) / math.sqrt(math.factorial(k))
            assert value == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("b, c", [(0.6, -0.5), (0.05, -0.23), (0.3, 0.8), (1.0, -0.52)])
def test_closed_forms_of_the_frozen_action(b, c):
    """Against wells found on a grid of Phi, at u just below and above each closed form."""
    found = ak.frozen_transitions(b, c, 0.5)
    Phi = np.linspace(0.0, 40.0, 400_001)

    def action(u):
        return ak.frozen_action(Phi, u, b, c, 0.5)

    assert action(found.centre_spinodal * 1.001)[:200].min() < 0.0
    assert action(found.centre_spinodal * 0.999)[1] > 0.0
    outer = Phi > 0.5 * found.Phi_coexistence
    scale = np.abs(action(found.coexistence)[Phi < 2.0 * found.Phi_coexistence]).max()
    lowest = int(np.argmin(np.where(outer, action(found.coexistence), np.inf)))
    assert abs(action(found.coexistence)[lowest]) < 1e-4 * scale
    assert Phi[lowest] == pytest.approx(found.Phi_coexistence, rel=1e-3)
    near = np.abs(Phi - found.Phi_birth) < 0.1 * found.Phi_birth

    def falls(u):
        return np.any(np.diff(action(u)[near]) < 0.0)

    assert falls(found.side_birth * 1.002) and not falls(found.side_birth * 0.998)


def test_no_side_well_short_of_the_tricritical_point():
    assert math.isnan(ak.frozen_transitions(1.0, -0.499, 0.5).coexistence)
    near = ak.frozen_transitions(1.0, -0.501, 0.5)
    assert near.coexistence == pytest.approx(near.centre_spinodal, rel=1e-4)
    with pytest.raises(ValueError, match="required"):
        ak.frozen_transitions(0.0, -1.0, 0.5)


def test_joint_theory_is_self_consistent_on_drawn_weights():
    """y - f = kappa beta, with f averaged over weights drawn from a wide law and reweighted."""
    model = ak.Model(20, 60, 3e-3, -0.3, 0.2)
    found = ak.solve(model, "joint")
    rng = np.random.default_rng(4)
    width = math.sqrt(0.5 / 20)
    w = rng.standard_normal(1_000_000) * 2.5 * width
    s = 0.5 / 20 * rng.chisquare(19, len(w))
    h = ak.projections(w, s)
    beta = found.residual / model.kappa
    m = beta @ h
    weight = np.exp(0.5 * model.sigma_a2 / model.N * m * m - 0.5 * (w / width) ** 2 * (1.0 - 0.16))
    for k in range(2):
        f = model.sigma_a2 * h[k] * m
        mean = np.sum(weight * f) / weight.sum()
        error = math.sqrt(np.sum((weight * (f - mean)) ** 2)) / weight.sum()
        assert abs(model.target[k] - mean - found.residual[k]) < 4.0 * error
        assert error < 0.01 * abs(mean) or k == 1


def test_potentials_are_normalised_and_even():
    for theory in ak.THEORIES:
        found = ak.solve(ak.Model(20, 60, 1e-3, -0.3, 0.2), theory)
        step = found.Phi[1] - found.Phi[0]
        assert np.exp(-found.potential).sum() * step == pytest.approx(1.0, rel=1e-10)
        assert np.array_equal(found.potential, found.potential[::-1])
    with pytest.raises(ValueError, match="none of"):
        ak.solve(ak.Model(20, 60, 1e-3, -0.3, 0.2), "exact")


def test_many_neurons_need_no_cavity():
    """The correction is of order 1/N: with modes of the teacher alone both theories meet."""
    gaps = []
    for N in (60, 600, 6000):
        model = ak.Model(20, N, 0.18 / N, -0.3, 12.0 / N)
        joint, cavity = (ak.solve(model, theory) for theory in ("joint", "cavity"))
        gaps.append(abs(joint.b - cavity.b))
    assert gaps[1] < 0.2 * gaps[0] and gaps[2] < 0.2 * gaps[1]


def test_finite_data_act_as_noise():
    population = ak.solve(ak.Model(20, 60, 1e-3, -0.3, 0.2), "cavity")
    data = ak.solve(ak.Model(20, 60, 1e-3, -0.3, 0.2, n=1000.0), "cavity")
    assert population.kappa == 1e-3 and 1.0e-3 < data.kappa < 2e-3
    assert ak.solve(ak.Model(20, 60, 1e-3, -0.3, 0.2, n=1e9), "cavity").b == pytest.approx(
        population.b, rel=1e-4)


def test_lines_bracket_the_phases():
    model = ak.Model(20, 60, 1e-1, -0.3, 0.2)
    lines = ak.transition_lines(model, "joint")
    for kappa, phases in ((1.02 * lines.first_droplet, {"GFL"}),
                          (0.98 * lines.first_droplet, {"GMFL-I"})):
        assert ak.solve(dataclasses.replace(model, kappa=kappa), "joint").phase in phases


# --- all together ---------------------------------------------------------------------------------


def run_against_theory(kappa, steps):
    from phasegrok.studies.chains import _cubic, add_theories

    p = Parameters(d=20, N=60, n=1000, sigma2=1000.0 * kappa, sigma_a2=0.2, epsilon=-0.3)
    protocol = Langevin(p.build({}), "ghmc", 0.1, 1.0, 8, steps, steps // 5, 2, 0.9, 2.5)
    state = protocol.init(1)
    protocol.advance(state, steps)
    groups = protocol.result(state)
    add_theories(groups["effective_potential"], _cubic(p, protocol))
    return groups


@pytest.mark.slow
def test_langevin_in_the_linear_phase_agrees_with_theory():
    groups = run_against_theory(3e-3, 20_000)
    chains, found = groups["chains"], groups["effective_potential"]
    assert chains.attributes["configurational_temperature"] == pytest.approx(1.0, abs=5e-3)
    for name, exact, most in (("residual_1", found["b"][2], 1e-3 * (1.0 - found["b"][2])),
                              ("residual_3", found["c"][2], 1e-4)):
        error = float(chains[f"{name}_err"])
        assert error < most and abs(float(chains[name]) - exact) < 4.0 * error
    assert found["distance_rms"][2] < 0.04 and found["distance_rms"][0] > 0.06


@pytest.mark.slow
def test_langevin_with_two_wells_agrees_with_theory():
    groups = run_against_theory(1e-3, 100_000)
    found = groups["effective_potential"]
    assert "agree" in found.attributes["convergence"]
    assert found.attributes["phase_cavity"] == "GMFL-I"
    frozen, joint, cavity = found["distance_rms"]
    assert cavity < 0.08 and joint > 0.3 and frozen > 0.3
    deep = found["order_parameter"] < 1.1
    difference = (found["s_mean"] - found["s_mean_theory"][2])[deep]
    assert np.nanmax(np.abs(difference)) < 0.01
    # beyond the cavity: three neurons have specialised, and their number fluctuates; b is off by
    # 1.9 %, as at d = 80, N = 60 by 2.6 % (19 % without the response across the teacher)
    b = float(groups["chains"]["residual_1"])
    assert abs(b - found["b"][2]) < 0.03 * b
