"""Multilayer perceptrons: functions of the papers, gradients, training, resuming."""

import math
import re

import numpy as np
import pytest
import torch
from network_checks import compiled_gradient, minibatches, relative_errors
from pydantic import ValidationError
from repository import ROOT

from phasegrok import cards
from phasegrok.cards.kinds import parameters_class
from phasegrok.networks import engine as networks
from phasegrok.networks.compiled import mlp as mlp_compiled
from phasegrok.networks.compiled.kernels import single_threaded_blas
from phasegrok.networks.pytorch import mlp as mlp_torch
from phasegrok.networks.training import kernel as trainer
from phasegrok.networks.training.settings import Settings
from phasegrok.rng import streams
from phasegrok.run import runfile
from phasegrok.studies.training import training
from phasegrok.systems import tanh_mlp

SMALL = dict(p=11, hidden=[20], train_fraction=0.6, precision="float64")
VARIANTS = {
    "quadratic": ("modular-mlp", SMALL),
    "quadratic squares": ("modular-mlp", SMALL | dict(loss="mse", hidden=[37])),
    "mean field": ("modular-mlp", SMALL | dict(loss="mse", scaling="mean-field", operation="+")),
    "relu, deep": ("modular-mlp", SMALL | dict(activation="relu", biases=True, hidden=[20, 17, 5])),
    "tanh, deep": ("modular-mlp", SMALL | dict(activation="tanh", biases=True, hidden=[16, 3],
                                               scaling="mean-field", loss="mse")),
    "permutations": ("modular-mlp", dict(operation="product", degree=3, hidden=[18],
                                         precision="float64", train_fraction=0.7)),
    "teacher": ("regression-mlp", dict(layers=[3, 20, 17, 5], n=40, precision="float64")),
    "relu teacher": ("regression-mlp", dict(layers=[3, 33, 1], n=70, activation="relu",
                                            precision="float64")),
    "one layer": ("regression-mlp", dict(layers=[4, 3], n=40, precision="float64")),
    "committee": ("committee-machine", dict(D=12, N=40, n=70, n_test=50, epsilon=0.3, alpha=2.0,
                                            precision="float64")),
}


@pytest.fixture(autouse=True)
def _one_blas_thread():
    with single_threaded_blas():
        yield


def generator(seed):
    return streams(seed, "test-mlp", 1)[0]


def built(name, **changes):
    kind, keys = VARIANTS[name]
    parameters = parameters_class(kind)(**keys | changes)
    return parameters.build(parameters.disorder(None))


def weights(system, seed=1, spread=0.1):
    """Initial weights with noise on them, so that no bias is 0."""
    theta = system.initial(generator(seed)).astype(float)
    theta += spread * np.random.default_rng(seed).normal(size=theta.size)
    return theta.astype(system.dtype)


def tensors(system):
    return torch.tensor(system.train.inputs), torch.tensor(system.train.targets)


# ------------------------------------------------------------------------------ weights, functions


def test_initial_weights_are_those_of_torch_modules():
    """Variance and bounds of nn.Linear, in every layer; the input of pairs has 2 p components."""
    system = built("relu, deep", hidden=[200, 150, 50])
    theta, inputs = weights(system, spread=0.0), dict(zip("1234", (22, 200, 150, 50)))
    for name, w in zip(system.layout, system.views(theta)):
        bound = inputs[name[-1] if "_" in name else "1"] ** -0.5
        z = (np.mean(w**2) / (bound**2 / 3.0) - 1.0) / math.sqrt(0.8 / w.size)
        assert abs(z) < 4 and np.abs(w).max() <= bound, (name, z)
        assert w.size < 1000 or np.abs(w).max() > 0.99 * bound


def test_initial_weights_of_the_mean_field_are_standard_normal():
    for name, w in zip(*_names_and_weights(built("tanh, deep", hidden=[300, 40]))):
        if name.startswith("b_"):
            assert not w.any()
        else:
            assert abs(np.mean(w**2) - 1.0) < 4.0 * math.sqrt(2.0 / w.size), name
    assert abs(np.mean(weights(built("committee"), spread=0.0) ** 2) - 1.0) < 4 * math.sqrt(2 / 480)


def _names_and_weights(system):
    return list(system.layout), system.views(weights(system, spread=0.0))


def test_quadratic_network_is_that_of_gromov():
    """Eq. 4 of arXiv 2301.02679 on one-hot vectors, squared distance to one-hot labels."""
    system = built("mean field")
    theta = weights(system)
    U, V, W = system.views(theta)
    p, hidden = 11, 20
    x = np.concatenate([np.eye(p)[system.train.inputs[:, k]] for k in (0, 1)], axis=1)
    f = (x @ np.concatenate([U, V])) ** 2 @ W.T / (2 * p * hidden)
    E, accuracy, _ = compiled_gradient(system, theta)
    assert E == pytest.approx(np.mean((f - np.eye(p)[system.train.targets]) ** 2), rel=1e-13)
    assert accuracy == np.mean(f.argmax(axis=1) == system.train.targets)


