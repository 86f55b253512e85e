"""From the group ``density_of_states`` of a run file to ``thermodynamics`` and the potential.

These put the estimators of this room to work on what a sampler measured, and lay the results out
with coordinates, units and errors.
"""

import math

import numpy as np

from phasegrok.runfile import Group
from phasegrok.thermodynamics.density_of_states import canonical_with_errors, marginal
from phasegrok.thermodynamics.effective_potential import (
    Coexistence,
    barrier,
    coexistence,
    effective_potential_with_errors,
    spinodals,
    wells,
)

RESOLUTION_ERRORS = 3.0  # a well counts when its pass exceeds this many errors of the potential
_DEPTH = 10.0  # nats above the minimum to which the resolution looks
_NO_ERRORS = 1e300  # a resolution that accepts the deepest well alone
_JACKKNIFE = "jackknife over independent walkers"


def thermodynamics(density: Group, temperatures: np.ndarray, n_sites: int) -> Group:
    """Group ``thermodynamics``: E, C, S, F per site and ln Z against temperature, with errors.

    Parameters
    ----------
    density : Group
        ``density_of_states`` over E or (E, Phi).
    temperatures : array, shape (T,)
        In units of energy, positive.
    n_sites : int
        Number of sites N.
    """
    log_g, rows = density["log_g"], density["log_g_jackknife"]
    if log_g.ndim == 2:
        log_g = marginal(log_g, axis=1)
        rows = np.stack([marginal(row, axis=1) for row in rows])
    values = canonical_with_errors(density["energy"], log_g, rows, temperatures, n_sites)
    texts = {
        "log_Z": ("1", "ln Z of the whole system"),
        "mean_energy": ("energy", "mean energy per site"),
        "heat_capacity": ("k_B", "heat capacity per site"),
        "entropy": ("k_B", "entropy per site"),
        "free_energy": ("energy", "free energy per site"),
    }
    group = Group()
    group.add("temperature", temperatures, "temperature", "energy", "temperature, k_B = 1")
    for name, (unit, text) in texts.items():
        group.add(name, values[name], "temperature", unit, text)
        group.add(f"{name}_err", values[f"{name}_err"], "temperature", unit,
                  f"standard error of {name}: {_JACKKNIFE}")
    group.attributes["complete"] = density.attributes["complete"]
    return group


def merge_columns(density: Group, n: int) -> Group:
    """The density of states with ``n`` neighbouring values of the order parameter taken together.

    Where parity makes neighbouring values of the order parameter alternate (one flip of a
    perceptron's weight changes every field by 2), wells are sought on pairs of values.

    Parameters
    ----------
    density : Group
        ``density_of_states`` over (E, Phi).
    n : int
        Columns to a new one; a last incomplete one is kept.
    """
    starts = np.arange(0, len(density["order_parameter"]), n)

    def merged(log_g):
        filled = np.where(np.isfinite(log_g), log_g, -np.inf)
        total = np.logaddexp.reduceat(filled, starts, axis=-1)
        return np.where(np.isfinite(total), total, np.nan)

    phi = density["order_parameter"]
    group = Group(attributes=dict(density.attributes))
    group.add("energy", density["energy"], "energy")
    group.add("order_parameter", [phi[k : k + n].mean() for k in starts], "order_parameter")
    group.add("walker", density["walker"], "walker")
    group.add("log_g", merged(density["log_g"]), ("energy", "order_parameter"))
    group.add("log_g_jackknife", merged(density["log_g_jackknife"]),
              ("walker", "energy", "order_parameter"))
    return group


