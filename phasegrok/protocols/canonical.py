"""Canonical sampling: replicas at each temperature, independent or with replica exchange.

Half of the replicas start ordered and half at random; what they measure is kept apart, as the
evidence of equilibration.  Each sweep after equilibration is measured.  Sums over blocks of sweeps
are kept, not the series: when the blocks are used up, neighbouring ones are added and their length
doubles, so memory does not grow with the run.

References
----------
.. [1] K. Hukushima and K. Nemoto, Exchange Monte Carlo method, J. Phys. Soc. Jpn. 65 (1996) 1604.
.. [2] N. Rathore, M. Chopra and J. J. de Pablo, Optimal allocation of replicas in parallel
   tempering simulations, J. Chem. Phys. 122 (2005) 024111.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
from scipy.special import erfcinv

from phasegrok.dynamics.hamiltonian_steps import FEWEST_ACCEPTED, HamiltonianSteps, too_long
from phasegrok.dynamics.replicas import Engine, Replicas
from phasegrok.dynamics.sums import GROUPS, LOG_BINS, MOMENTS, accumulate
from phasegrok.estimates import estimated
from phasegrok.groups import Group
from phasegrok.rng import fill_uniform, streams
from phasegrok.systems.checks import check_replicas
from phasegrok.systems.discrete import prepare
from phasegrok.systems.hamiltonian import derived_of, observables_of
from phasegrok.systems.overlaps import local_values, overlap_values

STRIDE = 10
"""Sweeps between two measurements of overlap and observables, and two attempts to exchange."""


_FEWEST_MEASURED = 4
FEWEST_SWEEPS = (_FEWEST_MEASURED + 1) * STRIDE
"""Sweeps after equilibration that give errors, wherever equilibration ends within a stride."""

MOST_BLOCKS, FEWEST_BLOCKS = 1024, 64
_BLOCK_MEMORY, _HISTOGRAM_MEMORY = 2**25, 2**26  # bytes
_MOST_OVERLAP_BINS = 101
_TUNING = (1 / 16, 1 / 8, 1 / 4, 1 / 2)  # the ladder is tuned at these fractions of equilibration


@dataclasses.dataclass
class State(Replicas):
    """Replicas at every temperature, and what was measured on them.

    Energies are those of the whole system, Phi is intensive; K rungs, R replicas, S samples.
    """

    temperatures: np.ndarray  # (K,)
    sweeps: int
    block_length: int  # sweeps
    moments: np.ndarray  # (K, R, B, 6): sums over the sweeps of a block, in the order of MOMENTS
    overlaps: np.ndarray  # (K, R // 2, B, 2): sums of q^2 and q^4 over the block
    observed: np.ndarray  # (K, R, B, M): sums over the block of a system's own M observables
    overlap_counts: np.ndarray  # (K, S, bins) int64
    log_time: np.ndarray  # (K, R, 62, 2): sums of E and |Phi| over sweeps 2^j .. 2^(j+1) - 1
    histogram: np.ndarray  # (K, GROUPS, n_levels, 4): number, and sums of |Phi|, Phi^2, Phi^4
    exchange_rng: np.ndarray  # uint64 (4,)
    walker: np.ndarray  # (K, R): which of the K walkers of ladder r is at rung k
    heading: np.ndarray  # (K, R): walker k of ladder r was last at 1: the cold end, 2: the hot end
    round_trips: np.ndarray  # (R,): cold end to hot end and back, after equilibration
    attempts: np.ndarray  # (K - 1, 2): attempted and accepted exchanges


class OverlapBins(NamedTuple):
    """Bins of the overlap q with equally many of the values that it can take, but for both ends.

    Equal widths would hold now more, now fewer values, and P(q) would be jagged.
    """

    lowest: float
    step: float
    n_values: int
    per_bin: int

    @classmethod
    def of(cls, system) -> "OverlapBins":
        """Bins for `Engine.overlap` of spins, of colours 0 ... q - 1, or of coordinates."""
        lowest, step, n = overlap_values(system)
        per_bin = -(-n // _MOST_OVERLAP_BINS)
        return cls(lowest, step, n, per_bin + (1 - per_bin % 2) * (n % 2))

    @property
    def first(self) -> int:
        """Values that the first bin lacks, and the last: bins are symmetric."""
        lacking = -self.n_values % self.per_bin
        return (lacking + lacking % 2 * self.per_bin) // 2

    @property
    def number(self) -> int:
        """Number of bins."""
        return -(-(self.n_values + self.first) // self.per_bin)

    def cell(self, q: np.ndarray) -> np.ndarray:
        """Bin of each overlap."""
        value = np.rint((q - self.lowest) / self.step).astype(np.int64)
        return (value + self.first) // self.per_bin

    def centres_and_widths(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean q of the values in each bin, and their number times their distance."""
        q = self.lowest + self.step * np.arange(self.n_values)
        cell = self.cell(q)
        held = np.bincount(cell)
        return np.bincount(cell, q) / held, held * self.step


