"""Relaxation after a quench and on ramps: means with errors, and the age of a system.

Arrays in, groups of a run file out.  Replicas are the first axis; with disorder, they are those of
S samples one after the other, and errors over disorder are kept apart from thermal ones.
"""

import math

import numpy as np

from phasegrok.groups import Group
from phasegrok.statistics import jackknife_error, over_samples, weighted_line

THRESHOLD = math.exp(-1.0)
"""Overlap at which a system counts as relaxed from where it was at the waiting time."""


def connected_overlap(two_time_rwt, mean_then_rw, mean_now_rwt) -> np.ndarray:
    r"""Connected two-time overlap of spins +-1, 1 at t = 0 and 0 where nothing is remembered.

    .. math:: \frac{C(t_w, t_w + t) - m(t_w)\, m(t_w + t)}{1 - m(t_w)^2}

    of every replica, with its mean spins m; a metastable magnetisation is no memory.
    """
    then = np.asarray(mean_then_rw)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):  # all spins alike: not defined
        return (two_time_rwt - then * mean_now_rwt) / (1.0 - then**2)


def quench_groups(time, waiting_time, energy_rt, phi_rt, phi_squared_rt, q_squared_rt,
                  two_time_rwt, connected_rwt, n_samples: int, n_sites: int,
                  attributes: dict) -> dict[str, Group]:
    """Groups ``relaxation`` and ``two_time_overlap`` of a quench.

    Parameters
    ----------
    time, waiting_time : ndarray
        Sweeps since the quench (n_t) and waiting times (n_w); the former serve as times since the
        waiting time too.
    energy_rt, phi_rt, phi_squared_rt : ndarray, shape (R, n_t)
        Energy a site, order parameter and its square of every replica, or their means over replicas
        that depend on one another; NaN where not measured.
    q_squared_rt : ndarray, shape (R, n_t)
        Mean square overlap of a replica with the others of its sample.
    two_time_rwt, connected_rwt : ndarray, shape (R, n_w, n_t)
        C(t_w, t_w + t), and the connected one.
    n_samples, n_sites : int
        Disorder samples, and N.
    attributes : dict
        What is said about both groups.
    """
    one = Group(attributes=dict(attributes))
    one.add("time", time, "time", "sweeps", "time since the quench")
    _add(one, "energy", energy_rt, n_samples, "time", "energy a site", "energy per site")
    _add(one, "order_parameter", phi_rt, n_samples, "time", "order parameter")
    _add(one, "order_parameter_squared", phi_squared_rt, n_samples, "time",
         "mean square of the order parameter")
    mean, left_out = _of_pairs(q_squared_rt, n_samples)
    one.add("pair_overlap_squared", mean, "time", "1",
            "mean square of the overlap of two replicas of one sample, all pairs")
    one.add("pair_overlap_squared_err", jackknife_error(left_out), "time", "1",
            "standard error of pair_overlap_squared: jackknife over replicas or samples")
    if n_samples > 1:
        squares = [jackknife_error(_of_pairs(rows, 1)[1]) ** 2
                   for rows in np.split(q_squared_rt, n_samples)]
        one.add("pair_overlap_squared_thermal_err", np.sqrt(np.sum(squares, axis=0)) / n_samples,
                "time", "1", "thermal part of pair_overlap_squared_err: jackknife over replicas")
    two = Group(attributes=dict(attributes) | {"threshold": THRESHOLD})
    two.add("waiting_time", waiting_time, "waiting_time", "sweeps", "t_w, time since the quench")
    two.add("time_since", time, "time_since", "sweeps", "t, time since the waiting time")
    _add(two, "overlap", two_time_rwt, n_samples, ("waiting_time", "time_since"),
         "C(t_w, t_w + t), two-time overlap")
    _add(two, "connected_overlap", connected_rwt, n_samples, ("waiting_time", "time_since"),
         "connected two-time overlap")
    tau_w, error_w = relaxation_times(connected_rwt, time, n_samples)
    two.add("relaxation_time", tau_w, "waiting_time", "sweeps",
            "t at which the connected overlap falls to 1/e; infinite: not within the run")
    two.add("relaxation_time_err", error_w, "waiting_time", "sweeps",
            "standard error of relaxation_time: jackknife over replicas or samples")
    for name, (value, error) in {
        "ageing_exponent": ageing_exponent(waiting_time, tau_w, error_w),
        "overlap_exponent": overlap_exponent(time, mean, left_out, n_sites),
        "decay_exponent": decay_exponent(two_time_rwt, time, waiting_time, n_samples),
    }.items():
        two.add(name, value, (), "1", _EXPONENTS[name])
        two.add(f"{name}_err", error, (), "1", f"standard error of {name}")
    return {"relaxation": one, "two_time_overlap": two}


