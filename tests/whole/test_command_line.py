"""The command line of the scripts and of ``phasegrok``: what is said, written and refused."""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray
from repository import EXPERIMENTS, MODELS

from phasegrok import cards, compiled
from phasegrok.run import job, options, runfile, stopping
from phasegrok.run.lock import Lock
from phasegrok.studies.training import training

SCRIPTS = sorted(path.stem for path in EXPERIMENTS.glob("*.py"))

ISING = ("density_of_states", "ising-2d", "--set", "L=4", "--sweeps", 2000, "--walkers", 2)
WEISS = ("curie-weiss-p3", "--set", "N=20")
POTENTIAL = ("effective_potential", *WEISS, "--sweeps", 2000, "--walkers", 2)
NETWORK = ("transformer-subtraction-31", *(word for size in (
    "p=7", "d_model=8", "heads=2", "mlp=16") for word in ("--set", size)))
TRAINING = ("training", *NETWORK, "--replicas", 2, "--steps", 40)
SAMPLE = ("sample", "ising-2d", "--set", "L=4", "--set", "sample.replicas=8", "--set",
          "equilibration=100", "--set", "exchange=true", "--temperatures", "2:3:3", "--sweeps", 600)
GLASS = ("sample", "edwards-anderson-3d", "--set", "L=3", "--set", "sample.replicas=4", "--set",
         "equilibration=100", "--temperatures", "1.5,2.5", "--sweeps", 600, "--samples", 3)
CHAIN = ("relaxation", "glauber-chain", "--set", "N=64", "--set", "relaxation.replicas=16")
QUENCH = (*CHAIN, "--sweeps", 100)
RAMP = (*CHAIN, "--ramp", "--sweeps", 8)
WAITING = ("waiting_times", *WEISS, "--clones", 10)


# --- help -----------------------------------------------------------------------------------------

HEAVY = ("numba", "torch", "h5py", "matplotlib", "scipy", "numpy", "pydantic", "xarray")
HELP = """
import runpy, sys
script = sys.argv[1]
sys.argv = [script, *sys.argv[2:]]
try:
    runpy.run_path(script, run_name="__main__")
except SystemExit as end:
    assert not end.code
print("loaded:", *[name for name in sys.modules if "." not in name], file=sys.stderr)
"""


@pytest.mark.parametrize("script", [*SCRIPTS, "phasegrok"])
def test_help_is_instant(script, tmp_path):
    """Wall time of a whole process: the best of five, as the machine may be busy."""
    path = tmp_path / "phasegrok.py"
    if script == "phasegrok":
        path = tmp_path / "command.py"
        path.write_text("from phasegrok.cli import main\nmain()\n")
    else:
        path = EXPERIMENTS / f"{script}.py"
    seconds = []
    for _ in range(5):
        begin = time.monotonic()
        done = subprocess.run([sys.executable, str(path), "--help"], capture_output=True, text=True)
        seconds.append(time.monotonic() - begin)
        assert done.returncode == 0 and done.stdout
        if seconds[-1] < 0.5:
            break
    assert min(seconds) < 0.5
    done = subprocess.run([sys.executable, "-c", HELP, str(path), "--help"], capture_output=True,
                          text=True)
    loaded = done.stderr.split("loaded:")[1].split()
    assert not set(HEAVY) & set(loaded)


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_names_the_common_options(call, script):
    text = call(script, "--help").out
    for option in ("--set", "--seed", "--out", "--checkpoint", "--quick", "--force"):
        assert option in text
    doc = (EXPERIMENTS / f"{script}.py").read_text().split('"""')[1]
    assert doc.splitlines()[0] in text


def test_the_command_without_arguments(call):
    empty = call("phasegrok")
    assert empty.code == 2 and "phasegrok resume FILE" in empty.out
    assert call("phasegrok", "--help").out == empty.out
    assert call("phasegrok", "--version").out.startswith("phasegrok ")
    wrong = call("phasegrok", "inspekt")
    assert wrong.code == 2 and len(wrong.errors) == 1 and "inspect" in wrong.errors[0]
    assert call("phasegrok", "run").out.count("\n") >= len(SCRIPTS)
    for words, near in ((("modles",), "did you mean models?"), (("instpect", "a.h5"), "inspect?"),
                        (("run", "densty_of_states"), "did you mean density_of_states?"),
                        (("theory", "isng"), "did you mean")):
        wrong = call("phasegrok", *words)
        assert wrong.code == 2 and len(wrong.errors) == 1 and near in wrong.errors[0], wrong.err
    wrong = call("phasegrok", "run", "no_such")
    assert wrong.code == 2 and "density_of_states" in wrong.errors[0]


def test_models_lists_every_card(call):
    listed = call("phasegrok", "models")
    assert listed.code == 0
    for path in MODELS.glob("*.toml"):
        assert re.search(rf"^{path.stem} ", listed.out, re.MULTILINE)
    assert "invalid" not in listed.out
    assert call("phasegrok", "models", "extra").code == 2


