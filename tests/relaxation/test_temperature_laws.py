"""Relaxation times that were made by a law: its parameters come back, and the choice is right."""

import numpy as np
import pytest
from calibration import assert_calibrated

from phasegrok.relaxation.fitted_laws import OPEN
from phasegrok.relaxation.temperature_laws import (
    ARRHENIUS,
    CRITICAL_POWER,
    VOGEL_FULCHER_TAMMANN,
    arrhenius,
    critical_power_law,
    temperature_law,
    vogel_fulcher_tammann,
)

T = np.linspace(1.0, 2.5, 10)
LAWS = {
    ARRHENIUS: (arrhenius, lambda T: -2.0 + 8.0 / T, {"ln tau0": -2.0, "B": 8.0}),
    VOGEL_FULCHER_TAMMANN: (vogel_fulcher_tammann, lambda T: -2.0 + 3.0 / (T - 0.6),
                            {"ln tau0": -2.0, "B": 3.0, "T0": 0.6}),
    CRITICAL_POWER: (critical_power_law, lambda T: 1.0 - 2.2 * np.log(T / 0.9 - 1.0),
                     {"ln tau0": 1.0, "gamma": 2.2, "Tc": 0.9}),
}


def made(law, scatter, seed, temperatures=T):
    """Times with their errors, which are a share of the exact ones."""
    ln_tau = law(temperatures) + scatter * np.random.default_rng(seed).normal(
        size=len(temperatures))
    return np.exp(ln_tau), scatter * np.exp(ln_tau)


@pytest.mark.parametrize("name", LAWS)
def test_parameters_come_back_within_their_errors(name):
    fit, law, exact = LAWS[name]
    found = [fit(T, *made(law, 0.02, seed)) for seed in range(100)]
    for parameter, value in exact.items():
        assert_calibrated([(f[parameter][0] - value) / f[parameter][1] for f in found])
        assert np.mean([f[parameter][1] for f in found]) < 0.03 * abs(value)
    dof = len(T) - len(exact)
    chi2 = np.array([f.chi2 for f in found])
    assert abs(chi2.mean() - dof) < 3.5 * np.sqrt(2.0 * dof / len(found))
    assert sum(f.fits for f in found) >= 88 and found[0].dof == dof


@pytest.mark.parametrize("name", LAWS)
def test_parameters_without_noise(name):
    fit, law, exact = LAWS[name]
    tau = np.exp(law(T))
    found = fit(T[::-1], tau[::-1], 0.01 * tau)
    assert found.value == pytest.approx(list(exact.values()), rel=1e-5)
    assert found.fits and found.chi2 < 1e-6


@pytest.mark.parametrize("name", LAWS)
def test_the_law_is_chosen(name):
    chosen = [temperature_law(T, *made(LAWS[name][1], 0.02, seed)) for seed in range(40)]
    laws = [choice.law for choice in chosen]
    assert set(laws) <= {name, OPEN} and laws.count(name) >= 36
    assert all((VOGEL_FULCHER_TAMMANN in choice.same) == (name == ARRHENIUS) for choice in chosen)


@pytest.mark.parametrize("name", LAWS)
def test_it_stays_open_where_the_data_cannot_say(name):
    """Few points over a narrow range."""
    narrow = np.linspace(1.5, 1.8, 5)
    chosen = [temperature_law(narrow, *made(LAWS[name][1], 0.1, seed, narrow))
              for seed in range(40)]
    laws = [choice.law for choice in chosen]
    assert laws.count(OPEN) >= 38
    assert all(choice.difference < 4.0 for choice in chosen if choice.law == OPEN)


def test_a_law_that_does_not_fit_says_so():
    tau = np.exp(LAWS[VOGEL_FULCHER_TAMMANN][1](T))
    found = arrhenius(T, tau, 0.01 * tau)
    assert not found.fits and "does not fit" in str(found)
    assert found.enlarged == pytest.approx(np.sqrt(found.chi2 / 8)) and found.enlarged > 10.0
    line = np.polyfit(1.0 / T, np.log(tau), 1)
    assert found["B"][0] == pytest.approx(line[0], rel=1e-6)
    covariance = np.polyfit(1.0 / T, np.log(tau), 1, cov=True)[1]
    assert found["B"][1] == pytest.approx(np.sqrt(covariance[0, 0]), rel=1e-3)


def test_errors_that_are_too_small_decide_nothing():
    """The scatter is ten times what is said: as open as with the right errors."""
    narrow = np.linspace(1.5, 1.8, 12)
    tau, error = made(LAWS[CRITICAL_POWER][1], 0.1, 3, narrow)
    choice = temperature_law(narrow, tau, 0.1 * error)
    assert choice.law == OPEN and not choice.best.fits and str(choice).startswith("open")


def test_a_barrier_that_falls_on_cooling_ends_at_the_edge():
    tau = np.exp(4.0 / T - 1.5 / T**2)
    assert vogel_fulcher_tammann(T, tau, 0.01 * tau).at_edge == ("T0",)


@pytest.mark.parametrize("temperatures, tau, error, sentence", [
    (T, np.ones(9), np.ones(9), "one length"),
    (T, np.full(10, np.nan), np.ones(10), "not finite"),
    (T, np.ones(10), np.zeros(10), "no positive error"),
    (-T, np.ones(10), np.ones(10), "positive place"),
    (T, -np.ones(10), np.ones(10), "not positive"),
    (np.ones(10), np.ones(10), np.ones(10), "same place"),
    (T[:4], np.ones(4), np.ones(4), "at least 5 points"),
])
def test_bad_input_is_refused(temperatures, tau, error, sentence):
    with pytest.raises(ValueError, match=sentence):
        temperature_law(temperatures, tau, error)
