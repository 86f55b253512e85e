"""Interrupted, killed, extended: a resumed run is the uninterrupted one, bit for bit."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from repository import EXPERIMENTS, MODELS

from phasegrok import cards, compiled
from phasegrok.run import job, runfile
from phasegrok.run.lock import Lock
from phasegrok.studies.density_of_states import density_of_states
from phasegrok.studies.relaxation import relaxation
from phasegrok.studies.sampling import sampling
from phasegrok.studies.training import training
from phasegrok.studies.waiting_times import clones

NETWORK = ("transformer-subtraction-31", *(word for value in (
    "p=7", "d_model=8", "heads=2", "mlp=16", "event.threshold=0.9", "event.hold=0")
    for word in ("--set", value)))
RUNS = {
    "temperature-ladder": ("density_of_states", "ising-2d", "--set", "L=4", "--sweeps", 3000,
                           "--walkers", 2),
    "wang-landau": ("density_of_states", "ising-2d", "--method", "wang-landau", "--set", "L=4",
                    "--sweeps", 3000, "--walkers", 2),
    "wang-landau-joint": ("effective_potential", "curie-weiss-p3", "--set", "N=20", "--sweeps",
                          3000, "--walkers", 2),
    "lattice-clones": ("waiting_times", "curie-weiss-p3", "--set", "N=30", "--clones", 12),
    "overdamped-clones": ("waiting_times", "control-saddle", "--clones", 8, "--temperature", 1e-2,
                          "--set", "event.threshold=1.25", "--set", "limit=200"),
    "sample": ("sample", "ising-2d", "--set", "L=4", "--set", "sample.replicas=8", "--set",
               "equilibration=200", "--set", "exchange=true", "--temperatures", "1.5:3:4",
               "--sweeps", 4000),
    "quench": ("relaxation", "glauber-chain", "--set", "N=64", "--set", "relaxation.replicas=16",
               "--sweeps", 2000),
    "ramp": ("relaxation", "glauber-chain", "--set", "N=64", "--set", "relaxation.replicas=16",
             "--set", "ramp=0.5:2:4", "--ramp", "--sweeps", 200),
    "training": ("training", *NETWORK, "--replicas", 2, "--steps", 600),
    "network-clones": ("waiting_times", *NETWORK, "--set", "plateau_accuracy=0.2", "--clones", 3,
                       "--temperature", 1e-3, "--set", "limit=500"),
}


# --- signals --------------------------------------------------------------------------------------


def assert_can_be_rewritten(path, differences) -> None:
    """What is read of a run file can be written, and is the same then."""
    run = runfile.read(path, with_state=True)
    runfile.write(Path("again.h5"), run)
    assert differences(path, "again.h5") == []
    assert runfile.read("again.h5").attributes == run.attributes


@pytest.mark.parametrize("name", RUNS)
def test_a_run_stopped_at_several_moments_is_the_same_run(call, no_figures, stop_at, differences,
                                                          name):
    """SIGTERM in the first block, in the second, in a later one; each time one command resumes."""
    assert call(*RUNS[name], "--out", "whole.h5").code == 0
    words = (*RUNS[name], "--out", "a.h5")
    for k in (1, 2, 4, 1):
        stop_at(k)
        stopped = call(*words, "--checkpoint", 0.01)
        assert stopped.code == 3, stopped.err
        assert stopped.err.splitlines()[-1] == (
            "interrupted; continue with: phasegrok resume a.h5")
        run = runfile.read("a.h5")
        assert run.attributes["status"] == "interrupted"
        assert os.listdir() and not [n for n in os.listdir() if n.endswith((".part", ".lock"))]
        words = ("phasegrok", "resume", "a.h5")
    stop_at(0)
    done = call(*words)
    assert done.code == 0 and runfile.read("a.h5").attributes["status"] == "done"
    assert differences("a.h5", "whole.h5") == []
    assert "resumed_after_change" not in runfile.read("a.h5").attributes
    assert_can_be_rewritten("a.h5", differences)


COMPARISON = ("compare_accounts", "control-drift", "curie-weiss-p3", "--quick", "--set",
              "clones=24", "--set", "scan_clones=8", "--set", "limit=50")


def test_a_comparison_is_resumed_from_any_of_its_files(call, no_figures, stop_at, differences,
                                                       tmp_path):
    small = ("--set", "density_of_states.sweeps=2000")
    assert call(*COMPARISON, *small, "--out", "whole").code == 0
    stop_at(2)
    stopped = call(*COMPARISON, *small, "--out", "cut")
    assert stopped.code == 3 and "phasegrok resume cut/verdict.h5" in stopped.err
    assert runfile.read("cut/verdict.h5").attributes["status"] == "interrupted"
    names = {str(p.relative_to("whole")) for p in Path("whole").rglob("*.h5")}
    assert "verdict.h5" in names and len(names) > 8
    for k in (12, 30):
        part = max(Path("cut").glob("*/*.h5"), key=lambda p: p.stat().st_mtime)
        stop_at(k)
        stopped = call("phasegrok", "resume", part)
        assert stopped.code == 3 and "resume cut/" in stopped.err.splitlines()[-1]
    stop_at(0)
    part = next(Path("cut").glob("control-drift/*.h5"))
    assert call("phasegrok", "resume", part).code == 0
    assert {str(p.relative_to("cut")) for p in Path("cut").rglob("*.h5")} == names
    for name in names:
        assert differences(Path("cut") / name, Path("whole") / name) == [], name
        assert runfile.read(Path("cut") / name).attributes["status"] == "done"
    # finished: shown, not run
    assert "finished" in call("phasegrok", "resume", part).err


def start(*words, cwd) -> subprocess.Popen:
    """A script or the command in a process of its own."""
    name, *arguments = map(str, words)
    program = ([str(EXPERIMENTS / f"{name}.py")] if name != "phasegrok" else
               ["-c", "from phasegrok.cli import main; main()"])
    return subprocess.Popen([sys.executable, *program, *arguments], cwd=cwd, text=True,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for_the_first_block(process) -> bool:
    """Until a progress line is there; False where the process ended without one."""
    for line in process.stderr:
        if " %  " in line:
            return True
    return False


LONG = ("density_of_states", "ising-2d", "--sweeps", 300_000, "--walkers", 4)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_a_process(call, tmp_path, number):
    """Answered within a block; the run's name is taken until then and free afterwards."""
    with start(*LONG, "--out", "a.h5", cwd=tmp_path) as process:
        assert wait_for_the_first_block(process)
        refused = call(*LONG, "--out", "a.h5")
        assert refused.code == 2 and "another process" in refused.errors[0]
        begin = time.monotonic()
        process.send_signal(number)
        text = process.stderr.read()
        assert process.wait() == 3 and time.monotonic() - begin < 5.0
    assert "stopping at the next checkpoint" in text
    assert text.splitlines()[-1] == "interrupted; continue with: phasegrok resume a.h5"
    assert runfile.read(tmp_path / "a.h5").attributes["status"] == "interrupted"


