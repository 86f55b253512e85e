"""Phases of neurons: wells from histograms of a known law, lines of theory, the script."""

import math

import numpy as np
import pytest
from scipy import optimize

from phasegrok import cards
from phasegrok.errors import InputError
from phasegrok.run import runfile
from phasegrok.studies import neuron_diagram
from phasegrok.theory import adaptive_kernel as ak
from phasegrok.thermodynamics.unit_potential import _agreement, found_wells

LARGEST, BINS, STRETCHES, UNITS = 2.5, 256, 32, 60


def law(action):
    """Probabilities of the bins of |Phi| for the density exp(-action), and of what is beyond."""
    Phi = (np.arange(BINS * 8) + 0.5) * LARGEST / (BINS * 8)
    p = np.exp(-action(Phi)).reshape(BINS, 8).sum(axis=1)
    return np.append(p / p.sum(), 0.0)


def double_well(depth):
    """Gaussian wells at 0 and 1.2."""
    return lambda Phi: -np.log(np.exp(-0.5 * (Phi / 0.18) ** 2)
                               + math.exp(-depth) * np.exp(-0.5 * ((Phi - 1.2) / 0.15) ** 2))


def drawn(p, n=20_000, seed=1):
    return np.random.default_rng(seed).multinomial(n, p, size=STRETCHES).astype(float)


@pytest.mark.parametrize("depth, phase", [(2.5, "GMFL-I"), (6.5, "GFL"), (-6.5, "GMFL-II")])
def test_wells_of_a_known_law(depth, phase):
    p = law(double_well(depth))
    coarse = p[:BINS].reshape(-1, 4).sum(axis=1)
    top = int(np.argmin(coarse[:30]))  # bin 30 holds 1.2
    found = {name: row[0] for name, row in found_wells(drawn(p), LARGEST, UNITS).items()}
    assert found["phase"] == phase
    assert found["well"] == pytest.approx(1.2, abs=0.06)
    if phase == "GMFL-II":  # too few counts in the centre for a well
        assert math.isnan(found["barrier"])
        return
    exact = math.log(coarse[:5].max() / coarse[top])
    # the top is the largest of noisy bins, all within an error of it or two
    assert abs(found["barrier"] - exact) < 4.0 * found["barrier_err"]
    assert found["barrier_err"] < 0.3
    droplets = UNITS * coarse[top + 1 :].sum()
    assert abs(found["droplets"] - droplets) < 4.0 * found["droplets_err"] + 0.001 * droplets
    assert found["droplets_err"] < 0.03 * droplets


def test_errors_of_the_barrier_are_calibrated():
    p = law(double_well(2.0))
    z = []
    coarse = p[:BINS].reshape(-1, 4).sum(axis=1)
    exact = UNITS * coarse[int(np.argmin(coarse[:30])) + 1 :].sum()
    for seed in range(100):
        found = found_wells(drawn(p, 5000, seed), LARGEST, UNITS)
        z.append((found["droplets"][0] - exact) / found["droplets_err"][0])
    assert abs(np.mean(z)) < 0.4 and 0.8 < np.std(z) < 1.2


def test_one_well_is_no_phase_of_two():
    centre = law(lambda Phi: 0.5 * (Phi / 0.4) ** 2)
    for seed in range(50):
        found = found_wells(drawn(centre, 2000, seed), LARGEST, UNITS)
        assert found["phase"][0] == "GFL" and math.isnan(found["barrier"][0])
    outer = law(lambda Phi: 0.5 * ((Phi - 1.2) / 0.3) ** 2)
    found = found_wells(drawn(outer), LARGEST, UNITS)
    assert found["phase"][0] == "GMFL-II" and math.isnan(found["barrier"][0])
    assert found["well"][0] == pytest.approx(1.2, abs=0.06)


