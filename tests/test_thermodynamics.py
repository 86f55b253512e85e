"""Densities of states and effective potentials against exact enumeration and Curie-Weiss."""

import math

import numpy as np
import pytest
from scipy.special import gammaln

from phasegrok.thermodynamics import density_of_states as dos


def ising_4x4():
    """Exact joint table of the periodic 4 x 4 Ising lattice: energies, M, log g(E, M) with NaN."""
    bits = np.arange(1 << 16)
    s_ni = (2 * ((bits[:, None] >> np.arange(16)) & 1) - 1).reshape(-1, 4, 4).astype(np.int64)
    E_n = -(s_ni * np.roll(s_ni, 1, 1) + s_ni * np.roll(s_ni, 1, 2)).sum(axis=(1, 2))
    M_n = s_ni.sum(axis=(1, 2))
    energies, row = np.unique(E_n, return_inverse=True)
    magnetisations = np.arange(-16, 17)
    g_EM = np.zeros((energies.size, 33))
    np.add.at(g_EM, (row, M_n + 16), 1)
    log_g_EM = np.full(g_EM.shape, np.nan)
    log_g_EM[g_EM > 0] = np.log(g_EM[g_EM > 0])
    return energies.astype(float), magnetisations.astype(float), log_g_EM, E_n, M_n


def walkers(log_g_c, n_walkers, n_samples, seed, disorder=0.5):
    """Histograms of ideal walkers whose frozen weights are ln g plus their own smooth error."""
    rng = np.random.default_rng(seed)
    x_c = np.linspace(-1.0, 1.0, log_g_c.size)
    u_wc = log_g_c + rng.normal(size=(n_walkers, 1)) * 5.0 + disorder * (
        rng.normal(size=(n_walkers, 1)) * x_c + rng.normal(size=(n_walkers, 1)) * x_c**2
    )
    H_wc = np.empty(u_wc.shape, dtype=np.int64)
    for w in range(n_walkers):
        p_c = np.exp(log_g_c - u_wc[w] - np.max(log_g_c - u_wc[w]))
        H_wc[w] = rng.multinomial(n_samples, p_c / p_c.sum())
    return H_wc, u_wc


def test_walkers_combine_to_the_exact_density_of_states():
    exact_c = dos.marginal(ising_4x4()[2], axis=1)
    log_total = 16.0 * math.log(2.0)
    pulls, spread, claimed = [], [], []
    for seed in range(60):
        H_wc, u_wc = walkers(exact_c, 8, 20000, seed)
        log_g_c, jackknife_wc = dos.combine_walkers(H_wc, u_wc, log_total)
        error_c = dos.log_g_error(jackknife_wc)
        pulls.append(((log_g_c - exact_c) / error_c)[1:-1])
        spread.append(log_g_c - exact_c)
        claimed.append(error_c)
        assert np.logaddexp.reduce(log_g_c) == pytest.approx(log_total, abs=1e-10)
    z_c = np.mean(pulls, axis=0) * math.sqrt(60) / math.sqrt(7 / 5)  # Student t, 7 d.o.f.
    assert np.abs(z_c).max() < 3.2
    # Cells are correlated through the normalisation; a few are independent.
    ratio = math.sqrt(np.mean(np.square(spread)) / np.mean(np.square(claimed)))
    assert abs(ratio - 1.0) < 0.1


