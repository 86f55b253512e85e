"""Tables and figures of densities of states and effective potentials."""

import math

import numpy as np
from scipy.stats import t as student

from phasegrok.figures.common import COLOURS, GREY, band, empty, pair, title
from phasegrok.groups import Group
from phasegrok.run.runfile import RunFile
from phasegrok.text import table


def density_lines(group: Group) -> str:
    """How many cells, how large the errors, and whether to believe it."""
    log_g, error = group["log_g"], group["log_g_err"]
    known = np.isfinite(log_g)
    a = group.attributes
    errors = error[known & np.isfinite(error)]
    worst, uncertain = "errors not known", ""
    if len(errors):
        dof = a["walkers"] - 1
        worst = f"error of ln g: median {np.median(errors):.2g}, largest {errors.max():.2g} nat"
        uncertain = (f"\nerrors are from {a['walkers']} walkers: Student's t with {dof} degrees of "
                     f"freedom, 95 % lie within {student.ppf(0.975, dof):.3g} errors")
    return (f"density of states: {known.sum()} cells, {_work(a)}; {worst}"
            f"{uncertain}\n"
            f"{'complete' if a['complete'] else 'NOT COMPLETE'}: {a['complete_reason']}")


def _work(a: dict) -> str:
    """What was done, by which method."""
    if a.get("method") == "ladder":
        return (f"{a['walkers']} ladders of {a['rungs']} temperatures with {a['lanes_per_walker']} "
                f"replicas each x {a['sweeps']} sweeps ({a['equilibration_sweeps']} equilibrating)"
                + (", folded" if a["folded"] else ""))
    if a.get("method") == "replica-exchange":
        return (f"{a['replicas']} replicas at each of {a['rungs']} temperatures x {a['sweeps']} "
                f"steps ({a['equilibration_sweeps']} equilibrating)")
    windows = f", {a['windows']} windows" if a.get("windows", 1) > 1 else ""
    return (f"{a['walkers']} Wang-Landau walkers x {a['sweeps']} sweeps ({a['learning_sweeps']} "
            f"learning){windows}")


def thermodynamics_table(group: Group) -> str:
    """Averages of a density of states at a few temperatures."""
    names = ["mean_energy", "heat_capacity", "entropy", "free_energy"]
    temperature = group["temperature"]
    pick = np.unique(np.linspace(0, len(temperature) - 1, 9).round().astype(int))
    rows = [[f"{temperature[k]:.4g}",
             *(pair(group[n][k], group[f"{n}_err"][k]) for n in names)] for k in pick]
    text = table(["T", "energy", "heat capacity", "entropy", "free energy   (per site)"], rows)
    if "bin_width" in group.attributes:
        first, last = (f"{group['mean_energy_binning'][k]:.1g} (T = {temperature[k]:.4g})"
                       for k in (0, -1))
        text += (f"\nenergies in bins of {group.attributes['bin_width']:.3g}: this adds about "
                 f"{first} to {last} to the energy per site")
    return text


def potential_lines(group: Group) -> str:
    """Coexistence, barrier and spinodals."""
    lines = []
    if not group.attributes["complete"]:
        return "wells, barriers and coexistence: not sought in a landscape that is not complete"
    if math.isnan(float(group["coexistence_temperature"])):
        lines.append(f"no coexistence: {group.attributes['coexistence']}")
    else:
        height, weight, barrier = (pair(float(group[n]), float(group[f"{n}_err"])) for n in (
            "coexistence_temperature", "equal_weight_temperature", "coexistence_barrier"))
        lines.append(f"coexistence: equal height at T = {height}, equal weight at T = {weight}, "
                     f"barrier {barrier} nat (whole system)")
    if math.isnan(group.attributes["resolution"]):
        lines.append("wells were not sought: no errors are known to tell them from noise")
    elif not np.any(group["wells"] > 1):
        lines.append("a single well at every temperature of the range")
    else:
        low, high = (pair(float(group[n]), float(group[f"{n}_err"]), f"{end} of the range")
                     for n, end in (("spinodal_low", "the cold end"),
                                    ("spinodal_high", "the hot end")))
        lines.append(f"two wells at this size from T = {low} to T = {high}")
    if group.attributes.get("merged_values", 1) > 1 and np.any(group["wells"] > 1):
        lines.append("neighbouring values of Phi alternate and are taken in pairs: the barrier is "
                     "that of pairs, lower than of single values, and no measure of waiting times")
    return "\n".join(lines)


def draw_density(run: RunFile):
    """Entropy, its error and the thermodynamics that follows."""
    import matplotlib.pyplot as plt

    group = run["density_of_states"]
    with_curves = "thermodynamics" in run
    figure, axes = plt.subplots(1, 4 if with_curves else 2,
                                figsize=(10.5 if with_curves else 6.0, 2.7))
    if group["log_g"].ndim == 2:
        _entropy_map(figure, axes[0], group)
        _entropy_map(figure, axes[1], group, errors=True)
    else:
        band(axes[0], group["energy"], group["log_g"], group["log_g_err"], COLOURS[0])
        axes[0].set(xlabel="energy $E$", ylabel=r"$\ln g(E)$ (nat)")
        axes[1].plot(group["energy"], group["log_g_err"], ".", color=COLOURS[0], markersize=3)
        axes[1].set(xlabel="energy $E$", ylabel=r"error of $\ln g$ (nat)", ylim=(0, None))
    if with_curves:
        _thermodynamic_curves(axes[2], axes[3], run["thermodynamics"])
    title(figure, run)
    return figure


