"""The peers' side of the Wang-Landau benchmarks: icet and others, and a textbook loop in Numba.

    pip install icet==4.0 mchammer-pt==0.27.1 smol==0.5.7 flatwalk==0.1.0

None is needed by phasegrok.  All walk over the energies of the periodic L x L Ising
lattice, E = -sum s s', by flips of random sites, in one thread, and are called as their own users
would for speed: one call for many attempts, nothing written on the way.
"""

import dataclasses
import math
import tempfile
import warnings
from pathlib import Path

import numba
import numpy as np
from scipy.special import logsumexp


class Icet:
    """WangLandauEnsemble of icet's mchammer, set up as in its documentation."""

    name = "icet 4.0"

    def __init__(self, L, seed):
        from mchammer.calculators import ClusterExpansionCalculator
        from mchammer.ensembles import WangLandauEnsemble

        lattice, expansion = _expansion(L)
        calculator = ClusterExpansionCalculator(lattice, expansion)
        never = 2**62
        self.n_sites = L * L
        self.ensemble = WangLandauEnsemble(
            lattice, calculator, energy_spacing=4, trial_move="flip", random_seed=seed,
            fill_factor_limit=1e-300, ensemble_data_write_interval=never,
            trajectory_write_interval=never, data_container_write_period=math.inf)

    def advance(self, n):
        """n attempts."""
        self.ensemble.run(n)

    def log_g(self):
        """Energies and ln g, normalised to all states."""
        found = sorted(self.ensemble._entropy.items())  # only that of the last stage is public  # noqa: SLF001
        energy, log_g = 4.0 * np.array([cell for cell, _ in found]), [s for _, s in found]
        return energy, _normalised(np.array(log_g, dtype=float), self.n_sites)


