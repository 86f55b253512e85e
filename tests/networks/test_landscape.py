"""Networks under a measure: maps and gradients, exact laws, both engines, blocks, run files."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from driving import drive
from scipy import stats

from phasegrok.errors import InputError
from phasegrok.networks.landscape import Landscape
from phasegrok.networks.measures import (
    MEASURES,
    Box,
    Gaussian,
    Sphere,
    Spheres,
    draw,
    initial_norms,
    measure_of,
    pull_back,
    room_size,
    weights,
)
from phasegrok.networks.models.mlp import Parameters
from phasegrok.networks.tasks.teachers import StudentParameters
from phasegrok.protocols.chains import Langevin
from phasegrok.rng import streams
from phasegrok.run import runfile
from phasegrok.systems import continuous

N = 9
EACH = {"sphere": Sphere(2.3), "spheres": Spheres(np.array([4, 9]), np.array([1.7, 0.6])),
        "box": Box(1.4), "gaussian": Gaussian(0.8)}


def mapped(measure, xi):
    theta = np.empty(len(xi))
    weights(measure, xi, theta, np.empty(room_size(len(xi))))
    return theta


def in_torch(measure, xi):
    """The maps, written once more."""
    if isinstance(measure, Spheres):
        parts = torch.split(xi, np.diff(measure.ends, prepend=0).tolist())
        return torch.cat([R * part / part.norm() for R, part in zip(measure.radii, parts)])
    return {Sphere: lambda: measure[0] * xi / xi.norm(),
            Box: lambda: measure[0] * torch.erf(xi / math.sqrt(2.0)),
            Gaussian: lambda: measure[0] * xi}[type(measure)]()


def quadratic():
    """f_c = sum_k W_ck (U_ak + V_bk)^2 of pairs modulo 5."""
    p = Parameters(operation="-", p=5, train_fraction=0.5, hidden=[8], precision="float64")
    return p.build(p.disorder(None))


def linear(precision="float64"):
    """A linear network of two inputs and outputs with biases, six weights, on twenty patterns."""
    p = StudentParameters(layers=[2, 2], n=20, n_test=30, precision=precision)
    return p.build(p.disorder(None))


# --- measures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MEASURES)
def test_map_and_pull_back_are_those_of_autograd_and_of_differences(name):
    measure, rng = EACH[name], np.random.default_rng(1)
    xi, c = rng.standard_normal((2, N))
    at = torch.from_numpy(xi.copy()).requires_grad_(True)
    theta_t = in_torch(measure, at)
    np.testing.assert_allclose(mapped(measure, xi), theta_t.detach().numpy(), rtol=1e-12)
    E = (torch.from_numpy(c) * theta_t).sum() + (theta_t**4).sum()
    (exact,) = torch.autograd.grad(E, at)
    theta, room, out = np.empty(N), np.empty(room_size(N)), np.empty(N)
    weights(measure, xi, theta, room)
    pull_back(measure, xi, c + 4.0 * theta**3, 0.7, room, out)
    np.testing.assert_allclose(out, 0.7 * exact.numpy(), rtol=1e-11, atol=1e-12)
    for i in range(N):
        h = 1e-5 * np.eye(N)[i]
        up, down = (c @ t + np.sum(t**4) for t in (mapped(measure, x) for x in (xi + h, xi - h)))
        assert (up - down) / 2e-5 == pytest.approx(exact[i].item(), abs=1e-7)


@pytest.mark.parametrize("name", MEASURES)
def test_the_latent_of_weights_gives_them_back(name):
    measure, rng = EACH[name], streams(3, ["latent"], 1)[0]
    theta = draw(measure, N, rng)
    latents = np.array([measure.latent(theta, rng) for _ in range(4000)])
    for xi in latents[:3]:
        np.testing.assert_allclose(mapped(measure, xi), theta, rtol=1e-11)
    if name == "sphere":  # |xi|^2 has the law of chi^2
        assert stats.kstest(np.sum(latents**2, axis=1), stats.chi2(N).cdf).pvalue > 1e-3


def test_weights_outside_a_measure_are_refused():
    rng = streams(3, ["latent"], 1)[0]
    with pytest.raises(ValueError, match="larger radius"):
        Box(1.0).latent(np.array([0.3, -1.1]), rng)
    with pytest.raises(ValueError, match="no direction"):
        Sphere(1.0).latent(np.zeros(3), rng)


def z_of(x, exact):
    return (np.mean(x) - exact) / (np.std(x) / math.sqrt(np.size(x)))


def test_draws_have_the_moments_of_each_measure():
    rng, n_draws = streams(7, ["draws"], 1)[0], 20_000
    theta = {name: np.array([draw(m, N, rng) for _ in range(n_draws)]) for name, m in EACH.items()}
    R, a, width = 2.3, 1.4, 0.8
    np.testing.assert_allclose(np.linalg.norm(theta["sphere"], axis=1), R, rtol=1e-13)
    assert abs(z_of(theta["sphere"][:, 4] ** 2, R**2 / N)) < 3.5
    assert abs(z_of(theta["sphere"][:, 4] ** 4, 3.0 * R**4 / (N * (N + 2)))) < 3.5
    for part, radius in ((slice(0, 4), 1.7), (slice(4, 9), 0.6)):
        x = theta["spheres"][:, part]
        np.testing.assert_allclose(np.linalg.norm(x, axis=1), radius, rtol=1e-13)
        assert abs(z_of(x[:, 0] ** 2, radius**2 / x.shape[1])) < 3.5
    assert stats.kstest(theta["box"].ravel(), stats.uniform(-a, 2.0 * a).cdf).pvalue > 1e-3
    square = np.sum(theta["gaussian"] ** 2, axis=1) / width**2
    assert stats.kstest(square, stats.chi2(N).cdf).pvalue > 1e-3


def test_radius_is_the_norm_over_that_at_the_start():
    """Uniform within 1/sqrt(k): variance 1/(3k), k = 10 inputs (one-hot) and then 8 units."""
    network = quadratic()
    exact_m = np.sqrt([40 / 30, 40 / 30, 40 / 24])
    np.testing.assert_allclose(initial_norms(network), exact_m, rtol=0.05)
    norm = np.linalg.norm(initial_norms(network))
    n, rng = network.n_parameters, streams(1, ["norms"], 1)[0]
    for name in MEASURES:
        measure = measure_of(name, 2.0, network)
        square = [np.sum(draw(measure, n, rng) ** 2) for _ in range(4000)]
        if name.startswith("sphere"):
            np.testing.assert_allclose(square, 4.0 * norm**2, rtol=1e-12)
        else:
            assert abs(z_of(square, 4.0 * norm**2)) < 3.5
    np.testing.assert_allclose(measure_of("spheres", 2.0, network).radii, 2.0 * initial_norms(
        network))
    with pytest.raises(ValueError, match="radius = -1"):
        measure_of("sphere", -1.0, network)
    with pytest.raises(ValueError, match="no measure cube"):
        measure_of("cube", 1.0, network)


# --- landscapes -----------------------------------------------------------------------------------


def numpy_losses(network, data, theta_rn):
    """Mean squared errors of a linear network, one of each row of weights."""
    W, b = theta_rn[:, :4].reshape(-1, 2, 2), theta_rn[:, 4:]
    f = np.einsum("rij,mj->rmi", W, data.inputs) + b[:, None, :]
    return np.mean((f - data.targets) ** 2, axis=(1, 2))


def drawn_by_numpy(measure, rng):
    xi = rng.standard_normal((100_000, 6))
    if isinstance(measure, Sphere):
        return measure.radius * xi / np.linalg.norm(xi, axis=1, keepdims=True)
    if isinstance(measure, Spheres):
        parts = xi[:, :4], xi[:, 4:]
        return np.hstack([R * x / np.linalg.norm(x, axis=1, keepdims=True)
                          for R, x in zip(measure.radii, parts)])
    return measure.half * (2.0 * stats.norm.cdf(xi) - 1.0) if isinstance(measure, Box) else (
        measure.width * xi)


def chains_of(landscape, step, steps=16_000):
    protocol = Langevin(landscape, "ghmc", step, 1.0, 16, steps, steps // 20, 4, None, 1.0)
    return protocol.result(drive(protocol))["chains"]


def check_temperatures(chains):
    for kind in ("configurational", "kinetic"):
        value, error = (chains.attributes[f"{kind}_temperature{end}"] for end in ("", "_err"))
        assert error < 0.005 and abs(value - 1.0) < 4.0 * error


@pytest.mark.parametrize("name", [
    name if name == "sphere" else pytest.param(name, marks=pytest.mark.slow) for name in MEASURES])
def test_chains_have_the_averages_of_weighted_draws(name):
    """<x> = sum x e^{-E/T} / sum e^{-E/T} over draws from the measure, with NumPy alone."""
    network, T = linear(), 0.3
    measure = measure_of(name, 1.2, network)
    rng = np.random.default_rng(5)
    losses_kr = np.hstack([[numpy_losses(network, data, theta)
                            for data in (network.train, network.test)]
                           for theta in (drawn_by_numpy(measure, rng) for _ in range(20))])
    weight_r = np.exp(-losses_kr[0] / T)
    weight_r /= weight_r.sum()
    chains = chains_of(Landscape(network, measure, T), 0.6)
    for key, x_r in zip(("train_loss", "test_loss"), losses_kr):
        mean = weight_r @ x_r
        error = math.hypot(float(chains[f"{key}_err"]),
                           math.sqrt(weight_r**2 @ (x_r - mean) ** 2))
        assert error < 0.008 * mean
        assert abs(float(chains[key]) - mean) < 3.5 * error
        assert abs(np.average(x_r) - mean) > 10.0 * error  # the temperature matters
    check_temperatures(chains)


def test_a_linear_network_under_a_gaussian_measure_has_its_exact_posterior():
    network, T, width = linear(), 0.02, 0.7
    X = np.hstack([network.train.inputs, np.ones((20, 1))])
    n_outputs, scale = 2, 20 * 2
    curvature = 2.0 * X.T @ X / (scale * T) + np.eye(3) / width**2
    centre = np.linalg.solve(curvature, 2.0 * X.T @ network.train.targets / (scale * T))
    exact = np.mean((X @ centre - network.train.targets) ** 2) + (
        n_outputs * np.trace(X @ np.linalg.inv(curvature) @ X.T) / scale)
    chains = chains_of(Landscape(network, Gaussian(width), T), 0.25, 48_000)
    error = float(chains["train_loss_err"])
    assert error < 0.008 * exact and abs(float(chains["train_loss"]) - exact) < 3.5 * error
    explained = 1.0 - exact / np.mean(np.var(network.train.targets, axis=0))
    assert float(chains["train_explained_variance"]) == pytest.approx(
        explained, abs=3.5 * float(chains["train_explained_variance_err"]))
    check_temperatures(chains)


def test_gradients_of_a_landscape_are_those_of_differences():
    network = quadratic()
    system, work = Landscape(network, measure_of("sphere", 1.5, network), 0.3).for_kernels()
    xi = np.random.default_rng(2).standard_normal(network.n_parameters)
    slope = np.empty_like(xi)
    continuous.gradient(system, xi, work, slope)
    for i in range(0, len(xi), 17):
        h = 1e-5 * np.eye(len(xi))[i]
        up, down = (continuous.gradient(system, x, work, np.empty_like(xi))
                    for x in (xi + h, xi - h))
        assert (up - down) / 2e-5 == pytest.approx(slope[i], abs=1e-8)


def test_both_engines_walk_the_same_path():
    network = quadratic()
    found = {}
    for engine in ("compiled", "torch"):
        landscape = Landscape(network, measure_of("sphere", 1.5, network), 0.01, engine)
        protocol = Langevin(landscape, "ghmc", 0.3, 1.0, 2, 200, 0, 1, None, 1.0)
        found[engine] = drive(protocol)
    ours, peer = found.values()
    np.testing.assert_allclose(peer.xi, ours.xi, atol=1e-9)
    np.testing.assert_allclose(peer.series, ours.series, atol=1e-10)
    np.testing.assert_array_equal(peer.rng, ours.rng)  # the same steps were accepted
    np.testing.assert_array_equal(peer.counts, ours.counts)
    assert 0.5 < ours.checks[:, 2].sum() / 400 < 0.99  # and some were not


def test_an_error_of_pytorch_in_a_chain_is_said_in_a_sentence(monkeypatch):
    from phasegrok.networks.pytorch import mlp

    network, works, calls = quadratic(), mlp.energy, []

    def fails_later(*args):
        calls.append(0)
        return works(*args) if len(calls) < 20 else works(*args).no_such_thing

    monkeypatch.setattr(mlp, "energy", fails_later)
    landscape = Landscape(network, measure_of("sphere", 1.5, network), 0.01, "torch")
    with pytest.raises(InputError, match=r"fails in a chain: AttributeError: .*no_such_thing"):
        drive(Langevin(landscape, "ghmc", 0.3, 1.0, 2, 200, 0, 1, None, 1.0))


@pytest.mark.parametrize("name", ["sphere", pytest.param("box", marks=pytest.mark.slow)])
def test_what_is_recorded_is_that_of_the_state(name):
    network = quadratic()
    landscape = Landscape(network, measure_of(name, 3.0, network), 0.01)
    protocol = Langevin(landscape, "ghmc", 0.3, 1.0, 1, 64, 0, 1, None, 1.0)
    state = drive(protocol)
    from phasegrok.networks.pytorch import mlp

    theta = torch.from_numpy(mapped(landscape.measure, state.xi[0]))
    sets = [tuple(map(torch.from_numpy, part)) for part in (network.train, network.test)]
    energies = [mlp.energy(network, theta, *part).item() for part in sets]
    accuracies = [mlp.accuracy(network, theta, *part).item() for part in sets]
    expected = [*energies, *accuracies, *([float(theta.norm())] if name == "box" else [])]
    np.testing.assert_allclose(state.series[0, -1], expected, rtol=1e-11)
    assert landscape.series_names[:4] == ("train_loss", "test_loss", "train_accuracy",
                                          "test_accuracy")
    assert landscape.series_names[4:] == (("norm",) if name == "box" else ())


@pytest.mark.parametrize("engine", ["compiled", "torch"])
def test_blocks_do_not_change_a_bit(engine):
    network = quadratic()
    landscape = Landscape(network, measure_of("sphere", 1.5, network), 0.01, engine)
    protocol = Langevin(landscape, "ghmc", 0.2, 1.0, 3, 150, 20, 2, None, 1.0)
    whole, parts = protocol.init(5), protocol.init(5)
    protocol.advance(whole, 150)
    for n in (1, 60, 89):
        saved = {f.name: getattr(parts, f.name) for f in dataclasses.fields(parts)}
        parts = protocol.restore(saved)
        protocol.advance(parts, n)
    for field in dataclasses.fields(whole):
        np.testing.assert_array_equal(getattr(whole, field.name), getattr(parts, field.name))


def test_what_cannot_be_sampled_is_refused():
    network = quadratic()
    with pytest.raises(ValueError, match="temperature = 0"):
        Landscape(network, Sphere(1.0), 0.0)
    with pytest.raises(ValueError, match="all chains begin"):
        Landscape(network, Sphere(1.0), 0.1).aligned(0.5, np.random.default_rng(1))
    with pytest.raises(ValueError, match="no row"):
        Landscape(type("Other", (type(network),), {})(**vars(network)), Sphere(1.0), 0.1)


# --- from a card ----------------------------------------------------------------------------------

CARD = """
name = "quadratic-5"
title = "Quadratic perceptron on a sphere"
kind = "modular-mlp"
reference = "none"
[parameters]
operation = "-"
p = 5
hidden = [8]
train_fraction = 0.5
precision = "float64"
[observables]
energy = "mean cross-entropy over the train set"
order_parameter = "test accuracy"
[langevin]
measure = "sphere"
radius = 1.5
temperature = 0.01
step = 0.2
chains = 4
steps = 8000
equilibration = 500
"""


@pytest.fixture
def card(tmp_path):
    path = tmp_path / "quadratic-5.toml"
    path.write_text(CARD)
    return path


def test_a_card_of_a_network_runs_and_resumes(call, card, tmp_path, differences, no_figures):
    done = call("sample", card, "--out", tmp_path / "whole.h5")
    assert done.code == 0 and "measure sphere" in done.out
    assert call("sample", card, "--sweeps", 3000, "--out", tmp_path / "part.h5").code == 0
    assert call("sample", "--resume", tmp_path / "part.h5", "--sweeps", 8000).code == 0
    assert not differences(tmp_path / "whole.h5", tmp_path / "part.h5")
    group = runfile.read(tmp_path / "whole.h5")["chains"]
    assert group.variables["test_loss"].units == "nat"
    norm = 1.5 * np.linalg.norm(initial_norms(quadratic()))
    assert group.attributes["norm"] == pytest.approx(norm)
    assert "chains begun from the measure agree" in group.attributes["convergence"]
    assert {"r_hat", "autocorrelation_time"} <= group.variables.keys()
    assert 0.5 < group.attributes["accepted"] <= 1.0


@pytest.mark.parametrize(("words", "error"), [
    (("--set", "langevin.aligned=0.5"), "of a continuous system"),
    (("--temperatures", "0.1:0.2:3"), "one temperature"),
    (("--samples", "2"), "no --samples"),
    (("--set", "langevin.radius=-1"), "radius"),
    (("--sweeps", "600"), "records"),
])
def test_mistakes_are_said_in_a_sentence(call, card, words, error):
    done = call("sample", card, *words)
    assert done.code == 2 and len(done.errors) == 1 and error in done.errors[0]


def test_keys_of_networks_are_for_networks(call, card):
    card.write_text(CARD.replace('measure = "sphere"\n', ""))
    assert "give langevin.measure" in call("sample", card).errors[0]
    done = call("effective_potential", "ridge", "--set", "langevin.temperature=0.1")
    assert done.code == 2 and "of a network" in done.errors[0]
