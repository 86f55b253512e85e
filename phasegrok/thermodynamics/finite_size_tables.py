"""What finite-size scaling found, laid out as groups of a run file with units and errors."""

import math

import numpy as np

from phasegrok.groups import Group
from phasegrok.statistics import jackknife_error
from phasegrok.thermodynamics.barriers import SizeBarrier
from phasegrok.thermodynamics.collapse import COLLAPSED, Collapse
from phasegrok.thermodynamics.crossings import QUOTIENTS, Crossings, Limit
from phasegrok.thermodynamics.curves import Curves
from phasegrok.thermodynamics.order import Order
from phasegrok.thermodynamics.peaks import Peak

_JACKKNIFE = "jackknife over blocks"
_CURVES = {
    "binder": ("1", "Binder ratio U = 1 - <Phi^4>/(3 <Phi^2>^2)"),
    "binder_slope": ("1 per energy", "dU/dT, from covariances with E"),
    "order_parameter_abs": ("1", "mean modulus of the order parameter"),
    "susceptibility": ("1 per energy", "susceptibility N (<Phi^2> - <|Phi|>^2)/T"),
    "heat_capacity": ("1 per site", "heat capacity a site"),
}
_QUOTIENTS = {
    "temperature": ("energy", "temperature at which U of both sizes is the same"),
    "binder": ("1", "U there"),
    "inverse_nu": ("1", "effective 1/nu: logarithm of the quotient of dU/dT there, over ln b"),
    "beta_nu": ("1", "effective beta/nu: the same of <|Phi|>, with opposite sign"),
    "gamma_nu": ("1", "effective gamma/nu: the same of chi"),
}
_IS_CHI = np.array([[False], [False], [True]])  # chi T is what scales
_PARAMETERS = {"critical_temperature": "energy", "inverse_nu": "1", "beta_nu": "1",
               "gamma_nu": "1"}


def _add(group: Group, name: str, value, error, dims, units: str, text: str, how: str) -> None:
    group.add(name, value, dims, units, text)
    group.add(f"{name}_err", error, dims, units, f"standard error of {name}: {how}")


def curves_group(found: Curves) -> Group:
    """Group ``curves/SIZE``: reweighted averages of one size against temperature."""
    group = Group(attributes={"size": found.size, "n_sites": found.n_sites,
                              "method": "multiple histograms (Ferrenberg and Swendsen 1989)"})
    group.add("temperature", found.temperatures_t, "temperature", "energy", "temperature")
    for name, (units, text) in _CURVES.items():
        _add(group, name, *found.mean_and_error(name), "temperature", units, text, _JACKKNIFE)
    return group


def crossings_group(found: Crossings) -> Group:
    """Group ``crossings``: every pair of sizes."""
    group = Group()
    group.add("pair", np.arange(len(found.sizes_p2)), "pair", "1", "pair of sizes")
    group.add("size", found.sizes_p2[:, 0], "pair", "sites", "smaller size L")
    group.add("size_larger", found.sizes_p2[:, 1], "pair", "sites", "larger size b L")
    for q, name in enumerate(QUOTIENTS):
        units, text = _QUOTIENTS[name]
        _add(group, name, found.values_pq[:, q], found.errors_pq[:, q], "pair", units, text,
             _JACKKNIFE)
    return group


def exponents_group(limits: dict[str, Limit], sizes: list[int], peaks: list[Peak], exact) -> Group:
    """Group ``exponents``: limits of large sizes from the crossings, and maxima of chi by size."""
    group = Group()
    for name, limit in limits.items():
        stored = "critical_temperature" if name == "temperature" else name
        text = f"{_QUOTIENTS[name][1]}: limit of the {limit.n} largest pairs, chi2 {limit.chi2:.3g}"
        _add(group, stored, limit.value, limit.error, (), _QUOTIENTS[name][0], text,
             "generalised least squares")
        group.attributes[f"{stored}_p"] = limit.p
        group.attributes[f"{stored}_pairs"] = limit.n
    group.add("size", sizes, "size", "sites", "size")
    for name, units, text, rows in (
            ("temperature_of_maximum", "energy", "temperature of the maximum of chi",
             [p.temperature_r for p in peaks]),
            ("susceptibility_maximum", "1 per energy", "maximum of chi",
             [p.height_r for p in peaks])):
        _add(group, name, [x_r[0] for x_r in rows], [jackknife_error(x_r[1:]) for x_r in rows],
             "size", units, text, _JACKKNIFE)
    if exact is not None:
        for name, value in zip((*_PARAMETERS, "binder"), exact):
            if not math.isnan(value):
                group.attributes[f"exact_{name}"] = value
    return group


