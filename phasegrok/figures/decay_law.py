"""Table and figure of the time to generalise against decay, data and size of the weights."""

import numpy as np

from phasegrok.figures.common import COLOURS, GREY, both, empty, pair, title
from phasegrok.groups import Group
from phasegrok.run.runfile import RunFile
from phasegrok.text import table

_LABELS = {"decays": "lr wd (by the decay)", "rates": "lr wd (by the learning rate)",
           "fractions": "train fraction", "scales": "scale of the initial weights"}
_TIMES = {"memorisation_step": ("train 99 %", "^", COLOURS[0]),
          "generalisation_step_50": ("test 50 %", "o", COLOURS[1]),
          "generalisation_step_95": ("test 95 % held", "s", COLOURS[2])}


def lines(run: RunFile) -> str:
    """Median times at every value, the fitted laws, and the losses at fixed norms."""
    g, parts = run["decay_law"], []
    n = len(g["replica"])
    for scan, label in _LABELS.items():
        if scan not in g.variables:
            continue
        rows = []
        for k, value in enumerate(g[scan]):
            cells = []
            for name in _TIMES:
                times, median = g[f"{scan}_{name}"][k], g[f"{scan}_{name}_median"][k]
                reached = int(np.isfinite(times).sum())
                text = pair(float(median), float(g[f"{scan}_{name}_median_err"][k]), "-")
                cells.append(text if reached == n else f"{text} ({reached}/{n})")
            if f"{scan}_local_exponent" in g.variables:
                local, error = (float(g[f"{scan}_local_exponent{end}"][k]) for end in ("", "_err"))
                cells.append(pair(local, error) + (" ± ?" if local == local and error != error
                                                   else ""))
            rows.append([f"{value:g}", *cells, f"{g[f'{scan}_steps'][k]:.0f}"])
        header = [label, *(t for t, *_ in _TIMES.values())]
        if f"{scan}_local_exponent" in g.variables:
            header.append("exponent to the next")
        text = table([*header, "steps at most"], rows)
        parts.append(text + "\n" + _law(g, scan))
    if "norms" in g.variables:
        rows = [[f"{value:g}", *(pair(float(g[f"norms_{name}_mean"][k]),
                                      float(g[f"norms_{name}_mean_err"][k]))
                                 for name in ("train_loss", "test_loss", "test_accuracy"))]
                for k, value in enumerate(g["norms"])]
        parts.append(table(["norm held", "train loss", "test loss", "test accuracy"], rows)
                     + f"\nafter {g['norms_steps'][0]:.0f} steps")
    return "\n\n".join(parts) + (f"\nmedians of {n} replicas, the same initial weights at all "
                                 "values; (k/n): k reached it")


def _law(g: Group, scan: str) -> str:
    points = g.attributes[f"{scan}_points"]
    if not np.isfinite(g[f"{scan}_exponent"]):
        return f"no law of the step of 50 %: {points} medians are known"
    power = f"exponent {both(g, f'{scan}_exponent')}"
    if scan == "fractions":
        critical, error = float(g["fractions_critical"]), float(g["fractions_critical_err"])
        note = "" if critical > 2.0 * error else ", not told from zero: no divergence is seen"
        return (f"step of 50 % ~ (fraction - critical)^-exponent: critical fraction "
                f"{both(g, 'fractions_critical')}{note}, {power} ({_quality(g, scan)})")
    return f"step of 50 % ~ x^-exponent: {power} ({_quality(g, scan)})"


def _quality(g: Group, scan: str) -> str:
    return (f"{g.attributes[f'{scan}_points']} medians, {g.attributes[f'{scan}_rms']:.2f} rms "
            "about it in ln")


def draw(run: RunFile):
    """Times against lr wd, train fraction and initial scale, with their laws; losses by norm."""
    import matplotlib.pyplot as plt

    g = run["decay_law"]
    figure, axes = plt.subplots(2, 2, figsize=(8.0, 6.4))
    _against_product(axes[0, 0], g)
    _against(axes[0, 1], g, "fractions")
    _against(axes[1, 0], g, "scales")
    _losses(axes[1, 1], g)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower left", ncols=len(handles))
    title(figure, run, more=f"{len(g['replica'])} replicas")
    return figure


