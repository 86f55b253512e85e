"""Weights of runs: to NumPy, to PyTorch, to files, and back into a run."""

import copy
import hashlib
import itertools
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from own_code_files import CARD, NET
from repository import ROOT
from small_perceptron import SMALL, WORDS, run, setting, small

import phasegrok
from phasegrok import compiled
from phasegrok.cards.library import load
from phasegrok.errors import InputError
from phasegrok.networks import engine as networks
from phasegrok.networks import kinds
from phasegrok.networks.kinds import NETWORKS
from phasegrok.networks.models import mlp
from phasegrok.networks.training import stack_torch
from phasegrok.networks.training.start import source_of
from phasegrok.networks.weights import flat, named
from phasegrok.run import runfile
from phasegrok.studies.waiting_times import clones

ENGINES = ("compiled", "torch")
PAGE = (ROOT / "docs" / "weights.md").read_text()


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    """Starting threads would take longer than these systems."""
    monkeypatch.setattr(compiled, "n_threads", lambda: 1)
    with stack_torch.one_thread():
        yield


# ------------------------------------------------------------------------------- NumPy and PyTorch

CARDS = {"modular-transformer": "transformer-subtraction-31", "modular-mlp": "mlp-subtraction-31",
         "modular-decoder": "decoder-subtraction-31", "regression-mlp": "student-training",
         "committee-machine": "committee-square-30"}


def engine_outputs(network, theta, inputs):
    """What the compiled kernels say of the outputs, by the losses of single patterns.

    Of pairs ln p of every class, from the cross-entropy of every label; of a regression f, from the
    squared distances to 0 and to 1.
    """
    w, work = network.matrices(theta), networks.workspace(network)

    def loss(x, y):
        targets = np.array([y], network.train.targets.dtype)
        return networks.losses(w, networks.data(network, x[None], targets), work)[0]

    if network.on_pairs:
        classes = range(network.parameters.elements)
        return -np.array([[loss(x, label) for label in classes] for x in inputs])
    return np.array([[0.5 * (1.0 + loss(x, [0.0]) - loss(x, [1.0]))] for x in inputs])


# kernels that are compiled for this test alone
_COMPILED_HERE = [("modular-decoder", "float64"), *((kind, "float32") for kind in NETWORKS
                                                   if kind != "modular-mlp")]


@pytest.mark.parametrize("kind, precision", [
    pytest.param(*both, marks=pytest.mark.slow) if both in _COMPILED_HERE else both
    for both in itertools.product(NETWORKS, ("float64", "float32"))])
def test_weights_of_a_run_file_are_those_of_the_engine(call, no_figures, kind, precision):
    """Losses and accuracies of the file, and outputs of the kernels, from a module of PyTorch."""
    given = {f"parameters__{key}": value for key, value in NETWORKS[kind].small.items()}
    done = call("training", CARDS[kind], *setting(
        **given, parameters__precision=precision, training__engine="torch", snapshots="[0, 4, 7]",
        training__eval_every=2, training__lr=0.01), "--replicas", 2, "--steps", 7, "--out", "a.h5")
    assert done.code == 0, done.err
    opened = phasegrok.open("a.h5")
    network, curves = opened.card.build(), runfile.read("a.h5")["training"]
    assert opened.card.name == CARDS[kind]
    for replica in (0, 1):
        matrices = opened.weights(replica, 4)
        assert {name: x.shape for name, x in matrices.items()} == {
            name: shape for name, (_, shape) in network.layout.items()}
        assert all(x.dtype == precision for x in matrices.values())
        module = opened.to_torch(replica, 4)
        assert list(module.state_dict()) == list(network.layout)
        rel = 1e-12 if precision == "float64" else 2e-6
        for side in ("train", "test"):
            x, y = (torch.tensor(v) for v in getattr(network, side))
            f = module(x)
            loss = (torch.nn.functional.cross_entropy(f.double(), y) if network.on_pairs else
                    (f - y).double().square().mean())
            right = ((f.argmax(1) == y).double().mean() if network.on_pairs else
                     1.0 - loss / y.double().var(correction=0))
            assert curves[f"{side}_loss"][replica, 2] == pytest.approx(loss.item(), rel=rel)
            assert curves[f"{side}_accuracy"][replica, 2] == pytest.approx(right.item(),
                                                                           rel=10 * rel)
        found = module(torch.tensor(network.train.inputs)).detach()
        if network.on_pairs:
            found = torch.log_softmax(found.double(), 1)
        expected = engine_outputs(network, flat(network, matrices), network.train.inputs)
        np.testing.assert_allclose(found.numpy(), expected, rtol=10 * rel, atol=10 * rel)


