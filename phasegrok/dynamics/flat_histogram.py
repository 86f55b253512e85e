"""The kernels of Wang-Landau sampling: a ladder of walkers over windows of energy.

A ladder has one table of ln g, one generator, and a configuration in each window; its windows take
turns, a sweep each, and neighbours exchange their configurations whenever both lie where the
windows overlap.  The windows share ln g, so an exchange changes no weight and is always accepted.
"""

import math

import numpy as np

from phasegrok.compiled import kernel
from phasegrok.rng import next_words
from phasegrok.systems.discrete import (
    assign,
    draw_and_prepare,
    energy_cell,
    energy_change,
    n_places,
    order_cell,
    order_change,
    present,
    propose,
)

# columns of a ladder's counters
SWEEPS, SEEN, LOOKED, ONE_OVER_T, STAGE_START, ROUND_TRIPS, EXCHANGES = range(7)
# what a ladder is doing
EXPLORING, PLACING, LEARNING, PRODUCING = range(4)

BATCH = 1024  # attempts whose random numbers are made in one pass
# A new cell raises ln f to _RESTART / (cells seen) while learning and to _EXPLORE / (cells seen)
# while exploring: with more, the walk overfills the middle of a large landscape on its way to the
# edges, by more than smaller deposits can mend; with less, the edges are reached too late.
_RESTART, _EXPLORE = 5.0, 50.0
# A stage ends when every cell that was seen has _FLAT of the mean visits, and once each, but while
# exploring N times: the only way on from a cell may be the flip of one site of N.  It ends after
# _PATIENCE attempts a cell, or as many as there are energies (diffusion takes that long), even
# where a rare cell was not revisited.
_FLAT, _PATIENCE = 0.2, 200
_SAMC_SPANS = 3.0  # deposits at full gain, in units of (largest ln g) x (number of cells)
_LN_2 = math.log(2.0)
# atanh(z) / z = sum_k z^(2k) / (2k + 1); |z| <= 3 - 2 sqrt 2, where nine terms are right to 1e-15
_ATANH = tuple(1.0 / (2 * k + 1) for k in range(9))
at = np.uint64  # an index without the test whether it counts from the end
_HALF = np.uint64(32)
_LOW_HALF = np.uint64(0xFFFFFFFF)


@kernel(allocates=False)
def exponential_variates(words, variates, n):
    """-ln u of n random words, u uniform in (0, 1]: no call of a library, so that it vectorises.

    u = m 2^e with m in [1/sqrt 2, sqrt 2), and ln m = 2 atanh((m - 1)/(m + 1)).
    """
    for i in range(n):
        u = (np.float64(np.int64(words[i] >> np.uint64(11))) + 1.0) * 2.0**-53
        bits = np.float64(u).view(np.int64)
        # the exponent for which the mantissa lies round one
        e = (bits - 0x3FE6A09E667F3BCD) >> 52
        m = np.int64(bits - (e << 52)).view(np.float64)
        z = (m - 1.0) / (m + 1.0)
        zz = z * z
        series = _ATANH[8]
        series = series * zz + _ATANH[7]
        series = series * zz + _ATANH[6]
        series = series * zz + _ATANH[5]
        series = series * zz + _ATANH[4]
        series = series * zz + _ATANH[3]
        series = series * zz + _ATANH[2]
        series = series * zz + _ATANH[1]
        series = series * zz + _ATANH[0]
        variates[i] = -(np.float64(e) * _LN_2 + 2.0 * z * series)


@kernel(allocates=False)
def random_numbers(rng, n_places, n, words, places, variates):
    """Places and exponential variates of the next n attempts, from one random word each.

    A word w is the fraction w / 2^64; times the number of places, its integer part is the place and
    what remains is a uniform number independent of it.
    """
    next_words(rng, words, n)
    n_u = np.uint64(n_places)
    for i in range(n):
        low = (words[i] & _LOW_HALF) * n_u
        high = (words[i] >> _HALF) * n_u + (low >> _HALF)
        places[i] = np.int32(high >> _HALF)
        words[i] = (high << _HALF) | (low & _LOW_HALF)
    exponential_variates(words, variates, n)


@kernel(allocates=False)
def _all_revisited(log_g, visits, often):
    """Whether every cell that was seen has so many visits in this stage."""
    for c in range(log_g.shape[0]):
        if visits[c] < often and log_g[c] > -np.inf:
            return False
    return True


