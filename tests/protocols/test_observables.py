"""What a system of coordinates measures of its own: planar spins and their helicity modulus."""

import math
import re

import numpy as np
import pytest
from driving import drive
from repository import MODELS
from scipy.special import iv, ive

from phasegrok import cards
from phasegrok.cards.kinds import parameters_class
from phasegrok.dynamics.hamiltonian_steps import HamiltonianSteps
from phasegrok.errors import InputError
from phasegrok.protocols.canonical import Canonical
from phasegrok.studies.sampling import sampling, sampling_groups
from phasegrok.systems import discrete
from phasegrok.systems.checks import check_system
from phasegrok.systems.phi4 import Phi4
from phasegrok.theory import coordinates


def averages(kind, temperatures, sweeps, step, **parameters):
    """Group ``averages`` of 16 replicas at each temperature, with inertia."""
    engine = HamiltonianSteps((parameters_class(kind)(**parameters).build({}),), step, 0.7)
    protocol = Canonical(engine, temperatures, 16, sweeps, 2000, False, tune=False)
    return protocol.result(drive(protocol))["averages"]


def test_stiffness_of_three_planar_spins_is_that_of_a_double_integral():
    """By its definition as a variance, and as a difference of free energies under a twist."""
    angle = np.linspace(0.0, 2.0 * math.pi, 96, endpoint=False)
    a, b = np.meshgrid(angle, angle)
    bonds, J = np.array([a, b - a, -b]), 1.5
    for T in (0.4, 1.0, 5.0):
        weight = np.exp(J * np.cos(bonds).sum(axis=0) / T)
        cosine = (weight * np.cos(bonds).sum(axis=0)).sum() / weight.sum()
        square = (weight * np.sin(bonds).sum(axis=0) ** 2).sum() / weight.sum()
        found = coordinates.xy_ring_helicity(3, J, T)
        assert found == pytest.approx(J * cosine / 3.0 - J**2 * square / (3.0 * T), rel=1e-9)
        turned = np.exp(J * np.cos(bonds + 1e-3 / 3.0).sum(axis=0) / T)
        curvature = -2.0 * T * math.log(turned.sum() / weight.sum()) / 1e-6
        assert found == pytest.approx(3.0 * curvature, rel=1e-4)


def test_helicity_modulus_of_a_ring_is_exact():
    temperatures = (0.15, 0.4, 1.0)
    group = averages("xy", temperatures, 20_000, 0.4, L=6, dimension=1)
    exact = np.array([coordinates.xy_ring_helicity(6, 1.0, T) for T in temperatures])
    z = (group["helicity_modulus"] - exact) / group["helicity_modulus_err"]
    assert np.abs(z).max() < 4.0 and np.sqrt(np.mean(z**2)) < 2.0
    assert np.all(group["helicity_modulus_err"] < 0.01)  # of J; exact: .95 ... .1
    assert group["bond_energy"] == pytest.approx(-group["energy"], abs=0.01)
    assert list(group.attributes["observables"]) == ["bond_energy", "current_squared",
                                                     "helicity_modulus"]


def test_helicity_modulus_in_the_plane_is_that_of_spin_waves_and_zero_far_above():
    """Y = J - T/4 (1 - 1/N) + O(T^2/J) below; above, both of its parts cancel, which are
    J^2/(2 T) each."""
    J, n = 0.5, 64
    T = 0.06 * J
    group = averages("xy", (T, 4.0 * J), 12_000, 0.35, L=8, J=J)
    (low, high), error = group["helicity_modulus"], group["helicity_modulus_err"]
    spin_wave = J - 0.25 * T * (1.0 - 1.0 / n)
    assert error[0] < 3e-4 * J and error[1] < 0.004 * J
    assert abs(low - spin_wave) < 4.0 * error[0] + 0.1 * T**2 / J
    assert abs(high) < 4.0 * error[1]
    t = ive(1, 0.25) / ive(0, 0.25)
    assert group["bond_energy"][1] == pytest.approx(J * (t + 2.0 * t**3), abs=2e-3 * J)


def nine_planar_spins(J, T, most=7, points=32):
    """Energy a site and helicity modulus of the periodic 3 x 3 lattice.

    In Fourier modes m of the three angles of a row the transfer matrix is diag(I_m1 I_m2 I_m3)
    times the convolution with the weight of the bonds in the row; it conserves M = m1 + m2 + m3,
    and a twist between the rows multiplies the sector by e^(i M phi).  So Y = T <M^2>.
    """
    K, angle = J / T, 2.0 * math.pi / points * np.arange(points)
    a, b, c = np.meshgrid(angle, angle, angle, indexing="ij")
    row = np.exp(K * (np.cos(a - b) + np.cos(b - c) + np.cos(c - a)))
    modes = np.fft.fftn(row).real / points**3
    m = np.arange(-most, most + 1)
    states = np.stack(np.meshgrid(m, m, m, indexing="ij"), axis=-1).reshape(-1, 3)
    M, trace = states.sum(axis=1), {}
    for total in np.unique(M):
        inside = states[M == total]
        root = np.sqrt(iv(inside, K).prod(axis=1))
        change = np.moveaxis(inside[:, None] - inside, 2, 0) % points
        value = np.linalg.eigvalsh(root[:, None] * modes[tuple(change)] * root)
        trace[total] = (value**3).sum()
    Z = sum(trace.values())
    return math.log(Z), T * sum(total**2 * part for total, part in trace.items()) / Z


