"""Values after ramps that were made by a law: its parameters come back, and the choice is right."""

import numpy as np
import pytest
from calibration import assert_calibrated

from phasegrok.relaxation.fitted_laws import OPEN
from phasegrok.relaxation.ramps import LOGARITHM, POWER, STEP, logarithm, power, ramp_law, step

RATES = np.geomspace(1e-5, 1e-2, 10)
LAWS = {
    LOGARITHM: (logarithm, lambda r: 0.3 + 0.02 * np.log(r), {"a": 0.3, "b": 0.02}),
    POWER: (power, lambda r: 0.1 + 0.8 * r**0.4, {"a": 0.1, "b": 0.8, "c": 0.4}),
    STEP: (step, lambda r: np.where(r < 3e-4, 0.1, 0.2), {"y-": 0.1, "y+": 0.2}),
}


def made(law, error, seed, rates=RATES):
    """Values with noise of one size."""
    noise = np.random.default_rng(seed).normal(size=len(rates))
    return law(rates) + error * noise, np.full(len(rates), error)


@pytest.mark.parametrize("name", LAWS)
def test_parameters_come_back_within_their_errors(name):
    fit, law, exact = LAWS[name]
    found = [fit(RATES, *made(law, 0.0005, seed)) for seed in range(100)]
    for parameter, value in exact.items():
        assert_calibrated([(f[parameter][0] - value) / f[parameter][1] for f in found])
        assert np.mean([f[parameter][1] for f in found]) < 0.04 * abs(value)
    chi2, dof = np.array([f.chi2 for f in found]), found[0].dof
    assert dof == len(RATES) - len(found[0].parameters)
    if name != STEP:  # the place of a step is no linear parameter
        assert abs(chi2.mean() - dof) < 3.5 * np.sqrt(2.0 * dof / len(found))
    assert sum(f.fits for f in found) >= 88


def test_parameters_without_noise():
    for fit, law, exact in LAWS.values():
        found = fit(RATES[::-1], law(RATES)[::-1], np.full(10, 0.001))
        for parameter, value in exact.items():
            assert found[parameter][0] == pytest.approx(value, rel=1e-5)


def test_the_rate_of_a_step():
    """Anywhere in the range, and with noise by which neighbouring gaps are possible too."""
    rng, z = np.random.default_rng(4), []
    inner = np.log(RATES[[1, -2]])
    for seed in range(200):
        place = rng.uniform(*inner)
        y, error = made(lambda r, at=place: np.where(np.log(r) < at, 0.1, 0.2), 0.04, seed)
        found = step(RATES, y, error)["ln r*"]
        z.append((found[0] - place) / found[1])
    assert abs(np.mean(z)) < 3.5 / np.sqrt(200) and 0.85 < np.sqrt(np.mean(np.square(z))) < 1.15
    sharp = step(RATES, LAWS[STEP][1](RATES), np.full(10, 1e-3))["ln r*"]
    gap = np.log(RATES[4:6])  # 2.2e-4 and 4.6e-4
    assert sharp == pytest.approx((gap.mean(), np.diff(gap)[0] / np.sqrt(12.0)))


@pytest.mark.parametrize("name", LAWS)
def test_the_law_is_chosen(name):
    chosen = [ramp_law(RATES, *made(LAWS[name][1], 0.001, seed)) for seed in range(40)]
    laws = [choice.law for choice in chosen]
    assert set(laws) <= {name, OPEN} and laws.count(name) >= 36
    assert all((POWER in choice.same) == (choice.law == LOGARITHM) for choice in chosen)


def test_it_stays_open_where_the_data_cannot_say():
    """A logarithm whose errors are a quarter of its range: powers and steps are possible."""
    rates = np.geomspace(1e-5, 1e-2, 6)
    chosen = [ramp_law(rates, *made(LAWS[LOGARITHM][1], 0.035, seed, rates))
              for seed in range(200)]
    assert [choice.law for choice in chosen].count(OPEN) >= 188


@pytest.mark.parametrize("rates, y, error, sentence", [
    (np.geomspace(1e-4, 0.09, 10), np.ones(10), np.ones(10), "slower ramps"),
    (RATES[:5], np.ones(5), np.ones(5), "at least 6 points"),
    (RATES, np.full(10, np.inf), np.ones(10), "not finite"),
    (RATES, np.ones((10, 1)), np.ones(10), "one length"),
    (-RATES, np.ones(10), np.ones(10), "positive place"),
])
def test_bad_input_is_refused(rates, y, error, sentence):
    with pytest.raises(ValueError, match=sentence):
        ramp_law(rates, y, error)
