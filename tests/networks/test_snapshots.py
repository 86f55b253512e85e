"""Snapshots: at which steps they are, whose weights they have, resumed and extended."""


import numpy as np
import pytest
import torch
from small_perceptron import SMALL, WORDS, assert_same, run, small

from phasegrok import compiled
from phasegrok.cards.library import load
from phasegrok.errors import InputError
from phasegrok.networks.kinds import pytorch_of
from phasegrok.networks.training import stack_torch
from phasegrok.networks.training.settings import Settings
from phasegrok.networks.training.snapshots import snapshot_steps
from phasegrok.run import runfile
from phasegrok.studies.training import training
from phasegrok.studies.waiting_times import clones

ENGINES = ("compiled", "torch")


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    """Starting threads would take longer than these systems."""
    monkeypatch.setattr(compiled, "n_threads", lambda: 1)
    with stack_torch.one_thread():
        yield


def scores(system, theta, data):
    """Loss and order parameter of a data set by the equations in PyTorch."""
    x, y = (torch.tensor(v) for v in data)
    variance = y.double().var(dim=0, correction=0).mean()
    return [float(v.mean()) for v in pytorch_of(system).scores(system, torch.tensor(theta), x, y,
                                                               variance)]


# --------------------------------------------------------------------------- steps of the snapshots


@pytest.mark.parametrize("text, steps, expected", [
    ("log:5", 1000, [0, 1, 10, 100, 1000]),
    ("log:8", 729, [0, 1, 3, 9, 27, 81, 243, 729]),
    ("log:2", 50, [0, 50]),
    ("log:20", 4, [0, 1, 2, 3, 4]),
    ("log:3", 1, [0, 1]),
    ([0, 7, 900], 500, [0, 7]),
    ("none", 500, []),
    ("events", 500, []),
])
def test_steps(text, steps, expected):
    assert snapshot_steps(Settings(snapshots=text).snapshots, steps).tolist() == expected


@pytest.mark.parametrize("text", ["log:1", "log:", "log:x", "all", "", [], [3, 3], [5, 2], [-1, 2]])
def test_other_snapshots_are_refused_in_a_sentence(text):
    with pytest.raises(InputError, match=r"snapshots: give") as refused:
        small(snapshots=text)
    assert len(refused.value.messages) == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_a_snapshot_has_the_weights_of_a_run_that_ends_there(engine):
    """To the last bit, in a run with minibatches and noise."""
    protocol = small(engine, snapshots=[0, 13, 60, 120])
    state = run(protocol)
    plain = run(small(engine))
    np.testing.assert_array_equal(state.theta, plain.theta)
    group = protocol.result(state)["weights"]
    assert group["snapshot"].tolist() == [0, 13, 60, 120]
    assert group["step"].tolist() == [[0, 0], [13, 13], [60, 60], [120, 120]]
    for s, steps in enumerate((0, 13, 60)):
        short = small(engine)
        begun = short.init(3)
        short.advance(begun, steps)
        for name, (offset, shape) in protocol.system.layout.items():
            part = begun.theta[:, offset : offset + np.prod(shape)].reshape(2, *shape)
            np.testing.assert_array_equal(group[name][s], part, err_msg=name)
    variables = protocol.result(state)["weights"].variables
    assert variables["W_2"].dims == ("snapshot", "replica", "W_2_0", "W_2_1")
    assert group["W_2"].dtype == np.float32
    assert all(v.units and v.long_name for v in variables.values())
    assert "weights" not in small(engine).result(plain)


