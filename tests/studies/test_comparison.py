"""The comparison of accounts, end to end: controls must come out as known, with exact values."""

import subprocess
import sys

import numpy as np
import pytest
from driving import drive
from repository import EXPERIMENTS

from phasegrok import cards
from phasegrok.accounts.components import Measurements, judge
from phasegrok.run import runfile
from phasegrok.studies.comparison import watched
from phasegrok.studies.relaxation import relaxation
from phasegrok.studies.waiting_times import waiting_groups

SCRIPT = EXPERIMENTS / "compare_accounts.py"


def compare(*arguments, out):
    """Run the script; returns its table and the verdicts by card."""
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments, "--out", str(out)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, runfile.read(out / "verdict.h5")


@pytest.fixture(scope="module")
def controls(tmp_path_factory):
    out = tmp_path_factory.mktemp("controls")
    names = ["control-drift", "control-saddle", "control-golf-hole"]
    return out, *compare(*names, "--quick", out=out)


def test_controls_of_seconds_come_out_as_known(controls):
    _, _, run = controls
    labels = {name: group.attributes["label"] for name, group in run.groups.items()}
    assert labels == {"verdict/control-drift": "DRIFT", "verdict/control-saddle": "SADDLE",
                      "verdict/control-golf-hole": "FLUCTUATION"}


def test_mean_waiting_times_agree_with_exact_ones(controls):
    _, _, run = controls
    for name in ("control-drift", "control-saddle", "control-golf-hole"):
        group = run[f"verdict/{name}"]
        exact = group.attributes["exact_tau"]
        z = (float(group["tau"]) - exact) / float(group["tau_err"])
        assert abs(z) < 4.0, (name, z)


def test_what_was_not_measured_is_said_and_nothing_is_calibrated(controls):
    _, text, run = controls
    for group in run.groups.values():
        assert "ageing" in group.attributes["not_measured"]
        assert np.isnan(group["ageing"]) and np.isnan(group["kappa"])
        assert not group.attributes["calibrated"]
        for name in group.variables:
            assert name.endswith("_err") or f"{name}_err" in group
    assert "provisional" in text and "ageing" in text


def test_parts_lie_beside_the_verdict_and_figures_are_drawn(controls):
    out, text, _ = controls
    for part in ("waiting_times-1", "waiting_times-1-T0.001", "noise_free-1"):
        assert runfile.read(out / "control-drift" / f"{part}.h5").attributes["status"] == "done"
    for figure in ("verdict.png", "verdict.pdf"):
        assert (out / figure).stat().st_size > 10_000 and figure in text


def test_a_finished_comparison_is_shown_again_without_running(controls):
    out, text, _ = controls
    before = (out / "verdict.h5").stat().st_mtime_ns
    again, _ = compare("control-drift", "control-saddle", "control-golf-hole", "--quick", out=out)
    assert again == text and (out / "verdict.h5").stat().st_mtime_ns == before


@pytest.mark.slow
def test_default_cards(tmp_path):
    """The main job: three families, five verdicts; the exact Curie-Weiss values within 4 sigma."""
    _, run = compare("--quick", out=tmp_path)
    labels = {name.split("/")[1]: group.attributes["label"]
              for name, group in run.groups.items() if name.startswith("verdict/")}
    assert labels["curie-weiss-p3"] == "FIRST-ORDER"
    assert labels["control-drift"] == "DRIFT"
    assert labels["control-saddle"] == "SADDLE"
    assert labels["transformer-subtraction-31"] == "DRIFT"
    group = run["verdict/curie-weiss-p3"]
    for name in ("tau", "barrier", "size_slope"):
        z = (float(group[name]) - group.attributes[f"exact_{name}"]) / float(group[f"{name}_err"])
        assert abs(z) < 4.0, (name, z)
        assert float(group[f"{name}_err"]) < 0.04 * float(group[name])


def measured(card, seed: int) -> Measurements:
    """Waiting times, noise-free run and quench of a card, in this process."""
    waiting = card.model.waiting_times

    def run(temperature, number):
        protocol = watched(card, temperature, number)
        return waiting_groups(card, protocol, drive(protocol, seed))["waiting_times"]

    two_time = None
    if card.model.relaxation is not None:
        quench = relaxation(card, temperature=waiting.temperatures[0])
        two_time = quench.result(drive(quench, seed))["two_time_overlap"]
    waits = {t: run(t, waiting.scan_clones if k else waiting.clones)
             for k, t in enumerate(waiting.temperatures)}
    return Measurements(waits, run(0.0, 1), card.size, two_time=two_time)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["curie-weiss-p3", "control-drift", "control-saddle",
                                  "control-golf-hole", "ising-2d-reversal",
                                  "potts-2d-q10-nucleation", "control-glass-3d",
                                  "control-glass-2d", "control-east", "control-coarsening",
                                  "control-critical", "control-nothing"])
def test_controls_over_ten_seeds(name):
    """At 48 clones, every control comes out as known on at least 9 of 10 fresh seeds."""
    card = cards.load(name, {"waiting_times.clones": 48, "waiting_times.scan_clones": 48,
                             "waiting_times.sizes": []})
    labels = []
    for seed in range(100, 110):
        found = judge(measured(card, seed), card.model.waiting_times.temperature_drives)
        labels.append(found[1].label)
    assert labels.count(card.model.control) >= 9, labels
