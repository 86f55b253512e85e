"""Dynamics of networks with velocities, schedules of noise, free diffusion, curves and clocks."""

import numpy as np
import pytest

from phasegrok.cards import InputError, load
from phasegrok.dynamics import langevin_steps, trainer
from phasegrok.dynamics.free_diffusion import free_norm
from phasegrok.dynamics.training import Training
from phasegrok.protocols import training, training_settings
from phasegrok.relaxation.waiting_times import first_step, sustained_step
from phasegrok.rng import streams
from phasegrok.statistics import mean_with_error
from phasegrok.systems import transformer_torch
from phasegrok.systems.network_kernels import single_threaded_blas
from phasegrok.systems.transformer import Parameters

SMALL = dict(p=11, d_model=20, heads=2, mlp=24, train_fraction=0.6, precision="float64")
TINY = dict(p=3, d_model=4, heads=1, mlp=4, train_fraction=0.6, precision="float64")


@pytest.fixture(autouse=True)
def _one_blas_thread():
    with single_threaded_blas():
        yield


@pytest.fixture(scope="module")
def system():
    return Parameters(**SMALL).build()


@pytest.fixture(scope="module")
def tiny():
    return Parameters(**TINY).build()


def generator(seed=1):
    return streams(seed, "test-network-dynamics", 1)[0]


def gradient(system, theta):
    return transformer_torch.energy_and_gradient(
        system, theta, system.pairs_train, system.labels_train)


@pytest.mark.parametrize("optimiser", ["baoab", "wand"])
def test_steps_without_noise_are_those_of_the_equations(system, optimiser):
    h, friction, wd = 0.02, 0.3, 0.1
    settings = trainer.Settings(optimiser=optimiser, learning_rate=h, weight_decay=wd, warmup=0,
                                friction=friction, deposit=0.05, deposit_steps=2,
                                x_range=(-3.0, 3.0), x_bins=6)
    state = trainer.init(system, settings, generator())
    theta, v = state.theta.copy(), np.zeros(system.n_parameters)
    nodes, W = np.linspace(-3.0, 3.0, 7), np.zeros(7)
    for k in range(4):
        E, g = gradient(system, theta)
        if optimiser == "wand":  # x lies between the nodes 0 and 1 throughout
            x = np.log(E)
            assert 0.0 < x < 1.0
            W[3:5] += 0.05 * min(1.0, 2.0 / (k + 1.0)) * np.array([1.0 - x, x])
            g = g * (1.0 + np.interp(x, nodes, np.gradient(W))) / E
        v -= h * (g + wd * theta) * (0.5 if k == 0 else 1.0)
        theta += 0.5 * h * v
        v *= 1.0 - friction
        theta += 0.5 * h * v
    trainer.advance(system, settings, state, 4)
    np.testing.assert_allclose(state.theta, theta, rtol=0, atol=1e-12)
    np.testing.assert_allclose(state.m, v, rtol=0, atol=1e-12)
    np.testing.assert_allclose(state.bias, W if optimiser == "wand" else [], atol=1e-15)


def chain(system, **given):
    """theta . grad U / N, loss, and share accepted, of a long run; the first fifth is left out."""
    settings = trainer.Settings(weight_decay=0.2, temperature=0.1, friction=0.2, eval_every=20,
                                **given)
    state = trainer.init(system, settings, generator())
    room = trainer.scratch(system)
    virial, loss = [], []
    for _ in range(4000):  # an evaluation ends each block: the gradient is that of its end
        curves = trainer.advance(system, settings, state, settings.eval_every, room)
        loss.append(curves.train_loss[-1])
        slope = room.gradient + settings.weight_decay * state.theta
        virial.append(state.theta @ slope / system.n_parameters)
    accepted = state.counters[trainer._ACCEPTED] / state.step
    return mean_with_error(np.array(virial[800:])), mean_with_error(np.array(loss[800:])), accepted


def test_hybrid_monte_carlo_obeys_the_virial_theorem_and_agrees_with_baoab(tiny):
    """<theta . grad U> = N T holds for any energy; few rejections would hide a wrong rule."""
    virial, loss, accepted = chain(tiny, optimiser="ghmc", learning_rate=0.25)
    assert 0.5 < accepted < 0.8
    assert virial.error < 8e-4 and abs(virial.value - 0.1) < 3.0 * virial.error
    finite_step, other, _ = chain(tiny, optimiser="baoab", learning_rate=0.1)
    assert finite_step.error < 8e-4 and abs(finite_step.value - 0.1) < 3.0 * finite_step.error
    error = np.hypot(loss.error, other.error)
    assert error < 0.03 * loss.value and abs(loss.value - other.value) < 3.0 * error


