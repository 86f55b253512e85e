"""Figures and tables of run files: what is in the file is drawn, nothing is computed anew.

``save`` draws the figure of a run file beside it, as PNG and PDF; ``summary`` is the table that a
script prints at its end; ``describe`` is ``phasegrok inspect``.
"""

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from phasegrok import runfile
from phasegrok.runfile import Group, RunFile
from phasegrok.statistics import format_error

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito
_GREY = "#777777"
_LABEL_COLOURS = {"FIRST-ORDER": "#d55e00", "DRIFT": "#0072b2", "SADDLE": "#009e73",
                  "GLASS": "#56b4e9", "CRITICAL": "#cc79a7", "COARSENING": "#e69f00",
                  "UNDECIDED": "#777777", "NONE": "#777777"}
_STYLE: dict[Any, Any] = {
    "font.size": 8.5, "axes.titlesize": 9, "axes.labelsize": 8.5, "legend.fontsize": 7.5,
    "xtick.labelsize": 7.5, "ytick.labelsize": 7.5, "axes.spines.top": False,
    "axes.spines.right": False, "legend.frameon": False, "lines.linewidth": 1.2,
    "savefig.dpi": 200, "figure.constrained_layout.use": True, "axes.titlelocation": "left",
}


# --- tables ---------------------------------------------------------------------------------------