# --- what runs write ------------------------------------------------------------------------------

COORDINATES = {
    "density_of_states": {"energy"}, "thermodynamics": {"temperature"},
    "effective_potential": {"temperature", "order_parameter"}, "training": {"replica", "step"},
    "waiting_times": {"clone"}, "averages": {"temperature"},
    "equilibration": {"temperature", "time"}, "overlap": {"temperature", "overlap", "sample"},
    "replica_exchange": {"temperature", "pair", "ladder"}, "reweighted": {"temperature"},
    "samples": {"sample"}, "relaxation": {"time"},
    "ramp": {"temperature", "sweeps_per_temperature"},
    "two_time_overlap": {"waiting_time", "time_since"}}
NAMES = {
    "density_of_states": {"log_g", "log_g_err"},
    "thermodynamics": {"mean_energy", "heat_capacity", "entropy", "free_energy"},
    "effective_potential": {"potential", "potential_err", "barrier", "barrier_err"},
    "training": {"train_loss", "test_loss", "train_accuracy", "test_accuracy", "weight_norm",
                 "memorisation_step", "generalisation_step_50", "generalisation_step_95"},
    "waiting_times": {"time", "censored"},
    "averages": {"energy", "heat_capacity", "order_parameter_abs", "susceptibility", "binder",
                 "overlap_squared", "tau_energy", "equilibrated"},
    "equilibration": {"energy_random", "energy_ordered"}, "overlap": {"density", "mean_density"},
    "replica_exchange": {"acceptance", "round_trips"}, "samples": {"couplings"},
    "reweighted": {"energy", "heat_capacity", "susceptibility", "binder"},
    "relaxation": {"energy", "exact_energy", "pair_overlap_squared"},
    "two_time_overlap": {"overlap", "exact_overlap", "relaxation_time"},
    "ramp": {"energy_cooling", "energy_heating", "order_parameter_cooling"}}
ATTRIBUTES = {"density_of_states": {"complete", "measure"}, "effective_potential": {"per"},
              "thermodynamics": set(), "training": set(), "waiting_times": {"temperature"},
              "averages": {"converged", "converged_reason", "dynamics", "samples"},
              "relaxation": {"temperature", "dynamics", "start"}}
ROOT_ATTRIBUTES = {
    "Conventions", "title", "run_id", "card", "experiment", "script_sha256", "parameters",
    "command_line", "git_commit", "versions", "hostname", "cpu", "device", "seed", "started",
    "updated", "wall_s", "units", "references", "status"}


@pytest.mark.parametrize("words, groups", [
    (ISING, ["density_of_states", "thermodynamics"]),
    ((*ISING, "--joint"), ["density_of_states", "thermodynamics"]),
    (POTENTIAL, ["density_of_states", "thermodynamics", "effective_potential"]),
    (TRAINING, ["training"]),
    (WAITING, ["waiting_times"]),
    (SAMPLE, ["averages", "equilibration", "overlap", "replica_exchange", "reweighted"]),
    (GLASS, ["averages", "equilibration", "overlap", "samples"]),
    (QUENCH, ["relaxation", "two_time_overlap"]),
    (RAMP, ["ramp"]),
], ids=["density_of_states", "joint", "effective_potential", "training", "waiting_times", "sample",
        "samples", "quench", "ramp"])
def test_a_run_writes_what_is_promised(call, tmp_path, words, groups):
    done = call(*words, "--out", "new/folder/a.h5", "--seed", 5)
    path = tmp_path / "new" / "folder" / "a.h5"
    assert done.code == 0 and "run file new/folder/a.h5" in done.out
    run = runfile.read(path)
    assert run.attributes.keys() >= ROOT_ATTRIBUTES
    assert run.attributes["status"] == "done" and run.attributes["seed"] == 5
    assert run.attributes["experiment"] == words[0]
    assert cards.from_text(run.attributes["card"], MODELS).name == words[1]
    assert json.loads(run.attributes["versions"]).keys() >= {"python", "numpy", "numba", "h5py"}
    assert run.attributes["command_line"].endswith("--out new/folder/a.h5 --seed 5")
    assert set(groups) <= run.groups.keys()
    for name in groups:
        wanted = COORDINATES[name] | ({"order_parameter"} if "--joint" in words
                                      and name == "density_of_states" else set())
        check_group(run[name], name, wanted)
    # the file as others read it
    tree = xarray.open_datatree(path)
    for name in groups:
        assert COORDINATES[name] <= set(tree[name].coords)
    # no part, no lock; a figure beside the file
    left = {p.name for p in path.parent.iterdir()}
    assert left == {"a.h5", "a.png", "a.pdf"}
    described = call("phasegrok", "inspect", path)
    assert described.code == 0 and all(f"/{name}" in described.out for name in groups)
    (path.parent / "a.png").unlink()
    drawn = call("phasegrok", "plot", path)
    assert drawn.code == 0 and (path.parent / "a.png").stat().st_size > 5000


