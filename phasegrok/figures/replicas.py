"""Tables and figures of canonical averages, quenches and ramps."""

import math

import numpy as np

from phasegrok.figures.common import COLOURS, GREY, band, pair, title
from phasegrok.groups import Group
from phasegrok.run.runfile import RunFile
from phasegrok.text import table

_AVERAGES = {"energy": "energy", "heat_capacity": "heat capacity",
             "order_parameter_abs": "|order parameter|", "susceptibility": "susceptibility",
             "binder": "Binder", "overlap_squared": "overlap^2", "tau_energy": "tau of E (sweeps)"}


def averages_table(group: Group) -> str:
    """Averages against temperature, with z-scores against exact values where there are any."""
    own = {name: name.replace("_", " ") for name in group.attributes.get("observables", [])}
    header_of = _AVERAGES | own
    names = [name for name in header_of if name in group]
    z = {name: _z(group, name) for name in ("energy", "heat_capacity", *own)
         if f"exact_{name}" in group}
    T = group["temperature"]
    pick = np.unique(np.linspace(0, len(T) - 1, 13).round().astype(int))
    rows = []
    for k in pick:
        row = [f"{T[k]:.5g}"]
        for name in names:
            row.append(pair(group[name][k], group[f"{name}_err"][k]))
            if name in z:
                row.append("" if math.isnan(z[name][k]) else f"{z[name][k]:+.1f}")
        rows.append([*row, "" if group["equilibrated"][k] else "not converged"])
    header = ["T"]
    for name in names:
        header += [header_of[name], "z"] if name in z else [header_of[name]]
    a = group.attributes
    text = f"{a['replicas']} replicas x {a['sweeps']} sweeps, {a['dynamics']}"
    if a["samples"] > 1:
        text += f"; errors are the scatter of {a['samples']} samples of the disorder"
    state = "converged" if a["converged"] else "NOT CONVERGED"
    return f"{text}\n\n{table([*header, ''], rows)}\n\n{state}: {a['converged_reason']}"


def _z(group: Group, name: str) -> np.ndarray:
    """Differences from the exact values in errors; NaN where nothing varied, so that none is known.
    """
    error = group[f"{name}_err"]
    known = np.where(error > 0.0, error, math.nan)
    return (group[name] - group[f"exact_{name}"]) / known


def exchange_line(group: Group) -> str:
    """How well the rungs of a ladder mixed, and whether its temperatures were moved for it."""
    rate, trips = group["acceptance"], group["round_trips"]
    moved = ("inner temperatures moved to even acceptance" if group.attributes["tuned"]
             else "temperatures as given")
    return (f"replica exchange: accepted {rate.min():.2f} to {rate.max():.2f} of attempts, "
            f"{trips.sum()} round trips, {trips.min()} to {trips.max()} a ladder; {moved}")


def relaxation_lines(group: Group, two: Group) -> str:
    """Energy at the end, relaxation time at every age, exponents."""
    a = group.attributes
    rows = []
    for w, t_w in enumerate(two["waiting_time"]):
        tau = two["relaxation_time"][w]
        if not math.isnan(tau):
            rows.append([str(t_w), "beyond the run" if math.isinf(tau) else pair(
                tau, two["relaxation_time_err"][w])])
    last = np.flatnonzero(np.isfinite(group["energy"]))
    energy = f"{pair(group['energy'][last[-1]], group['energy_err'][last[-1]])} a site at " \
        f"{group['time'][last[-1]]} sweeps" if len(last) else "not measured yet"
    exponents = {name: pair(float(two[name]), float(two[f"{name}_err"]), "not known")
                 for name in ("ageing_exponent", "overlap_exponent", "decay_exponent")}
    return (f"quench to T = {a['temperature']:g} (start: {a['start']}), {a['replicas']} "
            f"replicas, {a['dynamics']}\nenergy {energy}\n\n"
            f"{table(['age t_w', 'relaxation time (sweeps)'], rows)}\n\n"
            f"d ln tau_a / d ln t_w = {exponents['ageing_exponent']} at the last ages known, "
            f"kappa = {exponents['overlap_exponent']}, a = {exponents['decay_exponent']}"
            + (f"\n\nDO NOT BELIEVE THE TIMES: {a['doubt']}" if a.get("doubt") else ""))


def ramp_table(group: Group) -> str:
    """Energies of ramps at every rate."""
    cooling, heating = group["energy_cooling"], group["energy_heating"]
    rows = []
    for j, stay in enumerate(group["sweeps_per_temperature"]):
        gap = np.abs(heating[j] - cooling[j])
        at = int(np.nanargmax(gap)) if np.isfinite(gap).any() else 0
        error = math.hypot(group["energy_heating_err"][j, at], group["energy_cooling_err"][j, at])
        rows.append([str(stay), pair(cooling[j, 0], group["energy_cooling_err"][j, 0]),
                     pair(gap[at], error), f"{group['temperature'][at]:.4g}"])
    return table(["sweeps a T", "energy a site, coldest", "widest gap heating - cooling", "at T"],
                 rows)