def trained(call, out="a.h5", *more, steps=60, replicas=2, snapshots="[0, 20, 50]"):
    """A run file of the small perceptron."""
    done = call("training", *WORDS, *setting(snapshots=snapshots), *more, "--replicas", replicas,
                "--steps", steps, "--out", out)
    assert done.code == 0, done.err
    return phasegrok.open(out)


def test_the_last_weights_and_a_sentence_that_lists_the_steps(call, no_figures):
    opened = trained(call)
    state = runfile.read("a.h5", with_state=True).state
    with h5py.File("a.h5") as file:
        np.testing.assert_array_equal(opened.weights()["V"], file["weights/V"][2, 0])
        assert file["weights/V"].attrs["units"] == "1"
    np.testing.assert_array_equal(opened.weights(1, 60)["U"].ravel(), state["theta"][1, : 13 * 32])
    for given, message in (((0, 7), "no weights of replica 0 at step 7: there are those of 0, 20, "
                                    "50, 60"), ((2,), "no replica 2: there are 2, from 0 on"),
                           ((-1,), "no replica -1")):
        with pytest.raises(InputError, match=message):
            opened.weights(*given)
    one = opened.weights()
    one["U"][:] = 0.0  # a copy
    assert opened.weights()["U"].any()


def test_a_run_without_snapshots_has_its_last_weights(call, no_figures):
    opened = trained(call, snapshots="none")
    state = runfile.read("a.h5", with_state=True).state
    assert "weights" not in runfile.read("a.h5")
    theta = np.concatenate([x.ravel() for x in opened.weights(1).values()])
    np.testing.assert_array_equal(theta, state["theta"][1])
    with pytest.raises(InputError, match="at step 20: there are those of 60"):
        opened.weights(0, 20)


def test_weights_at_events_by_their_names(call, no_figures):
    opened = trained(call, "a.h5", steps=300, snapshots="events")
    group = runfile.read("a.h5")["weights"]
    step = int(group["step"][0, 1])
    for name in ("memorisation", step):
        np.testing.assert_array_equal(opened.weights(1, name)["W_2"], group["W_2"][0, 1])
    with pytest.raises(InputError, match=rf"there are those of {step} \(memorisation\)"):
        opened.weights(1, "half-time")


def test_files_without_weights_and_of_several_cards(call, no_figures, tmp_path):
    assert call("waiting_times", "control-drift", "--clones", 2, "--out", "b.h5").code == 0
    opened = phasegrok.open("b.h5")
    with pytest.raises(InputError, match=r"b\.h5 holds no weights: it is no training"):
        opened.weights()
    with pytest.raises(InputError, match="needs a network system, this one is overdamped"):
        opened.to_torch()
    run = runfile.read("b.h5")
    for name in ("card", "card_folder"):
        run.attributes |= {f"{name}s": json.dumps([run.attributes.pop(name)] * 2)}
    run.attributes["card_names"] = json.dumps(["one", "two"])
    runfile.write(tmp_path / "c.h5", run)
    with pytest.raises(InputError, match="a run over several cards: open one of its parts"):
        phasegrok.open(tmp_path / "c.h5").card  # noqa: B018
    with pytest.raises(runfile.RunFileError, match=r"there is no file d\.h5"):
        phasegrok.open("d.h5")


