"""Figure and table of a phase diagram of neurons: the plane, N p and the barrier."""

import math

import numpy as np

from phasegrok.figures.common import COLOURS, GREY, empty, pair, title
from phasegrok.groups import Group
from phasegrok.run.runfile import RunFile
from phasegrok.text import table

_MARKERS = (("o", COLOURS[0]), ("s", COLOURS[4]), ("^", COLOURS[1]), ("X", GREY))
_BELOW = {"fontsize": 6, "loc": "upper center", "bbox_to_anchor": (0.5, -0.2), "ncol": 2}
_STYLES = {"limit_coexistence": ":", "limit_side_birth": "-.", "limit_I": ":", "limit_II": "-.",
           "outer_well": "--"}
_LINE_COLOURS = {"first_droplet": COLOURS[0], "last_centre": COLOURS[1],
                 "equal_depth": COLOURS[2], "outer_well": COLOURS[3]}


def lines(run: RunFile) -> str:
    """Phase, N p and barrier at every point, with theory beside them, and the lines."""
    group = run["neuron_phases"]
    name = str(group.attributes["parameter"])
    phases = [str(p) for p in group.attributes["phases"]]
    has_theory = "phase_theory" in group
    header = ([name] if name else []) + ["sigma^2", "phase", "N p", "barrier"]
    header += ["theory: phase", "N p", "barrier"] if has_theory else []
    rows = []
    for v, value in enumerate(group["value"]):
        for s, sigma2 in enumerate(group["sigma2"]):
            at = v, s
            row = ([f"{value:g}"] if name else []) + [
                f"{sigma2:g}", phases[int(group["phase"][at])],
                pair(group["droplets"][at], group["droplets_err"][at]),
                pair(group["barrier"][at], group["barrier_err"][at])]
            if has_theory:
                known = int(group["phase_theory"][at])
                row += [phases[known] if known >= 0 else "not found",
                        _number(group["droplets_theory"][at]),
                        _number(group["barrier_theory"][at])]
            rows.append(row)
    text = table(header, rows)
    if has_theory:
        decided = (group["phase"] < len(phases) - 1) & (group["phase_theory"] >= 0)
        same = int(np.sum(group["phase"][decided] == group["phase_theory"][decided]))
        text += f"\nphases agree with theory at {same} of {int(decided.sum())} points"
        if decided.sum() < decided.size:
            text += f", {decided.size - int(decided.sum())} undecided"
    if "neuron_lines" in run:
        text += "\n\n" + _line_table(run["neuron_lines"])
    return text


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"


def _names(group: Group) -> list[str]:
    return [name for name in group.variables if name != "line_value"]


def _line_table(group: Group) -> str:
    name = str(group.attributes["parameter"])
    if not name:
        return table(["line", "sigma^2"], [
            [group.variables[key].long_name.removeprefix("sigma^2: "), _number(group[key][0])]
            for key in _names(group)])
    header = [name, *(key.replace("_", " ") for key in _names(group))]
    return table(header, [[f"{value:.4g}", *(_number(group[key][k]) for key in _names(group))]
                          for k, value in enumerate(group["line_value"])])


def draw(run: RunFile):
    """The plane with its lines and points; N p and the barrier against sigma^2."""
    import matplotlib.pyplot as plt

    group = run["neuron_phases"]
    plane = bool(str(group.attributes["parameter"]))
    width = 10.2 if plane else 7.0
    figure, axes = plt.subplots(1, 3 if plane else 2, figsize=(width, 3.3))
    if plane:
        _plane(axes[0], run, group)
    droplets, barrier = axes[-2:]
    for axis, name, text in ((droplets, "droplets", r"$Np$, units beyond the top"),
                             (barrier, "barrier", "barrier from the centre (nat)")):
        _against_noise(axis, group, name, plane)
        if not np.isfinite(group[name]).any():
            empty(axis, "one well everywhere")
            continue
        axis.set(xlabel=r"$\sigma^2$", ylabel=text, xscale="log")
        _plain_ticks(axis.xaxis)
    known = group["droplets"][group["droplets"] > 0.0]
    if len(known) and known.max() > 10.0 * known.min():
        droplets.set_yscale("log")
    elif len(known):
        droplets.set_ylim(0.0, 1.2 * known.max())
    if len(known):
        droplets.axhline(1.0, color=GREY, linewidth=0.8, linestyle=":")
    if not plane and "neuron_lines" in run:
        _verticals(droplets, run["neuron_lines"])
    if droplets.get_legend_handles_labels()[0]:
        droplets.legend(title="points: Langevin, lines: theory" if plane else None,
                        title_fontsize=7, **({} if plane else _BELOW))
    title(figure, run, without=("sigma2", str(group.attributes["parameter"])))
    return figure


