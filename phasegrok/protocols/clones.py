"""Waiting times: clones of one checkpoint that differ only in their thermal noise.

The event is that the order parameter reaches a threshold and stays there for a while ("hold"); the
waiting time is when it reached it.  Clones that have not by the limit are right-censored.  Time is
in sweeps (N attempted updates at random sites) on a lattice and in units of time for an overdamped
system.  Taken across seeds or disorder samples instead, waiting times look exponential for the
wrong reason.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from phasegrok.compiled import n_threads, over_threads
from phasegrok.dynamics.first_passage import (
    AT_EVENT,
    CROSSING,
    DONE,
    LEFT_HOME,
    NUMBER,
    RETURN,
    SQUARES,
    STEPS,
    SUM,
    TOLERANCE,
    discrete_first_passage,
    overdamped_first_passage,
)
from phasegrok.dynamics.hamiltonian_steps import (
    FEWEST_OF_DYNAMICS,
    HamiltonianSteps,
    accepted_share,
    first_passage,
    too_long,
)
from phasegrok.dynamics.single_flip import DYNAMICS, sweeps
from phasegrok.groups import Group
from phasegrok.rng import streams
from phasegrok.systems.checks import check_running
from phasegrok.systems.discrete import draw_and_prepare

_NO_COUNTS = np.array([0, -1, -1, 0, 0, -1])
_TRACED, _TRACE_LENGTH = 6, 400  # clones whose path is kept, and points of it


@dataclasses.dataclass
class State:
    """Clones of one checkpoint: where they are, and when they crossed."""

    sigma: np.ndarray  # (C, N) int8; coordinates and velocities (C, 2 n); overdamped: (C, 0)
    cache: np.ndarray  # (C, K) int64
    values: np.ndarray  # (C, 2): E and Phi; an overdamped system: x and Phi
    rng: np.ndarray  # (C, 4) uint64
    counters: np.ndarray  # (C, 6) int64
    moments: np.ndarray  # (C, 4): number, sum, sum of squares of Phi before the event; Phi at it
    trace: np.ndarray  # (traced, points) Phi along the path of the first clones, NaN beyond
    strides: np.ndarray  # (traced, 2): units of time between points, and points so far
    start_phi: float


@dataclasses.dataclass(frozen=True)
class _Clones:
    """What the two protocols share: the bookkeeping of clones."""

    system: Any
    temperature: float
    clones: int
    threshold: float
    hold: float
    limit: float
    after: float = dataclasses.field(default=0.0, kw_only=True)
    unit: str = dataclasses.field(default="", init=False)

    def memory(self) -> int:
        """Bytes of the state of all clones."""
        sites = getattr(self.system, "n_sites", 0) + 8 * getattr(self.system, "cache_size", 0)
        return self.clones * (sites + 8 * 14)

    def restore(self, saved: dict) -> State:
        """The state of a checkpoint.

        Raises
        ------
        ValueError
            If it is of clones that were not watched after their event.
        """
        if saved["counters"].shape[1] != len(_NO_COUNTS):
            raise ValueError("these clones were begun by an earlier version: start another run")
        return State(**saved)

    def _counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Counters and moments of clones that have not moved."""
        moments = np.zeros((self.clones, 4))
        moments[:, AT_EVENT] = np.nan
        return np.tile(_NO_COUNTS, (self.clones, 1)), moments

    def total(self) -> int:
        """Upper bound of the time that a clone runs, in ``unit``."""
        return max(1, math.ceil(self.limit))

    def done(self, state: State) -> int:
        """Progress: the share of clones that have ended, in units of ``total``."""
        ended = int(state.counters[:, DONE].sum())
        if ended == self.clones:
            return self.total()
        elapsed = int(state.counters[:, STEPS].max()) / self._steps_per_unit()
        return min(self.total() - 1, max(int(ended / self.clones * self.total()), int(elapsed)))

    def status(self, state: State) -> str:
        """One phrase for the progress display."""
        crossed = int((state.counters[:, CROSSING] >= 0).sum())
        ended = int(state.counters[:, DONE].sum())
        return f"T = {self.temperature:g}: {crossed} of {self.clones} crossed, {ended} ended"

    def _steps_per_unit(self) -> float:
        """Steps in a unit of time."""
        raise TypeError("said by the protocol of each family")

    def _path_time(self) -> float:
        """Time between two points of a path at stride 1."""
        raise TypeError("said by the protocol of each family")

    def _path_room(self) -> tuple[np.ndarray, np.ndarray]:
        traced = min(self.clones, _TRACED)
        return np.full((traced, _TRACE_LENGTH), np.nan), np.tile([1, 0], (traced, 1))

    def _over_clones(self, state: State, function) -> None:
        nowhere = np.empty(0)
        no_stride = np.empty(0, dtype=np.int64)

        def with_path(k):
            traced = k < len(state.trace)
            function(k, state.trace[k] if traced else nowhere,
                     state.strides[k] if traced else no_stride)

        active = np.flatnonzero(state.counters[:, DONE] == 0)
        groups = np.array_split(active, min(len(active), 8 * n_threads()))

        def run(k):
            for clone in groups[k]:
                with_path(clone)

        over_threads(run, len(groups))

    def result(self, state: State) -> dict[str, Group]:
        """Group ``waiting_times``: a time for each clone, censored or not."""
        per_unit = self._steps_per_unit()
        counters = state.counters
        crossed = counters[:, CROSSING] >= 0
        steps = np.where(crossed, counters[:, CROSSING], counters[:, STEPS])
        transit = np.where(crossed, steps - counters[:, LEFT_HOME], np.nan)
        back = np.where(counters[:, RETURN] >= 0, counters[:, RETURN] - steps, np.nan)
        number = np.maximum(state.moments[:, NUMBER], 1.0)
        mean = np.where(state.moments[:, NUMBER] > 0, state.moments[:, SUM] / number, np.nan)
        spread = np.sqrt(np.maximum(state.moments[:, SQUARES] / number - mean**2, 0.0))
        unit = self.unit
        group = Group()
        group.add("clone", np.arange(self.clones), "clone", "1", "clone of the checkpoint")
        group.add("time", steps / per_unit, "clone", unit, "waiting time (censored: the limit)")
        group.add("censored", ~crossed, "clone", "1", "1 where the event had not happened")
        group.add("transit", transit / per_unit, "clone", unit,
                  "time from the last visit to the clone's mean order parameter to the event")
        group.add("plateau_mean", mean, "clone", "1", "mean order parameter before the event")
        group.add("plateau_std", spread, "clone", "1",
                  "standard deviation of the order parameter before the event")
        group.add("final_order_parameter",
                  np.where(crossed, state.moments[:, AT_EVENT], state.values[:, 1]), "clone", "1",
                  "order parameter at the event, or where it ended without one")
        if self.after > 0.0:
            group.add("return", back / per_unit, "clone", unit, "time from the event until the "
                      "clone's mean order parameter before it was reached again; NaN: not within "
                      f"{self.after:g} transits")
        self._add_paths(group, state)
        group.attributes.update({
            "temperature": self.temperature,
            "threshold": self.threshold * self._phi_unit(),
            "hold": self.hold,
            "limit": self.limit,
            "start_order_parameter": state.start_phi,
            "ended": int(counters[:, DONE].sum()),
            "rule": "clones of one checkpoint; only the thermal noise differs",
        })
        return {"waiting_times": group}

    def _phi_unit(self) -> float:
        return float(getattr(self.system, "order_unit", 1.0))

    def _add_paths(self, group: Group, state: State) -> None:
        """The order parameter along the first clones' paths, each with its own spacing."""
        per_step = self._path_time()
        unit = self.unit
        group.add("traced", np.arange(len(state.trace)), "traced", "1", "clone whose path is kept")
        group.add("point", np.arange(state.trace.shape[1]), "point", "1", "point of a path")
        group.add("path", state.trace, ("traced", "point"), "1",
                  "order parameter at time (point + 1) path_spacing; NaN beyond the end")
        group.add("path_spacing", state.strides[:, 0] * per_step, "traced", unit,
                  "time between points of the path")