def check_group(group, name, coordinates):
    """Names, dimensions, units and meanings of a group."""
    for coordinate in coordinates:
        assert group.variables[coordinate].dims == (coordinate,)
    assert NAMES[name] <= group.variables.keys()
    assert ATTRIBUTES.get(name, set()) <= group.attributes.keys()
    for key, variable in group.variables.items():
        assert variable.units and variable.long_name, f"{name}/{key}"
        assert len(variable.dims) == np.ndim(variable.data)
    if name in ("thermodynamics", "reweighted", "relaxation", "ramp"):
        assert all(f"{key}_err" in group for key in NAMES[name] if not key.startswith("exact"))
    if name == "density_of_states":
        finite = group["log_g"][np.isfinite(group["log_g"])]
        assert np.logaddexp.reduce(finite) == pytest.approx(
            group.attributes["log_n_states"], abs=1e-9)
    if name == "effective_potential":
        assert np.nanmin(group["potential"], axis=1) == pytest.approx(0.0, abs=1e-12)


def test_temperatures_of_the_command_line(call, no_figures):
    assert call(*ISING, "--temperatures", "2:3:5", "--out", "a.h5").code == 0
    T = runfile.read("a.h5")["thermodynamics"]["temperature"]
    assert T.tolist() == [2.0, 2.25, 2.5, 2.75, 3.0]


def test_an_instance_of_the_user_is_copied_to_the_file(call, no_figures, tmp_path):
    (tmp_path / "bonds.csv").write_text("site_a,site_b,J\n0,1,1\n1,2,-1\n2,3,1\n3,0,1\n")
    (tmp_path / "ring.toml").write_text(
        'name = "ring"\ntitle = "ring"\nkind = "ising-graph"\nreference = "none"\n'
        '[parameters]\n[observables]\nenergy = "E"\norder_parameter = "M"\n'
        '[data]\nfile = "bonds.csv"\n')
    run = ("density_of_states", "ring.toml", "--sweeps", 20000, "--temperatures", "1:2:2")
    assert call(*run, "--out", "a.h5").code == 0
    found = runfile.read("a.h5")
    assert found["system"]["bonds"].tolist() == [[0, 1, 1], [1, 2, -1], [2, 3, 1], [3, 0, 1]]
    density = found["density_of_states"]
    # a frustrated ring of four: one or three bonds of four are broken, 8 states each
    assert density["energy"].tolist() == [-2.0, 2.0]
    z = (density["log_g"] - np.log(8.0)) / density["log_g_err"]
    assert np.all(density["log_g_err"] < 0.02) and np.all(np.abs(z) < 5)
    # the run can be extended where the instance's file is gone, and not by another instance
    (tmp_path / "bonds.csv").unlink()
    assert call("phasegrok", "resume", "a.h5", "--sweeps", 30000).code == 0
    (tmp_path / "bonds.csv").write_text("0,1,1\n1,2,1\n2,3,1\n3,0,1\n")
    refused = call(*run, "--out", "a.h5")
    assert refused.code == 2 and "another run" in refused.errors[0]


COLD = ("waiting_times", "control-drift", "--clones", "2")