def test_solution_satisfies_the_multi_histogram_equations():
    rng = np.random.default_rng(3)
    log_g_c = 40.0 * np.sin(np.linspace(0.0, 3.0, 30)) + 600.0
    H_wc, u_wc = walkers(log_g_c, 5, 4000, 1, disorder=3.0)
    u_wc[1, 20:] = np.inf  # walker 1 never knew the upper cells
    u_wc[2, :5] = np.nan
    H_wc[1, 20:] = 0
    H_wc[2, :5] = 0
    H_wc[:, 7] = 0  # nobody came here
    result_c, jackknife_wc = dos.combine_walkers(H_wc, u_wc, 700.0)
    assert math.isnan(result_c[7]) and np.isfinite(np.delete(result_c, 7)).all()
    # Independent solution: plain fixed-point iteration of the equations as they stand.
    known_wc = np.isfinite(u_wc) & (np.arange(30) != 7)
    weight_wc = np.where(known_wc, np.exp(-(np.where(known_wc, u_wc, 0.0) - 600.0)), 0.0)
    Z_w = np.exp(rng.normal(size=5))
    n_w = H_wc.sum(axis=1)
    for _ in range(20000):
        g_c = H_wc.sum(axis=0) / ((n_w / Z_w) @ weight_wc + (np.arange(30) == 7))
        Z_w = weight_wc @ g_c
        Z_w /= Z_w[0]
    reference_c = np.log(g_c[np.arange(30) != 7])
    reference_c += 700.0 - np.logaddexp.reduce(reference_c)
    assert np.delete(result_c, 7) == pytest.approx(reference_c, abs=1e-8)
    assert jackknife_wc.shape == (5, 30)
    without_0, _ = dos.combine_walkers(H_wc[1:], u_wc[1:], 700.0)
    assert jackknife_wc[0] == pytest.approx(without_0, abs=1e-8, nan_ok=True)


def test_windows_that_overlap_are_joined_exactly():
    # Expected counts instead of drawn ones: the equations must return ln g to rounding.
    log_g_c = np.linspace(0.0, 900.0, 40)
    u_wc = np.tile(log_g_c, (3, 1)) + np.array([[3.0], [-500.0], [40.0]])
    H_wc = np.zeros((3, 40), dtype=np.int64)
    for w, (low, high) in enumerate([(0, 16), (14, 30), (28, 40)]):
        u_wc[w, :low] = u_wc[w, high:] = np.inf
        H_wc[w, low:high] = 1000
    log_total = np.logaddexp.reduce(log_g_c)
    result_c, jackknife_wc = dos.combine_walkers(H_wc, u_wc, log_total)
    assert result_c == pytest.approx(log_g_c, abs=1e-8)
    # Without the middle window the outer two are not connected: no error can be given.
    assert np.isnan(jackknife_wc[1]).all()
    assert np.isnan(dos.log_g_error(jackknife_wc)).all()
    with pytest.raises(ValueError, match="share too few cells"):
        dos.combine_walkers(H_wc[::2], u_wc[::2], log_total)


def test_one_walker_has_no_error():
    log_g_c = np.array([0.0, 2.0, 3.0])
    log_total = np.logaddexp.reduce(log_g_c)
    result_c, jackknife_wc = dos.combine_walkers([[5, 5, 5]], [log_g_c - 7.0], log_total)
    assert result_c == pytest.approx(log_g_c, abs=1e-12)
    assert np.isnan(dos.log_g_error(jackknife_wc)).all()
    idle = np.zeros(3, dtype=int)
    with_idle, _ = dos.combine_walkers([[5, 5, 5], idle], [log_g_c, log_g_c + 1], log_total)
    assert with_idle == pytest.approx(log_g_c, abs=1e-12)


def test_bad_histograms_are_refused():
    with pytest.raises(ValueError, match="no weight"):
        dos.combine_walkers([[1, 2]], [[0.0, np.inf]], 0.0)
    with pytest.raises(ValueError, match="any cell"):
        dos.combine_walkers([[0, 0]], [[0.0, 0.0]], 0.0)
    with pytest.raises(ValueError, match="must be"):
        dos.combine_walkers([1, 2], [[0.0, 0.0]], 0.0)
    with pytest.raises(ValueError, match="negative"):
        dos.combine_walkers([[1, -2]], [[0.0, 0.0]], 0.0)


