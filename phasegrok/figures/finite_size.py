"""Figure and table of a run of ``finite_size``: what is in the file is drawn."""

import math

import numpy as np

from phasegrok.figures.common import COLOURS, GREY, band, both, pair, title
from phasegrok.groups import Group
from phasegrok.run.runfile import RunFile
from phasegrok.text import table

_EXPONENTS = {"critical_temperature": "T_c", "inverse_nu": "1/nu", "beta_nu": "beta/nu",
              "gamma_nu": "gamma/nu", "binder": "U at T_c"}
_MATH = {"critical_temperature": "$T_c$", "inverse_nu": r"$1/\nu$", "beta_nu": r"$\beta/\nu$",
         "gamma_nu": r"$\gamma/\nu$", "binder": "$U^*$"}
_SCALED = {"binder": "$U$", "order_parameter_abs": r"$\langle|\Phi|\rangle\, L^{\beta/\nu}$",
           "susceptibility": r"$\chi T\, L^{-\gamma/\nu}$"}


def lines(run: RunFile) -> str:
    """Exponents beside exact values, barriers by size, and the verdict, as text."""
    parts = []
    if "exponents" in run:
        parts += [_crossings_table(run["crossings"]),
                  _exponents_table(run["exponents"], run["collapse"]),
                  f"collapse: {run['collapse'].attributes['reason']}"]
        if not run["exponents"].attributes["converged"]:
            parts.append(str(run["exponents"].attributes["converged_reason"]))
    if "barriers" in run:
        parts.append(_barriers_table(run["barriers"]))
    verdict = run["finite_size"].attributes
    if verdict["landscapes"] != "all complete":
        parts.append(f"landscapes {verdict['landscapes']}")
    return "\n\n".join([*parts, f"{verdict['order']}: {verdict['reason']}"])


def _at(group: Group, name: str, k: int) -> str:
    return pair(float(group[name][k]), float(group[f"{name}_err"][k]))


def _both(group: Group, name: str) -> str:
    return both(group, name) if name in group else "-"


def _crossings_table(group: Group) -> str:
    rows = [[f"{group['size'][k]}, {group['size_larger'][k]}",
             *(_at(group, name, k) for name in ("temperature", "binder", "inverse_nu", "beta_nu",
                                                "gamma_nu"))]
            for k in range(len(group["pair"]))]
    return table(["sizes", "T of the crossing", "U", "1/nu", "beta/nu", "gamma/nu"], rows)


def _exponents_table(group: Group, collapse: Group) -> str:
    rows = []
    for name, word in _EXPONENTS.items():
        exact = group.attributes.get(f"exact_{name}")
        rows.append([word, _both(group, name), _both(collapse, name),
                     "" if exact is None else f"{exact:.6g}"])
    return table(["", "crossings, L to infinity", "collapse", "exact"], rows)


def _barriers_table(group: Group) -> str:
    known = "exact_barrier" in group
    rows = []
    for k, n in enumerate(group["size"]):
        row = [str(n), _at(group, "temperature", k), _at(group, "barrier", k)]
        if known:
            value = float(group["exact_barrier"][k])
            z = (float(group["barrier"][k]) - value) / float(group["barrier_err"][k])
            row += [f"{value:.4g}", f"{z:+.1f}" if math.isfinite(z) else "-"]
        rows.append([*row, "" if group["complete"][k] else "not complete, not used"])
    header = ["size", "T of equal heights", "barrier (nat)", *(["exact", "z"] if known else []), ""]
    text = table(header, rows)
    exact = group.attributes.get("exact_slope")
    return (f"{text}\n\nslope {_both(group, 'slope')} nat per unit of area"
            + ("" if exact is None else f"; as L grows {exact:.4f}, exact"))


def draw(run: RunFile):
    """Binder ratios, collapse and exponents; landscapes and barriers, where they were measured."""
    import matplotlib.pyplot as plt

    scaling, barriers = "collapse" in run, "barriers" in run
    figure = plt.figure(figsize=(10.5, 2.9 * (2 * scaling + barriers)))
    parts = figure.subfigures(2 * scaling + barriers, 1, squeeze=False)[:, 0]
    if scaling:
        _draw_curves(parts[0].subplots(1, 3), run)
        _draw_collapse(parts[1].subplots(1, 3), run["collapse"])
    if barriers:
        _draw_barriers(parts[-1].subplots(1, 2), run)
    title(figure, run, ("L", "N"))
    return figure


def _colour(k: int) -> str:
    return COLOURS[k % len(COLOURS)]


def _numbered(run: RunFile, prefix: str) -> list[tuple[int, Group]]:
    return sorted((int(name.removeprefix(prefix)), group) for name, group in run.groups.items()
                  if name.startswith(prefix))


