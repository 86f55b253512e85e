"""The two-layer decoder: gradient, causality, minibatches, training against PyTorch, resuming."""

import os
import runpy
import subprocess
import sys

import numpy as np
import pytest
import torch
from network_checks import compiled_gradient, minibatches, relative_errors
from pydantic import ValidationError
from repository import EXPERIMENTS, ROOT

from phasegrok import cards
from phasegrok.networks import engine as networks
from phasegrok.networks.compiled import decoder as compiled
from phasegrok.networks.compiled.kernels import pairs, single_threaded_blas
from phasegrok.networks.models.decoder import Parameters, positions
from phasegrok.networks.pytorch import decoder as decoder_torch
from phasegrok.networks.training import kernel as trainer
from phasegrok.networks.training.settings import Settings
from phasegrok.rng import streams
from phasegrok.run import runfile
from phasegrok.studies.training import training

SMALL = dict(p=11, d_model=20, heads=2, mlp=24, train_fraction=0.6, precision="float64")
SMALL_31 = dict(operation="-", p=31, train_fraction=0.7, d_model=48, heads=4, mlp=192)


@pytest.fixture(autouse=True)
def _one_blas_thread():
    with single_threaded_blas():
        yield


def generator(seed):
    return streams(seed, "test-decoder", 1)[0]


def weights(system, seed=1, spread=0.1):
    """Initial weights with noise on them, so that gains and biases are not 1 and 0."""
    theta = system.initial(generator(seed)).astype(float)
    theta += spread * np.random.default_rng(seed).normal(size=theta.size)
    return theta.astype(system.dtype)


# --------------------------------------------------------------------------- weights and function


def test_initial_weights_are_those_of_torch_modules():
    """Variances of the embedding and of nn.Linear, gains 1, biases 0; bounds of the uniform."""
    system = Parameters(**SMALL_31).build()
    theta = system.initial(generator(3))
    for name, w in zip(system.layout, system.views(theta)):
        x = w.astype(float).ravel()
        if w.ndim == 1:
            assert np.all(x == (1.0 if name.startswith("gain") else 0.0)), name
            continue
        bound = {"W_out_1": 192, "W_out_2": 192}.get(name, 48) ** -0.5
        variance, kurtosis = (1.0, 3.0) if name == "W_E" else (bound**2 / 3.0, 1.8)
        z = (np.mean(x**2) / variance - 1.0) / np.sqrt((kurtosis - 1.0) / x.size)
        assert abs(z) < 4, (name, z)
        assert name == "W_E" or 0.99 * bound < np.abs(x).max() <= bound


def test_positions_by_hand():
    x = positions(4)
    assert np.allclose(x[0], [0, 1, 0, 1], atol=0)
    assert np.allclose(x[3], [np.sin(3), np.cos(3), np.sin(0.03), np.cos(0.03)], rtol=1e-15)


@pytest.mark.slow  # compiles for a minute
def test_function_equals_that_of_torch_modules():
    """The peer of the benchmark is written with nn.Linear, nn.LayerNorm and a module a head."""
    benchmark = runpy.run_path(str(ROOT / "benchmarks" / "decoder_peer.py"))
    system = Parameters(**SMALL).build()
    theta = weights(system)
    for attention in (benchmark["HeadsApart"], benchmark["HeadsTogether"]):
        peer = benchmark["Peer"](attention, system, theta, 1e-3, 1.0, (0.9, 0.98), 10)
        everything = torch.arange(len(system.train.targets))
        expected = peer.loss(everything).item()  # in float32
        assert compiled_gradient(system, theta)[0] == pytest.approx(expected, rel=3e-6)


def test_positions_do_not_see_what_follows():
    """Changing b leaves positions 0 and 1 as they are, and changes 2 and 3; the sums share that."""
    system = Parameters(**SMALL).build()
    theta = torch.tensor(weights(system))
    one, other = torch.tensor([[3, 5]]), torch.tensor([[3, 6]])
    for x, y in zip(*(decoder_torch.residuals(system, theta, t) for t in (one, other))):
        assert torch.equal(x[:, :2], y[:, :2])
        assert (x[:, 2] - y[:, 2]).abs().max() > 0.1 and (x[:, 3] - y[:, 3]).abs().max() > 1e-3


