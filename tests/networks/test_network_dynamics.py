"""Dynamics of networks with velocities, schedules of noise, free diffusion, curves and clocks."""

import dataclasses

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from phasegrok.cards.library import load
from phasegrok.errors import InputError
from phasegrok.figures import networks
from phasegrok.groups import Group
from phasegrok.networks.compiled.cold import check
from phasegrok.networks.compiled.kernels import single_threaded_blas
from phasegrok.networks.models import mlp
from phasegrok.networks.models.transformer import Parameters
from phasegrok.networks.pytorch import transformer as transformer_torch
from phasegrok.networks.tasks import teachers as regression
from phasegrok.networks.training import kernel as trainer
from phasegrok.networks.training.settings import Settings, rates, temperatures
from phasegrok.networks.training.state import ACCEPTED, STEP, Event, State
from phasegrok.networks.updates.free_diffusion import free_norm
from phasegrok.networks.updates.table import UPDATES, Update
from phasegrok.networks.updates.wand import deposit, force_factor
from phasegrok.protocols.network_clones import NetworkClones
from phasegrok.protocols.training import Training
from phasegrok.relaxation.waiting_times import first_step, sustained_step
from phasegrok.rng import streams
from phasegrok.statistics import mean_with_error
from phasegrok.studies.training import training, training_settings
from phasegrok.studies.waiting_times import clones

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
        system, theta, system.train.inputs, system.train.targets)


