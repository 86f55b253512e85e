"""Table and figure of Langevin chains: losses, the potential of a neuron, theory beside it."""

import numpy as np

from phasegrok.estimates import NOT_EQUILIBRATED
from phasegrok.figures.common import COLOURS, GREY, band, both, empty, pair, title
from phasegrok.groups import Group
from phasegrok.run.runfile import RunFile
from phasegrok.text import table

_TEXTS = {"mean-field": "mean field", "exact": "exact", "finite-step": "exact at this step",
          "frozen": "1-D, as published", "joint": r"2-D, ($\Phi$, s)",
          "cavity": "2-D, own response, four modes"}
_PLAIN = {"mean-field": "mean field", "exact": "exact", "finite-step": "exact at this step",
          "frozen": "1-D, as published", "joint": "2-D (Phi, s)",
          "cavity": "2-D, own response, four modes"}


def chain_lines(group: Group) -> str:
    """Means, and the evidence that the chains are in equilibrium."""
    a = group.attributes
    names = group.variables["observable"].long_name.split(", ")
    rows = [[name.replace("_", " "), pair(float(group[name]), float(group[f"{name}_err"])),
             f"{tau:.0f}", f"{r:.4f}"]
            for name, tau, r in zip(names, group["autocorrelation_time"], group["r_hat"])]
    said = [f"configurational temperature {a['configurational_temperature']:.4f}"]
    if "kinetic_temperature" in a:
        said.append(f"kinetic {a['kinetic_temperature']:.4f}")
    if "accepted" in a:
        said.append(f"accepted {a['accepted']:.3f}")
    if a["broken_chains"]:
        said.append(f"{a['broken_chains']} chains broke off")
    head = (f"{a['chains']} chains of {a['steps']} steps of {a['step']:g} ({a['integrator']}): "
            + ", ".join(said) + " (1 is exact)")
    lines = [head, table(["observable", "mean", "steps of memory", "R-hat"], rows)]
    if "measure" in a:  # of a network
        lines.append(f"measure {a['measure']} of norm {a['norm']:.4g}, T = {a['temperature']:g}: "
                     f"{a['convergence']}")
    return "\n".join(lines)


def _of(group: Group) -> str:
    return " of a neuron" if group.attributes["per"] == "neuron" else ""


def potential_lines(group: Group) -> str:
    """Agreement of the starts, and each theory against the simulation."""
    a = group.attributes
    lines = [f"potential{_of(group)}: {a['convergence']}"]
    if a["phase"] == NOT_EQUILIBRATED:
        lines.append("wells and barrier: not sought while the chains are not in equilibrium")
    elif np.isfinite(group["barrier"]):
        lines.append(f"{a['phase']}: barrier from the centre {both(group, 'barrier')} nat, outer "
                     f"well at {group['well']:.2f}, N p = {both(group, 'droplets')}")
    else:
        lines.append(f"{a['phase']}: " + ("one well" if np.isnan(group["well"]) else
                                          f"no well in the centre, one at {group['well']:.2f}"))
    if "theory" in group:
        residuals = [str(name) for name in a["residuals"]]
        wells = [("barrier_theory", 2), ("droplets_theory", 2)] if a["per"] == "neuron" else []
        shown = [(name, 4) for name in residuals] + wells + [
            ("distance_rms", 3), ("distance_largest", 3)]
        rows = [[_PLAIN[str(name)], str(a[f"phase_{name}"])]
                + [f"{group[key][k]:.{digits}f}" for key, digits in shown]
                for k, name in enumerate(group["theory"])]
        lines.append(table(["theory", "phase", *(name.replace("_", " ") for name in residuals),
                            *["barrier", "N p"][: len(wells)], "rms off (nat)", "largest"], rows))
    return "\n".join(lines)


def draw(run: RunFile):
    """-ln P(Phi) and <s> of the neurons, and what theory leaves over; None of a network."""
    import matplotlib.pyplot as plt

    if "effective_potential" not in run:
        return None
    group = run["effective_potential"]
    figure, axes = plt.subplots(1, 3, figsize=(9.5, 2.9))
    phi, V, error = (group[k] for k in ("order_parameter", "potential", "potential_err"))
    known = np.isfinite(V)
    if not known.any():
        empty(axes[0], "no bin has enough counts yet")
        return figure
    axes[0].errorbar(phi[known], V[known], error[known], fmt=".", color="k", markersize=3,
                     elinewidth=0.7, label="Langevin", zorder=0)
    unit = next(name for name in group.variables if name.endswith("_mean"))
    band(axes[2], phi[known], group[unit][known], group[f"{unit}_err"][known], "k", "Langevin")
    theories = list(group["theory"]) if "theory" in group else []
    for k, name in enumerate(theories):
        row = group["potential_theory"][k]
        axes[0].plot(phi, row, color=COLOURS[k], linewidth=1.1, label=_TEXTS[str(name)])
        axes[1].plot(phi[known], (row - V)[known], color=COLOURS[k], linewidth=1.1)
        axes[2].plot(phi, group[f"{unit}_theory"][k], color=COLOURS[k], linewidth=1.1)
    neurons = group.attributes["per"] == "neuron"  # a whole system may stay far from 0
    first = 0.0 if neurons else float(phi[known][0])
    margin = 0.05 * (float(phi[known][-1]) - first)
    left, right = first if neurons else first - margin, float(phi[known][-1]) + margin
    top = float(np.nanmax(V)) + 1.0
    axes[0].set(xlabel=r"$|\Phi|$", ylabel=rf"$-\ln P(\Phi)${_of(group)} (nat)",
                xlim=(left, right), ylim=(float(np.nanmin(V)) - 0.5, top))
    axes[0].legend(loc="upper left")
    if not theories:
        empty(axes[1], "no theory of this system")
    else:
        axes[1].fill_between(phi[known], -error[known], error[known], color=GREY, alpha=0.4,
                             linewidth=0)
        axes[1].axhline(0.0, color=GREY, linewidth=0.8)
        axes[1].set(xlabel=r"$|\Phi|$", ylabel="theory - Langevin (nat)", xlim=(left, right),
                    ylim=(-1.5, 1.5))
    second = {"s_mean": r"$|w_\perp|^2$", "Psi_mean": r"$\Psi$"}.get(
        unit, unit.removesuffix("_mean").replace("_", " "))
    axes[2].set(xlabel=r"$|\Phi|$", ylabel=rf"mean {second}{_of(group)} at $\Phi$",
                xlim=(left, right), ylim=(0 if neurons else None, None))
    title(figure, run)
    return figure
