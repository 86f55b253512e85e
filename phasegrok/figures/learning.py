"""Table and figure of the learning curve of a perceptron."""

import numpy as np

from phasegrok.figures.common import COLOURS, GREY, pair, title
from phasegrok.run.runfile import RunFile
from phasegrok.text import table


def lines(run: RunFile) -> str:
    """Generalisation error at every size and alpha, with theory; coexistence; quenches."""
    g, theory = run["learning_curve"], run["theory"]
    ising = str(g.attributes["weights"]) == "Ising"
    header = ["N", "alpha", "error"] + (
        ["annealed", "entropy", "annealed", "T coexistence", "samples with", "complete"] if ising
        else ["starts differ by (rms z)"]) + ["theory: error"] + (["entropy"] if ising else [])
    rows = []
    for i, size in enumerate(g["size"]):
        for k, alpha in enumerate(g["alpha_drawn"][i]):
            names = ["error"] + (["annealed_error", "entropy", "annealed_entropy", "coexistence"]
                                 if ising else [])
            row = [f"{size}", f"{alpha:.3g}"]
            row += [pair(g[n][i, k], g[f"{n}_err"][i, k]) for n in names]
            row += [f"{g[n][i, k]:.2f}" for n in
                    (("coexisting", "complete") if ising else ("agreement",))]
            for name in ("error", "entropy") if ising else ("error",):
                value = float(np.interp(alpha, theory["alpha"], theory[name], right=np.nan))
                row.append("-" if np.isnan(value) else f"{value:.4f}")
            rows.append(row)
    text = table(header, rows)
    text += "\n" + ("theory: the poor state, N to infinity, replica-symmetric" if ising else
                    "theory: N to infinity")
    if "quench_overlap" in g:
        a = g.attributes
        text += (f"\n\nquenches to T = {a['temperature']:g} at N = {a['large']}; theory has the "
                 f"transition at alpha = {theory['thermal_transition']:.4f}\n")
        text += table(["alpha", "R from random", "R from the teacher", "theory: poor state"], [
            [f"{alpha:g}", *(pair(g["quench_overlap"][k, j], g["quench_overlap_err"][k, j])
                             for j in range(2)),
             _number(np.interp(alpha, theory["alpha"], theory["thermal_overlap"]))]
            for k, alpha in enumerate(g["alpha"])])
    return text


def _number(value: float) -> str:
    return "none" if np.isnan(value) else f"{value:.4f}"


def draw(run: RunFile):
    """Learning curve; entropies; the plane of alpha and T; quenches from both starts."""
    import matplotlib.pyplot as plt

    g, theory = run["learning_curve"], run["theory"]
    ising = str(g.attributes["weights"]) == "Ising"
    panels = 1 + 3 * ising + ("quench_overlap" in g)
    figure, axes = plt.subplots(1, panels, figsize=(0.6 + 2.75 * max(panels, 1.4), 3.0),
                                squeeze=False)
    curve = axes[0, 0]
    curve.plot(theory["alpha"], theory["error"], color="k", linewidth=1.0,
               label="poor state, RS" if ising else "theory")
    _sizes(curve, g, "error")
    curve.set(xlabel=r"$\alpha = P/N$", ylabel="generalisation error, T = 0", ylim=(0, None))
    if ising:
        for name, style in (("transition", "--"), ("spinodal", ":")):
            curve.axvline(float(theory[name]), color=GREY, linewidth=0.8, linestyle=style,
                          label=name)
        _entropies(axes[0, 1], g, theory)
        _at_overlap(axes[0, 2], run["entropy_at_overlap"], theory)
        _plane(axes[0, 3], g, theory)
    curve.legend(fontsize=6.5)
    if "quench_overlap" in g:
        _quenches(axes[0, -1], g, theory)
    title(figure, run, without=("N", "P"), more=f"{g.attributes['samples']} samples")
    return figure


def _sizes(axis, g, name: str, **style) -> None:
    for i, size in enumerate(g["size"]):
        axis.errorbar(g["alpha_drawn"][i], g[name][i], g[f"{name}_err"][i], color=COLOURS[i],
                      markersize=3, linewidth=0.9, **({"fmt": "o", "label": f"N = {size}"} | style))


def _entropies(axis, g, theory) -> None:
    axis.plot(theory["alpha"], theory["entropy"], color="k", linewidth=1.0, label="poor state, RS")
    axis.plot(theory["alpha"], theory["annealed_entropy"], color=GREY, linewidth=1.0,
              label="annealed")
    _sizes(axis, g, "entropy")
    _sizes(axis, g, "annealed_entropy", fmt="x", label=None)
    axis.set(xlabel=r"$\alpha$", ylabel="entropy at T = 0 (nat a weight)", ylim=(-0.12, None))
    axis.legend(fontsize=6, title="crosses: annealed", title_fontsize=6)