def test_logits_are_those_of_the_landscape():
    """f_c = sum_k W_ck (U_ak + V_bk)^2, and the cross-entropy of its softmax."""
    system = built("quadratic")
    theta = weights(system)
    U, V, W = system.views(theta)
    a, b = system.train.inputs.T
    f = np.einsum("ck,nk->nc", W, (U[a] + V[b]) ** 2)
    E = np.mean(np.log(np.exp(f).sum(axis=1)) - f[np.arange(len(a)), system.train.targets])
    assert compiled_gradient(system, theta)[0] == pytest.approx(E, rel=1e-12)


def test_committee_is_that_of_kumar():
    """Eq. 3 of arXiv 2310.06110: network, target, and the variance of the inputs."""
    kind, keys = VARIANTS["committee"]
    parameters = parameters_class(kind)(**keys)
    arrays = parameters.disorder(None)
    system = parameters.build(arrays)
    theta = weights(system)
    h = arrays["patterns"] @ theta.reshape(40, 12).T
    f = 2.0 / 40 * (h + 0.15 * h**2).sum(axis=1)
    y = 0.5 * (arrays["patterns"] @ arrays["beta"]) ** 2
    E, order, _ = compiled_gradient(system, theta)
    assert E == pytest.approx(np.mean((f - y) ** 2), rel=1e-12)
    assert order == pytest.approx(1.0 - np.mean((f - y) ** 2) / np.var(y), rel=1e-12)
    z = (np.mean(arrays["patterns"] ** 2) * 12 - 1.0) / math.sqrt(2.0 / (70 * 12))
    assert abs(z) < 4


def test_student_that_is_the_teacher_has_no_error():
    """The teacher's vector is in the student's order, and its patterns are those of the sampler."""
    for name, phi in (("teacher", torch.tanh), ("relu teacher", torch.relu)):
        kind, keys = VARIANTS[name]
        parameters = parameters_class(kind)(**keys)
        arrays = parameters.disorder(None)
        system = parameters.build(arrays)
        E, order, _ = compiled_gradient(system, arrays["teacher"])
        assert E < 1e-28 and order == pytest.approx(1.0, abs=1e-14)
        z, w = torch.tensor(system.train.inputs), system.views(torch.tensor(arrays["teacher"]))
        for layer in range(0, len(w), 2):
            z = torch.nn.functional.linear(phi(z) if layer else z, w[layer], w[layer + 1])
        assert np.allclose(z, system.train.targets, atol=1e-14)
    same = tanh_mlp.Parameters(layers=keys["layers"], n=keys["n"], sigma2=1.0).disorder(None)
    assert all(np.array_equal(arrays[key], same[key]) for key in same)


# ----------------------------------------------------------------------------------------- gradient


@pytest.mark.parametrize("chosen", [slice(None), slice(3, 60, 7), slice(0, 1)])
@pytest.mark.parametrize("name", VARIANTS)
def test_gradient_equals_automatic_differentiation(name, chosen):
    system = built(name)
    theta = weights(system)
    E, order, gradient = compiled_gradient(system, theta, chosen)
    x, y = (v[chosen] for v in tensors(system))
    E_torch, reference = mlp_torch.energy_and_gradient(system, theta, x.numpy(), y.numpy())
    assert E == pytest.approx(E_torch, rel=1e-13)
    assert max(relative_errors(system, gradient, reference).values()) < 1e-12
    if len(x) > 1:  # one target has no variance
        expected = mlp_torch.accuracy(system, torch.tensor(theta), x, y).item()
        assert order == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", [pytest.param("tanh, deep", marks=pytest.mark.slow), "teacher"])
def test_gradient_over_several_chunks_of_rows(monkeypatch, name):
    """Chunks of 64 rows, and the losses of the same weights, which have no gradient beside."""
    system = built(name, **dict(p=17) if name == "tanh, deep" else dict(n=150))
    theta = weights(system)
    E_whole, order, reference = compiled_gradient(system, theta)
    monkeypatch.setattr(mlp_compiled, "CHUNK_BYTES", 1)
    work = networks.workspace(system)
    assert work.chunk == 64 < len(system.train.targets)
    E, _, gradient = compiled_gradient(system, theta, work=work)
    data = networks.data(system, system.train.inputs, system.train.targets)
    assert networks.losses(system.matrices(theta), data, work) == pytest.approx((E, order), 1e-13)
    assert E == pytest.approx(E_whole, rel=1e-14)
    assert max(relative_errors(system, gradient, reference).values()) < 1e-13


