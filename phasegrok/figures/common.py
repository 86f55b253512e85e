"""Style, tables and small parts that the figures share."""

import math
from typing import Any

import numpy as np

from phasegrok.groups import Group
from phasegrok.run.runfile import RunFile
from phasegrok.statistics import format_error

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito
GREY = "#777777"

STYLE: dict[Any, Any] = {
    "font.size": 8.5, "axes.titlesize": 9, "axes.labelsize": 8.5, "legend.fontsize": 7.5,
    "xtick.labelsize": 7.5, "ytick.labelsize": 7.5, "axes.spines.top": False,
    "axes.spines.right": False, "legend.frameon": False, "lines.linewidth": 1.2,
    "savefig.dpi": 200, "figure.constrained_layout.use": True, "axes.titlelocation": "left",
}


def pair(value: float, error: float, missing: str = "-") -> str:
    """Value with its error in the last digits."""
    if math.isnan(value):
        return missing
    if math.isinf(value):
        return "never"
    return format_error(value, error) if error > 0.0 else f"{value:.4g}"


def both(group: Group, name: str) -> str:
    """A variable of a group with its error."""
    return pair(float(group[name]), float(group[f"{name}_err"]))


def parameters_text(run: RunFile, without: tuple[str, ...] = ()) -> str:
    """Parameters of the run's card as they were set, but for those ``without``.

    The title of a card names none of them, so that it holds whatever is set.
    """
    return ", ".join(f"{k} = {v}" for k, v in _parameters(run).items() if k not in without)


def _parameters(run: RunFile) -> dict:
    import tomllib

    return tomllib.loads(run.attributes.get("card", "")).get("parameters", {})


def instance(run: RunFile) -> str:
    """Numbers of spins, bonds and local fields of a graph that was read; else empty."""
    system = run.groups.get("system")
    if system is None or "bonds" not in system:
        return ""
    bonds, fields = system["bonds"], system["fields"] if "fields" in system else ()
    n = _parameters(run).get("n_sites", len(fields) or int(bonds[:, :2].max()) + 1)
    numbers = {"spin": n, "bond": len(bonds), "local field": np.count_nonzero(fields)}
    return ", ".join(f"{number} {name}{'' if number == 1 else 's'}"
                     for name, number in numbers.items() if number)


def title(figure, run: RunFile, without: tuple[str, ...] = (), more: str = "") -> None:
    """Title of the card and its parameters, but for those ``without``, and what is said besides."""
    said = ", ".join(filter(None, [parameters_text(run, without), instance(run), more]))
    text = f"{run.attributes['title']}\n{said}"
    figure.suptitle(text, fontsize=8.5, x=0.01, ha="left")


def band(axis, x, y, error, colour, label=None, **style) -> None:
    """A curve with its error as a shaded band; one point with an error bar."""
    if np.size(x) == 1:
        bar = np.where(np.isfinite(error), error, 0.0)
        axis.errorbar(x, y, bar, fmt="o", markersize=3, color=colour, label=label)
        return
    axis.plot(x, y, color=colour, label=label, **style)
    if np.isfinite(error).any():
        axis.fill_between(x, y - error, y + error, color=colour, alpha=0.25, linewidth=0)


def empty(axis, text: str) -> None:
    """A panel that says why it is empty."""
    axis.text(0.5, 0.5, text, ha="center", va="center", transform=axis.transAxes, color=GREY)
    axis.set(xticks=[], yticks=[])