class MchammerPT:
    """Replica exchange Wang-Landau of mchammer-pt on two windows, the fewest it takes, with 1/t."""

    name = "mchammer-pt 0.27.1"
    block = 10_000  # attempts in each window between exchanges

    def __init__(self, L, seed):
        from mchammer_pt import WangLandauParallelTempering

        lattice, expansion = _expansion(L)
        self.n_sites, starts = L * L, []
        rng = np.random.default_rng(seed)
        for _ in range(2):  # a random configuration is in both windows
            starts.append(lattice.copy())
            starts[-1].symbols = rng.choice(["Ag", "Au"], L * L)
        self.walk = WangLandauParallelTempering(
            expansion, starts, [(None, L * L / 2), (-L * L / 2, None)], energy_spacing=4.0,
            block_size=self.block, random_seed=seed,
            ensemble_kwargs=dict(schedule="1_over_t", trial_move="flip", fill_factor_limit=1e-300))

    def advance(self, n):
        """n attempts, in both windows together."""
        self.walk.run(max(1, n // (2 * self.block)))

    def log_g(self):
        """Energies and ln g, normalised to all states."""
        from mchammer_pt.analysis.dos import stitch_entropy

        table, _ = stitch_entropy([window.get_entropy() for window in self.walk.results()], 4.0)
        table = table[np.isfinite(table["entropy"])]
        return (table["energy"].to_numpy(),
                _normalised(table["entropy"].to_numpy(), self.n_sites))


class Smol:
    """Wang-Landau kernel of smol's Monte Carlo on a semigrand ensemble without potentials."""

    name = "smol 0.5.7"

    def __init__(self, L, seed):
        from pymatgen.core import Lattice, Structure
        from smol.cofe import ClusterExpansion, ClusterSubspace
        from smol.moca import Ensemble, Sampler

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that such a cell is small
            cell = Structure(Lattice.orthorhombic(1, 1, 10), [{"Ag": 0.5, "Au": 0.5}], [[0, 0, 0]])
            space = ClusterSubspace.from_cutoffs(cell, {2: 1.1}, basis="sinusoid")
            expansion = ClusterExpansion(space, np.array([0.0, 0.0, -2.0]))
            ensemble = Ensemble.from_cluster_expansion(
                expansion, np.diag([L, L, 1]), chemical_potentials={"Ag": 0.0, "Au": 0.0})
        self.n_sites = L * L
        # its levels are lower edges of cells; E is in their middles
        self.sampler = Sampler.from_ensemble(
            ensemble, step_type="flip", kernel_type="WangLandau", seeds=[seed], bin_size=4.0,
            min_enthalpy=-2.0 * L * L - 2.0, max_enthalpy=2.0 * L * L + 2.0)
        self.start = np.zeros((1, L * L), dtype=np.int32)

    def advance(self, n):
        """n attempts."""
        self.sampler.run(n, self.start, thin_by=n)
        self.start = self.sampler.samples.get_occupancies(flat=False)[-1]
        self.sampler.clear_samples()  # every call adds room for samples, and copies the old ones

    def log_g(self):
        """Energies and ln g, normalised to all states."""
        kernel = self.sampler.mckernels[0]
        return kernel.levels + 2.0, _normalised(kernel.entropy.copy(), self.n_sites)


class Textbook:
    """The loop of a lecture, compiled by Numba: flat to 80 %, then ln f = cells / attempts."""

    name = "textbook Numba loop"

    def __init__(self, L, seed):
        rng = np.random.default_rng(seed)
        self.sigma = np.where(rng.random((L, L)) < 0.5, 1, -1).astype(np.int8)
        s, self.n_sites = self.sigma.astype(int), L * L
        bonds = np.sum(s * (np.roll(s, 1, 0) + np.roll(s, 1, 1)))
        self.log_g_c = np.zeros(L * L + 1)  # cell (E + 2N)/4; 0 where never seen
        self.visits_c = np.zeros(L * L + 1, dtype=np.int64)
        self.state = 1.0, False, (2 * L * L - bonds) // 4, 0
        _seed(seed)

    def advance(self, n):
        """n attempts, in whole intervals of the flatness check."""
        self.state = _textbook(self.sigma, self.log_g_c, self.visits_c, *self.state, n)

    def log_g(self):
        """Energies and ln g, normalised to all states."""
        seen = np.flatnonzero(self.log_g_c)
        return 4.0 * seen - 2.0 * self.n_sites, _normalised(self.log_g_c[seen], self.n_sites)


class Flatwalk:
    """The batched driver of flatwalk, 64 walkers that share one g, as in its Ising example."""

    name = "flatwalk 0.1.0"

    def __init__(self, L, seed, n_walkers=64):
        from flatwalk import Bin1D, WLConfig, WLDriver

        N = self.n_sites = L * L
        self.driver = WLDriver(WLConfig(
            bin_scheme=Bin1D(low=-2 * N - 2, high=2 * N + 2, n_bins=N + 1), ln_f_final=1e-300,
            log_level="ERROR"))
        self.L, self.rng, self.n_walkers = L, np.random.default_rng(seed), n_walkers
        self.file = Path(tempfile.mkdtemp()) / "flatwalk.npz"
        self.result = None

    def _energy(self, state):
        return state[:, -1].astype(float)

    def _propose(self, state, rng):
        L, w = self.L, np.arange(len(state))  # the last column of the state is E
        i, j = rng.integers(0, L, (2, len(state)))
        around = (state[w, (i - 1) % L * L + j] + state[w, (i + 1) % L * L + j]
                  + state[w, i * L + (j - 1) % L] + state[w, i * L + (j + 1) % L])
        new = state.copy()
        new[w, -1] += 2 * state[w, i * L + j] * around
        new[w, i * L + j] *= -1
        return new, np.zeros(len(state))

    def advance(self, n):
        """n attempts, of all walkers together."""
        N, done = self.n_sites, self.result.t_total if self.result else 0
        start = np.ones((self.n_walkers, N + 1), dtype=np.int16)
        start[:, -1] = -2 * N
        self.driver.config = dataclasses.replace(
            self.driver.config, checkpoint_path=self.file, checkpoint_every_t=10**12)
        self.result = self.driver.run_batched(
            start, self._energy, self._energy, self._propose, self.n_walkers, max_trials=done + n,
            rng=self.rng, resume_from=self.file if self.result else None)

    def log_g(self):
        """Energies and ln g, normalised to all states."""
        seen = np.flatnonzero(self.result.visited)
        return 4.0 * seen - 2.0 * self.n_sites, _normalised(self.result.g[seen], self.n_sites)


def _expansion(L):
    """The lattice and its energy in the terms of icet."""
    from ase import Atoms
    from icet import ClusterExpansion, ClusterSpace

    cell = Atoms("Au", positions=[[0, 0, 0]], cell=[1, 1, 10], pbc=True)
    space = ClusterSpace(cell, cutoffs=[1.1], chemical_symbols=["Ag", "Au"])
    return cell.repeat((L, L, 1)), ClusterExpansion(space, [0, 0, -2])


def _normalised(log_g_c, n_sites):
    return log_g_c - logsumexp(log_g_c) + n_sites * math.log(2.0)


# Numba compiles the legacy functions of numpy.random, with one generator a thread.
@numba.njit(nogil=True)
def _seed(seed):
    np.random.seed(seed)  # noqa: NPY002


@numba.njit(nogil=True)
def _textbook(sigma, log_g, visits, log_f, one_over_t, cell, attempts, n):
    """Wang and Landau, Phys. Rev. Lett. 86 (2001) 2050; Belardinelli and Pereyra (2007) for 1/t."""
    L = sigma.shape[0]
    end = attempts + n
    while attempts < end:
        for _ in range(10_000):
            y, x = np.random.randint(0, L), np.random.randint(0, L)  # noqa: NPY002
            field = sigma[y, (x + 1) % L] + sigma[y, (x - 1) % L]
            field += sigma[(y + 1) % L, x] + sigma[(y - 1) % L, x]
            new = cell + sigma[y, x] * field // 2
            if np.random.random() < np.exp(log_g[cell] - log_g[new]):  # noqa: NPY002
                sigma[y, x] = -sigma[y, x]
                cell = new
            log_g[cell] += log_f
            visits[cell] += 1
        attempts += 10_000
        seen = log_g > 0.0
        if one_over_t:
            log_f = seen.sum() / attempts
        elif visits[seen].min() > 0.8 * visits[seen].mean():
            log_f *= 0.5
            visits[:] = 0
            one_over_t = log_f < seen.sum() / attempts
    return log_f, one_over_t, cell, attempts