@pytest.mark.slow
def test_compilation_is_announced_once_where_it_happens(tmp_path):
    """An empty cache, a full one, and one that lacks the kernels of another protocol."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def announced(*words):
        script = EXPERIMENTS / f"{words[0]}.py"
        done = subprocess.run([sys.executable, str(script), *words[1:]], cwd=tmp_path,
                              env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stderr.count("compiling kernels")

    assert announced(*COLD, "--out", "a.h5") == 1
    assert announced(*COLD, "--out", "b.h5") == 0
    assert announced("waiting_times", *WEISS, "--clones", "2", "--out", "c.h5") == 1


# --- names and repetition -------------------------------------------------------------------------


def test_a_finished_run_is_shown_again(call, no_figures, tmp_path):
    first = call(*ISING)
    (path,) = (tmp_path / "runs").glob("*.h5")
    assert re.fullmatch(r"density_of_states-ising-2d-[0-9a-f]{10}\.h5", path.name)
    raw = path.read_bytes()
    again = call(*ISING)
    assert again.code == 0 and "finished" in again.err
    assert path.read_bytes() == raw
    assert again.out.splitlines()[:5] == first.out.splitlines()[:5]
    for other in (("--seed", 2), ("--set", "h=0.5"), ("--joint",)):
        assert call(*ISING, *other).code == 0
    assert len(list((tmp_path / "runs").glob("*.h5"))) == 4


def test_an_interrupted_run_is_resumed_by_the_same_command(call, no_figures, tmp_path, differences):
    assert call(*ISING, "--out", "whole.h5").code == 0
    stopping.received.append(15)  # as the handler does
    stopped = call(*ISING)
    assert stopped.code == 3
    (path,) = (tmp_path / "runs").glob("*.h5")
    assert f"phasegrok resume {path}" in stopped.err
    assert runfile.read(path).attributes["status"] == "interrupted"
    stopping.received.clear()
    done = call(*ISING)
    assert done.code == 0 and runfile.read(path).attributes["status"] == "done"
    assert differences(path, "whole.h5") == []


def test_out_of_another_run_is_refused_and_force_replaces(call, no_figures, tmp_path):
    assert call(*ISING, "--out", "a.h5").code == 0
    raw = (tmp_path / "a.h5").read_bytes()
    for other in ((*ISING, "--seed", 2), (*ISING, "--walkers", 3), POTENTIAL, WAITING):
        refused = call(*other, "--out", "a.h5")
        assert refused.code == 2 and len(refused.errors) == 1
        assert "another run" in refused.errors[0] and "--force" in refused.errors[0]
        assert (tmp_path / "a.h5").read_bytes() == raw
    assert call(*ISING, "--seed", 2, "--out", "a.h5", "--force").code == 0
    assert runfile.read("a.h5").attributes["seed"] == 2
    # the same run wanted anew
    before = runfile.read("a.h5").attributes["started"]
    assert call(*ISING, "--seed", 2, "--out", "a.h5", "--force").code == 0
    assert runfile.read("a.h5").attributes["started"] > before


def test_the_seed_alone_decides(call, no_figures, differences):
    for name, seed in (("a.h5", 1), ("b.h5", 1), ("c.h5", 2)):
        assert call(*ISING, "--seed", seed, "--out", name).code == 0
    assert differences("a.h5", "b.h5") == []
    assert "density_of_states/log_g" in differences("a.h5", "c.h5")


def test_several_cards_go_into_a_folder(call, no_figures, tmp_path):
    words = ("waiting_times", "control-drift", "curie-weiss-p3", "--clones", 4, "--set",
             "limit=200")
    refused = call(*words, "--out", "a.h5")
    assert refused.code == 2 and "folder" in refused.errors[0]
    assert call(*words, "--out", "both").code == 0
    assert {p.name for p in (tmp_path / "both").glob("*.h5")} == {
        "control-drift.h5", "curie-weiss-p3.h5"}
    refused = call("waiting_times", "control-drift", "control-drift")
    assert refused.code == 2 and "two cards have this name" in refused.errors[0]


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("words, texts", [
    (("density_of_states", "ising-2d", "--set", "L=2"), ["parameters.L"]),
    (("density_of_states", "ising-2d", "--set", "L=2", "--set", "J=x", "--set", "walkers=0"),
     ["density_of_states.walkers", "parameters.L", "parameters.J"]),
    (("density_of_states", "isng-2d"), ["did you mean ising-2d"]),
    (("density_of_states", "isng-2d", "ising2d"), ["no card isng-2d", "no card ising2d"]),
    (("density_of_states", "--set", "sweps=3"), ["did you mean sweeps"]),
    (("density_of_states", "--set", "L"), ["key=value"]),
    (("density_of_states", "--temperatures", "3:1"), ["first:last:number"]),
    (("density_of_states", "--temperatures=-1:3:5"), ["positive"]),
    (("density_of_states", "--temperatures", "0:3:5"), ["positive"]),
    (("density_of_states", "--temperatures", "1:nan:5"), ["positive"]),
    (("density_of_states", "--sweeps", "0"), ["--sweeps: give a number >= 1"]),
    (("density_of_states", "--sweeps", "-5"), ["--sweeps: give a number >= 1"]),
    (("density_of_states", "--seed", "-1"), ["--seed: give a number >= 0"]),
    (("density_of_states", "--seed", "1e19"), ["below 2^63"]),
    (("density_of_states", "--sweeps", "1e19"), ["below 2^63"]),
    (("density_of_states", "--checkpoint", "0"), ["--checkpoint"]),
    (("density_of_states", "--walkers", "1e12"), ["GB of memory"]),
    (("density_of_states", "transformer-subtraction-31"), ["needs a discrete or hamiltonian"]),
    (("training", "ising-2d"), ["needs a network system"]),
    (("training", "--set", "p=33"), ["p = 33 is not a prime"]),
    (("training", "--set", "train_fraction=1.5"), ["train_fraction"]),
    (("training", "--set", "train_fraction=0"), ["train_fraction"]),
    (("training", "--replicas", "1e9"), ["fewer replicas"]),
    (("sample", "--temperatures", "0:2:3"), ["positive"]),
    (("sample", "--temperatures", "2,,3"), ["first:last:number"]),
    (("sample", "--sweeps", "4000", "--set", "equilibration=4000"), ["leaves too little"]),
    (("sample", "--sweeps", "130", "--set", "equilibration=90"), ["leaves too little"]),
    (("sample", "--temperatures", "2", "--set", "exchange=true"), ["at least two temperatures"]),
    (("sample", "--set", "L=5", "--set", "order=checkerboard"), ["even size, not 5"]),
    (("sample", "--set", "sample.replicas=5"), ["even number"]),
    (("sample", "--samples", "2"), ["a system without disorder has no --samples"]),
    (("sample", "--samples", "0"), ["--samples: give a number >= 1"]),
    (("sample", "edwards-anderson-l4", "--samples", "2"), ["edwards-anderson-l4.csv"]),
    (("sample", "--set", "sample.dynamics=wolff", "--set", "h=0.1"), ["need h = 0"]),
    (("sample", "curie-weiss-p3", "--set", "sample.dynamics=wolff"), ["Potts colours"]),
    (("sample", "--set", "sample.replicas=65536", "--set", "L=256"), ["GB of memory"]),
    (("sample", "control-drift"), ["needs a discrete or hamiltonian"]),
    (("relaxation", "--temperature", "0"), ["give a positive temperature"]),
    (("relaxation", "--temperature", "-1"), ["give a positive temperature"]),
    (("relaxation", "--samples", "2"), ["a system without disorder has no --samples"]),
    (("relaxation", "ising-2d-reversal", "--ramp"), ["needs its temperatures"]),
    (("relaxation", "potts-mean-field"), ["needs [relaxation]"]),
    (("relaxation", "--set", "relaxation.temperature=0"), ["greater than 0"]),
    (("relaxation", "transformer-subtraction-31"), ["needs a discrete or hamiltonian"]),
    (("waiting_times", "--temperature", "-1"), ["temperature -1 is negative"]),
    (("waiting_times", "--clones", "1e12"), ["GB of memory"]),
    (("waiting_times", "ising-2d"), ["[waiting_times]"]),
    (("effective_potential", "control-drift"), ["needs a discrete or hamiltonian"]),
    (("compare_accounts", "control-drift", "--clones", "3"), ["at least 40 clones"]),
    (("waiting_times", *NETWORK, "--set", "plateau_accuracy=1.0", "--set", "steps=1"),
     ["no plateau"]),
])
def test_bad_input_is_refused_before_any_work(call, tmp_path, words, texts):
    done = call(*words, "--out", "out/a.h5")
    assert done.code == 2, done.err
    assert len(done.errors) == len(texts) and "Traceback" not in done.err
    for text, line in zip(texts, done.errors):
        assert text in line and len(line) < 400, line
    assert [p for p in tmp_path.rglob("*") if p.is_file()
            and p.name not in ("verdict.h5",)] == []


@pytest.mark.parametrize("words, text", [
    (("--sweeps", "many"), "many is not a whole number"),
    (("--sweeps", "1.5"), "1.5 is not a whole number"),
    (("--sweeps", "1e999"), "1e999 is not a whole number"),
    (("--sweeps", "nan"), "nan is not a whole number"),
    (("--seed", "1.5"), "1.5 is not a whole number"),
    (("--checkpoint", "nan"), "nan is not a finite number"),
    (("--no-such-option",), "unrecognized arguments")])
def test_bad_options_are_refused(call, tmp_path, words, text):
    done = call("density_of_states", *words)
    assert done.code == 2 and text in done.err and "Traceback" not in done.err


def test_whole_numbers_are_read_exactly():
    assert options.whole_number("2e6") == 2_000_000
    assert options.whole_number("12345678901234567") == 12345678901234567


def test_files_that_cannot_be_read(call, no_figures, tmp_path):
    assert call(*ISING, "--out", "a.h5").code == 0
    raw = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "half.h5").write_bytes(raw[: len(raw) // 2])
    flipped = bytearray(raw)
    flipped[len(raw) // 3] ^= 4
    (tmp_path / "flipped.h5").write_bytes(flipped)
    (tmp_path / "notes.txt").write_text("my notes")
    (tmp_path / "folder").mkdir()
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = [1.0]
    cases = {"half.h5": "truncated", "flipped.h5": "altered", "notes.txt": "not an HDF5 file",
             "folder": "is a folder", "foreign.h5": "not a run file"}
    before = {name: (tmp_path / name).read_bytes() for name in cases if name != "folder"}
    for name, text in {**cases, "missing.h5": "there is no file"}.items():
        for words in (("phasegrok", "inspect", name), ("phasegrok", "plot", name),
                      ("phasegrok", "resume", name), (*ISING, "--out", name)):
            if name == "missing.h5" and "--out" in words:
                continue
            done = call(*words)
            assert done.code == 2 and len(done.errors) == 1, (words, done)
            assert text in done.errors[0] and "Traceback" not in done.err
    # --force replaces a damaged run, but no work of somebody else and no folder
    for name in ("notes.txt", "folder"):
        assert call(*ISING, "--out", name, "--force").code == 2
    for name, content in before.items():
        assert (tmp_path / name).read_bytes() == content
    assert call(*ISING, "--out", "half.h5", "--force").code == 0
    assert runfile.read("half.h5").attributes["status"] == "done"
    beneath = call(*ISING, "--out", "notes.txt/a.h5")
    assert beneath.code == 2 and "cannot write in" in beneath.errors[0]


def test_a_read_only_file_is_refused(call, tmp_path, monkeypatch):
    assert call(*ISING, "--out", "a.h5").code == 0
    # as a user whom the permissions bind, which the superuser is not
    monkeypatch.setattr(job.os, "access", lambda path, mode: mode != os.W_OK)
    for words in ((*ISING, "--out", "a.h5", "--force", "--seed", 2),
                  ("phasegrok", "resume", "a.h5", "--sweeps", 5000)):
        done = call(*words)
        assert done.code == 2 and "read-only" in done.errors[0]
    assert runfile.read("a.h5").attributes["total"] == 2000


def test_a_full_disk_at_the_end_fails_with_one_line(call, tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(runfile.os, "replace", full)
        done = call(*ISING, "--out", "a.h5")
    assert done.code == 1 and "No space left on device" in done.errors[-1]
    assert list(tmp_path.iterdir()) == []


def test_resume_takes_no_new_settings(call, no_figures):
    assert call(*ISING, "--out", "a.h5").code == 0
    for words in (("--set", "L=8"), ("--seed", "2"), ("--quick",), ("--walkers", 3), ("--joint",),
                  ("--temperatures", "1:2:3"), ("--out", "b.h5"), ("ising-2d",)):
        done = call("phasegrok", "resume", "a.h5", *words)
        assert done.code == 2 and len(done.errors) == 1, words
    done = call("phasegrok", "resume", "--sweeps", 5000, "a.h5")
    assert done.code == 2 and "FILE before" in done.errors[0]


# --- whose code runs ------------------------------------------------------------------------------

MINE = """from pathlib import Path
Path("ran-card").touch()
from phasegrok.systems.testsystems import Parameters