def table(header: list[str], rows: list[list[str]]) -> str:
    """Columns aligned to the left, a rule under the header."""
    cells = [header, *rows]
    widths = [max(len(str(row[k])) for row in cells) for k in range(len(header))]
    lines = ["  ".join(str(c).ljust(w) for c, w in zip(row, widths)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def _pair(value: float, error: float, missing: str = "-") -> str:
    if math.isnan(value):
        return missing
    if math.isinf(value):
        return "never"
    return format_error(value, error) if error > 0.0 else f"{value:.4g}"


def summary(run: RunFile, path: Path) -> str:
    """What the run found, as text for the terminal."""
    parts = []
    if any(name.startswith("verdict/") for name in run.groups):
        parts.append(_verdict_table(run))
    if "density_of_states" in run:
        parts.append(_density_lines(run["density_of_states"]))
    if "effective_potential" in run:
        parts.append(_potential_lines(run["effective_potential"]))
    elif "thermodynamics" in run:
        parts.append(_thermodynamics_table(run["thermodynamics"]))
    if "averages" in run:
        parts.append(_averages_table(run["averages"]))
    if "replica_exchange" in run:
        parts.append(_exchange_line(run["replica_exchange"]))
    if "relaxation" in run:
        parts.append(_relaxation_lines(run["relaxation"], run["two_time_overlap"]))
    if "ramp" in run:
        parts.append(_ramp_table(run["ramp"]))
    if "training" in run:
        parts.append(_training_table(run["training"]))
    if "waiting_times" in run:
        parts.append(_waiting_lines(run["waiting_times"]))
    return "\n\n".join(parts)


def _density_lines(group: Group) -> str:
    log_g, error = group["log_g"], group["log_g_err"]
    known = np.isfinite(log_g)
    a = group.attributes
    state = "complete" if a["complete"] else "NOT COMPLETE"
    errors = error[known & np.isfinite(error)]
    worst = f"error of ln g: median {np.median(errors):.2g}, largest {errors.max():.2g} nat" if (
        len(errors)) else "errors not known"
    return (f"density of states: {known.sum()} cells, {a['walkers']} walkers x {a['sweeps']} "
            f"sweeps ({a['learning_sweeps']} learning); {worst}\n"
            f"{state}: {a['complete_reason']}")


def _thermodynamics_table(group: Group) -> str:
    names = ["mean_energy", "heat_capacity", "entropy", "free_energy"]
    temperature = group["temperature"]
    pick = np.unique(np.linspace(0, len(temperature) - 1, 9).round().astype(int))
    rows = [[f"{temperature[k]:.4g}",
             *(_pair(group[n][k], group[f"{n}_err"][k]) for n in names)] for k in pick]
    return table(["T", "energy", "heat capacity", "entropy", "free energy   (per site)"], rows)


def _potential_lines(group: Group) -> str:
    lines = []
    if math.isnan(float(group["coexistence_temperature"])):
        lines.append(f"no coexistence: {group.attributes['coexistence']}")
    else:
        height, weight, barrier = (_pair(float(group[n]), float(group[f"{n}_err"])) for n in (
            "coexistence_temperature", "equal_weight_temperature", "coexistence_barrier"))
        lines.append(f"coexistence: equal height at T = {height}, equal weight at T = {weight}, "
                     f"barrier {barrier} nat (whole system)")
    if math.isnan(group.attributes["resolution"]):
        lines.append("wells were not sought: one walker gives no errors to tell them from noise")
    elif not np.any(group["wells"] > 1):
        lines.append("a single well at every temperature of the range")
    else:
        low, high = (_pair(float(group[n]), float(group[f"{n}_err"]), f"{end} of the range")
                     for n, end in (("spinodal_low", "the cold end"),
                                    ("spinodal_high", "the hot end")))
        lines.append(f"two wells at this size from T = {low} to T = {high}")
    return "\n".join(lines)


_AVERAGES = {"energy": "energy", "heat_capacity": "heat capacity",
             "order_parameter_abs": "|order parameter|", "susceptibility": "susceptibility",
             "binder": "Binder", "overlap_squared": "overlap^2", "tau_energy": "tau of E (sweeps)"}


def _averages_table(group: Group) -> str:
    """Averages against temperature, with z-scores against exact values where there are any."""
    names = [name for name in _AVERAGES if name in group]
    z = {name: (group[name] - group[f"exact_{name}"]) / group[f"{name}_err"]
         for name in ("energy", "heat_capacity") if f"exact_{name}" in group}
    T = group["temperature"]
    pick = np.unique(np.linspace(0, len(T) - 1, 13).round().astype(int))
    rows = []
    for k in pick:
        row = [f"{T[k]:.5g}"]
        for name in names:
            row.append(_pair(group[name][k], group[f"{name}_err"][k]))
            if name in z:
                row.append(f"{z[name][k]:+.1f}")
        rows.append([*row, "" if group["equilibrated"][k] else "not converged"])
    header = ["T"]
    for name in names:
        header += [_AVERAGES[name], "z"] if name in z else [_AVERAGES[name]]
    a = group.attributes
    text = f"{a['replicas']} replicas x {a['sweeps']} sweeps, {a['dynamics']}"
    if a["samples"] > 1:
        text += f"; errors are the scatter of {a['samples']} samples of the disorder"
    state = "converged" if a["converged"] else "NOT CONVERGED"
    return f"{text}\n\n{table([*header, ''], rows)}\n\n{state}: {a['converged_reason']}"


def _exchange_line(group: Group) -> str:
    rate, trips = group["acceptance"], group["round_trips"]
    return (f"replica exchange: accepted {rate.min():.2f} to {rate.max():.2f} of attempts, "
            f"{trips.sum()} round trips, {trips.min()} to {trips.max()} a ladder")


def _relaxation_lines(group: Group, two: Group) -> str:
    a = group.attributes
    rows = []
    for w, t_w in enumerate(two["waiting_time"]):
        tau = two["relaxation_time"][w]
        if not math.isnan(tau):
            rows.append([str(t_w), "beyond the run" if math.isinf(tau) else _pair(
                tau, two["relaxation_time_err"][w])])
    last = np.flatnonzero(np.isfinite(group["energy"]))
    energy = f"{_pair(group['energy'][last[-1]], group['energy_err'][last[-1]])} a site at " \
        f"{group['time'][last[-1]]} sweeps" if len(last) else "not measured yet"
    exponents = {name: _pair(float(two[name]), float(two[f"{name}_err"]), "not known")
                 for name in ("ageing_exponent", "overlap_exponent", "decay_exponent")}
    return (f"quench to T = {a['temperature']:g} (start: {a['start']}), {a['replicas']} "
            f"replicas, {a['dynamics']}\nenergy {energy}\n\n"
            f"{table(['age t_w', 'relaxation time (sweeps)'], rows)}\n\n"
            f"d ln tau_a / d ln t_w = {exponents['ageing_exponent']} at the last ages known, "
            f"kappa = {exponents['overlap_exponent']}, a = {exponents['decay_exponent']}")


def _ramp_table(group: Group) -> str:
    cooling, heating = group["energy_cooling"], group["energy_heating"]
    rows = []
    for j, stay in enumerate(group["sweeps_per_temperature"]):
        gap = np.abs(heating[j] - cooling[j])
        at = int(np.nanargmax(gap)) if np.isfinite(gap).any() else 0
        error = math.hypot(group["energy_heating_err"][j, at], group["energy_cooling_err"][j, at])
        rows.append([str(stay), _pair(cooling[j, 0], group["energy_cooling_err"][j, 0]),
                     _pair(gap[at], error), f"{group['temperature'][at]:.4g}"])
    return table(["sweeps a T", "energy a site, coldest", "widest gap heating - cooling", "at T"],
                 rows)


def _training_table(group: Group) -> str:
    rows = []
    for k in range(len(group["replica"])):
        last = np.flatnonzero(np.isfinite(group["train_loss"][k]))
        end = last[-1] if len(last) else 0
        steps = [group[n][k] for n in ("memorisation_step", "generalisation_step_50",
                                       "generalisation_step_95")]
        broken = group["broken_step"][k]
        note = "" if math.isnan(broken) else f"stopped: not finite at step {broken:.0f}"
        rows.append([str(k), *("never" if math.isnan(s) else f"{s:.0f}" for s in steps),
                     f"{group['train_loss'][k, end]:.2e}", f"{group['test_loss'][k, end]:.2e}",
                     f"{group['test_accuracy'][k, end]:.3f}", note])
    return table(["replica", "train 99 %", "test 50 %", "test 95 % held", "train loss",
                  "test loss", "test accuracy", ""], rows)


def _waiting_lines(group: Group) -> str:
    a = group.attributes
    unit = a.get("time_unit", "")
    n, censored = len(group["time"]), int(group["censored"].sum())
    lines = [f"{n} clones at T = {a['temperature']:g}, {n - censored} events seen, "
             f"{censored} censored at {a['limit']:g} {unit}"]
    if a.get("broken_replicas"):
        lines.append(f"{a['broken_replicas']} clones stopped: loss or weights not finite")
    if "tau" in group and not math.isnan(float(group["tau"])):
        exact = f"   exact {a['exact_tau']:.5g}" if "exact_tau" in a else ""
        lines.append(f"mean waiting time {_both(group, 'tau')} {unit}{exact}")
        lines.append(f"CV {_both(group, 'cv')}, lag {_both(group, 'lag')} {unit}, memoryless "
                     f"index {_both(group, 'memoryless')}, shifted exponential p = "
                     f"{float(group['p_value']):.2g}")
    return "\n".join(lines)


def _both(group: Group, name: str) -> str:
    return _pair(float(group[name]), float(group[f"{name}_err"]))


def _verdicts(run: RunFile) -> dict[str, Group]:
    return {name.removeprefix("verdict/"): group for name, group in run.groups.items()
            if name.startswith("verdict/")}


def _verdict_table(run: RunFile) -> str:
    verdicts = _ordered(run)
    rows = []
    for name, g in verdicts.items():
        label = g.attributes["label"]
        control = g.attributes.get("control")
        note = "" if g.attributes["calibrated"] else "provisional"
        if control is not None:
            note = "control, as known" if control == label else f"control, {control} expected"
        tau = _both(g, "tau")
        if "exact_tau" in g.attributes:
            tau += f" (exact {g.attributes['exact_tau']:.5g})"
        ratio = float(g["t0"]) / float(g["tau"]) if float(g["tau"]) > 0 else math.nan
        rows.append([name, label, note, str(g.attributes["clones"]), tau, _pair(ratio, 0.0),
                     _both(g, "cv"), _both(g, "G"), _both(g, "barrier")])
    head = table(["card", "verdict", "", "clones", "mean waiting time", "t0/tau", "CV", "G",
                  "barrier/nat"], rows)
    lines = [head, ""]
    for name, g in verdicts.items():
        lines.append(f"{name}: {g.attributes['label']}: {g.attributes['reason']}")
        lines += [f"    would change it: {text}"
                  for text in str(g.attributes["would_change"]).splitlines()]
        if not math.isnan(float(g["size_slope"])):
            exact = g.attributes.get("exact_size_slope")
            lines.append(f"    d ln tau/dN = {_both(g, 'size_slope')} a spin"
                         + (f" (exact {exact:.5f})" if exact is not None else ""))
        lines += _landscape_lines(g)
        if g.attributes["not_measured"]:
            lines.append(f"    not measured, and not assumed: {g.attributes['not_measured']}")
    lines.append("")
    lines.append("All labels are provisional: no stored calibration was consulted.")
    fewest = _fewest_clones(verdicts)
    if run.attributes.get("quick"):
        few = f"; {fewest} clones on a card, where a verdict asks for 40" if fewest < 40 else ""
        lines.append(f"--quick: smaller runs{few}.")
    return "\n".join(lines)


def _fewest_clones(verdicts: dict[str, Group]) -> int:
    return min(int(group.attributes["clones"]) for group in verdicts.values())


def _landscape_lines(group: Group) -> list[str]:
    """The barrier with the evidence behind it, and its exact value where there is one."""
    a = group.attributes
    if "landscape_complete" not in a:
        return ["    barrier: the landscape was not measured in this form"]
    exact = f" (exact {a['exact_barrier']:.4f})" if "exact_barrier" in a else ""
    state = "complete" if a["landscape_complete"] else f"not complete: {a['landscape_reason']}"
    return [f"    barrier {_both(group, 'barrier')} nat at T = {a['temperature']:g}{exact}; "
            f"landscape {state}"]


def describe(run: RunFile, path: Path) -> str:
    """What a run file holds: where it comes from, its groups, and what it found."""
    a = run.attributes
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(a.get("updated", 0.0))))
    lines = [f"{path}: {a.get('title')}",
             f"  {a.get('experiment')}, status {a.get('status')}, updated {when}, "
             f"{float(a.get('wall_s', 0.0)):.1f} s",
             f"  {a.get('command_line')}",
             f"  seed {a.get('seed')}, {a.get('hostname')}, {a.get('cpu')}, "
             f"{_versions(a.get('versions', '{}'))}",
             f"  commit {a.get('git_commit')}"]
    for name, group in run.groups.items():
        lines.append(f"\n/{name}")
        for key, v in group.variables.items():
            shape = " x ".join(f"{d} {n}" for d, n in zip(v.dims, np.shape(v.data))) or "scalar"
            lines.append(f"  {key:26s} {shape:34s} [{v.units}] {v.long_name}")
    text = summary(run, path)
    return "\n".join(lines) + (f"\n\n{text}" if text else "")