def _entropy_map(figure, axis, group: Group, errors: bool = False) -> None:
    values = group["log_g_err" if errors else "log_g"]
    phi, energy = group["order_parameter"], group["energy"]
    columns = np.isfinite(group["log_g"]).any(axis=0)
    mesh = axis.pcolormesh(phi[columns], energy, np.ma.masked_invalid(values[:, columns]),
                           cmap="magma_r" if errors else "viridis", rasterized=True,
                           shading="nearest")
    figure.colorbar(mesh, ax=axis, label="error (nat)" if errors else r"$\ln g$ (nat)")
    axis.set(xlabel="order parameter", ylabel="energy $E$")


def _thermodynamic_curves(left, right, group: Group) -> None:
    T = group["temperature"]
    band(left, T, group["mean_energy"], group["mean_energy_err"], COLOURS[0], "energy")
    band(left, T, group["free_energy"], group["free_energy_err"], COLOURS[1], "free energy")
    left.set(xlabel="temperature $T$", ylabel="per site")
    left.legend()
    band(right, T, group["heat_capacity"], group["heat_capacity_err"], COLOURS[0],
          "heat capacity")
    band(right, T, group["entropy"], group["entropy_err"], COLOURS[1], "entropy")
    top = 1.35 * np.nanmax(group["heat_capacity"])
    right.set(xlabel="temperature $T$", ylabel="per site ($k_B$)", ylim=(0, top))
    right.legend()


def draw_potential(run: RunFile):
    """Entropy, potentials, barrier and wells against temperature."""
    import matplotlib.pyplot as plt

    group = run["effective_potential"]
    figure, axes = plt.subplots(1, 4, figsize=(11.0, 2.8))
    _entropy_map(figure, axes[0], run["density_of_states"])
    _potential_curves(axes[1], group)
    T = group["temperature"]
    axes[2].errorbar(T, group["barrier"], group["barrier_err"], color=COLOURS[0], fmt=".-",
                     markersize=3, elinewidth=0.8)
    axes[2].set(xlabel="temperature $T$", ylabel="barrier (nat)", ylim=(0, None))
    _mark_transition(axes[2], group)
    if np.isfinite(group["barrier"]).any():
        axes[3].plot(T, group["well_low"], ".", color=COLOURS[0], markersize=3, label="lower well")
        axes[3].plot(T, group["well_high"], ".", color=COLOURS[1], markersize=3,
                     label="upper well")
    else:
        empty(axes[2], "one well" if group.attributes["complete"] else
              "not sought: the landscape\nis not complete")
    deepest = np.array([group["order_parameter"][np.nanargmin(v)] for v in group["potential"]])
    axes[3].plot(T, deepest, color=GREY, linewidth=0.8, zorder=0, label="deepest")
    axes[3].set(xlabel="temperature $T$", ylabel="order parameter")
    axes[3].legend()
    title(figure, run)
    return figure


def _mark_transition(axis, group: Group) -> None:
    for name, style, text in (("coexistence_temperature", "--", "coexistence"),
                              ("spinodal_low", ":", "spinodals"),
                              ("spinodal_high", ":", None)):
        value = float(group[name])
        if not math.isnan(value):
            axis.axvline(value, color=GREY, linestyle=style, linewidth=0.9, label=text)
    if axis.get_legend_handles_labels()[0]:
        axis.legend()


def _potential_curves(axis, group: Group, chosen: list[float] | None = None) -> None:
    """-ln P at a few temperatures: those given, or coexistence and around."""
    T, phi = group["temperature"], group["order_parameter"]
    if chosen is None:
        centre = float(group["coexistence_temperature"])
        wanted = np.linspace(T[0], T[-1], 5)
        if not math.isnan(centre):
            wanted = centre * np.array([0.85, 0.93, 1.0, 1.07, 1.15])
        chosen = [T[np.argmin(np.abs(T - w))] for w in wanted if T[0] <= w <= T[-1]]
    lows = []
    for colour, value in zip(COLOURS, sorted(set(chosen))):
        k = int(np.argmin(np.abs(T - value)))
        V, error = group["potential"][k], group["potential_err"][k]
        known = np.isfinite(V)
        band(axis, phi[known], V[known], error[known], colour, f"T = {T[k]:.3g}")
        lows.append(height_of_interest(V[known]))
    axis.set(xlabel="order parameter", ylabel=r"$-\ln P$ (nat)", ylim=(-0.5, max(lows)))
    axis.legend()


def height_of_interest(V: np.ndarray) -> float:
    """Upper end of an axis that shows the wells and what is between them, not the far walls."""
    left, right = np.minimum.accumulate(V), np.minimum.accumulate(V[::-1])[::-1]
    rise = V - np.maximum(left, right)  # of every place above the wells on its two sides
    k = int(np.argmax(rise))
    return 1.3 * max(float(V[k]) if rise[k] > 0.2 else 0.0, 8.0)
