"""Wang-Landau sampling of the density of states: windows, replica exchange, frozen production.

Independent *ladders* learn ln g by random walks that are accepted with min(1, g(old)/g(new)) and
add ln f to the present cell.  ln f is halved each time every cell seen so far has its share of the
visits, and follows n_cells/t (t in attempted updates) from the moment when that is the larger of
the two (Wang and Landau, Phys. Rev. Lett. 86 (2001) 2050; Belardinelli and Pereyra, Phys. Rev. E 75
(2007) 046701).  A cell that is found anew raises ln f again: otherwise the first cells use up the
deposits, and the rest of the landscape is never reached.  The other schedule, SAMC, is t0/max(t,
t0) from the start (Liang, Liu and Carroll, J. Amer. Statist. Assoc. 102 (2007) 305).

The first half of the sweeps learns.  Its first quarter explores without windows; then windows of
energy are laid that span equal parts of the total variation of ln g (in nats) and overlap their
neighbours, and each ladder has a configuration in every window, exchanged between neighbours
(Vogel et al., Phys. Rev. Lett. 110 (2013) 210603).  From then on every attempted move is counted by
the cell where it began and the cell where it would end.  Within a cell all states are equally
likely, so these counts, of all windows added, estimate the transition probabilities T of the
proposals, and detailed balance g_i T_ij = g_j T_ji gives ln g with far smaller errors than the
visits do (Wang and Swendsen, J. Stat. Phys. 106 (2002) 245; Shell, Debenedetti and
Panagiotopoulos, J. Chem. Phys. 119 (2003) 9406).

At half time all ladders take that estimate as frozen weights, and the second half samples with
them.  ln g is estimated from the transitions of production and of the time at which ln f was
n_cells/t, when a deposit is too small to disturb the balance inside a cell; as a check, from the
visits of production alone.  The errors come from the scatter of the independent ladders.
"""

import dataclasses
import math

import numpy as np

from phasegrok.compiled import over_threads
from phasegrok.dynamics import flat_histogram
from phasegrok.dynamics.flat_histogram import (
    BATCH,
    EXCHANGES,
    ONE_OVER_T,
    ROUND_TRIPS,
    SEEN,
    SWEEPS,
)
from phasegrok.groups import Group
from phasegrok.rng import streams
from phasegrok.statistics import jackknife_error
from phasegrok.systems.binned import Binned
from phasegrok.systems.checks import check_running
from phasegrok.systems.discrete import DiscreteSystem, energy_cell, order_cell
from phasegrok.systems.square_ising import FourNeighbours
from phasegrok.thermodynamics.density_of_states import combine_walkers, marginal
from phasegrok.thermodynamics.transitions import (
    Agreement,
    estimates_agree,
    transition_log_g,
    transition_log_g_jackknife,
)

OVERLAP = 0.45  # share of a window, in nats, that the next one covers too
SCHEDULES = ("halving", "samc")
_EXPLORING_SHARE = 4  # a quarter of learning explores
_NATS_A_WINDOW = 250.0  # of the automatic choice
_NATS_A_CELL = 0.05  # a flat stretch has to be crossed too
_MOST_WINDOWS = 64
_MOST_OFFSETS = 63  # kinds of transitions that are told apart
_LARGEST_OFFSETS = (40, 20)  # in cells of energy and of the order parameter
_END_SHARE = 0.05  # of the cells of energy, at either end of a round trip
_FEWEST_ROUND_TRIPS = 3