def _versions(text: str) -> str:
    return ", ".join(f"{k} {v}" for k, v in json.loads(text).items())


# --- figures --------------------------------------------------------------------------------------


def save(run: RunFile, path: Path) -> list[Path]:
    """Draw the figure of a run file beside it; returns the files written."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with plt.rc_context(_STYLE):
        figure = draw(run, path)
        if figure is None:
            return []
        targets = [path.with_suffix(".png"), path.with_suffix(".pdf")]
        for target in targets:
            figure.savefig(target)
        plt.close(figure)
    return targets


def draw(run: RunFile, path: Path):
    """Matplotlib figure of what a run file holds; None if it holds nothing to draw yet."""
    if _verdicts(run):
        return _draw_verdict(run, path)
    if "effective_potential" in run:
        return _draw_potential(run)
    if "density_of_states" in run:
        return _draw_density(run)
    if "averages" in run:
        return _draw_averages(run)
    if "relaxation" in run:
        return _draw_quench(run)
    if "ramp" in run:
        return _draw_ramp(run)
    if "training" in run:
        return _draw_training(run)
    if "waiting_times" in run:
        return _draw_waiting(run)
    return None


def _title(figure, run: RunFile) -> None:
    settings = ", ".join(f"{k} = {v}" for k, v in _card_parameters(run).items())
    text = f"{run.attributes['title']}\n{settings}"
    figure.suptitle(text, fontsize=8.5, x=0.01, ha="left")


def _card_parameters(run: RunFile) -> dict:
    import tomllib

    return tomllib.loads(run.attributes.get("card", "")).get("parameters", {})


def _band(axis, x, y, error, colour, label=None, **style) -> None:
    axis.plot(x, y, color=colour, label=label, **style)
    if np.isfinite(error).any():
        axis.fill_between(x, y - error, y + error, color=colour, alpha=0.25, linewidth=0)


def _draw_density(run: RunFile):
    import matplotlib.pyplot as plt

    group = run["density_of_states"]
    with_curves = "thermodynamics" in run
    figure, axes = plt.subplots(1, 4 if with_curves else 2,
                                figsize=(10.5 if with_curves else 6.0, 2.7))
    if group["log_g"].ndim == 2:
        _entropy_map(figure, axes[0], group)
        _entropy_map(figure, axes[1], group, errors=True)
    else:
        _band(axes[0], group["energy"], group["log_g"], group["log_g_err"], _COLOURS[0])
        axes[0].set(xlabel="energy $E$", ylabel=r"$\ln g(E)$ (nat)")
        axes[1].plot(group["energy"], group["log_g_err"], ".", color=_COLOURS[0], markersize=3)
        axes[1].set(xlabel="energy $E$", ylabel=r"error of $\ln g$ (nat)", ylim=(0, None))
    if with_curves:
        _thermodynamic_curves(axes[2], axes[3], run["thermodynamics"])
    _title(figure, run)
    return figure


def _entropy_map(figure, axis, group: Group, errors: bool = False) -> None:
    values = group["log_g_err" if errors else "log_g"]
    phi, energy = group["order_parameter"], group["energy"]
    columns = np.isfinite(group["log_g"]).any(axis=0)
    mesh = axis.pcolormesh(phi[columns], energy, np.ma.masked_invalid(values[:, columns]),
                           cmap="magma_r" if errors else "viridis", rasterized=True,
                           shading="nearest")
    figure.colorbar(mesh, ax=axis, label="error (nat)" if errors else r"$\ln g$ (nat)")
    axis.set(xlabel="order parameter", ylabel="energy $E$")


def _thermodynamic_curves(left, right, group: Group) -> None:
    T = group["temperature"]
    _band(left, T, group["mean_energy"], group["mean_energy_err"], _COLOURS[0], "energy")
    _band(left, T, group["free_energy"], group["free_energy_err"], _COLOURS[1], "free energy")
    left.set(xlabel="temperature $T$", ylabel="per site")
    left.legend()
    _band(right, T, group["heat_capacity"], group["heat_capacity_err"], _COLOURS[0],
          "heat capacity")
    _band(right, T, group["entropy"], group["entropy_err"], _COLOURS[1], "entropy")
    top = 1.35 * np.nanmax(group["heat_capacity"])
    right.set(xlabel="temperature $T$", ylabel="per site ($k_B$)", ylim=(0, top))
    right.legend()


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


def _draw_averages(run: RunFile):
    import matplotlib.pyplot as plt

    group = run["averages"]
    figure, axes = plt.subplots(2, 4, figsize=(11.5, 5.0))
    panels = [("energy", "energy a site"), ("heat_capacity", "heat capacity a site"),
              ("order_parameter_abs", "|order parameter|"), ("susceptibility", "susceptibility"),
              ("binder", "Binder cumulant")]
    for axis, (name, label) in zip(axes.flat, panels):
        _points(axis, group, name, _COLOURS[0])
        if "reweighted" in run and name in run["reweighted"]:
            between = run["reweighted"]
            _band(axis, between["temperature"], between[name], between[f"{name}_err"], _COLOURS[0],
                  linewidth=0.7)
        axis.set(ylabel=label)
    binder = group["binder"]
    if np.isfinite(binder).any() and np.nanmin(binder) < -1.0:
        axes.flat[4].set(ylim=(-1.0, 0.7))  # phases of opposite kind make it diverge: show the rest
    _overlap_panel(axes.flat[5], run)
    axis = axes.flat[6]
    for i, (name, label) in enumerate((("tau_energy", "energy"),
                                       ("tau_order_parameter", "|order parameter|"))):
        _points(axis, group, name, _COLOURS[i], label)
    axis.set(yscale="log", ylabel=r"$\tau_{int}$ (sweeps)")
    axis.legend()
    _equilibration_panel(axes.flat[7], run["equilibration"], group)
    _title(figure, run)
    return figure


def _overlap_panel(axis, run: RunFile) -> None:
    """P(q) at the coldest, a middle and the hottest temperature."""
    if "overlap" not in run:
        axis.set_axis_off()
        return
    group = run["overlap"]
    T = group["temperature"]
    shown = sorted({0, len(T) // 2, len(T) - 1})
    for i, k in enumerate(shown):
        axis.plot(group["overlap"], group["mean_density"][k], color=_COLOURS[i],
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
                      color=_COLOURS[i], label=f"begun {start}")
    axis.set(xscale="log", xlabel="sweeps since the start",
             ylabel=f"energy $-$ last, T = {shown['temperature'][k]:.3g}")
    scale = 4.0 * np.nanmax(np.append(shown["energy_random_err"][k][-4:], 1e-12))
    axis.set_yscale("symlog", linthresh=scale)
    axis.axhline(0.0, color=_GREY, linewidth=0.6)
    axis.legend()


def _draw_quench(run: RunFile):
    import matplotlib.pyplot as plt

    group, two = run["relaxation"], run["two_time_overlap"]
    figure, axes = plt.subplots(1, 4, figsize=(11.5, 2.8))
    time = group["time"]
    axes[0].errorbar(time, group["energy"], group["energy_err"], fmt="o", markersize=2.5,
                     color=_COLOURS[0], elinewidth=0.8)
    if "exact_energy" in group:
        axes[0].plot(time, group["exact_energy"], color="black", linewidth=0.8, label="exact")
        axes[0].legend()
    axes[0].set(xscale="log", xlabel="sweeps since the quench", ylabel="energy a site")
    for i, (name, label) in enumerate((("pair_overlap_squared", "overlap of two replicas"),
                                       ("order_parameter_squared", "order parameter"))):
        good = group[name] > 0.0
        axes[1].errorbar(time[good], group[name][good], group[f"{name}_err"][good], fmt="o",
                         markersize=2.5, color=_COLOURS[i], elinewidth=0.8, label=label)
    axes[1].set(xscale="log", yscale="log", xlabel="sweeps since the quench", ylabel="mean square")
    axes[1].legend()
    _two_time_panels(axes[2], axes[3], two)
    _title(figure, run)
    return figure


def _two_time_panels(left, right, two: Group) -> None:
    """C(t_w, t_w + t) at every age, and the relaxation time against age."""
    waits = two["waiting_time"]
    _overlap_curves(left, two, "overlap")
    left.set(ylabel=r"$C(t_w, t_w + t)$")
    tau = two["relaxation_time"]
    good = np.isfinite(tau)
    right.errorbar(waits[good], tau[good], two["relaxation_time_err"][good], fmt="o",
                   markersize=3, color=_COLOURS[0])
    right.plot(waits, waits, "--", color=_GREY, linewidth=0.8, label=r"$\tau_a = t_w$")
    right.set(xscale="log", yscale="log", xlabel="age $t_w$ (sweeps)",
              ylabel=r"relaxation time $\tau_a$ (sweeps)")
    right.legend()


def _overlap_curves(axis, two: Group, name: str) -> None:
    """A two-time overlap against t at every age, dotted where it is known exactly."""
    import matplotlib.pyplot as plt

    waits, since = two["waiting_time"], two["time_since"]
    colours = plt.get_cmap("viridis")(np.linspace(0.0, 0.9, len(waits)))
    for w, t_w in enumerate(waits):
        if np.isfinite(two[name][w]).sum() > 1:
            _band(axis, since, two[name][w], two[f"{name}_err"][w], colours[w], f"{t_w}")
            if f"exact_{name}" in two:
                axis.plot(since, two[f"exact_{name}"][w], ":", color="black", linewidth=0.8)
    axis.set(xscale="log", xlabel="$t$ (sweeps)")
    axis.legend(title="age $t_w$", fontsize=6, title_fontsize=6, ncols=2)


def _draw_ramp(run: RunFile):
    import matplotlib.pyplot as plt

    group = run["ramp"]
    T, stays = group["temperature"], group["sweeps_per_temperature"]
    figure, axes = plt.subplots(1, 3, figsize=(10.0, 2.8))
    colours = plt.get_cmap("viridis")(np.linspace(0.0, 0.9, len(stays)))
    for axis, name, label in ((axes[0], "energy", "energy a site"),
                              (axes[1], "order_parameter", "|order parameter|")):
        for j, stay in enumerate(stays):
            _band(axis, T, group[f"{name}_cooling"][j], group[f"{name}_cooling_err"][j],
                  colours[j], f"{stay}" if j in (0, len(stays) // 2, len(stays) - 1) else None)
            _band(axis, T, group[f"{name}_heating"][j], group[f"{name}_heating_err"][j],
                  colours[j], linestyle="--")
        axis.set(xlabel="temperature $T$ (solid: cooling, dashed: heating)", ylabel=label)
    axes[0].legend(title="sweeps a $T$")
    axes[2].errorbar(stays, group["energy_cooling"][:, 0], group["energy_cooling_err"][:, 0],
                     fmt="o", markersize=3, color=_COLOURS[0])
    axes[2].set(xscale="log", xlabel="sweeps a temperature",
                ylabel=f"energy a site at T = {T[0]:.3g} after cooling")
    _title(figure, run)
    return figure


def _draw_potential(run: RunFile):
    import matplotlib.pyplot as plt

    group = run["effective_potential"]
    figure, axes = plt.subplots(1, 4, figsize=(11.0, 2.8))
    _entropy_map(figure, axes[0], run["density_of_states"])
    _potential_curves(axes[1], group)
    T = group["temperature"]
    axes[2].errorbar(T, group["barrier"], group["barrier_err"], color=_COLOURS[0], fmt=".-",
                     markersize=3, elinewidth=0.8)
    axes[2].set(xlabel="temperature $T$", ylabel="barrier (nat)", ylim=(0, None))
    _mark_transition(axes[2], group)
    axes[3].plot(T, group["well_low"], ".", color=_COLOURS[0], markersize=3, label="lower well")
    axes[3].plot(T, group["well_high"], ".", color=_COLOURS[1], markersize=3, label="upper well")
    deepest = np.array([group["order_parameter"][np.nanargmin(v)] for v in group["potential"]])
    axes[3].plot(T, deepest, color=_GREY, linewidth=0.8, zorder=0, label="deepest")
    axes[3].set(xlabel="temperature $T$", ylabel="order parameter")
    axes[3].legend()
    _title(figure, run)
    return figure


def _mark_transition(axis, group: Group) -> None:
    for name, style, text in (("coexistence_temperature", "--", "coexistence"),
                              ("spinodal_low", ":", "spinodals"),
                              ("spinodal_high", ":", None)):
        value = float(group[name])
        if not math.isnan(value):
            axis.axvline(value, color=_GREY, linestyle=style, linewidth=0.9, label=text)
    if axis.get_legend_handles_labels()[0]:
        axis.legend()


def _potential_curves(axis, group: Group, chosen: list[float] | None = None) -> None:
    """-ln P at a few temperatures: those given, or coexistence and around."""
    T, phi = group["temperature"], group["order_parameter"]
    if chosen is None:
        centre = float(group["coexistence_temperature"])
        wanted = np.linspace(T[0], T[-1], 5)
        if not math.isnan(centre):
            wanted = centre * np.array([0.85, 0.93, 1.0, 1.07, 1.15])
        chosen = [T[np.argmin(np.abs(T - w))] for w in wanted if T[0] <= w <= T[-1]]
    lows = []
    for colour, value in zip(_COLOURS, sorted(set(chosen))):
        k = int(np.argmin(np.abs(T - value)))
        V, error = group["potential"][k], group["potential_err"][k]
        known = np.isfinite(V)
        _band(axis, phi[known], V[known], error[known], colour, f"T = {T[k]:.3g}")
        lows.append(_height_of_interest(V[known]))
    axis.set(xlabel="order parameter", ylabel=r"$-\ln P$ (nat)", ylim=(-0.5, max(lows)))
    axis.legend()


def _height_of_interest(V: np.ndarray) -> float:
    """Upper end of an axis that shows the wells and what is between them, not the far walls."""
    from phasegrok.thermodynamics.effective_potential import barrier

    found = barrier(np.arange(len(V), dtype=float), V, 0.2)
    top = 0.0 if found is None else float(V[found.index])
    return 1.3 * max(top, 8.0)


def _draw_training(run: RunFile):
    import matplotlib.pyplot as plt

    group = run["training"]
    figure, axes = plt.subplots(1, 3, figsize=(9.0, 2.8))
    _accuracy_curves(axes[0], group["step"], group["train_accuracy"], group["test_accuracy"])
    step = np.maximum(group["step"], 1)
    for k in range(len(group["replica"])):
        axes[1].plot(step, group["train_loss"][k], color=_COLOURS[0], alpha=0.8)
        axes[1].plot(step, group["test_loss"][k], color=_COLOURS[1], alpha=0.8)
    axes[1].set(xscale="log", yscale="log", xlabel="step", ylabel="loss (nat)",
                xlim=_step_range(step))
    norms, names = group["weight_norm"], group["matrix"]
    for j, name in enumerate(names):
        if not str(name).startswith("b_"):
            axes[2].plot(step, _mean_of_known(norms[:, :, j]), label=str(name),
                         color=plt.get_cmap("viridis")(j / max(1, len(names) - 1)))
    axes[2].set(xscale="log", xlabel="step", ylabel="weight norm, mean of replicas",
                ylim=(0, None), xlim=_step_range(step))
    axes[2].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    _title(figure, run)
    return figure


def _step_range(step: np.ndarray) -> tuple[float, float]:
    """From the first evaluation after the start to the last."""
    return float(step[min(1, len(step) - 1)]), float(max(step[-1], 2))


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Mean over the replicas that got there; NaN where none did."""
    known = np.isfinite(values)
    number = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _accuracy_curves(axis, step, train, test) -> None:
    step = np.maximum(step, 1)
    for k in range(len(train)):
        axis.plot(step, train[k], color=_COLOURS[0], alpha=0.8, label="train" if k == 0 else None)
        axis.plot(step, test[k], color=_COLOURS[1], alpha=0.8, label="test" if k == 0 else None)
    axis.set(xscale="log", xlabel="step", ylabel="accuracy", ylim=(-0.02, 1.05),
             xlim=_step_range(step))
    axis.legend(loc="center left")