@pytest.mark.parametrize("name", VARIANTS)
def test_torch_network_takes_a_stack_of_replicas(name):
    """``torch.func.vmap`` over theta: energies, gradients and order parameters of each alone."""
    system = built(name)
    thetas = torch.stack([torch.tensor(weights(system, seed)) for seed in range(3)])
    x, y = tensors(system)

    def energy(theta):
        return mlp_torch.energy(system, theta, x, y)

    def accuracy(theta):
        return mlp_torch.accuracy(system, theta, x, y)

    for function in (energy, accuracy, torch.func.grad(energy)):
        alone = torch.stack([function(theta) for theta in thetas])
        assert torch.allclose(torch.func.vmap(function)(thetas), alone, rtol=1e-12, atol=1e-15)
    assert alone.abs().max() > 1e-6


@pytest.mark.parametrize("name", ["quadratic", "teacher"])
def test_data_for_kernels_are_copies(name):
    """Minibatches are written in place, and must not reach the data set of the system."""
    system = built(name)
    room = trainer.scratch(system)
    arrays = [x for x in (*room.train, *room.batch) if isinstance(x, np.ndarray)]
    arrays += [system.train.inputs, system.train.targets]
    for i, x in enumerate(arrays):
        for y in arrays[i + 1 :]:
            assert not np.shares_memory(x, y)


def test_broken_weights_show():
    """An input of tanh that is not finite has a finite limit, which must not hide it."""
    system = built("teacher")
    for value in (np.nan, np.inf):
        theta = weights(system)
        theta[0] = value
        assert np.isnan(compiled_gradient(system, theta)[0])


def test_wrong_parameters_are_refused():
    schema = parameters_class("modular-mlp")
    with pytest.raises(ValidationError, match="hidden"):
        schema(hidden=[])
    with pytest.raises(ValueError, match="every layer needs a unit"):
        schema(hidden=[4, 0]).build()
    with pytest.raises(ValueError, match="leave out"):
        parameters_class("committee-machine")().disorder(np.ones((2, 2)))


@pytest.mark.slow  # compiles for half a minute
@pytest.mark.parametrize("name", VARIANTS)
def test_gradient_in_float32(name):
    system, double = built(name, precision="float32"), built(name)
    theta = weights(system)
    E, _, gradient = compiled_gradient(system, theta)
    E_64, _, reference = compiled_gradient(double, theta.astype(float))
    assert E == pytest.approx(E_64, rel=1e-6)
    assert max(relative_errors(double, gradient.astype(float), reference).values()) < 3e-6


# ----------------------------------------------------------------------------------------- training

OPTIMISERS = {
    "adamw": lambda theta: torch.optim.AdamW(theta, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.7),
    "sgd": lambda theta: torch.optim.SGD(theta, lr=3e-3, momentum=0.0, weight_decay=0.7),
}


@pytest.mark.slow  # compiles for a minute
@pytest.mark.parametrize("name", ["quadratic", "relu, deep", "teacher", "committee"])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("batch", [0, 25])
def test_twenty_steps_equal_those_of_torch(name, optimiser, batch):
    system = built(name)
    settings = Settings(optimiser=optimiser, lr=3e-3, weight_decay=0.7,
                        momentum=0.0, batch=batch, warmup=0, eval_every=10)
    state = trainer.init(system, settings, generator(2))
    theta = torch.tensor(state.theta, requires_grad=True)
    update = OPTIMISERS[optimiser]([theta])
    x, y = tensors(system)
    whole = [slice(None)] * 20
    energies = []
    for chosen in minibatches(system, settings, generator(2), 20) if batch else whole:
        update.zero_grad()
        energies.append(mlp_torch.energy(system, theta, x, y).item())
        mlp_torch.energy(system, theta, x[chosen], y[chosen]).backward()
        update.step()
    curves = trainer.advance(system, settings, state, 20)
    # a component of the gradient near epsilon moves its weight by rounding over epsilon times lr
    assert np.abs(state.theta - theta.detach().numpy()).max() < 1e-8
    assert np.allclose(curves.train_loss[:-1], energies[::10], rtol=1e-9)
    x, y = torch.tensor(system.test.inputs), torch.tensor(system.test.targets)
    order = mlp_torch.accuracy(system, theta, x, y).item()
    assert curves.test_accuracy[-1] == pytest.approx(order, abs=1e-8)


