"""Potentials of single neurons: wells of known laws, their errors, and chains in doubt."""

import math

import numpy as np
import pytest

from phasegrok.groups import Group
from phasegrok.thermodynamics import unit_potential
from phasegrok.thermodynamics.unit_potential import (
    NOT_EQUILIBRATED,
    agreement,
    found_wells,
    potential_group,
    top_below,
)

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
        said.append("DISAGREE" in agreement(counts, np.array([False, False, True, True])))
    assert np.mean(said) < 0.01


def test_top_of_a_known_barrier():
    rng = np.random.default_rng(1)
    edges = np.linspace(0.0, 1.5, 257)
    middle = 0.5 * (edges[1:] + edges[:-1])
    # a parabola with its top at 0.5, 3 nats over the centre, up to a wall at 0.6
    V = 3.0 * (1.0 - (middle - 0.5) ** 2 / 0.25)
    p = np.where(middle < 0.6, np.exp(-V), 0.0)
    p /= p.sum()
    counts = np.zeros((8, 16, 257))
    counts[:, :, :256] = rng.poisson(2000 * p, (8, 16, 256))
    found = top_below(counts, 1.5, 0.6)
    first = middle < 0.03
    exact = 3.0 + math.log(np.mean(np.exp(-V[first])))
    assert 0.0 < found.barrier_err < 0.03
    assert abs(found.barrier - exact) < 3.5 * found.barrier_err
    assert found.at == pytest.approx(0.5, abs=0.02)
    density = math.exp(-3.0) / (2.0 * np.sum(np.exp(-V[middle < 0.6])) * (edges[1] - edges[0]))
    assert abs(found.density - density) < 3.5 * found.density_err


def test_no_top_below_the_wall():
    counts = np.zeros((4, 8, 257))
    counts[:, :, :100] = np.exp(-np.linspace(0.0, 5.0, 100)) * 1000
    assert math.isnan(top_below(counts, 1.5, 0.58).barrier)


def chains_of(r_hat=1.01, **attributes):
    group = Group(attributes=attributes)
    group.add("observable", [0, 1], "observable", "1", "train_loss, residual_1")
    group.add("r_hat", [1.0, r_hat], "observable")
    return group


@pytest.mark.parametrize("chains, said", [
    (chains_of(configurational_temperature=1.03, kinetic_temperature=0.98), ""),
    (chains_of(configurational_temperature=1.2, configurational_temperature_err=0.06), ""),
    (chains_of(configurational_temperature=5.0, wall=0.6), ""),
    (chains_of(r_hat=1.3, configurational_temperature=1.0), "R-hat of residual 1 1.30"),
    (chains_of(r_hat=math.inf, configurational_temperature=1.0), "R-hat of residual 1 inf"),
    (chains_of(configurational_temperature=1.2, configurational_temperature_err=0.01),
     "configurational temperature 1.2, not 1: take a shorter step"),
    (chains_of(configurational_temperature=1.0, kinetic_temperature=0.9), "kinetic temperature"),
    (chains_of(configurational_temperature=math.nan), "configurational temperature nan"),
])
def test_equal_starts_are_not_all_that_is_needed(chains, said):
    """Chains of both starts may agree and yet differ among themselves, or be too hot."""
    against = unit_potential.doubts(chains)
    assert (said in "; ".join(against)) and bool(against) is bool(said)
    agreeing = Group(attributes={"convergence": "chains begun from the prior and aligned agree"})
    assert unit_potential.equilibrated(agreeing, chains) is (not said)
    counts = np.random.default_rng(1).poisson(100.0, (4, 8, 41))
    potential = unit_potential.potential_group(counts, 0.0 * counts, 2.0, np.arange(4) >= 2, "s", 5,
                                               against)
    text = potential.attributes["convergence"]
    assert text.startswith("NOT EQUILIBRATED") is bool(said) and said in text
    assert (potential.attributes["phase"] == unit_potential.NOT_EQUILIBRATED) is bool(said)
    assert not unit_potential.equilibrated(
        Group(attributes={"convergence": "not known: two chains"}), chains)


@pytest.mark.parametrize("apart", [False, True])
def test_no_wells_of_a_unit_while_the_chains_disagree(apart):
    """Two humps of |Phi|: visited alike by all chains, or one by each start."""
    rng = np.random.default_rng(2)
    aligned = np.arange(8) >= 4
    bins = np.arange(200)
    humps = np.array([np.exp(-0.5 * ((bins - c) / 15.0) ** 2) for c in (0.0, 150.0)])
    share = np.where(aligned, 0.0, 1.0) if apart else np.full(8, 0.6)
    p = np.array([s * humps[0] + (1.0 - s) * humps[1] + 1e-4 for s in share])
    p = np.concatenate([p / p.sum(axis=1, keepdims=True), np.zeros((8, 1))], axis=1)
    counts = np.stack([rng.multinomial(20_000, p / p.sum(axis=1, keepdims=True))
                       for _ in range(8)], axis=1)
    group = potential_group(counts, np.zeros(counts.shape), 2.0, aligned, "s", 100)
    assert ("DISAGREE" in group.attributes["convergence"]) == apart
    assert (group.attributes["phase"] == NOT_EQUILIBRATED) == apart
    assert np.isnan(group["barrier"]) == apart and np.isnan(group["well"]) == apart
