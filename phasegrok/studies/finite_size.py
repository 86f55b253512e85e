"""Finite-size scaling: crossings, exponents and collapse, barriers, and the order they show."""

import dataclasses
import functools
import math
from typing import Any

import numpy as np

from phasegrok.cards.card import Card
from phasegrok.cards.sections import FiniteSize
from phasegrok.cards.values import temperature_grid
from phasegrok.errors import InputError
from phasegrok.estimates import estimated
from phasegrok.groups import Group
from phasegrok.studies.common import known_kind, need_family
from phasegrok.studies.density_of_states import counting
from phasegrok.studies.sampling import series_protocol

_WINDOW = (-2.0, -1.0, 0.0, 1.0, 2.0)  # temperatures of a size: natural widths off the crossing
_PILOT = 4  # the runs that find the transition measure so many times fewer sweeps
_INDEPENDENT = 20.0  # autocorrelation times of a block of the jackknife
_MOST_BLOCKS = 256


def finite_size_settings(card: Card) -> FiniteSize:
    """Section ``[finite_size]`` of a discrete card.

    Raises
    ------
    InputError
        If the card is not discrete, or its section names no sizes.
    """
    from phasegrok.protocols.canonical import FEWEST_SWEEPS

    need_family(card, "discrete", "finite-size scaling")
    s = card.model.finite_size
    if s is None or not (s.sizes or s.barrier_sizes):
        raise InputError(f"{card.name}: finite-size scaling needs [finite_size] with temperatures "
                         "and sizes or barrier_sizes on the card")
    if s.sizes and s.sweeps - s.equilibration < _PILOT * FEWEST_SWEEPS:
        raise InputError(f"{card.name}: finite_size.equilibration = {s.equilibration} leaves too "
                         f"little to measure of {s.sweeps} sweeps")
    if s.replicas % 2:
        raise InputError(f"{card.name}: finite_size.replicas = {s.replicas}: give an even number")
    if s.landscape == "canonical" and s.coordinate != "energy":
        raise InputError(f"{card.name}: barriers in the order parameter need finite_size.landscape "
                         "= wang-landau")
    for size in (*s.sizes, *s.barrier_sizes):
        card.resized(size)
    return s


def finite_size_sample(job) -> None:
    """Canonical sampling at the temperatures of ``[finite_size]``, with series: one point."""
    s = finite_size_settings(job.card)
    protocol = series_protocol(job.card, s, s.sweeps, s.equilibration,
                               exchange=s.dynamics in ("metropolis", "heat-bath"))
    job.finish(protocol.result(job.drive(protocol)))


