"""Optimisers of networks: updates against PyTorch, filters against NumPy, resuming.

Every pair of an update and a filter compiles a kernel for ten seconds, so that the tests share few
pairs, of one network in one precision.
"""

import json
import tomllib

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from repository import REFERENCE

from phasegrok.cards.card import from_text
from phasegrok.cards.library import load
from phasegrok.errors import InputError
from phasegrok.networks.compiled.cold import check
from phasegrok.networks.compiled.kernels import single_threaded_blas
from phasegrok.networks.models import mlp
from phasegrok.networks.models.transformer import Parameters
from phasegrok.networks.pytorch import transformer as transformer_torch
from phasegrok.networks.training import kernel as trainer
from phasegrok.networks.training.settings import Settings
from phasegrok.networks.training.state import Event
from phasegrok.protocols.network_clones import NetworkClones
from phasegrok.protocols.training import Training
from phasegrok.rng import streams
from phasegrok.run import runfile

SMALL = dict(p=11, d_model=20, heads=2, mlp=24, train_fraction=0.6, precision="float64")
TORCH = {
    "adamw": lambda theta: torch.optim.AdamW(theta, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.7),
    "adam": lambda theta: torch.optim.Adam(theta, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.7),
    "sgd": lambda theta: torch.optim.SGD(theta, lr=3e-3, momentum=0.8, weight_decay=0.7),
}


@pytest.fixture(autouse=True)
def _one_blas_thread():
    with single_threaded_blas():
        yield


@pytest.fixture(scope="module")
def system():
    return Parameters(**SMALL).build()


def generator(seed=2):
    return streams(seed, "test-optimisers", 1)[0]


def gradient_at(system, state):
    """The gradient that the next step begins with, from the kernel of the steps itself."""
    room = trainer.scratch(system)
    plain = trainer.init(system, Settings(), generator())
    plain.theta[:] = state.theta
    trainer.advance(system, Settings(), plain, 1, room)
    return room.gradient


def filtered(kind, gradients):
    """Grokfast in NumPy, from all gradients so far."""
    g = gradients[-1]
    if kind == "ema":
        mu = gradients[0]
        for x in gradients:
            mu = 0.9 * mu + 0.1 * x
        return g + 3.0 * mu
    if kind == "ma" and len(gradients) >= 6:
        return g + 3.0 * np.mean(gradients[-6:], axis=0)
    return g


@pytest.mark.parametrize("fixed_norm", [False, True])
@pytest.mark.parametrize("optimiser, kind", [
    ("adamw", "none"), ("adamw", "ema"), ("adamw", "ma"), ("adam", "none"), ("sgd", "none")])
def test_twenty_steps_equal_those_of_torch(system, optimiser, kind, fixed_norm):
    settings = Settings(
        optimiser=optimiser, lr=3e-3, weight_decay=0.7, momentum=0.8, warmup=10,
        filter=kind, filter_alpha=0.9, filter_window=6, filter_lambda=3.0, fixed_norm=fixed_norm,
    )
    state = trainer.init(system, settings, generator())
    theta = torch.tensor(state.theta)
    norm, torchs, gradients = theta.norm(), TORCH[optimiser]([theta]), []
    for k in range(20):
        gradients.append(gradient_at(system, state))
        theta.grad = torch.tensor(filtered(kind, gradients))
        torchs.param_groups[0]["lr"] = 3e-3 * min(1.0, (k + 1) / 10)
        torchs.step()
        if fixed_norm:
            theta *= norm / theta.norm()
        trainer.advance(system, settings, state, 1)
        assert np.abs(state.theta - theta.numpy()).max() < 1e-12, k
    assert np.abs(state.theta).max() > 0.1 and state.step == 20


@pytest.mark.parametrize("engine", ["compiled", "torch"])
@pytest.mark.parametrize("optimiser, given, rounding", [
    ("lion", dict(lr=2e-3, weight_decay=0.5), 1e-12),
    ("sam", dict(lr=0.05, momentum=0.8, weight_decay=0.01, rho=0.3), 1e-8),
])
def test_weights_are_those_of_published_optimisers(optimiser, given, rounding, engine):
    """Against data/reference/updates.json; its SAM takes norms in single precision."""
    table = json.loads((REFERENCE / "updates.json").read_text())
    network = mlp.Parameters(**table["network"]).build()
    settings = Settings(optimiser=optimiser, warmup=0, engine=engine, **given)
    protocol = Training(network, settings, 2, table["steps"])
    state = protocol.init(1)
    state.theta[:] = 0.4 * np.sin(1.0 + 3.0 * np.arange(network.n_parameters))
    start = state.theta.copy()
    protocol.advance(state, 7)
    protocol.advance(state, table["steps"])
    np.testing.assert_allclose(state.theta, [table[optimiser]] * 2, rtol=0, atol=rounding)
    assert np.abs(state.theta - start).max() > 0.01


