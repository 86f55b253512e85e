"""Teacher and student of tanh units: gradients against PyTorch, chains against ridge regression."""

import itertools
import math

import numpy as np
import pytest

from phasegrok.compiled import kernel
from phasegrok.protocols.chains import Langevin
from phasegrok.run import runfile
from phasegrok.statistics import mean_with_error
from phasegrok.systems import continuous
from phasegrok.systems.tanh_mlp import Parameters, default_width, outputs
from phasegrok.theory import ridge

SHAPES = [[3, 2], [3, 7, 2], [5, 100, 100, 5], [2, 6, 3, 5, 1]]


@kernel
def energy_and_slope(system, xi, work, out):
    return continuous.gradient(system, xi, work, out)


@kernel
def observed(system, xi, work, series, order):
    continuous.observe(system, xi, work, series)
    continuous.units(system, xi, work, order)


def built(layers, **more):
    p = Parameters(**({"layers": layers, "n": 20, "n_test": 31, "sigma2": 0.03} | more))
    return p.build(p.disorder(None))


def plain(layers, theta, x):
    """The network in numpy."""
    first = 0
    for layer, (k, after) in enumerate(itertools.pairwise(layers)):
        w = theta[first : first + k * after].reshape(after, k)
        b = theta[first + k * after : first + (k + 1) * after]
        first += (k + 1) * after
        x = x @ w.T + b
        if layer < len(layers) - 2:
            x = np.tanh(x)
    return x


def torch_network(layers):
    import torch

    parts = []
    for k, after in itertools.pairwise(layers):
        parts += [torch.nn.Linear(k, after), torch.nn.Tanh()]
    return torch.nn.Sequential(*parts[:-1])


@pytest.mark.parametrize("layers", SHAPES)
def test_gradient_is_that_of_pytorch(layers):
    import torch

    system = built(layers)
    xi = np.random.default_rng(3).standard_normal(system.n_coordinates)
    slope = np.empty_like(xi)
    E = energy_and_slope(system, xi, np.empty(system.work_size), slope)
    net = torch_network(layers).double()
    torch.nn.utils.vector_to_parameters(torch.tensor(xi * system.width), net.parameters())
    loss = torch.sum((net(torch.tensor(system.x)) - torch.tensor(system.y)) ** 2) / 0.06
    loss.backward()
    theirs = torch.cat([p.grad.ravel() for p in net.parameters()]).numpy() * system.width
    assert pytest.approx(loss.item(), rel=1e-12) == E
    np.testing.assert_allclose(slope, theirs, rtol=1e-10, atol=1e-12 * np.abs(theirs).max())


@pytest.mark.parametrize("layers", [[3, 7, 2], [2, 6, 3, 5, 1]])
def test_gradient_is_the_slope_of_the_energy(layers):
    system = built(layers)
    xi = np.random.default_rng(1).standard_normal(system.n_coordinates)
    work, slope, rest = np.empty(system.work_size), np.empty_like(xi), np.empty_like(xi)
    energy_and_slope(system, xi, work, slope)
    step = 1e-5
    for k in range(len(xi)):
        sides = []
        for sign in (1.0, -1.0):
            moved = xi.copy()
            moved[k] += sign * step
            sides.append(energy_and_slope(system, moved, work, rest))
        assert (sides[0] - sides[1]) / (2.0 * step) == pytest.approx(slope[k], abs=2e-6)


def test_tanh_of_rows():
    from phasegrok.systems.elementary import CHUNK, tanhs

    x = np.concatenate([np.linspace(-40.0, 40.0, 8001), [0.0, 1e-9, -1e-300]])
    found = x.copy()
    tanhs(found, np.empty((2, CHUNK)), np.empty(CHUNK, np.int64))
    assert np.abs(found - np.tanh(x)).max() < 1e-15


