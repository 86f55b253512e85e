"""From the measurements of one system to the components of the verdict, and exact values beside.

Measurements are the groups of run files: waiting times of clones at several temperatures and sizes,
the noise-free run, the effective potential.  Where the system is solved exactly, the exact values
are computed by :mod:`phasegrok.theory`, for comparison only: the verdict never sees them.
"""

import dataclasses
import math

import numpy as np

from phasegrok.accounts.verdict import (
    AT_95,
    T0_SADDLE,
    Components,
    Measured,
    Verdict,
    decide,
)
from phasegrok.groups import Group
from phasegrok.relaxation.waiting_times import (
    WaitingTimes,
    size_slope,
    temperature_slope,
    waiting_times,
)

TRANSITS = 10.0
"""Transits after the event within which a fluctuation comes back: it takes about one."""


@dataclasses.dataclass
class Measurements:
    """What was measured on one system.

    Attributes
    ----------
    waits : dict
        Temperature -> group ``waiting_times`` at the main size.
    sizes : dict
        Further sizes -> group ``waiting_times`` at the main temperature.
    noise_free : Group
        ``waiting_times`` of the noise-free run.
    potentials : dict
        Size -> group ``effective_potential``, where the landscape was measured.
    size : int
        The main size.
    sites : dict
        Size -> number of sites, where it is another number (L^2).
    two_time : Group, optional
        ``two_time_overlap`` of a quench to the main temperature.
    """

    waits: dict[float, Group]
    noise_free: Group
    size: int
    sizes: dict[int, Group] = dataclasses.field(default_factory=dict)
    potentials: dict[int, Group] = dataclasses.field(default_factory=dict)
    sites: dict[int, int] = dataclasses.field(default_factory=dict)
    two_time: Group | None = None

    def n_sites(self, size: int) -> int:
        """Number of sites of a size (L^2 of a lattice of linear size L)."""
        return self.sites.get(size, size)

    @property
    def temperature(self) -> float:
        """The temperature that the verdict is about: the first."""
        return next(iter(self.waits))


def analyse(group: Group, interval: float = 0.0) -> WaitingTimes:
    """Waiting-time statistics of a group ``waiting_times``; clones that broke are left out."""
    keep = np.ones(len(group["time"]), dtype=bool)
    if "broken_step" in group:
        keep = ~np.isfinite(group["broken_step"])
    return waiting_times(group["time"][keep], group["censored"][keep].astype(bool), interval)


def components(measured: Measurements, interval: float = 0.0) -> Components:
    """The components of the verdict, each with its error.

    Parameters
    ----------
    measured : Measurements
    interval : float
        Spacing of the recorded times (steps between evaluations of a network), else 0.
    """
    main = measured.waits[measured.temperature]
    waits = analyse(main, interval)
    return Components.of_waits(
        waits,
        change=_change(main),
        t0=_noise_free(measured.noise_free, waits),
        G=_noise_scaling(measured, interval),
        transit=_transit(main, waits),
        returned=_returned(main),
        size_slope=_size_slope(measured, interval),
        **_barriers(measured),
        **_ageing(measured.two_time),
    )


def judge(measured: Measurements, temperature_drives: bool,
          interval: float = 0.0) -> tuple[Components, Verdict]:
    """Components and verdict; provisional, since no stored calibration is consulted."""
    found = components(measured, interval)
    return found, decide(found, temperature_drives, calibrated=False)


def share(k: int, n: int) -> Measured | None:
    """Centre of Wilson's interval of a share k of n, and a 1.96th of its half width at 95 %."""
    if n == 0:
        return None
    z2 = AT_95**2
    centre = (k + 0.5 * z2) / (n + z2)
    return Measured(centre, math.sqrt(k * (n - k) / n + 0.25 * z2) / (n + z2))


def _error_of_mean(values: np.ndarray) -> float:
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def _change(group: Group) -> Measured | None:
    """Change of Phi from the start to the end of each clone, over its fluctuation before."""
    fluctuation = group["plateau_std"]
    spread = fluctuation[np.isfinite(fluctuation)]
    if len(spread) == 0:
        return None
    final = group["final_order_parameter"]
    if not np.isfinite(final).any():
        return None
    change = np.abs(final[np.isfinite(final)] - group.attributes["start_order_parameter"])
    scale = float(np.mean(spread))
    if scale == 0.0:
        return Measured(math.inf if change.mean() > 0.0 else 0.0)
    value = float(change.mean()) / scale
    relative = math.hypot(_error_of_mean(change) / max(change.mean(), 1e-300),
                          _error_of_mean(spread) / scale)
    return Measured(value, value * relative)