def test_muon_is_that_of_torch_on_hidden_matrices_and_adamw_elsewhere(system, monkeypatch):
    """PyTorch's iterates in bfloat16, three digits: here in the weights' precision instead."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda x: x.clone())
    settings = Settings(optimiser="muon", lr=3e-3, weight_decay=0.7, momentum=0.9, engine="torch")
    protocol = Training(system, settings, 2, 20)
    state = protocol.init(1)
    expected = []
    for theta in torch.tensor(state.theta):
        parts = dict(zip(system.layout, (x.clone() for x in system.views(theta))))
        for name in ("W_Q", "W_K", "W_V"):
            parts[name] = parts[name].flatten(0, 1)
        hidden = [parts[name] for name in ("W_Q", "W_K", "W_V", "W_O", "W_in", "W_out")]
        others = [parts[name] for name in ("W_E", "W_pos", "b_in", "b_out", "W_U")]
        torchs = [torch.optim.Muon(hidden, lr=3e-3, weight_decay=0.7, momentum=0.9,
                                   adjust_lr_fn="match_rms_adamw"),
                  torch.optim.AdamW(others, lr=3e-3, weight_decay=0.7, betas=(0.9, 0.98))]
        for k in range(20):
            now = torch.cat([x.flatten() for x in parts.values()]).requires_grad_()
            energy = transformer_torch.energy(system, now, *map(torch.tensor, system.train))
            (gradient,) = torch.autograd.grad(energy, now)
            for x, g in zip(parts.values(), system.views(gradient)):
                x.grad = g.reshape(x.shape)
            for optimiser in torchs:
                optimiser.param_groups[0]["lr"] = 3e-3 * min(1.0, (k + 1) / 10)
                optimiser.step()
        expected.append(torch.cat([x.flatten() for x in parts.values()]).numpy())
    protocol.advance(state, 20)
    np.testing.assert_allclose(state.theta, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("settings, text", [
    (Settings(optimiser="muon"), "muon has no compiled form: set engine = .torch. in"),
    (Settings(optimiser="muon", engine="torch"), "muon is for hidden matrices, of which .* none"),
])
def test_updates_that_do_not_fit_are_refused(system, settings, text):
    if settings.engine == "torch":
        system = mlp.Parameters(p=5, hidden=[4]).build()
    with pytest.raises(ValueError, match=text):
        check(system, settings)


@pytest.mark.parametrize("kind, strength", [("ema", 2.0), ("ma", 5.0)])
def test_strength_of_a_filter_is_the_published_one(system, kind, strength):
    def weights(**given):
        settings = Settings(filter=kind, filter_window=3, **given)
        state = trainer.init(system, settings, generator())
        trainer.advance(system, settings, state, 5)
        return state.theta

    np.testing.assert_array_equal(weights(), weights(filter_lambda=strength))


def test_defaults_are_adamw_without_filter(system):
    settings = load("transformer-subtraction-31").model.training
    assert (settings.optimiser, settings.filter) == ("adamw", "none")
    assert (settings.filter_alpha, settings.filter_window) == (0.98, 100)  # arXiv 2405.20233
    state = trainer.init(system, settings, generator())
    assert state.mu.size == state.window.size == 0  # nothing more is kept than before


def test_earlier_names_of_keys_are_read():
    """Cards and run files have them; what a card says now is written by the present ones."""
    card = load("wand-subtraction-31", {"noise": 0.25, "training.final_noise": 0.1})
    assert (card.model.training.temperature, card.model.training.final_temperature) == (0.25, 0.1)
    assert "noise" not in tomllib.loads(card.text)["training"]
    old = card.text.replace("temperature = 0.25", "noise = 0.25")
    assert old != card.text and from_text(old, card.folder).model == card.model
    with pytest.raises(ValidationError, match="noise"):
        Settings(temperature=1.0, noise=2.0)


def test_norm_stays_at_that_of_the_scaled_start():
    system = Parameters(**SMALL).build()
    start = trainer.init(system, Settings(), generator())
    plain = np.linalg.norm(start.theta.astype(float))
    for optimiser, scale in (("adamw", 0.5), ("sgd", 2.0)):
        settings = Settings(optimiser=optimiser, initial_scale=scale, fixed_norm=True,
                            lr=3e-3, temperature=1e-5)
        state = trainer.init(system, settings, generator())
        start = state.theta.copy()
        curves = trainer.advance(system, settings, state, 200)
        norms = np.sqrt((curves.norms**2).sum(axis=1))
        np.testing.assert_allclose(norms, scale * plain, rtol=1e-12)
        assert np.abs(state.theta - start).max() > 0.01


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_noise_of_every_optimiser_has_variance_2_lr_T(system, optimiser):
    after = []
    for T in (0.0, 0.3):
        settings = Settings(optimiser=optimiser, lr=0.01, warmup=4,
                            temperature=T)
        state = trainer.init(system, settings, generator())
        trainer.advance(system, settings, state, 1)
        after.append(state.theta)
    noise = (after[1] - after[0]) / np.sqrt(2 * 0.01 / 4 * 0.3)
    assert abs(noise.mean() * np.sqrt(noise.size)) < 4
    assert abs((np.mean(noise**2) - 1) / np.sqrt(2 / noise.size)) < 4


@pytest.mark.parametrize("given", [
    dict(optimiser="adamw", filter="ma", filter_window=9),
    pytest.param(dict(optimiser="adam", filter="ema", batch=30), marks=pytest.mark.slow),
    pytest.param(dict(optimiser="sgd", fixed_norm=True, temperature=1e-6, filter="ma",
                      filter_window=30), marks=pytest.mark.slow),
])
def test_resumed_training_has_the_same_bits(given):
    system = Parameters(**SMALL).build()
    settings = Settings(lr=3e-3, eval_every=7, weight_decay=0.1, **given)
    protocol = Training(system, settings, 2, 60, hold=10.0)
    whole = protocol.init(3)
    protocol.advance(whole, 60)
    cut = protocol.init(3)
    for n in (13, 1, 26):
        protocol.advance(cut, n)
        saved = runfile.pack_dataclass(cut)
        cut = protocol.restore({name: np.array(value) if isinstance(value, np.ndarray) else value
                                for name, value in saved.items()})
    protocol.advance(cut, 100)
    assert protocol.done(cut) == 60
    for name, value in vars(whole).items():
        np.testing.assert_array_equal(value, getattr(cut, name), err_msg=name)
    assert protocol.memory() > sum(np.asarray(value).nbytes for value in vars(whole).values())


def test_clones_take_what_the_filter_keeps(system):
    settings = Settings(weight_decay=0.0, lr=1e-2, filter="ma",
                        filter_window=4)
    protocol = NetworkClones(system, settings, 3, 10, Event(1.0, 100), plateau_accuracy=0.9,
                             search_steps=1000)
    state = protocol.init(1)
    assert state.start_step > 4 and np.abs(state.window[2]).max() > 0.0
    np.testing.assert_allclose(state.window[2].sum(axis=0), state.mu[2], atol=1e-12)
    alone = trainer.init(system, settings, streams(1, ["training"], 1)[0])
    trainer.advance(system, settings, alone, state.start_step + 10)
    protocol.advance(state, 10)
    for k in range(3):
        np.testing.assert_array_equal(state.theta[k], alone.theta)


@pytest.mark.parametrize("changes, text", [
    ({"training.optimiser": "adagrad"}, "training.optimiser: there is no optimiser adagrad"),
    ({"training.filter": "fir"}, "training.filter: input should be 'none', 'ema'"),
    ({"training.filter_alpha": 1.0}, "training.filter_alpha"),
    ({"training.filter_window": 0}, "training.filter_window"),
    ({"training.momentum": -0.1}, "training.momentum"),
    ({"training.initial_scale": 0.0}, "training.initial_scale"),
    ({"optimisers.names": ["adamw", "adagrad"]}, "there is no optimiser adagrad"),
    ({"optimisers.names": ["adamw+fir"]}, "there is no optimiser adamw\\+fir"),
    ({"optimisers.names": []}, "optimisers.names"),
    ({"optimisers.names": ["adam", "adam"], "optimisers.settings": {}}, "each name once"),
    ({"optimisers.settings": {"adam": {"lrr": 1.0}}}, "adam: lrr: unknown key; did you mean lr"),
    ({"optimisers.settings": {"adam": {"lr": -1.0}}}, "adam: lr: input should be greater than 0"),
    ({"optimisers.settings": {"adam": {"steps": 5}}}, "steps is the same for all"),
    ({"optimisers.names": ["adamw"]}, "settings of .*, which is not among the names"),
])
def test_settings_that_cannot_be_run_are_refused_in_a_sentence(changes, text):
    with pytest.raises(InputError, match=text) as error:
        load("optimisers-subtraction-31", changes)
    assert len(error.value.messages) == 1 and "\n" not in str(error.value)


def test_settings_of_the_code_are_checked_too():
    for given in (dict(optimiser="adagrad"), dict(filter="fir"), dict(initial_scale=0.0)):
        with pytest.raises(ValidationError):
            Settings(**given)
