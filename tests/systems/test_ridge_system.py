"""Ridge regression as a sampled system: gradients, and chains against the laws known exactly."""

import math

import numpy as np
import pytest

from phasegrok import cards
from phasegrok.compiled import kernel
from phasegrok.dynamics.langevin import INTEGRATORS
from phasegrok.protocols.chains import Langevin
from phasegrok.run import runfile
from phasegrok.statistics import mean_with_error
from phasegrok.studies.chains import langevin, langevin_groups
from phasegrok.systems import continuous
from phasegrok.systems.ridge import Parameters
from phasegrok.theory import numbers, ridge

SMALL = {"d": 6, "n": 9, "sigma2": 0.4, "noise": 0.3, "sigma_w2": 1.7}


@kernel
def energy_and_slope(system, xi, work, out):
    return continuous.gradient(system, xi, work, out)


@kernel
def observed(system, xi, work, series, order):
    continuous.observe(system, xi, work, series)
    continuous.units(system, xi, work, order)


def built(**more):
    p = Parameters(**(SMALL | more))
    return p.build(p.disorder(None))


def law_of(system):
    return ridge.posterior(system.x, system.y, system.sigma2, system.width)


# --- the system -----------------------------------------------------------------------------------


def test_energy_slope_and_observables_are_those_of_numpy():
    system = built()
    xi = 1.5 * np.random.default_rng(1).standard_normal(6)
    work, slope = np.empty(system.work_size), np.empty(6)
    E = energy_and_slope(system, xi, work, slope)
    theta = math.sqrt(1.7 / 6) * xi
    error = system.x @ theta - system.y
    assert E == pytest.approx(error @ error / 0.8, rel=1e-13)
    np.testing.assert_allclose(slope, math.sqrt(1.7 / 6) * system.x.T @ error / 0.4, rtol=1e-12)
    # U is quadratic: its curvature is that of the theory
    far = np.empty(6)
    energy_and_slope(system, xi + 1.0, work, far)
    np.testing.assert_allclose(far - slope + 1.0, law_of(system).curvature @ np.ones(6), rtol=1e-11)
    series, order = np.empty(3), np.empty((1, 2))
    observed(system, xi, work, series, order)
    fresh = np.random.default_rng(2).standard_normal((400_000, 6))
    test = np.mean((fresh @ theta - fresh[:, 0]) ** 2) + 0.3
    assert series[0] == pytest.approx(np.mean(error**2), rel=1e-13)
    assert series[1] == pytest.approx(test, rel=0.01)
    assert series[2] == order[0, 0] == pytest.approx(theta[0], rel=1e-15)
    assert order[0, 1] == pytest.approx(np.sum(theta[1:] ** 2), rel=1e-14)


def test_patterns_are_drawn_or_read():
    p = Parameters(**SMALL)
    X, y = np.arange(54.0).reshape(9, 6), np.arange(9.0)
    system = p.build(p.disorder(np.column_stack([X, y])))
    np.testing.assert_array_equal(system.x, X)
    np.testing.assert_array_equal(system.y, y)
    with pytest.raises(ValueError, match="one target"):
        p.disorder(X)
    X, y = ridge.drawn(4, 100_000, 0.3, 5)
    assert np.var(y - X[:, 0]) == pytest.approx(0.3, rel=0.02)
    assert built(disorder_seed=1).y[0] != built(disorder_seed=2).y[0]
    assert built().aligned(0.7, np.random.default_rng(1))[0] * built().width == pytest.approx(0.7)


# --- theory ---------------------------------------------------------------------------------------


def test_overlap_law_is_that_of_draws():
    system = built(n=4, sigma2=1.0)
    found = law_of(system)
    Phi = np.linspace(0.0, 4.0, 4001)
    V, second = ridge.overlap_law(found, Phi)
    density = 2.0 * np.exp(-V)  # of |Phi|
    assert np.trapezoid(density, Phi) == pytest.approx(1.0, abs=1e-4)
    theta = np.random.default_rng(4).multivariate_normal(found.mean, found.covariance, 2_000_000)
    size, across = np.abs(theta[:, 0]), np.sum(theta[:, 1:] ** 2, axis=1)
    for low, high in ((0.0, 0.2), (0.2, 0.6), (0.9, 1.1)):
        inside = (size >= low) & (size < high)
        part = (Phi >= low) & (Phi <= high)
        p = np.trapezoid(density[part], Phi[part])
        assert abs(inside.mean() - p) < 4.0 * math.sqrt(p / len(size))
        mean = np.trapezoid((density * second)[part], Phi[part]) / p
        error = across[inside].std() / math.sqrt(inside.sum())
        assert abs(across[inside].mean() - mean) < 4.0 * error < 0.02 * mean
    off = theta - np.eye(6)[0]
    assert ridge.expected_test_loss(found, 0.3) == pytest.approx(
        np.mean(np.sum(off**2, axis=1)) + 0.3, rel=0.003)