def test_a_second_signal_stops_at_once(tmp_path):
    with start(*LONG, "--out", "a.h5", "--checkpoint", 0.01, cwd=tmp_path) as process:
        assert wait_for_the_first_block(process)
        while not (tmp_path / "a.h5").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        text = process.stderr.read()
        assert process.wait() == 3
    assert "continue with: phasegrok resume a.h5" in text.splitlines()[-1]
    runfile.read(tmp_path / "a.h5")


DEAF = """
import hashlib
from phasegrok.run import stopping
stopping.catch_signals()
print("ready", flush=True)
hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
"""


def test_signals_are_answered_in_the_middle_of_a_call_of_minutes():
    """The first is answered at once, the second ends the process within two seconds."""
    with subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.stderr.readline() == "\n"
        assert process.stderr.readline() == "stopping at the next checkpoint ...\n"
        assert time.monotonic() - begin < 1.0
        time.sleep(1.2)
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.stderr.readline().startswith("stopped at once: the same command resumes")
        assert process.wait() == 3 and time.monotonic() - begin < 2.0


# --- kills ----------------------------------------------------------------------------------------


def reached(path) -> float:
    """How far a run file is, having checked that it is whole."""
    state = runfile.read(path, with_state=True).state
    return float(np.sum(np.maximum(state["counters"], 0)[:, 0]))


