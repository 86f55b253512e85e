r"""Steps of plain coordinates: Langevin dynamics with a Metropolis test, at any temperature.

*Overdamped*, :math:`dx = -\nabla E\,dt + \sqrt{2T}\,dW`: a step of time dt is proposed by
Euler-Maruyama and accepted by the Metropolis rule (Besag, J. R. Stat. Soc. B 56 (1994) 591;
Roberts and Tweedie, Bernoulli 2 (1996) 341), so that equilibrium has no error of the step.
*With inertia*, :math:`dx = v\,dt,\; dv = -\nabla E\,dt - \gamma v\,dt + \sqrt{2\gamma T}\,dW`: the
step of :mod:`phasegrok.dynamics.ghmc`.  The first is the second with velocities that are drawn
anew at every step, whose length is then :math:`\sqrt{2\,dt}`.  At T = 0 a step is one of steepest
descent, and of the second one with friction alone.  Coordinates on spheres move along them
(:mod:`phasegrok.dynamics.spheres`).
"""

import dataclasses
import math

import numpy as np

from phasegrok.compiled import NOT_FROM_PYTHON, kernel, n_threads, over_threads
from phasegrok.dynamics.first_passage import DONE, SINCE, STEPS, TOLERANCE, end_of_unit, home, watch
from phasegrok.dynamics.ghmc import Splitting, accept, propose, reject
from phasegrok.dynamics.replicas import WORTH_A_THREAD, Replicas, Rows
from phasegrok.dynamics.spheres import project, propose_on_spheres, transported, turn
from phasegrok.rng import streams
from phasegrok.systems.hamiltonian import (
    energy_gradient,
    observables_of,
    observed,
    order_parameter,
    spheres,
)

_SOME = 0.02  # accepted steps, below which the step is far too long
FEWEST_ACCEPTED, FEWEST_OF_DYNAMICS = 0.2, 0.9
"""Share of accepted steps below which averages, and times, are not believed."""


@kernel(allocates=False, **NOT_FROM_PYTHON)
def energy_and_slope(system, x, slope):
    """E; fills ``slope`` with its gradient, on spheres with what of it is tangent."""
    energy = energy_gradient(system, x, slope)
    size, radius = spheres(system)
    if size > 0:
        project(size, radius, x, slope)
    return energy


@kernel
def one_step(system, splitting, energy, x, v, room, rng):
    """One step from ``x``, whose gradient is ``room[0]``; returns E at its end, and whether it was
    accepted."""
    slope, noise, kept = room[0], room[1], room[2:]
    size, radius = spheres(system)
    if splitting.T > 0.0:
        if size > 0:
            before = propose_on_spheres(splitting, size, radius, x, v, slope, kept, noise, rng)
        else:
            before = propose(splitting, x, v, slope, kept, noise, rng)
        proposed = energy_and_slope(system, x, slope)
        if accept(splitting, x, v, slope, proposed - energy, before, rng):
            return proposed, True
        reject(x, v, slope, kept, noise)
        return energy, False
    half = 0.5 * splitting.h
    for k in range(x.shape[0]):
        v[k] = splitting.keep * v[k] - half * slope[k]
        if size == 0:
            x[k] += splitting.h * v[k]
    if size > 0:
        turn(splitting.h, size, radius, x, v)
    energy = energy_and_slope(system, x, slope)
    for k in range(x.shape[0]):
        v[k] -= half * slope[k]
    return energy, True


@kernel
def _steps(system, splitting, n_steps, x, v, made, values, rng, room, energy_t, phi_t):
    """Advance one replica; ``values`` becomes [E, Phi], which are recorded after each step, and
    ``made`` counts steps and those accepted."""
    energy = energy_and_slope(system, x, room[0])
    for t in range(n_steps):
        energy, accepted = one_step(system, splitting, energy, x, v, room, rng)
        made[0] += 1
        made[1] += accepted
        if energy_t.shape[0] > 0:
            energy_t[t] = energy
            phi_t[t] = order_parameter(system, x)
    values[0], values[1] = energy, order_parameter(system, x)


@kernel
def first_passage(system, splitting, threshold, start_phi, hold, n_steps, limit, after, x, v, made,
                  values, rng, room, counters, moments, trace, strides):
    """Steps of one clone, ``n_steps`` of them, or until it has ended; counted in ``made``."""
    step, phi = counters[STEPS], values[1]
    energy = energy_and_slope(system, x, room[0])
    if phi >= threshold and counters[SINCE] < 0:
        counters[SINCE] = step
    for _ in range(n_steps):
        at_home = home(start_phi, moments) + TOLERANCE
        energy, accepted = one_step(system, splitting, energy, x, v, room, rng)
        made[0] += 1
        made[1] += accepted
        before, phi = phi, order_parameter(system, x)
        step += 1
        watch(before, phi, step, threshold, at_home, hold, counters)
        end_of_unit(phi, step, 1, hold, limit, after, counters, moments, trace, strides)
        if counters[DONE] == 1:
            break
    values[0], values[1] = energy, phi


def accepted_share(made: np.ndarray) -> np.ndarray:
    """Accepted steps over steps made, of counts (..., 2); NaN where there were none."""
    return np.where(made[..., 0] > 0, made[..., 1] / np.maximum(made[..., 0], 1), np.nan)


def too_long(share: float, least: float, step: float) -> str:
    """What is wrong where too few steps are accepted, in a sentence; empty if nothing is."""
    if not share < least:
        return ""
    shorter = 4.0 if share > _SOME else 100.0
    return (f"only {share:.2g} of the steps were accepted, {least:g} are wanted: take a shorter "
            f"one, --set motion.step={step / shorter:g}")