def _noise_free(group: Group, waits: WaitingTimes) -> Measured | None:
    """Crossing time of the noise-free run; infinite where it was watched long enough to say so."""
    if "broken_step" in group and np.isfinite(group["broken_step"][0]):
        return None
    if not bool(group["censored"][0]):
        return Measured(float(group["time"][0]))
    watched = float(group["time"][0])
    return Measured(math.inf) if watched > T0_SADDLE * waits.tau else None


def _mean_waits(groups, interval: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean waiting times with errors: those that the groups hold, or from their clones."""
    pairs = []
    for group in groups:
        if "tau" in group:
            pairs.append((float(group["tau"]), float(group["tau_err"])))
        else:
            waits = analyse(group, interval)
            pairs.append((waits.tau, waits.tau_err))
    tau, error = np.array(pairs).T
    return tau, error


def _noise_scaling(measured: Measurements, interval: float) -> Measured | None:
    temperatures = np.array(list(measured.waits))
    if len(temperatures) < 2:
        return None
    line = temperature_slope(temperatures, *_mean_waits(measured.waits.values(), interval))
    return Measured(line.slope, line.slope_error)


def _transit(group: Group, waits: WaitingTimes) -> Measured | None:
    transit = group["transit"][np.isfinite(group["transit"])]
    if len(transit) == 0 or not waits.tau > 0.0:
        return None
    return Measured(float(transit.mean()) / waits.tau, _error_of_mean(transit) / waits.tau)


def _returned(group: Group) -> Measured | None:
    """Share of the clones with an event that came back within ten transits."""
    if "return" not in group:
        return None
    crossed = ~group["censored"].astype(bool)
    return share(int(np.isfinite(group["return"][crossed]).sum()), int(crossed.sum()))


def _size_slope(measured: Measurements, interval: float) -> Measured | None:
    if not measured.sizes:
        return None
    main = measured.waits[measured.temperature]
    table = {measured.size: main, **measured.sizes}
    sizes = np.array([measured.n_sites(size) for size in table], dtype=float)
    line = size_slope(sizes, *_mean_waits(table.values(), interval))
    return Measured(line.slope, line.slope_error)


def barrier_at(potential: Group, temperature: float) -> Measured | None:
    """Barrier at ``temperature``, which must be one of the group's; None: a single well."""
    k = int(np.argmin(np.abs(potential["temperature"] - temperature)))
    if abs(potential["temperature"][k] - temperature) > 1e-9:
        return None
    value = float(potential["barrier"][k])
    return None if math.isnan(value) else Measured(value, float(potential["barrier_err"][k]))


def _barriers(measured: Measurements) -> dict[str, Measured | None]:
    found = {size: barrier_at(group, measured.temperature)
             for size, group in measured.potentials.items()}
    main = found.get(measured.size)
    known = {size: b for size, b in found.items() if b is not None}
    if len(known) < 2:
        return {"barrier": main, "barrier_size_slope": None}
    low, high = min(known), max(known)
    width = measured.n_sites(high) - measured.n_sites(low)
    slope = (known[high].value - known[low].value) / width
    error = math.hypot(known[high].error, known[low].error) / width
    return {"barrier": main, "barrier_size_slope": Measured(slope, error)}


def _ageing(two_time: Group | None) -> dict[str, Measured | None]:
    """Ageing, the relaxation time at the last age at which it is known, kappa and a."""
    if two_time is None:
        return {}
    tau, error = two_time["relaxation_time"], two_time["relaxation_time_err"]
    known = np.flatnonzero(np.isfinite(tau))
    last = Measured(float(tau[known[-1]]), float(error[known[-1]])) if len(known) else None
    pairs = {"ageing": "ageing_exponent", "kappa": "overlap_exponent", "a": "decay_exponent"}
    found = {ours: Measured(float(two_time[name]), float(two_time[f"{name}_err"]))
             for ours, name in pairs.items()}
    return {**found, "tau_a": last}