_EXPONENTS = {
    "ageing_exponent": "late d ln tau_a / d ln t_w",
    "overlap_exponent": "kappa = d ln N q^2 / d ln t of two replicas",
    "decay_exponent": "a = -d ln C(t_w, 2 t_w) / d ln t_w",
}


def _of_pairs(square_rt: np.ndarray, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean over all pairs, and with one replica (or one sample) left out, shape (n, n_t)."""
    r = len(square_rt)
    mean = square_rt.mean(axis=0)
    if n_samples > 1:
        rows = square_rt.reshape(n_samples, -1, square_rt.shape[1]).mean(axis=1)
        return mean, (rows.sum(axis=0) - rows) / (n_samples - 1)
    if r < 3:
        return mean, np.full((1, square_rt.shape[1]), math.nan)
    return mean, (r * mean - 2.0 * square_rt) / (r - 2)


def overlap_exponent(time, mean_t, left_out_nt, n_sites: int) -> tuple[float, float]:
    r"""Growth exponent :math:`\kappa` of the overlap of replicas that started independently.

    :math:`N \langle q_{ab}^2\rangle` is the number of spins in a common domain; it is 1 at random
    and grows as a power while domains do.  The slope of its logarithm against ln t over all times.
    """
    rows = np.vstack([mean_t, left_out_nt])
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.log(n_sites * rows)
    use = np.isfinite(y).all(axis=0)
    if use.sum() < 3:
        return math.nan, math.nan
    slopes = np.polyfit(np.log(time[use]), y[:, use].T, 1)[0]
    return float(slopes[0]), float(jackknife_error(slopes[1:]))


def decay_exponent(two_time_rwt, time, waiting_time, n_samples: int) -> tuple[float, float]:
    r"""Exponent a of :math:`C(t_w, 2 t_w) \sim t_w^{-a}` from t_w = 4 on.

    Positive where correlations decay with age (critical), 0 where domains keep their order.
    """
    at = [(w, int(np.flatnonzero(time == t_w)[0])) for w, t_w in enumerate(waiting_time)
          if t_w >= 4 and np.isfinite(two_time_rwt[:, w, time == t_w]).all()]
    if len(at) < 2:
        return math.nan, math.nan
    rows = np.stack([two_time_rwt[:, w, k] for w, k in at], axis=1)
    if n_samples > 1:
        rows = rows.reshape(n_samples, -1, len(at)).mean(axis=1)
    n = len(rows)
    curves = np.vstack([rows.mean(axis=0), (rows.sum(axis=0) - rows) / max(n - 1, 1)])
    if np.any(curves <= 0.0):
        return math.nan, math.nan
    slopes = np.polyfit(np.log([waiting_time[w] for w, _ in at]), np.log(curves).T, 1)[0]
    return float(-slopes[0]), float(jackknife_error(slopes[1:]))


def _add(group: Group, name: str, values, n_samples: int, dims, text: str, units="1") -> None:
    """Mean over replicas with its error; with disorder, the thermal error apart."""
    mean, error, thermal = over_samples(values, n_samples)
    group.add(name, mean, dims, units, text)
    how = "over samples of the disorder" if n_samples > 1 else "over replicas"
    group.add(f"{name}_err", error, dims, units, f"standard error of {name}: scatter {how}")
    if n_samples > 1:
        group.add(f"{name}_thermal_err", thermal, dims, units,
                  f"thermal part of {name}_err: scatter over replicas of each sample")


def relaxation_times(two_time_rwt: np.ndarray, time: np.ndarray,
                     n_samples: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Relaxation time :math:`\tau_a(t_w)`: where the mean two-time overlap falls to 1/e.

    Interpolated linearly in ln t; infinite where it stays above within the run, NaN where it was
    never measured.  Errors by jackknife over replicas, or over samples where there are several.

    Parameters
    ----------
    two_time_rwt : ndarray, shape (R, n_w, n_t)
        C(t_w, t_w + t), NaN where not measured.
    time : ndarray, shape (n_t,)
        t in sweeps, ascending.
    n_samples : int
        Disorder samples.
    """
    rows = two_time_rwt
    if n_samples > 1:
        rows = rows.reshape(n_samples, -1, *rows.shape[1:]).mean(axis=1)
    n = len(rows)
    total = rows.sum(axis=0)
    tau_w = np.array([_crossing(curve, time) for curve in total / n])
    if n < 2:
        return tau_w, np.full(len(tau_w), math.nan)
    left_out = np.array([[_crossing(curve, time) for curve in (total - row) / (n - 1)]
                         for row in rows])
    with np.errstate(invalid="ignore"):  # infinite: relaxed in some samples only
        return tau_w, jackknife_error(left_out)


def _crossing(curve: np.ndarray, time: np.ndarray) -> float:
    """Time at which ``curve``, which is 1 at time 0, first falls to the threshold."""
    known = np.isfinite(curve)
    if not known.any():
        return math.nan
    below = np.flatnonzero(known & (curve <= THRESHOLD))
    if not len(below):
        return math.inf
    k = int(below[0])
    if k == 0:  # between 0 and the first time, where ln t is of no use
        return float(time[0] * (1.0 - THRESHOLD) / (1.0 - curve[0]))
    share = (curve[k - 1] - THRESHOLD) / (curve[k - 1] - curve[k])
    return float(time[k - 1] * (time[k] / time[k - 1]) ** share)


def ageing_exponent(waiting_time, tau_w, error_w) -> tuple[float, float]:
    r"""Late exponent :math:`d \ln \tau_a / d \ln t_w` over the last three ages known.

    0 for a system in equilibrium, 1 for one whose only time is its age.
    """
    known = np.isfinite(tau_w) & (tau_w > 0.0) & np.isfinite(error_w) & (error_w > 0.0)
    last = np.flatnonzero(known)[-3:]
    line = weighted_line(np.log(np.asarray(waiting_time, float)[last]), np.log(tau_w[last]),
                         error_w[last] / tau_w[last])
    return line.slope, line.slope_error


def ramp_group(temperature, stays, energy_rjdi, order_rjdi, n_samples: int,
               attributes: dict) -> Group:
    """Group ``ramp``: energy and order parameter while cooling and heating, at every rate.

    Parameters
    ----------
    temperature : ndarray, shape (n_T,)
        Ascending.
    stays : ndarray, shape (J,)
        Sweeps at each temperature.
    energy_rjdi, order_rjdi : ndarray, shape (R, J, 2, n_T)
        Energy a site and modulus of the order parameter of every replica, from means over the
        second half of the stay; cooling first.
    n_samples : int
        Disorder samples.
    attributes : dict
        What is said about the group.
    """
    group = Group(attributes=dict(attributes))
    group.add("sweeps_per_temperature", stays, "sweeps_per_temperature", "sweeps",
              "stay at each temperature; the second half is measured")
    group.add("temperature", temperature, "temperature", "energy", "temperature")
    dims = ("sweeps_per_temperature", "temperature")
    for d, direction in enumerate(("cooling", "heating")):
        _add(group, f"energy_{direction}", energy_rjdi[:, :, d], n_samples, dims,
             f"energy a site while {direction}", "energy per site")
        _add(group, f"order_parameter_{direction}", order_rjdi[:, :, d], n_samples, dims,
             f"modulus of the order parameter while {direction}")
    return group