@pytest.mark.parametrize("engine", ENGINES)
def test_events_have_the_weights_of_the_evaluation_that_shows_them(engine):
    protocol = small(engine, steps=500, snapshots="events")
    state = run(protocol)
    groups = protocol.result(state)
    curves, group = groups["training"], groups["weights"]
    assert group["snapshot"].tolist() == ["memorisation", "half", "generalisation"]
    for s, name in enumerate(("memorisation_step", "generalisation_step_50",
                              "generalisation_step_95")):
        held = 10 if s == 2 else 0  # generalised when the accuracy has lasted
        np.testing.assert_array_equal(group["step"][s], curves[name] + held)
    assert np.isfinite(group["step"]).sum() >= 5 and len(np.unique(group["step"])) > 3
    for s, r in np.argwhere(np.isfinite(group["step"])):
        row = np.flatnonzero(curves["step"] == group["step"][s, r])[0]
        for side in ("train", "test"):
            loss, accuracy = scores(protocol.system, state.snapshots[s, r],
                                    getattr(protocol.system, side))
            assert curves[f"{side}_loss"][r, row] == pytest.approx(loss, rel=2e-6)
            assert curves[f"{side}_accuracy"][r, row] == pytest.approx(accuracy, abs=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_event_at_the_end_of_a_replica_is_kept(engine):
    """A replica that stops when it has generalised has these weights."""
    protocol = small(engine, steps=500, snapshots="events", stop_at_event=True)
    state = run(protocol)
    groups = protocol.result(state)
    ended = groups["training"]["final_step"] < 500
    assert ended.any()
    np.testing.assert_array_equal(groups["weights"]["step"][2, ended],
                                  groups["training"]["final_step"][ended])
    np.testing.assert_array_equal(state.snapshots[2, ended], state.theta[ended])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_replica_that_is_not_finite_has_no_further_snapshots(engine):
    protocol = small(engine, snapshots=[10, 40, 80])
    state = protocol.init(3)
    protocol.advance(state, 30)
    state.theta[1, 5] = np.nan
    run(protocol, state)
    np.testing.assert_array_equal(state.snapshot_step, [[10, 10], [40, np.nan], [80, np.nan]])
    assert np.isnan(state.snapshots[1:, 1]).all() and np.isfinite(state.snapshots[:, 0]).all()


# ---------------------------------------------------------------------------- resumed and extended


def again(protocol, state):
    """The state as a checkpoint gives it back."""
    return protocol.restore({name: np.copy(x) if isinstance(x, np.ndarray) else x
                             for name, x in vars(state).items()})


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("text", ["events", [0, 30, 34, 50, 70]])
def test_an_extended_run_equals_the_uninterrupted_one(engine, text):
    short, long = (small(engine, steps=n, snapshots=text) for n in (34, 70))
    cut = short.init(3)
    short.advance(cut, 20)
    cut = again(short, cut)
    run(short, cut)
    assert_same(run(long), run(long, again(long, cut)))


def test_an_extended_grid_keeps_what_was_taken():
    short, long = (small(steps=n, snapshots="log:4") for n in (81, 240))
    assert short.snapshot_at().tolist() == [0, 1, 9, 81]
    assert long.snapshot_at().tolist() == [0, 1, 15, 240]
    state = run(short)
    kept = state.snapshots.copy()
    state = run(long, again(long, state))
    assert state.snapshot_at.tolist() == [0, 1, 9, 81, 240]
    assert np.isfinite(state.snapshot_step).all()
    np.testing.assert_array_equal(state.snapshots[:4], kept)
    np.testing.assert_array_equal(state.snapshots[4], state.theta)
    begun = short.init(3)
    short.advance(begun, 15)  # a grid whose step is that of the checkpoint
    assert again(long, begun).snapshot_at.tolist() == [0, 1, 9, 15, 240]
    assert (again(long, begun).snapshot_step[3] == 15).all()


def test_an_interrupted_run_file_has_the_weights_so_far_and_all_at_the_end(
        call, no_figures, stop_at, differences):
    words = ("training", *WORDS, "--set", "snapshots=log:12", "--steps", 3000)
    assert call(*words, "--out", "whole.h5").code == 0
    stop_at(3)
    assert call(*words, "--out", "cut.h5").code == 3
    so_far, whole = (runfile.read(name)["weights"] for name in ("cut.h5", "whole.h5"))
    n = len(so_far["snapshot"])
    assert 1 < n < len(whole["snapshot"]) == 12
    np.testing.assert_array_equal(so_far["U"], whole["U"][:n])
    stop_at(0)
    assert call("phasegrok", "resume", "cut.h5").code == 0
    assert differences("cut.h5", "whole.h5") == []


# -------------------------------------------------------------------------------- clones, and sizes


@pytest.mark.parametrize("engine", ENGINES)
def test_snapshots_of_clones(engine):
    given = SMALL | {"training.engine": engine, "waiting_times.limit": 300.0,
                     "waiting_times.plateau_accuracy": 0.5,
                     "waiting_times.temperatures": [1e-6], "training.snapshots": "log:9"}
    for text in ("events", [0, 25]):
        protocol = clones(load("mlp-subtraction-31", given | {"waiting_times.snapshots": text}),
                          number=3)
        state = run(protocol)
        groups = protocol.result(state)
        group = groups["weights"]
        assert state.start_step > 0
        np.testing.assert_array_equal(state.snapshots[0], np.repeat(state.snapshots[0, :1], 3, 0))
        assert (group["step"][0] == 0).all()
        if text == "events":
            assert group["snapshot"].tolist() == ["checkpoint", "event"]
            time = groups["waiting_times"]["time"]
            np.testing.assert_array_equal(group["step"][1], time + 10)  # held
            np.testing.assert_array_equal(state.snapshots[1], state.theta)
        else:
            assert group["step"].tolist() == [[0] * 3, [25] * 3]


def test_sizes_are_announced_and_counted(capsys):
    card = load("mlp-subtraction-31", {"training.snapshots": "log:20", "training.replicas": 8})
    protocol = training(card)
    n = len(protocol.snapshot_at()) * 8 * 4 * protocol.system.n_parameters
    assert protocol.snapshot_bytes() == n > 5e6
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"make the run file {2e-6 * n:.0f} MB larger" in said
    plain = training(load("mlp-subtraction-31", {"training.replicas": 8}))
    assert protocol.memory() - plain.memory() >= 3 * n
    small(snapshots="log:20")
    assert capsys.readouterr().err == ""
