"""Stacked replicas with PyTorch against the compiled engine, and against runs of one replica."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from phasegrok import compiled
from phasegrok.cards.library import load
from phasegrok.errors import InputError
from phasegrok.networks.kinds import NETWORKS, pytorch_of, small
from phasegrok.networks.models import decoder, mlp
from phasegrok.networks.models.transformer import Parameters
from phasegrok.networks.pytorch import decoder as decoder_torch
from phasegrok.networks.pytorch import transformer as transformer_torch
from phasegrok.networks.tasks import teachers as regression
from phasegrok.networks.training import stack_torch as torch_trainer
from phasegrok.networks.training.settings import Settings
from phasegrok.networks.training.state import (
    ACCEPTED,
    BROKEN,
    CROSSING,
    NO_EVENT,
    NOT_FINITE,
    STATUS,
    STEP,
    Event,
)
from phasegrok.networks.updates.table import UPDATES
from phasegrok.protocols.network_clones import NetworkClones
from phasegrok.protocols.training import Training
from phasegrok.run import runfile
from phasegrok.statistics import mean_and_error

SMALL = dict(p=11, d_model=20, heads=2, mlp=24, train_fraction=0.6, precision="float64")
RATES = dict(lr=3e-3, weight_decay=0.7, eval_every=7)
EXACT = ("rng", "counters", "order", "train_accuracy", "test_accuracy", "start_step")


@pytest.fixture(autouse=True)
def _one_thread():
    """Plain steps of small networks take longer on more."""
    with torch_trainer.one_thread():
        yield


@pytest.fixture(scope="module")
def system():
    return Parameters(**SMALL).build()


@pytest.fixture
def one_core():
    """All replicas in one stack."""
    compiled.use_threads(1)
    yield
    compiled.use_threads(0)


def protocol(system, engine="torch", replicas=3, steps=60, event=NO_EVENT, **given):
    return Training(system, Settings(**(RATES | given), engine=engine), replicas, steps, event)


def run(protocol, blocks=(1000,), seed=3):
    state = protocol.init(seed)
    for n in blocks:
        if protocol.done(state) < protocol.total():
            protocol.advance(state, n)
    return state


def differences(a, b, tolerance):
    """Names of what differs between two states by more than the tolerance, relative or absolute."""
    return [name for name, x in vars(a).items()
            if not np.allclose(x, getattr(b, name), rtol=tolerance, atol=tolerance, equal_nan=True)
            or (name in EXACT and not np.array_equal(x, getattr(b, name), equal_nan=True))]


# --------------------------------------------------------------------- against the compiled engine


@pytest.mark.parametrize("given", [
    dict(),
    dict(optimiser="adam", fixed_norm=True, initial_scale=0.8),
    dict(batch=30),
    dict(optimiser="sgd", momentum=0.0, warmup=0, batch=24),
    dict(batch=24, filter="ema", filter_alpha=0.9),
    dict(filter="ma", filter_window=9, filter_lambda=0.5, fixed_norm=True),
    dict(optimiser="baoab", lr=0.05, friction=0.2, weight_decay=0.1),
    dict(optimiser="wand", lr=0.1, friction=0.3, weight_decay=0.0, deposit=0.02,
         deposit_steps=20, x_range=(-2.0, 2.0), x_bins=9),
])
def test_curves_and_weights_equal_those_of_the_compiled_engine(system, one_core, given):
    of_torch = run(protocol(system, **given), [13, 1, 1000])
    of_kernels = run(protocol(system, "compiled", **given))
    assert differences(of_torch, of_kernels, 1e-9) == []
    assert np.isfinite(of_torch.norms).all() and of_torch.train_loss[:, -1].max() < 3.0


@pytest.mark.slow
@pytest.mark.parametrize("parameters, given", [
    (mlp.Parameters(p=11, train_fraction=0.6, hidden=[24], precision="float64"), dict(batch=30)),
    (mlp.Parameters(p=7, train_fraction=0.6, hidden=[12, 10], activation="tanh", biases=True,
                    loss="mse", precision="float64"), dict(optimiser="sgd", lr=0.1)),
    (regression.StudentParameters(layers=[3, 8, 2], n=20, n_test=30, precision="float64"),
     dict(batch=7)),
    (regression.CommitteeParameters(D=5, N=12, n=20, n_test=30, precision="float64"),
     dict(optimiser="sgd", weight_decay=0.0)),
])
def test_perceptrons_equal_those_of_the_compiled_engine(one_core, parameters, given):
    system = parameters.build(parameters.disorder(None))
    states = [run(protocol(system, engine, **given)) for engine in ("torch", "compiled")]
    rounded = () if system.structure.tables else ("train_accuracy", "test_accuracy")
    assert [x for x in differences(*states, 1e-9) if x not in rounded] == []
    for name in rounded:  # an explained variance, not a share of pairs
        np.testing.assert_allclose(*(getattr(x, name) for x in states), rtol=1e-9, atol=1e-9)
    loss = states[0].train_loss
    assert (loss[:, -1] < 0.999 * loss[:, 0]).all()


@pytest.mark.slow
def test_stacked_hybrid_monte_carlo_obeys_the_virial_theorem(one_core):
    """<theta . grad U> = N T in 96 independent replicas, which the compiled engine equilibrated."""
    T, wd = 0.1, 0.2
    tiny = Parameters(p=3, d_model=4, heads=1, mlp=4, train_fraction=0.6,
                      precision="float64").build()
    given = dict(replicas=96, optimiser="ghmc", lr=0.25, friction=0.2, weight_decay=wd,
                 temperature=T, eval_every=10**6, warmup=0)
    state = run(protocol(tiny, "compiled", steps=2000, **given), [2000])
    state.counters[:, ACCEPTED] = 0
    p, virial = protocol(tiny, steps=2300, **given), []
    for _ in range(25):
        p.advance(state, 12)
        virial.append([theta @ (transformer_torch.energy_and_gradient(
            tiny, theta, tiny.train.inputs, tiny.train.targets)[1] + wd * theta)
            / tiny.n_parameters for theta in state.theta])
    mean, error = mean_and_error(np.array(virial).mean(axis=0))
    assert error < 0.009 * T and abs(mean - T) < 3.0 * error
    assert 0.5 < (state.counters[:, ACCEPTED] / 300).mean() < 0.8


def test_event_and_hold_stop_a_replica_at_the_step_of_the_compiled_engine(one_core):
    system = Parameters(**(SMALL | dict(train_fraction=0.9))).build()
    given = dict(lr=1e-2, weight_decay=0.5, eval_every=5, steps=200)
    free = run(protocol(system, "compiled", **given))
    lowest = np.lib.stride_tricks.sliding_window_view(free.test_accuracy, 3, axis=1).min(axis=2)
    event = Event(np.median(lowest.max(axis=1)), 3)
    states = [run(protocol(system, engine, event=event, **given), [23] * 9)
              for engine in ("torch", "compiled")]
    assert differences(*states, 1e-7) == []
    crossed = states[0].counters[:, CROSSING]
    assert 2 <= (crossed >= 0).sum() and len(set(crossed)) == 3
    assert (states[0].counters[:, STEP] < 200).any()
    onward = run(protocol(system, event=event._replace(stop=False), **given))
    np.testing.assert_array_equal(onward.counters[:, CROSSING], crossed)
    assert (onward.counters[:, STEP] == 200).all()


@pytest.mark.parametrize("given", [dict(filter="ma", filter_window=5), dict(batch=30)])
def test_a_replica_that_is_not_finite_stops_alone(system, one_core, given):
    states = []
    for engine in ("torch", "compiled"):
        p = protocol(system, engine, **given)
        state = run(p, [12])
        for k, value in ((0, np.nan), (2, np.inf)):
            state.theta[k, -1] = value
        p.advance(state, 30)
        p.advance(state, 18)
        states.append(state)
    assert differences(*states, 1e-9) == []
    assert list(states[0].counters[:, BROKEN]) == [12, -1, 12]
    whole = run(protocol(system, **given))
    np.testing.assert_array_equal(states[0].theta[1], whole.theta[1])


def test_weights_that_overflow_stop_at_the_step_of_the_compiled_engine(system, one_core):
    states = [run(protocol(system, engine, lr=1e308, weight_decay=1e308))
              for engine in ("torch", "compiled")]
    np.testing.assert_array_equal(states[0].counters, states[1].counters)
    assert (states[0].counters[:, STATUS] == NOT_FINITE).all()


def test_clones_of_one_checkpoint(system, one_core):
    states = []
    for engine in ("torch", "compiled"):
        settings = Settings(
            **(RATES | dict(lr=1e-2, weight_decay=0.0, eval_every=10)), engine=engine,
            optimiser="adam", filter="ma", filter_window=4)
        p = NetworkClones(system, settings, 2, 25, Event(1.0, 100), plateau_accuracy=0.9,
                          search_steps=1000)
        states.append(run(p))
    assert states[0].start_step > 4 and differences(*states, 1e-8) == []


# ----------------------------------------------------------------------------- stacks and blocks


@pytest.mark.parametrize("given", [dict(temperature=1e-5), dict(batch=30, optimiser="sgd")])
def test_stacked_replicas_equal_those_that_run_alone(system, one_core, monkeypatch, given):
    together = protocol(system, **given)
    stacked = run(together)
    assert together.stacked.size == 3
    monkeypatch.setattr(torch_trainer, "CPU_BYTES", 1)
    apart = protocol(system, **given)
    assert differences(stacked, run(apart), 1e-12) == []
    assert apart.stacked.size == 1
    assert together.stacked.memory() == 3 * apart.stacked.memory()
    assert apart.memory() - apart.stacked.memory() >= stacked.theta.nbytes * 4


def test_cores_have_a_stack_each(system, monkeypatch, request):
    monkeypatch.setattr(compiled.os, "sched_getaffinity", lambda pid: {0, 1})
    p = protocol(system, replicas=5)  # two stacks, of 3 and of 2 replicas
    state = run(p)
    assert p.stacked.size == 3 and len(p.stacked.stacks) == 2
    request.getfixturevalue("one_core")
    assert differences(state, run(protocol(system, replicas=5)), 1e-12) == []


@pytest.mark.parametrize("given", [
    dict(temperature=1e-6, filter="ma", filter_window=9),
    dict(temperature=1e-6, optimiser="sgd", filter="ema", batch=30, fixed_norm=True),
])
def test_resumed_training_has_the_same_bits(one_core, given):
    system = Parameters(**(SMALL | dict(precision="float32"))).build()
    whole = run(protocol(system, **given))
    p = protocol(system, **given)
    cut = p.init(3)
    for n in (13, 1, 0, 26, 100):
        p.advance(cut, n)
        saved = {name: np.array(value) if isinstance(value, np.ndarray) else value
                 for name, value in runfile.pack_dataclass(cut).items()}
        p = protocol(system, **given)
        cut = p.restore(saved)
    assert p.done(cut) == 60
    for name, value in vars(whole).items():
        np.testing.assert_array_equal(value, getattr(cut, name), err_msg=name)


def test_float32_follows_float64(system):
    single = Parameters(**(SMALL | dict(precision="float32"))).build()
    a, b = run(protocol(single)), run(protocol(system))
    assert a.theta.dtype == np.float32
    np.testing.assert_allclose(a.train_loss, b.train_loss, rtol=1e-5)


def test_decoder_equals_plain_steps_of_adamw():
    parameters = decoder.Parameters(p=7, d_model=8, heads=2, mlp=12, train_fraction=0.6,
                                    precision="float64")
    system = parameters.build()
    p = protocol(system, replicas=2, steps=20)
    state = p.init(3)
    x, y = torch.tensor(system.train.inputs), torch.tensor(system.train.targets)
    plain = []
    for k in range(2):
        theta = torch.tensor(state.theta[k], requires_grad=True)
        optimiser = torch.optim.AdamW([theta], lr=3e-3, betas=(0.9, 0.98), weight_decay=0.7)
        for step in range(20):
            optimiser.param_groups[0]["lr"] = 3e-3 * min(1.0, (step + 1) / 10)
            optimiser.zero_grad()
            decoder_torch.energy(system, theta, x, y).backward()
            optimiser.step()
        plain.append(theta.detach().numpy())
    p.advance(state, 20)
    np.testing.assert_allclose(state.theta, plain, atol=1e-11)


# --------------------------------------------------------------------------------------- devices

UPDATED = {"adamw": {}, "adam": {"filter": "ema"}, "sgd": {"filter": "ma", "filter_window": 3},
           "lion": {"fixed_norm": True}, "sam": {"batch": 10}, "muon": {}, "baoab": {},
           "ghmc": {"filter": "none"}, "wand": {"batch": 10}}


def tensors(held, name=""):
    """Name and tensor of all that a stack, or a collection of it, holds."""
    if isinstance(held, torch.Tensor):
        yield name, held
    elif isinstance(held, dict | tuple):
        parts = held.items() if isinstance(held, dict) else enumerate(held)
        for key, part in parts:
            yield from tensors(part, f"{name}.{key}")


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("optimiser", UPDATES)
def test_a_step_stays_on_its_device_and_keeps_its_types(optimiser, device, precision):
    """The step that a CUDA graph captures, as it is; on the device meta, which has shapes and no
    numbers, an operation with a tensor of another device is an error."""
    system = decoder.Parameters(p=5, d_model=8, heads=2, mlp=8, train_fraction=0.6,
                                precision=precision).build()
    given = RATES | dict(optimiser=optimiser, engine="torch", temperature=1e-3)
    settings = Settings(**(given | UPDATED[optimiser]))
    settings = settings.model_copy(update={"device": device})
    stack = torch_trainer.Stack(system, settings, 2, NO_EVENT)
    held = vars(stack)
    before = dict(tensors(held))
    with torch.no_grad():
        for step in held["_steps"].values():
            step()
    after = dict(tensors(held))
    assert len(before) > 20 and before.keys() == after.keys()
    for name, x in after.items():
        assert x.dtype == before[name].dtype, name
        assert x.shape == before[name].shape or "_data" in name  # the pairs of a step
    assert {x.device.type for _, x in tensors(held)} == {device}
    real = getattr(torch, precision)
    assert all(getattr(stack, name).dtype == real for name in ("theta", "m", "v", "g", "window"))
    assert all(getattr(stack, name).dtype == torch.float64
               for name in ("mu", "norm", "bias", "energy", "lr", "T"))
    assert all(x.dtype == torch.int64 for x in (stack.k, stack.key, stack.accepted, stack.order))


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_energy_of_a_network_is_on_the_device_of_its_weights(kind):
    network = small(kind, "float32")
    pytorch = pytorch_of(network)
    theta = torch.zeros(network.n_parameters, device="meta")
    x, y = (torch.tensor(a, device="meta") for a in network.train)
    E = pytorch.energy(network, theta, x, y)
    scores = pytorch.scores(network, theta, x, y, torch.ones((), device="meta"))
    assert all(a.device.type == "meta" and a.dtype == torch.float64 for a in (E, *scores))


# ----------------------------------------------------------------------------------------- noise


def test_words_are_those_of_splitmix64():
    """First words of the streams of 0 and 1234567, those of the authors' code."""
    found = torch_trainer.words(torch.tensor([0, 1234567]), torch.arange(3)).numpy()
    assert found.view(np.uint64).tolist() == [
        [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F],
        [6457827717110365317, 3203168211198807973, 9817491932198370423]]