def test_the_package_is_imported_without_what_it_may_need():
    code = ("import time; begin = time.perf_counter(); import phasegrok, sys; "
            "assert time.perf_counter() - begin < 0.5; phasegrok.open; "
            "assert not {'numba', 'torch', 'matplotlib', 'h5py'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", code], check=True)


# --------------------------------------------------------------------------------------- start_from


def written(matrices, ending):
    """A file of these matrices in the working folder."""
    name = f"w{ending}"
    if ending == ".npz":
        np.savez(name, **matrices)
    elif ending == ".safetensors":  # as the format's page has it
        header, parts, offset = {"__metadata__": {"by": "hand"}}, [], 0
        for key, x in matrices.items():
            raw = np.ascontiguousarray(x).tobytes()
            kind = {"float32": "F32", "float64": "F64", "float16": "F16"}.get(x.dtype.name, "I64")
            header[key] = {"dtype": kind, "shape": x.shape, "data_offsets": [offset,
                                                                           offset + len(raw)]}
            parts.append(raw)
            offset += len(raw)
        text = json.dumps(header).encode()
        Path(name).write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))
    else:
        torch.save({key: torch.tensor(x) for key, x in matrices.items()}, name)
    return name


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("ending", [".h5", ".npz", ".safetensors", ".pt"])
def test_a_run_starts_from_a_file(call, no_figures, engine, ending):
    """With the weights to the last bit, in all replicas, which then differ by their noise."""
    first = trained(call)
    matrices = first.weights(1, 20)
    source = "a.h5:replica=1,step=20" if ending == ".h5" else written(matrices, ending)
    second = trained(call, "b.h5", *setting(start_from=source, training__engine=engine))
    for name, x in matrices.items():
        for replica in (0, 1):
            np.testing.assert_array_equal(second.weights(replica, 0)[name], x)
        assert not np.array_equal(second.weights(0, 20)[name], second.weights(1, 20)[name])
    file, sha256 = source.partition(":")[0], runfile.read("b.h5").attributes["start_from_sha256"]
    assert sha256 == hashlib.sha256(Path(file).read_bytes()).hexdigest()
    before, after = (runfile.read(name)["training"] for name in ("a.h5", "b.h5"))
    for name in ("train_loss", "test_loss", "test_accuracy"):
        np.testing.assert_allclose(after[name][:, 0], before[name][1, 4], rtol=2e-6)


def test_the_scale_of_the_start_is_that_of_its_weights(call, no_figures):
    first = trained(call)
    second = trained(call, "b.h5", *setting(start_from="a.h5", initial_scale=2.0))
    np.testing.assert_array_equal(second.weights(1, 0)["U"], 2.0 * first.weights(0)["U"])


def test_a_module_of_pytorch_goes_back_into_a_run(call, no_figures):
    """state_dict() of what to_torch gives is a file for start_from."""
    first = trained(call)
    module = first.to_torch(0, 50)
    with torch.no_grad():
        module.U += 0.25
    torch.save(module.state_dict(), "w.pt")
    second = trained(call, "b.h5", *setting(start_from="w.pt"))
    np.testing.assert_array_equal(second.weights(0, 0)["U"], first.weights(0, 50)["U"] + np.float32(
        0.25))
    np.testing.assert_array_equal(second.weights(0, 0)["V"], first.weights(0, 50)["V"])