def _at_overlap(axis, g, theory) -> None:
    """s(R) of the largest size at alphas up to that which is nearest to the transition.

    The 1/N of the binomial, known at each R, is added to what was measured.
    """
    alphas = theory["curve_alpha"]
    nearest = alphas[np.argmin(np.abs(alphas - float(theory["transition"])))]
    i = int(np.argmax(g["size"]))
    for colour, k in zip(COLOURS, np.flatnonzero(alphas <= nearest)):
        for name, style, lines in (("typical", "o", "-"), ("annealed", "x", "--")):
            axis.errorbar(g["order_parameter"][i], g[name][i, k] + g["binomial"][i],
                          g[f"{name}_err"][i, k], fmt=style, color=colour, markersize=2.5,
                          linewidth=0.7)
            known = theory["curve_entropy" if name == "typical" else "curve_annealed"][k]
            axis.plot(theory["curve_overlap"], known, lines, color=colour, linewidth=1.0,
                      label=rf"$\alpha$ = {alphas[k]:.3g}" if name == "typical" else None)
    axis.axhline(0.0, color=GREY, linewidth=0.6)
    axis.set(xlabel="R", ylabel="s(R) at T = 0, binomial to $N\\to\\infty$", xlim=(-0.5, 1.02),
             ylim=(-0.15, 0.7))
    axis.legend(fontsize=6, title=f"N = {g['size'][i]}; o: typical, RS;\nx, dashed: annealed",
                title_fontsize=6)


def _plane(axis, g, theory) -> None:
    T = theory["line_temperature"]
    axis.plot(theory["line_transition"], T, color="k", linewidth=1.0, label="transition, RS")
    axis.plot(theory["line_spinodal"], T, color="k", linewidth=0.8, linestyle=":",
              label="spinodal, RS")
    axis.plot(theory["line_annealed"], T, color=GREY, linewidth=1.0, label="transition, annealed")
    for i, size in enumerate(g["size"]):
        known = np.isfinite(g["coexistence"][i]) & (g["coexisting"][i] > 0.5)
        axis.errorbar(g["alpha_drawn"][i][known], g["coexistence"][i][known],
                      g["coexistence_err"][i][known], fmt="o", color=COLOURS[i], markersize=3,
                      linewidth=0.9, label=f"N = {size}")
    axis.set(xlabel=r"$\alpha$", ylabel="T", xlim=(0, 1.15 * g["alpha"].max()), ylim=(0, 2.0))
    axis.legend(fontsize=6)


def _quenches(axis, g, theory) -> None:
    for j, (start, marker) in enumerate(zip(g["start"], "os")):
        axis.errorbar(g["alpha"], g["quench_overlap"][:, j], g["quench_overlap_err"][:, j],
                      fmt=marker, color=COLOURS[j], markersize=3.5, label=f"from {start}",
                      markerfacecolor="none" if j else COLOURS[j])
    axis.plot(theory["alpha"], theory["thermal_overlap"], color="k", linewidth=1.0,
              label="poor state, RS")
    axis.axvline(float(theory["thermal_transition"]), color=GREY, linewidth=0.8, linestyle="--",
                 label="transition")
    axis.set(xlabel=r"$\alpha$", ylabel=f"R at T = {g.attributes['temperature']:g}, "
             f"N = {g.attributes['large']}", ylim=(0, 1.05))
    axis.legend(fontsize=6)


def plane(run: RunFile):
    """The plane of alpha and T alone."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(4.4, 3.4))
    _plane(axis, run["perceptron_phases"], run["theory"])
    title(figure, run, without=("N", "P"))
    return figure


def plane_lines(run: RunFile) -> str:
    """Temperature of coexistence at every size and alpha."""
    g, theory = run["perceptron_phases"], run["theory"]
    rows = [[f"{size}", f"{alpha:.3g}", pair(g["coexistence"][i, k], g["coexistence_err"][i, k]),
             f"{g['coexisting'][i, k]:.2f}",
             _number(np.interp(alpha, theory["line_transition"], theory["line_temperature"],
                               left=np.nan, right=np.nan)),
             _number(np.interp(alpha, theory["line_annealed"], theory["line_temperature"],
                               left=np.nan, right=np.nan))]
            for i, size in enumerate(g["size"]) for k, alpha in enumerate(g["alpha_drawn"][i])]
    return table(["N", "alpha", "T of coexistence", "samples with one", "RS", "annealed"], rows)
