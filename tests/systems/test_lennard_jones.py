"""Thirteen Lennard-Jones atoms about their centre of mass: minimum, melting, density of states."""

import math

import numpy as np
import pytest
from driving import drive

from phasegrok import cards
from phasegrok.dynamics.hamiltonian_steps import HamiltonianSteps
from phasegrok.protocols.canonical import Canonical
from phasegrok.studies.density_of_states import density_of_states
from phasegrok.systems import hamiltonian
from phasegrok.systems.checks import check_system
from phasegrok.systems.lennard_jones import Parameters

RADIUS, STIFFNESS = 2.0, 50.0


def energy(r):
    """Of pairs, and of the wall about the centre of mass."""
    n, total = len(r), 0.0
    centre = np.zeros(3)
    for i in range(n):
        centre += r[i] / n
    for i in range(n):
        beyond = math.sqrt(((r[i] - centre) ** 2).sum()) - RADIUS
        total += STIFFNESS * max(0.0, beyond) ** 2
        for j in range(i):
            six = ((r[i] - r[j]) ** 2).sum() ** -3.0
            total += 4.0 * (six * six - six)
    return total


MELTING = {0.265: (-2.8577, 0.0018, 6.40, 0.064), 0.285: (-2.7182, 0.0026, 7.336, 0.042),
           0.31: (-2.5499, 0.0026, 5.841, 0.049)}
"""T: energy and heat capacity an atom, with errors, by Metropolis moves of one atom at nine
temperatures from .25 to .33 with exchanges, two runs of 540000 sweeps: another code, no gradient.
"""


def atoms(N, centre="mass", radius=RADIUS):
    return Parameters(N=N, radius=radius, centre=centre).build({})


def test_the_wall_is_where_it_is_said_to_be():
    rng = np.random.default_rng(4)
    r = 1.3 * rng.normal(size=(13, 3)) + 5.0
    slope = np.empty(39)
    E = hamiltonian.evaluated(atoms(13), r.ravel(), slope)
    assert E == pytest.approx(energy(r), rel=1e-12)
    assert np.abs(slope.reshape(13, 3).sum(axis=0)).max() < 1e-9 * np.abs(slope).max()
    far = np.array([[1.0, 0.0, 0.0], [5.0, 0.0, 0.0]])
    pair = 4.0 * (4.0**-12 - 4.0**-6)
    fixed = hamiltonian.evaluated(atoms(2, "origin", 1.5), far.ravel(), np.empty(6))
    assert fixed == pytest.approx(pair + 50.0 * 3.5**2)
    moving = hamiltonian.evaluated(atoms(2, "mass", 1.5), far.ravel(), np.empty(6))
    assert moving == pytest.approx(pair + 50.0 * 2.0 * 0.5**2)
    check_system(atoms(13), "hamiltonian")


def test_the_icosahedron_is_found_and_has_twelve_atoms_about_one():
    """Of the card, from random starts: -44.326801 (Hoare and Pal 1971)."""
    system = cards.load("lennard-jones-13").build()
    x = system.configuration(1.0, np.random.default_rng(1))
    assert hamiltonian.evaluated(system, x, np.empty(39)) == pytest.approx(-44.326801, abs=2e-6)
    r = x.reshape(13, 3) - x.reshape(13, 3).mean(axis=0)
    distance = np.sort(np.linalg.norm(r, axis=1))
    assert distance[0] < 1e-3 and np.ptp(distance[1:]) < 1e-3
    gaps = np.linalg.norm(r[:, None] - r, axis=2)[np.triu_indices(13, 1)]
    assert (gaps < 1.3).sum() == 42  # 12 to the centre and the 30 edges


@pytest.mark.slow
def test_thirteen_atoms_melt_as_moves_of_single_atoms_find():
    engine = HamiltonianSteps((atoms(13),), 0.03, 0.5)
    temperatures = (0.25, 0.265, 0.275, 0.285, 0.3, 0.31, 0.33)
    protocol = Canonical(engine, temperatures, 16, 240_000, 20_000, True, False)
    group = protocol.result(drive(protocol))["averages"]
    assert group.attributes["converged"], group.attributes["converged_reason"]
    for T, (energy_s, energy_err, capacity, capacity_err) in MELTING.items():
        k = temperatures.index(T)
        for name, value, error, largest in (("energy", energy_s, energy_err, 0.004),
                                            ("heat_capacity", capacity, capacity_err, 0.09)):
            both = math.hypot(error, group[f"{name}_err"][k])
            assert both < largest
            assert abs(group[name][k] - value) < 3.5 * both


def test_the_landscape_of_a_cluster_reaches_from_its_minimum_to_the_liquid():
    """Its `lowest` is a bound, far below the minimum: bins from there on ended below all states."""
    card = cards.load("lennard-jones-13", {
        "sample.sweeps": 4000, "sample.equilibration": 1000, "sample.replicas": 16,
        "sample.temperatures": "0.25,0.3,0.35,0.4"})
    protocol = density_of_states(card)
    group = protocol.result(drive(protocol))["density_of_states"]
    assert group.attributes["beyond"] < 0.05
    assert group["energy"][0] < -38.0 and group["energy"][-1] > -26.0
    assert np.all(np.diff(group["log_g"][:: len(group["log_g"]) // 5]) > 0.0)
