"""Lines and figure of waiting times."""

import math

import numpy as np

from phasegrok.figures.common import COLOURS, GREY, both, title
from phasegrok.groups import Group
from phasegrok.run.runfile import RunFile


def waiting_lines(group: Group) -> str:
    """Mean waiting time and how exponential it is."""
    a = group.attributes
    unit = a.get("time_unit", "")
    n, censored = len(group["time"]), int(group["censored"].sum())
    lines = [f"{n} clones at T = {a['temperature']:g}, {n - censored} events seen, "
             f"{censored} censored at {a['limit']:g} {unit}"]
    if a.get("broken_replicas"):
        lines.append(f"{a['broken_replicas']} clones stopped: loss or weights not finite")
    if "tau" in group and not math.isnan(float(group["tau"])):
        exact = f"   exact {a['exact_tau']:.5g}" if "exact_tau" in a else ""
        lines.append(f"mean waiting time {both(group, 'tau')} {unit}{exact}")
        lines.append(f"CV {both(group, 'cv')}, lag {both(group, 'lag')} {unit}, memoryless "
                     f"index {both(group, 'memoryless')}, shifted exponential p = "
                     f"{float(group['p_value']):.2g}")
    if a.get("doubt"):
        lines.append(f"DO NOT BELIEVE THE TIMES: {a['doubt']}")
    return "\n".join(lines)


def draw_waiting(run: RunFile):
    """Order parameter of some clones, and the share still waiting."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(6.6, 2.8))
    paths(axes[0], run["waiting_times"])
    survival(axes[1], run["waiting_times"])
    title(figure, run)
    return figure


def paths(axis, group: Group) -> None:
    """Order parameter of a few clones against time."""
    a = group.attributes
    if "path" in group:
        n = group["path"].shape[1]
        for k in range(len(group["traced"])):
            t = (np.arange(n) + 1) * group["path_spacing"][k]
            axis.plot(t, group["path"][k], color=COLOURS[k % len(COLOURS)], linewidth=0.8)
    elif "test_accuracy" in group:
        for k in range(min(6, len(group["clone"]))):
            axis.plot(group["step"], group["test_accuracy"][k], linewidth=0.8,
                      color=COLOURS[k % len(COLOURS)])
    axis.axhline(a["threshold"], color=GREY, linestyle="--", linewidth=0.9)
    axis.set(xlabel=time_label(a), ylabel="order parameter")


def time_label(attributes: dict) -> str:
    """Label of a time axis."""
    unit = attributes.get("time_unit", "time")
    return "time" if unit == "time" else f"time ({unit})"


def survival(axis, group: Group) -> None:
    """Share of clones still waiting, with the fitted shifted exponential."""
    times = np.sort(group["time"][group["censored"] == 0])
    n = len(group["time"])
    a = group.attributes
    if len(times) == 0:
        axis.text(0.5, 0.5, f"no event within {a['limit']:g} {a.get('time_unit', '')}",
                  ha="center", va="center", transform=axis.transAxes, color=GREY)
        return
    share = 1.0 - np.arange(1, len(times) + 1) / n
    axis.step(np.append(0.0, times), np.append(1.0, share), where="post", color=COLOURS[0],
              label="clones")
    if "lag" in group and float(group["scale"]) > 0.0:
        lag, scale = float(group["lag"]), float(group["scale"])
        t = np.linspace(0.0, times[-1], 200)
        axis.plot(t, np.where(t > lag, np.exp(-(t - lag) / scale), 1.0), color=COLOURS[1],
                  linewidth=0.9, label="shifted exponential")
    if "exact_tau" in a:
        axis.axvline(a["exact_tau"], color=GREY, linestyle="--", linewidth=0.9,
                     label="exact mean")
    axis.set(yscale="log", ylim=(0.5 / n, 1.3), xlabel=time_label(a),
             ylabel="share still waiting", xlim=(0, None))
    axis.legend()
