r"""Langevin dynamics of continuous systems: four integrators over a flat latent, one chain a core.

The stationary law aimed at is :math:`P(\xi) \propto e^{-U}`, :math:`U = |\xi|^2/2 + E/T`: the
latent is scaled by the prior, so every integrator below is preconditioned by it, and the
temperature is that which the system states.  With :math:`\eta` standard normal and step h:

``euler-maruyama``
    :math:`\xi' = \xi - h\nabla U + \sqrt{2h}\,\eta_n` for :math:`d\xi = -\nabla U dt + \sqrt 2 dW`;
    noise of variance 2h a step; stationary law of order h.
``leimkuhler-matthews``
    :math:`\xi' = \xi - h\nabla U + \sqrt{h/2}\,(\eta_n + \eta_{n+1})`, the same equation; order
    h^2, exact where U is quadratic (Appl. Math. Res. Express 2013, 34, eq. 1.4).
``baoab``
    :math:`d\xi = v dt,\; dv = -\nabla U dt - \gamma v dt + \sqrt{2\gamma} dW`, split into half a
    kick, half a drift, :math:`v \to e^{-\gamma h} v + \sqrt{1 - e^{-2\gamma h}}\,\eta`, half a
    drift, half a kick; positions of order h^2, exact where U is quadratic.
``ghmc``
    The same equation: :math:`v \to e^{-\gamma h} v + \sqrt{1 - e^{-2\gamma h}}\,\eta`, then half a
    kick by E/T, the exact rotation of (xi, v) by the angle h, half a kick; accepted with
    probability :math:`\min(1, e^{-\Delta(U + v^2/2)})`, and v is reversed where it is not.  No
    error of the step at all.

With a wall, ghmc samples the same law restricted to states in which |order parameter| of every unit
lies below it: steps beyond are rejected.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from phasegrok.compiled import kernel, n_threads, over_threads
from phasegrok.groups import Group
from phasegrok.rng import fill_normal, streams, uniform
from phasegrok.systems.continuous import gradient, observe, units

INTEGRATORS = ("euler-maruyama", "leimkuhler-matthews", "baoab", "ghmc")
_EULER, _LEIMKUHLER, _BAOAB, _GHMC = range(4)
PER_BLOCK = 64  # records of which one histogram is kept
_BINS = 256
_DRAWS = 1000
_VIRIAL, _KINETIC, _ACCEPTED, _STEPS = range(4)  # of State.checks


@kernel
def _overdamped(scheme, xi, slope, noise, fresh, rng, h):
    """One step of Euler-Maruyama or Leimkuhler-Matthews; ``slope`` is that of E/T."""
    fill_normal(rng, fresh)
    half = math.sqrt(0.5 * h)
    before = half if scheme == _LEIMKUHLER else 2.0 * half
    for k in range(xi.shape[0]):
        random = before * fresh[k]
        if scheme == _LEIMKUHLER:
            random += half * noise[k]
            noise[k] = fresh[k]
        xi[k] += random - h * (xi[k] + slope[k])


@kernel
def _baoab(system, xi, v, slope, fresh, rng, h, friction, work):
    """One step; returns E/T at its end, where ``slope`` is taken anew."""
    fill_normal(rng, fresh)
    keep = math.exp(-friction * h)
    new = math.sqrt(1.0 - keep * keep)
    for k in range(xi.shape[0]):
        speed = v[k] - 0.5 * h * (xi[k] + slope[k])
        x = xi[k] + 0.5 * h * speed
        speed = keep * speed + new * fresh[k]
        xi[k] = x + 0.5 * h * speed
        v[k] = speed
    energy = gradient(system, xi, work, slope)
    for k in range(xi.shape[0]):
        v[k] -= 0.5 * h * (xi[k] + slope[k])
    return energy


@kernel
def largest_order(system, xi, work, order):
    """Largest |order parameter| of a unit."""
    units(system, xi, work, order)
    most = 0.0
    for k in range(order.shape[0]):
        most = max(most, abs(order[k, 0]))
    return most


@kernel
def ghmc(system, xi, v, slope, old_xi, old_slope, fresh, energy, rng, h, friction, wall, work,
         order):
    """One step; returns E/T at its end and whether it was accepted."""
    fill_normal(rng, fresh)
    keep = math.exp(-friction * h)
    new = math.sqrt(1.0 - keep * keep)
    c, s = math.cos(h), math.sin(h)
    before = 0.0
    for k in range(xi.shape[0]):
        speed = keep * v[k] + new * fresh[k]
        x = xi[k]
        before += speed * speed + x * x
        fresh[k] = -speed  # where the step is rejected
        old_xi[k], old_slope[k] = x, slope[k]
        speed -= 0.5 * h * slope[k]
        xi[k] = c * x + s * speed
        v[k] = c * speed - s * x
    proposed = gradient(system, xi, work, slope)
    after = 0.0
    for k in range(xi.shape[0]):
        v[k] -= 0.5 * h * slope[k]
        after += v[k] * v[k] + xi[k] * xi[k]
    change = proposed - energy + 0.5 * (after - before)
    accepted = change <= 0.0 or uniform(rng) < math.exp(-change)
    if accepted and (wall == math.inf or largest_order(system, xi, work, order) < wall):
        return proposed, True
    for k in range(xi.shape[0]):
        xi[k], slope[k], v[k] = old_xi[k], old_slope[k], fresh[k]
    return energy, False


@kernel
def _record(system, xi, v, slope, work, order, series, counts, sums, largest, checks):
    """Observables, the histogram of the units, and what the temperature is checked by."""
    observe(system, xi, work, series)
    units(system, xi, work, order)
    bins = counts.shape[0] - 1  # the last is for what lies outside
    for i in range(order.shape[0]):
        bin_ = min(bins, int(abs(order[i, 0]) / largest * bins))
        counts[bin_] += 1
        sums[bin_] += order[i, 1]
    virial, kinetic = 0.0, 0.0
    for k in range(xi.shape[0]):
        virial += xi[k] * (xi[k] + slope[k])
        kinetic += v[k] * v[k]
    checks[_VIRIAL] += virial / xi.shape[0]
    checks[_KINETIC] += kinetic / xi.shape[0]


@kernel
def _advance(system, scheme, h, friction, wall, largest, every, equilibration, step, n_steps, xi, v,
             noise, rng, series, counts, sums, checks, work, room, order):
    """Advance one chain by ``n_steps``; returns the step at which it broke off, or -1."""
    slope, fresh, old_xi, old_slope = room[0], room[1], room[2], room[3]
    energy = gradient(system, xi, work, slope)
    for _ in range(n_steps):
        if scheme == _BAOAB:
            energy = _baoab(system, xi, v, slope, fresh, rng, h, friction, work)
        elif scheme == _GHMC:
            energy, accepted = ghmc(system, xi, v, slope, old_xi, old_slope, fresh, energy, rng, h,
                                    friction, wall, work, order)
            checks[_ACCEPTED] += accepted
        else:
            _overdamped(scheme, xi, slope, noise, fresh, rng, h)
            energy = gradient(system, xi, work, slope)
        step += 1
        checks[_STEPS] += 1.0
        if not math.isfinite(energy):
            return step
        if step > equilibration and (step - equilibration) % every == 0:
            k = (step - equilibration) // every - 1
            _record(system, xi, v, slope, work, order, series[k], counts[k // PER_BLOCK],
                    sums[k // PER_BLOCK], largest, checks)
    return -1


def prior_below(system, wall: float, rng: np.ndarray) -> np.ndarray:
    """A draw of the latent from the prior in which no unit reaches ``wall``.

    Raises
    ------
    ValueError
        If there is none among a thousand draws.
    """
    xi, work = np.empty(system.n_coordinates), np.empty(system.work_size)
    order = np.empty((system.n_units, 2))
    for _ in range(_DRAWS):
        fill_normal(rng, xi)
        if largest_order(system, xi, work, order) < wall:
            return xi
    raise ValueError(f"the prior has units beyond the wall {wall:g} in each of {_DRAWS} draws: "
                     "take a wall farther out")


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
        return 16 * self.chains * (3 * self.system.n_coordinates + 2 * blocks * (_BINS + 1)
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
                "counts": np.zeros((r, blocks, _BINS + 1)),
                "sums": np.zeros((r, blocks, _BINS + 1))}
        for name, array in room.items():
            before = fields.get(name)
            if before is not None:
                array[:, : before.shape[1]] = before
        return State(**(fields | room))

    def advance(self, state: State, n: int) -> None:
        """Advance every chain that is finite by ``n`` steps."""
        from phasegrok.systems.network_kernels import single_threaded_blas

        active = np.flatnonzero(state.broken < 0)
        groups = np.array_split(active, min(len(active), n_threads()))
        n = min(n, self.steps - state.steps)

        def run(g):
            work = np.empty(self.system.work_size)
            room = np.empty((4, self.system.n_coordinates))
            order = np.empty((self.system.n_units, 2))
            for k in groups[g]:
                state.broken[k] = _advance(
                    self.system, INTEGRATORS.index(self.integrator), self.step, self.friction,
                    self.wall, self.largest, self.every, self.equilibration, state.steps, n,
                    state.xi[k], state.v[k], state.noise[k], state.rng[k], state.series[k],
                    state.counts[k], state.sums[k], state.checks[k], work, room, order)

        with single_threaded_blas():
            over_threads(run, len(groups))
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
        from phasegrok.thermodynamics.unit_potential import (
            chains_group,
            doubts,
            potential_group,
        )

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
        kinds = {"configurational": _VIRIAL}
        if self.integrator in ("baoab", "ghmc"):
            kinds["kinetic"] = _KINETIC
        for kind, column in kinds.items():
            each = checks[:, column] / records
            attributes[f"{kind}_temperature"] = float(each.mean())
            attributes[f"{kind}_temperature_err"] = (
                float(each.std(ddof=1) / math.sqrt(len(each))) if len(each) > 1 else math.nan)
        if self.integrator == "ghmc":
            attributes["accepted"] = float(checks[:, _ACCEPTED].sum() / checks[:, _STEPS].sum())
        blocks = records // PER_BLOCK
        chains = chains_group(state.series[whole, :records], self.system.series_names,
                              begun[whole], self.every, attributes)
        potential = potential_group(
            state.counts[whole, :blocks], state.sums[whole, :blocks], self.largest,
            begun[whole], self.system.unit_name, self.system.n_units, doubts(chains))
        return {"chains": chains, "effective_potential": potential}