@pytest.mark.parametrize("optimiser", ["baoab", "wand"])
def test_steps_without_noise_are_those_of_the_equations(system, optimiser):
    h, friction, wd = 0.02, 0.3, 0.1
    settings = Settings(optimiser=optimiser, lr=h, weight_decay=wd, warmup=0,
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
    settings = Settings(weight_decay=0.2, temperature=0.1, friction=0.2, eval_every=20,
         **given)
    state = trainer.init(system, settings, generator())
    room = trainer.scratch(system)
    virial, loss = [], []
    for _ in range(4000):  # an evaluation ends each block: the gradient is that of its end
        curves = trainer.advance(system, settings, state, settings.eval_every, room)
        loss.append(curves.train_loss[-1])
        slope = room.gradient + settings.weight_decay * state.theta
        virial.append(state.theta @ slope / system.n_parameters)
    accepted = state.counters[ACCEPTED] / state.step
    return mean_with_error(np.array(virial[800:])), mean_with_error(np.array(loss[800:])), accepted


def test_hybrid_monte_carlo_obeys_the_virial_theorem_and_agrees_with_baoab(tiny):
    """<theta . grad U> = N T holds for any energy; few rejections would hide a wrong rule."""
    virial, loss, accepted = chain(tiny, optimiser="ghmc", lr=0.25)
    assert 0.5 < accepted < 0.8
    assert virial.error < 8e-4 and abs(virial.value - 0.1) < 3.0 * virial.error
    finite_step, other, _ = chain(tiny, optimiser="baoab", lr=0.1)
    assert finite_step.error < 8e-4 and abs(finite_step.value - 0.1) < 3.0 * finite_step.error
    error = np.hypot(loss.error, other.error)
    assert error < 0.03 * loss.value and abs(loss.value - other.value) < 3.0 * error


def test_bias_gives_the_force_of_its_slope():
    low, high, n = -4.0, 2.0, 12
    nodes = np.linspace(low, high, n + 1)
    bias = 0.3 * nodes**2
    inside = np.linspace(low + 0.6, high - 0.6, 37)
    for x in inside:
        force = force_factor.py_func(bias, x, low, high)
        assert force == pytest.approx(1.0 + 0.6 * x, abs=1e-12)
    for x in (low - 1.0, high + 1.0):
        assert force_factor.py_func(bias, x, low, high) == 1.0
    tent = np.zeros(n + 1)
    for x in inside:
        deposit.py_func(tent, x, low, high, 0.5)
    deposit.py_func(tent, high + 0.1, low, high, 0.5)
    assert tent.sum() == pytest.approx(0.5 * len(inside))
    assert tent @ nodes == pytest.approx(0.5 * inside.sum())  # the first moment is that of x


@pytest.mark.parametrize("anneal, expected", [
    ("none", [0.4, 0.4, 0.4, 0.4]), ("linear", [0.4, 0.25, 0.1, 0.1]),
    ("exponential", [0.4, 0.2, 0.1, 0.1])])
def test_schedules_of_the_noise(anneal, expected):
    settings = Settings(temperature=0.4, final_temperature=0.1, anneal=anneal,
                        anneal_steps=100)
    found = temperatures(settings, np.array([0, 50, 100, 1000]))
    assert found == pytest.approx(expected)


def test_schedules_of_the_learning_rate():
    k = np.array([0, 4, 9, 10, 60, 110, 200])
    warm = np.array([0.1, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0])
    for schedule, factor in (("constant", np.ones(7)), ("linear", [1, 1, 1, 1, 0.5, 0, 0]),
                             ("cosine", [1, 1, 1, 1, 0.5, 0, 0]),
                             ([(10, 1.0), (110, 3.0)], [1, 1, 1, 1, 2, 3, 3])):
        settings = Settings(lr=0.2, warmup=10, steps=110, schedule=schedule)
        assert rates(settings, k) == pytest.approx(0.2 * warm * factor)
    assert rates(Settings(lr=0.2, warmup=0, steps=90, schedule="cosine"), np.array([30])) == (
        pytest.approx(0.15))
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=0.2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 90)
    for rate in rates(Settings(lr=0.2, warmup=0, steps=90, schedule="cosine"), np.arange(90)):
        assert scheduler.get_last_lr()[0] == pytest.approx(rate, rel=1e-9)
        optimiser.step()
        scheduler.step()
    for wrong in ([], [(5, 1.0), (5, 2.0)], [(0, -1.0)], "sine"):
        with pytest.raises(ValidationError):
            Settings(schedule=wrong)


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
    settings = Settings(lr=h, warmup=5, temperature=T, **given)
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
    settings = Settings(optimiser="wand", lr=h, temperature=T, weight_decay=0.0,
                        friction=friction, warmup=0)
    free = free_norm(settings, n, np.array([30.0]), np.array([0, steps]))[0]
    law = 900.0 + n * h**2 * T * (2.0 - friction) / friction * steps
    assert free[0] == pytest.approx(30.0) and free[1] ** 2 == pytest.approx(law, rel=1e-4)


@pytest.mark.parametrize("given", [dict(temperature=0.0), dict(temperature=0.1, fixed_norm=True),
                                   dict(temperature=0.1, optimiser="adam"),
                                   dict(temperature=0.1, optimiser="ghmc")])
def test_no_free_diffusion_is_given_where_it_is_not_known(given):
    assert free_norm(Settings(**given), 10, np.ones(1), np.arange(3)) is None


@pytest.mark.parametrize("optimiser", ["ghmc", "wand"])
def test_blocks_do_not_matter(system, optimiser):
    settings = Settings(optimiser=optimiser, lr=0.05, weight_decay=0.1, temperature=1e-3,
                        anneal="exponential", final_temperature=1e-4, anneal_steps=30, eval_every=7)
    whole, cut = (trainer.init(system, settings, generator(4)) for _ in range(2))
    curves = trainer.advance(system, settings, whole, 40)
    parts = [trainer.advance(system, settings, cut, n) for n in (1, 14, 18, 7)]
    for name, *values in zip(State._fields, whole, cut):
        assert np.array_equal(*values), name
    for name in curves._fields:
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert np.array_equal(joined, getattr(curves, name)), name