def kill_and_resume(words, kills, seed, tmp_path, differences, reference):
    """SIGKILL at random moments; the file stays whole and never goes back; the result is the same.

    A run that ends before it is killed is compared and begun again.
    """
    random.seed(seed)
    path = tmp_path / "a.h5"
    killed, before = 0, 0.0
    while killed < kills or path.exists():
        again = ("phasegrok", "resume", "a.h5") if path.exists() else (*words, "--out", "a.h5")
        with start(*again, "--checkpoint", 0.01, cwd=tmp_path) as process:
            if wait_for_the_first_block(process) and killed < kills:
                drain = threading.Thread(target=process.stderr.read)
                drain.start()
                time.sleep(random.uniform(0.0, 0.6))
                process.kill()
                drain.join()
            else:
                process.stderr.read()
            code = process.wait()
        if code == -signal.SIGKILL:
            killed += 1
            if path.exists():
                now = reached(path)
                assert now >= before
                before = now
        else:
            assert code == 0
            assert differences(path, reference) == []
            assert {p.name for p in tmp_path.iterdir() if p.suffix in (".part", ".lock")} == set()
            for left in tmp_path.glob("a.*"):
                left.unlink()
            before = 0.0
    assert killed == kills


def uninterrupted(words, cwd) -> Path:
    with start(*words, "--out", "whole.h5", cwd=cwd) as process:
        process.stderr.read()
        assert process.wait() == 0
    return cwd / "whole.h5"


KILLED = {
    "wang-landau": ("density_of_states", "ising-2d", "--method", "wang-landau", "--sweeps",
                    60_000, "--walkers", 4),
    "training": ("training", *NETWORK, "--replicas", 4, "--steps", 20_000),
    "lattice-clones": ("waiting_times", "curie-weiss-p3", "--set", "N=100", "--clones", 60),
}


