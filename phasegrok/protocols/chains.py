"""Chains on continuous systems, in equilibrium with their prior and energy."""

import dataclasses
import math
from typing import Any

import numpy as np

from phasegrok.compiled import n_threads, over_threads
from phasegrok.dynamics.langevin import (
    ACCEPTED,
    BINS,
    INTEGRATORS,
    KINETIC,
    MADE,
    PER_BLOCK,
    VIRIAL,
    Chain,
    Plan,
    advance_chain,
    prior_below,
)
from phasegrok.groups import Group
from phasegrok.rng import fill_normal, streams
from phasegrok.systems.continuous import for_kernels, raise_errors


@dataclasses.dataclass
class State:
    """Chains: latents, velocities, last noise, generators, and what was recorded.

    R chains, K records, B blocks of records, a histogram of |Phi| and one bin for what is outside.
    """

    xi: np.ndarray  # (R, n)
    v: np.ndarray  # (R, n)
    noise: np.ndarray  # (R, n), of Leimkuhler-Matthews
    rng: np.ndarray  # (R, 4)
    steps: int
    broken: np.ndarray  # (R,) step at which E was not finite, or -1
    series: np.ndarray  # (R, K, S), NaN where not yet reached
    counts: np.ndarray  # (R, B, bins + 1)
    sums: np.ndarray  # (R, B, bins + 1), of the units' second number
    checks: np.ndarray  # (R, 4), sums over records (virial, kinetic) and steps