class Mine(Parameters):
    pass
"""


@pytest.fixture
def own_card(tmp_path, monkeypatch):
    """A card of the user's with code, in a folder of its own: ``own_card(code)`` writes it."""
    monkeypatch.setattr(compiled, "use_sources", lambda *files: None)  # the kernels are ours
    monkeypatch.setattr("phasegrok.own_code.executed_files", set())
    (tmp_path / "cards").mkdir()
    (tmp_path / "elsewhere").mkdir()
    for folder in ("cards", "elsewhere"):
        (tmp_path / folder / "mine.py").write_text(MINE)

    def write(code="mine.py:Mine", title=None, name="control-drift"):
        text = (MODELS / "control-drift.toml").read_text().replace(
            'kind = "overdamped-1d"', f'kind = "mine"\ncode = "{code}"\nfamily = "overdamped"')
        if title is not None:
            text = re.sub("(?m)^title = .*", lambda _: f'title = "{title}"', text)
        (tmp_path / "cards" / f"{name}.toml").write_text(text)
        monkeypatch.setattr("phasegrok.own_code.executed_files", set())
        (tmp_path / "ran-card").unlink(missing_ok=True)
        return ("waiting_times", f"cards/{name}.toml", "--clones", 2, "--set", "limit=50")

    return write