def test_noise_has_variance_2_lr_T_and_is_independent(system, one_core):
    def steps(T, n):
        return run(protocol(system, lr=0.01, warmup=4, temperature=T), [n]).theta

    noise = (steps(0.3, 1) - steps(0.0, 1)) / np.sqrt(2 * 0.01 / 4 * 0.3)
    n = noise.size
    assert abs(noise.mean() * np.sqrt(n)) < 4
    assert abs((np.mean(noise**2) - 1) / np.sqrt(2 / n)) < 4
    assert abs((np.mean(noise**4) - 3) / np.sqrt(96 / n)) < 4
    drawn = [torch_trainer.normals(torch.tensor([5, 6]), torch.tensor(k), 30_001) for k in (7, 8)]
    rows = torch.cat(drawn).numpy()  # replicas and steps
    rows = np.concatenate([rows[:, :-1], rows[:, 1:]])  # and neighbours
    z = np.sqrt(30_000) * np.corrcoef(rows)[np.triu_indices(8, 1)]
    assert np.abs(z).max() < 4


# --------------------------------------------------------------------------------- cards and runs


def test_both_engines_from_the_command_line(tmp_path, call, no_figures):
    small = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    found = []
    for engine in ("torch", "compiled"):
        done = call("training", "transformer-subtraction-31", *small, "--set",
                    f"training.engine={engine}", "--replicas", 2, "--steps", 50,
                    "--out", tmp_path / f"{engine}.h5")
        assert done.code == 0, done.err
        found.append(runfile.read(tmp_path / f"{engine}.h5")["training"])
    for name in ("train_loss", "test_loss", "test_accuracy", "weight_norm", "memorisation_step"):
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=1e-9, err_msg=name)
    assert found[0]["train_loss"].shape == (2, 6) and np.isfinite(found[0]["train_loss"]).all()


