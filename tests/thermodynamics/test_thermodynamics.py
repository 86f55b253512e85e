"""Densities of states and effective potentials against exact enumeration and Curie-Weiss."""

import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import gammaln

from phasegrok.groups import Group
from phasegrok.statistics import jackknife_error
from phasegrok.thermodynamics import density_of_states as dos
from phasegrok.thermodynamics import effective_potential as ep
from phasegrok.thermodynamics import tables


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
        error_c = jackknife_error(jackknife_wc)
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
    assert np.isnan(jackknife_error(jackknife_wc)).all()
    with pytest.raises(ValueError, match="share too few cells"):
        dos.combine_walkers(H_wc[::2], u_wc[::2], log_total)


def test_one_walker_has_no_error():
    log_g_c = np.array([0.0, 2.0, 3.0])
    log_total = np.logaddexp.reduce(log_g_c)
    result_c, jackknife_wc = dos.combine_walkers([[5, 5, 5]], [log_g_c - 7.0], log_total)
    assert result_c == pytest.approx(log_g_c, abs=1e-12)
    assert np.isnan(jackknife_error(jackknife_wc)).all()
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


# Effective potential -------------------------------------------------------------------------


def curie_weiss(n, J2, J3, h=0.0):
    """Exact table of Curie-Weiss spins: energies, m and ln g on the diagonal of (E, m)."""
    up = np.arange(n + 1)
    m = (2.0 * up - n) / n
    log_g = gammaln(n + 1) - gammaln(up + 1) - gammaln(n - up + 1)
    energies = -n * (h * m + 0.5 * J2 * m**2 + J3 * m**3)
    log_g_Em = np.full((n + 1, n + 1), np.nan)
    np.fill_diagonal(log_g_Em, log_g)
    return energies, m, log_g_Em


def exact_potential(n, T, J2, J3):
    """-ln P(m) of Curie-Weiss spins, written down without any table."""
    up = np.arange(n + 1)
    m = (2.0 * up - n) / n
    V = gammaln(up + 1) + gammaln(n - up + 1) - n * (0.5 * J2 * m**2 + J3 * m**3) / T
    return m, V - V.min()


def local_minima(V):
    """Indices of local minima by the sign of differences, ends included."""
    step = np.diff(np.concatenate([[np.inf], V, [np.inf]]))
    return np.flatnonzero((step[:-1] < 0) & (step[1:] > 0))


def test_effective_potential_of_ising_is_the_sum_over_states():
    energies, magnetisations, log_g_EM, E_n, M_n = ising_4x4()
    V_M = ep.effective_potential(energies, log_g_EM, 1.7)
    P_M = np.bincount(M_n + 16, weights=np.exp(-(E_n + 32) / 1.7), minlength=33)
    seen = P_M > 0
    assert np.isnan(V_M[~seen]).all() and (~seen).sum() == 16  # parity gaps
    assert V_M[seen] == pytest.approx(-np.log(P_M[seen] / P_M.max()), abs=1e-12)
    # Two symmetric wells at M = +-16; the barrier is at M = 0 or near it, and exact.
    top = ep.barrier(magnetisations, V_M, 0.1)
    assert {top.low.phi, top.high.phi} == {-16.0, 16.0}
    assert top.height == pytest.approx(np.nanmax(V_M[seen]) - V_M[0], abs=1e-12)
    assert top.low.potential == pytest.approx(top.high.potential, abs=1e-12)
    result = ep.coexistence(energies, magnetisations, log_g_EM, (0.8, 4.0), 0.01)
    assert not result.found and "symmetry" in result.reason
    with pytest.raises(ValueError, match="positive"):
        ep.effective_potential(energies, log_g_EM, 0.0)
    with pytest.raises(ValueError, match="rows"):
        ep.effective_potential(energies[1:], log_g_EM, 1.0)