def test_bias_gives_the_force_of_its_slope():
    low, high, n = -4.0, 2.0, 12
    nodes = np.linspace(low, high, n + 1)
    bias = 0.3 * nodes**2
    inside = np.linspace(low + 0.6, high - 0.6, 37)
    for x in inside:
        force = langevin_steps.force_factor.py_func(bias, x, low, high)
        assert force == pytest.approx(1.0 + 0.6 * x, abs=1e-12)
    for x in (low - 1.0, high + 1.0):
        assert langevin_steps.force_factor.py_func(bias, x, low, high) == 1.0
    tent = np.zeros(n + 1)
    for x in inside:
        langevin_steps.deposit.py_func(tent, x, low, high, 0.5)
    langevin_steps.deposit.py_func(tent, high + 0.1, low, high, 0.5)
    assert tent.sum() == pytest.approx(0.5 * len(inside))
    assert tent @ nodes == pytest.approx(0.5 * inside.sum())  # the first moment is that of x


@pytest.mark.parametrize("anneal, expected", [
    ("none", [0.4, 0.4, 0.4, 0.4]), ("linear", [0.4, 0.25, 0.1, 0.1]),
    ("exponential", [0.4, 0.2, 0.1, 0.1])])
def test_schedules_of_the_noise(anneal, expected):
    settings = trainer.Settings(temperature=0.4, final_temperature=0.1, anneal=anneal,
                                anneal_steps=100)
    constants = trainer._constants(settings)
    found = [trainer._temperature.py_func(constants, k) for k in (0, 50, 100, 1000)]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("given", [
    dict(optimiser="adamw", weight_decay=0.5),
    dict(optimiser="adamw", weight_decay=0.0, anneal="linear", anneal_steps=150),
    dict(optimiser="sgd", weight_decay=0.5, momentum=0.8),
    dict(optimiser="baoab", weight_decay=2.0, friction=0.2),
    dict(optimiser="wand", weight_decay=0.0, friction=0.5),
])
def test_free_diffusion_is_that_of_simulated_weights(given):
    """Against a simulation of the noise alone, written apart, of 40 000 weights."""
    n, h, T = 40_000, 0.05, 0.3
    settings = trainer.Settings(learning_rate=h, warmup=5, temperature=T, **given)
    rng = np.random.default_rng(7)
    x = 0.5 * rng.standard_normal(n)
    moving = settings.optimiser in ("baoab", "wand")
    u = np.sqrt(T) * rng.standard_normal(n) if moving else np.zeros(n)
    grid, found = np.array([0, 1, 3, 50, 200]), []
    start, c, wd = np.linalg.norm(x), 1.0 - settings.friction, settings.weight_decay
    for k in range(201):
        if k in grid:
            found.append(np.mean(x**2))
        lr, xi = h * min(1.0, (k + 1) / 5), rng.standard_normal(n)
        t = T * (1.0 - min(1.0, k / 150)) if settings.anneal == "linear" else T
        if moving:
            u -= lr * wd * x * (0.5 if k == 0 else 1.0)
            x += 0.5 * lr * u
            u = c * u + np.sqrt(t * (1.0 - c * c)) * xi
            x += 0.5 * lr * u
        elif settings.optimiser == "adamw":
            x = (1.0 - lr * wd) * x + np.sqrt(2.0 * lr * t) * xi
        else:
            u = settings.momentum * u + wd * x
            x += np.sqrt(2.0 * lr * t) * xi - lr * u
    free = free_norm(settings, n, np.array([start]), grid)[0] ** 2 / n
    z = (np.array(found) / free - 1.0) / np.sqrt(2.0 / n)  # the mean of n squares of normals
    assert np.abs(z).max() < 4.0


def test_free_diffusion_at_long_times():
    h, T, friction, steps, n = 0.01, 0.6, 0.5, 10**5, 1000
    settings = trainer.Settings(optimiser="wand", learning_rate=h, temperature=T, weight_decay=0.0,
                                friction=friction, warmup=0)
    free = free_norm(settings, n, np.array([30.0]), np.array([0, steps]))[0]
    law = 900.0 + n * h**2 * T * (2.0 - friction) / friction * steps
    assert free[0] == pytest.approx(30.0) and free[1] ** 2 == pytest.approx(law, rel=1e-4)