def test_five_kills(tmp_path, differences):
    words = KILLED["wang-landau"]
    kill_and_resume(words, 5, 1, tmp_path, differences, uninterrupted(words, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("name", KILLED)
def test_fifty_kills(tmp_path, differences, name):
    words = KILLED[name]
    kill_and_resume(words, 50, 2, tmp_path, differences, uninterrupted(words, tmp_path))


WRITER = """
import sys
from pathlib import Path
import numpy as np
from phasegrok.run import lock, runfile
path = Path(sys.argv[1])
lock.Lock(path).acquire()
k = runfile.read(path).attributes["k"] if path.exists() else 0
while True:
    k += 1
    group = runfile.Group()
    group.add("x", np.full(20_000 + k, k), "x")
    runfile.write(path, runfile.RunFile({"k": k}, {"series": group}, {"k": np.full(20_000, k)}))
    print(k, flush=True)
"""


@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_kills_of_a_process_that_only_writes(tmp_path, kills):
    """Nearly every kill falls into a checkpoint; none that was acknowledged is lost."""
    random.seed(kills)
    path = tmp_path / "a.h5"
    for _ in range(kills):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE,
                              text=True) as process:
            process.stdout.readline()
            time.sleep(random.uniform(0.0, 0.2))
            process.kill()
            last = process.stdout.read().split()
        run = runfile.read(path, with_state=True)
        k = run.attributes["k"]
        assert k >= (int(last[-1]) if last else 1)
        assert run["series"]["x"].tolist() == [k] * (20_000 + k)
        assert run.state["k"].tolist() == [k] * 20_000
    lock = Lock(path)
    lock.acquire()
    lock.release()
    assert os.listdir(tmp_path) == ["a.h5"]


# --- blocks ---------------------------------------------------------------------------------------


SMALL = {"p": 7, "d_model": 8, "heads": 2, "mlp": 16, "plateau_accuracy": 0.2,
         "event.threshold": 0.9, "event.hold": 10.0, "waiting_times.limit": 300.0}
POTTS = {"L": 4, "q": 3, "event.observable": "largest colour fraction", "event.threshold": 0.9,
         "waiting_times.temperatures": [0.7], "waiting_times.dynamics": "metropolis", "limit": 200}


def network():
    return cards.load("transformer-subtraction-31", SMALL)


def weiss():
    return cards.load("curie-weiss-p3", {"N": 20, "event.hold": 2.0, "limit": 400})


def saddle():
    return cards.load("control-saddle", {"limit": 20, "event.threshold": 1.2, "event.hold": 0.01})


SPINS = """
name = "spins"
title = "small lattice"
kind = "ising-2d"
reference = "none"
[parameters]
L = 4
[observables]
energy = "E"
order_parameter = "M"
[sample]
temperatures = "1.2:3.4:4"
equilibration = 87
replicas = 8
[relaxation]
temperature = 1.5
replicas = 4
ramp = "1.0:3.0:3"
"""


def spins(**changes):
    return cards.from_text(SPINS, Path(), changes)


PROTOCOLS = {
    "wang-landau": lambda: density_of_states(
        cards.load("ising-2d", {"L": 4}), 400, 3, "wang-landau"),
    "wang-landau-in-windows": lambda: density_of_states(
        cards.load("ising-2d", {"L": 4, "windows": 3}), 400, 3, "wang-landau"),
    "temperature-ladder": lambda: density_of_states(
        cards.load("ising-2d", {"L": 4}), 4000, 3, "ladder"),
    "wang-landau-joint": lambda: density_of_states(
        cards.load("ising-perceptron", {"N": 11, "P": 11}), 400, 3, joint=True),
    "lattice-clones": lambda: clones(weiss(), 1.0, 9),
    "metropolis-clones": lambda: clones(cards.load("potts-2d-q10", POTTS), 0.7, 5),
    "overdamped-clones": lambda: clones(saddle(), 2e-2, 7),
    "clones-of-coordinates": lambda: clones(cards.load("phi4-double-well", {
        "waiting_times.limit": 20.0}), 0.4, 5),
    "ladder-of-coordinates": lambda: density_of_states(cards.load("phi4-chain", {
        "L": 4, "sample.equilibration": 40}), 200),
    "quench-of-coordinates": lambda: relaxation(cards.load("xy-2d", {
        "L": 4, "relaxation.replicas": 4}), sweeps=150),
    "quench-of-a-lattice-gas": lambda: relaxation(cards.load("lattice-gas-2d-coarsening", {
        "L": 8, "relaxation.replicas": 4}), sweeps=150),
    "canonical": lambda: sampling(spins(), sweeps=180),
    "exchange": lambda: sampling(spins(**{"sample.exchange": True}), sweeps=260),
    "exchange-of-clusters": lambda: sampling(
        spins(**{"sample.exchange": True, "sample.dynamics": "wolff"}), sweeps=150),
    "exchange-one-at-a-time": lambda: sampling(
        spins(**{"kind": "potts-2d", "parameters.q": 3, "sample.exchange": True}), sweeps=150),
    "quench": lambda: relaxation(spins(), sweeps=150),
    "quench-in-words": lambda: relaxation(spins(**{"relaxation.replicas": 512}), sweeps=150),
    "ramp": lambda: relaxation(spins(), ramp=True, sweeps=13),
    "noise-free": lambda: clones(saddle(), 0.0, 1),
    "training": lambda: training(network(), 3, 200),
    "network-clones": lambda: clones(network(), 1e-3, 3),
}


_SMALL_BLOCKS = 60


@pytest.mark.parametrize("name", PROTOCOLS)
def test_blocks_and_checkpoints_do_not_matter(tmp_path, name):
    """Any division into blocks, with any checkpoints between, gives the same state and result.

    After many small blocks the rest is made in few, since a checkpoint of each takes a while.
    """
    protocol = PROTOCOLS[name]()
    once = protocol.init(5)
    while protocol.done(once) < protocol.total():
        protocol.advance(once, protocol.total())
    randomness = random.Random(name)
    for sizes in ([1, 1, 2, 3], [1, 7, 20, 50], [2, 3, 5]):
        state = protocol.init(5)
        blocks = 0
        while protocol.done(state) < protocol.total():
            rest = max(1, protocol.total() // 3)
            protocol.advance(state, randomness.choice(sizes) if blocks < _SMALL_BLOCKS else rest)
            blocks += 1
            if randomness.random() < 0.2:
                groups, saved = protocol.result(state), runfile.pack_dataclass(state)
                runfile.write(tmp_path / "a.h5", runfile.RunFile({}, groups, saved))
                protocol = PROTOCOLS[name]()
                state = protocol.restore(runfile.read(tmp_path / "a.h5", with_state=True).state)
        assert blocks > 3 or max(sizes) > 3
        assert runfile.pack_dataclass(state).keys() == runfile.pack_dataclass(once).keys()
        for key, value in runfile.pack_dataclass(once).items():
            found = np.asarray(getattr(state, key))
            assert found.dtype == np.asarray(value).dtype and np.array_equal(
                found, value, equal_nan=found.dtype.kind == "f"), key
        for key, group in protocol.result(once).items():
            other = protocol.result(state)[key]
            assert repr(group.attributes) == repr(other.attributes)
            for variable in group.variables:
                assert group[variable].tobytes() == other[variable].tobytes(), variable


# --- extension ------------------------------------------------------------------------------------


def test_more_sweeps_extend_production(call, no_figures, stop_at, differences):
    """Twice the total in one resume, and in several pieces: what was learned stays frozen."""
    words = RUNS["wang-landau"]
    for name in ("a.h5", "b.h5"):
        assert call(*words, "--out", name).code == 0
    first = runfile.read("a.h5", with_state=True)
    assert call("phasegrok", "resume", "a.h5", "--sweeps", 6000).code == 0
    second = runfile.read("a.h5", with_state=True)
    density = second["density_of_states"].attributes
    assert density["sweeps"] == 6000 and density["learning_sweeps"] == 1500
    assert np.array_equal(first.state["log_g"], second.state["log_g"])
    made = second.state["visits"].sum(axis=(1, 2, 3)) - first.state["visits"].sum(
        axis=(1, 2, 3))
    assert made.tolist() == [3000 * 16] * 2
    assert np.all(second.state["visits"] >= first.state["visits"])
    stop_at(2)
    assert call("phasegrok", "resume", "b.h5", "--sweeps", 6000).code == 3
    stop_at(0)
    assert call("phasegrok", "resume", "b.h5").code == 0  # the total is on the file
    assert differences("a.h5", "b.h5") == []
    raw = Path("a.h5").read_bytes()
    refused = call("phasegrok", "resume", "a.h5", "--sweeps", 5000)
    assert refused.code == 2 and "6000" in refused.errors[0]
    assert "finished" in call("phasegrok", "resume", "a.h5", "--sweeps", 6000).err
    assert Path("a.h5").read_bytes() == raw


def test_a_total_from_the_card_is_extended_too(call, no_figures):
    words = ("density_of_states", "ising-2d", "--set", "L=4", "--set", "sweeps=2000")
    assert call(*words, "--out", "a.h5").code == 0
    assert call("phasegrok", "resume", "a.h5", "--sweeps", 3000).code == 0
    assert runfile.read("a.h5")["density_of_states"].attributes["sweeps"] == 3000
    # the same command finds the run, and does not cut it
    assert "finished" in call(*words, "--out", "a.h5").err
    assert runfile.read("a.h5")["density_of_states"].attributes["sweeps"] == 3000


def test_an_interrupted_run_is_not_cut_short(call, no_figures, stop_at):
    words = RUNS["training"]
    stop_at(3)
    assert call(*words, "--out", "a.h5").code == 3
    stop_at(0)
    for again in (("phasegrok", "resume", "a.h5", "--steps", 300),
                  (*words[:-2], "--steps", 300, "--out", "a.h5")):
        refused = call(*again)
        assert refused.code == 2 and "600 or more" in refused.errors[0], refused.err
    assert runfile.read("a.h5").attributes["status"] == "interrupted"


def test_more_steps_extend_a_training_to_the_longer_one(call, no_figures, differences):
    words = RUNS["training"][:-2]
    assert call(*words, "--steps", 100, "--out", "a.h5").code == 0
    assert call("phasegrok", "resume", "a.h5", "--steps", 300).code == 0
    assert call(*words, "--steps", 300, "--out", "whole.h5").code == 0
    assert differences("a.h5", "whole.h5") == []


@pytest.mark.parametrize("name", ["sample", "quench"])
def test_more_sweeps_extend_replicas_to_the_longer_run(call, no_figures, stop_at, differences,
                                                       name):
    """In two steps, the second interrupted."""
    words = RUNS[name][:-1]
    assert call(*words, 1300, "--out", "a.h5").code == 0
    assert call("phasegrok", "resume", "a.h5", "--sweeps", 2000).code == 0
    stop_at(2)
    more = call("phasegrok", "resume", "a.h5", "--sweeps", 3100, "--checkpoint", 0.01)
    assert more.code in (0, 3)  # 0 where it was done before the second block
    stop_at(0)
    assert call("phasegrok", "resume", "a.h5").code == 0
    assert call(*words, 3100, "--out", "whole.h5").code == 0
    assert differences("a.h5", "whole.h5") == []


def test_a_ramp_is_not_extended(call, no_figures):
    """Its rates are halves of the total: another total is another run."""
    words = RUNS["ramp"]
    assert call(*words, "--out", "a.h5").code == 0
    raw = Path("a.h5").read_bytes()
    for sweeps in (250, 5000):
        refused = call("phasegrok", "resume", "a.h5", "--sweeps", sweeps)
        assert refused.code == 2 and len(refused.errors) == 1, refused.err
        assert Path("a.h5").read_bytes() == raw
    assert "start another run" in refused.errors[0]


# --- changed sources ------------------------------------------------------------------------------


def test_a_changed_script_is_refused_and_force_records_it(call, no_figures, stop_at, tmp_path,
                                                          differences):
    script = tmp_path / "mine.py"
    shutil.copy(EXPERIMENTS / "density_of_states.py", script)
    words = (script, *RUNS["wang-landau"][1:])
    stop_at(3)
    assert call(*words, "--out", "a.h5").code == 3
    stop_at(0)
    raw = Path("a.h5").read_bytes()
    script.write_text(script.read_text() + "# another version\n")
    for again in (("phasegrok", "resume", "a.h5", "--trust"), (script, "--resume", "a.h5"),
                  (*words, "--out", "a.h5")):
        refused = call(*again)
        assert refused.code == 2 and "script has changed" in refused.errors[0]
        assert "--force" in refused.errors[0] and Path("a.h5").read_bytes() == raw
    before = runfile.read("a.h5").attributes["script_sha256"]
    assert call(script, "--resume", "a.h5", "--force").code == 0
    assert runfile.read("a.h5").attributes["resumed_after_change"] == f"script was {before}"
    assert call("phasegrok", "resume", "a.h5", "--sweeps", 4000, "--trust").code == 0
    assert runfile.read("a.h5").attributes["resumed_after_change"] == f"script was {before}"


def test_a_comparison_notices_a_change_of_the_code_of_a_card(call, no_figures, stop_at, tmp_path,
                                                             monkeypatch):
    monkeypatch.setattr(compiled, "use_sources", lambda *files: None)  # the kernels are ours
    monkeypatch.setattr("phasegrok.own_code.executed_files", set())
    code = tmp_path / "mine.py"
    code.write_text("from phasegrok.systems.testsystems import Parameters\n\n\n"
                    "class Mine(Parameters):\n    pass\n")
    text = (MODELS / "control-drift.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace(
        'kind = "overdamped-1d"', 'kind = "mine"\ncode = "mine.py:Mine"\nfamily = "overdamped"'))
    words = ("compare_accounts", "mine.toml", "--quick", "--set", "clones=24", "--set",
             "scan_clones=8", "--out", "cut")
    stop_at(4)
    assert call(*words).code == 3
    stop_at(0)
    statuses = {path: runfile.read(path).attributes["status"]
                for path in Path("cut").rglob("*.h5")}
    assert list(statuses.values()).count("interrupted") == 2  # the comparison and a part of it
    code.write_text(code.read_text() + "# edited\n")
    for again in (("phasegrok", "resume", "cut/verdict.h5", "--trust"), words):
        refused = call(*again)
        assert refused.code == 2 and "code has changed" in refused.errors[0], refused.err
    assert call("phasegrok", "resume", "cut/verdict.h5", "--force", "--trust").code == 0
    for path, status in statuses.items():
        mixed = runfile.read(path).attributes.get("resumed_after_change", "")
        assert mixed.startswith("code was ") == (status == "interrupted"), path


def test_a_checkpoint_of_another_version_is_refused(call, no_figures, stop_at):
    stop_at(3)
    assert call(*RUNS["wang-landau"], "--out", "a.h5").code == 3
    stop_at(0)
    run = runfile.read("a.h5", with_state=True)
    run.state["weights"] = run.state.pop("log_g")
    run.attributes.pop("Conventions")
    runfile.write(Path("a.h5"), run)
    refused = call("phasegrok", "resume", "a.h5")
    assert refused.code == 2 and "another version of phasegrok" in refused.errors[0]


def test_a_file_of_no_script_is_not_resumed(call):
    runfile.write(Path("a.h5"), runfile.RunFile({"title": "made by hand"}, {}))
    refused = call("phasegrok", "resume", "a.h5")
    assert refused.code == 2 and "nothing to resume" in refused.errors[0]


def test_a_checkpoint_that_cannot_be_written_does_not_stop_the_run(call, no_figures, monkeypatch,
                                                                   differences):
    """Room may be made meanwhile; here it is, before the end."""
    words = RUNS["training"]
    assert call(*words, "--out", "whole.h5").code == 0
    replace, failures = os.replace, [2]

    def full(source, target):
        failures[0] -= 1
        if failures[0] >= 0:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(runfile.os, "replace", full)
    monkeypatch.setattr(job, "OVERHEAD", 0.0)
    done = call(*words, "--out", "a.h5", "--checkpoint", 1e-9)
    assert done.code == 0 and done.err.count("warning: cannot write") == 2
    assert differences("a.h5", "whole.h5") == []


# --- scans with text in their points --------------------------------------------------------------

OPTIMISERS = ("optimisers", *NETWORK[1:9], "--set", "training.replicas=2", "--set",
              "training.steps=60", "--set", 'optimisers.names=["adamw","sgd"]', "--set",
              "optimisers.settings={sgd={lr=0.01,weight_decay=0.0}}")


def test_a_scan_whose_points_hold_text_is_resumed(call, no_figures, stop_at, differences):
    """By the scan and by a point of it; its groups hold names of matrices and of optimisers."""
    assert call(*OPTIMISERS, "--out", "whole").code == 0
    words = (*OPTIMISERS, "--out", "cut")
    for k, again in ((3, "cut/scan.h5"), (2, "cut/adamw.h5"), (2, "cut/scan.h5")):
        stop_at(k)
        stopped = call(*words, "--checkpoint", 1e-9)
        assert stopped.code == 3, stopped.err
        words = ("phasegrok", "resume", again)
    stop_at(0)
    assert call(*words).code == 0
    names = sorted(path.name for path in Path("whole").glob("*.h5"))
    assert names == sorted(path.name for path in Path("cut").glob("*.h5")) and len(names) == 3
    for name in names:
        assert differences(f"cut/{name}", f"whole/{name}") == [], name
        assert_can_be_rewritten(f"cut/{name}", differences)


def test_a_point_whose_process_was_killed_is_run_again(call, no_figures, stop_at, differences):
    """Its file says that it runs, with text in it, and nobody does."""
    assert call(*OPTIMISERS, "--out", "whole").code == 0
    stop_at(3)
    assert call(*OPTIMISERS, "--out", "cut", "--checkpoint", 1e-9).code == 3
    stop_at(0)
    run = runfile.read("cut/adamw.h5", with_state=True)
    run.attributes |= {"status": "running", "starts": 2}
    runfile.write(Path("cut/adamw.h5"), run)
    assert call("phasegrok", "resume", "cut/scan.h5").code == 0
    assert differences("cut/adamw.h5", "whole/adamw.h5") == []


# --- links and names ------------------------------------------------------------------------------


def test_a_run_behind_links_is_one_run(call, no_figures, stop_at, differences):
    """A link to a folder and a link to a file that is not there yet; the lock stands there too."""
    words = RUNS["wang-landau"]
    assert call(*words, "--out", "whole.h5").code == 0
    Path("there").mkdir()
    Path("folder").symlink_to("there")
    Path("link.h5").symlink_to("there/a.h5")
    again = (*words, "--out", "link.h5")
    for path in ("link.h5", "folder/a.h5", "there/a.h5"):
        stop_at(1)
        assert call(*again).code == 3
        again = ("phasegrok", "resume", path)
    stop_at(0)
    held = Lock(Path("there/a.h5"))
    held.acquire()
    assert "another process" in call(*again[:2], "link.h5").errors[0]
    held.release()
    assert call(*again).code == 0 and Path("link.h5").is_symlink()
    assert "finished" in call(*words, "--out", "folder/a.h5").err
    assert [p.name for p in Path("there").iterdir()] == ["a.h5"]
    assert differences("there/a.h5", "whole.h5") == []


def test_a_scan_in_a_linked_folder_is_one_scan(call, no_figures, stop_at):
    Path("there").mkdir()
    Path("folder").symlink_to("there")
    stop_at(3)
    assert call(*OPTIMISERS, "--out", "folder").code == 3
    stop_at(0)
    assert call("phasegrok", "resume", "there/scan.h5").code == 0
    assert sorted(p.name for p in Path("there").iterdir()) == ["adamw.h5", "scan.h5", "sgd.h5"]
    assert "finished" in call("phasegrok", "resume", "folder/adamw.h5").err


@pytest.mark.parametrize("name", ["x.png", "x.PDF", "x.svg"])
def test_a_run_is_not_called_as_a_figure(call, name):
    refused = call(*RUNS["wang-landau"], "--out", name)
    assert refused.code == 2 and "the name of a figure" in refused.errors[0]
    assert not Path(name).exists()


def test_figures_of_names_with_points_do_not_share_a_file(call):
    done = [call(*RUNS["wang-landau"], "--out", name, "--seed", seed)
            for seed, name in ((1, "run_T2.27"), (2, "run_T2.35"))]
    assert [d.code for d in done] == [0, 0]
    assert sorted(p.name for p in Path().iterdir()) == [
        f"run_T2.{k}{ending}" for k in (27, 35) for ending in ("", ".pdf", ".png")]
    for name in ("run_T2.27", "run_T2.35"):
        assert f"figure   {name}.png" in "".join(d.out for d in done)
        runfile.read(name)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # E^2 overflows
def test_a_finished_run_survives_a_figure_that_cannot_be_drawn(call):
    done = call(*RUNS["wang-landau"], "--set", "J=1e300", "--out", "a.h5")
    assert done.code == 0 and "Traceback" not in done.err
    assert "warning: a.h5 is whole, but cannot be drawn" in done.err
    assert done.out.splitlines()[-1] == "run file a.h5"
    assert runfile.read("a.h5").attributes["status"] == "done"
    plotted = call("phasegrok", "plot", "a.h5")
    assert plotted.code == 2 and len(plotted.errors) == 1 and not Path("a.png").exists()


def test_a_finished_run_survives_a_table_that_cannot_be_printed(call, no_figures, monkeypatch):
    from phasegrok import figures

    def broken(run):
        raise OverflowError("a number that nobody thought of")

    monkeypatch.setattr(figures, "summary", broken)
    done = call(*RUNS["wang-landau"], "--out", "a.h5")
    assert done.code == 0 and "its table cannot be printed: OverflowError" in done.err