def test_wells_by_persistence():
    V = np.array([1.0, 0.0, 5.0, 2.0, 2.5, 1.5, math.nan, 6.0, 0.5, 0.5, 3.0, 2.9])
    phi = np.arange(12.0)
    found = [(w.index, w.persistence) for w in ep.wells(phi, V)]
    assert found == [
        (1, math.inf),
        (8, 5.5),
        (5, 3.5),
        (3, 0.5),
        (11, pytest.approx(0.1)),
    ]
    assert [w.index for w in ep.wells(phi, V, 0.4)] == [1, 8, 5, 3]
    assert [w.index for w in ep.wells(phi, V, 0.6)] == [1, 8, 5]
    top = ep.barrier(phi, V, 0.6)
    assert (top.height, top.phi, top.low.index, top.high.index) == (5.5, 7.0, 1, 8)
    assert ep.barrier(phi, V**0, 0.0) is None
    with pytest.raises(ValueError):
        ep.wells(phi, V * math.nan)
    with pytest.raises(ValueError):
        ep.wells(phi[1:], V)


def test_persistence_of_random_walks_against_flooding():
    # A second definition: the persistence of a minimum is the least, over both sides, of the
    # highest point on the way to anything deeper.
    rng = np.random.default_rng(12)
    for _ in range(50):
        V = np.cumsum(rng.normal(size=60))
        expected = {}
        for i in local_minima(V):
            passes = []
            for side in (V[:i][::-1], V[i + 1 :]):
                deeper = np.flatnonzero(side < V[i])
                if deeper.size:
                    passes.append(side[: deeper[0]].max(initial=-np.inf))
            expected[int(i)] = min(passes) - V[i] if passes else math.inf
        found = {w.index: w.persistence for w in ep.wells(np.arange(60.0), V)}
        assert found == pytest.approx(expected)


def test_curie_weiss_coexistence_at_finite_size():
    for n in (100, 400):
        energies, m, log_g_Em = curie_weiss(n, 0.0, 1.0)
        result = ep.coexistence(energies, m, log_g_Em, (1.2, 1.8), 1e-3)

        def difference(T, n=n):
            V = exact_potential(n, T, 0.0, 1.0)[1]
            low, high = local_minima(V)
            return V[high] - V[low]

        T = brentq(difference, 1.4, 1.6, xtol=1e-13)
        V = exact_potential(n, T, 0.0, 1.0)[1]
        low, high = local_minima(V)
        assert result.temperature_equal_height == pytest.approx(T, abs=1e-10)
        assert result.barrier == pytest.approx(V[low:high].max() - V[low], abs=1e-8)
        assert (result.phi_low, result.phi_high) == (m[low], m[high])
        top = low + int(np.argmax(V[low:high]))

        def log_odds(T, n=n, top=top):
            P = np.exp(-exact_potential(n, T, 0.0, 1.0)[1])
            return math.log(P[top + 1 :].sum() / P[:top].sum())

        T_weight = brentq(log_odds, 1.3, 1.7, xtol=1e-13)
        assert result.temperature_equal_weight == pytest.approx(T_weight, abs=1e-10)


def test_curie_weiss_coexistence_at_infinite_size():
    # Equal height: V = N f + ln sqrt(1 - m^2) + ..., so T and barrier / N approach their limits
    # as 1/N: extrapolate two sizes linearly.
    sizes = np.array([1000, 2000])
    values = []
    for n in sizes:
        result = ep.coexistence(*curie_weiss(int(n), 0.0, 1.0), (1.4, 1.6), 1e-3)
        # The reference value is a free energy a spin, T times the barrier in nats.
        T = result.temperature_equal_height
        values.append((T, T * result.barrier / n))
    limit = 2.0 * np.array(values[1]) - np.array(values[0])
    assert limit == pytest.approx([1.4879075, 0.0717328], abs=1e-5)


