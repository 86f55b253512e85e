"""Nucleation of neurons: points, lines through barriers and waits, the script."""

import math

import numpy as np
import pytest
from scipy import stats

from phasegrok.cards.library import load
from phasegrok.errors import InputError
from phasegrok.figures import nucleation as figure
from phasegrok.groups import Group
from phasegrok.relaxation.waiting_times import waiting_times
from phasegrok.run import runfile
from phasegrok.studies import nucleation


def test_transition_state_theory_is_the_formula_of_rice():
    # upward crossings of |xi| = 2 by a stationary Gaussian process of unit speed
    rice = 2.0 * math.exp(-2.0) / (2.0 * math.pi)
    density = stats.norm.pdf(2.0) / 0.3
    assert nucleation.transition_state_time(density, 0.3, 1) == pytest.approx(1.0 / rice)


def test_settings_that_make_no_first_passage_are_refused():
    for changes, text in (({"langevin.integrator": "baoab"}, "ghmc"),
                          ({"nucleation.wall": 0.8}, "below the threshold")):
        with pytest.raises(InputError, match=text):
            nucleation.settings(load("two-layer-cubic-nucleation", changes))
    with pytest.raises(InputError, match="two-layer-cubic"):
        nucleation.settings(load("two-layer-modular"))


def test_drive_of_a_neuron_is_the_same_at_every_d():
    card = load("two-layer-cubic-nucleation")
    drives = []
    for _, point in nucleation.points(card, "chains"):
        p = point.parameters
        drives.append(p.sigma_a2 / ((p.sigma2 / p.n) ** 2 * p.d * p.N))
    np.testing.assert_allclose(drives, drives[0])


def scan_of(tau_k, barrier_k, bent_k, clones=64):
    """Runs of a scan: waits of 64 clones, exponential after a short lag or (bent) of a narrow law,
    and barriers with errors of 0.02 nat."""
    rng, chains, waits = np.random.default_rng(3), [], []
    for tau, barrier, bent in zip(tau_k, barrier_k, bent_k):
        time = tau * (0.05 + 0.95 * rng.exponential(size=clones))
        if bent:
            time = tau * np.exp(0.3 * rng.standard_normal(clones))
        group = Group()
        group.add("time", time, "clone")
        group.add("censored", np.zeros(clones, dtype=bool), "clone")
        nucleation.add_waiting_statistics(group, waiting_times(time, np.zeros(clones, bool), 0.1),
                                          "1")
        waits.append(runfile.RunFile({}, {"waiting_times": group}))
        group = Group()
        for name, value in (("top", 0.5), ("top_barrier", barrier), ("top_barrier_err", 0.02),
                            ("top_density", 1.0), ("top_density_err", 0.01)):
            group.add(name, value)
        chains.append(runfile.RunFile({}, {"effective_potential": group}))
    return chains, waits


def test_waits_that_are_not_exponential_enter_no_line():
    """At the smallest d the way over the top is the wait."""
    card = load("two-layer-cubic-nucleation")
    barrier = np.array([2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    tau = np.exp(barrier)
    tau[0] *= 6.0
    chains, waits = scan_of(tau, barrier, [True] + 5 * [False])
    groups = nucleation.groups(card, chains, waits)
    g = groups["nucleation"]
    assert g["exponential"].tolist() == [False] + 5 * [True]
    assert int(g["slope_points"]) == 5 and int(g["slope_barrier_size_points"]) == 6
    # 64 clones: ln tau to 1/8, over five points of one nat each
    assert abs(float(g["slope"]) - 1.0) < 3.0 * float(g["slope_err"]) < 0.2
    text = figure.lines(runfile.RunFile({}, groups))
    assert text.count("not exponential") == 1
    chi2, p = (float(g[f"slope_{name}"]) for name in ("chi2", "p"))
    assert f"(5 points, chi2 {chi2:.3g} on 3, p = {p:.2g})" in text


def test_a_bent_line_is_called_one():
    card = load("two-layer-cubic-nucleation")
    barrier = np.array([2.0, 3.0, 4.0, 5.0, 5.5, 5.8])
    g = nucleation.groups(card, *scan_of(np.exp(barrier), barrier, 6 * [False]))["nucleation"]
    line = np.polyfit(g["size"], barrier, 1)
    chi2 = (((barrier - np.polyval(line, g["size"])) / 0.02) ** 2).sum()
    assert float(g["slope_barrier_size"]) == pytest.approx(line[0])
    assert float(g["slope_barrier_size_chi2"]) == pytest.approx(chi2)
    assert float(g["slope_barrier_size_p"]) < g.attributes["least_p"] < float(g["slope_p"])
    text = figure.lines(runfile.RunFile({}, {"nucleation": g}))
    assert text.count("not straight") == 3  # against d and theory, which is nearly linear in d
    new = ("exponential", "_chi2", "_p", "_points")
    old = Group({name: v for name, v in g.variables.items() if not name.endswith(new)})
    assert "not straight" not in figure.lines(runfile.RunFile({}, {"nucleation": old}))


@pytest.mark.slow
def test_barriers_of_chains_are_those_of_theory(tmp_path, call):
    path = tmp_path / "scan"
    call("nucleation", "--set", "nucleation.sizes=[20,30,40]", "--set",
               "nucleation.clones=512", "--set", "nucleation.steps=20000", "--out", path)
    g = runfile.read(path / "scan.h5")["nucleation"]
    # the theory is of leading order in 1/N beyond the cavity: 0.1 nat
    assert np.all(np.abs(g["barrier"] - g["barrier_theory"]) < 0.1 + 3.0 * g["barrier_err"])
    # the way over the top is no small part of the wait: 512 clones see it at each d, 64 not always
    assert g["exponential"].tolist() == [0, 0, 0] and math.isnan(float(g["slope"]))
    assert np.all(g["bound"] < g["tau"] + 3.0 * g["tau_err"])


@pytest.mark.slow
def test_nucleation_from_the_command_line(tmp_path, call):
    path = tmp_path / "scan"
    done = call("nucleation", "--quick", "--set", "nucleation.sizes=[16,20,24]", "--set", "N=20",
                "--set", "nucleation.steps=1500", "--set", "langevin.chains=4", "--out", path)
    assert done.code == 0
    run = runfile.read(path / "scan.h5")
    g = run["nucleation"]
    assert g["tau"].shape == (3,) and np.all(g["tau"] > 0.0) and np.all(g["tau_err"] > 0.0)
    for name in ("barrier", "tau", "cv", "lag", "memoryless", "transmission", "slope"):
        assert f"{name}_err" in g
    assert (path / "scan.png").exists()
