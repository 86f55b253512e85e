"""Table and one-page figure of a comparison of accounts."""

import json
import math
import textwrap
from pathlib import Path

import numpy as np

from phasegrok.figures.common import COLOURS, GREY, band, both, empty, pair
from phasegrok.figures.landscapes import height_of_interest
from phasegrok.figures.networks import accuracy_curves
from phasegrok.figures.replicas import overlap_curves
from phasegrok.figures.waiting import paths, survival, time_label
from phasegrok.groups import Group
from phasegrok.run import runfile
from phasegrok.run.runfile import RunFile
from phasegrok.text import table

_LETTERS = 12.5  # of the title, an inch
_LABEL_COLOURS = {"FIRST-ORDER": "#d55e00", "DRIFT": "#0072b2", "SADDLE": "#009e73",
                  "GLASS": "#56b4e9", "CRITICAL": "#cc79a7", "COARSENING": "#e69f00",
                  "FLUCTUATION": "#332288", "UNDECIDED": "#777777", "NONE": "#777777"}


def verdict_groups(run: RunFile) -> dict[str, Group]:
    """Groups of the verdicts, by card."""
    return {name.removeprefix("verdict/"): group for name, group in run.groups.items()
            if name.startswith("verdict/")}


def verdict_table(run: RunFile) -> str:
    """Verdict of every card with its numbers."""
    verdicts = _ordered(run)
    rows = []
    for name, g in verdicts.items():
        label = g.attributes["label"]
        control = g.attributes.get("control")
        note = "" if g.attributes["calibrated"] else "provisional"
        if control is not None:
            note = "control, as known" if control == label else f"control, {control} expected"
        tau = both(g, "tau")
        if "exact_tau" in g.attributes:
            tau += f" (exact {g.attributes['exact_tau']:.5g})"
        ratio = float(g["t0"]) / float(g["tau"]) if float(g["tau"]) > 0 else math.nan
        rows.append([name, label, note, str(g.attributes["clones"]), tau, pair(ratio, 0.0),
                     both(g, "cv"), both(g, "G"), both(g, "returned") if "returned" in g else "-",
                     both(g, "barrier")])
    head = table(["card", "verdict", "", "clones", "mean waiting time", "t0/tau", "CV", "G",
                  "come back", "barrier/nat"], rows)
    lines = [head, ""]
    for name, g in verdicts.items():
        lines.append(f"{name}: {g.attributes['label']}: {g.attributes['reason']}")
        lines += [f"    would change it: {text}"
                  for text in str(g.attributes["would_change"]).splitlines()]
        if not math.isnan(float(g["size_slope"])):
            exact = g.attributes.get("exact_size_slope")
            lines.append(f"    d ln tau/dN = {both(g, 'size_slope')} a spin"
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
    if not a["landscape_complete"]:
        return [f"    barrier: not sought, the landscape is not complete: {a['landscape_reason']}"]
    exact = f" (exact {a['exact_barrier']:.4f})" if "exact_barrier" in a else ""
    return [f"    barrier {both(group, 'barrier')} nat at T = {a['temperature']:g}{exact}; "
            "landscape complete"]


def _ordered(run: RunFile) -> dict[str, Group]:
    verdicts = verdict_groups(run)
    names = json.loads(run.attributes.get("card_names", "[]"))
    return {name: verdicts[name] for name in [*names, *verdicts] if name in verdicts}


def _parts(path: Path, card: str) -> dict[str, RunFile]:
    """The parts of a comparison that are there, by the name of their protocol."""
    return {part.stem: runfile.read(part) for part in sorted((path.parent / card).glob("*.h5"))}


def draw_verdict(run: RunFile, path: Path):
    """One column a card: trajectory, landscape, waiting times, ageing, scaling, words."""
    import matplotlib.pyplot as plt

    verdicts = _ordered(run)
    n = len(verdicts)
    width = 2.75 * n + 0.3
    figure, axes = plt.subplots(6, n, figsize=(width, 13.0), squeeze=False,
                                height_ratios=[1, 1, 1, 1, 1, 1.15])
    for column, (name, group) in enumerate(verdicts.items()):
        _draw_column(axes[:, column], name, group, _parts(path, name))
    note = "provisional: no stored calibration was consulted"
    if any(np.isnan(group["ageing"]) for group in verdicts.values()):
        note += "; ageing was not measured everywhere"
    if run.attributes.get("quick"):
        note += f"; quick run, {_fewest_clones(verdicts)} clones or more on a card"
    title = textwrap.fill(f"Which account fits?   ({note})", round(_LETTERS * width))
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def _draw_column(axes, name: str, verdict: Group, parts: dict[str, RunFile]) -> None:
    size = verdict.attributes["size"]
    main = parts[f"waiting_times-{size}"]["waiting_times"]
    _draw_trajectory(axes[0], parts, main, size)
    axes[0].set_title(name, fontweight="bold")
    _draw_landscape(axes[1], parts, verdict)
    survival(axes[2], main)
    _draw_ageing(axes[3], parts.get(f"relaxation-{size}"))
    _draw_scaling(axes[4], parts, verdict, size)
    _draw_words(axes[5], verdict)


def _draw_trajectory(axis, parts, main: Group, size: int) -> None:
    training = parts.get(f"training-{size}")
    if training is not None:
        accuracy_curves(axis, training["training"])
    else:
        paths(axis, main)


def _draw_landscape(axis, parts, verdict: Group) -> None:
    temperature = verdict.attributes["temperature"]
    drawn = False
    for part, colour in zip(sorted(p for p in parts if p.startswith("effective_potential")),
                            COLOURS):
        group = parts[part]["effective_potential"]
        k = int(np.argmin(np.abs(group["temperature"] - temperature)))
        V, error = group["potential"][k], group["potential_err"][k]
        known = np.isfinite(V)
        label = f"size {part.rsplit('-', 1)[1]}"
        band(axis, group["order_parameter"][known], V[known], error[known], colour, label)
        top = height_of_interest(V[known])
        axis.set_ylim(-0.5, max(top, axis.get_ylim()[1] if drawn else 0.0))
        drawn = True
    axis.set(xlabel="order parameter", ylabel=r"$-\ln P$ (nat)")
    if drawn:
        axis.legend(title=f"T = {temperature:g}")
    else:
        empty(axis, "landscape not measured\nin this form")


def _draw_ageing(axis, part: RunFile | None) -> None:
    """Connected two-time overlap at every age."""
    if part is None:
        empty(axis, "ageing not measured")
        return
    overlap_curves(axis, part["two_time_overlap"], "connected_overlap")
    axis.axhline(part["two_time_overlap"].attributes["threshold"], color=GREY, linewidth=0.6)
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
        empty(axis, "no mean waiting time")
        return
    axis.errorbar(T, tau, error, fmt="o", color=COLOURS[0], markersize=4, label="measured")
    if np.isfinite(exact).any():
        axis.plot(T, exact, "_", color=COLOURS[1], markersize=14, label="exact")
    t0 = float(verdict["t0"])
    if math.isfinite(t0):
        axis.axhline(t0, color=GREY, linestyle="--", linewidth=0.9, label="noise-free")
    axis.set(xlabel="temperature $T$", ylabel=f"mean waiting {time_label(verdict.attributes)}")
    if np.any(tau > 0.0):
        axis.set(xscale="log", yscale="log")
    text = []
    if not math.isnan(float(verdict["G"])):
        text.append(f"G = {both(verdict, 'G')}")
    if not math.isnan(float(verdict["size_slope"])):
        text.append(rf"d ln $\tau$/dN = {both(verdict, 'size_slope')}")
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
    axis.axis("off")
    label = verdict.attributes["label"]
    axis.text(0.0, 1.0, label, fontsize=13, fontweight="bold", va="top",
              color=_LABEL_COLOURS.get(label, "black"), transform=axis.transAxes)
    lines = textwrap.wrap(str(verdict.attributes["reason"]), 41)
    changes = str(verdict.attributes["would_change"]).splitlines()
    if changes:
        lines += ["", *textwrap.wrap("Would change it: " + changes[0], 41)]
    axis.text(0.0, 0.83, "\n".join(lines), fontsize=6.8, va="top", transform=axis.transAxes)
