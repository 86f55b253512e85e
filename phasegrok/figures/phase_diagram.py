"""Figure and table of a phase diagram: the plane with its phases, and the evidence beside it."""

import math
from itertools import pairwise

import numpy as np

from phasegrok.figures.common import COLOURS, GREY, pair, title
from phasegrok.groups import Group
from phasegrok.run.runfile import RunFile
from phasegrok.text import table

_MARKERS = {"first-order": ("s", COLOURS[1]), "continuous": ("o", COLOURS[0]),
            "crossover": ("D", COLOURS[2]), "undecided": ("X", GREY)}
_SHADES = {"disordered": "#f7f7f7", "ordered": "#cfe3f3", "positive": "#fdebd0",
           "negative": "#d9efe5"}
_NAMES = {"positive": r"$\Phi>0$", "negative": r"$\Phi<0$"}


def transition_lines(group: Group) -> str:
    """The transition at each value of the parameter, with its class and the evidence."""
    name, known_at_all = group.attributes["parameter"], "known_temperature" in group
    exact = known_at_all and bool(group.attributes["known_exactly"])
    header = [name, "class", "T"] + (["exact", "z"] if exact else []) + (
        ["approximate"] if known_at_all and not exact else []) + ["evidence"]
    rows = []
    for k, value in enumerate(group["value"]):
        T, error = float(group["temperature"][k]), float(group["temperature_err"][k])
        row = [f"{value:.6g}", _class(group, k), pair(T, error)]
        if known_at_all:
            known = float(group["known_temperature"][k])
            row.append("-" if math.isnan(known) else f"{known:.5g}")
            judged = _class(group, k) in ("first-order", "continuous") and error > 0.0
            if exact:
                row.append(f"{(T - known) / error:+.1f}" if judged and math.isfinite(known) else "")
        rows.append([*row, str(group.attributes["reasons"][k])])
    lines = [table(header, rows)]
    for k in range(len(group["value"])):
        if math.isnan(float(group["coexistence_end"][k])):
            continue
        end = pair(float(group["coexistence_end"][k]), float(group["coexistence_end_err"][k]))
        lines.append(f"{name} = {group['value'][k]:g}: +Phi and -Phi coexist from T = "
                     f"{group['coexistence_low'][k]:.4g} (of the range) to {end}")
    lines += [f"first-order transitions end between {name} = {first:.6g} and {other:.6g} ({what})"
              for first, other, what in _ends(group)]
    return "\n".join(lines)


def _class(group: Group, k: int) -> str:
    return str(group.attributes["classes"][int(group["label"][k])])


def _ends(group: Group) -> list[tuple[float, float, str]]:
    """Intervals in which first-order transitions end: last value with one, next decided, its class.

    Undecided values say nothing of the end, so they belong to the interval.
    """
    decided = [(float(value), _class(group, k)) for k, value in enumerate(group["value"])
               if _class(group, k) != "undecided"]
    ends = []
    for (value, label), (other, next_label) in pairwise(decided):
        if label == "first-order" != next_label:
            ends.append((value, other, next_label))
        if next_label == "first-order" != label:
            ends.append((other, value, label))
    return ends