def test_canonical_is_the_sum_over_all_states():
    energies, _, log_g_EM, E_n, _ = ising_4x4()
    log_g_E = dos.marginal(log_g_EM, axis=1)
    temperatures_t = np.array([0.7, 2.269, 10.0])
    result = dos.canonical(energies, log_g_E, temperatures_t, 16)
    joint = dos.canonical(np.repeat(energies, 33), log_g_EM.ravel(), temperatures_t, 16)
    for t, T in enumerate(temperatures_t):
        p_n = np.exp(-(E_n + 32.0) / T)
        log_Z = math.log(p_n.sum()) + 32.0 / T
        p_n /= p_n.sum()
        mean, variance = p_n @ E_n, p_n @ (E_n - p_n @ E_n) ** 2
        assert result["log_Z"][t] == pytest.approx(log_Z, rel=1e-12)
        assert result["mean_energy"][t] == pytest.approx(mean / 16, rel=1e-12)
        assert result["heat_capacity"][t] == pytest.approx(variance / 16 / T**2, rel=1e-10)
        assert result["entropy"][t] == pytest.approx(-(p_n @ np.log(p_n)) / 16, rel=1e-10)
        assert result["free_energy"][t] == pytest.approx(-T * log_Z / 16, rel=1e-12)
        for name in result:
            assert joint[name][t] == pytest.approx(result[name][t], rel=1e-10)


def test_canonical_does_not_overflow():
    # 1024 free spins in a field 1: everything is known, and g sums to 2^1024.
    n = 1024
    up_c = np.arange(n + 1)
    log_g_c = gammaln(n + 1) - gammaln(up_c + 1) - gammaln(n - up_c + 1)
    energies_c = -(2.0 * up_c - n)
    T = np.array([1e-3, 0.5, 2.0, 1e4])
    result = dos.canonical(energies_c, log_g_c, T, n)
    assert result["mean_energy"] == pytest.approx(-np.tanh(1.0 / T), rel=1e-9)
    assert result["heat_capacity"][1:] == pytest.approx(
        (T[1:] * np.cosh(1.0 / T[1:])) ** -2.0, rel=1e-8
    )
    log_2cosh = np.logaddexp(1.0 / T, -1.0 / T)
    assert result["log_Z"] == pytest.approx(n * log_2cosh, rel=1e-11)
    assert result["entropy"][1:] == pytest.approx(
        (log_2cosh - np.tanh(1.0 / T) / T)[1:], rel=1e-8
    )


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan])
def test_temperatures_must_be_positive(bad):
    with pytest.raises(ValueError, match="positive"):
        dos.canonical([0.0, 1.0], [0.0, 0.0], [1.0, bad], 1)


def test_canonical_errors_are_honest():
    energies, _, log_g_EM, _, _ = ising_4x4()
    exact_c = dos.marginal(log_g_EM, axis=1)
    T = np.array([1.5, 2.3, 4.0])
    exact = dos.canonical(energies, exact_c, T, 16)
    deviations, errors = [], []
    for seed in range(100):
        H_wc, u_wc = walkers(exact_c, 8, 5000, 1000 + seed)
        log_g_c, jackknife_wc = dos.combine_walkers(H_wc, u_wc, 16.0 * math.log(2.0))
        result = dos.canonical_with_errors(energies, log_g_c, jackknife_wc, T, 16)
        deviations.append([result[name] - exact[name] for name in exact])
        errors.append([result[f"{name}_err"] for name in exact])
    rms = np.sqrt(np.mean(np.square(deviations), axis=0))
    claimed = np.sqrt(np.mean(np.square(errors), axis=0))
    # An rms of 100 runs has an error of 1/sqrt(200) = 7 %.
    assert np.abs(rms / claimed - 1.0).max() < 0.21
    z = np.mean(deviations, axis=0) / claimed * 10.0
    assert np.abs(z).max() < 3.2
    single = dos.canonical_with_errors(energies, exact_c, np.full((1, 15), np.nan), T, 16)
    assert np.isnan(single["entropy_err"]).all()


def test_marginal_skips_unvisited_cells():
    nan = math.nan
    log_g = np.array([[0.0, nan, 800.0], [nan, nan, 800.0]])
    assert dos.marginal(log_g, axis=0) == pytest.approx(
        [0.0, nan, 800.0 + math.log(2.0)], nan_ok=True
    )
    assert dos.marginal(log_g, axis=1) == pytest.approx([800.0, 800.0])