def test_norms_of_updates(system):
    settings = Settings(lr=3e-3, eval_every=4, temperature=1e-4)
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
    settings = Settings(lr=1e-2, weight_decay=1.0, eval_every=5)
    every, thin = (Training(system, settings, 3, 1500, hold=40.0, per_decade=n)
                   for n in (0, 12))
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


# ----------------------------------------------------------------------------------- the last step

NOISY = dict(lr=1e-2, weight_decay=1.0, batch=30, temperature=1e-6)
ENDS = ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "weight_norm")


def run(protocol, state=None):
    state = protocol.init(3) if state is None else state
    while protocol.done(state) < protocol.total():
        protocol.advance(state, 11)
    return state


@pytest.mark.parametrize("engine", ["compiled", "torch"])
@pytest.mark.parametrize("every", [10, 1000])
def test_the_last_step_is_evaluated_where_it_is_no_multiple(system, engine, every):
    protocol = Training(system, Settings(**NOISY, eval_every=every, engine=engine), 2, 25)
    state = run(protocol)
    before = {name: np.copy(value) for name, value in vars(state).items()}
    group = protocol.result(state)["training"]
    for name, value in before.items():  # to look at it changes nothing, the generator included
        np.testing.assert_array_equal(value, getattr(state, name), err_msg=name)
    assert group["step"].tolist() == list(range(0, 26, every)) and (group["final_step"] == 25).all()
    for k in range(2):
        for side in ("train", "test"):
            E, _ = transformer_torch.energy_and_gradient(
                system, state.theta[k], *getattr(system, side))
            assert group[f"final_{side}_loss"][k] == pytest.approx(E, rel=1e-9)
            assert group[f"{side}_loss"][k, -1] != pytest.approx(E, rel=1e-3)
        norms = [np.linalg.norm(part) for part in system.views(state.theta[k])]
        np.testing.assert_allclose(group["final_weight_norm"][k], norms, rtol=1e-12)
    often = Training(system, Settings(**NOISY, eval_every=5, engine=engine), 2, 25)
    other = run(often)
    np.testing.assert_array_equal(other.theta, state.theta)
    regular = often.result(other)["training"]
    for name in ENDS:
        np.testing.assert_array_equal(group[f"final_{name}"], regular[name][:, -1])
        np.testing.assert_array_equal(regular[f"final_{name}"], regular[name][:, -1])


@pytest.mark.parametrize("engine", ["compiled", "torch"])
@pytest.mark.parametrize("per_decade", [0, 4])
def test_a_raised_number_of_steps_equals_an_uninterrupted_run(system, engine, per_decade):
    settings = Settings(**NOISY, eval_every=10, engine=engine)
    short, long = (Training(system, settings, 2, n, hold=20.0, per_decade=per_decade)
                   for n in (34, 65))
    whole = run(long)
    cut = run(short)
    short.result(cut)
    extended = run(long, long.restore({n: np.copy(v) for n, v in vars(cut).items()}))
    for name, value in vars(whole).items():
        np.testing.assert_array_equal(value, getattr(extended, name), err_msg=name)
    groups = [long.result(state)["training"] for state in (whole, extended)]
    for name in groups[0].variables:
        np.testing.assert_array_equal(groups[0][name], groups[1][name], err_msg=name)


def test_clocks_are_read_at_the_last_step_too(system):
    settings = Settings(lr=1e-2, weight_decay=1.0, eval_every=10_000)
    protocol = Training(system, settings, 2, 1500, hold=40.0)
    state = protocol.init(1)
    protocol.advance(state, 1500)
    group = protocol.result(state)["training"]
    assert (group["final_train_accuracy"] == 1.0).all() and np.isnan(state.clock).all()
    assert (group["memorisation_step"] == 1500).all()
    assert np.isnan(group["generalisation_step_95"]).all()  # it was not seen to last