def distances(acceptance: np.ndarray) -> np.ndarray:
    """sd(E) |1/T - 1/T'| of neighbours whose exchanges are accepted with these rates (eq. 9)."""
    return 2.0 * erfcinv(np.clip(acceptance, 1e-6, 1.0 - 1e-6))


def even_ladder(temperatures: np.ndarray, acceptance: np.ndarray) -> np.ndarray:
    r"""Temperatures between the same ends, at which exchanges would be accepted equally often.

    For normal energies an exchange is accepted with probability :math:`\mathrm{erfc}(d/2)` at a
    distance d = sd(E) |1/T - 1/T'|  (Rathore et al. [2]_, eq. 9, at equal variances); distances
    add along the ladder.

    Parameters
    ----------
    temperatures : ndarray, shape (K,)
        Ascending.
    acceptance : ndarray, shape (K - 1,)
        Measured between neighbours.
    """
    along = np.concatenate([[0.0], np.cumsum(distances(acceptance))])
    wanted = np.linspace(0.0, along[-1], len(along))
    beta = np.interp(wanted, along, 1.0 / temperatures)
    beta[0], beta[-1] = 1.0 / temperatures[0], 1.0 / temperatures[-1]
    return 1.0 / beta


def _judge_steps(group: Group, share_k: np.ndarray, step: float) -> None:
    """Steps of coordinates that are rejected leave replicas where they are, and all agree."""
    group.add("accepted", share_k, "temperature", "1", "share of accepted steps")
    fault = too_long(float(np.nanmin(share_k)), FEWEST_ACCEPTED, step)
    if fault:
        doubts = [] if group.attributes["converged"] else [
            str(group.attributes["converged_reason"])]
        group.attributes |= {"converged": False, "converged_reason": "; ".join([*doubts, fault])}