@dataclasses.dataclass(frozen=True)
class DiscreteClones(_Clones):
    """Protocol: waiting times of a discrete system.

    Parameters
    ----------
    system : NamedTuple
        A discrete system.
    temperature : float
        T of the clones; 0 is the noise-free run (downhill moves at random sites).
    clones : int
        Number of clones.
    threshold, hold, limit : float
        The event: Phi (per ``order_unit``) >= threshold for ``hold`` sweeps; censored at ``limit``.
    dynamics : str
        "heat-bath" or "metropolis".
    start : float or None
        Order parameter of the checkpoint, sites at random; None: a random configuration.
    preparation_sweeps, preparation_temperature : int, float
        Sweeps that made the checkpoint from the start, and their temperature.
    after : float
        Transits that a clone is watched after its event, for whether it comes back: to the mean
        order parameter that it had before.
    """

    dynamics: str = "heat-bath"
    start: float | None = None
    preparation_sweeps: int = 0
    preparation_temperature: float = 1.0
    unit: str = dataclasses.field(default="sweeps", init=False)

    def _steps_per_unit(self) -> float:
        return float(self.system.n_sites)

    def _path_time(self) -> float:
        return 1.0  # a point a sweep

    def _checkpoint(self, seed: int) -> np.ndarray:
        """The configuration from which all clones start; the same at every temperature."""
        system = self.system
        key = ["checkpoint", self.start, self.preparation_sweeps, self.preparation_temperature]
        rng = streams(seed, key, 1)[0]
        sigma = np.zeros(system.n_sites, dtype=np.int8)
        if self.start is not None:
            sequence = np.random.SeedSequence(rng.tolist())
            sigma[:] = system.configuration(self.start, np.random.default_rng(sequence))
        cache = np.zeros(system.cache_size, dtype=np.int64)
        values = np.zeros(2)
        draw_and_prepare(system, self.start is None, sigma, cache, values, rng)
        nothing = np.empty(0)
        sweeps(system, bool(DYNAMICS[self.dynamics]), self.preparation_temperature,
               self.preparation_sweeps, sigma, cache, values, rng, nothing, nothing)
        return sigma

    def init(self, seed: int) -> State:
        """Copies of the checkpoint with a generator each."""
        system, c = self.system, self.clones
        sigma = np.repeat(self._checkpoint(seed)[None, :], c, axis=0)
        cache = np.zeros((c, system.cache_size), dtype=np.int64)
        values = np.zeros((c, 2))
        rng = streams(seed, ["clones", self.temperature], c)
        for k in range(c):
            draw_and_prepare(system, False, sigma[k], cache[k], values[k], rng[k])
        return State(sigma, cache, values, rng, *self._counts(), *self._path_room(),
                     float(values[0, 1]))

    def advance(self, state: State, n: int) -> None:
        """Advance every clone that has not ended by ``n`` sweeps."""
        threshold = self.threshold * self._phi_unit() - TOLERANCE
        per = self._steps_per_unit()
        heat_bath = bool(DYNAMICS[self.dynamics])
        self._over_clones(state, lambda k, trace, strides: discrete_first_passage(
            self.system, heat_bath, self.temperature, threshold, state.start_phi,
            round(self.hold * per), n, round(self.limit * per), self.after, state.sigma[k],
            state.cache[k], state.values[k], state.rng[k], state.counters[k],
            state.moments[k], trace, strides))

    def result(self, state: State) -> dict[str, Group]:
        """Group ``waiting_times``; refused where E, Phi or the cache went wrong on the way."""
        check_running(self.system, state.sigma, state.cache, state.values,
                      float(state.counters[:, STEPS].max()))
        return super().result(state)