def test_a_resume_needs_no_file_and_notices_another(call, no_figures, differences):
    opened = trained(call)
    written(opened.weights(), ".npz")
    words = setting(start_from="w.npz", snapshots="[0, 5, 40, 90]")
    assert call("training", *WORDS, *words, "--steps", 90, "--out", "long.h5").code == 0
    assert call("training", *WORDS, *words, "--steps", 40, "--out", "b.h5").code == 0
    sha256 = runfile.read("b.h5").attributes["start_from_sha256"]
    shutil.copy("b.h5", "c.h5")
    np.savez("w.npz", **{name: 2.0 * x for name, x in opened.weights().items()})
    done = call("phasegrok", "resume", "b.h5", "--steps", 90)
    assert done.code == 2 and "start_from has changed since this run began" in done.errors[0]
    other = call("training", *WORDS, *words, "--steps", 90, "--out", "b.h5")
    assert other.code == 2 and "b.h5 is another run" in other.errors[0]
    assert call("phasegrok", "resume", "b.h5", "--steps", 90, "--force").code == 0
    assert f"start_from was {sha256}" in runfile.read("b.h5").attributes["resumed_after_change"]
    Path("w.npz").unlink()
    assert call("phasegrok", "resume", "c.h5", "--steps", 90).code == 0
    assert runfile.read("c.h5").attributes["start_from_sha256"] == sha256
    assert differences("c.h5", "long.h5") == [] and differences("b.h5", "long.h5") == []


@pytest.mark.parametrize("engine", ENGINES)
def test_clones_of_given_weights(call, no_figures, engine):
    """They are the checkpoint: nothing is searched for, and the clones differ by their noise."""
    opened = trained(call, steps=400)
    given = SMALL | {"training.engine": engine, "training.start_from": "a.h5:step=20",
                     "waiting_times.limit": 30.0, "waiting_times.plateau_accuracy": 1.0,
                     "waiting_times.temperatures": [1e-6], "waiting_times.snapshots": [0, 30],
                     "training.steps": 1}
    protocol = clones(load("mlp-subtraction-31", given), 1e-6, 3)
    state = run(protocol)
    theta = np.concatenate([x.ravel() for x in opened.weights(0, 20).values()])
    np.testing.assert_array_equal(state.snapshots[0], np.repeat(theta[None], 3, axis=0))
    assert state.start_step == 0 and len(np.unique(state.snapshots[1], axis=0)) == 3
    group = protocol.result(state)["waiting_times"]
    assert group.attributes["checkpoint_step"] == 0
    assert group["test_accuracy"][0, 0] == runfile.read("a.h5")["training"]["test_accuracy"][0, 4]
    late = clones(load("mlp-subtraction-31", given | {
        "training.start_from": "a.h5:step=400"}), 1e-6, 3)
    with pytest.raises(ValueError, match=r"the event's observable is 0\.[5-9]\d*, and the event "
                                         r"is at 0\.5: give a checkpoint before it"):
        late.init(1)


def changed(matrices, what):
    """The matrices with one mistake."""
    made = {name: x.copy() for name, x in matrices.items()}
    if what == "shape":
        made["V"] = made["V"].T
    elif what == "missing":
        del made["W_2"]
    elif what == "name":
        made["W_3"] = made.pop("W_2")
    elif what == "too many":
        made["b_1"] = made["U"]
    elif what == "infinite":
        made["U"][3, 4] = np.inf
    else:
        made["U"] = made["U"].astype(what)
    return made


@pytest.mark.parametrize("ending", [".npz", ".safetensors", ".pt"])
@pytest.mark.parametrize("what, message", [
    ("shape", r"V has the shape \(32, 13\), and this network's is \(13, 32\)"),
    ("missing", "there is no matrix W_2: the matrices of this network are U, V, W_2"),
    ("name", "there is no matrix W_2"),
    ("too many", "there is an unknown matrix b_1: the matrices of this network are U, V, W_2"),
    ("infinite", "U has weights that are not finite"),
    ("int64", "U has the type int64: give floating-point numbers"),
    ("float64", "U is float64 and the network is float32: set parameters.precision"),
])
def test_matrices_of_another_network_are_refused_in_a_sentence(tmp_path, monkeypatch, ending, what,
                                                               message):
    monkeypatch.chdir(tmp_path)
    protocol = small()
    state = protocol.init(1)
    file = written(changed(named(protocol.system, state.theta[0]), what), ending)
    with pytest.raises(InputError, match=message) as refused:
        small(start_from=file).init(1)
    assert str(refused.value).startswith(f"{file}: ") and len(refused.value.messages) == 1