@kernel(allocates=False)
def _lower_log_f(samc, log_n_states, attempts, often, patience, log_g, visits, attempts_c, log_f,
                 counters):
    """The schedule of ln f, before every sweep of learning."""
    seen = counters[SEEN]
    if samc:
        log_f[0] = min(1.0, _SAMC_SPANS * log_n_states * seen / max(attempts, 1))
    elif counters[ONE_OVER_T] == 1:
        log_f[0] = seen / attempts
    elif seen > 1 and attempts - counters[LOOKED] >= log_g.shape[0]:
        counters[LOOKED] = attempts
        stage = attempts - counters[STAGE_START]
        if (stage > patience * often * seen
                or _all_revisited(log_g, visits, max(often, _FLAT * stage / seen))):
            visits[:] = 0
            counters[STAGE_START] = attempts
            log_f[0] *= 0.5
            if log_f[0] < seen / attempts:
                counters[ONE_OVER_T] = 1
                attempts_c[:] = 0


@kernel(allocates=False)
def _new_cell(stage, attempts, log_f, counters):
    """Count a cell that is found anew; the deposits to come must span its height."""
    counters[SEEN] += 1
    if stage < LEARNING:
        log_f[0] = min(1.0, _EXPLORE / counters[SEEN])
    elif stage == LEARNING:
        log_f[0] = max(log_f[0], min(1.0, _RESTART / counters[SEEN]))
    if stage != PRODUCING:
        counters[ONE_OVER_T] = 0
        counters[STAGE_START] = attempts


@kernel(allocates=False)
def _sweep(system, joint, stage, samc, log_n_states, low, high, share, sigma, cache, values, rng,
           log_g, thinning, visits, sums, offsets, columns, attempts_c, log_f, counters, words,
           places, variates):
    """One sweep of one configuration inside the energy cells low..high.

    ``joint`` is True or None, and ``sums``, of E over the visits, an array or None: what stands
    under ``if joint is not None`` is not compiled for None.  ``log_g`` and ``visits`` are flat,
    n_Phi cells for each energy.

    Returns the energy cells after the first attempt and after the last: a walk that alternates
    between few cells could be at the same one at the end of every sweep.
    """
    n, number = sigma.shape[0], n_places(system, sigma)
    n_p = log_g.shape[0] // thinning.shape[0]
    half_e, half_p = offsets.shape[0] // 2, offsets.shape[1] // 2
    energy, phi = values[0], values[1]
    e, p, dp = energy_cell(system, energy), 0, 0
    c = e
    if joint is not None:
        p = order_cell(system, phi)
        c = e * n_p + p
    height = log_g[c]
    learning, recording = stage != PRODUCING, stage >= LEARNING
    start = counters[SWEEPS] * n
    if learning:
        often = 1 if stage == LEARNING else n
        patience = max(_PATIENCE, thinning.shape[0])
        _lower_log_f(samc, log_n_states, start, often, patience, log_g, visits, attempts_c, log_f,
                     counters)
    deposit = log_f[0] * share if learning else 0.0
    # Whether a move is accepted cannot be foreseen, so that a branch on it would cost more than the
    # move: where a move is one store, ``accepted`` (0 or 1) multiplies what changes instead.
    one_store = cache.shape[0] == 1
    e_first = e
    for i in range(n):
        b = i % BATCH
        if b == 0:
            random_numbers(rng, number, min(BATCH, n - i), words, places, variates)
        place = np.int64(places[b])
        old = np.int64(present(system, sigma, place))
        value = np.int64(propose(system, sigma, place, rng))
        energy_rise = energy_change(system, sigma, cache, place, value)
        e_new = energy_cell(system, energy + energy_rise)
        c_new = e_new
        if joint is not None:
            phi_rise = order_change(system, sigma, cache, place, value)
            p_new = order_cell(system, phi + phi_rise)
            dp = p_new - p
            c_new = e_new * n_p + p_new
        de = e_new - e
        if (0 <= de + half_e < offsets.shape[0]) and (0 <= dp + half_p < offsets.shape[1]):
            if recording:
                kind = columns[at(de + half_e), at(dp + half_p)]
                attempts_c[at(c), at(kind)] += 1
            else:
                offsets[de + half_e, dp + half_p] += 1
        elif recording:
            attempts_c[at(c), 0] += 1
        new_height = log_g[at(c_new)]
        if new_height == -np.inf and low <= e_new <= high:
            # a new cell starts from the present height: no long stay to fill it up
            log_g[c_new] = height
            new_height = height
            _new_cell(stage, start + i, log_f, counters)
            deposit = log_f[0] * share if learning else 0.0
        # by sign bits: new_height - height is below the variate, and the cell is not outside
        below = np.float64((new_height - variates[b]) - height).view(np.int64)
        accepted = ((below & ~((e_new - low) | (high - e_new))) >> 63) & 1
        if one_store:
            assign(system, sigma, cache, place, old + (value - old) * accepted)
        elif accepted:
            assign(system, sigma, cache, place, value)
        energy += energy_rise * accepted
        e += de & -accepted
        if joint is not None:
            phi += phi_rise * accepted
            p += dp & -accepted
            c += (c_new - c) & -accepted
        else:
            c = e
        if i == 0:
            e_first = e
        visits[at(c)] += 1
        if sums is not None:
            sums[at(c)] += energy
        height = log_g[at(c)]
        if learning:
            height += deposit * thinning[at(e)]
            log_g[at(c)] = height
    values[0] = energy
    if joint is not None:
        values[1] = phi
    counters[SWEEPS] += 1
    return e_first, e


