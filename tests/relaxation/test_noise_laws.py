"""Laws of noise: times drawn from each, exact first-passage times, and data that cannot say."""

import math

import numpy as np
import pytest
from calibration import assert_calibrated

from phasegrok.relaxation.noise_laws import noise_law
from phasegrok.theory.first_passage import diffusion_first_passage

CLONES, SEEDS = 48, 8


def measured(draw, noise_k, seed, limit=math.inf):
    """The law of ``CLONES`` waiting times at each noise; bounds where most are beyond the limit."""
    rng = np.random.default_rng([seed, 7])
    rows = []
    for noise in noise_k:
        t = draw(noise, CLONES, rng)
        left = int((t < limit).sum())
        if left < CLONES // 2:
            rows.append((np.minimum(t, limit).sum() / max(left, 3), 1.0, np.nan, np.nan, True))
            continue
        cv = t.std(ddof=1) / t.mean()
        again = rng.choice(t, (200, CLONES))
        spread = (again.std(axis=1, ddof=1) / again.mean(axis=1)).std()
        rows.append((t.mean(), t.std(ddof=1) / math.sqrt(CLONES), cv, spread, False))
    tau, tau_err, cv, cv_err, bound = (np.array(column) for column in zip(*rows))
    return noise_law(noise_k, tau, tau_err, cv, cv_err, bound.astype(bool))


def flow(noise, n, rng):
    return rng.wald(1.0, 1.0 / noise, n)  # drift to a wall at 1: CV^2 = noise


def search(noise, n, rng):
    return rng.exponential(10.0, n)


def saddle(noise, n, rng, distance=0.0):
    """dx = x dt from a normal x: exact up to noise on the way."""
    begun = np.abs(distance + math.sqrt(noise) * rng.standard_normal(n))
    return np.maximum(0.05, 0.3 - np.log(begun))


def critical(noise, n, rng):
    return noise**-1.05 * (0.2 + rng.exponential(0.7, n))


def activated(noise, n, rng):
    return 1.0 + 0.2 * math.exp(1.0 / noise) * rng.exponential(1.0, n)


HALVED = 2.0 ** -np.arange(8.0)
BARRIER = 1.0 / np.array([2.5, 3.5, 5.0, 7.0, 10.0, 20.0, 40.0, 80.0])  # the last ones are bounds


@pytest.mark.parametrize("kind, draw, noise_k", [
    ("flow", flow, 0.4 * HALVED), ("search", search, HALVED), ("saddle", saddle, 0.01 * HALVED**2),
    ("flow", lambda *a: saddle(*a, distance=0.3), 0.01 * HALVED),
    ("scaling", critical, 0.04 * HALVED), ("activation", activated, BARRIER)])
def test_times_drawn_from_a_law_are_said_to_follow_it(kind, draw, noise_k):
    found = [measured(draw, noise_k, seed, 1e4) for seed in range(SEEDS)]
    assert all(law.kind in (kind, "open") for law in found), [law.kind for law in found]
    assert sum(law.kind == kind for law in found) >= SEEDS - 2


def test_exponents_and_barriers_have_the_errors_that_they_state():
    powers, barriers = [], []
    for seed in range(40):
        law = measured(critical, 0.04 * HALVED, seed)
        powers.append(next(fit for fit in law.fits if fit.name == "scaling")["p"])
        law = measured(activated, BARRIER, seed, 1e4)
        barriers.append(next(fit for fit in law.fits if fit.name == "activation")["B"])
    for exact, pairs in ((1.05, powers), (1.0, barriers)):
        value, error = np.array(pairs).T
        assert_calibrated((value - exact) / error)
        assert abs(value.mean() / exact - 1.0) < 0.03


def test_exact_passage_times_of_a_double_well_are_activated_over_its_barrier():
    """U = x^4/4 - x^2/2 has a barrier of 1/4; exact means, and exponential times."""
    T_k = 0.25 / np.array([2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 32.0, 50.0])
    tau_k = np.array([diffusion_first_passage(lambda x: x - x**3, T, -1.0, 0.8) for T in T_k])
    law = noise_law(T_k, tau_k, 0.01 * tau_k, np.ones(9), np.full(9, 0.05))
    assert law.kind == "activation"
    kramers = next(fit for fit in law.fits if fit.name == "activation")
    assert kramers["B"][0] == pytest.approx(0.25, rel=0.02)
    assert math.exp(kramers["ln c"][0]) == pytest.approx(2.0 * math.pi / math.sqrt(2.0), rel=0.1)


def test_exact_passage_times_from_the_top_of_a_barrier_grow_as_a_logarithm():
    """dx = x - x^3 from 0 to +-1/2: tau = c - (1/2) ln T."""
    T_k = 0.01 * HALVED**2
    tau_k = np.array([diffusion_first_passage(lambda x: x - x**3, T, 0.0, 0.5, 0.0) for T in T_k])
    cv_k = math.pi / math.sqrt(8.0) / tau_k  # of ln |x| of a normal x
    law = noise_law(T_k, tau_k, 0.01 * tau_k, cv_k, 0.05 * cv_k)
    assert law.kind == "saddle"
    fit = next(fit for fit in law.fits if fit.name == "saddle")
    assert math.exp(fit["ln A"][0]) == pytest.approx(0.5, rel=0.03)
    assert math.exp(fit["ln s/A"][0]) == pytest.approx(math.pi / math.sqrt(2.0), rel=0.03)


def test_a_barrier_of_surface_is_told_in_two_dimensions():
    N_k = np.array([16.0, 25.0, 49.0, 100.0, 196.0, 400.0])
    tau_k = 3.0 * np.exp(0.4 * np.sqrt(N_k))
    law = noise_law(1.0 / N_k, tau_k, 0.1 * tau_k, np.ones(6), np.full(6, 0.1), dimension=2)
    assert law.kind == "activation" and law.best.name == "surface barrier"
    assert law.best["B"][0] == pytest.approx(0.4, rel=0.03)


def test_what_cannot_be_told_is_open_and_says_why():
    draws = 0.01 * HALVED[:3]
    few = measured(saddle, draws, 1)
    assert few.kind == "open" and "at 3 strengths" in few.reason
    narrow = measured(saddle, 0.01 * HALVED ** 0.25, 1)
    assert narrow.kind == "open" and "0.5 decades" in narrow.reason
    none = noise_law(HALVED, np.exp(4.0 * np.sin(np.arange(8.0))), 0.05 * np.ones(8), np.ones(8),
                     np.full(8, 0.1))
    assert none.kind == "open" and "no law holds" in none.reason


@pytest.mark.parametrize("change, words", [
    ({"noise_k": np.r_[HALVED[:7], HALVED[0]]}, "same place"),
    ({"tau_k": np.r_[-1.0, np.ones(7)]}, "not positive"),
    ({"tau_k": np.r_[np.nan, np.ones(7)]}, "not finite"),
    ({"tau_k": np.ones(7)}, "one length"), ({"cv_k": np.ones(9)}, "for each strength")])
def test_bad_input_is_refused_in_a_sentence(change, words):
    given = {"noise_k": HALVED, "tau_k": np.ones(8), "tau_err_k": 0.1 * np.ones(8),
             "cv_k": np.ones(8), "cv_err_k": 0.1 * np.ones(8)}
    with pytest.raises(ValueError, match=words):
        noise_law(**(given | change))