def _draw_waiting(run: RunFile):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(6.6, 2.8))
    _paths(axes[0], run["waiting_times"])
    _survival(axes[1], run["waiting_times"])
    _title(figure, run)
    return figure


def _paths(axis, group: Group) -> None:
    """Order parameter of a few clones against time."""
    a = group.attributes
    if "path" in group:
        n = group["path"].shape[1]
        for k in range(len(group["traced"])):
            t = (np.arange(n) + 1) * group["path_spacing"][k]
            axis.plot(t, group["path"][k], color=_COLOURS[k % len(_COLOURS)], linewidth=0.8)
    elif "test_accuracy" in group:
        for k in range(min(6, len(group["clone"]))):
            axis.plot(group["step"], group["test_accuracy"][k], linewidth=0.8,
                      color=_COLOURS[k % len(_COLOURS)])
    axis.axhline(a["threshold"], color=_GREY, linestyle="--", linewidth=0.9)
    axis.set(xlabel=_time_label(a), ylabel="order parameter")


def _time_label(attributes: dict) -> str:
    unit = attributes.get("time_unit", "time")
    return "time" if unit == "time" else f"time ({unit})"


def _survival(axis, group: Group) -> None:
    """Share of clones still waiting, with the fitted shifted exponential."""
    times = np.sort(group["time"][group["censored"] == 0])
    n = len(group["time"])
    a = group.attributes
    if len(times) == 0:
        axis.text(0.5, 0.5, f"no event within {a['limit']:g} {a.get('time_unit', '')}",
                  ha="center", va="center", transform=axis.transAxes, color=_GREY)
        return
    share = 1.0 - np.arange(1, len(times) + 1) / n
    axis.step(np.append(0.0, times), np.append(1.0, share), where="post", color=_COLOURS[0],
              label="clones")
    if "lag" in group and float(group["scale"]) > 0.0:
        lag, scale = float(group["lag"]), float(group["scale"])
        t = np.linspace(0.0, times[-1], 200)
        axis.plot(t, np.where(t > lag, np.exp(-(t - lag) / scale), 1.0), color=_COLOURS[1],
                  linewidth=0.9, label="shifted exponential")
    if "exact_tau" in a:
        axis.axvline(a["exact_tau"], color=_GREY, linestyle="--", linewidth=0.9,
                     label="exact mean")
    axis.set(yscale="log", ylim=(0.5 / n, 1.3), xlabel=_time_label(a),
             ylabel="share still waiting", xlim=(0, None))
    axis.legend()


