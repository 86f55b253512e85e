"""Phases of neurons: the script and what it refuses."""

import math

import numpy as np
import pytest

from phasegrok import cards
from phasegrok.errors import InputError
from phasegrok.run import runfile
from phasegrok.studies import neuron_diagram
from phasegrok.theory import adaptive_kernel as ak


def check(run, shape):
    """Groups and dimensions, an error beside each estimate; the group of points."""
    assert {"neuron_phases", "neuron_lines"} <= set(run.groups)
    group = run["neuron_phases"]
    for name in ("phase", "phase_theory", "barrier", "droplets", "train_loss", "test_loss"):
        assert group[name].shape == shape
        assert group.variables[name].dims == ("value", "sigma2")
    for name in ("barrier", "droplets", "train_loss", "test_loss"):
        assert group[f"{name}_err"].shape == shape
        known = np.isfinite(group[name])
        assert np.all(group[f"{name}_err"][known] > 0.0)
    for name, variable in run["neuron_lines"].variables.items():
        assert variable.dims == ("line_value",), name
    return group


@pytest.mark.slow  # a third of a minute of theory
def test_the_script_draws_the_plane_of_the_cubic_card(call, tmp_path, monkeypatch):
    monkeypatch.setattr(neuron_diagram, "THEORY", "joint")  # 20 times faster than cavity
    ended = call("phase_diagram", "two-layer-cubic", "--quick", "--out", tmp_path / "cubic",
                 "--set", "neuron_diagram.steps=1600", "--set", "neuron_diagram.equilibration=400",
                 "--set", "neuron_diagram.sigma2_values=[1.0,8.0]", "--set", "langevin.chains=4",
                 "--set", "neuron_diagram.values=[-0.6,-0.3]", "--set", "neuron_diagram.lines=2")
    assert ended.code == 0, ended.err
    run = runfile.read(tmp_path / "cubic" / "scan.h5")
    group = check(run, (2, 2))
    assert group["phase_theory"][:, 1].tolist() == [0, 0]  # GFL at the larger noise
    lines = run["neuron_lines"]
    found = ak.limit_lines(-0.6, 0.2 * 60 / 20)
    assert lines["limit_coexistence"][0] == pytest.approx(
        1000 / 60 * math.sqrt(0.6 / found.coexistence))
    assert (tmp_path / "cubic" / "scan.png").stat().st_size > 10_000


@pytest.mark.slow
def test_the_script_draws_the_line_of_the_modular_card(call, tmp_path):
    ended = call("phase_diagram", "two-layer-modular", "--quick", "--out", tmp_path / "modular",
                 "--set", "neuron_diagram.steps=1400", "--set", "neuron_diagram.equilibration=300",
                 "--set", "N=100", "--set", "langevin.chains=4", "--set", "sigma_a2=2e-4",
                 "--set", "neuron_diagram.sigma2_values=[0.008,0.014]")
    assert ended.code == 0, ended.err
    group = check(runfile.read(tmp_path / "modular" / "scan.h5"), (1, 2))
    assert [neuron_diagram.PHASES[k] for k in group["phase_theory"][0]] == ["GMFL-I", "GFL"]
    assert (tmp_path / "modular" / "scan.png").stat().st_size > 10_000


@pytest.mark.parametrize("changes, message", [
    ({"neuron_diagram.parameter": "nothing"}, "there is no nothing"),
    ({"neuron_diagram.values": []}, "parameter and values, or neither"),
])
def test_what_is_wrong_is_said(changes, message):
    with pytest.raises(InputError, match=message):
        neuron_diagram.settings(cards.load("two-layer-cubic", changes))