@kernel(allocates=False)
def _place(e, low_k, high_k, sigma, cache, values, where):
    """Copy the explorer (the last row) into the windows that lack a configuration and cover e."""
    last = sigma.shape[0] - 1
    for k in range(low_k.shape[0]):
        if where[k] < 0 and low_k[k] <= e <= high_k[k]:
            for i in range(sigma.shape[1]):
                sigma[k, i] = sigma[last, i]
            for i in range(cache.shape[1]):
                cache[k, i] = cache[last, i]
            for i in range(2):
                values[k, i] = values[last, i]
            where[k] = k


@kernel(allocates=False)
def _exchange(system, low_k, high_k, values, where, counters):
    """Exchange the configurations of neighbouring windows wherever both lie in the overlap."""
    for k in range(low_k.shape[0] - 1):
        if where[k] >= 0 and where[k + 1] >= 0:
            here = energy_cell(system, values[where[k], 0])
            there = energy_cell(system, values[where[k + 1], 0])
            if here >= low_k[k + 1] and there <= high_k[k]:
                where[k], where[k + 1] = where[k + 1], where[k]
                counters[EXCHANGES] += 1


@kernel(allocates=False)
def _note_end(e, bottom, top, end_r, r, counters):
    """Count round trips of configuration r between the lowest and the highest cells."""
    if e <= bottom:
        if end_r[r] == 1:
            counters[ROUND_TRIPS] += 1
        end_r[r] = -1
    elif e >= top and end_r[r] == -1:
        end_r[r] = 1


@kernel(allocates=False)
def advance(system, joint, producing, samc, log_n_states, n_sweeps, ends, low_k, high_k, share_k,
            sigma, cache, values, rng, log_g, thinning, visits_k, sums, offsets, columns,
            attempts_c, log_f, counters, where, end_r, words, places, variates):
    """Advance a ladder by ``n_sweeps`` sweeps, its windows in turn."""
    n_windows = low_k.shape[0]
    last = sigma.shape[0] - 1
    everywhere = thinning.shape[0] - 1
    for _ in range(n_sweeps):
        missing = 0
        for k in range(n_windows):
            missing += where[k] < 0
        if (missing and not producing) or n_windows == 0:  # the explorer walks alone
            stage = EXPLORING if n_windows == 0 else PLACING
            # the literal 0 is a type of its own: without windows the sweep is optimised apart
            _, e = _sweep(system, joint, stage, samc, log_n_states, 0, everywhere, 1.0,
                          sigma[last], cache[last], values[last], rng, log_g, thinning,
                          visits_k[0], sums, offsets, columns, attempts_c, log_f, counters, words,
                          places, variates)
            if n_windows:
                _place(e, low_k, high_k, sigma, cache, values, where)
            continue
        k = counters[SWEEPS] % n_windows
        while where[k] < 0:
            k = (k + 1) % n_windows
        r = where[k]
        e_first, e = _sweep(
            system, joint, PRODUCING if producing else LEARNING, samc, log_n_states, low_k[k],
            high_k[k], share_k[k], sigma[r], cache[r], values[r], rng, log_g, thinning,
            visits_k[k] if producing else visits_k[0], sums, offsets, columns, attempts_c, log_f,
            counters, words, places, variates)
        if producing:
            _note_end(e_first, ends[0], ends[1], end_r, r, counters)
            _note_end(e, ends[0], ends[1], end_r, r, counters)
        if n_windows > 1 and k == n_windows - 1:
            _exchange(system, low_k, high_k, values, where, counters)


@kernel(allocates=False)
def start(system, joint, sigma, cache, values, rng, log_g, counters):
    """Draw a configuration; its cell is the first that was seen."""
    draw_and_prepare(system, np.bool_(True), sigma, cache, values, rng)
    p = 0 if joint is None else order_cell(system, values[1])
    log_g[energy_cell(system, values[0]), p] = 0.0
    counters[SEEN] = 1
