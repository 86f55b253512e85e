"""Learning curves of perceptrons: averages from enumerated landscapes, and the script."""

import dataclasses
import math

import numpy as np
import pytest

from phasegrok import cards
from phasegrok.errors import InputError
from phasegrok.run import runfile
from phasegrok.studies import learning_curve
from phasegrok.studies.learning_curve import landscapes
from phasegrok.theory import gibbs_perceptron
from phasegrok.theory.perceptron import joint_counts, overlaps, thermodynamics
from phasegrok.thermodynamics.zero_temperature import annealed, at_overlap, gibbs

N = 11
BESIDE = {"size", "alpha", "alpha_drawn", "start", "coexisting", "complete", "agreement",
          "order_parameter", "having", "step", "binomial"}


def enumerated(P, samples, seed=1):
    rng = np.random.default_rng(seed)
    return np.array([joint_counts(2 * rng.integers(0, 2, (P, N)) - 1, np.ones(N, int))
                     for _ in range(samples)])


def ascending(counts):
    """ln g(E, R), R ascending."""
    with np.errstate(divide="ignore"):
        return np.log(counts[:, :, ::-1].astype(float))


def test_averages_over_enumerated_students():
    counts = enumerated(14, 12)
    R = overlaps(N)
    found = {name: row[0] for name, row in
             gibbs(ascending(counts), R[::-1]).items()}
    right = counts[:, 0]
    total = right.sum(axis=1)
    assert found["entropy"] == pytest.approx(np.log(total) / N)
    assert found["overlap"] == pytest.approx(right @ R / total)
    assert found["error"] == pytest.approx(right @ np.arccos(R) / total / math.pi)
    some = np.isfinite(found["coexistence"])
    assert some.any()
    for g, T in zip(counts[some], found["coexistence"][some]):
        weight = np.exp(-np.arange(15) / T) @ g
        assert weight[R > 0.85].sum() == pytest.approx(weight[R < 0.85].sum(), rel=1e-6)
        assert thermodynamics(g, T).ln_Z == pytest.approx(math.log(weight.sum()))
    (entropy, entropy_err), (error, error_err) = annealed(ascending(counts), R[::-1])
    mean = right.mean(axis=0)
    assert entropy == pytest.approx(math.log(mean.sum()) / N)
    assert error == pytest.approx(mean @ np.arccos(R) / mean.sum() / math.pi)
    # delta method: the error of ln of a mean
    assert entropy_err == pytest.approx(total.std() / math.sqrt(12) / total.mean() / N, rel=0.25)
    assert 0.0 < error_err < 0.1


def test_entropies_at_fixed_overlap():
    """Median and mean of the students that enumeration counts; samples without one count as -inf.

    ln g of the teacher's own overlap is 0.
    """
    counts = enumerated(8, 400)
    right = counts[:, 0, ::-1].astype(float)
    found = at_overlap(ascending(counts)[:, 0])
    assert np.array_equal(found["having"], (right > 0).mean(axis=0))
    known = np.isfinite(found["typical"])
    assert known[-1] and not known[0] and found["typical"][-1] == found["typical_err"][-1] == 0.0
    middle = np.sort(right, axis=0)[199:201, known]  # of 400 samples
    assert found["typical"][known] == pytest.approx(np.log(middle).mean(axis=0) / N)
    mean = right.mean(axis=0)
    sure = np.isfinite(found["annealed"])
    assert found["annealed"][sure] == pytest.approx(np.log(mean[sure]) / N)
    delta = right.std(axis=0)[sure] / math.sqrt(400) / mean[sure] / N
    many = found["having"][sure] > 0.3
    assert found["annealed_err"][sure][many] == pytest.approx(delta[many], rel=0.1)
    both = known & sure & (found["having"] < 1.0)
    assert np.all(found["typical"][both] < found["annealed"][both] + 0.02)


def test_landscapes_are_those_of_enumeration():
    card = cards.load("ising-perceptron", {"parameters.N": N, "parameters.P": 9})
    protocol = landscapes(card, 3, 100_000, 2)
    state = protocol.init(5)
    protocol.advance(state, 1)
    again = protocol.restore(dataclasses.asdict(state))
    protocol.advance(again, 2)
    group = protocol.result(again)["landscapes"]
    assert group["complete"].all() and group["log_g"].shape == (3, 10, N + 1)
    for arrays, log_g in zip(card.samples(3), group["log_g"]):
        rows = arrays["patterns"]
        exact = ascending(joint_counts(rows[1:], rows[0])[None])[0]
        assert np.array_equal(np.isfinite(log_g), np.isfinite(exact))
        known = np.isfinite(exact)
        assert np.sqrt(np.mean((log_g[known] - exact[known]) ** 2)) < 0.03


def errors_are_beside(group):
    for name in group.variables:
        if name not in BESIDE and not name.endswith("_err"):
            assert group[f"{name}_err"].shape == group[name].shape, name