@dataclasses.dataclass
class State:
    """W ladders of K windows: configurations, what each learned and counted, the generators.

    Before windows are laid, K = 0 and R = 1 configuration explores; then R = K + 1 (K = 1: 1).
    """

    sigma: np.ndarray  # (W, R, N) int8
    cache: np.ndarray  # (W, R, M) int64
    values: np.ndarray  # (W, R, 2): E, Phi; as integers, their cells, for FourNeighbours
    rng: np.ndarray  # (W, 4) uint64
    log_g: np.ndarray  # (W, n_E, n_Phi), -inf where never seen
    visits: np.ndarray  # (W, K or 1, n_E, n_Phi): since ln f was last lowered; in production: all
    offsets: np.ndarray  # (W, ., .) int64: transitions met while exploring, by offset of the cell
    columns: np.ndarray  # (., .) int64: column of ``attempts`` of every offset; 0: any other
    attempts: np.ndarray  # (W, n_E, n_Phi, columns) int64
    log_f: np.ndarray  # (W, 1)
    counters: np.ndarray  # (W, 7) int64
    where: np.ndarray  # (W, K) int64: configuration in each window, -1 before one is placed
    end: np.ndarray  # (W, R) int64: end of the landscape that a configuration was at last
    bounds: np.ndarray  # (K, 2) int64: first and last energy cell of each window
    share: np.ndarray  # (K,): deposit in each window, in units of ln f
    thinning: np.ndarray  # (n_E,): 1 / (number of windows over the cell)
    learned: np.ndarray  # (W, n_E, n_Phi) bool: seen while learning
    learning_sweeps: int
    energy_sums: np.ndarray = dataclasses.field(  # (W, n_E, n_Phi): of E over the visits, in bins
        default_factory=lambda: np.zeros((0, 0, 0)))