def test_lower_precision_is_taken_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    protocol = small()
    matrices = named(protocol.system, protocol.init(1).theta[0].astype(np.float16))
    file = written(matrices, ".safetensors")
    theta = small(start_from=file).init(1).theta[0]
    np.testing.assert_array_equal(theta, np.concatenate([x.ravel() for x in matrices.values()]))
    torch.save({name: torch.tensor(x).bfloat16() for name, x in matrices.items()}, "b.pt")
    np.testing.assert_allclose(small(start_from="b.pt").init(1).theta[0], theta, rtol=2.0**-8)


def safetensors(entry):
    """Bytes of a file whose header has this entry for U, and eight bytes of data."""
    header = json.dumps({"U": entry}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(8)


@pytest.mark.parametrize("name, content, message", [
    ("w.npz", b"PK\3\4 nothing", "is not a .npz file of plain arrays"),
    ("w.npz", pickle.dumps({"U": 1}), "is not a .npz file of plain arrays"),
    ("w.safetensors", b"\x10", "is not a whole .safetensors file"),
    ("w.safetensors", safetensors([1]), "not a whole .safetensors file"),
    ("w.safetensors", safetensors({"dtype": "F32", "shape": [2], "data_offsets": [0, 9]}),
     "the data of U do not fit its shape"),
    ("w.safetensors", safetensors({"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}),
     "the data of U do not fit its shape"),
    ("w.safetensors", safetensors({"dtype": "F8", "shape": [2], "data_offsets": [0, 2]}),
     "U has the type F8: give F32 or F64"),
    ("w.pt", b"no zip", "is not read by torch.load with weights_only=True"),
    ("w.npz", b"1 2 3", r"w\.npz is not a \.npz file of plain arrays: write it with numpy\.savez$"),
    ("w.txt", b"1 2 3", "weights are in a run file, or in named matrices of a .npz"),
    ("w.h5", b"1 2 3", "is not an HDF5 file"),
])
def test_damaged_files_are_refused_in_a_sentence(tmp_path, monkeypatch, name, content, message):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(content)
    with pytest.raises(InputError, match=message) as refused:
        small(start_from=name).init(1)
    assert "\n" not in str(refused.value) and name in str(refused.value)


class Harm:
    """What a pickle would execute."""

    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_no_code_of_a_file_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"U": Harm()}, "w.pt")
    np.savez("w.npz", U=np.array([Harm()], dtype=object))
    torch.save([torch.ones(3)], "list.pt")
    for name in ("w.pt", "w.npz", "list.pt", "there-is-none.pt"):
        with pytest.raises(InputError, match=name):
            small(start_from=name).init(1)
    assert not Path("harm").exists()


@pytest.mark.parametrize("text, expected", [
    ("run.h5", ("run.h5", 0, None)),
    ("a/b.h5:replica=2,step=1000", ("a/b.h5", 2, 1000)),
    ("C:/x.h5:step=half", ("C:/x.h5", 0, "half")),
    ("run.h5:step=3,replica=1", ("run.h5", 1, 3)),
    ("w=1/x:y.npz", ("w=1/x:y.npz", 0, None)),
])
def test_text_of_a_source(text, expected):
    assert source_of(text) == expected


@pytest.mark.parametrize("text", ["", ":step=3", "run.h5:steps=3", "run.h5:replica=a",
                                  "run.h5:step=", "run.h5:replica=-1", "w.npz:step=3"])
def test_other_texts_are_refused_when_the_card_is_read(text):
    with pytest.raises(InputError, match=r"training\.start_from: ") as refused:
        small(start_from=text)
    assert len(refused.value.messages) == 1


def test_a_file_is_looked_for_beside_the_card_and_then_here(tmp_path, monkeypatch):
    folder = tmp_path / "cards"
    folder.mkdir()
    (folder / "w.npz").write_bytes(b"there")
    shipped = load("mlp-subtraction-31", {"training.start_from": "w.npz"})
    sha256 = hashlib.sha256(b"there").hexdigest()
    monkeypatch.chdir(folder)
    assert shipped.start_path == Path("w.npz") and shipped.start_sha256 == sha256
    (folder / "mlp-subtraction-31.toml").write_text(shipped.text)
    monkeypatch.chdir(tmp_path)
    mine = load("cards/mlp-subtraction-31.toml")
    assert mine.start_path.resolve() == folder / "w.npz" and mine.start_sha256 == sha256
    assert shipped.start_path == Path("w.npz") and shipped.start_sha256 == ""


# ----------------------------------------------------------------------------------------- evaluate


@pytest.mark.parametrize("engine", ENGINES)
def test_evaluate_prints_what_the_run_recorded(call, no_figures, engine):
    opened = trained(call)
    written(opened.weights(1, 50), ".npz")
    done = call("phasegrok", "evaluate", *WORDS, *setting(training__engine=engine), "--weights",
                "a.h5:step=20", "w.npz", "--out", "e.h5")
    assert done.code == 0, done.err
    curves, found = (runfile.read(name) for name in ("a.h5", "e.h5"))
    curves, group = curves["training"], found["evaluation"]
    for column, (replica, row) in enumerate(((0, 4), (1, 10))):
        for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "weight_norm"):
            np.testing.assert_allclose(group[name][column], curves[name][replica, row], rtol=2e-6)
    lines = done.out.splitlines()
    assert lines[0].split() == ["quantity", "a.h5:step=20", "w.npz", "unit"]
    assert lines[2].split()[-3:] == [f"{x:.8g}" for x in group["train_loss"]] + ["nat"]
    assert lines[-2].split()[-3:-1] == [f"{x:.8g}" for x in group["norm"]]
    assert group["sha256"][0] == hashlib.sha256(Path("a.h5").read_bytes()).hexdigest()
    assert found.attributes["card_name"] == "mlp-subtraction-31"
    assert phasegrok.open("e.h5").card.parameters.p == 13
    assert "evaluate, status done" in call("phasegrok", "inspect", "e.h5").out


