"""Quench and ramp: how replicas relax after a sudden or a steady change of temperature.

A quench takes replicas from a start at random, or of given order, to temperature T at time 0 and
follows the energy, the order parameter, the overlaps of all pairs of replicas and the two-time
overlap

.. math:: C(t_w, t_w + t) = \\frac{1}{N} \\sum_i s_i(t_w)\\, s_i(t_w + t).

A ramp cools, and then heats, at several rates.  Times are in sweeps of N attempted updates.
"""

import dataclasses
from typing import Any

import numpy as np

from phasegrok.dynamics.hamiltonian_steps import FEWEST_OF_DYNAMICS, HamiltonianSteps, too_long
from phasegrok.dynamics.multi_spin import LANES, Words
from phasegrok.dynamics.replicas import Engine, Replicas
from phasegrok.groups import Group
from phasegrok.systems.checks import check_replicas
from phasegrok.systems.overlaps import all_overlaps, local_values

_PER_OCTAVE = 4  # times of measurement a factor of two
_WAITING_RATIO = 4  # ratio of successive waiting times
_RAMP_RATIO = 2  # ratio of successive cooling rates
_ROWS = 256  # replicas whose overlaps with all others are held at a time


def log_times(last: int) -> np.ndarray:
    """1, 2, 3, 4, 5, 6, 7, 8, 10, 11, ... up to ``last``: about four a factor of two."""
    n = _PER_OCTAVE * max(last, 1).bit_length() + 1
    times = np.unique(np.rint(2.0 ** (np.arange(n) / _PER_OCTAVE)).astype(np.int64))
    return times[times <= last]


def waiting_times(last: int) -> np.ndarray:
    """1, 4, 16, ... up to ``last``."""
    times = _WAITING_RATIO ** np.arange(last.bit_length(), dtype=np.int64)
    return times[times <= last]


def dependent_replicas(engine: Engine) -> int:
    """Replicas that are updated at the same sites, one word of them, or 1 where each has its own.

    Out of equilibrium their energies are correlated, since all have relaxed where sites came up
    early: only means over such replicas are independent.
    """
    return LANES if isinstance(engine, Words) else 1


def _added(sums_r: np.ndarray, x_rt: np.ndarray) -> np.ndarray:
    """Sums with x added from left to right: they do not depend on how a run is cut into calls."""
    return np.cumsum(np.column_stack([sums_r, x_rt]), axis=1)[:, -1]


def _check_replicas(engine: Engine, replicas: int) -> None:
    samples, together = len(engine.systems), dependent_replicas(engine)
    if replicas % (samples * together):
        raise ValueError(f"{replicas} replicas: give a multiple of {together} for each of "
                         f"{samples} samples")


def _independent(x_r: np.ndarray, engine: Engine) -> np.ndarray:
    """Means over the replicas that depend on one another."""
    return x_r.reshape(-1, dependent_replicas(engine), *x_r.shape[1:]).mean(axis=1)


@dataclasses.dataclass
class QuenchState(Replicas):
    """One rung of replicas after the quench, their snapshots, and what was measured."""

    sweeps: int
    snapshots: np.ndarray  # (W, ...) configurations at the waiting times
    energy_t: np.ndarray  # (R, n_times) E of the system; NaN where not yet measured
    phi_t: np.ndarray  # (R, n_times), intensive
    pair_overlap_t: np.ndarray  # (R, n_times) mean of q^2 with the other replicas of the sample
    two_time: np.ndarray  # (R, W, n_times) C(t_w, t_w + t)
    mean_then: np.ndarray  # (R, W) mean spin at t_w
    mean_now: np.ndarray  # (R, W, n_times) mean spin at t_w + t