@pytest.mark.slow
def test_tables_hold_the_residual_vectors():
    """Rows shared by all pairs of one a, and those of each pair, after the first layer."""
    system = Parameters(**SMALL).build()
    theta, p = weights(system), 11
    work = compiled.workspace(system)
    compiled_gradient(system, theta, slice(0, 9), work)
    chosen = system.train.inputs[:9]
    first, second = decoder_torch.residuals(system, torch.tensor(theta), torch.tensor(chosen))
    tokens, a = work.tokens.out, chosen[:, 0]
    for position, rows in enumerate((tokens[a], tokens[p + a], work.pairs.out[:9],
                                     work.pairs.out[9:18])):
        assert np.allclose(rows, first[:, position].numpy(), atol=1e-13)
    assert np.allclose(work.answers.out[:9], second[:, 3].numpy(), atol=1e-13)


# --------------------------------------------------------------------------------------- gradient


@pytest.mark.parametrize("chosen", [slice(None), slice(5, 400, 7), slice(0, 1)])
@pytest.mark.parametrize(
    "parameters",
    [
        SMALL_31 | dict(precision="float64"),
        SMALL,
        dict(p=7, d_model=15, heads=3, mlp=21, operation="-", precision="float64"),
        dict(p=17, d_model=8, heads=1, mlp=130, operation="+", precision="float64"),
    ],
)
def test_gradient_equals_automatic_differentiation(parameters, chosen):
    system = Parameters(**parameters).build()
    theta = weights(system)
    E, accuracy, gradient = compiled_gradient(system, theta, chosen)
    x, y = system.train.inputs[chosen], system.train.targets[chosen]
    E_torch, reference = decoder_torch.energy_and_gradient(system, theta, x, y)
    assert E == pytest.approx(E_torch, rel=1e-13)
    assert max(relative_errors(system, gradient, reference).values()) < 1e-12
    x, y = torch.tensor(x), torch.tensor(y)
    assert accuracy == decoder_torch.accuracy(system, torch.tensor(theta), x, y)


@pytest.mark.slow
def test_gradient_over_several_chunks_of_rows(monkeypatch):
    system = Parameters(**SMALL).build()
    theta = weights(system)
    _, _, reference = compiled_gradient(system, theta)
    monkeypatch.setattr(compiled, "ROWS", 13)
    work = compiled.workspace(system)
    E, _, gradient = compiled_gradient(system, theta, work=work)
    data = pairs(system.train.inputs, system.train.targets)
    assert E == pytest.approx(networks.losses(system.matrices(theta), data, work)[0], rel=1e-15)
    assert max(relative_errors(system, gradient, reference).values()) < 1e-13


@pytest.mark.slow  # compiles for a minute
def test_gradient_in_float32():
    """Rounding: sums of several hundred terms of relative error 6e-8 that partly cancel."""
    system = Parameters(**SMALL_31).build()
    theta = weights(system)
    E, _, gradient = compiled_gradient(system, theta)
    double = Parameters(**SMALL_31, precision="float64").build()
    E_64, reference = decoder_torch.energy_and_gradient(
        double, theta.astype(float), system.train.inputs, system.train.targets
    )
    assert E == pytest.approx(E_64, rel=1e-6)
    assert max(relative_errors(system, gradient, reference).values()) < 2e-5


def test_wrong_parameters_are_refused():
    with pytest.raises(ValidationError, match="not divisible"):
        Parameters(d_model=10, heads=4)
    with pytest.raises(ValidationError, match="not a prime"):
        Parameters(p=98)


# --------------------------------------------------------------------------------------- training


@pytest.mark.slow  # compiles for a minute
def test_minibatches_take_every_pair_once_an_epoch():
    system = Parameters(**SMALL).build()
    settings = Settings(batch=25, eval_every=1000)
    n = len(system.train.targets)  # 66 of 110
    batches = list(minibatches(system, settings, generator(2), 6))
    assert [len(x) for x in batches] == [25, 25, 16] * 2
    epochs = [np.concatenate(batches[:3]), np.concatenate(batches[3:])]
    assert all(np.array_equal(np.sort(x), np.arange(n)) for x in epochs)
    assert not np.array_equal(*epochs) and not np.array_equal(epochs[0], np.arange(n))