def collapse_group(found: Collapse, curves: list[Curves]) -> Group:
    """Group ``collapse``: parameters with errors, quality, master curves, scaled curves by size."""
    group = Group(attributes={
        "collapsed": found.collapsed, "reason": found.reason, "chi2": found.chi2,
        "chi2_expected": found.expected, "p": found.p,
        "sizes": ", ".join(map(str, found.sizes))})
    for k, (name, units) in enumerate(_PARAMETERS.items()):
        _add(group, name, found.parameters[k], found.errors[k], (), units,
             f"{name.replace('_', ' ')} of the data collapse",
             "least squares with the covariance of each size")
    if not found.sizes:
        return group
    x_m = np.linspace(*found.window, 101)
    group.add("x", x_m, "x", "1", "scaling variable t (1 + b t) L^(1/nu), t = (T - T_c)/T_c")
    for name, y_m in zip(COLLAPSED, found.master(x_m)):
        group.add(f"master_{name}", y_m, "x", "scaled", f"fitted master curve of {name}")
    used = [c for c in curves if c.size in found.sizes]
    every = slice(None, None, 10)
    group.add("size", [c.size for c in used], "size", "sites", "size")
    group.add("point", np.arange(len(used[0].temperatures_t[every])), "point", "1",
              "temperature of the curves of each size")
    dims = ("size", "point")
    group.add("scaled_x", [found.x(c.size, c.temperatures_t[every]) for c in used], dims, "1",
              "scaling variable of the point")
    scaled_l, relative_l = [], []
    for c in used:
        T_t = c.temperatures_t[every]
        value, error = np.swapaxes([c.mean_and_error(name) for name in COLLAPSED], 0, 1)[..., every]
        scaled_l.append(found.scaled(c.size, T_t, value * np.where(_IS_CHI, T_t, 1.0)))
        relative_l.append(np.abs(error / value))
    value, relative = (np.swapaxes(x, 0, 1) for x in (scaled_l, relative_l))
    for o, name in enumerate(COLLAPSED):
        _add(group, f"scaled_{name}", value[o], np.abs(value[o]) * relative[o], dims, "scaled",
             f"{name} divided by L to its power, less the corrections", _JACKKNIFE)
    return group


def landscape_group(size: int, n_sites: int, phi_b: np.ndarray, found: SizeBarrier,
                    complete: bool, reason: str) -> Group:
    """Group ``landscapes/SIZE``: -ln P of one size at coexistence, and its barrier."""
    group = Group(attributes={
        "size": size, "n_sites": n_sites, "coexistence": found.coexistence.reason,
        "resolution": found.resolution, "per": "system",
        "complete": complete, "complete_reason": reason})
    group.add("coordinate", phi_b, "coordinate", "as the coordinate",
              "energy of the whole system in bins, or order parameter")
    _add(group, "potential", found.potential_b, found.potential_err_b, "coordinate", "nat",
         "-ln P at equal heights, minimum 0", "jackknife over walkers or replicas")
    return group


def barriers_group(sizes: list[int], area: np.ndarray, found: list[SizeBarrier],
                   complete: list[bool], order: Order, exact_slope: float,
                   exact_barriers: list[float] | None) -> Group:
    """Group ``barriers``: height at equal heights against size, and the slope against area."""
    group = Group(attributes={"per": "system"})
    group.add("size", sizes, "size", "sites", "size")
    group.add("area", area, "size", "sites", "L^(d-1), or N where every site neighbours all others")
    _add(group, "barrier", [f.height for f in found], [f.error for f in found], "size", "nat",
         "barrier at equal heights of both peaks; 0: one peak above the resolution",
         "jackknife over walkers or replicas")
    group.add("complete", complete, "size", "1", "whether the landscape is complete: others have "
              "no barrier")
    points = [f.coexistence for f in found]
    _add(group, "temperature", [c.temperature_equal_height for c in points],
         [c.temperature_equal_height_err for c in points], "size", "energy",
         "temperature of equal heights", "jackknife over walkers or replicas")
    _add(group, "slope", order.slope.slope, order.slope.slope_error, (), "nat per area",
         "slope of the barrier against the area: twice the interface tension as L grows",
         "weighted least squares")
    if exact_barriers is not None:
        group.add("exact_barrier", exact_barriers, "size", "nat", "barrier of the exact weights")
    if not math.isnan(exact_slope):
        group.attributes["exact_slope"] = exact_slope
    return group