@dataclasses.dataclass(frozen=True)
class Quench:
    """Protocol: replicas follow a quench to ``temperature``.

    Parameters
    ----------
    engine : Engine
        What moves the replicas; its order of updates is that of time: random sites.
    temperature : float
        T after the quench, units of energy.
    replicas : int
        Independent starts, over all disorder samples.
    sweeps : int
        Sweeps in total.
    start : float, optional
        Order parameter of the start; none: at random.

    Raises
    ------
    ValueError
        If the replicas are no whole number of `dependent_replicas` a sample.
    """

    engine: Engine
    temperature: float
    replicas: int
    sweeps: int
    start: float | None = None
    unit: str = dataclasses.field(default="sweeps", init=False)

    def __post_init__(self):
        _check_replicas(self.engine, self.replicas)

    @property
    def system(self):
        """The system of the first sample."""
        return self.engine.systems[0]

    def total(self) -> int:
        """Sweeps of every replica."""
        return self.sweeps

    def done(self, state: QuenchState) -> int:
        """Sweeps made."""
        return state.sweeps

    def memory(self) -> int:
        """Bytes of the state, and as much again for its checkpoint."""
        w, t = len(waiting_times(self.sweeps)), len(log_times(self.sweeps))
        sites = 16 * getattr(self.system, "n_coordinates", 0) or self.system.n_sites
        return 2 * self.replicas * ((1 + w) * sites + 8 * t * (w + 3))

    def init(self, seed: int) -> QuenchState:
        """Replicas before the quench."""
        begun = self.engine.start(seed, ["quench", self.temperature],
                                  np.zeros(self.replicas, dtype=bool), 1)
        if self.start is not None:
            if not hasattr(self.engine, "put"):
                raise ValueError("a start of given order needs an engine that takes configurations")
            rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
            systems = np.repeat(np.arange(len(self.engine.systems)),
                                self.replicas // len(self.engine.systems))
            self.engine.put(begun, 0, np.stack([
                self.engine.systems[s].configuration(self.start, rng) for s in systems]))
        return self._grown({f.name: getattr(begun, f.name) for f in dataclasses.fields(Replicas)}
                           | {"sweeps": 0})

    def restore(self, saved: dict[str, Any]) -> QuenchState:
        """The state of a checkpoint, with room for the times up to a larger total."""
        return self._grown(saved)

    def _grown(self, fields: dict[str, Any]) -> QuenchState:
        w, t, r = len(waiting_times(self.sweeps)), len(log_times(self.sweeps)), self.replicas
        configurations = fields["configurations"]
        room = {"snapshots": np.zeros((w, *configurations.shape[1:]), configurations.dtype),
                "energy_t": np.full((r, t), np.nan), "phi_t": np.full((r, t), np.nan),
                "pair_overlap_t": np.full((r, t), np.nan),
                "two_time": np.full((r, w, t), np.nan), "mean_then": np.full((r, w), np.nan),
                "mean_now": np.full((r, w, t), np.nan)}
        for name, array in room.items():
            before = fields.get(name)
            if before is not None:
                array[tuple(slice(n) for n in before.shape)] = before
        return QuenchState(**(fields | room))

    def advance(self, state: QuenchState, n: int) -> None:
        """Advance by ``n`` sweeps, measuring whenever it is time to."""
        times, waits = log_times(self.sweeps), waiting_times(self.sweeps)
        end = min(state.sweeps + n, self.sweeps)
        nothing = np.empty((self.replicas, 0))
        while state.sweeps < end:
            to = min(end, self._next_event(state.sweeps, times, waits))
            self.engine.advance(state, 0, self.temperature, to - state.sweeps, nothing, nothing)
            state.sweeps = to
            self._measure(state, times, waits)

    @staticmethod
    def _next_event(now: int, times: np.ndarray, waits: np.ndarray) -> int:
        """First time after ``now`` at which anything is measured."""
        events = np.concatenate([times, (waits[:, None] + times).ravel()])
        later = events[events > now]
        return int(later.min()) if len(later) else int(now) + 1

    def _measure(self, state: QuenchState, times: np.ndarray, waits: np.ndarray) -> None:
        now = state.configurations[0]
        at = np.flatnonzero(times == state.sweeps)
        if len(at):
            state.energy_t[:, at[0]] = state.energy[0]
            state.phi_t[:, at[0]] = state.phi[0] / self.system.order_unit
            state.pair_overlap_t[:, at[0]] = self._pair_overlaps(now)
        for w, t_w in enumerate(waits):
            if t_w == state.sweeps:
                state.snapshots[w] = now
                state.mean_then[:, w] = self._mean_spin(now)
            since = np.flatnonzero(times == state.sweeps - t_w)
            if len(since):
                overlap = self.engine.overlap(state.snapshots[w], now)
                state.two_time[:, w, since[0]] = overlap[: self.replicas]
                state.mean_now[:, w, since[0]] = self._mean_spin(now)

    def _mean_spin(self, now: np.ndarray) -> np.ndarray:
        """Mean of spins +-1 of every replica (2 n - 1 for a density n); 0 for three or more states
        and for overlaps of the system's own, which are 0 at random."""
        if len(local_values(self.system)) != 2:
            return np.zeros(self.replicas)
        up = np.bitwise_not(np.zeros_like(now)) if now.dtype == np.uint64 else np.ones_like(now)
        return self.engine.overlap(now, up)[: self.replicas]

    def _pair_overlaps(self, now: np.ndarray) -> np.ndarray:
        """Mean of q^2 of each replica with all others of its sample; NaN where it is alone."""
        sigma_rn = self.engine.unpacked(now)[: self.replicas]  # lanes of a word may be spare
        sigma_srn = sigma_rn.reshape(len(self.engine.systems), -1, sigma_rn.shape[1])
        each = sigma_srn.shape[1]
        if each < 2:
            return np.full(self.replicas, np.nan)
        rows = [self._square_overlaps(sigma_rn, slice(a, a + _ROWS)) for sigma_rn in sigma_srn
                for a in range(0, each, _ROWS)]
        return np.concatenate(rows)

    def _square_overlaps(self, sigma_rn: np.ndarray, some: slice) -> np.ndarray:
        """Mean of q^2 of ``some`` replicas of a sample with all its others."""
        square = all_overlaps(self.system, sigma_rn[some], sigma_rn) ** 2
        itself = square.diagonal(some.start)
        return (square.sum(axis=1) - itself) / (len(sigma_rn) - 1)

    def status(self, state: QuenchState) -> str:
        """The energy now."""
        return f"E/N {state.energy[0].mean() / self.system.n_sites:.5g}"

    def result(self, state: QuenchState) -> dict[str, Group]:
        """Groups ``relaxation`` and ``two_time_overlap``."""
        from phasegrok.relaxation.two_time import connected_overlap, quench_groups

        check_replicas(self.engine, state, state.sweeps)
        samples = len(self.engine.systems)
        energy, phi, phi_squared, q_squared, two_time, connected = (
            _independent(x_r, self.engine)
            for x_r in (state.energy_t / self.system.n_sites, state.phi_t, state.phi_t**2,
                        state.pair_overlap_t, state.two_time,
                        connected_overlap(state.two_time, state.mean_then, state.mean_now)))
        own: dict[str, Any] = {}
        if isinstance(self.engine, HamiltonianSteps):
            share = float(self.engine.accepted(state)[0])
            own = {"accepted": share,
                   "doubt": too_long(share, FEWEST_OF_DYNAMICS, self.engine.step)}
        return quench_groups(
            log_times(self.sweeps), waiting_times(self.sweeps), energy, phi, phi_squared,
            q_squared, two_time, connected, samples, self.system.n_sites,
            own | {"temperature": self.temperature, "dynamics": self.engine.name,
             "start": "random" if self.start is None else f"order parameter {self.start:g}",
             "replicas": self.replicas, "samples": samples, "sweeps": state.sweeps})


@dataclasses.dataclass
class RampState(Replicas):
    """One rung of replicas a rate; where each is on its way is given by ``sweeps``."""

    sweeps: int
    stays: np.ndarray  # (J,) sweeps at each temperature
    sums: np.ndarray  # (J, 2, n_T, R, 2): sums of E and |Phi| over the second half of the stay at T


@dataclasses.dataclass(frozen=True)
class Ramp:
    """Protocol: cooling from the highest to the lowest temperature, and heating back.

    Parameters
    ----------
    engine : Engine
        What moves the replicas.
    temperatures : tuple of float
        Ascending; the replicas start at random at the highest.
    replicas : int
        Replicas at each rate, over all disorder samples.
    sweeps : int
        Sweeps at each temperature on the slowest ramp; the others take half as many each, down to
        one.

    Raises
    ------
    ValueError
        If the replicas are no whole number of `dependent_replicas` a sample.
    """

    engine: Engine
    temperatures: tuple[float, ...]
    replicas: int
    sweeps: int
    unit: str = dataclasses.field(default="sweeps", init=False)

    def __post_init__(self):
        _check_replicas(self.engine, self.replicas)

    @property
    def system(self):
        """The system of the first sample."""
        return self.engine.systems[0]

    def stays(self) -> np.ndarray:
        """Sweeps at each temperature, fastest ramp first: halved from ``sweeps`` down to 1."""
        n = self.sweeps.bit_length()
        return self.sweeps // _RAMP_RATIO ** np.arange(n - 1, -1, -1)

    def total(self) -> int:
        """Sweeps of all ramps together."""
        return int(2 * len(self.temperatures) * self.stays().sum())

    def done(self, state: RampState) -> int:
        """Sweeps made."""
        return state.sweeps

    def memory(self) -> int:
        """Bytes of the state, and as much again for its checkpoint."""
        sums = 2 * len(self.temperatures) * 2 * 8
        return 2 * len(self.stays()) * self.replicas * (self.system.n_sites + sums)

    def init(self, seed: int) -> RampState:
        """Replicas at random."""
        n_rates, n_T = len(self.stays()), len(self.temperatures)
        start = self.engine.start(seed, "ramp", np.zeros(self.replicas, dtype=bool), n_rates)
        return RampState(
            **{f.name: getattr(start, f.name) for f in dataclasses.fields(Replicas)}, sweeps=0,
            stays=self.stays(), sums=np.zeros((n_rates, 2, n_T, self.replicas, 2)))

    def restore(self, saved: dict[str, Any]) -> RampState:
        """The state of a checkpoint.

        Raises
        ------
        ValueError
            If it is of ramps at other rates.
        """
        if not np.array_equal(saved["stays"], self.stays()):
            raise ValueError("ramps cannot be made slower once begun: start another run")
        return RampState(**saved)

    def where(self, sweeps: int) -> tuple[int, int, int, int]:
        """Ramp, direction (0: cooling), temperature and sweeps already made there."""
        stays, n_T = self.stays(), len(self.temperatures)
        before = np.concatenate([[0], np.cumsum(2 * n_T * stays)])
        j = int(np.searchsorted(before, sweeps, side="right")) - 1
        step, made = divmod(sweeps - int(before[j]), int(stays[j]))
        direction, i = divmod(step, n_T)
        return j, direction, i if direction else n_T - 1 - i, made

    def advance(self, state: RampState, n: int) -> None:
        """Advance by ``n`` sweeps."""
        end = min(state.sweeps + n, self.total())
        while state.sweeps < end:
            j, direction, i, made = self.where(state.sweeps)
            stay = int(self.stays()[j])
            to = stay // 2 if made < stay // 2 else stay  # the first half is not measured
            number = min(end - state.sweeps, to - made)
            energy_rt, phi_rt = np.empty((2, self.replicas, number))
            self.engine.advance(state, j, self.temperatures[i], number, energy_rt, phi_rt)
            if to == stay:
                for column, x_rt in enumerate((energy_rt, np.abs(phi_rt))):
                    sums_r = state.sums[j, direction, i, :, column]
                    sums_r[:] = _added(sums_r, x_rt)
            state.sweeps += number

    def status(self, state: RampState) -> str:
        """Which ramp, and the temperature."""
        if state.sweeps >= self.total():
            return f"{len(self.stays())} rates"
        j, direction, i, _ = self.where(state.sweeps)
        return (f"{self.stays()[j]} sweeps a temperature, {'heating' if direction else 'cooling'}, "
                f"T {self.temperatures[i]:.3g}")

    def result(self, state: RampState) -> dict[str, Group]:
        """Group ``ramp``."""
        from phasegrok.relaxation.two_time import ramp_group

        check_replicas(self.engine, state, state.sweeps)
        stays = self.stays()
        measured = stays - stays // 2
        means = state.sums / measured[:, None, None, None, None]
        for j, direction, i in np.ndindex(*means.shape[:3]):
            if self.end_of(j, direction, i) > state.sweeps:
                means[j, direction, i] = np.nan
        energy, size = (
            _independent(np.moveaxis(x, 3, 0), self.engine)
            for x in (means[..., 0] / self.system.n_sites,
                      means[..., 1] / self.system.order_unit))
        return {"ramp": ramp_group(
            np.array(self.temperatures), stays, energy, size, len(self.engine.systems),
            {"dynamics": self.engine.name, "replicas": self.replicas,
             "samples": len(self.engine.systems)})}

    def end_of(self, j: int, direction: int, i: int) -> int:
        """Sweeps made when ramp ``j`` leaves temperature ``i`` in this direction."""
        stays, n_T = self.stays(), len(self.temperatures)
        step = direction * n_T + (i if direction else n_T - 1 - i)
        return int(2 * n_T * stays[:j].sum() + (step + 1) * stays[j])