@dataclasses.dataclass(frozen=True)
class HamiltonianSteps(Rows):
    """Engine for systems of plain coordinates; a sweep is a step of all of them.

    ``configurations`` are float64 (K, R, 2 n): coordinates, then velocities.  ``cache`` (K, R, 2)
    counts steps and those accepted.  Velocities and counts stay at their rung when replicas are
    exchanged; on spheres they are moved in parallel to where the other replica was.

    Parameters
    ----------
    systems : tuple
        One system a disorder sample.
    step : float
        Time of a step.
    friction : float or None
        gamma of the dynamics with inertia; None: overdamped.
    """

    systems: tuple
    step: float
    friction: float | None = None

    dynamics = "langevin"

    @property
    def name(self) -> str:
        """Dynamics, and the time of a step."""
        how = "overdamped" if self.friction is None else f"friction {self.friction:g}"
        return f"Langevin, {how}, time {self.step:g} a step, Metropolis test"

    def splitting(self, temperature: float) -> Splitting:
        """What a step depends on at a temperature."""
        if self.friction is None:
            return Splitting(math.sqrt(2.0 * self.step), 0.0, temperature, 1.0, 0.0)
        keep = math.exp(-self.friction * self.step)
        return Splitting(self.step, keep, temperature, 1.0, 0.0)

    def start(self, seed: int, point, ordered_r: np.ndarray, n_rungs: int) -> Replicas:
        """Replicas at rest, disordered or ordered; see `phasegrok.dynamics.replicas.Engine`."""
        shape, n = (n_rungs, len(ordered_r)), self.systems[0].n_coordinates
        rng = np.stack([streams(seed, [point, self.name, k], shape[1]) for k in range(n_rungs)])
        begun = Replicas(np.zeros((*shape, 2 * n)), np.zeros((*shape, 2), dtype=np.int64),
                         np.zeros(shape), np.zeros(shape), rng)
        for k in range(n_rungs):
            draws = [np.random.default_rng([int(word) for word in row]) for row in rng[k]]
            self.put(begun, k, np.array([
                self._system_of(r, shape[1]).configuration(1.0, draws[r]) if ordered
                else self._system_of(r, shape[1]).start(draws[r])
                for r, ordered in enumerate(ordered_r)]))
        return begun

    def put(self, replicas: Replicas, k: int, x_rn: np.ndarray) -> None:
        """Give the replicas of rung ``k`` the coordinates ``x_rn``, at rest."""
        n = self.systems[0].n_coordinates
        replicas.configurations[k, :, :n] = x_rn
        replicas.configurations[k, :, n:] = 0.0
        self.advance(replicas, k, 0.0, 0, *np.empty((2, len(x_rn), 0)))

    def advance(self, replicas: Replicas, k: int, temperature: float, n_sweeps: int,
                energy_rt: np.ndarray, phi_rt: np.ndarray) -> None:
        """Advance rung ``k``; see `phasegrok.dynamics.replicas.Engine`."""
        number, n = replicas.energy.shape[1], self.systems[0].n_coordinates
        splitting = self.splitting(temperature)
        values = np.zeros((number, 2))
        small = number * n_sweeps * n < WORTH_A_THREAD
        chunks = np.array_split(np.arange(number), 1 if small else min(number, n_threads()))

        def move(c):
            room = np.empty((4, n))
            for r in chunks[c]:
                row = replicas.configurations[k, r]
                _steps(self._system_of(r, number), splitting, n_sweeps, row[:n], row[n:],
                       replicas.cache[k, r], values[r], replicas.rng[k, r], room, energy_rt[r],
                       phi_rt[r])

        if small:
            move(0)
        else:
            over_threads(move, len(chunks))
        replicas.energy[k], replicas.phi[k] = values[:, 0], values[:, 1]

    def observe(self, replicas: Replicas, k: int) -> np.ndarray:
        """What the system has as observables, of every replica of rung ``k``, shape (R, M)."""
        number, n = replicas.energy.shape[1], self.systems[0].n_coordinates
        found = np.zeros((number, len(observables_of(self.systems[0]))))
        if found.size:
            for r in range(number):
                observed(self._system_of(r, number), replicas.configurations[k, r, :n], found[r])
        return found

    def accepted(self, replicas: Replicas) -> np.ndarray:
        """Share of the steps that were accepted, at every rung (K,)."""
        return accepted_share(replicas.cache.sum(axis=1))

    def exchange(self, replicas: Replicas, k: int, accepted_r: np.ndarray) -> None:
        """Exchange coordinates, E and Phi of rungs ``k`` and ``k + 1`` where accepted."""
        n = self.systems[0].n_coordinates
        size, radius = spheres(self.systems[0])
        if size:
            both = replicas.configurations[k : k + 2, accepted_r]
            for own, other in ((0, 1), (1, 0)):
                replicas.configurations[k + own, accepted_r, n:] = transported(
                    size, radius, both[own, :, :n], both[other, :, :n], both[own, :, n:])
        for array in (replicas.configurations[..., :n], replicas.energy, replicas.phi):
            array[k, accepted_r], array[k + 1, accepted_r] = (
                array[k + 1, accepted_r], array[k, accepted_r])

    def unpacked(self, a: np.ndarray) -> np.ndarray:
        """The coordinates (R, n)."""
        return a[:, : self.systems[0].n_coordinates]