# --- the one-page figure of a comparison ----------------------------------------------------------


def _ordered(run: RunFile) -> dict[str, Group]:
    verdicts = _verdicts(run)
    names = json.loads(run.attributes.get("card_names", "[]"))
    return {name: verdicts[name] for name in [*names, *verdicts] if name in verdicts}


def _parts(path: Path, card: str) -> dict[str, RunFile]:
    """The parts of a comparison that are there, by the name of their protocol."""
    return {part.stem: runfile.read(part) for part in sorted((path.parent / card).glob("*.h5"))}


def _draw_verdict(run: RunFile, path: Path):
    import matplotlib.pyplot as plt

    verdicts = _ordered(run)
    n = len(verdicts)
    figure, axes = plt.subplots(6, n, figsize=(2.75 * n + 0.3, 13.0), squeeze=False,
                                height_ratios=[1, 1, 1, 1, 1, 1.15])
    for column, (name, group) in enumerate(verdicts.items()):
        _draw_column(axes[:, column], name, group, _parts(path, name))
    note = "provisional: no stored calibration was consulted"
    if any(np.isnan(group["ageing"]) for group in verdicts.values()):
        note += "; ageing was not measured everywhere"
    if run.attributes.get("quick"):
        note += f"; quick run, {_fewest_clones(verdicts)} clones or more on a card"
    figure.suptitle(f"Which account fits?   ({note})", fontsize=10, x=0.01, ha="left")
    return figure


