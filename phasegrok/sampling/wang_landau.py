"""Wang-Landau sampling of the density of states, with frozen production.

Each walker learns ln g by a random walk that is accepted with min(1, g(old)/g(new)) and adds ln f
to its present cell.  ln f is halved each time every cell seen so far has been revisited, and
follows n_cells/t (t in attempted updates) from the moment when that is the larger of the two (Wang
and Landau, Phys. Rev. Lett. 86 (2001) 2050; Belardinelli and Pereyra, Phys. Rev. E 75 (2007)
046701).  A cell that is found anew raises ln f again: otherwise the first cells use up the
deposits, and the rest of the landscape is never reached.

The first half of the sweeps learns; then all walkers take the median of what they learned as frozen
weights, and the second half samples.  g is estimated from the production histograms, so that the
answer does not depend on how well the weights converged, only its error does; the errors come from
the scatter of the independent walkers.
"""

import dataclasses
import math

import numpy as np

from phasegrok.compiled import kernel, over_threads
from phasegrok.dynamics.single_flip import propose
from phasegrok.rng import below, streams, uniform
from phasegrok.runfile import Group
from phasegrok.statistics import jackknife_error
from phasegrok.systems.discrete import (
    DiscreteSystem,
    assign,
    draw_and_prepare,
    energy_cell,
    energy_change,
    order_cell,
    order_change,
)
from phasegrok.thermodynamics.density_of_states import combine_walkers

# columns of State.counters
SWEEPS, SEEN, UNVISITED, ONE_OVER_T, STAGE_START = range(5)


# A new cell raises ln f to _RESTART over the number of cells seen: with more, late finds in a
# rugged landscape keep it rough; with less, the edges of a smooth one are reached too late.  A
# stage ends after _PATIENCE attempts a cell even where a rare cell was not revisited.
_RESTART, _PATIENCE = 5.0, 200


@dataclasses.dataclass
class State:
    """W walkers: configurations, what each learned, what each counted, and the generators."""

    sigma: np.ndarray  # (W, N) int8
    cache: np.ndarray  # (W, K) int64
    values: np.ndarray  # (W, 2): E, Phi
    rng: np.ndarray  # (W, 4) uint64
    log_g: np.ndarray  # (W, n_E, n_Phi), -inf where never seen
    visits: np.ndarray  # (W, n_E, n_Phi) since ln f was last lowered; in production: all
    log_f: np.ndarray  # (W,)
    counters: np.ndarray  # (W, 5) int64
    learned: np.ndarray  # (W, n_E, n_Phi) bool: seen while learning
    learning_sweeps: int


@kernel(allocates=False)
def _sweeps(system, joint, learning, n_sweeps, sigma, cache, values, rng, log_g, visits, log_f,
            counters):
    n = sigma.shape[0]
    e = energy_cell(system, values[0])
    p = order_cell(system, values[1]) if joint else 0
    for _ in range(n_sweeps):
        for k in range(n):
            site = below(rng, n)
            value = propose(system, sigma, site, rng)
            energy = values[0] + energy_change(system, sigma, cache, site, value)
            phi = values[1] + order_change(system, sigma, cache, site, value)
            e_new = energy_cell(system, energy)
            p_new = order_cell(system, phi) if joint else 0
            if log_g[e_new, p_new] == -np.inf:
                # a new cell starts from the present height: no long stay to fill it up
                log_g[e_new, p_new] = log_g[e, p]
                counters[SEEN] += 1
                counters[UNVISITED] += 1
                if learning:  # the deposits to come must span the new cell's height
                    log_f[0] = max(log_f[0], min(1.0, _RESTART / counters[SEEN]))
                    counters[ONE_OVER_T] = 0
                    counters[STAGE_START] = counters[SWEEPS] * n + k
            rise = log_g[e_new, p_new] - log_g[e, p]
            if rise <= 0.0 or uniform(rng) < math.exp(-rise):
                assign(system, sigma, cache, site, value)
                values[0] = energy
                values[1] = phi
                e = e_new
                p = p_new
            if visits[e, p] == 0:
                counters[UNVISITED] -= 1
            visits[e, p] += 1
            if learning:
                log_g[e, p] += log_f[0]
                attempts = counters[SWEEPS] * n + k + 1
                if counters[ONE_OVER_T] == 1:
                    log_f[0] = counters[SEEN] / attempts
                elif counters[SEEN] > 1 and (
                    counters[UNVISITED] == 0
                    or attempts - counters[STAGE_START] > _PATIENCE * counters[SEEN]
                ):
                    visits[:] = 0
                    counters[UNVISITED] = counters[SEEN]
                    counters[STAGE_START] = attempts
                    log_f[0] *= 0.5
                    if log_f[0] < counters[SEEN] / attempts:
                        counters[ONE_OVER_T] = 1
        counters[SWEEPS] += 1