def test_code_of_a_card_runs_where_the_command_line_names_it(call, no_figures, own_card, tmp_path):
    """Not outside the card's folder, nor from a run file, unless it is trusted."""
    words = own_card()
    stopping.received.append(15)
    stopped = call(*words, "--out", "a.h5")
    assert stopped.code == 3 and stopped.err.endswith("phasegrok resume a.h5 --trust\n")
    stopping.received.clear()
    done = call("phasegrok", "resume", "a.h5", "--trust")
    assert done.code == 0 and f"{tmp_path / 'cards' / 'mine.py'}" in done.err
    for code in ("../elsewhere/mine.py:Mine", f"{tmp_path}/elsewhere/mine.py:Mine"):
        words = own_card(code)
        refused = call(*words, "--out", "b.h5")
        assert refused.code == 2 and "--trust" in refused.errors[0]
        assert f"{tmp_path / 'elsewhere' / 'mine.py'}" in refused.errors[0]
        assert not Path("ran-card").exists() and not Path("b.h5").exists()
    assert call(*words, "--out", "b.h5", "--trust").code == 0
    for file in ("a.h5", "b.h5"):
        own_card()
        refused = call("phasegrok", "resume", file)
        assert refused.code == 2 and len(refused.errors) == 1 and "--trust" in refused.errors[0]
        for words in (("inspect", file), ("plot", file), ("status", file), ("models",)):
            assert call("phasegrok", *words).code == 0
        assert not Path("ran-card").exists()
        assert call("phasegrok", "resume", file, "--trust").code == 0
        assert Path("ran-card").exists()