def _draw_column(axes, name: str, verdict: Group, parts: dict[str, RunFile]) -> None:
    size = verdict.attributes["size"]
    main = parts[f"waiting_times-{size}"]["waiting_times"]
    _draw_trajectory(axes[0], parts, main, size)
    axes[0].set_title(name, fontweight="bold")
    _draw_landscape(axes[1], parts, verdict)
    _survival(axes[2], main)
    _draw_ageing(axes[3], parts.get(f"relaxation-{size}"))
    _draw_scaling(axes[4], parts, verdict, size)
    _draw_words(axes[5], verdict)


def _draw_trajectory(axis, parts, main: Group, size: int) -> None:
    training = parts.get(f"training-{size}")
    if training is not None:
        group = training["training"]
        _accuracy_curves(axis, group["step"], group["train_accuracy"], group["test_accuracy"])
    else:
        _paths(axis, main)


def _draw_landscape(axis, parts, verdict: Group) -> None:
    temperature = verdict.attributes["temperature"]
    drawn = False
    for part, colour in zip(sorted(p for p in parts if p.startswith("effective_potential")),
                            _COLOURS):
        group = parts[part]["effective_potential"]
        k = int(np.argmin(np.abs(group["temperature"] - temperature)))
        V, error = group["potential"][k], group["potential_err"][k]
        known = np.isfinite(V)
        label = f"size {part.rsplit('-', 1)[1]}"
        _band(axis, group["order_parameter"][known], V[known], error[known], colour, label)
        top = _height_of_interest(V[known])
        axis.set_ylim(-0.5, max(top, axis.get_ylim()[1] if drawn else 0.0))
        drawn = True
    axis.set(xlabel="order parameter", ylabel=r"$-\ln P$ (nat)")
    if drawn:
        axis.legend(title=f"T = {temperature:g}")
    else:
        _empty(axis, "landscape not measured\nin this form")


