r"""Density of states of Ising spins from a ladder of temperatures in the lanes of words.

Each *walker* is a ladder of rungs at inverse temperatures of both signs, from where the highest
energies are typical over beta = 0 to where the lowest are, with 64 replicas at each rung in the
bits of a word.  Replicas of neighbouring rungs exchange their configurations (Hukushima and Nemoto,
J. Phys. Soc. Jpn. 65 (1996) 1604).  After every sweep the sites of each replica are counted by what
their flip would do: N attempted moves at the price of one sweep.

Within a cell of the landscape all states are equally likely at any temperature, so that the counts
of all rungs, added, estimate the transition probabilities of the infinitely hot walk, and detailed
balance gives ln g (:mod:`phasegrok.thermodynamics.transitions`).  The visits alone, with the
canonical weights of their rungs, are a second estimate (multi-histogram equations).

For ln g(E, M) each replica keeps its magnetisation M, and there is one for every M: updates
exchange the spins of two sites.  The counts are those of single flips as before, and connect M with
M +- 2.  So the landscape between two phases, which is never typical at any temperature and field,
is sampled as well as the rest.

The rungs are laid by one fast passage outwards from beta = 0, at distances :math:`d / \sigma_E`
where neighbours exchange in about a third of the attempts, and are respaced twice while the ladder
equilibrates, in the first quarter of the sweeps: to even acceptance, then with half as many again,
most of them where the error of ln g grows most.  Replicas 32 to 63 are set to all spins up at the
rungs of positive temperature before that; what the two halves measure is compared.
"""

import dataclasses
import functools
import math
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import erfcinv, gammaln
from scipy.stats import norm, ttest_ind

from phasegrok.compiled import over_threads
from phasegrok.dynamics import multi_spin, multi_spin_graph, multi_spin_ladder
from phasegrok.dynamics.multi_spin import MultiSpin
from phasegrok.dynamics.multi_spin_random import LANES, STATE, aligned, fill_words, generators
from phasegrok.groups import Group
from phasegrok.protocols.canonical import distances
from phasegrok.rng import streams
from phasegrok.statistics import jackknife_error
from phasegrok.systems.checks import check_running
from phasegrok.systems.ising import Ising
from phasegrok.thermodynamics.density_of_states import combine_walkers, marginal
from phasegrok.thermodynamics.transitions import (
    Agreement,
    estimates_agree,
    transition_log_g_jackknife,
)

_ACCEPTANCE = 0.3  # of exchanges between rungs, as they are laid
_LAYING_SWEEPS = 32  # at each rung, the second half of which is measured
_MOST_RUNGS = 512
_EXTREME = 0.6  # of the replicas in the lowest state of any: no colder rung is wanted
_EQUILIBRATION = 4  # a quarter of the sweeps
_TUNING = (0.25, 0.5)  # shares of it at which rungs are respaced
_MORE_RUNGS, _FEWEST_ACCEPTED = 3, 0.2  # halves of the rungs, at last; exchanges between them
_FEWEST_FOR_GROWTH = 4  # ladders whose scatter says where errors grow
_FEWEST_LANES = 8
_FEWEST_ROUND_TRIPS = 3
_LANES_WITHOUT_TRIP = 0.1  # with M: where many states are far from all others, a lane may stay long
_LEAST_P = 1e-3  # of the agreement of starts
_CHECKED = 8  # every eighth lane
_SMALL = 1e-9
_MOST_LANES = 0.8  # with M: lanes whose energies spread less than that by which rungs are laid
_LANES_ORDERED = np.uint64(0xFFFFFFFF00000000)


def fits(system) -> str:
    """Why a system cannot be measured by :class:`TemperatureLadder`, in one sentence, or empty."""
    if not isinstance(system, Ising):
        return "a ladder in the lanes of words is for Ising spins without local fields"
    if system.energy_step == 0.0:
        return "couplings and field have no common step, so there are no energy levels"
    if system.n_energies == 1:
        return "all of its states have one energy"
    return multi_spin.fits((system,), "checkerboard") and multi_spin_graph.fits(system)