def test_a_device_that_is_not_there_is_refused_in_a_sentence(call, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    done = call("training", "transformer-subtraction-31", "--set", "training.engine=torch", "--set",
                "training.device=cuda")
    assert done.code == 2 and len(done.errors) == 1
    assert "PyTorch finds no CUDA device" in done.errors[0]
    with pytest.raises(InputError, match='device = "cuda" needs engine = "torch"'):
        load("transformer-subtraction-31", {"training.device": "cuda"})


def test_pytorch_is_imported_where_it_is_asked_for():
    code = ("import sys; from phasegrok.studies.training import training; "
            "from phasegrok.cards import load; "
            "training(load('transformer-subtraction-31')).memory(); "
            "assert 'torch' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.gpu
@pytest.mark.parametrize("given", [
    dict(), dict(optimiser="adam", filter="ema", batch=30), dict(temperature=1e-6),
    dict(optimiser="sgd", filter="ma", filter_window=6, fixed_norm=True),
])
def test_captured_steps_equal_those_on_a_cpu(system, one_core, given):
    whole = run(protocol(system, device="cuda", **given))
    assert differences(whole, run(protocol(system, **given)), 1e-9) == []
    cut = run(protocol(system, device="cuda", **given), [13, 1, 26, 100])
    for name, value in vars(whole).items():
        np.testing.assert_array_equal(value, getattr(cut, name), err_msg=name)


@pytest.mark.gpu
def test_captured_decoder_equals_that_on_a_cpu(one_core):
    system = decoder.Parameters(p=7, d_model=8, heads=2, mlp=12, train_fraction=0.6,
                                precision="float64").build()
    states = [run(protocol(system, device=device)) for device in ("cuda", "cpu")]
    assert differences(*states, 1e-9) == []