@pytest.mark.slow  # compiles for a minute
@pytest.mark.parametrize("name", ["mean field", "teacher"])
@pytest.mark.parametrize("blocks", [[1] * 40, [13, 1, 26]])
def test_blocks_give_the_same_bits(name, blocks):
    system = built(name)
    settings = Settings(lr=3e-3, temperature=1e-6, batch=25, eval_every=7)
    whole, cut = (trainer.init(system, settings, generator(4)) for _ in range(2))
    curves = trainer.advance(system, settings, whole, 40)
    parts = [trainer.advance(system, settings, cut, n) for n in blocks]
    for field in ("theta", "m", "v", "rng", "counters", "order"):
        assert np.array_equal(getattr(whole, field), getattr(cut, field)), field
    for k, field in enumerate(curves._fields):
        assert np.array_equal(np.concatenate([part[k] for part in parts]), curves[k]), field


@pytest.mark.slow  # compiles for a minute
def test_weights_of_a_dead_unit_become_zero():
    """Squares of weights that only decay would soon be denormal, and every step slow."""
    system = built("quadratic", precision="float32")
    settings = Settings(lr=0.01, weight_decay=10.0, warmup=0, eval_every=1000)
    state = trainer.init(system, settings, generator(3))
    U, V, W = system.views(state.theta)
    U[:, 3] = V[:, 3] = 0.0
    W[:, 3] = 1e-25
    trainer.advance(system, settings, state, 200)  # by then 1e-25 exp(-20)
    assert not W[:, 3].any() and np.abs(W).max() > 1e-3


@pytest.mark.slow  # compiles for a minute
def test_protocol_resumes_from_its_checkpoint():
    card = cards.load("committee-square-30", {"batch": 40})
    protocol = training(card, replicas=2, steps=60)
    whole = protocol.init(5)
    protocol.advance(whole, 60)
    cut = protocol.init(5)
    protocol.advance(cut, 23)
    saved = {name: np.copy(value) for name, value in vars(cut).items() if name != "start_step"}
    resumed = protocol.restore(saved | {"start_step": cut.start_step})
    protocol.advance(resumed, 37)
    for name, value in vars(whole).items():
        assert np.array_equal(value, getattr(resumed, name), equal_nan=True), name
    assert not np.array_equal(whole.order[0], whole.order[1])
    group = protocol.result(resumed)["training"]
    assert group.variables["train_loss"].long_name == "mean squared error of the train set"
    assert group.variables["test_accuracy"].long_name == "explained variance on the test set"


# ----------------------------------------------------------------------------------------- grokking


def trained(name, replicas=2):
    protocol = training(cards.load(name), replicas=replicas)
    state = protocol.init(0)
    protocol.advance(state, protocol.steps)
    return protocol.result(state)["training"]


@pytest.mark.slow
@pytest.mark.parametrize("name, delay", [("mlp-subtraction-31", 8.0), ("mlp-relu-31", 8.0),
                                         ("mlp-addition-31", 1.5), ("mlp-product-s4", 8.0)])
def test_cards_of_pairs_grok(name, delay):
    """Train accuracy 99 % long before the test accuracy reaches 95 % for good."""
    group = trained(name)
    assert np.all(group["generalisation_step_95"] > delay * group["memorisation_step"])
    assert np.all(group["test_loss"].max(axis=1) > 1.05 * group["test_loss"][:, 0])


@pytest.mark.slow
def test_the_training_examples_of_the_readme_grok(call):
    """As printed beside them; the former example was at half of its test set when it ended."""
    page = (ROOT / "README.md").read_text()
    found = re.findall(r"^phasegrok run (training .*?) +# .*test 95 % at (\d+)$", page, re.M)
    assert len(found) == 2
    for command, late in found:
        done = call(*command.split(), "--out", "a.h5", "--force")
        assert done.code == 0, done.err
        group = runfile.read("a.h5")["training"]
        assert np.all(np.abs(group["memorisation_step"] - 100) <= 20)
        assert np.median(group["generalisation_step_95"]) == pytest.approx(int(late), rel=0.15)


@pytest.mark.slow
def test_student_generalises_after_it_has_memorised():
    """Large initial weights: 99 % of the train set's variance by step 1500, the test set's late."""
    group = trained("student-training", replicas=1)
    assert group["memorisation_step"][0] < 1500 < 10_000 < group["generalisation_step_95"][0]


@pytest.mark.slow
def test_committee_learns_its_features_late():
    """The test loss rises while the train loss falls, and falls by a factor of 10 afterwards."""
    group = trained("committee-square-30")
    step, train, test = group["step"], group["train_loss"], group["test_loss"]
    for k in range(2):
        top = test[k].argmax()
        assert test[k, top] > 1.05 * test[k, 0] and train[k, top] < 0.85 * train[k, 0]
        tenth = [step[np.flatnonzero(loss < 0.1 * loss[0])[0]] for loss in (train[k], test[k])]
        assert tenth[1] > 4 * tenth[0]
