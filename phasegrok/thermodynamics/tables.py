"""From the group ``density_of_states`` of a run file to ``thermodynamics`` and the potential.

These put the estimators of this room to work on what a sampler measured, and lay the results out
with coordinates, units and errors.
"""

import numpy as np
from scipy.optimize import brentq

from phasegrok.groups import Group
from phasegrok.statistics import jackknife_error
from phasegrok.thermodynamics.density_of_states import canonical, canonical_with_errors, marginal
from phasegrok.thermodynamics.effective_potential import (
    RESOLUTION_RULE,
    Coexistence,
    barrier,
    coexistence,
    effective_potential_with_errors,
    potentials_left_out,
    resolution_of,
    spinodals,
    wells,
)

NOT_COMPLETE = "not sought in a landscape that is not complete"
_SHOWN = 0.01, 0.8  # of the way of the mean energy from the ground state to T = infinity
_N_SHOWN = 41
_JACKKNIFE = "jackknife over independent walkers"


def _of_energy(density: Group) -> tuple[np.ndarray, np.ndarray]:
    """ln g(E) with its leave-one-out rows, the order parameter summed over."""
    log_g, rows = density["log_g"], density["log_g_jackknife"]
    if log_g.ndim == 2:
        return marginal(log_g, axis=1), np.stack([marginal(row, axis=1) for row in rows])
    return log_g, rows


def temperatures_of(density: Group) -> np.ndarray:
    """Temperatures at which a landscape shows itself, where nobody named any.

    From where the mean energy has left the ground state by 1 % of its way to that of T = infinity,
    to where it has made 80 %.

    Parameters
    ----------
    density : Group
        ``density_of_states`` over E or (E, Phi).
    """
    energy, log_g = density["energy"], _of_energy(density)[0]
    known = np.isfinite(log_g)
    weight = np.exp(log_g[known] - log_g[known].max())
    mean = weight @ energy[known] / weight.sum()
    way = mean - energy[known].min()
    if not way > 0.0:
        return np.ones(1)  # one energy: all temperatures are alike

    def share(log_T: float) -> float:
        return 1.0 + float(canonical(energy, log_g, np.exp([log_T]), 1)["mean_energy"][0]
                           - mean) / way

    log_way = np.log(way)
    ends = [np.exp(brentq(lambda x, part=part: share(x) - part, log_way - 14.0, log_way + 14.0))
            for part in _SHOWN]
    low, high = (float(f"{T:.2g}") for T in ends)
    return np.linspace(low, high, _N_SHOWN)


def thermodynamics(density: Group, temperatures: np.ndarray | None, n_sites: int) -> Group:
    r"""Group ``thermodynamics``: E, C, S, F per site and ln Z against temperature, with errors.

    Where energies were counted in bins of width w, at the mean energy of each bin, Z lacks the
    factor :math:`\langle e^{-(E - \bar E)/T}\rangle \approx 1 + w^2/(24 T^2)` of the spread
    :math:`w^2/12` inside a bin; what follows for each quantity is kept beside it as ``_binning``.

    Parameters
    ----------
    density : Group
        ``density_of_states`` over E or (E, Phi).
    temperatures : array, shape (T,), or None
        In units of energy, positive; None: `temperatures_of`.
    n_sites : int
        Number of sites N.
    """
    log_g, rows = _of_energy(density)
    if temperatures is None:
        temperatures = temperatures_of(density)
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
    width = float(density.attributes.get("bin_width", 0.0))
    if width > 0.0:
        group.attributes["bin_width"] = width
        for name, value in _binning(width, temperatures, n_sites).items():
            group.add(f"{name}_binning", value, "temperature", texts[name][0],
                      f"about what counting in bins adds to or takes from {name}")
    return group


def _binning(width: float, temperature: np.ndarray, n_sites: int) -> dict[str, np.ndarray]:
    """Error of each quantity if ln Z is too small by w^2/(24 T^2), as with well filled bins."""
    log_Z = width**2 / (24.0 * temperature**2)
    return {"log_Z": log_Z, "mean_energy": 2.0 * temperature * log_Z / n_sites,
            "heat_capacity": 2.0 * log_Z / n_sites, "entropy": log_Z / n_sites,
            "free_energy": temperature * log_Z / n_sites}


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

    Of a landscape that is not complete only the potential is given: no wells, barriers, coexistence
    or spinodals.

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
    group = Group()
    group.add("temperature", temperatures, "temperature", "energy", "temperature, k_B = 1")
    group.add("order_parameter", phi, "order_parameter", "1", "order parameter of the card")
    dims = ("temperature", "order_parameter")
    group.add("potential", potential, dims, "nat", "-ln P(order parameter), minimum 0",
              per="system")
    group.add("potential_err", error, dims, "nat",
              f"standard error of potential against its minimum: {_JACKKNIFE}")
    complete, n = bool(density.attributes["complete"]), len(temperatures)
    resolution = resolution_of(potential, error)
    group.attributes.update({"per": "system", "complete": complete,
                             "complete_reason": density.attributes["complete_reason"],
                             "resolution": resolution, "resolution_rule": RESOLUTION_RULE})
    if not complete:  # pits between bins of which one walker knows nothing are no wells
        _add_wells(group, [None] * n, np.full(n, np.nan), np.zeros(n, dtype=np.int64))
        _add_coexistence(group, Coexistence(False, NOT_COMPLETE))
        _add_spinodals(group, None)
        return group
    _add_wells(group, *_barriers(group, energy, rows, resolution))
    if n < 2:
        _add_coexistence(group, Coexistence(False, "one temperature only"))
        _add_spinodals(group, None)
        return group
    bracket = (float(temperatures[0]), float(temperatures[-1]))
    _add_coexistence(group, coexistence(energy, phi, log_g, bracket, resolution, rows))
    _add_spinodals(group, spinodals(energy, log_g, bracket, resolution, rows))
    return group


def _barriers(group: Group, energy, rows, resolution):
    """At each temperature the barrier of the two deepest wells, its error, and how many wells."""
    phi, found, error, number = group["order_parameter"], [], [], []
    for V, T in zip(group["potential"], group["temperature"]):
        V_w = potentials_left_out(energy, rows, T)
        number.append(len(wells(phi, V, resolution, V_w)))
        found.append(barrier(phi, V, resolution, V_w))
        error.append(np.nan)
        if found[-1] is not None:
            low, top, high = (V_w[:, k] for k in (
                found[-1].low.index, found[-1].index, found[-1].high.index))
            error[-1] = float(jackknife_error(top - np.maximum(low, high)))
    return found, np.array(error), np.array(number, dtype=np.int64)


def _add_wells(group: Group, found, height_err: np.ndarray, n_wells: np.ndarray) -> None:
    """Two deepest wells and the barrier between them, at each temperature."""
    height, low, high = (np.array([np.nan if b is None else value(b) for b in found]) for value in (
        lambda b: b.height, lambda b: b.low.phi, lambda b: b.high.phi))
    group.add("barrier", height, "temperature", "nat",
              "barrier above the shallower of the two deepest wells; NaN: one well")
    group.add("barrier_err", height_err, "temperature", "nat",
              f"standard error of barrier: {_JACKKNIFE}")
    group.add("well_low", low, "temperature", "1", "order parameter of the lower well")
    group.add("well_high", high, "temperature", "1", "order parameter of the upper well")
    group.add("wells", n_wells, "temperature", "1",
              "number of wells above the resolution and their errors; 0: not sought")


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