def excess_persistence(T, n, J2, J3, resolution):
    """Barrier of the shallower minimum minus the resolution, from the signs of differences."""
    V = exact_potential(n, T, J2, J3)[1]
    minima = local_minima(V)
    if minima.size < 2:
        return -resolution
    return V[minima[0] : minima[1]].max() - V[minima].max() - resolution


def test_curie_weiss_spinodals():
    uppers = []
    for n in (800, 1600):
        energies, _, log_g_Em = curie_weiss(n, 0.0, 1.0)
        result = ep.spinodals(energies, log_g_Em, (1.0, 2.2), 1e-6)
        expected = brentq(excess_persistence, 1.5, 1.9, args=(n, 0.0, 1.0, 1e-6), xtol=1e-12)
        assert result.upper == pytest.approx(expected, abs=1e-8)
        assert result.lower is None  # pure p = 3 keeps m = 0 metastable
        assert "cold end" in result.reason
        uppers.append(result.upper)
    # ln sqrt(1 - m^2) beside N f shifts the spinodal by a term in 1/N: extrapolate.
    assert 2.0 * uppers[1] - uppers[0] == pytest.approx(1.7477487, abs=1e-5)


def test_both_spinodals_with_a_pair_coupling():
    n, resolution = 1600, 0.002
    energies, _, log_g_Em = curie_weiss(n, 1.0, 1.0)
    result = ep.spinodals(energies, log_g_Em, (0.98, 3.0), resolution)
    args = (n, 1.0, 1.0, resolution)
    expected = [brentq(excess_persistence, *ends, args=args) for ends in ((1.0, 1.5), (1.5, 3.0))]
    assert [result.lower, result.upper] == pytest.approx(expected, abs=1e-8)
    # m = 0 turns unstable at T = 1, with a barrier N (T - 1)^3 / (54 T) just above.
    assert result.lower - 1.0 == pytest.approx((54.0 * resolution / n) ** (1 / 3), rel=0.1)
    # f' = f'' = 0 away from m = 0, f = -m^2/2 - m^3 - T s(m).
    m_s = brentq(lambda x: (1 + 6 * x) * (1 - x**2) * math.atanh(x) - x - 3 * x**2, 0.3, 0.9)
    T_s = (1.0 + 6.0 * m_s) * (1.0 - m_s**2)
    assert result.upper == pytest.approx(T_s, abs=0.005)


def test_no_coexistence_in_range_is_said():
    table = curie_weiss(100, 0.0, 1.0)
    none = ep.coexistence(*table, (1.6, 2.0), 1e-3)
    assert not none.found and "none between T = 1.6 and 2" in none.reason
    assert math.isnan(none.barrier) and "no coexistence" in str(none)
    # In a field an ordinary ferromagnet moves its only minimum continuously.
    assert not ep.coexistence(*curie_weiss(100, 1.0, 0.0, h=0.3), (0.5, 3.0), 1e-3).found
    assert ep.spinodals(table[0], table[2], (1.9, 2.5), 1e-3).intervals == ()
    with pytest.raises(ValueError, match="low < high"):
        ep.coexistence(*table, (2.0, 1.0))
    with pytest.raises(ValueError, match="low < high"):
        ep.spinodals(table[0], table[2], (0.0, 1.0))


def noisy(log_g_Em, n_walkers, sigma, rng):
    """ln g of independent walkers (smooth errors along the diagonal), its mean and jackknife."""
    n = log_g_Em.shape[0]
    x = np.linspace(-1.0, 1.0, n)
    modes = np.stack([np.cos(k * math.pi * (x + 1) / 2) for k in range(1, 7)])
    error_wm = sigma * rng.normal(size=(n_walkers, 6)) @ modes
    rows = np.full((n_walkers, n, n), np.nan)
    diagonal = np.arange(n)
    log_g_m = np.diag(log_g_Em)
    total = np.full((n, n), np.nan)
    total[diagonal, diagonal] = log_g_m + error_wm.mean(axis=0)
    leave_wm = (error_wm.sum(axis=0) - error_wm) / (n_walkers - 1)
    rows[:, diagonal, diagonal] = log_g_m + leave_wm
    return total, rows