@dataclasses.dataclass(frozen=True)
class Langevin:
    """Protocol: independent chains, the first half begun from the prior, the rest aligned or not.

    Parameters
    ----------
    system : ContinuousSystem
        What is sampled.
    integrator : str
        One of ``INTEGRATORS``.
    step : float
        h, in units in which the prior relaxes in a time of one (an angle for ghmc).
    friction : float
        gamma of the underdamped integrators.
    chains : int
        Independent chains.
    steps, equilibration, every : int
        Steps in total, those of them that are not measured, and those between records.
    aligned : float or None
        Order parameter at which the second half of the chains begins; None: all from the prior.
    largest : float
        Upper end of the histogram of |Phi|.
    wall : float
        Of ghmc: |order parameter| that no unit reaches, in draws from the prior neither.
    """

    system: Any
    integrator: str
    step: float
    friction: float
    chains: int
    steps: int
    equilibration: int
    every: int
    aligned: float | None
    largest: float
    wall: float = math.inf
    unit: str = dataclasses.field(default="steps", init=False)

    def total(self) -> int:
        """Steps of each chain."""
        return self.steps

    def done(self, state: State) -> int:
        """Steps made."""
        return self.steps if np.all(state.broken >= 0) else state.steps

    def _records(self) -> int:
        return max(0, self.steps - self.equilibration) // self.every

    def memory(self) -> int:
        """Bytes of the state, and as much again for its checkpoint."""
        blocks = self._records() // PER_BLOCK + 1
        return 16 * self.chains * (3 * self.system.n_coordinates + 2 * blocks * (BINS + 1)
                                   + self._records() * len(self.system.series_names))

    def init(self, seed: int) -> State:
        """Chains at their starts."""
        r, n = self.chains, self.system.n_coordinates
        rng = streams(seed, ["langevin", self.integrator, self.step], r)
        xi, v, noise = np.empty((3, r, n))
        for k in range(r):
            for row in (xi[k], v[k], noise[k]):
                fill_normal(rng[k], row)
            if math.isfinite(self.wall):
                xi[k] = prior_below(self.system, self.wall, rng[k])
            if self.aligned is not None and k >= (r + 1) // 2:
                draw = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(k,)))
                xi[k] = self.system.aligned(self.aligned, draw)
        return self._grown({"xi": xi, "v": v, "noise": noise, "rng": rng, "steps": 0,
                            "broken": np.full(r, -1), "checks": np.zeros((r, 4))})

    def restore(self, saved: dict[str, Any]) -> State:
        """The state of a checkpoint, with room up to a larger total."""
        return self._grown(saved)

    def _grown(self, fields: dict[str, Any]) -> State:
        records = self._records()
        blocks = -(-records // PER_BLOCK)
        r = self.chains
        room = {"series": np.full((r, records, len(self.system.series_names)), np.nan),
                "counts": np.zeros((r, blocks, BINS + 1)),
                "sums": np.zeros((r, blocks, BINS + 1))}
        for name, array in room.items():
            before = fields.get(name)
            if before is not None:
                array[:, : before.shape[1]] = before
        return State(**(fields | room))

    def advance(self, state: State, n: int) -> None:
        """Advance every chain that is finite by ``n`` steps."""
        from phasegrok.networks.compiled.kernels import single_threaded_blas

        active = np.flatnonzero(state.broken < 0)
        groups = np.array_split(active, min(len(active), n_threads()))
        n = min(n, self.steps - state.steps)
        plan = Plan(INTEGRATORS.index(self.integrator), self.step, self.friction, self.wall,
                    self.largest, self.every, self.equilibration)
        rooms = [for_kernels(self.system) for _ in groups]

        def run(g):
            system, work = rooms[g]
            room = np.empty((4, self.system.n_coordinates))
            order = np.empty((self.system.n_units, 2))
            for k in groups[g]:
                chain = Chain(state.xi[k], state.v[k], state.noise[k], state.rng[k],
                              state.series[k], state.counts[k], state.sums[k], state.checks[k])
                state.broken[k] = advance_chain(system, plan, chain, state.steps, n, work, room,
                                                order)

        with single_threaded_blas():
            over_threads(run, len(groups))
        raise_errors(self.system)
        state.steps += n
        if np.all(state.broken >= 0):  # nothing moves any more
            state.steps = int(state.broken.max())

    def status(self, state: State) -> str:
        """Losses, and how many chains are left."""
        k = (state.steps - self.equilibration) // self.every
        left = int(np.sum(state.broken < 0))
        text = f"{left} chains" if left == self.chains else f"{left} of {self.chains} chains finite"
        if k < 1:
            return f"{text}, equilibration"
        recent = np.nanmean(state.series[state.broken < 0, max(0, k - 100) : k], axis=(0, 1))
        names = self.system.series_names[:2]
        return text + "".join(f", {name.replace('_', ' ')} {value:.4g}"
                              for name, value in zip(names, recent))

    def result(self, state: State) -> dict[str, Group]:
        """Groups ``chains`` and ``effective_potential``."""
        from phasegrok.thermodynamics.unit_potential import chains_group, doubts, potential_group

        whole = state.broken < 0
        attributes = {"integrator": self.integrator, "step": self.step, "friction": self.friction,
                      "chains": self.chains, "equilibration": self.equilibration,
                      "every": self.every,
                      "aligned_start": math.nan if self.aligned is None else self.aligned,
                      "steps": state.steps, "broken_chains": int(np.sum(~whole))}
        begun = np.arange(self.chains) >= (self.chains + 1) // 2
        if self.aligned is None:
            begun[:] = False
        if math.isfinite(self.wall):
            attributes["wall"] = self.wall
        records = max(0, state.steps - self.equilibration) // self.every
        if not whole.any() or records < PER_BLOCK:
            return {}
        checks = state.checks[whole]
        kinds = {"configurational": VIRIAL}
        if self.integrator in ("baoab", "ghmc"):
            kinds["kinetic"] = KINETIC
        for kind, column in kinds.items():
            each = checks[:, column] / records
            attributes[f"{kind}_temperature"] = float(each.mean())
            attributes[f"{kind}_temperature_err"] = (
                float(each.std(ddof=1) / math.sqrt(len(each))) if len(each) > 1 else math.nan)
        if self.integrator == "ghmc":
            attributes["accepted"] = float(checks[:, ACCEPTED].sum() / checks[:, MADE].sum())
        blocks = records // PER_BLOCK
        chains = chains_group(state.series[whole, :records], self.system.series_names,
                              self.every, attributes)
        potential = potential_group(
            state.counts[whole, :blocks], state.sums[whole, :blocks], self.largest,
            begun[whole], self.system.unit_name, self.system.n_units, doubts(chains))
        return {"chains": chains, "effective_potential": potential}