@dataclasses.dataclass(frozen=True)
class OverdampedClones(_Clones):
    """Protocol: waiting times of a one-dimensional overdamped system (Euler-Maruyama).

    Parameters as in :class:`DiscreteClones`; times in units of time, the start is the system's.
    """

    unit: str = dataclasses.field(default="time", init=False)

    def _steps_per_unit(self) -> float:
        return 1.0 / self.system.dt

    def _path_time(self) -> float:
        return float(self.system.dt)

    def init(self, seed: int) -> State:
        """Copies of the start with a generator each."""
        c, system = self.clones, self.system
        x = float(system.start)
        phi = abs(x) if system.folded else x
        return State(np.zeros((c, 0), dtype=np.int8), np.zeros((c, 0), dtype=np.int64),
                     np.tile([x, phi], (c, 1)), streams(seed, ["clones", self.temperature], c),
                     *self._counts(), *self._path_room(), phi)

    def advance(self, state: State, n: int) -> None:
        """Advance every clone that has not ended by ``n`` units of time."""
        per = self._steps_per_unit()
        steps = 2 * max(1, round(n * per / 2.0))
        self._over_clones(state, lambda k, trace, strides: overdamped_first_passage(
            self.system, self.temperature, self.threshold - TOLERANCE,
            state.start_phi, round(self.hold * per), steps, round(self.limit * per), self.after,
            state.values[k], state.rng[k], state.counters[k], state.moments[k], trace,
            strides))