def test_free_norm_at_the_end_and_the_end_of_a_broken_replica(system):
    settings = Settings(lr=1e-2, weight_decay=0.5, temperature=1e-3,
                        eval_every=40)
    protocol = Training(system, settings, 2, 50)
    state = protocol.init(1)
    protocol.advance(state, 20)
    state.theta[1, 5] = np.nan
    protocol.advance(state, 30)
    group = protocol.result(state)["training"]
    assert group["final_step"].tolist() == [50, 20] and group["broken_step"][1] == 20
    for k, last in enumerate((50, 20)):
        square = state.norm[k, 0] ** 2
        for j in range(last):
            lr = 1e-2 * min(1.0, (j + 1) / 10)
            square = (1.0 - 0.5 * lr) ** 2 * square + 2e-3 * lr * system.n_parameters
        assert group["final_free_norm"][k] == pytest.approx(np.sqrt(square), rel=1e-10)
    for name in ENDS:
        assert np.isfinite(group[f"final_{name}"][0]).all()
        assert np.isnan(group[f"final_{name}"][1]).all()


def test_clones_are_looked_at_where_they_end(system):
    settings = Settings(lr=1e-2, eval_every=10)
    protocol = NetworkClones(system, settings, 2, 27, Event(1.0, 100), plateau_accuracy=0.9,
                             search_steps=1000)
    state = protocol.init(3)
    protocol.advance(state, 27)
    found = protocol.result(state)["waiting_times"]["final_order_parameter"]
    pairs, labels = (torch.tensor(x) for x in (system.test.inputs, system.test.targets))
    expected = [transformer_torch.accuracy(system, torch.tensor(theta), pairs, labels)
                for theta in state.theta]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_table_and_curves_show_the_last_step_and_quartiles_of_many():
    group = Group()
    group.add("replica", np.arange(8), "replica")
    group.add("step", np.array([0, 1000]), "step")
    group.add("final_step", np.full(8, 1500), "replica")
    for k, name in enumerate(("train_loss", "test_loss", "train_accuracy", "test_accuracy")):
        group.add(name, np.full((8, 2), 0.125), ("replica", "step"))
        group.add(f"final_{name}", np.arange(8) + 0.25 * k, "replica")
    group.add("memorisation_step", np.arange(100.0, 900.0, 100.0), "replica")
    group.add("generalisation_step_50", [10.0, 20.0, 30.0, 40.0, 50.0, *[np.nan] * 3], "replica")
    group.add("generalisation_step_95", [np.nan] * 8, "replica")
    group.add("broken_step", [np.nan] * 8, "replica")
    lines = networks.training_table(group).splitlines()
    assert lines[3].split() == ["1", "200", "20", "never", "1.00e+00", "1.25e+00", "1.750"]
    assert lines[10].split() == ["quarter", "by", "200", "20", "never"]
    assert lines[11].split() == ["half", "by", "400", "40", "never"]
    assert lines[12].split() == ["3", "of", "4", "by", "600", "never", "never"]
    assert lines[13].split() == ["reached", "by", "8", "of", "8", "5", "of", "8", "0", "of", "8"]
    step, curves = networks.curves_of(group, "test_loss")
    assert step.tolist() == [1, 1000, 1500] and curves[2].tolist() == [0.125, 0.125, 2.25]
    del group.variables["final_test_loss"]  # as files were before
    step, curves = networks.curves_of(group, "test_loss")
    assert step.tolist() == [1, 1000] and curves.shape == (8, 2)


# --------------------------------------------------------------------------- nothing falls through


def of_type(name, parent):
    """The system ``parent`` as a subclass, whose energy may be another one."""
    return type(name, (type(parent),), {})(**vars(parent))