def finite_size_landscape(job) -> None:
    """Sampling for the barrier of one size: one point."""
    card = job.card
    s = finite_size_settings(card)
    smallest = card.resized(s.barrier_sizes[0]).build().n_sites
    sweeps = s.barrier_sweeps * card.build().n_sites // smallest
    protocol: Any = counting(card, sweeps, joint=s.coordinate == "order-parameter")
    if s.landscape == "canonical":
        protocol = series_protocol(card, s, sweeps, sweeps // 10, exchange=True)
    job.finish(protocol.result(job.drive(protocol)))


def size_of_run(run, card: Card):
    """Multiple histograms of one finished point, and whether it had converged."""
    from phasegrok.thermodynamics.curves import Reweighted, Series

    series, averages = run["series"], run["averages"]
    tau = np.fmax(averages["tau_energy"], averages["tau_order_parameter"])
    tau = np.where(np.isfinite(tau), np.maximum(tau, 0.5), 0.5)  # sweeps
    phi = series["order_parameter"]
    q = getattr(card.parameters, "q", None)
    if q is not None:  # 0 where no colour prevails
        phi = (q * phi - 1.0) / (q - 1.0)
    replicas, n = phi.shape[1:]
    stretches = int(n * series.attributes["every"] / (_INDEPENDENT * tau.max()))
    stretches = max(1, min(stretches, _MOST_BLOCKS // replicas))
    return Reweighted(Series(series.attributes["n_sites"], series["temperature"], series["energy"],
                             phi, symmetric=True, size=card.size), 2.0 * tau, replicas * stretches)


def finite_size_windows(card: Card, pilots: list) -> dict[int, str]:
    """Temperatures of every size, about the crossing of the two smallest.

    Raises
    ------
    InputError
        If their Binder ratios do not cross in the temperatures of the card.
    """
    from phasegrok.thermodynamics.crossings import crossings
    from phasegrok.thermodynamics.curves import curves
    from phasegrok.thermodynamics.ladders import natural_width

    s = finite_size_settings(card)
    try:
        data = [size_of_run(run, card.resized(n)) for run, n in zip(pilots, _pilot_sizes(card))]
        T = crossings(data).values_pq[:, 0]
    except ValueError as error:
        raise InputError(f"{card.name}: finite_size.temperatures = {s.temperatures}: "
                         f"{error}") from error
    if not np.isfinite(T).any():
        raise InputError(f"{card.name}: the Binder ratios of sizes {data[0].series.size} and "
                         f"{data[1].series.size} do not cross at finite_size.temperatures = "
                         f"{s.temperatures}: another range, more sweeps, or no such transition")
    heat_capacity = float(curves(data[1], T[:1]).values["heat_capacity"][0, 0])
    windows = {}
    for size in s.sizes:
        width = natural_width(float(T[0]), heat_capacity, card.resized(size).build().n_sites)
        windows[size] = ", ".join(f"{T[0] + n * width:.10g}" for n in _WINDOW)
    return windows


def finite_size_pilots(card: Card) -> dict[str, Card]:
    """The two smallest sizes at all temperatures of the card, to find the transition."""
    s = finite_size_settings(card)
    short = {"finite_size.sweeps": s.equilibration + (s.sweeps - s.equilibration) // _PILOT}
    return {f"pilot-{n}": card.resized(n).changed(short) for n in _pilot_sizes(card)}


def _pilot_sizes(card: Card) -> list[int]:
    from phasegrok.thermodynamics.crossings import pairs

    sizes = finite_size_settings(card).sizes
    if not pairs(sizes):
        raise InputError(f"{card.name}: finite_size.sizes = {sizes}: the largest must be at least "
                         "1.5 times the smallest")
    return [sizes[i] for i in pairs(sizes)[0]]


def finite_size_points(card: Card, pilots: list) -> dict[str, Card]:
    """Every size at the temperatures of its own window, by name of the point."""
    return {f"scaling-{n}": card.resized(n).changed({"finite_size.temperatures": text})
            for n, text in finite_size_windows(card, pilots).items()}


def finite_size_scaling(card: Card, runs: list):
    """Groups ``curves/SIZE``, ``crossings``, ``exponents`` and ``collapse``, and the collapse.

    Where they cannot be estimated, the reason and None.

    Parameters
    ----------
    card : Card
    runs : list of RunFile
        The points of `finite_size_points`.
    """
    failed: dict[str, Group] = {}
    return estimated(failed, "finite-size scaling", lambda: _scaling(card, runs)) or (failed, None)


def _scaling(card: Card, runs: list):
    from phasegrok.theory.solved import critical_point
    from phasegrok.thermodynamics import collapse as scaling
    from phasegrok.thermodynamics import finite_size_tables as tables
    from phasegrok.thermodynamics.crossings import crossings, limits
    from phasegrok.thermodynamics.curves import curves
    from phasegrok.thermodynamics.peaks import peak

    s = finite_size_settings(card)
    sizes = s.sizes
    data = [size_of_run(run, card.resized(n)) for run, n in zip(runs, sizes)]
    found = [curves(d, d.grid()) for d in data]
    crossed = crossings(data)
    limit = limits(crossed, s.omega)
    whole, *narrower = ([scaling.points(curves(d, scaling.inner(d, len(_WINDOW), share)))
                         for d in data] for share in scaling.SHARES)
    collapsed = scaling.collapse(whole, (limit["temperature"].value, limit["inverse_nu"].value),
                                 s.omega, tuple(narrower))
    exact = critical_point(known_kind(card), card.parameters)
    groups = {f"curves/{c.size}": tables.curves_group(c) for c in found}
    groups["crossings"] = tables.crossings_group(crossed)
    groups["exponents"] = tables.exponents_group(
        limit, sizes, [peak(d, "susceptibility") for d in data], exact)
    groups["collapse"] = tables.collapse_group(collapsed, found)
    unfinished = [n for n, run in zip(sizes, runs) if not run["averages"].attributes["converged"]]
    groups["exponents"].attributes["converged"] = not unfinished
    groups["exponents"].attributes["converged_reason"] = (
        "every size converged" if not unfinished else "not converged: " + "; ".join(
            f"L = {n}: {run['averages'].attributes['converged_reason']}"
            for n, run in zip(sizes, runs) if n in unfinished))
    return groups, collapsed


def finite_size_barrier_points(card: Card) -> dict[str, Card]:
    """Every size whose barrier is wanted, by name of the point."""
    return {f"barrier-{n}": card.resized(n) for n in finite_size_settings(card).barrier_sizes}


def _dimension(card: Card) -> float:
    """d of a lattice of L^d sites; infinite where every site neighbours all others."""
    if "L" not in card.model.parameters:
        return np.inf
    return round(np.log(card.build().n_sites) / np.log(card.size))


def flip_energy(card: Card) -> float:
    """Energy of one flipped site in an ordered configuration; 0 where levels are not equidistant.

    That is the distance of the teeth of P(E) in an ordered phase.
    """
    from phasegrok.systems.discrete import n_values, prepare, value_of

    system = card.build()
    try:
        steps = np.diff(system.energy_levels())
    except ValueError:  # counted in bins
        return 0.0
    if not np.allclose(steps, steps[0]):
        return 0.0
    sigma = system.configuration(1.0, np.random.default_rng(0))
    cache = np.zeros(system.cache_size, dtype=np.int64)
    ordered = prepare(system, sigma, cache)[0]
    others = [value_of(system, k) for k in range(n_values(system))]
    costs = []
    for value in others:
        flipped = sigma.copy()
        flipped[0] = value
        costs.append(prepare(system, flipped, cache)[0] - ordered)
    return max(0.0, *costs)


def landscape_of(run, card: Card):
    """Coordinate of the columns, the barrier of one size, and whether its landscape is complete."""
    from phasegrok.thermodynamics.barriers import energy_columns, size_barrier
    from phasegrok.thermodynamics.effective_potential import Coexistence
    from phasegrok.thermodynamics.tables import NOT_COMPLETE, merge_columns

    s = finite_size_settings(card)
    if s.coordinate == "order-parameter":
        density = run["density_of_states"]
        merge = card.build().order_merge
        density = merge_columns(density, merge) if merge > 1 else density
        energy, phi, log_g, rows = (density[n] for n in ("energy", "order_parameter", "log_g",
                                                         "log_g_jackknife"))
        complete, reason = (density.attributes[n] for n in ("complete", "complete_reason"))
    else:
        energy, log_g, rows, complete, reason = _density_of_run(run, card)
        width = flip_energy(card)
        phi, joint = energy_columns(energy, log_g, width)
        log_g, rows = joint, np.stack([energy_columns(energy, row, width)[1] for row in rows])
    grid = temperature_grid(s.temperatures)
    found = size_barrier(energy, phi, log_g, rows, (float(grid[0]), float(grid[-1])))
    if not complete:
        found = dataclasses.replace(found, coexistence=Coexistence(False, NOT_COMPLETE),
                                    height=math.nan, error=math.nan)
    return phi, found, bool(complete), reason


def _density_of_run(run, card: Card):
    """E, ln g (up to a constant), its leave-one-out rows, and whether and why it is complete."""
    if finite_size_settings(card).landscape == "canonical":
        found, evidence = size_of_run(run, card).found, run["averages"].attributes
        return (found.energies_c, found.log_g_c, found.log_g_jackknife_bc,
                evidence["converged"], evidence["converged_reason"])
    density = run["density_of_states"]
    return (density["energy"], density["log_g"], density["log_g_jackknife"],
            density.attributes["complete"], density.attributes["complete_reason"])


def finite_size_order(card: Card, runs: list, collapsed) -> dict[str, Group]:
    """Groups ``landscapes/SIZE``, ``barriers`` and ``finite_size`` with the verdict.

    Parameters
    ----------
    card : Card
    runs : list of RunFile
        The points of `finite_size_barrier_points`.
    collapsed : Collapse or None
        What `finite_size_scaling` found; None: not measured.
    """
    from phasegrok.theory import solved
    from phasegrok.thermodynamics import finite_size_tables as tables
    from phasegrok.thermodynamics.order import order_of_transition

    d = _dimension(card)
    groups: dict[str, Group] = {}
    failed: dict[str, Group] = {}
    sizes, n_sites, found, complete = [], [], [], []
    for n, run in zip(finite_size_settings(card).barrier_sizes, runs):
        sized = card.resized(n)
        landscape = estimated(failed, f"size {n}", functools.partial(landscape_of, run, sized))
        if landscape is None:
            continue
        phi, barrier, whole, reason = landscape
        sizes.append(n)
        n_sites.append(sized.build().n_sites)
        found.append(barrier)
        complete.append(whole)
        groups[f"landscapes/{n}"] = tables.landscape_group(
            n, n_sites[-1], phi, barrier, whole, reason)
    area = np.array(sizes, dtype=float) ** (1.0 if np.isinf(d) else d - 1.0)
    order = order_of_transition(np.array(n_sites), area, np.array([f.height for f in found]),
                                np.array([f.error for f in found]), collapsed, d)
    if sizes:
        kind, p = known_kind(card), card.parameters
        by_energy = finite_size_settings(card).coordinate == "energy"
        groups["barriers"] = tables.barriers_group(
            sizes, area, found, complete, order, 2.0 * solved.interface_tension(kind, p),
            None if by_energy else solved.barriers(kind, p, sizes))
    missing = [f"size {n}" for n, whole in zip(sizes, complete) if not whole]
    missing += [f"{size}: {reason}" for group in failed.values()
                for size, reason in group.attributes.items()]
    groups["finite_size"] = Group(attributes={
        "order": order.label, "reason": order.reason,
        "landscapes": "all complete" if not missing else "not complete and not used: "
        + ", ".join(missing)})
    return groups