def test_code_of_a_default_card_in_this_folder_was_not_named(call, no_figures, own_card, tmp_path):
    own_card(name="control-drift")
    (tmp_path / "cards").rename(tmp_path / "models")
    words = ("waiting_times", "--clones", 2, "--set", "limit=50", "--out", "a.h5")
    default = next(word for word in re.findall(r"[a-z0-9-]+", call(
        "waiting_times", "--help").out.split("(default: ")[1]))
    (tmp_path / "models" / "control-drift.toml").rename(tmp_path / "models" / f"{default}.toml")
    refused = call(*words)
    assert refused.code == 2 and "--trust" in refused.errors[0] and not Path("ran-card").exists()


def forged(path, to, **attributes):
    """A run file with other attributes, whole in every seal and hash."""
    run = runfile.read(path, with_state=True)
    runfile.write(to, runfile.RunFile(run.attributes | attributes, run.groups, run.state))
    return to


def test_a_script_that_a_file_names_does_not_run_unasked(call, no_figures, tmp_path):
    own = tmp_path / "mine" / "density_of_states.py"
    own.parent.mkdir()
    own.write_text((EXPERIMENTS / "density_of_states.py").read_text().replace(
        '"""', '"""Mine. ', 1) + '\nopen("ran-script", "w")\n')
    assert call(*ISING, "--out", "a.h5").code == 0
    done = call("phasegrok", "resume", "a.h5")
    assert done.code == 0 and str(EXPERIMENTS / "density_of_states.py") in done.err
    evil = forged("a.h5", Path("b.h5"), script=str(own),
                  script_sha256=hashlib.sha256(own.read_bytes()).hexdigest())
    refused = call("phasegrok", "resume", evil)
    assert refused.code == 2 and len(refused.errors) == 1 and str(own) in refused.errors[0]
    assert not Path("ran-script").exists()
    assert call("phasegrok", "resume", evil, "--trust").code == 0
    assert Path("ran-script").exists()
    Path("ran-script").unlink()
    assert call(own, "--resume", evil).code == 0 and Path("ran-script").exists()


def test_a_script_in_this_folder_does_not_stand_for_the_one_that_a_file_names(call, no_figures,
                                                                             tmp_path):
    """A folder from elsewhere may have experiments/; `phasegrok run NAME` names them."""
    assert call(*ISING, "--out", "a.h5").code == 0
    forged("a.h5", Path("b.h5"), script="/nowhere/density_of_states.py")
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "density_of_states.py").write_text("open('ran-script', 'w')")
    done = call("phasegrok", "resume", "b.h5")
    assert done.code == 0 and str(EXPERIMENTS / "density_of_states.py") in done.err
    assert not Path("ran-script").exists()
    named = call("phasegrok", "run", "density_of_states")
    assert Path("ran-script").exists() and "experiments/density_of_states.py" in named.err


@pytest.mark.parametrize("attributes", [
    {"script": 3}, {"experiment": np.arange(3)}, {"parameters": "not json"}, {"seed": "one"},
    {"parameters": "[]"}, {"parameters": '{"sweeps": "many"}'}, {"card": 1.0}, {"card_folder": 2},
    {"part_of": "b.h5"}, {"part_of": 1}, {"command_line": 5}], ids=str)
def test_forged_attributes_are_refused_in_one_sentence(call, no_figures, attributes):
    assert call(*ISING, "--out", "a.h5").code == 0
    forged("a.h5", Path("b.h5"), **attributes)
    refused = call("phasegrok", "resume", "b.h5")
    assert refused.code == 2 and len(refused.errors) == 1 and "Traceback" not in refused.err


def test_control_characters_do_not_reach_the_terminal(call, no_figures, own_card):
    escape = r"\u001b]0;title\u0007\u202e"
    words = own_card(title=escape)
    done = call(*words, "--out", "a.h5")
    assert done.code == 0
    forged("a.h5", Path("b.h5"), hostname="h\x1b[2J", command_line="\x9b2J", status="failed",
           error="\x1b[31mred")
    Path("models").symlink_to("cards")
    for words in (("phasegrok", "inspect", "a.h5"), ("phasegrok", "inspect", "b.h5"),
                  ("phasegrok", "status", "."), ("phasegrok", "models"),
                  ("phasegrok", "plot", "b.h5"), (*ISING, "--out", "b.h5"),
                  (*ISING, "--set", "\x1b[2J=3"), ("sample", "no\x1b[2Jcard")):
        said = call(*words)
        for text in (said.out, said.err):
            assert not set(text) & set("\x1b\x9b\x07\u202e"), words
    assert "\\x1b[31mred" in call("phasegrok", "status", ".").out