def test_largest_steps_are_those_of_the_maps():
    """Spectral radius of each map of the stiffest coordinate, just below and just beyond."""
    found = law_of(built())
    a = np.linalg.eigvalsh(found.curvature)[-1]
    steps = ridge.largest_steps(found)

    def matrix(name, h):
        if name == "baoab":  # without friction
            kick = np.array([[1.0, 0.0], [-0.5 * h * a, 1.0]])
            return kick @ np.array([[1.0, h], [0.0, 1.0]]) @ kick
        if name == "ghmc":
            kick = np.array([[1.0, 0.0], [-0.5 * h * (a - 1.0), 1.0]])
            turn = np.array([[math.cos(h), math.sin(h)], [-math.sin(h), math.cos(h)]])
            return kick @ turn @ kick
        return np.array([[1.0 - h * a]])

    for name, h in steps.items():
        radius = [np.abs(np.linalg.eigvals(matrix(name, h * factor))).max()
                  for factor in (0.999, 1.001)]
        assert radius[0] < 1.0 + 1e-12 and radius[1] > 1.0005


def test_numbers_are_those_of_the_card():
    card = cards.load("ridge")
    rows = {name: value for name, value, _ in numbers.numbers("ridge")}
    system = card.build()
    found = law_of(system)
    assert rows["expected train loss"] == ridge.expected_loss(found, system.x, system.y)
    assert rows["mean of Phi"] == found.mean[0]


# --- chains ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("integrator, h", list(zip(INTEGRATORS, (0.04, 0.06, 0.3, 0.2))))
def test_chains_have_the_exact_law_at_their_step(integrator, h):
    """Losses, mean and variance of Phi on the card's system; four errors are below 3 % of each."""
    card = cards.load("ridge")
    system = card.build()
    protocol = Langevin(system, integrator, h, 1.0, 16, 50_000, 1_000, 5, 0.9, 1.5)
    state = protocol.init(2)
    protocol.advance(state, 50_000)
    exact = law_of(system)
    law = exact if integrator == "ghmc" else ridge.at_step(exact, h, integrator)
    m, v = law.mean[0], law.covariance[0, 0]
    noise = card.parameters.noise
    train, test, overlap = np.moveaxis(state.series, 2, 0)
    wanted = {"train": (train, ridge.expected_loss(law, system.x, system.y)),
              "test": (test, ridge.expected_test_loss(law, noise)),
              "Phi": (overlap, m), "variance": ((overlap - m) ** 2, v)}
    for series, value in wanted.values():
        found = mean_with_error(series)
        assert 4.0 * found.error < 0.03 * value
        assert abs(found.value - value) < 4.0 * found.error
    if integrator == "ghmc":
        accepted = protocol.result(state)["chains"].attributes["accepted"]
        assert 0.8 < accepted < 0.95  # a wrong rule would show
    if integrator == "euler-maruyama":  # far from the posterior: the test sees the step
        assert v > 1.1 * exact.covariance[0, 0]


def test_potential_is_the_exact_one_where_both_signs_meet():
    card = cards.load("ridge", {"n": 4, "sigma2": 1.0, "integrator": "euler-maruyama",
                                "langevin.step": 0.2, "langevin.steps": 60_000, "largest": 2.0})
    protocol = langevin(card)
    state = protocol.init(1)
    protocol.advance(state, protocol.steps)
    groups = langevin_groups(card, protocol, state)
    found = groups["effective_potential"]
    assert found.attributes["per"] == "system" and list(found["theory"]) == ["exact", "finite-step"]
    known = found["potential_err"] < 0.05
    z = (found["potential_theory"][1] - found["potential"])[known] / found["potential_err"][known]
    assert known[0] and np.mean(z**2) < 1.5 and np.sum(known) > 60
    off = (found["s_mean_theory"][1] - found["s_mean"])[known] / found["s_mean_err"][known]
    assert np.mean(off**2) < 1.5
    assert found["distance_rms"][1] < 0.5 * found["distance_rms"][0]
    for name in ("train_loss", "test_loss"):
        measured, error = float(groups["chains"][name]), float(groups["chains"][f"{name}_err"])
        assert abs(measured - found[name][1]) < 4.0 * error < 0.03 * measured


def test_a_step_beyond_the_limit_is_said():
    """The limit is 0.1016: four chains of a few hundred steps are still finite just beyond it."""
    card = cards.load("ridge", {"integrator": "euler-maruyama", "langevin.step": 0.102,
                                "steps": 600, "equilibration": 0, "chains": 4, "every": 1})
    protocol = langevin(card)
    state = protocol.init(1)
    protocol.advance(state, protocol.steps)
    groups = langevin_groups(card, protocol, state)  # the chains are kept, theory has no answer
    reasons = " ".join(groups["not_estimated"].attributes.values())
    assert "beyond the limit of stability" in reasons and "chains" in groups


def test_the_command_prints_the_exact_losses(call, tmp_path):
    out = tmp_path / "ridge.h5"
    done = call("effective_potential", "ridge", "--quick", "--out", out)
    assert done.code == 0, done.err
    assert "exact   Gaussian  0.2217      0.5712" in done.out
    assert runfile.read(out)["effective_potential"]["distance_rms"][0] < 0.1
    assert out.with_suffix(".png").exists()