def _times(axis, g: Group, scan: str, hollow: bool = False) -> None:
    """Replicas as small dots, their medians as marks."""
    x = g[scan]
    for name, (label, marker, colour) in _TIMES.items():
        times = g[f"{scan}_{name}"]
        axis.plot(np.repeat(x, times.shape[1]), times.ravel(), ".", color=colour, alpha=0.25,
                  markersize=2.5)
        axis.errorbar(x, g[f"{scan}_{name}_median"],
                      np.nan_to_num(g[f"{scan}_{name}_median_err"]), fmt=marker, color=colour,
                      markersize=4, label=None if hollow else label,
                      markerfacecolor="w" if hollow else colour)
    axis.set(yscale="log", ylabel="step")


def _ticks(axis, values: np.ndarray) -> None:
    """A logarithmic axis with its ticks at the values."""
    axis.set(xscale="log")
    axis.set_xticks(values, [f"{value:g}" for value in values])
    axis.minorticks_off()


def _against(axis, g: Group, scan: str) -> None:
    if scan not in g.variables:
        empty(axis, f"no {scan}")
        return
    _times(axis, g, scan)
    law = _curve(axis, g, scan)
    if scan == "scales":
        _ticks(axis, g[scan])
    axis.set(xlabel=_LABELS[scan])
    axis.set_title(law)


def _curve(axis, g: Group, scan: str, style: str = "-") -> str:
    """Draw the law of the 50 % times; returns what it is."""
    b, a = g[f"{scan}_exponent"], g[f"{scan}_prefactor"]
    if not np.isfinite(b):
        return ""
    at = g[f"{scan}_critical"] if scan == "fractions" else 0.0
    known = g[scan][np.isfinite(g[f"{scan}_generalisation_step_50_median"])]
    x = at + np.geomspace(known[0] - at, known[-1] - at, 100)
    axis.plot(x, a * (x - at) ** -b, style, color="k", linewidth=0.9)
    exponent = both(g, f"{scan}_exponent")
    if scan == "fractions":
        return f"50 %: critical {both(g, 'fractions_critical')}, exponent {exponent}"
    return f"50 %: exponent {exponent}"


def _against_product(axis, g: Group) -> None:
    shown = [scan for scan in ("decays", "rates") if scan in g.variables]
    if not shown:
        empty(axis, "no decays")
        return
    laws = []
    for k, scan in enumerate(shown):
        _times(axis, g, scan, hollow=k > 0)
        laws.append(_curve(axis, g, scan, "-" if k == 0 else "--"))
    axis.set(xscale="log", xlabel=_LABELS[shown[0]] if len(shown) == 1
             else "lr wd, by the decay (full, solid) or the learning rate (open, dashed)")
    axis.set_title(" and ".join(filter(None, [laws[0], *(law[6:] for law in laws[1:])])))


def _losses(axis, g: Group) -> None:
    if "norms" not in g.variables:
        empty(axis, "no norms")
        return
    for name, colour in (("train_loss", COLOURS[0]), ("test_loss", COLOURS[1])):
        axis.errorbar(g["norms"], g[f"norms_{name}_mean"],
                      np.nan_to_num(g[f"norms_{name}_mean_err"]), fmt="o-", color=colour,
                      markersize=3.5, label=name.replace("_", " "))
    twin = axis.twinx()
    twin.plot(g["norms"], g["norms_test_accuracy_mean"], "s:", color=GREY, markersize=3)
    twin.set(ylim=(-0.02, 1.05), ylabel="test accuracy (grey)")
    twin.spines["right"].set_visible(True)
    _ticks(axis, g["norms"])
    axis.set(yscale="log", xlabel="norm held, over that of the start",
             ylabel=f"loss (nat) after {g['norms_steps'][0]:.0f} steps")
    axis.legend(loc="center left")