def _empty(axis, text: str) -> None:
    axis.text(0.5, 0.5, text, ha="center", va="center", transform=axis.transAxes, color=_GREY)
    axis.set(xticks=[], yticks=[])


def _draw_ageing(axis, part: RunFile | None) -> None:
    """Connected two-time overlap at every age."""
    if part is None:
        _empty(axis, "ageing not measured")
        return
    _overlap_curves(axis, part["two_time_overlap"], "connected_overlap")
    axis.axhline(part["two_time_overlap"].attributes["threshold"], color=_GREY, linewidth=0.6)
    axis.set(ylabel="connected overlap")


def _draw_scaling(axis, parts, verdict: Group, size: int) -> None:
    """Mean waiting time against temperature, with the exact values where there are any."""
    rows = []
    for name, part in parts.items():
        main = f"waiting_times-{size}"
        if name == main or name.startswith(f"{main}-T"):
            g = part["waiting_times"]
            rows.append((g.attributes["temperature"], float(g["tau"]), float(g["tau_err"]),
                         g.attributes.get("exact_tau", math.nan)))
    T, tau, error, exact = np.array(sorted(rows)).T
    if not np.isfinite(tau).any():
        _empty(axis, "no mean waiting time")
        return
    axis.errorbar(T, tau, error, fmt="o", color=_COLOURS[0], markersize=4, label="measured")
    if np.isfinite(exact).any():
        axis.plot(T, exact, "_", color=_COLOURS[1], markersize=14, label="exact")
    t0 = float(verdict["t0"])
    if math.isfinite(t0):
        axis.axhline(t0, color=_GREY, linestyle="--", linewidth=0.9, label="noise-free")
    axis.set(xlabel="temperature $T$", ylabel=f"mean waiting {_time_label(verdict.attributes)}")
    if np.any(tau > 0.0):
        axis.set(xscale="log", yscale="log")
    text = []
    if not math.isnan(float(verdict["G"])):
        text.append(f"G = {_both(verdict, 'G')}")
    if not math.isnan(float(verdict["size_slope"])):
        text.append(rf"d ln $\tau$/dN = {_both(verdict, 'size_slope')}")
        exact_slope = verdict.attributes.get("exact_size_slope")
        if exact_slope is not None:
            text.append(f"exact {exact_slope:.4f}")
    axis.set_title("\n".join(text), fontsize=7.5)
    axis.legend()
    if np.any(tau > 0.0):
        _plain_ticks(axis, T, np.concatenate([tau, [t0]]))


