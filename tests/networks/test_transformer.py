"""The transformer on modular arithmetic: energy, gradient, AdamW, noise, events, resuming."""

import threading

import numpy as np
import pytest
import torch
from network_checks import compiled_gradient, relative_errors

from phasegrok.networks import engine as networks
from phasegrok.networks.compiled import transformer as compiled
from phasegrok.networks.compiled.kernels import pairs as data_pairs
from phasegrok.networks.compiled.kernels import single_threaded_blas
from phasegrok.networks.models.transformer import Parameters
from phasegrok.networks.pytorch import transformer as transformer_torch
from phasegrok.networks.training import kernel as trainer
from phasegrok.networks.training.settings import Settings
from phasegrok.networks.training.state import Event
from phasegrok.rng import streams

SMALL = dict(p=11, d_model=20, heads=2, mlp=24, train_fraction=0.6, precision="float64")
SMALL_31 = dict(operation="-", p=31, train_fraction=0.7, d_model=48, heads=4, mlp=192)
BLOCK_SETTINGS = dict(lr=3e-3, temperature=1e-6, eval_every=7, warmup=10)


@pytest.fixture(autouse=True)
def _one_blas_thread():
    with single_threaded_blas():
        yield


def generator(seed):
    return streams(seed, "test-transformer", 1)[0]


def weights(system, seed=1, spread=0.1):
    """Initial weights with noise on them, so that the biases are not zero."""
    theta = system.initial(generator(seed)).astype(float)
    theta += spread * np.random.default_rng(seed).normal(size=theta.size)
    return theta.astype(system.dtype)


def test_initial_weights_have_the_stated_variances():
    system = Parameters(p=31, d_model=48, mlp=192).build()
    for name, w in system.matrices(system.initial(generator(3)))._asdict().items():
        if name.startswith("b_"):
            assert not w.any()
            continue
        variance = 1 / 32 if name == "W_U" else 1 / 48
        z = (np.mean(w.astype(float) ** 2) / variance - 1) / np.sqrt(2 / w.size)
        assert abs(z) < 4, (name, z)


# --------------------------------------------------------------------------- energy and gradient


@pytest.mark.parametrize(
    "parameters",
    [
        SMALL_31 | dict(precision="float64"),
        SMALL | dict(operation="/"),
        dict(p=7, d_model=15, heads=3, mlp=21, train_fraction=0.6, precision="float64"),
        dict(p=17, d_model=8, heads=1, mlp=130, operation="+", precision="float64"),
    ],
)
def test_gradient_equals_automatic_differentiation(parameters):
    system = Parameters(**parameters).build()
    theta = weights(system)
    E, accuracy, gradient = compiled_gradient(system, theta)
    E_torch, reference = transformer_torch.energy_and_gradient(
        system, theta, system.train.inputs, system.train.targets
    )
    assert E == pytest.approx(E_torch, rel=1e-13)
    assert max(relative_errors(system, gradient, reference).values()) < 1e-10
    x, y = torch.tensor(system.train.inputs), torch.tensor(system.train.targets)
    assert accuracy == transformer_torch.accuracy(system, torch.tensor(theta), x, y)


def test_gradient_over_several_chunks_of_rows():
    """Rows handled in chunks give what one chunk gives, up to the order of sums."""
    system = Parameters(**SMALL).build()
    theta = weights(system)
    _, _, reference = compiled_gradient(system, theta)
    work = compiled.workspace(system)
    per_row = ("A", "hidden", "logits", "d_A", "d_hidden")
    work = work._replace(**{name: getattr(work, name)[:31].copy() for name in per_row})
    gradient, data = np.zeros_like(theta), data_pairs(system.train.inputs, system.train.targets)
    w, g = system.matrices(theta), system.matrices(gradient)
    E, _ = networks.energy_and_gradient(w, g, data, work)
    assert E == pytest.approx(networks.losses(w, data, work)[0], rel=1e-15)
    assert max(relative_errors(system, gradient, reference).values()) < 1e-13


def test_gradient_equals_finite_differences():
    """Symmetric differences of the compiled energy: their error is h^2 E''' and rounding / h."""
    system = Parameters(**SMALL).build()
    theta = weights(system)
    _, _, gradient = compiled_gradient(system, theta)
    direction = np.random.default_rng(5).normal(size=theta.size)
    h = 1e-5 / np.linalg.norm(direction)
    up, down = (compiled_gradient(system, theta + s * h * direction)[0] for s in (1, -1))
    assert (up - down) / (2 * h) == pytest.approx(gradient @ direction, rel=1e-6)


