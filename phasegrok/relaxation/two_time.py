"""Relaxation after a quench and on ramps: means with errors, and the age of a system.

Arrays in, groups of a run file out.  Replicas are the first axis; with disorder, they are those of
S samples one after the other, and errors over disorder are kept apart from thermal ones.
"""

import math

import numpy as np

from phasegrok.runfile import Group
from phasegrok.statistics import jackknife_error, over_samples, weighted_line

THRESHOLD = math.exp(-1.0)
"""Overlap at which a system counts as relaxed from where it was at the waiting time."""


def quench_groups(time, waiting_time, energy_rt, phi_rt, phi_squared_rt, q_squared_mt,
                  two_time_rwt, n_samples: int, attributes: dict) -> dict[str, Group]:
    """Groups ``relaxation`` and ``two_time_overlap`` of a quench.

    Parameters
    ----------
    time, waiting_time : ndarray
        Sweeps since the quench (n_t) and waiting times (n_w); the former serve as times since the
        waiting time too.
    energy_rt, phi_rt, phi_squared_rt : ndarray, shape (R, n_t)
        Energy a site, order parameter and its square of every replica, or their means over replicas
        that depend on one another; NaN where not measured.
    q_squared_mt : ndarray, shape (M, n_t)
        Square of the overlap of two replicas of one sample; M = 0: not measured.
    two_time_rwt : ndarray, shape (R, n_w, n_t)
        C(t_w, t_w + t).
    n_samples : int
        Disorder samples.
    attributes : dict
        What is said about both groups.
    """
    one = Group(attributes=dict(attributes))
    one.add("time", time, "time", "sweeps", "time since the quench")
    _add(one, "energy", energy_rt, n_samples, "time", "energy a site", "energy per site")
    _add(one, "order_parameter", phi_rt, n_samples, "time", "order parameter")
    _add(one, "order_parameter_squared", phi_squared_rt, n_samples, "time",
         "mean square of the order parameter")
    _add(one, "pair_overlap_squared", q_squared_mt, n_samples, "time",
         "mean square of the overlap of two independent replicas of one sample")
    two = Group(attributes=dict(attributes) | {"threshold": THRESHOLD})
    two.add("waiting_time", waiting_time, "waiting_time", "sweeps", "t_w, time since the quench")
    two.add("time_since", time, "time_since", "sweeps", "t, time since the waiting time")
    _add(two, "overlap", two_time_rwt, n_samples, ("waiting_time", "time_since"),
         "C(t_w, t_w + t), two-time overlap")
    tau_w, error_w = relaxation_times(two_time_rwt, time, n_samples)
    two.add("relaxation_time", tau_w, "waiting_time", "sweeps",
            "t at which C(t_w, t_w + t) falls to 1/e; infinite: not within the run")
    two.add("relaxation_time_err", error_w, "waiting_time", "sweeps",
            "standard error of relaxation_time: jackknife over replicas or samples")
    line = ageing_exponent(np.asarray(waiting_time, float), tau_w, error_w)
    two.attributes["ageing_exponent"] = line.slope
    two.attributes["ageing_exponent_err"] = line.slope_error
    return {"relaxation": one, "two_time_overlap": two}


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


def ageing_exponent(waiting_time: np.ndarray, tau_w: np.ndarray, error_w: np.ndarray):
    r"""Late exponent :math:`d \ln \tau_a / d \ln t_w` over the last three waiting times known.

    0 for a system in equilibrium, 1 for one whose only time is its age.
    """
    known = np.isfinite(tau_w) & (tau_w > 0.0) & np.isfinite(error_w) & (error_w > 0.0)
    last = np.flatnonzero(known)[-3:]
    return weighted_line(np.log(waiting_time[last]), np.log(tau_w[last]),
                         error_w[last] / tau_w[last])


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