def _plain_ticks(axis, T, tau) -> None:
    """Readable ticks where a logarithmic axis spans less than a decade."""
    from matplotlib.ticker import FormatStrFormatter, NullFormatter

    axis.set_xticks(T)
    axis.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    finite = tau[np.isfinite(tau) & (tau > 0)]
    if len(finite) and finite.max() < 9 * finite.min():
        ticks = np.unique([float(f"{x:.2g}") for x in finite])
        axis.set_yticks(ticks)
        axis.yaxis.set_major_formatter(FormatStrFormatter("%g"))
        axis.yaxis.set_minor_formatter(NullFormatter())


def _draw_words(axis, verdict: Group) -> None:
    import textwrap

    axis.axis("off")
    label = verdict.attributes["label"]
    axis.text(0.0, 1.0, label, fontsize=13, fontweight="bold", va="top",
              color=_LABEL_COLOURS.get(label, "black"), transform=axis.transAxes)
    lines = textwrap.wrap(str(verdict.attributes["reason"]), 41)
    changes = str(verdict.attributes["would_change"]).splitlines()
    if changes:
        lines += ["", *textwrap.wrap("Would change it: " + changes[0], 41)]
    axis.text(0.0, 0.83, "\n".join(lines), fontsize=6.8, va="top", transform=axis.transAxes)