@pytest.mark.parametrize("words, message", [
    (("--weights", "a.h5", "--out", "a.h5"), "a.h5 is there already: give another --out, or --for"),
    (("--weights", "a.h5:step=3"), "no weights of replica 0 at step 3"),
    (("--weights", "a.h5", "--set", "hidden=[31]"), r"U has the shape (13, 32), and this network"),
    (("--weights", "a.h5:replicas=3"), "--weights: \"a.h5:replicas=3\" is not FILE or"),
])
def test_evaluate_refuses_in_a_sentence(call, no_figures, words, message):
    trained(call)
    done = call("phasegrok", "evaluate", *WORDS, *words)
    assert done.code == 2 and len(done.errors) == 1 and message in done.errors[0]
    assert "needs a network system" in call("phasegrok", "evaluate", "ising-2d", "--weights",
                                            "a.h5").errors[0]


# ------------------------------------------------------------------------ networks of a user's own

TRAINING = """steps = 12
replicas = 2
eval_every = 6
snapshots = [0, 6]
"""
NAMES = """
class Named:
    def __init__(self, elements: int, second: str = "U_0"):
        self.shapes = {"U": (elements, 4), second: (4, elements)}

    def initial(self, rng):
        return rng.standard_normal(8 * self.shapes["U"][0])

    def scores(self, theta, inputs, targets):
        U, W = (x.reshape(s) for x, s in zip(theta.chunk(2), self.shapes.values()))
        logits = U[inputs[:, 0]] * U[inputs[:, 1]] @ W
        loss = nn.functional.cross_entropy(logits, targets, reduction="none")
        return loss, (logits.argmax(1) == targets).double()
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Writes a card with a network of the user's own, and its file, into an empty folder."""
    monkeypatch.setattr(compiled, "use_sources", lambda *files: None)  # no kernels stand there
    (tmp_path / "my_net.py").write_text(NET + NAMES)

    def make(name, kind, parameters):
        (tmp_path / "mine.toml").write_text(CARD.format(
            name=name, kind=kind, parameters=parameters, training=TRAINING))
        return tmp_path / "mine.toml"

    return make