def test_helicity_modulus_of_nine_spins_in_the_plane_is_that_of_their_transfer_matrix():
    J, temperatures, h = 1.5, (1.2, 1.8), 1e-4
    group = averages("xy", temperatures, 16_000, 0.3, L=3, J=J)
    for k, T in enumerate(temperatures):
        beta = 1.0 / T
        log_Z, exact = nine_planar_spins(J, T)
        energy = -(nine_planar_spins(J, 1.0 / (beta + h))[0] - log_Z) / h / 9.0
        for name, value in (("helicity_modulus", exact), ("energy", energy)):
            error = group[f"{name}_err"][k]
            assert error < 0.008 * abs(value)
            assert abs(group[name][k] - value) < 4.0 * error


def test_observables_do_not_depend_on_how_a_run_is_cut():
    engine = HamiltonianSteps((parameters_class("xy")(L=4).build({}),), 0.2, 0.7)
    protocol, states = Canonical(engine, (0.5, 1.0), 8, 12_000, 300, True, False), []
    for block in (12_000, 77):
        state = protocol.init(3)
        while protocol.done(state) < protocol.total():
            protocol.advance(state, block)
        states.append(state)
    assert np.array_equal(states[0].observed, states[1].observed)
    measured = states[0].observed.shape[2] * states[0].block_length
    assert states[0].block_length > 10 and measured >= 11_700
    mean = -states[0].observed[..., 0].sum(axis=2) / 1170 * 2.0
    energy = states[0].moments[..., 0].sum(axis=2) / 11_700 / 16
    assert mean == pytest.approx(energy, abs=0.02)


def test_exact_stiffness_of_a_ring_and_the_universal_line_stand_beside():
    card = cards.load("xy-2d", {"sample.sweeps": 600, "sample.equilibration": 100,
                                "parameters.L": 4, "sample.temperatures": "0.5,1.0"})
    protocol = sampling(card)
    group = sampling_groups(card, protocol, drive(protocol))["averages"]
    assert group["jump_helicity_modulus"] == pytest.approx(2.0 / math.pi * np.array([0.5, 1.0]))
    assert "exact_helicity_modulus" not in group
    card = cards.load("xy-2d", {"sample.sweeps": 600, "sample.equilibration": 100,
                                "parameters.dimension": 1, "sample.temperatures": "0.5,1.0"})
    protocol = sampling(card)
    group = sampling_groups(card, protocol, drive(protocol))["averages"]
    assert group["exact_helicity_modulus"][0] == coordinates.xy_ring_helicity(16, 1.0, 0.5)
    assert "jump_helicity_modulus" not in group


# --- what a user may do wrong --------------------------------------------------------------------


def size(system, x, out):
    """The mean square of the fields."""
    out[0] = 0.0
    for i in range(x.shape[0]):
        out[0] += x[i] * x[i] / x.shape[0]


def forgets(system, x, out):
    """One of two."""
    out[0] = 1.0


SQUARE = {"square": ("1", "mean square of a field")}


def own(observables, derived=None, function=size):
    """Fields with observables of their own."""
    system = parameters_class("phi4")(L=3, K=0.5).build({})
    cls = type("Own", (Phi4,), {"observables": observables, "derived": derived or {}})
    for name in ("energy_gradient", "order_parameter"):
        discrete.GENERIC[name][cls] = discrete.GENERIC[name][Phi4]
    if function is not None:
        discrete.GENERIC["observe_coordinates"][cls] = function
    return cls(*system)


def test_observables_that_are_right_are_taken():
    check_system(own(SQUARE, {"stiffness": ("1", "T over it", lambda T, mean: T / mean["square"])}),
                 "hamiltonian")


@pytest.mark.parametrize("arguments, words", [
    ((SQUARE, None, None), "observe_coordinates gives no finite square"),
    ((SQUARE | {"fourth": ("1", "of it")}, None, forgets), "gives no finite fourth at the state"),
    (({"square": "mean square"},), "each with its unit and meaning; not 'square'"),
    (({"mean square": ("1", "of a field")},), "not 'mean square'"),
    ((SQUARE, {"square": ("1", "T", lambda T, mean: T)}), "observables and derived both have"),
    ((SQUARE, {"stiffness": ("1", "T", lambda T, mean: T)}), "takes T and arrays of means"),
    ((SQUARE, {"stiffness": ("1", "T", lambda T, mean: mean["squre"])}), "KeyError")])
def test_observables_that_are_wrong_are_named_before_the_run(arguments, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        check_system(own(*arguments), "hamiltonian")


def test_an_observable_has_no_name_that_is_taken(tmp_path):
    (tmp_path / "own.py").write_text(
        "from phasegrok.systems.hamiltonian import behaviour\n"
        "from phasegrok.systems import phi4, discrete\n"
        "class Fields(phi4.Phi4):\n"
        "    observables = {'energy': ('1', 'one')}\n"
        "for name in ('energy_gradient', 'order_parameter'):\n"
        "    behaviour(Fields, name)(discrete.GENERIC[name][phi4.Phi4])\n"
        "@behaviour(Fields)\n"
        "def observe_coordinates(system, x, out):\n"
        "    out[0] = 1.0\n"
        "class Parameters(phi4.Parameters):\n"
        "    def build(self, arrays):\n"
        "        return Fields(*super().build(arrays))\n")
    text = (MODELS / "phi4-chain.toml").read_text()
    (tmp_path / "own.toml").write_text(text.replace(
        'kind = "phi4"', 'kind = "own"\ncode = "own.py:Parameters"\nfamily = "hamiltonian"'))
    with pytest.raises(InputError, match="energy: of every system"):
        sampling(cards.load(str(tmp_path / "own.toml")))