def effective_potential(density: Group, temperatures: np.ndarray) -> Group:
    """Group ``effective_potential``: -ln P(Phi) at each temperature, wells, barrier, coexistence.

    Parameters
    ----------
    density : Group
        ``density_of_states`` over (E, Phi).
    temperatures : array, shape (T,)
        In units of energy, positive and ascending; coexistence and spinodals are sought between
        the first and the last.

    Raises
    ------
    ValueError
        If the density of states does not resolve the order parameter.
    """
    if "order_parameter" not in density:
        raise ValueError("the density of states has no order parameter: measure it with --joint")
    energy, phi, log_g = density["energy"], density["order_parameter"], density["log_g"]
    rows = density["log_g_jackknife"]
    potential, error = (np.array(x) for x in zip(
        *(effective_potential_with_errors(energy, log_g, rows, T) for T in temperatures)))
    resolution = _resolution(potential, error)
    group = Group()
    group.add("temperature", temperatures, "temperature", "energy", "temperature, k_B = 1")
    group.add("order_parameter", phi, "order_parameter", "1", "order parameter of the card")
    dims = ("temperature", "order_parameter")
    group.add("potential", potential, dims, "nat", "-ln P(order parameter), minimum 0",
              per="system")
    group.add("potential_err", error, dims, "nat",
              f"standard error of potential against its minimum: {_JACKKNIFE}")
    group.attributes.update({"per": "system", "complete": density.attributes["complete"],
                             "complete_reason": density.attributes["complete_reason"],
                             "resolution": resolution,
                             "resolution_rule": f"{RESOLUTION_ERRORS:g} median errors of the "
                             f"potential within {_DEPTH:g} nats of its minimum; without errors no "
                             "second well is accepted"})
    if math.isnan(resolution):
        resolution = _NO_ERRORS
    _add_barriers(group, energy, log_g, rows, resolution)
    if len(temperatures) < 2:
        _add_coexistence(group, Coexistence(False, "one temperature only"))
        _add_spinodals(group, None)
        return group
    bracket = (float(temperatures[0]), float(temperatures[-1]))
    _add_coexistence(group, coexistence(energy, phi, log_g, bracket, resolution, rows))
    _add_spinodals(group, spinodals(energy, log_g, bracket, resolution, rows))
    return group


def _resolution(potential: np.ndarray, error: np.ndarray) -> float:
    """Nats below which a well is noise; NaN where no errors are known."""
    known = np.isfinite(error) & (error > 0.0) & (potential < _DEPTH)
    return RESOLUTION_ERRORS * float(np.median(error[known])) if known.any() else math.nan


def _add_barriers(group: Group, energy, log_g, rows, resolution) -> None:
    """Two deepest wells and the barrier between them, at each temperature."""
    from phasegrok.statistics import jackknife_error
    from phasegrok.thermodynamics.effective_potential import effective_potential as potential_of

    temperature, phi = group["temperature"], group["order_parameter"]
    n = len(temperature)
    height, height_err, low, high = (np.full(n, np.nan) for _ in range(4))
    n_wells = np.zeros(n, dtype=np.int64)
    for k, T in enumerate(temperature):
        n_wells[k] = len(wells(phi, group["potential"][k], resolution))
        found = barrier(phi, group["potential"][k], resolution)
        if found is None:
            continue
        height[k], low[k], high[k] = found.height, found.low.phi, found.high.phi
        columns = [found.low.index, found.index, found.high.index]
        samples = []
        for row in rows:
            if np.isfinite(row).any():
                V = potential_of(energy, row, T)[columns]
                samples.append(V[1] - max(V[0], V[2]))
        if len(samples) > 1:
            height_err[k] = jackknife_error(np.array(samples))
    group.add("barrier", height, "temperature", "nat",
              "barrier above the shallower of the two deepest wells; NaN: one well")
    group.add("barrier_err", height_err, "temperature", "nat",
              f"standard error of barrier: {_JACKKNIFE}")
    group.add("well_low", low, "temperature", "1", "order parameter of the lower well")
    group.add("well_high", high, "temperature", "1", "order parameter of the upper well")
    group.add("wells", n_wells, "temperature", "1", "number of wells above the resolution")


def _add_coexistence(group: Group, found) -> None:
    group.attributes["coexistence"] = found.reason
    texts = {
        "coexistence_temperature": ("temperature_equal_height", "energy",
                                    "temperature at which the two wells are equally deep"),
        "equal_weight_temperature": ("temperature_equal_weight", "energy",
                                     "temperature at which the two wells have equal weight"),
        "coexistence_barrier": ("barrier", "nat", "barrier at equal height"),
    }
    for name, (field, unit, text) in texts.items():
        group.add(name, getattr(found, field), (), unit, text)
        group.add(f"{name}_err", getattr(found, f"{field}_err"), (), unit,
                  f"standard error of {name}: {_JACKKNIFE}")


def _add_spinodals(group: Group, found) -> None:
    for name, side in (("spinodal_low", "lower"), ("spinodal_high", "upper")):
        value = getattr(found, side, None)
        text = f"{side} end of the temperatures with two wells at this size; NaN: none in range"
        group.add(name, np.nan if value is None else value, (), "energy", text)
        group.add(f"{name}_err", getattr(found, f"{side}_err", np.nan), (), "energy",
                  f"standard error of {name}: {_JACKKNIFE}")
