"""Table and figure of training runs."""

import math
import re

import numpy as np

from phasegrok.figures.common import COLOURS, GREY, pair, title
from phasegrok.groups import Group
from phasegrok.relaxation.training_curves import at_end
from phasegrok.run.runfile import RunFile
from phasegrok.text import table

_TIMES = ("memorisation_step", "generalisation_step_50", "generalisation_step_95")
_LARGEST_DRAWN = 1e100  # of a replica that diverges; axes end before floats do
_MANY = 8  # replicas of which quartiles say something


def training_table(group: Group) -> str:
    """Steps to memorise and to generalise of every replica, losses at the end; quartiles of many.

    A replica that did not get there counts as later than all others.
    """
    times = np.array([group[name] for name in _TIMES])
    ends = [at_end(group, name) for name in ("train_loss", "test_loss", "test_accuracy")]
    rows = []
    for k in range(len(group["replica"])):
        broken = group["broken_step"][k]
        note = "" if math.isnan(broken) else f"stopped: not finite at step {broken:.0f}"
        losses = ["-" if math.isnan(x[k]) else format(x[k], how)
                  for x, how in zip(ends, (".2e", ".2e", ".3f"))]
        rows.append([str(k), *("never" if math.isnan(s) else f"{s:.0f}" for s in times[:, k]),
                     *losses, note])
    if len(rows) >= _MANY:
        late = np.where(np.isnan(times), np.inf, times)
        for text, q in (("quarter by", 0.25), ("half by", 0.5), ("3 of 4 by", 0.75)):
            found = np.quantile(late, q, axis=1, method="inverted_cdf")
            rows.append([text, *(f"{s:.0f}" if math.isfinite(s) else "never" for s in found)])
        reached = np.isfinite(times).sum(axis=1)
        rows.append(["reached by", *(f"{n} of {times.shape[1]}" for n in reached)])
    header = ["replica", "train 99 %", "test 50 %", "test 95 % held", "train loss",
              "test loss", "test accuracy", ""]
    return table(header, [row + [""] * (len(header) - len(row)) for row in rows])


def evaluation_table(group: Group) -> str:
    """Losses, order parameters and norms, a column for each file of weights."""
    rows = []
    for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy"):
        variable = group.variables[name]
        rows.append([variable.long_name, *(f"{x:.8g}" for x in group[name]), variable.units])
    for name, norms in zip(group["matrix"], group["weight_norm"].T):
        rows.append([f"norm of {name}", *(f"{x:.8g}" for x in norms), "1"])
    rows.append(["norm of all weights", *(f"{x:.8g}" for x in group["norm"]), "1"])
    return table(["quantity", *map(str, group["weights"]), "unit"], rows)


def draw_training(run: RunFile):
    """Accuracy, loss and norms against steps."""
    import matplotlib.pyplot as plt

    group = run["training"]
    figure, axes = plt.subplots(1, 3, figsize=(9.0, 2.8))
    accuracy_curves(axes[0], group)
    axes[0].set_ylabel(_of_train_set(group, "train_accuracy"))
    for name, colour in (("train_loss", COLOURS[0]), ("test_loss", COLOURS[1])):
        step, losses = curves_of(group, name)
        axes[1].plot(step, losses.T, color=colour, alpha=0.8)
    axes[1].set(xscale="log", yscale="log", xlabel="step",
                ylabel=_of_train_set(group, "train_loss"), xlim=_step_range(step))
    (step, norms), names = curves_of(group, "weight_norm"), group["matrix"]
    for j, name in enumerate(names):
        if not str(name).startswith("b_"):
            axes[2].plot(step, _mean_of_known(norms[:, :, j]), label=str(name),
                         color=plt.get_cmap("viridis")(j / max(1, len(names) - 1)))
    if "free_norm" in group.variables:
        total = _mean_of_known(np.sqrt((norms**2).sum(axis=2)))
        axes[2].plot(step, total, color="k", label="all weights")
        axes[2].plot(step, curves_of(group, "free_norm")[1].mean(axis=0), "--", color=GREY,
                     label="noise alone")
    axes[2].set(xscale="log", xlabel="step", ylabel="weight norm, mean of replicas",
                ylim=(0, None), xlim=_step_range(step))
    axes[2].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    title(figure, run)
    return figure


def _of_train_set(group: Group, name: str) -> str:
    """What a curve is, with its unit."""
    variable = group.variables[name]
    words = re.split(" o[fn] the train set", variable.long_name)[0]
    return words if variable.units == "1" else f"{words} ({variable.units})"