@pytest.mark.slow  # compiles for a minute
@pytest.mark.parametrize("batch", [0, 25, 66])
def test_twenty_steps_equal_those_of_torch(batch):
    system = Parameters(**SMALL).build()
    settings = Settings(lr=3e-3, weight_decay=0.7, batch=batch, eval_every=10)
    state = trainer.init(system, settings, generator(2))
    theta = torch.tensor(state.theta, requires_grad=True)
    optimiser = torch.optim.AdamW([theta], lr=3e-3, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.7)
    x, y = torch.tensor(system.train.inputs), torch.tensor(system.train.targets)
    whole = batch in (0, 66)
    chosen = [slice(None)] * 20 if whole else list(minibatches(system, settings, generator(2), 20))
    energies = []
    for k in range(20):
        optimiser.param_groups[0]["lr"] = 3e-3 * min(1.0, (k + 1) / 10)
        optimiser.zero_grad()
        energies.append(decoder_torch.energy(system, theta, x, y).item())
        decoder_torch.energy(system, theta, x[chosen[k]], y[chosen[k]]).backward()
        optimiser.step()
    curves = trainer.advance(system, settings, state, 20)
    # a component of the gradient near epsilon moves its weight by rounding over epsilon times lr
    assert np.abs(state.theta - theta.detach().numpy()).max() < 1e-8
    assert np.allclose(curves.train_loss[:-1], energies[::10], rtol=1e-10)
    x, y = torch.tensor(system.test.inputs), torch.tensor(system.test.targets)
    test_loss = decoder_torch.energy(system, theta, x, y).item()
    assert curves.test_loss[-1] == pytest.approx(test_loss, rel=1e-9)


@pytest.mark.slow  # compiles for a minute
@pytest.mark.parametrize("blocks", [[1] * 40, [13, 1, 26], [0, 40, 0]])
@pytest.mark.parametrize("temperature", [0.0, 1e-6])
def test_blocks_give_the_same_bits(blocks, temperature):
    system = Parameters(**SMALL).build()
    settings = Settings(lr=3e-3, temperature=temperature, batch=25, eval_every=7)
    whole, cut = (trainer.init(system, settings, generator(4)) for _ in range(2))
    curves = trainer.advance(system, settings, whole, 40)
    parts = [trainer.advance(system, settings, cut, n) for n in blocks]
    assert np.array_equal(curves.step, [0, 7, 14, 21, 28, 35])
    for name in ("theta", "m", "v", "rng", "counters", "order"):
        assert np.array_equal(getattr(whole, name), getattr(cut, name)), name
    for k, name in enumerate(curves._fields):
        assert np.array_equal(np.concatenate([part[k] for part in parts]), curves[k]), name


@pytest.mark.slow  # compiles for a minute
def test_broken_weights_stop_the_run():
    system = Parameters(**SMALL).build()
    settings = Settings(batch=25)
    for name in ("W_E", "gain_mlp_1", "W_K_2", "W_U"):
        state = trainer.init(system, settings, generator(1))
        trainer.advance(system, settings, state, 12)
        state.theta[system.layout[name][0]] = np.nan
        trainer.advance(system, settings, state, 100)
        assert state.status == "not finite" and state.step < 20, name


@pytest.mark.slow  # compiles for a minute
def test_protocol_resumes_from_its_checkpoint():
    """Two replicas, cut in the middle of an epoch: the state's arrays are all that is kept."""
    card = cards.load("decoder-subtraction-31", {"p": 11, "d_model": 16, "mlp": 32, "batch": 20})
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


@pytest.mark.slow  # compiles for a minute
def test_command_line(tmp_path):
    out = tmp_path / "a.h5"
    command = [sys.executable, str(EXPERIMENTS / "training.py"), "decoder-subtraction-31",
               "--steps", "20", "--replicas", "1", "--out", str(out)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    group = runfile.read(out).groups["training"]
    loss = np.asarray(group["train_loss"])[0]
    assert loss[0] == pytest.approx(np.log(31), rel=0.15)  # untrained: all classes alike
    names = [str(x) for x in np.asarray(group["matrix"])]
    assert {"W_E", "W_Q_1", "W_out_2", "W_U"} <= set(names)


# --------------------------------------------------------------------------------------- grokking


@pytest.mark.slow
def test_subtraction_modulo_31_groks():
    """The card: train accuracy 99 % long before the test accuracy reaches 95 %."""
    card = cards.load("decoder-subtraction-31")
    protocol = training(card, replicas=1)
    state = protocol.init(0)
    protocol.advance(state, protocol.steps)
    found = protocol.result(state)["training"]
    memorised = float(np.asarray(found["memorisation_step"])[0])
    generalised = float(np.asarray(found["generalisation_step_95"])[0])
    assert memorised < 1000 and generalised > 4 * memorised
