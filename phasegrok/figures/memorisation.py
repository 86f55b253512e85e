"""Table and figure of train and test loss against the number of patterns and time."""

import numpy as np

from phasegrok.figures.common import COLOURS, band, pair, title
from phasegrok.run.runfile import RunFile
from phasegrok.text import table


def lines(run: RunFile) -> str:
    """Losses, Phi statistics and settling times at every n."""
    g = run["memorisation_gap"]
    header = ["n", "train loss", "test loss", "train/test", "y - f on He_3", "N p", "theory",
              "rms off (nat)", "R-hat", "train settles at", "test at"]
    rows = []
    for k, n in enumerate(g["patterns"]):
        row = [f"{n}"]
        row += [pair(g[name][k], g[f"{name}_err"][k])
                for name in ("train_loss", "test_loss", "ratio", "residual_3", "droplets")]
        row += [f"{g[name][k]:{style}}" for name, style in
                (("droplets_theory", ".2f"), ("distance", ".3f"), ("r_hat", ".3f"))]
        row += [f"{np.exp(g[name][k]):.1f} x/ {np.exp(g[f'{name}_err'][k]):.2f}"
                for name in ("train_loss_settled", "test_loss_settled")]
        rows.append(row)
    return (f"kappa = {g.attributes['kappa']:g}, {g.attributes['samples']} data sets at each n, "
            "errors over data sets\n" + table(header, rows)
            + "\nrms off: -ln P(Phi) of a neuron from that at the largest n; a loss settles where "
              "it stays within 10 % of its end")


def draw(run: RunFile):
    """Potentials at every n; losses against n; losses in time."""
    import matplotlib.pyplot as plt

    g = run["memorisation_gap"]
    figure, axes = plt.subplots(1, 3, figsize=(9.8, 3.0))
    phi = g["order_parameter"]
    last = 0.0
    for k, n in enumerate(g["patterns"]):
        V, error = g["potential"][k], g["potential_err"][k]
        known = np.isfinite(V)
        last = max(last, phi[known].max(initial=0.0))
        axes[0].errorbar(phi[known], V[known], error[known], fmt=".", markersize=2.5,
                         elinewidth=0.6, color=COLOURS[k % len(COLOURS)], label=f"n = {n}")
        axes[0].plot(phi, g["potential_theory"][k], color=COLOURS[k % len(COLOURS)], linewidth=0.9)
    axes[0].set(xlabel=r"$|\Phi|$", ylabel=r"$-\ln P(\Phi)$ of a neuron (nat)", xlim=(0, last),
                ylim=(np.nanmin(g["potential"]) - 0.5, np.nanmax(g["potential"]) + 1.0))
    axes[0].legend(title="lines: cavity theory", title_fontsize=6.5, fontsize=6.5)
    if len(g["patterns"]) > 1:
        _losses(axes[1], g)
    else:
        _residual(axes[1], g)
    for k, n in enumerate(g["patterns"]):
        for name, colour in (("train_loss", COLOURS[0]), ("test_loss", COLOURS[1])):
            for start, style in enumerate(("-", "--")):
                y = g[f"{name}_course"][k, start]
                label = f"{'test' if name == 'test_loss' else 'train'}, n = {n}"
                band(axes[2], g["time"], y, g[f"{name}_course_err"][k, start], colour,
                     None if start else label, linestyle=style, alpha=1.0 / (1.0 + 0.7 * k))
    axes[2].set(xlabel="time (the prior relaxes in 1)", ylabel="mean squared error", xscale="log",
                yscale="log")
    axes[2].legend(fontsize=6, title="dashed: aligned start", title_fontsize=6)
    title(figure, run, without=("n", "sigma2", "inputs", "disorder_seed"),
          more=f"kappa = {g.attributes['kappa']:g}, {g.attributes['samples']} data sets at each n")
    return figure


def _losses(axis, g) -> None:
    for name, marker, text in (("train_loss", "o", "train"), ("test_loss", "s", "test")):
        axis.errorbar(g["patterns"], g[name], g[f"{name}_err"], fmt=marker + "-", markersize=4,
                      color=COLOURS[name == "test_loss"], linewidth=0.9, label=text)
    axis.set(xlabel="patterns $n$", ylabel="mean squared error", ylim=(0, None))
    axis.legend()


def _residual(axis, g) -> None:
    for start, style in enumerate(("-", "--")):
        band(axis, g["time"], g["residual_3_course"][0, start],
             g["residual_3_course_err"][0, start], COLOURS[2], f"{g['start'][start]} start",
             linestyle=style)
    axis.set(xlabel="time (the prior relaxes in 1)", ylabel="$c$, not learned of $He_3$",
             xscale="log")
    axis.legend()