def _points(axis, group: Group, name: str, colour, label=None) -> None:
    """An average against temperature, with the exact curve or points where there are any."""
    T = group["temperature"]
    axis.errorbar(T, group[name], group[f"{name}_err"], fmt="o", markersize=2.5, color=colour,
                  elinewidth=0.8, label=label)
    if f"exact_{name}" in group:
        style = "-" if len(T) > 30 else "_"  # a line through few points would have false corners
        axis.plot(T, group[f"exact_{name}"], style, color="black", linewidth=0.8, zorder=0,
                  markersize=9, label="exact")
        axis.legend()
    axis.set(xlabel="temperature $T$")


def draw_averages(run: RunFile):
    """Averages against temperature, with the evidence of equilibration."""
    import matplotlib.pyplot as plt

    group = run["averages"]
    own = list(group.attributes.get("observables", []))
    rows = 2 + -(-len(own) // 4)
    figure, axes = plt.subplots(rows, 4, figsize=(11.5, 2.5 * rows))
    panels = [("energy", "energy a site"), ("heat_capacity", "heat capacity a site"),
              ("order_parameter_abs", "|order parameter|"), ("susceptibility", "susceptibility"),
              ("binder", "Binder cumulant")]
    for axis, (name, label) in zip(axes.flat, panels):
        _points(axis, group, name, COLOURS[0])
        if "reweighted" in run and name in run["reweighted"]:
            between = run["reweighted"]
            band(axis, between["temperature"], between[name], between[f"{name}_err"], COLOURS[0],
                  linewidth=0.7)
        axis.set(ylabel=label)
    binder = group["binder"]
    if np.isfinite(binder).any() and np.nanmin(binder) < -1.0:
        axes.flat[4].set(ylim=(-1.0, 0.7))  # phases of opposite kind make it diverge: show the rest
    _overlap_panel(axes.flat[5], run)
    axis = axes.flat[6]
    for i, (name, label) in enumerate((("tau_energy", "energy"),
                                       ("tau_order_parameter", "|order parameter|"))):
        _points(axis, group, name, COLOURS[i], label)
    axis.set(yscale="log", ylabel=r"$\tau_{int}$ (sweeps)")
    axis.legend()
    _equilibration_panel(axes.flat[7], run["equilibration"], group)
    for axis, name in zip(axes.flat[8:], own):
        _own_panel(axis, group, name)
    for axis in axes.flat[8 + len(own) :]:
        axis.set_axis_off()
    title(figure, run)
    return figure


def _own_panel(axis, group: Group, name: str) -> None:
    """An observable of the system's own, and the line of a universal jump where there is one."""
    _points(axis, group, name, COLOURS[0])
    if f"jump_{name}" in group:
        axis.plot(group["temperature"], group[f"jump_{name}"], "--", color=GREY, linewidth=0.8,
                  label="universal jump")
        axis.legend()
    axis.set(ylabel=name.replace("_", " "))


def _overlap_panel(axis, run: RunFile) -> None:
    """P(q) at the coldest, a middle and the hottest temperature."""
    if "overlap" not in run:
        axis.set_axis_off()
        return
    group = run["overlap"]
    T = group["temperature"]
    shown = sorted({0, len(T) // 2, len(T) - 1})
    for i, k in enumerate(shown):
        axis.plot(group["overlap"], group["mean_density"][k], color=COLOURS[i],
                  label=f"T = {T[k]:.3g}")
    axis.set(xlabel="overlap $q$ of two replicas", ylabel="$P(q)$", ylim=(0, None))
    axis.legend()


def _equilibration_panel(axis, shown: Group, group: Group) -> None:
    """Energy in bins of log time from both starts, at the slowest temperature."""
    tau = np.nan_to_num(np.fmax(group["tau_energy"], group["tau_order_parameter"]))
    k = int(np.argmax(tau))
    last = shown["energy_random"][k]
    last = last[np.isfinite(last)]
    level = last[-1] if len(last) else 0.0
    for i, start in enumerate(("random", "ordered")):
        x, error = shown[f"energy_{start}"][k], shown[f"energy_{start}_err"][k]
        axis.errorbar(shown["time"], x - level, error, fmt="o-", markersize=2.5, linewidth=0.8,
                      color=COLOURS[i], label=f"begun {start}")
    axis.set(xscale="log", xlabel="sweeps since the start",
             ylabel=f"energy $-$ last, T = {shown['temperature'][k]:.3g}")
    scale = 4.0 * np.nanmax(np.append(shown["energy_random_err"][k][-4:], 1e-12))
    axis.set_yscale("symlog", linthresh=scale)
    axis.axhline(0.0, color=GREY, linewidth=0.6)
    axis.legend()


def draw_quench(run: RunFile):
    """Energy, overlaps and ageing after a quench."""
    import matplotlib.pyplot as plt

    group, two = run["relaxation"], run["two_time_overlap"]
    figure, axes = plt.subplots(1, 4, figsize=(11.5, 2.8))
    time = group["time"]
    axes[0].errorbar(time, group["energy"], group["energy_err"], fmt="o", markersize=2.5,
                     color=COLOURS[0], elinewidth=0.8)
    if "exact_energy" in group:
        axes[0].plot(time, group["exact_energy"], color="black", linewidth=0.8, label="exact")
        axes[0].legend()
    axes[0].set(xscale="log", xlabel="sweeps since the quench", ylabel="energy a site")
    for i, (name, label) in enumerate((("pair_overlap_squared", "overlap of two replicas"),
                                       ("order_parameter_squared", "order parameter"))):
        good = group[name] > 0.0
        axes[1].errorbar(time[good], group[name][good], group[f"{name}_err"][good], fmt="o",
                         markersize=2.5, color=COLOURS[i], elinewidth=0.8, label=label)
    axes[1].set(xscale="log", yscale="log", xlabel="sweeps since the quench", ylabel="mean square")
    axes[1].legend()
    _two_time_panels(axes[2], axes[3], two)
    title(figure, run)
    return figure


def _two_time_panels(left, right, two: Group) -> None:
    """C(t_w, t_w + t) at every age, and the relaxation time against age."""
    waits = two["waiting_time"]
    overlap_curves(left, two, "overlap")
    left.set(ylabel=r"$C(t_w, t_w + t)$")
    tau = two["relaxation_time"]
    good = np.isfinite(tau)
    right.errorbar(waits[good], tau[good], two["relaxation_time_err"][good], fmt="o",
                   markersize=3, color=COLOURS[0])
    right.plot(waits, waits, "--", color=GREY, linewidth=0.8, label=r"$\tau_a = t_w$")
    right.set(xscale="log", yscale="log", xlabel="age $t_w$ (sweeps)",
              ylabel=r"relaxation time $\tau_a$ (sweeps)")
    right.legend()


def overlap_curves(axis, two: Group, name: str) -> None:
    """A two-time overlap against t at every age, dotted where it is known exactly."""
    import matplotlib.pyplot as plt

    waits, since = two["waiting_time"], two["time_since"]
    colours = plt.get_cmap("viridis")(np.linspace(0.0, 0.9, len(waits)))
    for w, t_w in enumerate(waits):
        if np.isfinite(two[name][w]).sum() > 1:
            band(axis, since, two[name][w], two[f"{name}_err"][w], colours[w], f"{t_w}")
            if f"exact_{name}" in two:
                axis.plot(since, two[f"exact_{name}"][w], ":", color="black", linewidth=0.8)
    axis.set(xscale="log", xlabel="$t$ (sweeps)")
    axis.legend(title="age $t_w$", fontsize=6, title_fontsize=6, ncols=2)


def draw_ramp(run: RunFile):
    """Cooling and heating at every rate."""
    import matplotlib.pyplot as plt

    group = run["ramp"]
    T, stays = group["temperature"], group["sweeps_per_temperature"]
    figure, axes = plt.subplots(1, 3, figsize=(10.0, 2.8))
    colours = plt.get_cmap("viridis")(np.linspace(0.0, 0.9, len(stays)))
    for axis, name, label in ((axes[0], "energy", "energy a site"),
                              (axes[1], "order_parameter", "|order parameter|")):
        for j, stay in enumerate(stays):
            band(axis, T, group[f"{name}_cooling"][j], group[f"{name}_cooling_err"][j],
                  colours[j], f"{stay}" if j in (0, len(stays) // 2, len(stays) - 1) else None)
            band(axis, T, group[f"{name}_heating"][j], group[f"{name}_heating_err"][j],
                  colours[j], linestyle="--")
        axis.set(xlabel="temperature $T$ (solid: cooling, dashed: heating)", ylabel=label)
    axes[0].legend(title="sweeps a $T$")
    axes[2].errorbar(stays, group["energy_cooling"][:, 0], group["energy_cooling_err"][:, 0],
                     fmt="o", markersize=3, color=COLOURS[0])
    axes[2].set(xscale="log", xlabel="sweeps a temperature",
                ylabel=f"energy a site at T = {T[0]:.3g} after cooling")
    title(figure, run)
    return figure