@pytest.mark.parametrize("given", [dict(temperature=0.0), dict(temperature=0.1, fixed_norm=True),
                                   dict(temperature=0.1, optimiser="adam"),
                                   dict(temperature=0.1, optimiser="ghmc")])
def test_no_free_diffusion_is_given_where_it_is_not_known(given):
    assert free_norm(trainer.Settings(**given), 10, np.ones(1), np.arange(3)) is None


@pytest.mark.parametrize("optimiser", ["ghmc", "wand"])
def test_blocks_do_not_matter(system, optimiser):
    settings = trainer.Settings(optimiser=optimiser, learning_rate=0.05, weight_decay=0.1,
                                temperature=1e-3, anneal="exponential", final_temperature=1e-4,
                                anneal_steps=30, eval_every=7)
    whole, cut = (trainer.init(system, settings, generator(4)) for _ in range(2))
    curves = trainer.advance(system, settings, whole, 40)
    parts = [trainer.advance(system, settings, cut, n) for n in (1, 14, 18, 7)]
    for name, value in vars(whole).items():
        assert np.array_equal(value, vars(cut)[name]), name
    for name in curves._fields:
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert np.array_equal(joined, getattr(curves, name)), name


def test_norms_of_updates(system):
    settings = trainer.Settings(learning_rate=3e-3, eval_every=4, temperature=1e-4)
    state = trainer.init(system, settings, generator(2))
    curves = trainer.advance(system, settings, state.copy(), 9)
    assert curves.moved_step.tolist() == [0, 4, 8] and curves.step.tolist() == [0, 4, 8]
    for k in range(9):
        before = state.theta.copy()
        trainer.advance(system, settings, state, 1)
        if k % 4 == 0:
            parts = system.views(state.theta - before)
            expected = [np.linalg.norm(part) for part in parts]
            np.testing.assert_allclose(curves.moved[k // 4], expected, rtol=1e-12)


def test_clock_and_curves_do_not_depend_on_what_is_kept(system):
    settings = trainer.Settings(learning_rate=1e-2, weight_decay=1.0, eval_every=5)
    every, thin = (Training(system, settings, 3, 1500, 40.0, per_decade=n) for n in (0, 12))
    groups = []
    for protocol in (every, thin):
        state = protocol.init(1)
        while protocol.done(state) < protocol.total():
            protocol.advance(state, 170)
        groups.append(protocol.result(state)["training"])
    full, few = groups
    step = full["step"]
    assert step.tolist() == list(range(0, 1501, 5)) and 25 < len(few["step"]) < 45
    assert few["step"][0] == 0 and few["step"][-1] == 1500
    places = np.searchsorted(step, few["step"])
    for name in ("train_loss", "test_accuracy", "weight_norm", "update_norm"):
        np.testing.assert_array_equal(few[name], full[name][:, places])
    for k in range(3):
        expected = [first_step(step, full["train_accuracy"][k], 0.99),
                    first_step(step, full["test_accuracy"][k], 0.5),
                    sustained_step(step, full["test_accuracy"][k], 0.95, 40.0)]
        for group in groups:
            found = [group[n][k] for n in ("memorisation_step", "generalisation_step_50",
                                           "generalisation_step_95")]
            np.testing.assert_array_equal(found, expected)
    assert np.isfinite(full["memorisation_step"]).all()


@pytest.mark.slow
def test_a_replica_may_stop_at_its_event():
    card = load("transformer-subtraction-31", {"training.stop_at_event": True})
    protocol = training(card, replicas=1)
    state = protocol.init(1)
    protocol.advance(state, 3000)
    full = protocol.result(state)["training"]["generalisation_step_95"][0]
    assert 1000.0 < full < 3000.0
    assert protocol.done(state) == 3000 and state.counters[0, trainer._STEP] == full + 50


@pytest.mark.parametrize("changes, message", [
    ({"training.optimiser": "ghmc", "training.batch": 8, "training.noise": 1.0}, "leave out batch"),
    ({"training.optimiser": "ghmc"}, "temperature above zero"),
    ({"training.optimiser": "wand", "training.fixed_norm": True}, "leave the sphere"),
    ({"training.anneal": "exponential", "training.noise": 1.0}, "above zero temperature"),
    ({"training.x_range": [1.0, -1.0]}, "ascend"),
])
def test_settings_that_do_not_go_together(changes, message):
    with pytest.raises(InputError, match=message):
        training_settings(load("transformer-subtraction-31", changes))