@dataclasses.dataclass
class State:
    """W ladders of K rungs, at each a word of 64 lanes; A = W words a rung, or with M several of
    each ladder one after the other; C cells of the landscape."""

    words: np.ndarray  # (A, K, N) uint64, in the order of the mover
    rng: np.ndarray  # (A, STATE) uint64
    exchange_rng: np.ndarray  # (A, 4) uint64
    beta: np.ndarray  # (K,) ascending
    sweeps: int
    equilibration: int  # sweeps that are not part of the estimate
    energy: np.ndarray  # (A, K, 64)
    walker: np.ndarray  # (A, K, 64) int64: configuration at each rung
    end: np.ndarray  # (A, K, 64) int64: end of the ladder where each configuration was last
    attempts: np.ndarray  # (W, C, classes) int64
    visits: np.ndarray  # (W, K, C) int64; with M (W, 1, C), of all rungs
    seen: np.ndarray  # (W, C) uint64: lanes that were in the cell
    energy_sums: np.ndarray  # (A, K, 64)
    exchanges: np.ndarray  # (A, K - 1, 65) int64: accepted ones of each lane, and how often tried
    round_trips: np.ndarray  # (A, 64) int64: of all configurations of a lane
    found: np.ndarray  # (C,) bool: cells that were seen while the ladder equilibrated


