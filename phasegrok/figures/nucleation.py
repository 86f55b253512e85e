"""Table and figure of the nucleation of neurons against the input dimension."""

import numpy as np

from phasegrok.figures.common import COLOURS, GREY, both, pair, title
from phasegrok.groups import Group
from phasegrok.run.runfile import RunFile
from phasegrok.text import table


def lines(run: RunFile) -> str:
    """Barriers and waiting times at every d, and the slopes."""
    g = run["nucleation"]
    rows = []
    for k, d in enumerate(g["size"]):
        row = [f"{d}", f"{g['top'][k]:.3f}"]
        row += [pair(g[n][k], g[f"{n}_err"][k]) for n in ("barrier",)]
        row += [_number(g["barrier_theory"][k])]
        row += [pair(g[n][k], g[f"{n}_err"][k]) for n in ("tau", "cv", "lag", "memoryless")]
        row += [f"{g['p_value'][k]:.2g}", f"{g['censored'][k]:.2f}", _number(g["bound"][k]),
                pair(g["transmission"][k], g["transmission_err"][k]),
                "" if _exponential(g)[k] else "not exponential: in no line of ln tau"]
        rows.append(row)
    text = table(["d", "top", "barrier (nat)", "theory", "tau", "CV", "lag", "memoryless",
                  "exponential p", "censored", "TST", "transmission", ""], rows)
    return (f"{text}\n"
            f"slope of ln tau against the barrier {_slope(g, 'slope')} (1: Arrhenius)\n"
            f"against that of theory {_slope(g, 'slope_theory')}, against d "
            f"{_slope(g, 'slope_size')}\n"
            f"slope of the barrier against d, nat {_slope(g, 'slope_barrier_size')}")


def _exponential(g: Group) -> np.ndarray:
    """At which d waits are exponential and enter the lines of ln tau; all, where not stored."""
    return g["exponential"] > 0 if "exponential" in g else np.ones(len(g["size"]), dtype=bool)


def _slope(g: Group, name: str) -> str:
    """A slope with its error, and how straight the line is, where that is stored."""
    if f"{name}_chi2" not in g:
        return both(g, name)
    chi2, points = float(g[f"{name}_chi2"]), int(g[f"{name}_points"])
    if points < 3:
        return f"{both(g, name)} ({points} points)"
    p = float(g[f"{name}_p"])
    bent = ": not straight" if p < g.attributes["least_p"] else ""
    return f"{both(g, name)} ({points} points, chi2 {chi2:.3g} on {points - 2}, p = {p:.2g}{bent})"


def _number(value: float) -> str:
    return "none" if np.isnan(value) else f"{value:.3g}"


def draw(run: RunFile):
    """Barrier against d, waiting time against the barrier, share still waiting."""
    import matplotlib.pyplot as plt

    g = run["nucleation"]
    figure, axes = plt.subplots(1, 3, figsize=(9.2, 2.9))
    axes[0].errorbar(g["size"], g["barrier"], g["barrier_err"], fmt="o", color=COLOURS[0],
                     markersize=4, label="chains below the wall")
    axes[0].plot(g["size"], g["barrier_theory"], color="k", linewidth=1.0,
                 label="cavity theory, all below the wall")
    axes[0].set(xlabel="input dimension $d$", ylabel="barrier of a neuron (nat)", ylim=(0, None))
    axes[0].legend(fontsize=6.5)
    _arrhenius(axes[1], g)
    for k, d in enumerate(g["size"]):
        x, share = _law(g, k)
        axes[2].plot(x, share, color=COLOURS[k % len(COLOURS)], linewidth=1.0,
                     drawstyle="steps-post", label=f"d = {d}")
    t = np.linspace(0.0, 5.0, 50)
    axes[2].plot(t, np.exp(-t), color="k", linestyle="--", linewidth=0.9, label=r"$e^{-x}$")
    axes[2].set(xlabel=r"$x = (t - \mathrm{lag})/(\tau - \mathrm{lag})$",
                ylabel="share still waiting", yscale="log", xlim=(-0.3, 5), ylim=(8e-3, 1.2))
    axes[2].legend(fontsize=6, ncol=2)
    title(figure, run, without=("d", "sigma_a2", "disorder_seed"),
          more=f"{g.attributes['clones']} clones of one network at each d")
    return figure


def _arrhenius(axis, g: Group) -> None:
    known = np.isfinite(g["barrier"]) & np.isfinite(g["tau"])
    used = known & _exponential(g)
    for at, face, text in ((used, COLOURS[0], "first passages"),
                           (known & ~used, "none", "waits not exponential: not in the line")):
        if at.any():
            axis.errorbar(g["barrier"][at], g["tau"][at], g["tau_err"][at], g["barrier_err"][at],
                          fmt="o", color=COLOURS[0], markerfacecolor=face, markersize=4, label=text)
    axis.plot(g["barrier"][known], g["bound"][known], color=GREY, marker=".", linewidth=0.9,
              label=r"transition-state theory, from $P(\Phi)$")
    if np.isfinite(g["slope"]):
        x = np.array([g["barrier"][used].min(), g["barrier"][used].max()])
        axis.plot(x, np.exp(float(g["slope_intercept"]) + float(g["slope"]) * x), color="k",
                  linewidth=0.9, label=f"slope {both(g, 'slope')}")
    axis.set(xlabel="barrier, measured (nat)", ylabel=r"$\tau$ (the prior relaxes in 1)",
             yscale="log")
    axis.legend(fontsize=6.5)


def _law(g: Group, k: int):
    """Share of clones still waiting against scaled time, at one d."""
    time = np.sort(g["time"][k])
    seen = len(time) - round(float(g["censored"][k]) * len(time))
    lag, tau = float(g["lag"][k]), float(g["tau"][k])
    x = (time - lag) / (tau - lag)
    share = 1.0 - np.arange(1, len(time) + 1) / len(time)
    return x[:seen], np.where(share > 0.0, share, np.nan)[:seen]