def test_starts_of_few_chains_are_compared_with_students_law():
    """Chains of one law are said to disagree in fewer than one of a hundred, with two of each."""
    rng = np.random.default_rng(1)
    said = []
    for _ in range(400):
        mean_r = rng.normal(100.0, 5.0, 4)
        counts = np.zeros((4, 1, 200))
        counts[:, 0, 1], counts[:, 0, 0] = mean_r, 200.0 - mean_r
        said.append("DISAGREE" in _agreement(counts, np.array([False, False, True, True])))
    assert np.mean(said) < 0.01


# --- lines of theory ------------------------------------------------------------------------------


def residual(u, strength, sigma_w2):
    """b of neurons in the centre, by iteration of 1/b = 1 + lambda_1/kappa."""
    g, b = 4.0 * sigma_w2 / (math.pi * (1.0 + 2.0 * sigma_w2)), 0.0
    for _ in range(4000):
        widening = max(1.0 - g * u * b * b, 0.1)
        b += 0.05 * (1.0 / (1.0 + g * math.sqrt(u * strength) / widening) - b)
    assert widening > 0.1
    return b


@pytest.mark.parametrize("epsilon, strength", [(-0.3, 0.6), (-1.0, 0.2), (0.6, 2.0)])
def test_limit_lines_frozen_are_the_closed_forms_at_their_field(epsilon, strength):
    found = ak.limit_lines(epsilon, strength, 0.5, "frozen")
    for name in ("coexistence", "side_birth"):
        u = getattr(found, name)
        closed = ak.frozen_transitions(residual(u, strength, 0.5), epsilon, 0.5)
        assert getattr(closed, name) == pytest.approx(u, rel=2e-3)
        assert closed.centre_spinodal > u


@pytest.mark.parametrize("epsilon, strength", [(-0.3, 0.6), (0.6, 2.0)])
def test_limit_lines_joint_against_a_minimiser(epsilon, strength):
    """Lowest action of a side well at the coexistence is that of the centre."""
    sigma_w2 = 0.5
    u = ak.limit_lines(epsilon, strength, sigma_w2).coexistence
    b = residual(u, strength, sigma_w2)

    def action(x):
        Phi, s = x[0], sigma_w2 * math.exp(x[1])
        q = Phi**2 / (1.0 + 2.0 * (s + Phi**2))
        return (Phi**2 / (2.0 * sigma_w2) + 0.5 * (math.exp(x[1]) - 1.0 - x[1])
                - (2.0 * u / math.pi) * q * (b - 2.0 * epsilon * q) ** 2)

    wells = [optimize.minimize(action, (Phi, -0.5), method="Nelder-Mead",
                               options={"xatol": 1e-8, "fatol": 1e-12, "maxiter": 4000})
             for Phi in np.linspace(0.5, 3.0, 8)]
    best = min((w for w in wells if w.x[0] > 0.2), key=lambda w: w.fun)
    scale = action((0.5 * best.x[0], 0.5 * best.x[1]))
    assert scale > 0.0 and abs(best.fun) < 0.01 * scale


def test_lines_approach_their_limit():
    """Birth of the outer well, and first droplet, at growing d and strength fixed, N = 100 d."""
    strength, gaps = 0.6, []
    limit = ak.limit_lines(-0.6, strength)
    for d in (40, 160, 320):
        N = 100 * d
        sigma_a2 = strength * d / N
        highest = math.sqrt(strength / limit.side_birth) / N * 1.6
        found = ak.transition_lines(ak.Model(d, N, highest, -0.6, sigma_a2), "joint", 0.5, 10, 1e-3)
        u = [sigma_a2 / (kappa**2 * d * N) for kappa in (found.outer_well, found.first_droplet)]
        gaps.append([u[0] / limit.side_birth - 1.0, u[1] / limit.coexistence - 1.0])
    first, second, third = np.abs(gaps)
    assert np.all(second < 0.6 * first) and np.all(third < 0.6 * second)
    assert third[0] < 0.04 and third[1] < 0.04


# --- the script -----------------------------------------------------------------------------------


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
    monkeypatch.setattr(neuron_diagram, "_THEORY", "joint")  # 20 times faster than cavity
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
