"""Comparison of optimisers: medians, ratios, the table and the script."""

import numpy as np
import pytest

from phasegrok.cards.library import load
from phasegrok.figures import networks
from phasegrok.groups import Group
from phasegrok.networks.compiled.kernels import single_threaded_blas
from phasegrok.run import runfile
from phasegrok.studies import optimisers


@pytest.fixture(autouse=True)
def _one_blas_thread():
    with single_threaded_blas():
        yield


def test_names_mean_settings_of_training():
    s = load("optimisers-subtraction-31", {
        "optimisers.names": ["adamw+ma", "mine", "mine+ema", "sphere"],
        "optimisers.settings": {"mine": {"optimiser": "sgd", "lr": 0.5}, "mine+ema": {"lr": 0.1},
                                "sphere": {"initial_scale": 0.7}}}).model.optimisers
    assert s.changes("adamw+ma") == {"training.optimiser": "adamw", "training.filter": "ma"}
    assert s.changes("mine") == {"training.optimiser": "sgd", "training.lr": 0.5}
    assert s.changes("mine+ema") == {"training.optimiser": "sgd", "training.lr": 0.1,
                                     "training.filter": "ema"}
    assert s.changes("sphere") == {"training.optimiser": "adamw", "training.weight_decay": 0.0,
                                   "training.fixed_norm": True, "training.initial_scale": 0.7}


def test_medians_and_ratios_with_times_that_were_not_seen():
    never = np.nan
    median, error = optimisers.median_time(np.array([10.0, 30.0, never, 20.0, 40.0]))
    assert median == 30.0 and error > 0.0
    assert np.isnan(optimisers.median_time(np.array([10.0, never]))).all()
    twice, once = np.array([20.0, 40.0, 60.0, 80.0]), np.array([10.0, 20.0, 30.0, 40.0])
    assert optimisers.median_ratio(twice, once, 100.0) == (2.0, 0.0, False)  # pairs stay together
    ratio, error, bound = optimisers.median_ratio(np.full(4, never), once, 100.0)
    assert ratio == 4.0 and np.isnan(error) and bound
    ratio, error, bound = optimisers.median_ratio(once, np.full(4, never), 100.0)
    assert np.isnan(ratio) and not bound
    ratio, error, bound = optimisers.median_ratio(once, np.array([20.0, 40.0, 60.0, never]), 100.0)
    assert ratio == 0.5 and np.isnan(error) and not bound  # half of all resamples say nothing


def test_error_of_a_median_is_that_of_many_experiments():
    rng = np.random.default_rng(1)
    times = rng.exponential(size=(400, 41))
    found = np.array([optimisers.median_time(row) for row in times])
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.15)


def of_times(memorised, half, full):
    """A run file of training, as far as a comparison reads it."""
    group = Group()
    n = len(half)
    weight_norm = np.full((n, 4, 2), [3.0, 4.0])
    weight_norm[0, 2:] = np.nan  # a replica that ended early
    for name, data, dims in (
            ("replica", np.arange(n), "replica"), ("step", np.arange(0, 3001, 1000), "step"),
            ("memorisation_step", memorised, "replica"), ("broken_step", [np.nan] * n, "replica"),
            ("generalisation_step_50", half, "replica"),
            ("generalisation_step_95", full, "replica"),
            ("test_accuracy", np.ones((n, 4)), ("replica", "step")),
            ("weight_norm", weight_norm, ("replica", "step", "matrix")),
            ("free_norm", np.full((n, 4), 9.0), ("replica", "step"))):
        group.add(name, data, dims)
    return runfile.RunFile({}, {"training": group})