@dataclasses.dataclass(frozen=True)
class TemperatureLadder:
    """Protocol: ln g(E) or ln g(E, M) of Ising spins, 64 replicas at a time.

    Parameters
    ----------
    system : Ising
        That :func:`fits`: couplings are multiples of a common step, so few that a flip changes the
        energy of the bonds by 32 values at most.  Fastest are chains, square and simple cubic
        lattices of even size with couplings +-J between nearest neighbours.
    sweeps : int
        Sweeps of each ladder in total, over which its rungs take turns; the first quarter
        equilibrates.
    walkers : int
        Independent ladders, from whose scatter the errors come.
    joint : bool
        ln g(E, M): each ladder has a lane for every M, whose updates exchange the spins of two
        sites and so keep it, so that no M is rare at any temperature; the counted flips lead from M
        to M +- 2.  That the number of states with each M is known is the second estimate.
    fold : bool
        Take g(E) = g(-E) for granted, as it is for bonds between two sublattices without a field:
        the ladder then has positive temperatures only, and reaches the same error in half the time.

    Raises
    ------
    ValueError
        If the system does not fit, or has no such symmetry: one sentence.
    """

    system: Ising
    sweeps: int
    walkers: int = 8
    fold: bool = False
    joint: bool = False
    unit: str = dataclasses.field(default="sweeps", init=False)

    def __post_init__(self):
        reason = fits(self.system)
        if reason:
            raise ValueError(reason)
        if self.fold and self.joint:
            raise ValueError("what folds ln g(E) does not fold ln g(E, M): leave one out")
        if self.fold and self.system.h != 0.0:
            raise ValueError("in a field, g(E) differs from g(-E): do not fold")
        if self.fold and self._engine is None and not multi_spin_graph.two_sublattices(self.system):
            raise ValueError("with circles of odd length, g(E) differs from g(-E): do not fold")

    # --- what the kernels need ---

    @functools.cached_property
    def _engine(self) -> MultiSpin | None:
        """What knows the order of sites on two sublattices; None for a graph, whose sites are in
        their own."""
        if self.joint or multi_spin.fits((self.system,), "checkerboard"):
            return None
        return MultiSpin((self.system,), "metropolis", "checkerboard")

    @functools.cached_property
    def mover(self) -> Any:
        """What sweeps and counts, in kernels."""
        if self.joint:
            return multi_spin_graph.Pairs.of(self.system)
        if self._engine is None:
            return multi_spin_graph.Graph.of(self.system, self._field)
        n = self.system.n_sites
        return multi_spin_ladder.Checkerboard.of(
            self._engine.lattice_of(n), self._engine.signs_of(n, LANES, 0),
            2 * self.system.dimension, self._field, self._field)

    @property
    def _by_spin(self) -> bool:
        """Whether spins up and down are counted apart."""
        return self._field or self.joint

    @property
    def _parts(self) -> int:
        """Words of a ladder at each rung: with M, a lane for every value of it."""
        return -(-(self.system.n_sites + 1) // LANES) if self.joint else 1

    @property
    def _n_order(self) -> int:
        return self.system.n_sites + 1 if self.joint else 1

    @property
    def _field(self) -> bool:
        return self.system.h != 0.0

    @functools.cached_property
    def _alignments(self) -> np.ndarray:
        """s_i sum_j J_ij s_j of the sites of each class; NaN where there are none."""
        if self._engine is None:
            return multi_spin_graph.alignments(self.system)
        n, z = np.arange(multi_spin_ladder.CLASSES), 2 * self.system.dimension
        return np.where(n <= z, self._engine.strength * (z - 2.0 * n), np.nan)

    def changes(self) -> np.ndarray:
        """Change of E by the flip of a site of each class, NaN where there are none: spins down
        and then, in a field or with M, spins up."""
        pair, h = 2.0 * self._alignments, self.system.h
        return np.concatenate([pair - 2.0 * h, pair + 2.0 * h]) if self._by_spin else pair

    def _rungs(self, beta_k: np.ndarray) -> multi_spin_ladder.Rungs:
        """Probabilities by row, the next power of two of classes: spins up, then spins down."""
        if self.joint:  # exchanges keep M, so that the field does not matter
            changes = multi_spin_graph.pair_changes(self.system)[None]
        else:
            changes = self.changes().reshape(-1, len(self._alignments))[::-1]
        n_classes = changes.shape[1]
        rows = max(2, 1 << (n_classes - 1).bit_length())
        changes = np.pad(changes, ((0, 0), (0, rows - n_classes)), constant_values=np.nan).ravel()
        return multi_spin_ladder.rungs(beta_k, np.nan_to_num(changes), np.isfinite(changes))

    def _cells(self) -> multi_spin_ladder.Cells:
        share = np.tile(-0.5 * np.nan_to_num(self._alignments), 1 + self._by_spin)
        return multi_spin_ladder.Cells(
            share, float(self.system.h), float(self.system.energy_start),
            float(self.system.energy_step), self._n_order)

    def unpacked(self, words: np.ndarray) -> np.ndarray:
        """Spins (64, N) of a configuration."""
        if self._engine is None:
            return 2 * multi_spin.bits_of(words).astype(np.int8) - 1
        return self._engine.unpacked(words[None])

    # --- running ---

    def memory(self) -> int:
        """Bytes of the state."""
        system = self.system
        rungs = 20 + int(5.0 * math.sqrt(system.n_sites))
        cells = len(system.energy_levels()) * self._n_order
        rows = self._parts * rungs * (system.n_sites + 4 * LANES)
        return 8 * self.walkers * (rows + (1 if self.joint else rungs) * cells + 16 * cells)

    def init(self, seed: int) -> State:
        """Random configurations, taken outwards from beta = 0, with rungs laid on the way."""
        n, n_words = self.system.n_sites, self.walkers * self._parts
        rows = streams(seed, ["temperature-ladder", "M"] if self.joint else "temperature-ladder",
                       n_words)
        words = np.zeros((n_words, 1, n), dtype=np.uint64)
        for row, configuration in zip(rows, words[:, 0]):
            fill_words(row, configuration)
        if self.joint:
            words[:, 0] = self._of_every_magnetisation(rows)
        start = self._empty(words, generators(rows), rows, np.zeros(1), 0)
        upper = self._laid(start, 1.0)
        start.words, start.beta = upper.words[:, :1].copy(), np.zeros(1)
        start.rng = upper.rng
        lower = start if self.fold else self._laid(start, -1.0)
        words = np.concatenate([lower.words[:, :0:-1], upper.words], axis=1)
        beta = np.concatenate([lower.beta[:0:-1], upper.beta])
        if self.joint:
            ordered = np.arange(n_words) // self._parts % 2 == 1
            words[np.ix_(ordered, beta > 0.0)] = self._of_every_magnetisation()[ordered, None]
        else:
            words[:, beta > 0.0] |= _LANES_ORDERED
        return self._empty(words, lower.rng, rows, beta, self.sweeps // _EQUILIBRATION)

    def _of_every_magnetisation(self, rows=None) -> np.ndarray:
        """Words (n_words, N) whose lane l of a ladder has l spins up, again from 0 after N: at
        random, or without generators the first l."""
        n, parts = self.system.n_sites, self._parts
        up = np.arange(parts * LANES) % (n + 1)
        words = []
        for a in range(self.walkers * parts):
            rank = np.tile(np.arange(n), (LANES, 1))
            if rows is not None:
                rng = np.random.default_rng([int(word) for word in rows[a]])
                rank = rng.permuted(rank, axis=1)
            own = up[a % parts * LANES : (a % parts + 1) * LANES]
            words.append(multi_spin.packed(rank < own[:, None]))
        return np.array(words)

    def _empty(self, words, rng, exchange_rng, beta, equilibration) -> State:
        """Configurations with nothing counted."""
        W, A, K = self.walkers, len(words), len(beta)
        C = len(self.system.energy_levels()) * self._n_order
        return State(
            words, rng.copy(), exchange_rng.copy(), beta, 0, equilibration,
            energy=np.zeros((A, K, LANES)),
            walker=np.tile(np.arange(K)[None, :, None], (A, 1, LANES)),
            end=np.zeros((A, K, LANES), dtype=np.int64),
            attempts=np.zeros((W, C, len(self.changes())), dtype=np.int64),
            visits=np.zeros((W, 1 if self.joint else K, C), dtype=np.int64),
            seen=np.zeros((W, C), dtype=np.uint64),
            energy_sums=np.zeros((A, K, LANES)),
            exchanges=np.zeros((A, max(K - 1, 0), LANES + 1), dtype=np.int64),
            round_trips=np.zeros((A, LANES), dtype=np.int64), found=np.zeros(C, dtype=bool),
        )  # fmt: skip

    def _laid(self, start: State, sign: float) -> State:
        """Rungs from beta = 0 to one end, each begun with the configurations of the one before."""
        changes = np.abs(self.changes())
        changes = changes[np.isfinite(changes)]
        gap = changes[changes > _SMALL * changes.max()].min()
        last = (math.log(self.system.n_sites) + 1.0) / gap
        words, betas = [], [0.0]
        at = dataclasses.replace(start, words=start.words.copy(), rng=start.rng.copy())
        distance = 2.0 * float(erfcinv(_ACCEPTANCE))
        while True:
            at.beta = np.array([sign * betas[-1]])
            self._run(at, _LAYING_SWEEPS // 2)
            energies = []
            for _ in range(_LAYING_SWEEPS // 2):
                self._run(at, 1)
                energies.append(at.energy[:, 0].copy())
            words.append(at.words.copy())
            deviation, extreme = self._spread(sign * np.array(energies))
            if betas[-1] >= last or extreme > _EXTREME or len(betas) == _MOST_RUNGS // 2:
                break
            step = distance / max(deviation, distance / last)
            betas.append(min(betas[-1] + step, last))
        return dataclasses.replace(at, words=np.concatenate(words, axis=1),
                                   beta=sign * np.array(betas))

    def _spread(self, energies_tal: np.ndarray) -> tuple[float, float]:
        """Standard deviation of E, and share of lanes in the lowest level of any of their kind.

        With M, lanes of one M are a kind, and the deviation is that of most of them.
        """
        kinds = np.reshape(energies_tal, (len(energies_tal), self.walkers, -1))
        if not self.joint:
            kinds = kinds.reshape(*kinds.shape[:1], -1, 1)
        lowest = kinds[-1].min(axis=0) + _SMALL * np.abs(kinds).max()
        return (float(np.quantile(kinds.std(axis=(0, 1)), _MOST_LANES)),
                float(np.mean(kinds[-1] < lowest)))

    def restore(self, saved: dict) -> State:
        """The state of a checkpoint; a larger ``sweeps`` extends what is counted."""
        return State(**saved)

    def total(self) -> int:
        """Sweeps of a ladder."""
        return self.sweeps

    def done(self, state: State) -> int:
        """Sweeps that every ladder has made."""
        return state.sweeps

    def advance(self, state: State, n: int) -> None:
        """Advance every ladder by ``n`` sweeps, at most to the end of the run."""
        end = min(state.sweeps + n, self.sweeps)
        rounds = [int(share * state.equilibration) for share in _TUNING]
        while state.sweeps < end:
            stops = [x for x in (*rounds, state.equilibration) if x > state.sweeps]
            self._run(state, min([end, *stops]) - state.sweeps)
            tried = state.exchanges[:, :, LANES]
            if state.sweeps in rounds and tried.shape[1] > 1 and np.all(tried > 0):
                self._respace(state, state.sweeps == rounds[-1])
            if state.sweeps == state.equilibration:
                self._forget(state)

    def _respace(self, state: State, anew: bool) -> None:
        """Move inner rungs so that exchanges are accepted equally often; the ends stay.

        ``anew``: half as many again, where the error of ln g grows most, so that what a rung adds
        to it is the same for all; but nowhere so few that less than a fifth would be accepted.
        """
        distance_k = distances(self._acceptance(state))
        density_k, number = np.ones_like(distance_k), len(distance_k)
        if anew:
            # with a density of rungs, variances add up as growth / density: least for its root
            root_k = np.sqrt(self._growth(state) / distance_k)
            if np.all(np.isfinite(root_k)) and root_k.any():
                number = min(_MORE_RUNGS * number // 2, _MOST_RUNGS)
                fewest = float(1.0 / distances(np.array(_FEWEST_ACCEPTED)))

                def excess(share):
                    return distance_k @ np.maximum(fewest, share * root_k) - number

                share = brentq(excess, 0.0, 2.0 * number / (distance_k @ root_k)) if (
                    excess(0.0) < 0.0) else 0.0
                density_k = np.maximum(fewest, share * root_k)
        along = np.concatenate([[0.0], np.cumsum(density_k * distance_k)])
        beta = np.interp(np.linspace(0.0, along[-1], number + 1), along, state.beta)
        nearest = np.abs(state.beta - beta[:, None]).argmin(axis=1)
        begun = self._empty(state.words[:, nearest], state.rng, state.exchange_rng, beta,
                            state.equilibration)
        begun.energy, begun.sweeps = state.energy[:, nearest], state.sweeps
        for field in dataclasses.fields(State):
            setattr(state, field.name, getattr(begun, field.name))

    def _growth(self, state: State) -> np.ndarray:
        """Variance of ln g between the mean energies of neighbouring rungs, from the counts so far;
        NaN where it is not known."""
        rows_wc = self._from_moves(state)[0][1]
        known = np.flatnonzero(np.isfinite(rows_wc).all(axis=0))
        if self.joint or self.walkers < _FEWEST_FOR_GROWTH or not known.size:
            return np.full(len(state.beta) - 1, np.nan)
        sweeps = state.visits.sum(axis=(0, 2)) / LANES  # of all ladders
        mean_k = state.energy_sums.sum(axis=(0, 2)) / (sweeps * LANES)
        levels = self.system.energy_levels()[known]
        at_k = np.abs(levels - mean_k[:, None]).argmin(axis=1)
        return jackknife_error(np.diff(rows_wc[:, known[at_k]], axis=1)) ** 2

    def _forget(self, state: State) -> None:
        """Count from now on."""
        state.found = np.any(self._seen(state), axis=0)
        for counted in (state.attempts, state.visits, state.seen, state.energy_sums,
                        state.exchanges, state.round_trips, state.end):
            counted[:] = 0

    def _acceptance(self, state: State) -> np.ndarray:
        """Share of accepted exchanges of each pair of rungs; with M, that of the lanes where few
        are."""
        tried_k = state.exchanges[..., LANES].sum(axis=0)
        by_lane = state.exchanges[..., :LANES].reshape(self.walkers, self._parts, -1, LANES)
        accepted_kl = by_lane.sum(axis=0).transpose(1, 0, 2).reshape(
            len(tried_k), self._parts * LANES)
        rate_kl = accepted_kl * self._parts / np.maximum(tried_k, 1)[:, None]
        return np.quantile(rate_kl, 1.0 - _MOST_LANES, axis=1) if self.joint else (
            rate_kl.mean(axis=1))

    def _run(self, state: State, n_sweeps: int) -> None:
        mover, n = self.mover, self.system.n_sites
        ladder, cells = self._rungs(state.beta), self._cells()

        def one(w):
            words, generator = aligned(state.words[w].size), aligned(STATE)
            words = words.reshape(state.words[w].shape)
            own, work = ladder.own_tables(), mover.scratch(n)
            for a in range(w * self._parts, (w + 1) * self._parts):
                words[:], generator[:] = state.words[a], state.rng[a]
                counts = multi_spin_ladder.Counts(
                    state.attempts[w], state.visits[w], state.seen[w], state.energy_sums[a],
                    state.exchanges[a], state.round_trips[a])
                multi_spin_ladder.advance(
                    words, mover, generator, state.exchange_rng[a], own, cells, counts,
                    state.energy[a], state.walker[a], state.end[a], state.sweeps, n_sweeps, work)
                state.words[a], state.rng[a] = words, generator

        if n * n_sweeps * len(state.words) < multi_spin.WORTH_A_THREAD:
            for w in range(self.walkers):
                one(w)
        else:
            over_threads(one, self.walkers)
        state.sweeps += n_sweeps

    def _seen(self, state: State) -> np.ndarray:
        """Lanes of each ladder that were in the cell (W, C), or folded, in its mirror image."""
        return state.seen | state.seen[:, ::-1] if self.fold else state.seen

    def status(self, state: State) -> str:
        """One phrase for the progress display."""
        text = f"{len(state.beta)} rungs, {int(np.any(self._seen(state), axis=0).sum())} cells"
        if state.sweeps < state.equilibration:
            return f"equilibrating, {text}"
        return f"{text}, {state.round_trips.mean():.3g} round trips of a lane"

    # --- results ---

    def result(self, state: State) -> dict[str, Group]:
        """Group ``density_of_states``: ln g with errors, and the evidence of convergence.

        Raises
        ------
        InputError
            If a running E is not that of its configuration.
        """
        self._check(state)
        moves, problem = self._from_moves(state)
        agreement = None
        if self.walkers > 1 and np.isfinite(moves[0]).any():
            if self.joint:
                agreement = self._binomials(*moves)
            else:
                visits = self._from_visits(state)
                agreement = None if visits is None else estimates_agree(*moves, *visits)
        group = self._group(state, *moves)
        group.attributes.update(self._evidence(state, moves[0], agreement, problem))
        return {"density_of_states": group}

    def _check(self, state: State) -> None:
        """Compare the energies that were counted with those of the configurations."""
        last = len(state.beta) - 1
        if state.sweeps <= last:
            return
        for w in range(len(state.words)):
            for k in (0, last):
                spins = self.unpacked(state.words[w, k])[::_CHECKED]
                check_running(self.system, spins, np.zeros((len(spins), 0), dtype=np.int64),
                              state.energy[w, k, ::_CHECKED, None],
                              float(state.sweeps) * self.system.n_sites)

    def _offsets(self) -> np.ndarray:
        """Change of the cell by the flip of each class: spins down (or all), then spins up."""
        offsets = np.rint(np.nan_to_num(self.changes()) / self.system.energy_step).astype(np.int64)
        if not self.joint:
            return offsets
        return offsets * self._n_order + np.repeat([1, -1], len(offsets) // 2)

    def _attempts(self, state: State) -> np.ndarray:
        """Attempted moves (W, C, classes); folded, those from E count as ones from -E too."""
        if not self.fold:
            return state.attempts
        last = int(np.isfinite(self.changes()).sum())
        mirrored = np.zeros_like(state.attempts)
        mirrored[..., :last] = state.attempts[:, ::-1, :last][..., ::-1]
        return state.attempts + mirrored

    def _folded(self, visits: np.ndarray) -> np.ndarray:
        """Visits, and where folded those of -E besides."""
        return visits + visits[..., ::-1] if self.fold else visits

    def _from_moves(self, state: State) -> tuple[tuple[np.ndarray, np.ndarray], str]:
        """ln g, its leave-one-ladder-out rows, and what speaks against it."""
        attempts = self._attempts(state)
        try:
            return transition_log_g_jackknife(
                attempts, self._offsets(), self.system.log_n_states), ""
        except ArithmeticError as error:  # counts so few that the equations cannot be solved
            shape = attempts.shape[:2]
            return (np.full(shape[1], np.nan), np.full(shape, np.nan)), str(error)

    def _binomials(self, log_g_c: np.ndarray, rows_wc: np.ndarray) -> Agreement:
        """Sums of g(E, M) over E beside the numbers of states with each M, which are known."""
        n = self.system.n_sites
        m = np.arange(n + 1)
        exact = gammaln(n + 1) - gammaln(m + 1) - gammaln(n - m + 1)
        sums = [marginal(x.reshape(-1, n + 1), 0) for x in (log_g_c, *rows_wc)]
        return estimates_agree(
            sums[0], np.array(sums[1:]), exact, np.tile(exact, (len(rows_wc), 1)))

    def _from_visits(self, state: State) -> tuple[np.ndarray, np.ndarray] | None:
        """The multi-histogram estimate from the visits of all rungs, if it is determined."""
        visits, beta = state.visits, state.beta
        if self.fold:
            visits = np.concatenate([visits, visits[:, :, ::-1]], axis=1)
            beta = np.concatenate([beta, -beta])
        weight_kc = beta[:, None] * self.system.energy_levels()
        one = np.zeros(len(beta), dtype=np.int64)

        def estimate(visits_kc):
            return combine_walkers(visits_kc, weight_kc, self.system.log_n_states, one)[0]

        total = visits.sum(axis=0)
        try:
            rows = [estimate(total - own) for own in visits] if self.walkers > 1 else []
            return estimate(total), np.array(rows).reshape(len(rows), -1)
        except (ArithmeticError, ValueError):  # as rungs with no cell in common
            return None

    def _group(self, state: State, log_g_c: np.ndarray, rows_wc: np.ndarray) -> Group:
        shape = (-1, self._n_order) if self.joint else (-1,)
        dims = ("energy", "order_parameter") if self.joint else ("energy",)
        visits = self._folded(state.visits.sum(axis=(0, 1))).reshape(shape)
        lanes = np.bitwise_count(self._seen(state)).sum(axis=0, dtype=np.int64).reshape(shape)
        reached: np.ndarray = self._reached(state).reshape(shape) | (visits > 0)
        if self.joint:
            reached = np.any(reached, axis=1)
        rows = rows_wc.reshape(self.walkers, *visits.shape)[:, reached]
        group = Group()
        group.add("energy", self.system.energy_levels()[reached], "energy", "energy",
                  "energy of the whole system")
        if self.joint:
            group.add("order_parameter", self.system.order_levels(), "order_parameter", "1",
                      "order parameter, as the card defines it")
        group.add("walker", np.arange(self.walkers), "walker", "1", "independent ladder")
        group.add("log_g", log_g_c.reshape(shape)[reached], dims, "nat",
                  "ln of the number of states")
        group.add("log_g_err", jackknife_error(rows), dims, "nat",
                  "standard error of log_g: jackknife over ladders")
        group.add("log_g_jackknife", rows, ("walker", *dims), "nat",
                  "log_g with one ladder left out")
        group.add("visits", visits[reached], dims, "1",
                  "sweeps that ended in the cell, of all lanes of all ladders")
        group.add("lanes", lanes[reached], dims, "1",
                  "lanes, of all ladders, that were in the cell")
        trips = state.round_trips.reshape(self.walkers, -1)
        group.add("round_trips", trips.min(axis=1), "walker", "1",
                  "passages of configurations from end to end of the ladder and back, of the lane "
                  "with the fewest")
        group.add("rung", np.arange(len(state.beta)), "rung", "1", "rung of the ladder")
        group.add("beta", state.beta, "rung", "1/energy", "inverse temperature of the rung")
        if len(state.beta) > 1:
            group.add("pair", np.arange(len(state.beta) - 1), "pair", "1", "neighbouring rungs")
            group.add("acceptance", self._acceptance(state), "pair", "1",
                      "share of accepted exchanges" + (
                          ", which a fifth of the lanes do not reach" if self.joint else ""))
        return group

    def _reached(self, state: State) -> np.ndarray:
        """Cells to which a move that was counted leads, taken or not."""
        attempts_cs = self._attempts(state).sum(axis=0)
        reached = np.zeros(len(attempts_cs), dtype=bool)
        for column, offset in zip(attempts_cs.T, self._offsets()):
            to = np.flatnonzero(column) + offset
            reached[to[(to >= 0) & (to < len(reached))]] = True
        return reached

    def _evidence(self, state: State, log_g_c: np.ndarray, agreement, problem: str) -> dict:
        p_starts = self._agreement_of_starts(state)
        why = [problem] if problem else []
        why += self._doubts(state, log_g_c, p_starts)
        if self.walkers < 2:
            why.append("one walker gives no errors")
        if agreement is None:
            why.append("no second estimate could be made")
        elif agreement.refuted:
            why.append(("the numbers of states with each M are not what they are known to be"
                        if self.joint else "transitions and visits give different ln g")
                       + f" (rms difference {agreement.rms_difference:.2g} nat, "
                       f"p = {agreement.p_value:.1g})")
        believe = ("believe it: every cell that a move leads to was visited, by "
                   f"{self._fewest_lanes(state)} lanes or more, none was new after equilibration, "
                   "every known ground state was visited, a lane made "
                   f"{state.round_trips.mean():.2g} round trips of the ladder on average, "
                   f"{np.mean(state.round_trips > 0):.3g} of the lanes one or more, and lanes "
                   f"begun ordered and at random agree (p = {p_starts:.2g})")
        if agreement is not None:
            believe += ((", and the numbers of states with each M are what they are known to be"
                         if self.joint else ", as do transitions and visits")
                        + f" (rms difference {agreement.rms_difference:.2g} nat, "
                        f"p = {agreement.p_value:.2g})")
        return {
            "complete": not why,
            "complete_reason": "do not believe it: " + "; ".join(why) if why else believe,
            "method": "ladder",
            "measure": "number of states (sums to the total number of states)",
            "log_n_states": self.system.log_n_states,
            "sweeps": state.sweeps,
            "equilibration_sweeps": state.equilibration,
            "walkers": self.walkers,
            "lanes_per_walker": LANES,
            "rungs": len(state.beta),
            "folded": self.fold,
            "estimator": "transitions",
            "agreement_p": math.nan if agreement is None else agreement.p_value,
            "agreement_rms": math.nan if agreement is None else agreement.rms_difference,
            "starts_agree_p": p_starts,
            "bin_width": 0.0,
        }

    def _fewest_lanes(self, state: State) -> int:
        lanes_c = np.bitwise_count(self._seen(state)).sum(axis=0)
        return int(lanes_c[lanes_c > 0].min(initial=LANES * self.walkers))

    def _agreement_of_starts(self, state: State) -> float:
        """Probability of means as different as those of lanes begun ordered and at random.

        The mean E of a lane at a rung is one number of 32 W in each half; of the rungs the largest
        difference counts, by Bonferroni's bound.
        """
        if self.joint:
            return self._agreement_of_walkers(state)
        lanes_kl = state.energy_sums.transpose(1, 0, 2)
        halves = [lanes_kl[:, :, :32].reshape(len(lanes_kl), -1),
                  lanes_kl[:, :, 32:].reshape(len(lanes_kl), -1)]
        difference = halves[0].mean(axis=1) - halves[1].mean(axis=1)
        variance = sum(half.var(axis=1, ddof=1) / half.shape[1] for half in halves)
        if not np.any(variance > 0.0):
            return math.nan
        z = np.abs(difference[variance > 0.0]) / np.sqrt(variance[variance > 0.0])
        return float(min(1.0, 2.0 * len(z) * norm.sf(z.max())))

    def _agreement_of_walkers(self, state: State) -> float:
        """With M every second ladder began ordered: the sum of E over its lanes is one number."""
        sums_kw = state.energy_sums.sum(axis=2).T.reshape(-1, self.walkers, self._parts).sum(axis=2)
        halves = sums_kw[:, ::2], sums_kw[:, 1::2]
        small = _SMALL * np.abs(sums_kw).max()
        vary = np.all([half.std(axis=1) > small for half in halves], axis=0)
        if self.walkers < 4 or not vary.any():
            return math.nan
        p_k = ttest_ind(*(half[vary] for half in halves), axis=1, equal_var=False).pvalue
        return float(min(1.0, len(p_k) * p_k.min()))

    def _doubts(self, state: State, log_g_c: np.ndarray, p_starts: float) -> list[str]:
        """What the run itself says against its result."""
        visited_wc = self._seen(state) > 0
        visited = np.any(visited_wc, axis=0)
        if state.sweeps < state.equilibration + len(state.beta):
            return ["the ladder still equilibrates"]
        why = []
        missing = int((self._reached(state) & ~visited).sum())
        if missing:
            why.append(f"moves lead to {missing} cell(s) that no replica visited")
        if np.any(visited & ~np.isfinite(log_g_c)):
            why.append("visited cells that nothing connects with the others have no ln g")
        if np.any(visited & ~state.found):
            why.append("a cell was found for the first time after equilibration")
        if not np.all(visited_wc == visited):
            why.append("the walkers did not see the same cells")
        elif self._fewest_lanes(state) < _FEWEST_LANES and not self.joint:
            why.append(f"a cell was seen by {self._fewest_lanes(state)} lanes only, at least "
                       f"{_FEWEST_LANES} are wanted")
        levels, M = self.system.energy_levels(), self.system.order_levels()
        known = {int(np.argmin(np.abs(levels - E))) * self._n_order
                 + (int(np.argmin(np.abs(M - m))) if self.joint else 0)
                 for E, m in self.system.known_cells()}
        if not all(visited[c] for c in known):
            why.append("a known ground state was not visited")
        trips = state.round_trips
        if trips.mean() < _FEWEST_ROUND_TRIPS:
            why.append(f"a lane made {trips.mean():.2g} round trips of the ladder on average, at "
                       f"least {_FEWEST_ROUND_TRIPS} are wanted")
        elif np.mean(trips == 0) > (_LANES_WITHOUT_TRIP if self.joint else 0.0):
            why.append(f"{int((trips == 0).sum())} of {trips.size} lanes made no round trip of the "
                       "ladder")
        if p_starts < _LEAST_P:
            why.append(f"lanes begun ordered and at random differ (p = {p_starts:.1g})")
        return why