def _draw_curves(axes, run: RunFile) -> None:
    by_size = _numbered(run, "curves/")
    for axis in axes[:2]:
        for k, (size, group) in enumerate(by_size):
            band(axis, group["temperature"], group["binder"], group["binder_err"], _colour(k),
                 f"L = {size}")
        axis.set(xlabel="temperature $T$", ylabel="Binder ratio $U_L$")
    crossed = run["crossings"]
    axes[1].errorbar(crossed["temperature"], crossed["binder"], crossed["binder_err"],
                     crossed["temperature_err"], fmt="ko", markersize=3, elinewidth=0.8, zorder=5)
    T, U = by_size[-1][1]["temperature"], by_size[-1][1]["binder"]
    inside = (T > T[len(T) // 4]) & (T < T[3 * len(T) // 4])
    axes[1].set(xlim=T[inside][[0, -1]], ylim=(U[inside].min(), U[inside].max()))
    exact = run["exponents"].attributes.get("exact_critical_temperature")
    if exact is not None:
        for axis in axes[:2]:
            axis.axvline(exact, color=GREY, linestyle=":", linewidth=0.8)
    axes[0].legend()
    axes[1].set_title("crossings")
    _draw_exponents(axes[2], run["exponents"], run["collapse"])


def _draw_exponents(axis, group: Group, collapse: Group) -> None:
    """Deviations from the exact values in units of the errors, or the values alone."""
    names = [n for n in _EXPONENTS if f"exact_{n}" in group.attributes]
    for row, name in enumerate(reversed(_EXPONENTS)):
        for source, colour, shift, how in ((group, _colour(0), 0.12, "crossings"),
                                           (collapse, _colour(1), -0.12, "collapse")):
            if name not in source or math.isnan(float(source[name])):
                continue
            value, error = float(source[name]), float(source[f"{name}_err"])
            exact = group.attributes.get(f"exact_{name}")
            if exact is not None:
                axis.errorbar(100.0 * (value / exact - 1.0), row + shift,
                              xerr=100.0 * error / abs(exact), fmt="o", markersize=3, color=colour,
                              label=how if name == names[0] else None)
            axis.annotate(pair(value, error), (1.02, row + shift), fontsize=7, va="center",
                          xycoords=("axes fraction", "data"), color=colour)
    axis.set_yticks(range(len(_EXPONENTS)), [_MATH[n] for n in reversed(_EXPONENTS)])
    axis.axvline(0.0, color=GREY, linestyle=":", linewidth=0.8)
    if names:
        axis.set(xlabel="deviation from the exact value (%)")
        axis.legend(loc="upper left")
    else:
        axis.set_xticks([])
    axis.set_title("limits of large sizes")


def _draw_collapse(axes, group: Group) -> None:
    for axis, (name, label) in zip(axes, _SCALED.items()):
        axis.set(xlabel=r"$x = t\,(1 + bt)\, L^{1/\nu}$", ylabel=label)
        if "x" not in group:
            continue
        for k, size in enumerate(group["size"]):
            x = group["scaled_x"][k]
            axis.errorbar(x, group[f"scaled_{name}"][k], group[f"scaled_{name}_err"][k], fmt="o",
                          markersize=2, color=_colour(k), elinewidth=0.6, label=f"L = {size}")
        axis.plot(group["x"], group[f"master_{name}"], color="k", linewidth=0.8, zorder=5)
    p = float(group.attributes["p"])
    state = "collapse" if group.attributes["collapsed"] else "NO collapse"
    axes[0].set_title(f"{state}, p = {p:.2g}" if math.isfinite(p) else state)
    axes[0].legend()


def _draw_barriers(axes, run: RunFile) -> None:
    left, right = axes
    group = run["barriers"]
    top = 1.3 * np.nanmax(np.append(group["barrier"], 1.0)) + 2.0
    shown = []
    for k, (size, curve) in enumerate(_numbered(run, "landscapes/")):
        x = curve["coordinate"]
        if x.min() < -1.5 or x.max() > 1.5:  # an energy: shown per site
            x = x / curve.attributes["n_sites"]
            left.set(xlabel="energy per site $E/N$")
        else:
            left.set(xlabel=r"order parameter $\Phi$")
        shown.append(x[curve["potential"] < top])
        band(left, x, curve["potential"], curve["potential_err"], _colour(k), f"{size}")
    x = np.concatenate(shown)
    left.set(ylabel=r"$F_L = -\ln P_L$ (nat)", ylim=(-0.03 * top, top), xlim=(x.min(), x.max()))
    left.legend(title="size")
    area = group["area"]
    right.errorbar(area, group["barrier"], group["barrier_err"], fmt="o", markersize=3,
                   color=_colour(0), elinewidth=0.8)
    slope, x = float(group["slope"]), np.array([0.0, area.max() * 1.05])
    known = np.isfinite(group["barrier"]) & (group["complete"] > 0) & (group["barrier_err"] > 0.0)
    if math.isfinite(slope):
        weight = group["barrier_err"][known] ** -2.0
        middle = [(weight * y[known]).sum() / weight.sum() for y in (area, group["barrier"])]
        right.plot(x, middle[1] + slope * (x - middle[0]), color=_colour(0), linewidth=0.8,
                   label=f"slope {_both(group, 'slope')}")
    exact = group.attributes.get("exact_slope")
    if exact is not None and math.isfinite(slope):
        right.plot(x, middle[1] + exact * (x - middle[0]), color=GREY, linestyle=":",
                   label=f"slope as L grows, exact {exact:.4f}")
    right.set(xlabel="area of an interface, $L^{d-1}$ (or $N$)", xlim=(0, None),
              ylabel="barrier (nat)", ylim=(min(0.0, 1.1 * group["barrier"].min()), None))
    if right.get_legend_handles_labels()[0]:
        right.legend()
    right.set_title(run["finite_size"].attributes["order"])