def test_weights_of_an_own_module(call, no_figures, own):
    """Names with dots, a buffer and a frozen matrix; code of the file's card needs a word."""
    card = own("Student", "teacher", "layers = [3, 8, 2]\nn = 20\nn_test = 20")
    done = call("training", card, "--out", "a.h5")
    assert done.code == 0, done.err
    opened = phasegrok.open("a.h5")
    matrices = opened.weights(1, 6)
    assert set(matrices) == {"first.weight", "first.bias"}
    with pytest.raises(InputError, match=r"has code of its own, my_net\.py:Student: read it"):
        opened.to_torch()
    opened = phasegrok.open("a.h5", trust=True)
    module, network = opened.to_torch(1, 6), opened.card.build()
    assert set(module.state_dict()) == set(matrices)
    user = copy.deepcopy(network.form)
    user.load_state_dict(module.state_dict(), strict=False)
    x, y = map(torch.tensor, network.test)
    torch.testing.assert_close(module(x), user(x), rtol=1e-6, atol=1e-7)
    loss = (module(x) - y).double().square().mean().item()
    assert runfile.read("a.h5")["training"]["test_loss"][1, 1] == pytest.approx(loss, rel=2e-6)
    torch.save(module.state_dict(), "w.pt")
    assert call("training", card, "--set", "start_from=w.pt", "--out", "b.h5").code == 0
    np.testing.assert_array_equal(phasegrok.open("b.h5").weights(0, 0)["first.weight"],
                                  matrices["first.weight"])