def test_observables_are_those_of_numpy():
    layers = [4, 9, 8, 3]
    system = built(layers, alpha=1.5)
    xi = np.random.default_rng(7).standard_normal(system.n_coordinates)
    theta = xi * system.width
    series, order = np.empty(4), np.empty((1, 2))
    observed(system, xi, np.empty(system.work_size), series, order)
    f, y = (plain(layers, w, system.x_test) for w in (theta, system.teacher))
    train = plain(layers, theta, system.x) - plain(layers, system.teacher, system.x)
    np.testing.assert_allclose(outputs(system.sizes, theta, system.x_test), f, rtol=1e-12)
    np.testing.assert_allclose(system.y_test, y, rtol=1e-12)
    overlap = np.corrcoef((f - f.mean(0)).ravel(), (y - y.mean(0)).ravel())[0, 1]
    norm = math.sqrt(np.sum(theta**2) / np.sum(default_width(layers) ** 2))
    np.testing.assert_allclose(series, [np.mean(train**2), np.mean((f - y) ** 2), overlap, norm],
                               rtol=1e-11)
    np.testing.assert_allclose(order[0], [overlap, norm], rtol=1e-11)
    observed(system, system.aligned(1.0, np.random.default_rng(1)), np.empty(system.work_size),
             series, order)
    assert series[0] < 1e-25 and order[0, 0] == pytest.approx(1.0, abs=1e-14)


def test_teacher_and_prior_are_those_of_the_default_initialisation():
    """Of PyTorch, layer by layer: bounds of the teacher, variance of the student's prior."""
    import torch

    layers = [5, 100, 100, 5]
    system = built(layers, alpha=2.0)
    torch.manual_seed(1)
    theirs = [p.detach().numpy().ravel() for p in torch_network(layers).parameters()]
    ends = np.cumsum([len(part) for part in theirs])[:-1]
    for part, teacher, width in zip(theirs, np.split(system.teacher, ends),
                                    np.split(system.width, ends), strict=True):
        bound = math.sqrt(3.0) * width[0] / 2.0
        assert np.all(width == width[0])
        for drawn in (part, teacher):
            assert np.abs(drawn).max() <= bound
            # 4 sigma of the mean square of uniform numbers
            assert abs(np.mean(drawn**2) * 3.0 / bound**2 - 1.0) < 4.0 * math.sqrt(0.8 / len(drawn))
    assert system.norm**2 == pytest.approx(np.sum(system.width**2) / 4.0)


@pytest.mark.parametrize("integrator, h", [("ghmc", 0.3), ("euler-maruyama", 0.04)])
def test_network_without_hidden_layer_is_ridge_regression(integrator, h):
    """Train loss and weights against the exact law; the likelihood of each output is its own."""
    system = built([3, 2], sigma2=0.5, alpha=1.5)
    protocol = Langevin(system, integrator, h, 1.0, 16, 40_000, 1_000, 4, 0.5, 1.0)
    state = protocol.init(1)
    protocol.advance(state, 40_000)
    X = np.column_stack([system.x, np.ones(20)])
    wanted = []
    for y in system.y.T:
        law = ridge.posterior(X, y, 0.5, float(system.width[0]))
        if integrator != "ghmc":
            law = ridge.at_step(law, h, integrator)
        wanted.append(ridge.expected_loss(law, X, y))
    found = mean_with_error(state.series[:, :, 0])
    assert 4.0 * found.error < 0.03 * found.value
    assert abs(found.value - np.mean(wanted)) < 4.0 * found.error


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="needs a unit"):
        Parameters(layers=[3, 0, 2], sigma2=1.0).disorder(None)
    with pytest.raises(ValueError, match="leave out"):
        Parameters(sigma2=1.0).disorder(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="between -1 and 1"):
        built([3, 2]).aligned(1.1, np.random.default_rng(1))


def test_the_command_runs_the_card(call, tmp_path):
    out = tmp_path / "tanh.h5"
    done = call("effective_potential", "tanh-teacher-student", "--quick", "--set",
                "layers=[5,20,20,5]", "--sweeps", 12000, "--out", out)
    assert done.code == 0, done.err
    assert "weight norm" in done.out and "of a neuron" not in done.out
    chains = runfile.read(out)["chains"]
    assert chains.attributes["kinetic_temperature"] == pytest.approx(1.0, abs=0.015)
    assert 0.0 < float(chains["train_loss"]) < float(chains["test_loss"]) < 0.1
    assert out.with_suffix(".png").exists()