@dataclasses.dataclass(frozen=True)
class WangLandau:
    """Protocol: ln g(E) or ln g(E, Phi) of a discrete system from independent ladders.

    Parameters
    ----------
    system : DiscreteSystem
        With levels of energy, or :class:`phasegrok.systems.binned.Binned`: the energy of a bin is
        then the mean over the states in it, as production visits them.
    sweeps : int
        Sweeps of each ladder in total, over which its windows take turns; the first half learns,
        the rest is production.
    walkers : int
        Independent ladders, from whose scatter the errors come.
    joint : bool
        Resolve the order parameter too; windows are of energy all the same.
    windows : int
        Number of windows; 0: one for every 250 nats of the total variation of ln g(E).
    schedule : str
        "halving" or "samc".
    """

    system: DiscreteSystem
    sweeps: int
    walkers: int = 8
    joint: bool = False
    windows: int = 0
    schedule: str = "halving"
    unit: str = dataclasses.field(default="sweeps", init=False)

    # --- running ---

    def init(self, seed: int) -> State:
        """Random configurations, nothing learned.

        Raises
        ------
        InputError
            If a function of the system is at fault: its walk would leave the cells.
        """

        system, w = self.system, self.walkers
        twin = FourNeighbours.of(system)
        shape = (w, len(system.energy_levels()), len(system.order_levels()) if self.joint else 1)
        reach = [2 * min(n - 1, most) + 1 for n, most in zip(shape[1:], _LARGEST_OFFSETS)]
        state = State(
            sigma=np.zeros((w, 1, system.n_sites), dtype=np.int8),
            cache=np.zeros((w, 1, system.cache_size), dtype=np.int64),
            values=np.zeros((w, 1, 2), dtype=np.int64 if twin else float),
            rng=streams(seed, ["wang-landau", self.joint], w),
            log_g=np.full(shape, -np.inf),
            visits=np.zeros((w, 1, *shape[1:]), dtype=np.int64),
            offsets=np.zeros((w, *reach), dtype=np.int64),
            columns=np.zeros(reach, dtype=np.int64),
            attempts=np.zeros((w, 1, 1, 1), dtype=np.int64),
            log_f=np.ones((w, 1)),
            counters=np.zeros((w, 7), dtype=np.int64),
            where=np.zeros((w, 0), dtype=np.int64),
            end=np.zeros((w, 1), dtype=np.int64),
            bounds=np.zeros((0, 2), dtype=np.int64),
            share=np.zeros(0),
            thinning=np.ones(shape[1]),
            learned=np.zeros(shape, dtype=bool),
            learning_sweeps=max(1, self.sweeps // 2),
            energy_sums=np.zeros(shape if isinstance(system, Binned) else (0, 0, 0)),
        )
        for k in range(w):
            flat_histogram.start(twin or system, self.joint or None, state.sigma[k, 0],
                                 state.cache[k, 0], state.values[k, 0], state.rng[k],
                                 state.log_g[k], state.counters[k])
        return state

    def _moved(self):
        """The system in the form that kernels move fastest."""
        return FourNeighbours.of(self.system) or self.system

    def memory(self) -> int:
        """Bytes of the state: ln g, visits and transitions of every ladder."""
        cells = len(self.system.energy_levels())
        cells *= len(self.system.order_levels()) if self.joint else 1
        windows = self.windows or 1 + int(2.0 * self.system.log_n_states / _NATS_A_WINDOW)
        kinds = 9 * (3 if self.joint else 1)
        configuration = self.system.n_sites + 8 * self.system.cache_size
        return self.walkers * ((windows + 1) * configuration + 8 * cells * (3 + windows + kinds))

    def restore(self, saved: dict) -> State:
        """The state of a checkpoint; a larger ``sweeps`` extends production."""
        return State(**saved)

    def total(self) -> int:
        """Sweeps of a ladder."""
        return self.sweeps

    def done(self, state: State) -> int:
        """Sweeps that every ladder has made."""
        return int(state.counters[:, SWEEPS].min())

    def advance(self, state: State, n: int) -> None:
        """Advance every ladder by ``n`` sweeps, at most to the end of a stage or of the run."""
        now = self.done(state)
        exploring = max(1, state.learning_sweeps // _EXPLORING_SHARE)
        stage_end = next(x for x in (exploring, state.learning_sweeps, math.inf) if now < x)
        n = int(min(n, self.sweeps - now, stage_end - now))
        producing = now >= state.learning_sweeps
        low_k, high_k = (np.ascontiguousarray(x) for x in state.bounds.T)
        ends, moved = self._ends(state), self._moved()
        attempts = state.attempts.reshape(
            self.walkers, -1, state.attempts.shape[3])  # a row a cell
        scratch = [(np.zeros(BATCH, np.uint64), np.zeros(BATCH, np.int32), np.zeros(BATCH))
                   for _ in range(self.walkers)]
        over_threads(
            lambda k: flat_histogram.advance(
                moved, self.joint or None, producing, self.schedule == "samc",
                self.system.log_n_states, n, ends, low_k, high_k, state.share,
                state.sigma[k], state.cache[k], state.values[k], state.rng[k],
                state.log_g[k].reshape(-1), state.thinning,
                state.visits[k].reshape(state.visits.shape[1], -1),
                state.energy_sums[k].reshape(-1) if len(state.energy_sums) else None,
                state.offsets[k],
                state.columns, attempts[k], state.log_f[k],
                state.counters[k], state.where[k], state.end[k], *scratch[k]),
            self.walkers,
        )
        if now + n == exploring and exploring < state.learning_sweeps:
            self._lay_windows(state, self.windows)
        if now + n == state.learning_sweeps and not producing:
            self._freeze(state)

    def _ends(self, state: State) -> np.ndarray:
        """The cells below and above which a configuration is at an end of the landscape."""
        seen = np.flatnonzero(state.learned.any(axis=(0, 2)))
        if not seen.size:
            return np.zeros(2, dtype=np.int64)
        margin = int(_END_SHARE * len(seen))
        return np.array([seen[margin], seen[-1 - margin]])

    def _shares(self, state: State) -> None:
        """What a deposit is in each window and at each cell, in units of ln f.

        With (cells of the window) K / (cells of all) / (windows over the cell), flat walks in all
        windows raise all cells alike, so that the right ln g is a fixed point.
        """
        state.thinning = np.zeros(state.log_g.shape[1])
        state.share = np.ones(len(state.bounds))
        seen_e = np.isfinite(state.log_g).any(axis=0).sum(axis=1)
        for k, (low, high) in enumerate(state.bounds):
            state.thinning[low : high + 1] += 1.0
            state.share[k] = seen_e[low : high + 1].sum() * len(state.bounds) / seen_e.sum()
        state.thinning = 1.0 / state.thinning

    def _lay_windows(self, state: State, number: int) -> None:
        """Lay windows by nats, with room for their configurations, and count transitions."""
        w = self.walkers
        log_g = self._median(state.log_g.reshape(w, -1)).reshape(state.log_g.shape[1:])
        state.bounds = windows_by_nats(marginal(log_g, 1), number)
        self._shares(state)
        k = len(state.bounds)
        state.where = np.full((w, k), -1, dtype=np.int64)
        if k > 1:  # the explorer is the last row
            for name in ("sigma", "cache", "values"):
                old = getattr(state, name)
                new = np.zeros((w, k + 1, old.shape[2]), dtype=old.dtype)
                new[:, k] = old[:, 0]
                setattr(state, name, new)
            state.end = np.zeros((w, k + 1), dtype=np.int64)
        else:
            state.where[:] = 0
        state.columns = _columns(state.offsets.sum(axis=0))
        shape = (w, *state.log_g.shape[1:], int(state.columns.max()) + 1)
        state.attempts = np.zeros(shape, dtype=np.int64)

    def _median(self, log_g_wc: np.ndarray) -> np.ndarray:
        """Median over ladders of the learned ln g, each normalised; -inf where none was.

        The median of a cell is over the ladders that saw it; one that got stuck does not spoil it.
        A cell that was seen holds a state at least, so ln g >= 0: too low a value would be a trap.
        """
        norm_w = np.logaddexp.reduce(log_g_wc, axis=1) - self.system.log_n_states
        seen_c = np.isfinite(log_g_wc).any(axis=0)
        known_wc = np.where(np.isfinite(log_g_wc), log_g_wc - norm_w[:, None], np.nan)[:, seen_c]
        median_c = np.full(log_g_wc.shape[1], -np.inf)
        median_c[seen_c] = np.maximum(np.nanmedian(known_wc, axis=0), 0.0)
        return median_c

    def _freeze(self, state: State) -> None:
        """Give all ladders the same weights, and count visits from now on, transitions too where
        ln f was not yet n_cells/t.

        The weights are the estimate from the transitions while learning, where it knows every cell
        that was seen, and else the median of what the ladders learned.
        """
        w = self.walkers
        if not len(state.bounds):  # too short a run to have had windows
            self._lay_windows(state, 1)
        state.learned[:] = np.isfinite(state.log_g)
        weight = self._median(state.log_g.reshape(w, -1))
        try:
            balance = transition_log_g(
                state.attempts.sum(axis=0).reshape(weight.size, -1), self._flat_offsets(state),
                self.system.log_n_states)
        except ArithmeticError:  # counts so few that the equations cannot be solved
            balance = weight
        if np.all(np.isfinite(balance) == np.isfinite(weight)):
            weight = np.where(np.isfinite(balance), np.maximum(balance, 0.0), -np.inf)
        state.log_g[:] = weight.reshape(state.log_g.shape[1:])
        state.visits = np.zeros((w, len(state.bounds), *state.log_g.shape[1:]), dtype=np.int64)
        state.attempts[state.counters[:, ONE_OVER_T] == 0] = 0
        state.energy_sums[:] = 0.0

    def _flat_offsets(self, state: State) -> np.ndarray:
        """Offset of the flat cell for every column of ``attempts``; 0 for the rest."""
        flat = np.zeros(int(state.columns.max()) + 1, dtype=np.int64)
        half_e, half_p = (n // 2 for n in state.columns.shape)
        for de, dp in np.argwhere(state.columns > 0):
            flat[state.columns[de, dp]] = (de - half_e) * state.log_g.shape[2] + dp - half_p
        return flat

    def status(self, state: State) -> str:
        """One phrase for the progress display."""
        cells = int(state.counters[:, SEEN].max())
        k = len(state.bounds)
        where = f", {k} windows" if k > 1 else ""
        if self.done(state) >= state.learning_sweeps:
            return f"production{where}, {cells} cells"
        return f"learning{where}, {cells} cells, ln f = {state.log_f.max():.1e}"

    # --- results ---

    def result(self, state: State) -> dict[str, Group]:
        """Group ``density_of_states``: ln g with errors, and the evidence of convergence.

        Raises
        ------
        InputError
            If the running E, Phi or cache is not that of a configuration.
        """
        self._check(state)
        in_production = self.done(state) > state.learning_sweeps
        estimate = self._estimate(state, in_production)
        group = self._group(state, estimate)
        group.attributes.update(self._evidence(state, in_production, estimate))
        return {"density_of_states": group}

    def _check(self, state: State) -> None:
        """Compare what walkers added up with their configurations."""
        system, updates = self.system, float(self.done(state)) * self.system.n_sites
        for w, where in enumerate(state.where):
            held = np.union1d(where[where >= 0], state.sigma.shape[1] - 1)
            values = state.values[w, held, :].astype(float)
            if isinstance(self._moved(), FourNeighbours):  # numbers of cells
                values[:, 0] = self.system.energy_levels()[state.values[w, held, 0]]
                values[:, 1] = self.system.order_levels()[state.values[w, held, 1]]
            check_running(system, state.sigma[w, held], state.cache[w, held],
                          values if self.joint else values[:, :1], updates)

    def _estimate(self, state: State, in_production: bool) -> "_Estimate":
        """ln g from transitions where they know every cell visited, else from visits."""
        w = self.walkers
        if not in_production:
            log_g = self._median(state.log_g.reshape(w, -1))
            log_g[~np.isfinite(log_g)] = np.nan
            return _Estimate(log_g, np.full((w, log_g.size), np.nan), "learned weights", None,
                             "production has not begun: ln g is as learned, without errors")
        try:
            by_visits = self._from_visits(state)
        except (ArithmeticError, ValueError) as error:  # as walks with no cell in common
            log_g = self._median(state.log_g.reshape(w, -1))
            log_g[~np.isfinite(log_g)] = np.nan
            return _Estimate(log_g, np.full((w, log_g.size), np.nan), "frozen weights", None,
                             str(error))
        try:
            by_moves = transition_log_g_jackknife(
                state.attempts.reshape(w, by_visits[0].size, -1), self._flat_offsets(state),
                self.system.log_n_states)
        except (ArithmeticError, ValueError) as error:  # counts too few to solve the equations
            return _Estimate(*by_visits, "visits", None, f"ln g is from visits: {error}")
        if not np.all(np.isfinite(by_moves[0]) == np.isfinite(by_visits[0])):
            return _Estimate(*by_visits, "visits", None, "")
        agreement = estimates_agree(*by_moves, *by_visits) if w > 1 else None
        return _Estimate(*by_moves, "transitions", agreement, "")

    def _from_visits(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        """The multi-histogram estimate and its leave-one-ladder-out rows."""
        w, k, _, n_order = state.visits.shape
        weight_wc = np.where(np.isfinite(state.log_g), state.log_g, np.inf).reshape(w, -1)
        weight_wkc = np.full((w, k, weight_wc.shape[1]), np.inf)
        for i, (low, high) in enumerate(state.bounds):
            inside = slice(low * n_order, (high + 1) * n_order)
            weight_wkc[:, i, inside] = weight_wc[:, inside]
        return combine_walkers(
            state.visits.reshape(w * k, -1), weight_wkc.reshape(w * k, -1),
            self.system.log_n_states, np.repeat(np.arange(w), k))

    def _group(self, state: State, estimate: "_Estimate") -> Group:
        dims = ("energy", "order_parameter") if self.joint else ("energy",)
        shape = state.log_g.shape[1:] if self.joint else state.log_g.shape[1:2]
        # cells that no state can reach (gaps in the spectrum) are left out of the file
        reached = np.isfinite(state.log_g).any(axis=(0, 2))
        energies = self._energies(state, estimate)
        jackknife = estimate.rows_wc.reshape(self.walkers, *shape)[:, reached]
        in_production = self.done(state) > state.learning_sweeps
        visits = state.visits.sum(axis=1) if in_production else np.zeros_like(state.learned, int)
        group = Group()
        group.add("energy", energies[reached], "energy", "energy", "energy of the whole system")
        if self.joint:
            group.add("order_parameter", self.system.order_levels(), "order_parameter", "1",
                      "order parameter, as the card defines it")
        group.add("walker", np.arange(self.walkers), "walker", "1", "independent ladder")
        group.add("log_g", estimate.log_g_c.reshape(shape)[reached], dims, "nat",
                  "ln of the number of states")
        group.add("log_g_err", jackknife_error(jackknife), dims, "nat",
                  "standard error of log_g: jackknife over ladders")
        group.add("log_g_jackknife", jackknife, ("walker", *dims), "nat",
                  "log_g with one ladder left out")
        group.add("visits", visits.sum(axis=0).reshape(shape)[reached], dims, "1",
                  "attempted updates that ended in the cell, in production, all ladders")
        group.add("round_trips", state.counters[:, ROUND_TRIPS], "walker", "1",
                  "passages of configurations from the low end of the energies to the high end "
                  "and back, in production")
        group.add("window", np.arange(len(state.bounds)), "window", "1", "window of energy")
        for name, column in (("window_low", 0), ("window_high", 1)):
            group.add(name, energies[state.bounds[:, column]], "window", "energy",
                      f"{'lowest' if column == 0 else 'highest'} energy of the window")
        return group

    def _energies(self, state: State, estimate: "_Estimate") -> np.ndarray:
        """E of the rows: the levels, or the mean over the states of a bin where it was visited.

        Within a cell all states are equally likely in production; cells of one bin weigh as their
        numbers of states.  Its error is far below that of ln g.
        """
        levels = self.system.energy_levels()
        visits = state.visits.sum(axis=(0, 1))
        if not len(state.energy_sums) or self.done(state) <= state.learning_sweeps:
            return levels
        mean = np.divide(state.energy_sums.sum(axis=0), visits, where=visits > 0,
                         out=np.zeros(visits.shape))
        log_g = np.where(visits > 0, estimate.log_g_c.reshape(visits.shape), np.nan)
        top = np.fmax.reduce(log_g, axis=1, initial=-np.inf)
        known = np.isfinite(top)
        weight = np.nan_to_num(np.exp(log_g[known] - top[known, None]))
        levels[known] = (weight * mean[known]).sum(axis=1) / weight.sum(axis=1)
        return levels

    def _evidence(self, state: State, in_production: bool, estimate: "_Estimate") -> dict:
        seen = (state.learned | (state.visits.sum(axis=1) > 0)) if in_production else (
            np.isfinite(state.log_g))
        anyone = seen.any(axis=0)
        trips = state.counters[:, ROUND_TRIPS]
        agreement = estimate.agreement
        why = [estimate.problem] if estimate.problem else []
        if in_production:
            why += self._doubts(state, anyone)
        if not np.all(seen == anyone):
            why.append("the walkers did not see the same cells")
        missing = [cell for cell in self.system.known_cells() if not self._was_seen(seen, cell)]
        if missing:
            why.append(f"{len(missing)} known ground state(s) or the teacher not visited by all")
        if self.walkers < 2:
            why.append("one walker gives no errors")
        if agreement is not None and agreement.refuted:
            why.append("transitions and visits give different ln g (rms difference "
                       f"{agreement.rms_difference:.2g} nat, p = {agreement.p_value:.1g})")
        believe = ("believe it: all walkers saw the same cells, none was new in the second half, "
                   "every known ground state was visited, each walker went through the energies "
                   f"and back {trips.min()} times or more")
        if agreement is not None:
            believe += (", and transitions and visits give the same ln g (rms difference "
                        f"{agreement.rms_difference:.2g} nat, p = {agreement.p_value:.2g})")
        else:
            believe += "; ln g is from visits, with no second estimate beside it"
        return {
            "complete": not why,
            "complete_reason": "do not believe it: " + "; ".join(why) if why else believe,
            "method": "samc" if self.schedule == "samc" else "wang-landau",
            "measure": "number of states (sums to the total number of states)",
            "log_n_states": self.system.log_n_states,
            "sweeps": self.done(state),
            "learning_sweeps": state.learning_sweeps,
            "walkers": self.walkers,
            "windows": len(state.bounds),
            "overlap": OVERLAP,
            "estimator": estimate.source,
            "exchanges": int(state.counters[:, EXCHANGES].sum()),
            "agreement_p": math.nan if agreement is None else agreement.p_value,
            "agreement_rms": math.nan if agreement is None else agreement.rms_difference,
            "bin_width": getattr(self.system, "width", 0.0),
            "final_log_f": float(state.log_f.max()),
            "schedule": {
                "halving": "ln f halved when all seen cells have a fifth of the mean visits, then "
                "n_cells/t, raised by a "
                "new cell", "samc": "SAMC: ln f = min(1, t0/t)"}[self.schedule]
            + "; production with weights frozen",
        }

    def _doubts(self, state: State, anyone: np.ndarray) -> list[str]:
        """What production itself says against its result."""
        why = []
        if not np.all(state.learned.any(axis=0) == anyone):
            why.append("a cell was found for the first time in the second half")
        if not np.all((state.visits.sum(axis=1) > 0).any(axis=0) == anyone):
            why.append("a cell was never visited in production")
        if np.any(state.where < 0):
            why.append(f"{int(np.any(state.where < 0, axis=0).sum())} window(s) were not reached "
                       "by all walkers")
        fewest = int(state.counters[:, ROUND_TRIPS].min())
        if anyone.any(axis=1).sum() > 1 and fewest < _FEWEST_ROUND_TRIPS:
            why.append(f"a walker went only {fewest} times through the energies and back, at least "
                       f"{_FEWEST_ROUND_TRIPS} are wanted")
        return why

    def _was_seen(self, seen: np.ndarray, cell: tuple[float, float]) -> bool:
        e = energy_cell(self.system, cell[0])
        p = order_cell(self.system, cell[1]) if self.joint else 0
        return bool(np.all(seen[:, e, p]))


@dataclasses.dataclass
class _Estimate:
    """ln g with its leave-one-ladder-out rows, where it is from, and what speaks against it."""

    log_g_c: np.ndarray
    rows_wc: np.ndarray
    source: str
    agreement: Agreement | None
    problem: str


def _columns(offsets: np.ndarray) -> np.ndarray:
    """Number of each kind of transition, most frequent first, from 1; 0 for those not told apart.

    A kind and its reverse are told apart together or not at all, since balance needs both.
    """
    number = offsets + offsets[::-1, ::-1]
    number[offsets.shape[0] // 2, offsets.shape[1] // 2] = 0  # staying in the cell
    columns = np.zeros_like(offsets)
    order = np.argsort(number, axis=None, kind="stable")[::-1]
    kept = [k for k in order[:_MOST_OFFSETS - 1] if number.flat[k] > 0]
    both = set(kept) & {offsets.size - 1 - k for k in kept}
    for i, k in enumerate(sorted(both)):
        columns.flat[k] = i + 1
    return columns


def windows_by_nats(log_g_e: np.ndarray, number: int = 0) -> np.ndarray:
    r"""Windows of energy that span equal parts of :math:`\sum_e |\ln g_{e+1} - \ln g_e|`.

    Parameters
    ----------
    log_g_e : array_like, shape (E,)
        Rough ln g of the energy cells; not finite where never seen.
    number : int
        How many; 0: one for every 250 nats.

    Returns
    -------
    ndarray of int, shape (K, 2)
        First and last cell of each; neighbours share 45 % of their nats, and the outer ones reach
        to the ends, seen or not.
    """
    log_g_e = np.asarray(log_g_e, dtype=float)
    seen = np.flatnonzero(np.isfinite(log_g_e))
    last = len(log_g_e) - 1
    if seen.size < 2:
        return np.array([[0, last]])
    nats = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(log_g_e[seen])) + _NATS_A_CELL)])
    k = number or int(np.clip(round(nats[-1] / _NATS_A_WINDOW), 1, _MOST_WINDOWS))
    k = min(k, max(1, seen.size // 4))
    width = nats[-1] / (1.0 + (k - 1) * (1.0 - OVERLAP))
    bounds = []
    for i in range(k):
        left = i * (1.0 - OVERLAP) * width
        low, high = np.searchsorted(nats, [left - 1e-9, left + width + 1e-9])
        bounds.append([seen[low], seen[min(high, seen.size) - 1]])
    bounds[0][0], bounds[-1][1] = 0, last
    return np.array(bounds, dtype=np.int64)