@dataclasses.dataclass(frozen=True)
class HamiltonianClones(_Clones):
    """Protocol: waiting times of a system of plain coordinates, by Langevin dynamics.

    Parameters as in :class:`DiscreteClones`; times in units of time.  The event is looked for after
    each step, so that of a passage shorter than a step nothing is seen.

    Parameters
    ----------
    step : float
        Time of a step.
    friction : float or None
        gamma of the dynamics with inertia; None: overdamped.
    start : float or None
        Order parameter of the checkpoint; None: a disordered one.
    preparation_sweeps, preparation_temperature : int, float
        Steps that made the checkpoint from the start, and their temperature.
    """

    step: float = 0.01
    friction: float | None = None
    start: float | None = None
    preparation_sweeps: int = 0
    preparation_temperature: float = 1.0
    unit: str = dataclasses.field(default="time", init=False)

    @property
    def _engine(self) -> HamiltonianSteps:
        return HamiltonianSteps((self.system,), self.step, self.friction)

    def memory(self) -> int:
        """Bytes of the state of all clones."""
        return self.clones * 8 * (2 * self.system.n_coordinates + 14)

    def _steps_per_unit(self) -> float:
        return 1.0 / self.step

    def _path_time(self) -> float:
        return self.step

    def init(self, seed: int) -> State:
        """Copies of the checkpoint, at rest, with a generator each."""
        c = self.clones
        key = ["checkpoint", self.start, self.preparation_sweeps, self.preparation_temperature]
        begun = self._engine.start(seed, key, np.zeros(1, dtype=bool), 1)
        if self.start is not None:
            draw = np.random.default_rng([int(word) for word in begun.rng[0, 0]])
            self._engine.put(begun, 0, self.system.configuration(self.start, draw)[None])
        self._engine.advance(begun, 0, self.preparation_temperature, self.preparation_sweeps,
                             *np.empty((2, 1, 0)))
        values = np.array([begun.energy[0, 0], begun.phi[0, 0]])
        return State(np.tile(begun.configurations[0], (c, 1)), np.zeros((c, 2), dtype=np.int64),
                     np.tile(values, (c, 1)), streams(seed, ["clones", self.temperature], c),
                     *self._counts(), *self._path_room(), float(values[1]))

    def result(self, state: State) -> dict[str, Group]:
        """Group ``waiting_times``, with the share of accepted steps: where it is low, time is not
        that of the dynamics."""
        groups = super().result(state)
        share = float(accepted_share(state.cache.sum(axis=0)))
        groups["waiting_times"].attributes |= {
            "accepted": share, "doubt": too_long(share, FEWEST_OF_DYNAMICS, self.step)}
        return groups

    def advance(self, state: State, n: int) -> None:
        """Advance every clone that has not ended by ``n`` units of time."""
        per, coordinates = self._steps_per_unit(), self.system.n_coordinates
        splitting = self._engine.splitting(self.temperature)
        threshold = self.threshold * self._phi_unit() - TOLERANCE
        self._over_clones(state, lambda k, trace, strides: first_passage(
            self.system, splitting, threshold, state.start_phi, round(self.hold * per),
            max(1, round(n * per)), round(self.limit * per), self.after,
            state.sigma[k, :coordinates], state.sigma[k, coordinates:], state.cache[k],
            state.values[k], state.rng[k],
            np.empty((4, coordinates)), state.counters[k], state.moments[k], trace, strides))