def draw(run: RunFile):
    """The plane of the parameter and temperature, and the evidence against the parameter."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplot_mosaic([["plane", "growth"], ["plane", "barrier"]],
                                      figsize=(7.6, 4.4), width_ratios=[1.55, 1.0])
    found = run["transitions"]
    _shade(axes["plane"], run["phase_diagram"], found)
    if "exact" in run:
        _exact(axes["plane"], run["exact"])
    _points(axes["plane"], found)
    _frame(axes["plane"], run["phase_diagram"])
    _growth(axes["growth"], found)
    _barriers(axes["barrier"], found)
    letter = found.attributes["size_name"]
    title(figure, run, (letter, found.attributes["parameter"]),
          f"{letter} = {', '.join(str(size) for size in found['size'])}")
    return figure


def _frame(axis, plane: Group) -> None:
    """The plane that was scanned, and no more."""
    value, T = _edges(np.nan_to_num(plane["value"])), plane["temperature"]
    axis.set(xlim=(value[0], value[-1]), ylim=(T[0], T[-1]))


def _edges(x: np.ndarray) -> np.ndarray:
    if len(x) < 2:
        return np.array([x[0] - 0.5, x[0] + 0.5])
    middle = 0.5 * (x[1:] + x[:-1])
    return np.concatenate([[1.5 * x[0] - 0.5 * x[1]], middle, [1.5 * x[-1] - 0.5 * x[-2]]])


def _lonely(found: Group) -> np.ndarray:
    """Columns of coexisting +Phi and -Phi without a neighbour of this kind: a line, no region."""
    coexist = np.isfinite(np.append(np.append(np.nan, found["coexistence_end"]), np.nan))
    return coexist[1:-1] & ~coexist[:-2] & ~coexist[2:]


def _shade(axis, plane: Group, found: Group) -> None:
    from matplotlib.colors import ListedColormap

    names = [str(name) for name in plane.attributes["phases"]]
    kept = ~_lonely(found) if len(found["value"]) > 1 else np.ones(1, dtype=bool)
    value, T = found["value"][kept], plane["temperature"]
    phase = np.ma.masked_less(plane["phase"][kept], 0)
    axis.pcolormesh(_edges(np.nan_to_num(value)), _edges(T), phase.T, vmin=-0.5,
                    vmax=len(names) - 0.5, cmap=ListedColormap([_SHADES[n] for n in names]),
                    rasterized=True)
    for k, name in enumerate(names):
        inside = np.ma.filled(phase == k, False)
        if inside.mean() > 0.04:
            _name(axis, value, T, inside, _NAMES.get(name, name))


def _name(axis, value, T, inside, text: str) -> None:
    """The name of a phase, at the point of it that is farthest from all others and the frame."""
    from scipy.ndimage import distance_transform_edt

    fine = np.linspace(value[0], value[-1], 80) if len(value) > 1 else value
    nearest = np.abs(fine[:, None] - value).argmin(axis=1)
    depth = distance_transform_edt(np.pad(inside[nearest], 1))[1:-1, 1:-1]
    i, j = np.unravel_index(int(np.argmax(depth)), depth.shape)
    axis.text(fine[i], T[j], text, ha="center", va="center", fontsize=8.5, color="#444444",
              style="italic", bbox={"facecolor": "white", "alpha": 0.5, "edgecolor": "none",
                                    "pad": 1.5})


def _exact(axis, exact: Group) -> None:
    seen: set[str] = set()
    for key, variable in exact.variables.items():
        if key.endswith("_temperature"):
            label = variable.long_name
            axis.plot(exact[key.replace("_temperature", "_value")], variable.data,
                      color="black", linewidth=0.9, linestyle=":" if "spinodal" in key else "-",
                      label=None if label in seen else label, zorder=2, scalex=False, scaley=False)
            seen.add(label)
        elif key.endswith("_point"):
            axis.plot(*variable.data, "*", color="black", markersize=9, label=variable.long_name,
                      zorder=5, linestyle="none", scalex=False, scaley=False)


def _points(axis, found: Group) -> None:
    labels = np.array([_class(found, k) for k in range(len(found["value"]))])
    low, high = found["coexistence_low"], found["coexistence_high"]
    for k in np.flatnonzero(_lonely(found)):
        axis.plot([found["value"][k]] * 2, [low[k], high[k]], color=COLOURS[1], linewidth=3.5,
                  alpha=0.6, label=r"$+\Phi$ and $-\Phi$ coexist", zorder=3, solid_capstyle="butt")
    for label, (marker, colour) in _MARKERS.items():
        at = (labels == label) & np.isfinite(found["temperature"])
        if at.any():
            filled = "none" if label == "crossover" else colour
            T, error = found["temperature"][at], found["temperature_err"][at]
            axis.errorbar(found["value"][at], T, error, fmt=marker, color=colour,
                          markerfacecolor=filled, markersize=4.5, elinewidth=0.9, capsize=2,
                          label=label, zorder=4)
    axis.set(xlabel=f"${found.attributes['parameter']}$", ylabel="temperature $T$")
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=3, columnspacing=1.2)


def _growth(axis, found: Group) -> None:
    for k, value in enumerate(found["value"]):
        marker, colour = _MARKERS[_class(found, k)]
        axis.errorbar(value, found["growth"][k], found["growth_err"][k], fmt=marker, color=colour,
                      markersize=3.5, elinewidth=0.8,
                      markerfacecolor="none" if _class(found, k) == "crossover" else colour)
    axis.axhline(found.attributes["least_growth"], color=GREY, linewidth=0.8, linestyle="--")
    axis.axhline(1.0, color=GREY, linewidth=0.8, linestyle=":")
    axis.set(ylabel=r"$\chi_{\max}\sim N^{\,y}$: $y$", xlabel=f"${found.attributes['parameter']}$")


def _barriers(axis, found: Group) -> None:
    n_sizes = len(found["size"])
    letter = found.attributes["size_name"]
    for s, size in enumerate(found["size"]):
        axis.errorbar(found["value"], found["barrier"][:, s], found["barrier_err"][:, s],
                      fmt="o-", markersize=2.5, elinewidth=0.8, linewidth=0.9,
                      color=_blue(s, n_sizes), label=f"${letter}={size}$")
    axis.set(ylabel="barrier at equal height (nat)", xlabel=f"${found.attributes['parameter']}$")
    top = float(np.nanmax(found["barrier"], initial=1.0))
    axis.set_ylim(-0.05 * top, 1.1 * top)  # a barrier of no nat must look like none
    axis.legend()


def _blue(s: int, n: int):
    import matplotlib

    return matplotlib.colormaps["viridis_r"](0.25 + 0.7 * s / max(n - 1, 1))