@dataclasses.dataclass(frozen=True)
class Canonical:
    """Protocol: canonical averages at a set of temperatures.

    Parameters
    ----------
    engine : Engine
        What moves the replicas, with one system a disorder sample.
    temperatures : tuple of float
        T in units of energy, ascending and positive.
    replicas : int
        Replicas at each temperature, over all samples; a multiple of the number of samples.
    sweeps : int
        Sweeps of every replica in total.
    equilibration : int
        Sweeps of these that are not measured.
    exchange : bool
        Replica exchange between neighbouring temperatures every ``STRIDE`` sweeps.
    tune : bool
        With exchange: respace the inner temperatures during equilibration to even acceptance.
    """

    engine: Engine
    temperatures: tuple[float, ...]
    replicas: int
    sweeps: int
    equilibration: int
    exchange: bool = False
    tune: bool = True
    unit: str = dataclasses.field(default="sweeps", init=False)

    @property
    def system(self):
        """The system of the first sample."""
        return self.engine.systems[0]

    def total(self) -> int:
        """Sweeps of every replica."""
        return self.sweeps

    def done(self, state: State) -> int:
        """Sweeps made."""
        return state.sweeps

    def memory(self) -> int:
        """Bytes of the state, and as much again for its checkpoint."""
        k, r, n = len(self.temperatures), self.replicas, self.system.n_sites
        blocks = k * r * self._n_blocks() * 8 * (len(MOMENTS) + 1 + len(self._observables()))
        histogram = k * GROUPS * self._n_levels() * 4 * 8
        log_time = k * r * LOG_BINS * 2 * 8
        own = 16 * getattr(self.system, "n_coordinates", 0) or n + 8 * self.system.cache_size
        return 2 * (k * r * own + blocks + histogram + log_time)

    def _n_blocks(self) -> int:
        room = _BLOCK_MEMORY // (len(self.temperatures) * self.replicas * 8 * len(MOMENTS))
        return 1 << max(FEWEST_BLOCKS, min(MOST_BLOCKS, room)).bit_length() - 1

    def _n_levels(self) -> int:
        """Energy levels of the histogram; 0 where none is kept."""
        if (len(self.engine.systems) > 1 or self.replicas < GROUPS
                or not hasattr(self.system, "energy_levels")):
            return 0
        try:
            n = len(self.system.energy_levels())
        except ValueError:  # no common step of the couplings
            return 0
        fits = len(self.temperatures) * GROUPS * n * 4 * 8 <= _HISTOGRAM_MEMORY
        return n if fits else 0

    def _cells(self, state: State) -> Any:
        """What knows the level of an energy; None where no histogram is kept."""
        return self.system if state.histogram.shape[2] else None

    def init(self, seed: int) -> State:
        """Replicas 2 m and 2 m + 1 start alike: at random for even m, ordered for odd m."""
        k, r, samples = len(self.temperatures), self.replicas, len(self.engine.systems)
        within = np.arange(r) % (r // samples)
        start = self.engine.start(seed, "canonical", within // 2 % 2 == 1, k)
        blocks = self._n_blocks()
        return State(
            **{f.name: getattr(start, f.name) for f in dataclasses.fields(Replicas)},
            temperatures=np.array(self.temperatures, dtype=float),
            sweeps=0,
            block_length=STRIDE,
            moments=np.zeros((k, r, blocks, len(MOMENTS))),
            overlaps=np.zeros((k, r // 2, blocks, 2)),
            observed=np.zeros((k, r, blocks, len(self._observables()))),
            overlap_counts=np.zeros((k, samples, OverlapBins.of(self.system).number),
                                    dtype=np.int64),
            log_time=np.zeros((k, r, LOG_BINS, 2)),
            histogram=np.zeros((k, GROUPS, self._n_levels(), 4)),
            exchange_rng=streams(seed, "exchange", 1)[0],
            walker=np.repeat(np.arange(k)[:, None], r, axis=1),
            heading=np.zeros((k, r), dtype=np.int64),
            round_trips=np.zeros(r, dtype=np.int64),
            attempts=np.zeros((max(k - 1, 0), 2), dtype=np.int64),
        )

    def restore(self, saved: dict[str, Any]) -> State:
        """The state of a checkpoint."""
        return State(**saved)

    def advance(self, state: State, n: int) -> None:
        """Advance every replica by ``n`` sweeps, at most to the total."""
        end = min(state.sweeps + n, self.sweeps)
        while state.sweeps < end:
            # stretches end where something else is to be done: at a stride, and at equilibration
            to = min(end, state.sweeps - state.sweeps % STRIDE + STRIDE)
            if state.sweeps < self._equilibration():
                to = min(to, self._equilibration())
            self._stretch(state, to - state.sweeps)
            if state.sweeps % STRIDE == 0:
                if state.sweeps > self._equilibration():
                    self._measure_overlaps(state)
                    self._measure_observables(state)
                if self.exchange:
                    self._exchange(state)
            if self.exchange:
                self._tune(state)

    def _equilibration(self) -> int:
        """Sweeps not measured: whole strides, so that each block has its overlaps."""
        return -(-self.equilibration // STRIDE) * STRIDE

    def _block(self, state: State, measured: int) -> int:
        """Block of the ``measured``-th sweep after equilibration (from 0); doubles their length."""
        n_blocks = state.moments.shape[2]
        if measured >= n_blocks * state.block_length:
            for sums in (state.moments, state.overlaps, state.observed):
                half = sums.shape[2] // 2
                sums[:, :, :half] = sums[:, :, ::2] + sums[:, :, 1::2]
                sums[:, :, half:] = 0.0
            state.block_length *= 2
        return measured // state.block_length

    def _stretch(self, state: State, n: int) -> None:
        measure = state.sweeps >= self._equilibration()
        block = self._block(state, state.sweeps - self._equilibration()) if measure else 0
        energy_rt, phi_rt = np.empty((2, self.replicas, n))
        for k, temperature in enumerate(state.temperatures):
            self.engine.advance(state, k, float(temperature), n, energy_rt, phi_rt)
            accumulate(self._cells(state), self.system.order_unit, energy_rt, phi_rt, measure,
                       state.sweeps + 1, state.moments[k, :, block], state.histogram[k],
                       state.log_time[k])
            self._record(state, k, state.sweeps + 1 - self._equilibration(), energy_rt, phi_rt)
        state.sweeps += n

    def _record(self, state: State, k: int, first: int, energy_rt: np.ndarray,
                phi_rt: np.ndarray) -> None:
        """Keep what else is wanted of a stretch: nothing here."""

    def _measure_overlaps(self, state: State) -> None:
        if not self._paired():
            return
        block = self._block(state, state.sweeps - self._equilibration() - 1)
        samples, n_bins = state.overlap_counts.shape[1:]
        bins = OverlapBins.of(self.system)
        for k in range(len(state.temperatures)):
            a = state.configurations[k]
            q = self.engine.overlap(a, self.engine.neighbours(a))[: self.replicas : 2]
            state.overlaps[k, :, block, 0] += q**2
            state.overlaps[k, :, block, 1] += q**4
            cell = bins.cell(q) + np.arange(len(q)) * samples // len(q) * n_bins
            state.overlap_counts[k] += np.bincount(
                cell, minlength=samples * n_bins).reshape(samples, n_bins)

    def _observables(self) -> dict[str, tuple[str, str]]:
        """What the system measures besides E and Phi, with units and meanings."""
        return observables_of(self.system) if isinstance(self.engine, HamiltonianSteps) else {}

    def _measure_observables(self, state: State) -> None:
        if not self._observables():
            return
        assert isinstance(self.engine, HamiltonianSteps)
        block = self._block(state, state.sweeps - self._equilibration() - 1)
        for k in range(len(state.temperatures)):
            state.observed[k, :, block] += self.engine.observe(state, k)

    def _spins(self) -> bool:
        """Whether local states are spins, for which a global flip of both leaves q^2 as it is."""
        local = set(local_values(self.system))
        return bool(local) and local == {-value for value in local}

    def _even(self) -> bool:
        """Whether E(-s) = E(s): then q and -q are equally likely, which no run below a transition
        would find by itself."""
        if not self._spins():
            return False
        rng, n = np.random.default_rng(0), self.system.n_sites
        local = local_values(self.system)
        cache = np.zeros(self.system.cache_size, dtype=np.int64)
        for sigma in rng.choice(np.array(local, dtype=np.int8), (8, n)):
            energy, flipped = (prepare(self.system, s, cache)[0] for s in (sigma, -sigma))
            if not math.isclose(energy, flipped, rel_tol=1e-9, abs_tol=1e-9):
                return False
        return True

    def _paired(self) -> bool:
        """Whether replicas 2 m and 2 m + 1 are of one sample, for every m."""
        return self.replicas // len(self.engine.systems) % 2 == 0

    # --- replica exchange ---

    def _exchange(self, state: State) -> None:
        """Attempt to exchange every second pair of neighbouring rungs, even and odd in turn."""
        beta = 1.0 / state.temperatures
        chance = np.empty(self.replicas)
        for k in range(state.sweeps // STRIDE % 2, len(beta) - 1, 2):
            fill_uniform(state.exchange_rng, chance)
            gain = (beta[k] - beta[k + 1]) * (state.energy[k] - state.energy[k + 1])
            accepted = chance < np.exp(np.minimum(gain, 0.0))
            self.engine.exchange(state, k, accepted)
            walker = state.walker
            walker[k, accepted], walker[k + 1, accepted] = (
                walker[k + 1, accepted], walker[k, accepted])
            state.attempts[k] += len(accepted), accepted.sum()
        ladder = np.arange(self.replicas)
        cold, hot = state.walker[0], state.walker[-1]
        state.round_trips += state.heading[cold, ladder] == 2
        state.heading[cold, ladder] = 1
        came = state.heading[hot, ladder] == 1
        state.heading[hot[came], ladder[came]] = 2

    def _tune(self, state: State) -> None:
        equilibration = self._equilibration()
        times = [int(f * equilibration) // STRIDE * STRIDE for f in _TUNING]
        enough = np.all(state.attempts[:, 0] > 0)
        if self.tune and state.sweeps in times and enough and len(state.temperatures) > 2:
            acceptance = state.attempts[:, 1] / state.attempts[:, 0]
            state.temperatures[:] = even_ladder(state.temperatures, acceptance)
            state.attempts[:] = 0
        if state.sweeps == equilibration:
            state.attempts[:] = 0
            state.round_trips[:] = 0
            state.heading[:] = 0

    # --- what it says ---

    def status(self, state: State) -> str:
        """Energies at both ends of the temperatures."""
        n = self.system.n_sites
        text = f"E/N {state.energy[0].mean() / n:.4g}"
        if len(state.temperatures) > 1:
            text += f" .. {state.energy[-1].mean() / n:.4g}"
        if state.sweeps < self._equilibration():
            text += " (equilibrating)"
        elif self.exchange:
            text += f", {state.round_trips.sum()} round trips"
        return text

    def result(self, state: State) -> dict[str, Group]:
        """Groups ``averages``, ``equilibration``, and where they apply ``overlap``, ``reweighted``
        and ``replica_exchange``."""
        check_replicas(self.engine, state, state.sweeps)
        measured = state.sweeps - self._equilibration()
        blocks = max(0, measured) // state.block_length
        groups: dict[str, Group] = {}
        if blocks >= _FEWEST_MEASURED:  # fewer give no errors
            groups |= estimated(groups, "averages", lambda: self._averages(state, blocks)) or {}
            if self._paired():
                groups["overlap"] = self._overlap_group(state)
            if "averages" in groups and self._cells(state) is self.system:
                group = estimated(groups, "reweighted averages",
                                  lambda: self._reweighted(state, groups["averages"]))
                groups |= {} if group is None else {"reweighted": group}
        if self.exchange:
            groups["replica_exchange"] = self._exchange_group(state)
        return groups

    def _averages(self, state: State, blocks: int) -> dict[str, Group]:
        from phasegrok.thermodynamics.averages import add_observables, averages, equilibration

        n_samples = len(self.engine.systems)
        moments = state.moments[:, :, :blocks]
        overlaps = state.overlaps[:, :, :blocks] / (state.block_length // STRIDE)
        if not self._paired():
            overlaps = overlaps[:, :0]
        group = averages(state.temperatures.copy(), moments, overlaps, state.block_length,
                         self.system.n_sites, n_samples)
        within = np.arange(self.replicas) % (self.replicas // n_samples)
        evidence = equilibration(
            group, moments, overlaps if self._spins() else overlaps[:, :0],
            state.block_length, within // 2 % 2 == 1, *self._log_means(state),
            self.system.n_sites, n_samples)
        if self._observables():
            observed = state.observed[:, :, :blocks] / (state.block_length // STRIDE)
            add_observables(group, observed, self._observables(), derived_of(self.system),
                            n_samples)
        group.attributes.update(self._attributes(state))
        if isinstance(self.engine, HamiltonianSteps):
            _judge_steps(group, self.engine.accepted(state), self.engine.step)
        return {"averages": group, "equilibration": evidence}

    def _attributes(self, state: State) -> dict[str, Any]:
        return {"dynamics": self.engine.name, "replicas": self.replicas, "sweeps": state.sweeps,
                "equilibration_sweeps": self._equilibration(), "n_sites": self.system.n_sites,
                "replica_exchange": self.exchange}

    def _log_means(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        """E and |Phi| of every replica in the bins of log time that are full."""
        n = (state.sweeps + 1).bit_length() - 1
        means = state.log_time[:, :, :n] / 2.0 ** np.arange(n)[:, None]
        return means[..., 0], means[..., 1]

    def _reweighted(self, state: State, averages: Group) -> Group:
        """Group ``reweighted``; ValueError where histograms of neighbours do not overlap."""
        from phasegrok.thermodynamics.reweighting import reweighted_group

        tau = np.fmax(averages["tau_energy"], 0.5)
        inefficiency = 2.0 * np.where(np.isfinite(tau), tau, 0.5)
        return reweighted_group(self.system.energy_levels(), state.histogram, state.temperatures,
                                inefficiency, self.system.n_sites)

    def _overlap_group(self, state: State) -> Group:
        counts = state.overlap_counts
        if self._even():
            counts = counts + counts[..., ::-1]
        centres, widths = OverlapBins.of(self.system).centres_and_widths()
        group = Group()
        group.add("temperature", state.temperatures, "temperature", "energy", "temperature")
        group.add("overlap", centres, "overlap", "1", "overlap q of two replicas, bin centre")
        group.add("width", widths, "overlap", "1", "width of the bin")
        group.add("sample", np.arange(counts.shape[1]), "sample", "1", "sample of the disorder")
        density = counts / np.maximum(counts.sum(axis=2, keepdims=True), 1) / widths
        group.add("density", density, ("temperature", "sample", "overlap"), "1",
                  "probability density of the overlap of each sample")
        group.add("mean_density", density.mean(axis=1), ("temperature", "overlap"), "1",
                  "mean over samples of the probability density of the overlap")
        return group

    def _exchange_group(self, state: State) -> Group:
        group = Group()
        group.add("temperature", state.temperatures, "temperature", "energy", "temperature")
        middle = np.sqrt(state.temperatures[1:] * state.temperatures[:-1])
        group.add("pair", middle, "pair", "energy", "geometric mean of neighbouring temperatures")
        attempts = np.maximum(state.attempts, 0)
        rate = attempts[:, 1] / np.maximum(attempts[:, 0], 1)
        group.add("acceptance", rate, "pair", "1", "share of accepted exchanges")
        group.add("ladder", np.arange(self.replicas), "ladder", "1", "independent ladder")
        group.add("round_trips", state.round_trips, "ladder", "1",
                  "round trips between the coldest and the hottest temperature, of all walkers")
        group.attributes.update({"attempted_every": STRIDE, "tuned": self.tune,
                                 "round_trips": int(state.round_trips.sum())})
        return group