def curves_of(group: Group, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps, and curves of all replicas, the last step among them; older files lack that."""
    step, curves = np.maximum(group["step"], 1), group[name]
    curves = np.where(np.abs(curves) < _LARGEST_DRAWN, curves, np.nan)
    if f"final_{name}" not in group.variables:
        return step, curves
    last, end = group["final_step"], group[f"final_{name}"]
    if last.max() in group["step"]:
        return step, curves
    at = np.searchsorted(step, last.max())  # a replica that has stopped was evaluated there
    end = np.where(np.expand_dims(last == last.max(), tuple(range(1, end.ndim))), end, np.nan)
    return np.insert(step, at, last.max()), np.insert(curves, at, end, axis=1)


def _step_range(step: np.ndarray) -> tuple[float, float]:
    """From the first evaluation after the start to the last."""
    return float(step[min(1, len(step) - 1)]), float(max(step[-1], 2))


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Mean over the replicas that got there; NaN where none did."""
    known = np.isfinite(values)
    number = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def accuracy_curves(axis, group: Group) -> None:
    """Train and test accuracy of every replica."""
    for name, colour in (("train", COLOURS[0]), ("test", COLOURS[1])):
        step, accuracy = curves_of(group, f"{name}_accuracy")
        for k, row in enumerate(accuracy):
            axis.plot(step, row, color=colour, alpha=0.8, label=name if k == 0 else None)
    axis.set(xscale="log", xlabel="step", ylabel="accuracy", ylim=(-0.02, 1.05),
             xlim=_step_range(step))
    axis.legend(loc="center left")


def optimiser_lines(run: RunFile) -> str:
    """Times and ratios of every optimiser, then what the filters do to each."""
    g = run["optimisers"]
    n = len(g["replica"])
    names = [str(name) for name in g["optimiser"]]
    rows = []
    for k, name in enumerate(names):
        decay = "fixed norm" if g["fixed_norm"][k] else f"{g['weight_decay'][k]:g}"
        note = f"{g['broken'][k]} not finite" if g["broken"][k] else ""
        free = g["final_free_norm"][k].mean()
        norm = f"{_mean_of_known(g['final_norm'][k]):.3g}" + ("" if math.isnan(free)
                                                             else f" ({free:.3g})")
        note = ", ".join(filter(None, [f"best test {np.median(g['best_test_accuracy'][k]):.2f}",
                                       note]))
        rows.append([name, f"{g['learning_rate'][k]:g}", decay,
                     *(_median_cell(g, t, k, n) for t in _TIMES),
                     _ratio_cell(g, "ratio_50", k), _ratio_cell(g, "ratio_95", k), norm, note])
    text = table(["optimiser", "lr", "decay", "train 99 %", "test 50 %", "test 95 % held",
                  "ratio of 50 %", "of 95 %", "norm", ""], rows)
    text += (f"\nmedians of {n} replicas [smallest - largest], the same initial weights for all; "
             f"(k/{n}): k reached it by step {g.attributes['steps']}; ?: too few reached it for an "
             f"error\nratios of medians, to {g.attributes['reference']}; norm of all weights at "
             "the end (in brackets: from noise and decay alone)")
    bases = [name for name in names if {f"{name}+ema", f"{name}+ma"} & set(names)]
    if not bases:
        return text
    rows = [[base, *(_ratio_cell(g, f"filter_ratio_{which}", names.index(f"{base}+{kind}"))
                     if f"{base}+{kind}" in names else "-"
                     for kind in ("ema", "ma") for which in ("50", "95"))] for base in bases]
    return text + "\n\nratio to the same optimiser without filter\n" + table(
        ["optimiser", "ema: 50 %", "95 %", "ma: 50 %", "95 %"], rows)


def _median_cell(g: Group, name: str, k: int, n: int) -> str:
    reached = n - int(g[f"{name}_censored"][k])
    if reached == 0:
        return "never"
    known = g[name][k][np.isfinite(g[name][k])]
    share = "" if reached == n else f" ({reached}/{n})"
    if math.isnan(g[f"{name}_median"][k]):
        return f"> {g.attributes[f'{name}_limit']:.0f}{share}"
    return f"{_unsure(g, f'{name}_median', k)} [{known.min():.0f} - {known.max():.0f}]{share}"


def _ratio_cell(g: Group, name: str, k: int) -> str:
    return f"> {g[name][k]:.3g}" if g[f"{name}_bound"][k] else _unsure(g, name, k)


def _unsure(g: Group, name: str, k: int) -> str:
    """Value with its error, or with a question mark where that is not known."""
    value, error = float(g[name][k]), float(g[f"{name}_err"][k])
    if math.isnan(error) and not math.isnan(value):
        return f"{value:.0f} ± ?" if value >= 100.0 else f"{value:.3g} ± ?"
    return pair(value, error)


_STYLES = {"": ("-", "o"), "ema": ("--", "s"), "ma": (":", "^")}


def draw_optimisers(run: RunFile):
    """Test accuracy of every optimiser, with and without filter; times of all; their ratios."""
    import matplotlib.pyplot as plt

    g = run["optimisers"]
    names = [str(name) for name in g["optimiser"]]
    bases = list(dict.fromkeys(name.partition("+")[0] for name in names))
    per_row = min(5, max(2, len(bases)))
    rows = -(-len(bases) // per_row)
    figure = plt.figure(figsize=(9.0, 2.2 * rows + 0.25 * len(names) + 1.4))
    grid = figure.add_gridspec(rows + 1, per_row, height_ratios=[2.2] * rows
                               + [0.25 * len(names) + 0.9])
    for j, base in enumerate(bases):
        axis = figure.add_subplot(grid[j // per_row, j % per_row])
        _optimiser_curves(axis, g, names, base, COLOURS[j % len(COLOURS)])
        if j % per_row:
            axis.set(ylabel=None, yticklabels=[])
    figure.axes[0].set_title("median and quartiles of replicas", fontsize=7)
    split = (per_row + 1) // 2
    colours = [COLOURS[bases.index(n.partition("+")[0]) % len(COLOURS)] for n in names]
    _optimiser_times(figure.add_subplot(grid[rows, :split]), g, names, colours)
    _optimiser_ratios(figure.add_subplot(grid[rows, split:]), g, names, colours)
    title(figure, run, more=f"{len(g['replica'])} replicas")
    return figure


def _optimiser_curves(axis, g: Group, names: list[str], base: str, colour: str) -> None:
    step = np.maximum(g["step"], 1)
    for k, name in enumerate(names):
        if name.partition("+")[0] != base:
            continue
        kind = name.partition("+")[2]
        shade = colour if not kind else "k" if kind == "ema" else GREY
        axis.plot(step, g["test_accuracy_middle"][k], color=shade, linestyle=_STYLES[kind][0],
                  label=name)
        axis.fill_between(step, g["test_accuracy_low"][k], g["test_accuracy_high"][k], color=shade,
                          alpha=0.2, linewidth=0)
    axis.set(xscale="log", xlabel="step", ylabel="test accuracy", ylim=(-0.02, 1.05),
             xlim=_step_range(step))
    axis.legend(loc="upper left", fontsize=6.5)


def _optimiser_times(axis, g: Group, names: list[str], colours: list[str]) -> None:
    """Replicas as dots; those that did not get there at the last step, open."""
    end = float(g.attributes["steps"])
    for k, colour in enumerate(colours):
        for name, marker, shift in zip(_TIMES, "^os", (0.22, 0.0, -0.22)):
            times = g[name][k]
            known = np.isfinite(times)
            y = k - shift
            axis.plot(times[known], np.full(known.sum(), y), marker, color=colour, markersize=2.8,
                      alpha=0.8)
            axis.plot(g[f"{name}_median"][k], y, "|", color="k", markersize=8)
            if not known.all():
                axis.plot(end, y, marker, color=colour, markersize=3.5, markerfacecolor="none")
                axis.text(1.15 * end, y, f"{(~known).sum()}", fontsize=5.5, va="center")
    axis.set(yticks=range(len(names)), yticklabels=names, xscale="log", xlim=(None, 1.5 * end),
             ylim=(len(names) - 0.5, -0.5),
             xlabel="step of 99 % train (triangles), 50 % test (dots), 95 % test held (squares)\n"
             "bar: median; open, with number: not reached")


def _optimiser_ratios(axis, g: Group, names: list[str], colours: list[str]) -> None:
    known = [x for name in ("ratio_50", "ratio_95") for x in g[name] if np.isfinite(x)]
    for name, marker, shift in (("ratio_50", "o", 0.0), ("ratio_95", "s", -0.22)):
        for k, colour in enumerate(colours):
            value, error = g[name][k], g[f"{name}_err"][k]
            if not np.isfinite(value):
                continue
            y = k - shift
            axis.errorbar(value, y, xerr=None if np.isnan(error) else error, fmt=marker,
                          color=colour, markersize=3.5, linewidth=0.9,
                          markerfacecolor="none" if g[f"{name}_bound"][k] else colour)
            if g[f"{name}_bound"][k]:
                axis.annotate("", (1.25 * value, y), (value, y),
                              arrowprops={"arrowstyle": "->", "color": colour})
    axis.axvline(1.0, color=GREY, linewidth=0.8, linestyle="--")
    axis.set(yticks=range(len(names)), yticklabels=[], xscale="log",  # the rows beside
             ylim=(len(names) - 0.5, -0.5),
             xlim=(0.6 * min([1.0, *known]), 1.7 * max([1.0, *known])),
             xlabel=f"median over that of {g.attributes['reference']}: 50 % test (dots),\n"
             "95 % test held (squares); open: lower bound")