@pytest.mark.slow  # a quarter of a minute of theory
def test_the_script_measures_ising_weights(call, tmp_path):
    ended = call("learning_curve", "ising-perceptron", "--quick", "--out", tmp_path / "ising",
                 "--set", "learning_curve.alphas=[0.6,1.2]", "--set", "learning_curve.sizes=[9,11]",
                 "--set", "learning_curve.sweeps=3000", "--set", "learning_curve.walkers=2",
                 "--set", "learning_curve.large=31", "--set", "learning_curve.large_samples=4",
                 "--set", "learning_curve.quench_sweeps=64")
    assert ended.code == 0, ended.err
    run = runfile.read(tmp_path / "ising" / "scan.h5")
    group, at, theory = run["learning_curve"], run["entropy_at_overlap"], run["theory"]
    errors_are_beside(group)
    errors_are_beside(at)
    assert group.variables["error"].dims == ("size", "alpha")
    assert group["quench_overlap"].shape == (2, 2)
    assert group["complete"].min() == 1.0
    assert at["typical"].shape == at["annealed"].shape == (2, 2, 12)
    assert np.isnan(at["order_parameter"][0, -2:]).all() and at["order_parameter"][1, -1] == 1.0
    assert np.nanmax(at["annealed"]) < math.log(2.0)
    assert at["binomial"][1, -1] == 0.0
    assert at["binomial"][1, 5] == pytest.approx(0.5 * math.log(0.5 * math.pi * 11) / 11, rel=0.03)
    k = int(np.argmin(np.abs(theory["curve_overlap"] - 0.6)))
    assert theory["curve_alpha"] == pytest.approx([7 / 11, 13 / 11])
    assert theory["curve_entropy"][0, k] == pytest.approx(gibbs_perceptron.ising_entropy(
        float(theory["curve_overlap"][k]), 7 / 11).entropy)
    assert theory["curve_entropy"][0, k] < theory["curve_annealed"][0, k]
    assert float(theory["thermal_transition"]) == pytest.approx(1.5708, abs=1e-4)
    assert (tmp_path / "ising" / "scan.png").stat().st_size > 10_000


def test_the_script_measures_spherical_weights(call, tmp_path):
    ended = call("learning_curve", "spherical-perceptron", "--quick", "--out", tmp_path / "sphere",
                 "--set", "learning_curve.alphas=[1.0,2.0]", "--set", "learning_curve.sizes=[11]",
                 "--set", "learning_curve.samples=10", "--set", "learning_curve.sweeps=200")
    assert ended.code == 0, ended.err
    run = runfile.read(tmp_path / "sphere" / "scan.h5")
    group = run["learning_curve"]
    errors_are_beside(group)
    assert group["error"].shape == (1, 2) and group["error"][0, 1] < group["error"][0, 0]
    exact = [gibbs_perceptron.spherical_at(float(a)).error for a in run["theory"]["alpha"]]
    assert run["theory"]["error"] == pytest.approx(exact)
    assert (tmp_path / "sphere" / "scan.png").stat().st_size > 10_000


def test_cards_without_a_curve_are_refused():
    with pytest.raises(InputError, match=r"needs \[learning_curve\]"):
        learning_curve.settings(cards.load("ising-2d"))


def test_the_script_of_phase_diagrams_draws_the_plane_of_ising_weights(call, tmp_path):
    ended = call("phase_diagram", "ising-perceptron", "--quick", "--out", tmp_path / "plane",
                 "--set", "learning_curve.alphas=[1.5,2.5]", "--set", "learning_curve.sizes=[9,11]",
                 "--set", "learning_curve.sweeps=3000", "--set", "learning_curve.walkers=2",
                 "--set", "learning_curve.large=0")
    assert ended.code == 0, ended.err
    run = runfile.read(tmp_path / "plane" / "scan.h5")
    group, theory = run["perceptron_phases"], run["theory"]
    errors_are_beside(group)
    assert group["coexistence"].shape == (2, 2) and "thermal_transition" not in theory
    assert np.all(theory["line_transition"] < theory["line_annealed"])
    assert np.all(theory["line_transition"] < theory["line_spinodal"])
    assert (tmp_path / "plane" / "scan.png").stat().st_size > 10_000


def test_no_coexistence_of_a_sample_whose_landscape_is_not_complete():
    """Two students: R = 1 without error and R = 1/3 at one error, of 8: T = 1/ln 8."""
    from phasegrok.protocols.landscapes import LandscapesState
    from phasegrok.studies.learning_curve import landscapes

    card = cards.load("ising-perceptron", {"parameters.N": 3, "parameters.P": 1})
    log_g = np.full((2, 2, 4), -np.inf)
    log_g[:, 0, 3], log_g[:, 1, 2] = 0.0, math.log(8.0)
    protocol = landscapes(card, 2, 10, 2)
    group = protocol.result(LandscapesState(log_g, np.array([True, False]), 1, 2))["landscapes"]
    assert group["coexistence"][0] == pytest.approx(1.0 / math.log(8.0), rel=1e-6)
    assert np.isnan(group["coexistence"][1])