def test_a_run_of_the_same_code_needs_no_word(call, no_figures, own):
    """The command line names the class; other code of a file needs ``--trust``."""
    card = own("Squares", "pairs", 'operation = "-"\np = 5')
    words = ("--set", "snapshots=none")
    assert call("training", card, *words, "--out", "a.h5").code == 0
    theta = runfile.read("a.h5", with_state=True).state["theta"]
    opened = phasegrok.open("a.h5", trust=True)
    module, user = opened.to_torch(1), type(opened.card.build().form)(5)
    user.load_state_dict(module.state_dict())  # as docs/weights.md says
    pairs = torch.tensor(opened.card.build().test.inputs)
    torch.testing.assert_close(module(pairs), user(pairs))
    evaluate = ("phasegrok", "evaluate", card, "--weights", "a.h5:replica=1")
    start = ("training", card, "--set", "start_from=a.h5:replica=1", "--set", "snapshots=[0]")
    assert call(*evaluate).code == 0
    assert call(*start, "--out", "b.h5").code == 0
    np.testing.assert_array_equal(phasegrok.open("b.h5").weights()["U"].ravel(),
                                  theta[1][: theta.shape[1] // 3])
    with open("my_net.py", "a") as file:
        file.write("\n# edited\n")
    for command in (evaluate, (*start, "--out", "c.h5")):
        done = call(*command)
        assert done.code == 2 and len(done.errors) == 1
        assert re.search(r"a\.h5 was made by code, .*my_net\.py, that is not that of mine as it is "
                         "now: read it, and give --trust to execute it", done.errors[0])
        assert call(*command, "--trust").code == 0


def test_a_matrix_may_be_called_as_an_axis_of_another(call, no_figures, own):
    card = own("Named", "pairs", 'operation = "-"\np = 5')
    assert call("training", card, "--out", "a.h5").code == 0
    run = runfile.read("a.h5")
    assert run["weights"].variables["U"].dims == ("snapshot", "replica", "U_0_", "U_1")
    matrices = phasegrok.open("a.h5").weights()
    assert {name: x.shape for name, x in matrices.items()} == {"U": (5, 4), "U_0": (4, 5)}
    done = call("training", card, "--set", "second=step", "--out", "b.h5")
    assert done.code == 2 and "the matrix step is called as a coordinate" in done.errors[0]
    module = phasegrok.open("a.h5", trust=True).to_torch()
    with pytest.raises(ValueError, match="Named has scores, and no outputs: write it as"):
        module(torch.zeros(1, 2, dtype=torch.int64))


# ------------------------------------------------------------------------------- docs/weights.md


def rows_of_the_page(kind):
    """Name and shape of every row of the table of a kind."""
    section = PAGE.split(f"### {kind}\n")[1].split("\n#")[0]
    return re.findall(r"^\| `(\w+)` \| `(.+?)` \|", section, re.MULTILINE)


def layout_of_the_page(kind, values, layers):
    """The layout that the page says, of a network with these sizes."""
    found, rows = {}, rows_of_the_page(kind)
    while rows:
        many = list(itertools.takewhile(lambda row: row[0].endswith("_l"), rows))
        for layer in layers if many else [0]:
            for name, shape in many or rows[:1]:
                found[re.sub("_l$", f"_{layer}", name)] = eval(shape, {}, values | {"l": layer})
        rows = rows[len(many) or 1 :]
    return found


@pytest.mark.parametrize("kind, network, values, layers", [
    *((kind, NETWORKS[kind], dict(n=5, d=8, h=2, m=8), layers)
      for kind, layers in (("modular-transformer", ()), ("modular-decoder", (1, 2)))),
    ("regression-mlp", NETWORKS["regression-mlp"], dict(k=[2, 4, 1]), (1, 2)),
    ("committee-machine", NETWORKS["committee-machine"], dict(N=4, D=3), ()),
    ("modular-mlp", mlp.Parameters(p=5, hidden=[7, 6], biases=True), dict(n=5, k=[10, 7, 6, 5]),
     (2, 3)),
], ids=lambda value: value if isinstance(value, str) else "")
def test_the_page_has_the_layout_of_every_kind(kind, network, values, layers):
    built = network.build() if isinstance(network, mlp.Parameters) else kinds.small(kind, "float32")
    expected = layout_of_the_page(kind, values, layers)
    assert list(expected.items()) == [(name, shape) for name, (_, shape) in built.layout.items()]
    theta = np.arange(built.n_parameters, dtype=np.float32)
    np.testing.assert_array_equal(
        np.concatenate([x.ravel() for x in named(built, theta).values()]), theta)
    assert set(NETWORKS) == set(re.findall("### (.+)", PAGE))


def test_the_examples_of_the_page_run(call, no_figures):
    def command(line):
        words = line.removeprefix("phasegrok run ").removeprefix("phasegrok ").split()
        name = words if "phasegrok run" in line else ["phasegrok", *words]
        return call(*name, *(["--steps", 70] if "run training" in line else []))

    done = command(re.search(r"`(phasegrok run training .*?)`", PAGE)[1])
    assert done.code == 0, done.err
    for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        exec(block, {})
    lines = re.findall(r"^phasegrok .*$", PAGE, re.MULTILINE)
    assert len(lines) == 3
    lines = [line.replace("step=63", f"step={step_of_run()}") for line in lines]
    for line in lines:
        done = command(line)
        assert done.code == 0, done.err
    cut = phasegrok.open("without.h5").weights()
    assert cut["U"].shape == (31, 128) and "accuracy on the test set" in done.out


def step_of_run():
    """A step that the short run of the page has."""
    return int(runfile.read("run.h5")["weights"]["step"][5, 2])