def _verticals(axis, found: Group) -> None:
    """Lines of theory where sigma^2 alone is varied."""
    for name in _names(found):
        at = float(found[name][0])
        if np.isfinite(at):
            limit = name.startswith("limit_")
            axis.axvline(at, color=GREY if limit else _LINE_COLOURS.get(name, "k"),
                         linestyle=_STYLES.get(name, "-"), linewidth=0.9,
                         label=found.variables[name].long_name.removeprefix("sigma^2: "))


def _plain_ticks(axis) -> None:
    """Ticks of a logarithmic axis at 1, 2, 5 with plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _plane(axis, run: RunFile, group: Group) -> None:
    if "neuron_lines" in run:
        found = run["neuron_lines"]
        for name in _names(found):
            limit = name.startswith("limit_")
            colour = GREY if limit else _LINE_COLOURS.get(name, "k")
            style = _STYLES.get(name, "-")
            if np.isfinite(found[name]).any():
                axis.plot(found[name], found["line_value"], style, color=colour, linewidth=1.0,
                          label=found.variables[name].long_name.removeprefix("sigma^2: "))
    phases = [str(p) for p in group.attributes["phases"]]
    for k, phase in enumerate(phases):
        v, s = np.nonzero(group["phase"] == k)
        if len(v):
            marker, colour = _MARKERS[k]
            axis.plot(group["sigma2"][s], group["value"][v], marker, color=colour, markersize=5,
                      label=f"Langevin: {phase}", zorder=3)
    name = str(group.attributes["parameter"])
    highest = 1.5 * group["sigma2"].max()
    if "neuron_lines" in run:
        found = run["neuron_lines"]
        highest = max([highest, *(1.2 * np.nanmax(found[key]) for key in _names(found)
                                  if np.isfinite(found[key]).any())])
    axis.set(xlabel=r"$\sigma^2$", ylabel=r"$\epsilon$" if name == "epsilon" else name,
             xscale="log", xlim=(group["sigma2"].min() / 1.5, highest))
    _plain_ticks(axis.xaxis)
    if name in ("n", "d", "N", "P"):
        axis.set_yscale("log")
        _plain_ticks(axis.yaxis)
    axis.legend(**_BELOW)


def _against_noise(axis, group: Group, name: str, plane: bool) -> None:
    parameter = str(group.attributes["parameter"])
    for k, value in enumerate(group["value"]):
        y, error = group[name][k], group[f"{name}_err"][k]
        known = np.isfinite(y)
        colour = COLOURS[k % len(COLOURS)]
        settled = group["phase"][k] < len(group.attributes["phases"]) - 1
        for chosen, face, more in ((known & settled, colour, ""),
                                   (known & ~settled, "none", ", not equilibrated")):
            if chosen.any():
                label = f"{parameter} = {value:g}" if plane else "Langevin"
                axis.errorbar(group["sigma2"][chosen], y[chosen], error[chosen], fmt="o",
                              color=colour, markersize=3.5, linewidth=1.0, markerfacecolor=face,
                              label=None if plane and more else label + more)
        if f"{name}_theory" in group:
            axis.plot(group["sigma2"], group[f"{name}_theory"][k], color=colour, linewidth=0.9,
                      label=None if plane else "theory")