@pytest.mark.parametrize("engine", ["compiled", "torch"])
def test_a_network_without_kernels_of_its_own_is_refused(engine, tmp_path):
    """It was trained as its parent by the compiled engine."""
    (tmp_path / "mine.py").write_text(
        "from phasegrok.networks.models import transformer\n"
        "class Swish(transformer.ModularTransformer):\n    pass\n"
        "class Parameters(transformer.Parameters):\n"
        "    def build(self, arrays=None):\n"
        "        return Swish(**vars(super().build(arrays)))\n")
    (tmp_path / "mine.toml").write_text(load("transformer-subtraction-31").text)
    card = load(str(tmp_path / "mine.toml"), {"training.engine": engine,
                                              "code": "mine.py:Parameters"})
    with pytest.raises(InputError, match="Swish on pairs has no row in NETWORKS of"):
        training(card)
    with pytest.raises(InputError, match="Swish on pairs has no row"):
        clones(card)


def test_other_types_and_structures_are_refused(system):
    with pytest.raises(ValueError, match="Swish on pairs has no row"):
        trainer.scratch(of_type("Swish", system))
    pairs = mlp.Parameters(operation="-", p=5, train_fraction=0.5, hidden=[8]).build()
    patterns = regression.StudentParameters(layers=[2, 4, 1], n=8, n_test=8)
    patterns = patterns.build(patterns.disorder(None))
    committee = regression.CommitteeParameters(D=3, N=4, n=8, n_test=8)
    committee = committee.build(committee.disorder(None))
    for net, changes, message in (
            (pairs, dict(activation="gelu"), "no activation gelu"),
            (patterns, dict(tables=True), "integer pairs where"),
            (pairs, dict(tables=False), "integer pairs where")):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(net, structure=net.structure._replace(**changes))
    for net, changes, message in (
            (pairs, dict(loss="hinge"), "MLP has no loss hinge"),
            (system, dict(loss="mse"), "ModularTransformer has no loss mse"),
            (patterns, dict(loss="cross-entropy"), "real targets have the loss mse"),
            (pairs, dict(train=patterns.train._replace(inputs=pairs.train.inputs)), "labels")):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(net, **changes)
    for changes in (dict(activation="tanh"), dict(scales=(0.5, 0.25)), dict(biases=True)):
        with pytest.raises(ValueError, match="kernels of a committee"):
            dataclasses.replace(committee, structure=committee.structure._replace(**changes))
    for network in (pairs, patterns, committee, system):
        check(network, Settings())
        check(network, Settings(engine="torch"))


def test_an_update_that_an_engine_lacks_is_not_run_as_another(system, monkeypatch):
    """A further update once ran as SGD."""
    monkeypatch.setitem(UPDATES, "lost", Update("network_checks:Lost"))
    for engine, message in (("compiled", "no compiled form"), ("torch", "no tensor_step")):
        settings = Settings(engine=engine, optimiser="lost", temperature=1e-6)
        with pytest.raises(ValueError, match=message):
            check(system, settings)
    assert free_norm(settings, 10, np.ones(1), np.arange(3)) is None


@pytest.mark.slow
def test_a_replica_may_stop_at_its_event():
    card = load("transformer-subtraction-31", {"training.stop_at_event": True})
    protocol = training(card, replicas=1)
    state = protocol.init(1)
    protocol.advance(state, 3000)
    full = protocol.result(state)["training"]["generalisation_step_95"][0]
    assert 1000.0 < full < 3000.0
    assert protocol.done(state) == 3000 and state.counters[0, STEP] == full + 50


@pytest.mark.parametrize("changes, message", [
    ({"training.optimiser": "ghmc", "training.batch": 8, "training.temperature": 1.0},
     "leave out batch"),
    ({"training.optimiser": "ghmc"}, "temperature above zero"),
    ({"training.optimiser": "wand", "training.fixed_norm": True}, "leave the sphere"),
    ({"training.anneal": "exponential", "training.temperature": 1.0}, "above zero temperature"),
    ({"training.x_range": [1.0, -1.0]}, "ascend"),
])
def test_settings_that_do_not_go_together(changes, message):
    with pytest.raises(InputError, match=message):
        training_settings(load("transformer-subtraction-31", changes))