@pytest.mark.slow
def test_errors_of_coexistence_and_spinodals_are_honest():
    energies, m, log_g_Em = curie_weiss(60, 0.0, 1.0)
    bracket, resolution = (1.2, 1.9), 0.5
    exact = ep.coexistence(energies, m, log_g_Em, bracket, resolution)
    exact_upper = ep.spinodals(energies, log_g_Em, bracket, resolution).upper
    V_exact = ep.effective_potential(energies, log_g_Em, 1.5)
    rng = np.random.default_rng(21)
    deviations, errors, V_pull = [], [], []
    for _ in range(100):
        total, rows = noisy(log_g_Em, 12, 0.15, rng)
        c = ep.coexistence(energies, m, total, bracket, resolution, rows)
        s = ep.spinodals(energies, total, bracket, resolution, rows)
        deviations.append(
            [
                c.temperature_equal_height - exact.temperature_equal_height,
                c.temperature_equal_weight - exact.temperature_equal_weight,
                c.barrier - exact.barrier,
                s.upper - exact_upper,
            ]
        )
        errors.append(
            [
                c.temperature_equal_height_err,
                c.temperature_equal_weight_err,
                c.barrier_err,
                s.upper_err,
            ]
        )
        assert s.lower is None and math.isnan(s.lower_err)
        V, V_err = ep.effective_potential_with_errors(energies, total, rows, 1.5)
        at = int(np.nanargmin(V))
        V_pull.append(((V - V_exact + V_exact[at]) / np.where(V_err > 0, V_err, 1.0))[[20, 40, 48]])
    deviations, errors = np.array(deviations), np.array(errors)
    rms = np.sqrt((deviations**2).mean(axis=0))
    claimed = np.sqrt((errors**2).mean(axis=0))
    assert np.abs(rms / claimed - 1.0).max() < 0.21  # 1/sqrt(200) = 7 % each
    # Student t with 11 degrees of freedom: <t^2> = 11/9, <t^4> = 3 * 121/63.
    excess = np.mean(np.square(V_pull), axis=0) - 11 / 9
    assert np.abs(excess).max() < 3.0 * math.sqrt((121 / 21 - (11 / 9) ** 2) / 100)


def test_single_walker_gives_no_errors():
    energies, m, log_g_Em = curie_weiss(60, 0.0, 1.0)
    rows = np.full((1, 61, 61), np.nan)
    c = ep.coexistence(energies, m, log_g_Em, (1.2, 1.8), 1e-3, rows)
    assert c.found and math.isnan(c.barrier_err)
    s = ep.spinodals(energies, log_g_Em, (1.2, 1.9), 1e-3, rows)
    assert s.upper is not None and math.isnan(s.upper_err)
    assert np.isnan(ep.effective_potential_with_errors(energies, log_g_Em, rows, 1.0)[1]).all()


def test_parity_gaps_change_nothing():
    energies, m, log_g_Em = curie_weiss(80, 0.0, 1.0)
    gaps = np.full((81, 161), np.nan)
    gaps[:, ::2] = log_g_Em
    m_gaps = np.linspace(-1.0, 1.0, 161)
    plain = ep.coexistence(energies, m, log_g_Em, (1.2, 1.8), 1e-3)
    gapped = ep.coexistence(energies, m_gaps, gaps, (1.2, 1.8), 1e-3)
    for name in ("temperature_equal_height", "temperature_equal_weight", "barrier", "phi_barrier"):
        assert getattr(gapped, name) == pytest.approx(getattr(plain, name), rel=1e-12)
    assert ep.spinodals(energies, gaps, (1.2, 2.0), 1e-3) == ep.spinodals(
        energies, log_g_Em, (1.2, 2.0), 1e-3
    )
    V = ep.effective_potential(energies, gaps, 1.45)
    assert np.isnan(V[1::2]).all()
    assert ep.barrier(m_gaps, V, 0.1).index % 2 == 0