@kernel(allocates=False)
def _start(system, joint, sigma, cache, values, rng, log_g, visits, counters):
    draw_and_prepare(system, True, sigma, cache, values, rng)
    log_g[energy_cell(system, values[0]), order_cell(system, values[1]) if joint else 0] = 0.0
    counters[SEEN] = 1
    counters[UNVISITED] = 1


@dataclasses.dataclass(frozen=True)
class WangLandau:
    """Protocol: ln g(E) or ln g(E, Phi) of a discrete system from independent walkers.

    Parameters
    ----------
    system : DiscreteSystem
    sweeps : int
        Sweeps of each walker in total; the first half learns, the rest is production.
    walkers : int
        Independent walkers, from whose scatter the errors come.
    joint : bool
        Resolve the order parameter too.
    """

    system: DiscreteSystem
    sweeps: int
    walkers: int = 8
    joint: bool = False
    unit: str = dataclasses.field(default="sweeps", init=False)

    def init(self, seed: int) -> State:
        """Random configurations, nothing learned."""
        system, w = self.system, self.walkers
        shape = (w, len(system.energy_levels()), len(system.order_levels()) if self.joint else 1)
        state = State(
            sigma=np.zeros((w, system.n_sites), dtype=np.int8),
            cache=np.zeros((w, system.cache_size), dtype=np.int64),
            values=np.zeros((w, 2)),
            rng=streams(seed, ["wang-landau", self.joint], w),
            log_g=np.full(shape, -np.inf),
            visits=np.zeros(shape, dtype=np.int64),
            log_f=np.ones((w, 1)),
            counters=np.zeros((w, 5), dtype=np.int64),
            learned=np.zeros(shape, dtype=bool),
            learning_sweeps=max(1, self.sweeps // 2),
        )
        for k in range(w):
            _start(system, self.joint, state.sigma[k], state.cache[k], state.values[k],
                   state.rng[k], state.log_g[k], state.visits[k], state.counters[k])
        return state

    def memory(self) -> int:
        """Bytes of the state: configurations, ln g and visits of every walker."""
        cells = len(self.system.energy_levels())
        cells *= len(self.system.order_levels()) if self.joint else 1
        return self.walkers * (self.system.n_sites + 8 * self.system.cache_size + 4 * 8 * cells)

    def restore(self, saved: dict) -> State:
        """The state of a checkpoint; a larger ``sweeps`` extends production."""
        return State(**saved)

    def total(self) -> int:
        """Sweeps of a walker."""
        return self.sweeps

    def done(self, state: State) -> int:
        """Sweeps that every walker has made."""
        return int(state.counters[:, SWEEPS].min())

    def advance(self, state: State, n: int) -> None:
        """Advance every walker by ``n`` sweeps, at most to the end of learning or of the run."""
        now = self.done(state)
        n = min(n, self.sweeps - now)
        learning = now < state.learning_sweeps
        if learning:
            n = min(n, state.learning_sweeps - now)
        over_threads(
            lambda k: _sweeps(self.system, self.joint, learning, n, state.sigma[k],
                              state.cache[k], state.values[k], state.rng[k], state.log_g[k],
                              state.visits[k], state.log_f[k], state.counters[k]),
            self.walkers,
        )
        if learning and now + n == state.learning_sweeps:
            self._freeze(state)

    def _median(self, log_g_wc: np.ndarray) -> np.ndarray:
        """Median over walkers of the learned ln g, each normalised; -inf where no walker was.

        The median of a cell is over the walkers that saw it; one that got stuck does not spoil it.
        A cell that was seen holds a state at least, so ln g >= 0: too low a value would be a trap.
        """
        norm_w = np.logaddexp.reduce(log_g_wc, axis=1) - self.system.log_n_states
        seen_c = np.isfinite(log_g_wc).any(axis=0)
        known_wc = np.where(np.isfinite(log_g_wc), log_g_wc - norm_w[:, None], np.nan)[:, seen_c]
        median_c = np.full(log_g_wc.shape[1], -np.inf)
        median_c[seen_c] = np.maximum(np.nanmedian(known_wc, axis=0), 0.0)
        return median_c

    def _freeze(self, state: State) -> None:
        """Give all walkers the median of what they learned, and count from now on."""
        state.learned[:] = np.isfinite(state.log_g)
        log_g = self._median(state.log_g.reshape(self.walkers, -1))
        state.log_g[:] = log_g.reshape(state.log_g.shape[1:])
        state.visits[:] = 0

    def status(self, state: State) -> str:
        """One phrase for the progress display."""
        cells = int(state.counters[:, SEEN].max())
        if self.done(state) >= state.learning_sweeps:
            return f"production, {cells} cells"
        return f"learning, {cells} cells, ln f = {state.log_f.max():.1e}"

    def result(self, state: State) -> dict[str, Group]:
        """Group ``density_of_states``: ln g with errors, and the evidence of convergence."""
        in_production = self.done(state) > state.learning_sweeps
        log_g, log_g_jackknife, problem = self._estimate(state, in_production)
        group = self._group(state, log_g, log_g_jackknife)
        evidence = self._evidence(state, in_production)
        if problem:
            evidence |= {"complete": False, "complete_reason": problem}
        group.attributes.update(evidence)
        return {"density_of_states": group}

    def _estimate(self, state: State, in_production: bool):
        """ln g and its leave-one-out values; while learning, the learned weights without errors."""
        w, log_total = self.walkers, self.system.log_n_states
        learned = state.log_g.reshape(w, -1)
        if in_production:
            weight = np.where(np.isfinite(learned), learned, np.inf)
            try:
                return *combine_walkers(state.visits.reshape(w, -1), weight, log_total), ""
            except ValueError as error:  # walkers with no cell in common have no common scale
                problem = str(error)
        else:
            problem = "production has not begun: ln g is as learned, without errors"
        log_g = self._median(learned)
        log_g[~np.isfinite(log_g)] = np.nan
        return log_g, np.full(learned.shape, np.nan), problem

    def _group(self, state, log_g, log_g_jackknife) -> Group:
        dims = ("energy", "order_parameter") if self.joint else ("energy",)
        shape = state.log_g.shape[1:] if self.joint else state.log_g.shape[1:2]
        # cells that no state can reach (gaps in the spectrum) are left out of the file
        reached = np.isfinite(state.log_g).any(axis=(0, 2))
        log_g = log_g.reshape(shape)[reached]
        jackknife = log_g_jackknife.reshape(self.walkers, *shape)[:, reached]
        group = Group()
        group.add("energy", self.system.energy_levels()[reached], "energy", "energy",
                  "energy of the whole system")
        if self.joint:
            group.add("order_parameter", self.system.order_levels(), "order_parameter", "1",
                      "order parameter, as the card defines it")
        group.add("walker", np.arange(self.walkers), "walker", "1", "independent walker")
        group.add("log_g", log_g, dims, "nat", "ln of the number of states")
        group.add("log_g_err", jackknife_error(jackknife), dims, "nat",
                  "standard error of log_g: jackknife over walkers")
        group.add("log_g_jackknife", jackknife, ("walker", *dims), "nat",
                  "log_g with one walker left out")
        return group

    def _evidence(self, state: State, in_production: bool) -> dict:
        seen = (state.learned | (state.visits > 0)) if in_production else np.isfinite(state.log_g)
        anyone = seen.any(axis=0)
        same = bool(np.all(seen == anyone))
        visited = bool(np.all((state.visits > 0).any(axis=0) == anyone))
        settled = bool(np.all(state.learned.any(axis=0) == anyone))
        missing = [cell for cell in self.system.known_cells() if not self._was_seen(seen, cell)]
        why = []
        if not in_production:
            why.append("production has not begun")
        if not same:
            why.append("the walkers did not see the same cells")
        if in_production and not settled:
            why.append("a cell was found for the first time in the second half")
        if in_production and not visited:
            why.append("a cell was never visited in production")
        if missing:
            why.append(f"{len(missing)} known ground state(s) or the teacher not visited by all")
        if self.walkers < 2:
            why.append("one walker gives no errors")
        return {
            "complete": not why,
            "complete_reason": "; ".join(why) if why else "all walkers saw the same cells, none "
            "was new in the second half, every known ground state was visited",
            "measure": "number of states (sums to the total number of states)",
            "log_n_states": self.system.log_n_states,
            "sweeps": self.done(state),
            "learning_sweeps": state.learning_sweeps,
            "walkers": self.walkers,
            "final_log_f": float(state.log_f.max()),
            "schedule": "ln f halved on revisit of all seen cells, then n_cells/t, raised by a new "
            "cell; production with the walkers' median frozen",
        }

    def _was_seen(self, seen: np.ndarray, cell: tuple[float, float]) -> bool:
        e = energy_cell(self.system, cell[0])
        p = order_cell(self.system, cell[1]) if self.joint else 0
        return bool(np.all(seen[:, e, p]))
