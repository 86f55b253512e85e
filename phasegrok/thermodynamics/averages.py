r"""Canonical averages of a Monte Carlo run, with errors and the evidence of equilibration.

Arrays in, groups of a run file out.  With M = N Phi for an order parameter Phi a site,

.. math:: C = \frac{\langle E^2\rangle - \langle E\rangle^2}{N T^2}, \quad
   \chi = \frac{N}{T} (\langle\Phi^2\rangle - \langle|\Phi|\rangle^2), \quad
   U = 1 - \frac{\langle\Phi^4\rangle}{3 \langle\Phi^2\rangle^2}

(Binder, Z. Phys. B 43 (1981) 119), and for the overlap q of two replicas
:math:`g = (3 - \langle q^4\rangle / \langle q^2\rangle^2) / 2`.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import numpy as np
from scipy import stats

from phasegrok.groups import Group
from phasegrok.statistics import (
    Estimate,
    jackknife,
    mean_of_blocks,
    mean_with_error,
    over_samples,
    r_hat,
)

_INDEPENDENT = 20.0  # autocorrelation times in a stretch of the jackknife
_MOST_STRETCHES = 128
_ROUNDING = 1e-14  # of sums of many equal terms
_R_HAT = 1.05  # hot and cold starts sample the same; larger values mean that they do not
_R_HAT_SIGN = 1.5  # replicas differ in sign by more than each of them varies
_P_STARTS = 1e-3  # chance that starts which sample the same differ so much at any temperature
_MANY_TAU = 50.0  # autocorrelation times of a run, below which tau itself is not known

UNITS = {
    "energy": ("energy per site", "mean energy a site"),
    "heat_capacity": ("1 per site", "heat capacity a site"),
    "order_parameter": ("1", "mean order parameter"),
    "order_parameter_abs": ("1", "mean modulus of the order parameter"),
    "susceptibility": ("1 per energy", "susceptibility of the modulus of the order parameter"),
    "binder": ("1", "Binder cumulant of the order parameter"),
    "overlap_squared": ("1", "mean square of the overlap of two replicas"),
    "overlap_binder": ("1", "Binder ratio of the overlap"),
    "tau_energy": ("sweeps", "integrated autocorrelation time of the energy"),
    "tau_order_parameter": ("sweeps", "the same of the modulus of the order parameter"),
}

RESERVED = {*UNITS, "temperature", "sample", "accepted", "r_hat", "start_p", "equilibrated"}
"""Names in the group of averages, which no observable of a system has."""


@dataclasses.dataclass(frozen=True)
class Blocks:
    """Measurements at one temperature on the replicas of one sample, as sums over blocks.

    Attributes
    ----------
    moments : ndarray, shape (R, B, 6)
        Sums over the sweeps of a block of E (of the whole system), E^2, Phi, |Phi|, Phi^2, Phi^4.
    overlaps : ndarray, shape (R // 2, B, 2)
        Block means of q^2 and q^4 of pairs of replicas; R // 2 = 0: none.
    length : int
        Sweeps a block.
    temperature : float
        T in units of energy.
    n_sites : int
        N.
    """

    moments: np.ndarray
    overlaps: np.ndarray
    length: int
    temperature: float
    n_sites: int

    def estimate(self, column: int, square: int) -> Estimate:
        """Mean of one moment, with tau in sweeps."""
        return mean_of_blocks(self.moments[..., column], self.moments[..., square], self.length)

    def functions(self) -> dict[str, tuple[float, float]]:
        """C, chi, U and the overlap's, each with its jackknife error over stretches of the run."""
        tau = np.nan_to_num([self.estimate(0, 1).tau, self.estimate(3, 4).tau]).max()
        n = _n_stretches(tau / self.length, self.moments)
        t, n_sites = self.temperature, self.n_sites
        e, e2, _, size, square, fourth = _stretches(self.moments / self.length, n)
        functions: dict[str, tuple] = {
            "heat_capacity": (lambda e, e2: _variance(e, e2) / (n_sites * t**2), e, e2),
            "susceptibility": (lambda m, m2: n_sites * (m2 - m**2) / t, size, square),
            "binder": (lambda m2, m4: 1.0 - m4 / (3.0 * m2**2), square, fourth),
        }
        if len(self.overlaps):
            q2, q4 = _stretches(self.overlaps, n)
            functions["overlap_squared"] = (lambda q2: q2, q2)
            functions["overlap_binder"] = (lambda q2, q4: 1.5 - q4 / (2.0 * q2**2), q2, q4)
        with np.errstate(divide="ignore", invalid="ignore"):  # an order parameter that is zero
            found = {name: jackknife(*parts) for name, parts in functions.items()}
        return {name: (float(value), float(error)) for name, (value, error) in found.items()}


def _variance(mean: np.ndarray, square: np.ndarray) -> np.ndarray:
    """<x^2> - <x>^2, 0 where it is no more than rounding: 1/T^2 would blow that up at small T."""
    variance = square - mean**2
    return np.where(np.abs(variance) > _ROUNDING * square, variance, 0.0)


def _stretches(x_rbm: np.ndarray, n: int) -> np.ndarray:
    """Means over ``n`` equal stretches of every replica's blocks, shape (moments, R n)."""
    r, blocks, m = x_rbm.shape
    used = blocks // n * n  # the first blocks are left out where they do not divide
    return x_rbm[:, blocks - used :].reshape(r * n, used // n, m).mean(axis=1).T


def averages_of(blocks: Blocks) -> dict[str, tuple[float, float]]:
    """Every average of one sample at one temperature, with its thermal error."""
    energy, order = blocks.estimate(0, 1), blocks.estimate(3, 4)
    signed = mean_with_error(blocks.moments[..., 2] / blocks.length)
    n = blocks.n_sites
    return {
        "energy": (energy.value / n, energy.error / n),
        "order_parameter": (signed.value, signed.error),
        "order_parameter_abs": (order.value, order.error),
        "tau_energy": (energy.tau, energy.tau_error),
        "tau_order_parameter": (order.tau, order.tau_error),
        **blocks.functions(),
    }


def averages(temperatures: np.ndarray, moments: np.ndarray, overlaps: np.ndarray, length: int,
             n_sites: int, n_samples: int) -> Group:
    """Group ``averages``: every average against temperature, with its error.

    Parameters
    ----------
    temperatures : ndarray, shape (K,)
        T in units of energy.
    moments : ndarray, shape (K, R, B, 6)
        Sums over blocks; see :class:`Blocks`.
    overlaps : ndarray, shape (K, R // 2, B, 2)
        Block means of the overlap's moments.
    length : int
        Sweeps a block.
    n_sites : int
        N.
    n_samples : int
        Disorder samples; replicas of one stand together.

    Returns
    -------
    Group
        With one sample ``x_err`` is the thermal error; with several it is the scatter of samples,
        ``x_thermal_err`` its thermal part, and ``x_samples`` the value of each.
    """
    group = Group()
    group.add("temperature", temperatures, "temperature", "energy", "temperature")
    table: dict[str, np.ndarray] = {}
    for k, temperature in enumerate(temperatures):
        for s in range(n_samples):
            mine = np.split(moments[k], n_samples)[s]
            pairs = np.array_split(overlaps[k], n_samples)[s]
            found = averages_of(Blocks(mine, pairs, length, float(temperature), n_sites))
            for name, pair in found.items():
                room = np.full((2, n_samples, len(temperatures)), math.nan)
                table.setdefault(name, room)[:, s, k] = pair
    if n_samples > 1:
        group.add("sample", np.arange(n_samples), "sample", "1", "sample of the disorder")
    for name, (value, error) in table.items():
        _add(group, name, value, error, *UNITS[name])
    group.attributes["block_sweeps"] = length
    group.attributes["samples"] = n_samples
    return group


def add_observables(group: Group, observed: np.ndarray, observables: dict[str, tuple[str, str]],
                    derived: dict[str, tuple[str, str, Callable]], n_samples: int) -> None:
    """Means of a system's own observables, and what follows from them, in the group of averages.

    Parameters
    ----------
    group : Group
        Of :func:`averages`; its attribute ``observables`` will list the names.
    observed : ndarray, shape (K, R, B, M)
        Means over blocks of every observable.
    observables : dict
        Unit and meaning of each, by name.
    derived : dict
        Unit, meaning and function of T and of the means of observables, by name.
    n_samples : int
        Disorder samples; replicas of one stand together.
    """
    temperatures = group["temperature"]
    described = {name: row[:2] for name, row in (observables | derived).items()}
    room = np.full((len(described), 2, n_samples, len(temperatures)), math.nan)
    table = dict(zip(described, room))
    for k, temperature in enumerate(temperatures):
        for s, x_rbm in enumerate(np.split(observed[k], n_samples)):
            found = [mean_with_error(x_rb) for x_rb in np.moveaxis(x_rbm, 2, 0)]
            for name, mean in zip(observables, found):
                table[name][:, s, k] = mean.value, mean.error
            tau = np.nan_to_num([mean.tau for mean in found]).max()
            stretches_m = _stretches(x_rbm, _n_stretches(tau, x_rbm))
            for name, (_, _, function) in derived.items():
                of_means = functools.partial(_of_means, function, float(temperature), observables)
                table[name][:, s, k] = jackknife(of_means, *stretches_m)
    for name, (value, error) in table.items():
        _add(group, name, value, error, *described[name])
    group.attributes["observables"] = list(described)


def _of_means(function: Callable, temperature: float, names, *means: np.ndarray) -> np.ndarray:
    return function(temperature, dict(zip(names, means)))


def _n_stretches(tau: float, x_rbm: np.ndarray) -> int:
    """Stretches of a run, each of many times tau (in blocks)."""
    n_blocks = x_rbm.shape[1]
    per_stretch = min(n_blocks, max(1, math.ceil(_INDEPENDENT * tau)))
    return max(1, min(n_blocks // per_stretch, _MOST_STRETCHES // len(x_rbm)))


def _add(group: Group, name: str, value: np.ndarray, error: np.ndarray, units: str, text: str
         ) -> None:
    n_samples = len(value)
    if n_samples == 1:
        group.add(name, value[0], "temperature", units, text)
        group.add(f"{name}_err", error[0], "temperature", units, f"standard error of {name}")
        return
    mean, scatter, _ = over_samples(value, n_samples)
    group.add(name, mean, "temperature", units, f"{text}, mean over samples of the disorder")
    group.add(f"{name}_err", scatter, "temperature", units,
              f"standard error of {name}: scatter of samples")
    group.add(f"{name}_thermal_err", np.sqrt((error**2).sum(axis=0)) / n_samples, "temperature",
              units, f"thermal part of {name}_err")
    group.add(f"{name}_samples", value, ("sample", "temperature"), units, f"{text} of each sample")
    group.add(f"{name}_samples_err", error, ("sample", "temperature"), units,
              f"thermal error of {name}_samples")


# --- equilibration --------------------------------------------------------------------------------


def equilibration(group: Group, moments: np.ndarray, overlaps: np.ndarray, length: int,
                  ordered_r: np.ndarray, energy_krj: np.ndarray, order_krj: np.ndarray,
                  n_sites: int, n_samples: int) -> Group:
    """Group ``equilibration``, and the evidence per temperature in the group of averages.

    Parameters
    ----------
    group : Group
        Of :func:`averages`; gets ``r_hat``, ``start_p`` and ``equilibrated``.  The signed mean
        order parameter becomes NaN where it depends on the start.
    moments : ndarray, shape (K, R, B, 6)
        Sums over blocks.
    overlaps : ndarray, shape (K, M, B, 2)
        Block means of q^2 and q^4 of pairs, of which q^2 is to be the same from both starts; M = 0:
        none, or not the same for states that differ by a symmetry.
    length : int
        Sweeps a block.
    ordered_r : ndarray of bool, shape (R,)
        Which replicas began ordered.
    energy_krj, order_krj : ndarray, shape (K, R, J)
        E and |Phi| averaged over sweeps 2^j .. 2^(j+1) - 1 since the start.
    n_sites, n_samples : int
        N, and disorder samples.
    """
    temperatures = group["temperature"]
    shown = Group()
    shown.add("temperature", temperatures, "temperature", "energy", "temperature")
    shown.add("time", 2.0 ** np.arange(energy_krj.shape[2]), "time", "sweeps",
              "first sweep of the bin; bins double in length")
    dims = ("temperature", "time")
    for name, x_krj, units in (("energy", energy_krj / n_sites, "energy per site"),
                               ("order_parameter", order_krj, "1")):
        for start, which in (("random", ~ordered_r), ("ordered", ordered_r)):
            mean, error, _ = over_samples(np.moveaxis(x_krj[:, which], 1, 0))
            text = f"{name} in bins of log time, replicas begun {start}"
            shown.add(f"{name}_{start}", mean, dims, units, text)
            shown.add(f"{name}_{start}_err", error, dims, units,
                      f"standard error of {name}_{start}")
    series = [moments[..., 0], moments[..., 3]]
    starts = [ordered_r, ordered_r]
    if overlaps.shape[1]:
        series.append(overlaps[..., 0])
        starts.append(ordered_r[::2])
    hat_ik, p_ik = _evidence(series, starts, n_samples)
    tau = np.fmax(group["tau_energy"], group["tau_order_parameter"])
    enough = ~(moments.shape[2] * length < _MANY_TAU * tau)
    same = ~(np.fmin.reduce(p_ik) < _P_STARTS / p_ik.size)
    mixed = ~(np.fmax.reduce(hat_ik) > _R_HAT)
    names = "E and |Phi|" if len(series) == 2 else "E, |Phi| and q^2"
    group.add("r_hat", np.fmax.reduce(hat_ik), "temperature", "1",
              f"split R-hat over replicas of {names}, the largest; 1: all sample the same")
    group.add("start_p", np.fmin.reduce(p_ik), "temperature", "1",
              f"p of equal means of replicas begun ordered and at random of {names}, the smallest")
    group.add("equilibrated", enough & same & mixed, "temperature", "1",
              "no evidence against equilibrium")
    _drop_sign(group, moments[..., 2], ordered_r, n_samples)
    group.attributes.update(_in_words(temperatures, enough, same, mixed, tau, length, moments,
                                      n_samples))
    return shown


def _evidence(series: list[np.ndarray], starts: list[np.ndarray], n_samples: int):
    """R-hat and p of equal means of both starts, of every series (K, R, B), shapes (n, K)."""
    hat_ik, p_ik = np.full((2, len(series), len(series[0])), math.nan)
    for i, (x_krb, ordered_r) in enumerate(zip(series, starts)):
        for k, x_rb in enumerate(x_krb):
            hat_ik[i, k] = r_hat(_without_samples(x_rb, n_samples))
            p_ik[i, k] = _start_p(x_rb.mean(axis=1), ordered_r, n_samples)
    return hat_ik, p_ik


def _drop_sign(group: Group, phi_krb: np.ndarray, ordered_r: np.ndarray, n_samples: int) -> None:
    """No mean order parameter where replicas keep the sign that they began with.

    Below a transition that breaks a symmetry no run is long enough, though all else has converged.
    """
    hat_ik, p_ik = _evidence([phi_krb], [ordered_r], n_samples)
    kept = (hat_ik[0] > _R_HAT_SIGN) | (p_ik[0] < _P_STARTS / p_ik.size)
    for suffix in ("", "_err", "_thermal_err", "_samples", "_samples_err"):
        variable = group.variables.get(f"order_parameter{suffix}")
        if variable is not None:
            variable.data = np.where(kept, math.nan, variable.data)
            variable.long_name += "; NaN where replicas keep the sign that they began with"


def _without_samples(x_rb: np.ndarray, n_samples: int) -> np.ndarray:
    """The series without the mean of each sample: samples differ, their replicas must not."""
    x_srb = x_rb.reshape(n_samples, -1, x_rb.shape[1])
    return (x_srb - x_srb.mean(axis=(1, 2), keepdims=True)).reshape(x_rb.shape)


def _start_p(mean_r: np.ndarray, ordered_r: np.ndarray, n_samples: int) -> float:
    """Chance of so large a difference between both kinds of starts.

    Student's t test of equal means: of all replicas, or of the differences within each sample.
    """
    x_sr, ordered = mean_r.reshape(n_samples, -1), ordered_r.reshape(n_samples, -1)[0]
    cold, hot = x_sr[:, ordered], x_sr[:, ~ordered]
    if min(cold.shape[1], hot.shape[1]) < (1 if n_samples > 1 else 2) or np.ptp(mean_r) == 0.0:
        return math.nan
    difference = cold.mean(axis=1) - hot.mean(axis=1)
    if n_samples > 1:
        freedom, error = n_samples - 1, difference.std(ddof=1) / math.sqrt(n_samples)
    else:
        freedom = cold.size + hot.size - 2
        squares = cold.var() * cold.size + hot.var() * hot.size
        error = math.sqrt(squares / freedom * (1.0 / cold.size + 1.0 / hot.size))
    with np.errstate(divide="ignore", invalid="ignore"):  # no scatter at all
        return float(2.0 * stats.t.sf(np.abs(difference.mean() / np.float64(error)), freedom))


def _in_words(temperatures, enough, same, mixed, tau, length, moments, n_samples) -> dict:
    """Whether the averages are converged, and what is missing where they are not."""
    if moments.shape[1] // n_samples < 4:
        return {"converged": False, "converged_reason": "fewer than four replicas of each sample: "
                "ordered and random starts cannot be compared"}
    why = []
    for flag, text in ((mixed, "replicas sample different parts of phase space (R-hat above "
                        f"{_R_HAT:g})"), (same, "ordered and random starts disagree")):
        if not np.all(flag):
            why.append(f"{text} at T = {_listed(temperatures[~flag])}")
    if not np.all(enough):
        more = int(_MANY_TAU * np.nanmax(tau[~enough]) - moments.shape[2] * length)
        why.append(f"fewer than {_MANY_TAU:.0f} autocorrelation times at T = "
                   f"{_listed(temperatures[~enough])}: at least {more} more sweeps")
    return {"converged": not why, "converged_reason": "; ".join(why) if why else
            "ordered and random starts agree, R-hat is below "
            f"{_R_HAT:g}, and the run has more than {_MANY_TAU:.0f} autocorrelation times"}


def _listed(temperatures: np.ndarray) -> str:
    shown = [f"{t:.4g}" for t in temperatures[:4]]
    return ", ".join(shown) + (f" and {len(temperatures) - 4} more" if len(temperatures) > 4
                               else "")