def test_noise_does_not_make_a_symmetry_a_transition():
    energies, magnetisations, log_g_EM, _, _ = ising_4x4()
    rng = np.random.default_rng(17)
    for _ in range(20):
        noisy_g = log_g_EM + 0.05 * rng.normal(size=log_g_EM.shape)
        result = ep.coexistence(energies, magnetisations, noisy_g, (0.8, 4.0), 0.4)
        assert not result.found and "symmetry" in result.reason
        assert ep.barrier(magnetisations, ep.effective_potential(energies, noisy_g, 1.5), 0.4)


# --- wells and their errors ----------------------------------------------------------------------


def pitted(pit_error, seed=3):
    """A parabola with a pit of 2 nats in one bin, known to ``pit_error``, the others to .01."""
    phi = np.linspace(-1.0, 1.0, 41)
    log_g = -8.0 * phi**2
    log_g[30] += 2.0
    error = np.full(41, 0.01)
    error[30] = pit_error
    noise = np.random.default_rng(seed).normal(size=(8, 41))
    noise -= noise.mean(axis=0)
    noise *= error / np.sqrt(7.0 / 8.0 * (noise**2).sum(axis=0))  # the jackknife error is this
    return phi, log_g[None, :], (log_g + noise)[:, None, :]


@pytest.mark.parametrize("pit_error, number", [(0.1, 2), (1.0, 1)])
def test_a_well_within_the_error_of_its_bin_is_none(pit_error, number):
    """Three median errors are .03 nat, far below the pit: its own error decides."""
    phi, log_g, rows = pitted(pit_error)
    group = Group(attributes={"complete": True, "complete_reason": ""})
    group.add("energy", [0.0], "energy")
    group.add("order_parameter", phi, "order_parameter")
    group.add("log_g", log_g, ("energy", "order_parameter"))
    group.add("log_g_jackknife", rows, ("walker", "energy", "order_parameter"))
    found = tables.effective_potential(group, np.array([1.0, 2.0]))
    assert found.attributes["resolution"] == pytest.approx(0.03, rel=0.5)
    assert found["wells"].tolist() == [number, number]
    assert np.isfinite(found["barrier"]).all() == (number == 2)
    whole = ep.spinodals(np.zeros(1), log_g, (1.0, 2.0), 0.03, rows)
    assert len(whole.intervals) == number - 1


def test_coexistence_asks_for_a_barrier_above_its_error():
    energies, m, log_g_Em = curie_weiss(60, 0.0, 1.0)
    noise = np.random.default_rng(1).normal(size=(8, 1, 61))
    exact = ep.coexistence(energies, m, log_g_Em, (1.2, 1.8), 1e-3)
    for scale, found in ((0.02, True), (10.0, False)):
        rows = log_g_Em + scale * noise * (np.abs(m - exact.phi_barrier) < 0.1)
        c = ep.coexistence(energies, m, log_g_Em, (1.2, 1.8), 1e-3, rows)
        assert c.found == found
        assert found or ("not higher than its error" in c.reason and math.isnan(c.barrier))


def test_what_stands_out_and_what_is_resolved():
    assert ep.stands_out(3.1, 1.0) and not ep.stands_out(2.9, 1.0)
    assert not ep.stands_out(5.0, math.nan) and ep.stands_out(1e-9, 0.0)
    V, error = np.array([0.0, 1.0, 20.0]), np.array([0.0, 0.2, 9.0])
    assert ep.resolution_of(V, error) == pytest.approx(0.6)  # far walls do not count
    assert ep.resolution_of(V, np.zeros(3)) == 0.0
    assert math.isnan(ep.resolution_of(V, np.full(3, np.nan)))