def test_gradient_in_float32():
    """Rounding: sums of several hundred terms of relative error 6e-8 that partly cancel."""
    system = Parameters(**SMALL_31).build()
    theta = weights(system)
    E, _, gradient = compiled_gradient(system, theta)
    double = Parameters(**SMALL_31, precision="float64").build()
    E_64, reference = transformer_torch.energy_and_gradient(
        double, theta.astype(float), system.train.inputs, system.train.targets
    )
    assert E == pytest.approx(E_64, rel=1e-6)
    assert max(relative_errors(system, gradient, reference).values()) < 1e-5


def test_float32_gradient_survives_a_tiny_loss():
    """Logits so far apart that 1 - p rounds to zero in float32: the gradient is still there."""
    system = Parameters(**SMALL_31).build()
    theta = weights(system)
    w = system.matrices(theta)
    w.W_U[:] = 0.0
    w.W_U[0, system.train.targets[0]] = 1.0
    w.b_out[0] = 40.0  # one class leads everywhere by about 40
    one = data_pairs(system.train.inputs[:1], system.train.targets[:1])
    gradient = np.zeros_like(theta)
    E, accuracy = networks.energy_and_gradient(
        w, system.matrices(gradient), one, compiled.workspace(system)
    )
    double = Parameters(**SMALL_31, precision="float64").build()
    E_64, reference = transformer_torch.energy_and_gradient(
        double, theta.astype(float), system.train.inputs[:1], system.train.targets[:1]
    )
    assert accuracy == 1.0 and 0.0 < E < 1e-12
    assert E == pytest.approx(E_64, rel=1e-4)  # the logits, about 40, are rounded to 4e-6
    assert max(relative_errors(system, gradient, reference)[k] for k in ("W_U", "b_out")) < 1e-4


def test_scores_beyond_the_range_of_exp():
    """Differences of scores of thousands: the attention weights come from the scores themselves."""
    system = Parameters(**SMALL).build()
    theta = weights(system)
    w = system.matrices(theta)
    w.W_Q[:] *= 3000.0
    E, _, gradient = compiled_gradient(system, theta)
    E_torch, reference = transformer_torch.energy_and_gradient(
        system, theta, system.train.inputs, system.train.targets
    )
    assert np.abs(w.W_Q).max() > 100 and E == pytest.approx(E_torch, rel=1e-12)
    assert relative_errors(system, gradient, reference)["W_in"] < 1e-10


# ----------------------------------------------------------------------------------------- AdamW


def test_fifty_steps_equal_those_of_torch():
    system = Parameters(**SMALL).build()
    settings = Settings(lr=3e-3, weight_decay=0.7, warmup=10, eval_every=10)
    state = trainer.init(system, settings, generator(2))
    theta = torch.tensor(state.theta, requires_grad=True)
    optimiser = torch.optim.AdamW([theta], lr=3e-3, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.7)
    x, y = torch.tensor(system.train.inputs), torch.tensor(system.train.targets)
    energies = []
    for k in range(50):
        optimiser.param_groups[0]["lr"] = 3e-3 * min(1.0, (k + 1) / 10)
        optimiser.zero_grad()
        E = transformer_torch.energy(system, theta, x, y)
        E.backward()
        energies.append(E.item())
        optimiser.step()
    curves = trainer.advance(system, settings, state, 50)
    assert np.abs(state.theta - theta.detach().numpy()).max() < 1e-9
    assert np.array_equal(curves.step, [0, 10, 20, 30, 40, 50])
    assert np.allclose(curves.train_loss[:-1], energies[::10], rtol=1e-10)
    x, y = torch.tensor(system.test.inputs), torch.tensor(system.test.targets)
    test_loss = transformer_torch.energy(system, theta, x, y).item()
    assert curves.test_loss[-1] == pytest.approx(test_loss, rel=1e-9)
    assert curves.test_accuracy[-1] == transformer_torch.accuracy(system, theta, x, y)
    norms = [np.linalg.norm(w) for w in system.matrices(state.theta)]
    assert np.allclose(curves.norms[-1], norms, rtol=1e-12)


def test_noise_has_variance_2_lr_T():
    """The first update with and without noise differs by N(0, 2 lr T) in every weight."""
    system = Parameters(**SMALL).build()
    after = {}
    for T in (0.0, 0.3):
        settings = Settings(lr=0.01, warmup=4, temperature=T)
        state = trainer.init(system, settings, generator(7))
        before = state.rng.copy()
        trainer.advance(system, settings, state, 1)
        after[T] = state.theta
        assert np.array_equal(state.rng, before) == (T == 0.0)  # T = 0 draws no number
    noise = (after[0.3] - after[0.0]) / np.sqrt(2 * 0.01 / 4 * 0.3)  # lr is a quarter at step 0
    n = noise.size
    assert abs(noise.mean() * np.sqrt(n)) < 4
    assert abs((np.mean(noise**2) - 1) / np.sqrt(2 / n)) < 4
    assert abs((np.mean(noise**4) - 3) / np.sqrt(96 / n)) < 4