def test_table_of_known_times():
    card = load("optimisers-subtraction-31", {"optimisers.names": ["adamw", "adamw+ema", "adam"],
                                              "optimisers.settings": {}})
    early, never = [100.0] * 4, [np.nan] * 4
    run = runfile.RunFile({}, optimisers.groups(card, [
        of_times(early, [600.0] * 4, [1000.0] * 4),
        of_times(early, [300.0, 300.0, 300.0, np.nan], never),
        of_times([100.0, 100.0, np.nan, np.nan], never, never)]))
    g = run["optimisers"]
    np.testing.assert_array_equal(g["final_norm"], np.full((3, 4), 5.0))
    np.testing.assert_array_equal(g["final_free_norm"], np.full((3, 4), 9.0))
    np.testing.assert_array_equal(g["ratio_50"], [1.0, 0.5, 5.0])
    np.testing.assert_array_equal(g["ratio_50_bound"], [False, False, True])
    # to hold 95 % for 50 steps it must be there by step 2950
    np.testing.assert_array_equal(g["ratio_95"], [1.0, 2.95, 2.95])
    np.testing.assert_array_equal(g["filter_ratio_50"], [np.nan, 0.5, np.nan])
    np.testing.assert_array_equal(g["generalisation_step_50_censored"], [0, 1, 4])
    assert g["ratio_50_err"][0] == 0.0 and np.isnan(g["ratio_50_err"][2])
    lines = networks.optimiser_lines(run).splitlines()
    assert "600 [600 - 600]" in lines[2] and "1000 [1000 - 1000]" in lines[2]
    assert "300 ± ? [300 - 300] (3/4)" in lines[3] and "> 2.95" in lines[3]
    assert "> 3000 (2/4)" in lines[4] and "never" in lines[4] and "> 5" in lines[4]


def test_comparison_from_the_command_line(tmp_path, call):
    path = tmp_path / "scan"
    small = ["--set", "p=11", "--set", "d_model=20", "--set", "heads=2", "--set", "mlp=24", "--set",
             "precision=float64", "--set", "training.replicas=3", "--set", "training.steps=150",
             "--set", "training.lr=0.01", "--set", "training.weight_decay=0.3"]
    done = call("optimisers", "--set", 'optimisers.names=["adamw", "adamw+ema", "sphere", "sgd"]',
                "--set", "optimisers.settings={sgd={lr=0.01, weight_decay=0.0}}", *small,
                "--out", path)
    assert done.code == 0, done.err
    run = runfile.read(path / "scan.h5")
    g = run["optimisers"]
    assert list(g["optimiser"]) == ["adamw", "adamw+ema", "sphere", "sgd"]
    assert g["test_accuracy"].shape == (4, 3, 16)
    assert (g["test_accuracy"][:, :, 0] == g["test_accuracy"][0, :, 0]).all()  # the same weights
    assert not (g["test_accuracy"][1] == g["test_accuracy"][0]).all()
    assert np.isfinite(g["memorisation_step_median"][0])
    for name in ("ratio_50", "ratio_95", "filter_ratio_50", "filter_ratio_95",
                 "memorisation_step_median", "generalisation_step_95_median"):
        assert f"{name}_err" in g
    assert g.attributes["reference"] == "adamw" and (path / "scan.png").exists()
    assert "adamw+ema" in done.out and "same optimiser without filter" in done.out
    norms = runfile.read(path / "sphere.h5")["training"]["weight_norm"]
    total = np.sqrt((norms**2).sum(axis=2))
    np.testing.assert_allclose(total, total[:, :1] * np.ones_like(total), rtol=1e-12)

    done = call("training", "optimisers-subtraction-31", *small, "--out", tmp_path / "alone.h5")
    assert done.code == 0
    alone = runfile.read(tmp_path / "alone.h5")["training"]
    np.testing.assert_array_equal(alone["test_accuracy"], g["test_accuracy"][0])


@pytest.mark.slow
def test_the_quick_comparison_reaches_95_percent(call):
    """It ended before any of the optimisers was there."""
    done = call("optimisers", "--quick", "--out", "scan")
    assert done.code == 0, done.err
    g = runfile.read("scan/scan.h5")["optimisers"]
    assert list(g["optimiser"]) == ["adamw", "adamw+ma", "adam", "adam+ma", "sphere"]
    adam = g["generalisation_step_95"][2]
    assert np.isfinite(adam).all() and (adam > 4 * g["memorisation_step"][2]).all()
    # of two replicas one may be late by the last digits of its kernels, and its ratio not known
    assert np.isfinite(g["generalisation_step_50"]).any(axis=1).all()


def test_a_card_without_the_section_is_refused(call):
    done = call("optimisers", "transformer-subtraction-31")
    assert done.code == 2 and len(done.errors) == 1
    assert "needs [optimisers] on the card" in done.errors[0]