# --- code that ends the process -------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, None, 3])
def test_code_that_ends_the_process_has_not_finished_the_run(call, no_figures, own_card, tmp_path,
                                                            code):
    """SystemExit in a card's code, in a run, in what makes a system."""
    words = own_card()
    good = (tmp_path / "cards" / "mine.py").read_text()
    (tmp_path / "cards" / "mine.py").write_text(f"raise SystemExit({code})\n{good}")
    ended = call(*words, "--out", "a.h5")
    assert ended.code == 2 and "SystemExit" in ended.errors[0]
    own_card()
    (tmp_path / "cards" / "mine.py").write_text(
        good.replace("    pass", f"    def build(self, arrays):\n        raise SystemExit({code})"))
    ended = call(*words, "--out", "a.h5")
    assert ended.code == 1 and "SystemExit" in ended.errors[0]
    script = tmp_path / "mine.py"
    text = (EXPERIMENTS / "density_of_states.py").read_text()
    script.write_text(text.replace("def run(job: Job) -> None:",
                                   f"def run(job):\n    raise SystemExit({code})"))
    ended = call(script, *ISING[1:], "--out", "b.h5")
    assert ended.code == 1 and "SystemExit" in ended.errors[0]
    assert not Path("a.h5").exists() and not Path("b.h5").exists()


def test_a_run_that_does_not_finish_its_job_is_not_done(call, no_figures, tmp_path):
    script = tmp_path / "mine.py"
    text = (EXPERIMENTS / "density_of_states.py").read_text()
    script.write_text(text.replace("def run(job: Job) -> None:", "def run(job):\n    return"))
    ended = call(script, *ISING[1:], "--out", "b.h5")
    assert ended.code == 1 and "job.finish" in ended.errors[0]


# --- advice that is refused -----------------------------------------------------------------------


def test_resume_advises_nothing_that_it_refuses(call, no_figures, tmp_path, monkeypatch):
    """A ramp cannot be longer, and no resume takes another --out."""
    assert call(*RAMP, "--out", "a.h5").code == 0
    refused = call("phasegrok", "resume", "a.h5", "--sweeps", 4)
    assert refused.code == 2 and "leave --sweeps out" in refused.errors[0]
    assert call("phasegrok", "resume", "a.h5").code == 0
    forged("a.h5", Path("b.h5"), script_sha256="of another version")
    lock = Lock(tmp_path / "a.h5")
    lock.acquire()
    refusals = [call("phasegrok", "resume", file).errors for file in ("a.h5", "b.h5")]
    lock.release()
    monkeypatch.setattr(job.os, "access", lambda path, mode: mode != os.W_OK)
    refusals.append(call("phasegrok", "resume", "a.h5").errors)
    for (line,) in refusals:
        assert "give another --out" not in line and "another --out starts" not in line


# --- replicas whose loss is not finite ------------------------------------------------------------


def test_a_loss_that_is_not_finite_is_recorded_and_shown(call):
    done = call(*TRAINING, "--set", "lr=1e30", "--out", "a.h5")
    assert done.code == 0
    group = runfile.read("a.h5")["training"]
    assert group.attributes["broken_replicas"] == 2
    assert np.all(group["broken_step"] >= 0) and np.all(group["broken_step"] < 40)
    assert np.all(np.isnan(group["train_loss"][:, -1]))
    assert done.out.count("stopped: not finite at step") == 2


def test_a_broken_replica_does_not_stop_the_others():
    card = cards.load("transformer-subtraction-31",
                      {"p": 7, "d_model": 8, "heads": 2, "mlp": 16})
    protocol = training(card, 3, 40)
    states = [protocol.init(1), protocol.init(1)]
    for state in states:
        protocol.advance(state, 15)
    states[1].theta[1, 3] = np.nan
    for state in states:
        while protocol.done(state) < 40:
            protocol.advance(state, 10)
    whole, broken = (protocol.result(state)["training"] for state in states)
    assert np.isnan(whole["broken_step"]).all()
    assert np.isfinite(broken["broken_step"]).tolist() == [False, True, False]
    assert broken["broken_step"][1] == 15
    for name in ("train_loss", "test_accuracy", "weight_norm"):
        assert np.array_equal(whole[name][[0, 2]], broken[name][[0, 2]])
        assert np.array_equal(whole[name][1, :2], broken[name][1, :2])
        assert np.isnan(broken[name][1, 2:]).all()


def test_the_folder_of_the_package_is_where_other_processes_find_it():
    """On their path stands what holds the package: inside it, statistics.py hides Python's own."""
    from phasegrok.trust import REPOSITORY

    assert REPOSITORY == EXPERIMENTS.parent and (REPOSITORY / "phasegrok" / "trust.py").is_file()