@pytest.mark.parametrize("blocks", [[1] * 40, [13, 1, 26], [7, 14, 19], [0, 40, 0]])
def test_blocks_give_the_same_bits(blocks):
    system = Parameters(**SMALL).build()
    settings = Settings(**BLOCK_SETTINGS)
    whole, cut = (trainer.init(system, settings, generator(4)) for _ in range(2))
    curves = trainer.advance(system, settings, whole, 40)
    parts = [trainer.advance(system, settings, cut, n) for n in blocks]
    assert np.array_equal(curves.step, [0, 7, 14, 21, 28, 35])
    for name in ("theta", "m", "v", "rng", "counters"):
        assert np.array_equal(getattr(whole, name), getattr(cut, name)), name
    for k, name in enumerate(curves._fields):
        assert np.array_equal(np.concatenate([part[k] for part in parts]), curves[k]), name


def test_threads_give_the_same_bits():
    system = Parameters(**SMALL).build()
    settings = Settings(**BLOCK_SETTINGS)
    alone = trainer.init(system, settings, generator(4))
    trainer.advance(system, settings, alone, 60)
    clones = [trainer.init(system, settings, generator(4)) for _ in range(3)]
    threads = [
        threading.Thread(target=trainer.advance, args=(system, settings, clone, 60))
        for clone in clones
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(clone.theta, alone.theta) for clone in clones)


def test_event_stops_the_run_and_reports_the_crossing():
    """Threshold on an accuracy curve known from a run without it."""
    system = Parameters(**(SMALL | dict(train_fraction=0.9))).build()
    free = Settings(lr=1e-2, weight_decay=0.5, eval_every=5)
    state = trainer.init(system, free, generator(3))
    curves = trainer.advance(system, free, state, 600)
    assert state.status == "running" and state.crossing_step is None
    hold = 3
    lowest = np.lib.stride_tricks.sliding_window_view(curves.test_accuracy, hold).min(axis=1)
    level = lowest.max()  # the highest accuracy that was held
    expected = int(np.argmax(lowest))
    assert 0 < expected < len(lowest) - 1 and (curves.test_accuracy[:expected] >= level).any()

    state = trainer.init(system, free, generator(3))
    for _ in range(60):  # blocks that are no multiple of eval_every
        trainer.advance(system, free, state, 11, event=Event(level, hold))
    assert state.status == "event"
    assert state.crossing_step == curves.step[expected]
    assert state.step == curves.step[expected + hold - 1]

    state = trainer.init(system, free, generator(3))
    trainer.advance(system, free, state, 600, event=Event(level, hold, stop=False))
    assert state.status == "running" and state.step == 600
    assert state.crossing_step == curves.step[expected]


def test_numbers_not_finite_stop_the_run():
    system = Parameters(**SMALL).build()
    settings = Settings(lr=1e-3)
    for place, value in ((0, np.nan), (-1, np.inf), (system.layout["b_in"][0], np.nan)):
        state = trainer.init(system, settings, generator(1))
        trainer.advance(system, settings, state, 12)
        state.theta[place] = value
        curves = trainer.advance(system, settings, state, 100)
        assert state.status == "not finite" and state.broken_step == 12 and state.step == 12
        assert len(curves.step) == 0
        trainer.advance(system, settings, state, 100)
        assert state.step == 12

    state = trainer.init(system, settings, generator(1))
    hot = Settings(lr=1e308, weight_decay=1e308)
    trainer.advance(system, hot, state, 100)  # the weights overflow in the first steps
    assert state.status == "not finite" and 0 < state.broken_step <= 3


def test_negative_number_of_steps_is_refused():
    system = Parameters(**SMALL).build()
    settings = Settings()
    with pytest.raises(ValueError, match="negative"):
        trainer.advance(system, settings, trainer.init(system, settings, generator(1)), -1)


# -------------------------------------------------------------------------------------- grokking


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_subtraction_modulo_31_groks(seed):
    """Train accuracy 99 % near step 100 with the test set at chance, generalisation far later."""
    system = Parameters(**SMALL_31).build()
    settings = Settings(lr=3e-3, weight_decay=1.0, warmup=10)
    state = trainer.init(system, settings, generator(seed))
    curves = trainer.advance(system, settings, state, 20_000, event=Event(0.95, 20))
    memorised = int(np.argmax(curves.train_accuracy >= 0.99))
    assert 50 <= curves.step[memorised] <= 200
    assert curves.test_accuracy[memorised] < 0.12  # 288 pairs at chance: 0.032(10)
    assert state.status == "event"
    assert state.crossing_step > 8 * curves.step[memorised]
