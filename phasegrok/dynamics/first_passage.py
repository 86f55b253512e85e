"""First passages: kernels that move one clone until its order parameter reaches a threshold.

The order parameter has to stay there for a while ("hold"); what begins to hold after the limit
leaves the clone censored.  A clone that has crossed may be watched for some of its transits longer:
does it come back to where it was before?
"""

import numpy as np

from phasegrok.compiled import kernel
from phasegrok.dynamics.single_flip import new_value
from phasegrok.rng import below, normal_pair
from phasegrok.systems.discrete import assign, n_places, order_change, present

# columns of State.counters; times in attempted updates or time steps, -1: not yet
STEPS, SINCE, CROSSING, LEFT_HOME, DONE, RETURN = range(6)
NUMBER, SUM, SQUARES, AT_EVENT = range(4)  # columns of State.moments: Phi before, and at the event
TOLERANCE = 1e-9  # order parameters are sums of exact steps up to rounding


@kernel(allocates=False)
def watch(phi_before, phi, step, threshold, home, hold, counters):
    """Note in ``counters`` that Phi changed at ``step``; True where the event is complete."""
    if counters[CROSSING] >= 0:
        if phi <= home and counters[RETURN] < 0:
            counters[RETURN] = step
        return False
    if phi_before <= home:
        counters[LEFT_HOME] = step
    if phi >= threshold:
        if counters[SINCE] < 0:
            counters[SINCE] = step
        return hold == 0
    complete = counters[SINCE] >= 0 and step - counters[SINCE] >= hold
    if not complete:
        counters[SINCE] = -1
    return complete


@kernel(allocates=False)
def home(start_phi, moments):
    """The clone's mean Phi so far: where the passage to the event begins, seen from the event."""
    return moments[SUM] / moments[NUMBER] if moments[NUMBER] > 0.0 else start_phi


@kernel(allocates=False)
def _keep_path(phi, unit, trace, strides):
    """Add a point to the path; when it is full, keep every second point and double the stride."""
    if unit % strides[0] != 0:
        return
    if strides[1] == trace.shape[0]:
        half = trace.shape[0] // 2
        for k in range(half):  # the k-th point is the one at the end of unit (k + 1) stride
            trace[k] = trace[2 * k + 1]
        trace[half:] = np.nan
        strides[0] *= 2
        strides[1] = half
        if unit % strides[0] != 0:
            return
    trace[strides[1]] = phi
    strides[1] += 1


@kernel(allocates=False)
def _watched_until(per_unit, after, counters):
    """Step at which ``after`` transits have passed since the event."""
    transit = max(counters[CROSSING] - counters[LEFT_HOME], per_unit)
    return counters[CROSSING] + np.int64(after * transit)


@kernel(allocates=False)
def _end_of_hold(phi, step, per_unit, limit, after, counters, moments):
    """The event is complete; the clone has ended, or is watched for ``after`` transits longer.

    An event that began after the limit leaves it censored.
    """
    if counters[SINCE] <= limit:
        counters[CROSSING] = counters[SINCE]
        moments[AT_EVENT] = phi
        if _watched_until(per_unit, after, counters) > step:
            return
    counters[DONE] = 1


@kernel(allocates=False)
def end_of_unit(phi, step, per_unit, hold, limit, after, counters, moments, trace, strides):
    """Once a sweep or time step: sample the plateau, and end at the hold or at the limit."""
    counters[STEPS] = step
    if trace.shape[0] > 0:
        _keep_path(phi, step // per_unit, trace, strides)
    if counters[CROSSING] >= 0:
        if counters[RETURN] >= 0 or step >= _watched_until(per_unit, after, counters):
            counters[DONE] = 1
        return
    held = counters[SINCE] >= 0
    if held and step - counters[SINCE] >= hold:
        _end_of_hold(phi, step, per_unit, limit, after, counters, moments)
        return
    if not held:
        moments[NUMBER] += 1.0
        moments[SUM] += phi
        moments[SQUARES] += phi * phi
    # what began to hold before the limit is watched to its end; what begins later does not count
    if step >= limit and not (held and counters[SINCE] <= limit):
        counters[DONE] = 1


@kernel(allocates=False)
def discrete_first_passage(system, heat_bath, temperature, threshold, start_phi, hold, n_sweeps,
                           limit, after, sigma, cache, values, rng, counters, moments, trace,
                           strides):
    """Updates of one clone for ``n_sweeps`` sweeps, or until it has ended."""
    n, places = sigma.shape[0], n_places(system, sigma)
    step = counters[STEPS]
    energy, phi = values[0], values[1]
    if phi >= threshold and counters[SINCE] < 0:
        counters[SINCE] = step
    for _ in range(n_sweeps):
        complete = False
        at_home = home(start_phi, moments) + TOLERANCE
        for _ in range(n):
            place = below(rng, places)
            value, change = new_value(system, heat_bath, temperature, sigma, cache, place, rng)
            step += 1
            if value != present(system, sigma, place):
                before = phi
                energy += change
                phi += order_change(system, sigma, cache, place, value)
                assign(system, sigma, cache, place, value)
                if watch(before, phi, step, threshold, at_home, hold, counters):
                    complete = True
                    break
        if complete:
            counters[STEPS] = step
            _end_of_hold(phi, step, n, limit, after, counters, moments)
        else:
            end_of_unit(phi, step, n, hold, limit, after, counters, moments, trace, strides)
        if counters[DONE] == 1:
            break
    values[0] = energy
    values[1] = phi


@kernel(allocates=False)
def overdamped_first_passage(system, temperature, threshold, start_phi, hold, n_steps, limit,
                             after, values, rng, counters, moments, trace, strides):
    """Euler-Maruyama steps of one clone, ``n_steps`` of them, or until it has ended."""
    x, phi = values[0], values[1]
    step = counters[STEPS]
    spread = np.sqrt(2.0 * temperature * system.dt)
    second = 0.0
    for k in range(n_steps):
        force = system.c0 + x * (system.c1 + x * (system.c2 + x * system.c3))
        noise = 0.0
        if temperature > 0.0:  # one pair of variates serves two steps; n_steps is even
            if k % 2 == 0:
                noise, second = normal_pair(rng)
            else:
                noise = second
        x += force * system.dt + spread * noise
        at_home = home(start_phi, moments) + TOLERANCE
        before = phi
        phi = abs(x) if system.folded else x
        step += 1
        watch(before, phi, step, threshold, at_home, hold, counters)
        end_of_unit(phi, step, 1, hold, limit, after, counters, moments, trace, strides)
        if counters[DONE] == 1:
            break
    values[0] = x
    values[1] = phi
