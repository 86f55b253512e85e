"""Effective potential of one unit (neuron) from histograms of chains, and how far they agree."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from phasegrok.estimates import NOT_EQUILIBRATED
from phasegrok.groups import Group
from phasegrok.statistics import jackknife_error, mean_with_error, r_hat
from phasegrok.thermodynamics.effective_potential import stands_out

_FEWEST = 20  # counts in a bin, over all chains, of which a potential is given
_COARSE = 4  # bins that are joined where wells are looked for
_SIGNIFICANT = 4.0  # errors of a barrier: the well is the deepest of hundreds of bins
_PARTS = 4  # stretches of a chain whose scatter gives the error
_R_HAT = 1.1  # of every observable, of chains that count as equilibrated
_NEAR = 0.05  # of 1, and no more than ``_SIGNIFICANT`` errors: a temperature that the step allows
_UNITS = {"train_loss": "mean squared error", "test_loss": "mean squared error"}
_LONG = {
    "train_loss": "train loss", "test_loss": "test loss",
    "residual_1": "y - f on He_1", "residual_3": "y - f on He_3",
    "outer_layer": "N <a^2> / sigma_a^2", "residual": "y - f over y",
    "test_accuracy": "test accuracy", "overlap": "overlap with the teacher",
    "weight_norm": "norm of the weights over that at default initialisation",
}


def chains_group(x_rts: np.ndarray, names, every: int, attributes: dict) -> Group:
    """Means of the series of chains, with autocorrelation times and agreement of the starts.

    Parameters
    ----------
    x_rts : ndarray, shape (R, K, S)
        Records of R chains.
    names : sequence of str
        Of the S observables.
    every : int
        Steps between records.
    attributes : dict
        Settings and checks of the dynamics, kept as they are.
    """
    group = Group(attributes=dict(attributes))
    group.add("observable", np.arange(len(names)), "observable", "1", ", ".join(names))
    estimates = [mean_with_error(x_rts[:, :, s]) for s in range(len(names))]
    for name, e in zip(names, estimates):
        unit, text = _UNITS.get(name, "1"), _LONG.get(name, name)
        group.add(name, e.value, (), unit, text)
        group.add(f"{name}_err", e.error, (), unit, f"standard error of {text}")
    group.add("autocorrelation_time", every * np.array([e.tau for e in estimates]), "observable",
              "steps", "integrated autocorrelation time")
    group.add("r_hat", np.array([r_hat(x_rts[:, :, s]) for s in range(len(names))]), "observable",
              "1", "scatter between chains over that within")
    return group


def _stretches(x_rb: np.ndarray) -> np.ndarray:
    """Sums over ``_PARTS`` equal stretches of every chain, shape (R parts, bins)."""
    r, blocks, bins = x_rb.shape
    parts = min(_PARTS, blocks)
    used = blocks // parts * parts
    return x_rb[:, :used].reshape(r, parts, -1, bins).sum(axis=2).reshape(-1, bins)


def _pairs(x: np.ndarray) -> np.ndarray:
    return x[..., :-1].reshape(*x.shape[:-1], -1, 2).sum(axis=-1)


def potential_group(counts_rb: np.ndarray, sums_rb: np.ndarray, largest: float,
                    aligned_r: np.ndarray, unit_name: str, units: int,
                    against: Sequence[str] = ()) -> Group:
    """-ln P(Phi) of one unit with errors, and the mean of its second number at fixed Phi.

    P is the density on the real axis, even in Phi, taken from |Phi|.  Errors are the jackknife over
    four stretches of every chain.  Where the chains are not in equilibrium, no wells are sought.

    Parameters
    ----------
    counts_rb, sums_rb : ndarray, shape (R, B, bins + 1)
        Histograms of |Phi| of R chains in B blocks, and sums of the second number; the last bin
        holds what lies beyond ``largest``.
    largest : float
        Upper end of the histogram.
    aligned_r : ndarray of bool, shape (R,)
        Chains that were begun aligned: their difference from the others is stored.
    unit_name : str
        Name of the second number.
    units : int
        Units of a network, N; 1 where the order parameter is that of the whole system.
    against : sequence of str
        What else speaks against the chains, of `doubts`.
    """
    n_bins = counts_rb.shape[2] - 1
    width = largest / n_bins
    counts, sums = _stretches(counts_rb), _stretches(sums_rb)
    total = counts.sum(axis=0)
    leave = np.concatenate([total[None], total - counts])
    norm = 2.0 * width * leave.sum(axis=1, keepdims=True)
    few = total[:n_bins] < _FEWEST
    with np.errstate(divide="ignore", invalid="ignore"):
        potential = -np.log(leave[:, :n_bins] / norm)
        mean = np.concatenate([sums.sum(axis=0)[None], sums.sum(axis=0) - sums])[:, :n_bins]
        mean = mean / leave[:, :n_bins]
    potential[:, few], mean[:, few] = np.nan, np.nan
    starts = agreement(counts_rb, aligned_r)
    settled = not against and "DISAGREE" not in starts
    group = Group(attributes={
        "per": "neuron" if units > 1 else "system", "outside": float(total[n_bins] / total.sum()),
        "convergence": f"NOT EQUILIBRATED: {'; '.join(against)}; {starts}" if against else starts})
    phi = (np.arange(n_bins) + 0.5) * width
    of = " of one neuron" if units > 1 else ""
    group.add("order_parameter", phi, "order_parameter", "1", f"|Phi|{of}")
    with np.errstate(invalid="ignore"):
        errors = [jackknife_error(x[1:]) for x in (potential, mean)]
    group.add("potential", potential[0], "order_parameter", "nat", f"-ln P(Phi){of}")
    group.add("potential_err", errors[0], "order_parameter", "nat", "error, jackknife over chains")
    group.add(f"{unit_name}_mean", mean[0], "order_parameter", "1", f"<{unit_name}> at fixed Phi")
    group.add(f"{unit_name}_mean_err", errors[1], "order_parameter", "1", "error, jackknife")
    for name, (value, unit, text) in found_wells(counts, largest, units).items():
        if isinstance(value, str):
            group.attributes[name] = value if settled else NOT_EQUILIBRATED
        else:
            group.add(name, value if settled else math.nan, (), unit, text)
    return group


def found_wells(counts_jb: np.ndarray, largest: float, n_units: int) -> dict[str, tuple]:
    """Outer well, barrier, units beyond the top and the phase, from histograms alone.

    In bins of four: the outer well is the deepest, in errors, of those below a top that lies inward
    of it; the centre is a well if it lies below that top.  Four errors are asked for.  Phases are
    those of theory at this size: GFL (N p < 1), GMFL-II (N (1 - p) < 1, or no well in the centre),
    GMFL-I between.  A system of one unit has no such phases.

    Parameters
    ----------
    counts_jb : ndarray, shape (J, bins + 1)
        Histograms of J stretches; the last bin holds what is beyond ``largest``.
    largest : float
        Upper end of the histogram.
    n_units : int
        N.

    Returns
    -------
    dict
        Name -> (value, unit, text); ``phase`` is text.
    """
    n_bins = (counts_jb.shape[1] - 1) // _COARSE
    coarse = counts_jb[:, : n_bins * _COARSE].reshape(len(counts_jb), n_bins, _COARSE).sum(axis=2)
    total, all_ = coarse.sum(axis=0), counts_jb.sum()
    leave = total - coarse
    V_jb = -np.log((leave + 0.5) / (all_ - counts_jb.sum(axis=1))[:, None])
    V = -np.log((total + 0.5) / all_)
    error = np.maximum(jackknife_error(V_jb), 1.0 / np.sqrt(total + 1.0))
    top_k = np.array([int(np.argmax(V[: k + 1])) for k in range(n_bins)])
    fall = (V[top_k] - V) / np.hypot(error[top_k], error)
    fall[total < _FEWEST] = 0.0
    outer = int(np.argmax(fall))
    top = int(top_k[outer])
    nan = float("nan")
    found = {"barrier": nan, "barrier_err": nan, "well": nan, "droplets": nan, "droplets_err": nan}
    phase = "GFL"
    if stands_out(V[top] - V[outer], np.hypot(error[top], error[outer]), _SIGNIFICANT) and (
            total[outer] >= _FEWEST):
        inner = int(np.argmin(V[: top + 1]))
        centred = stands_out(V[top] - V[inner], np.hypot(error[top], error[inner]), _SIGNIFICANT)
        outer = top + int(np.argmin(V[top:]))
        found["well"] = (outer + 0.5) * _COARSE * largest / (counts_jb.shape[1] - 1)
        phase = "GMFL-II"
        if centred:
            found["barrier"] = float(V[top] - V[inner])
            found["barrier_err"] = float(jackknife_error(V_jb[:, top] - V_jb[:, inner]))
            beyond = counts_jb[:, (top + 1) * _COARSE :].sum(axis=1)
            p_j = (beyond.sum() - beyond) / (all_ - counts_jb.sum(axis=1))
            found["droplets"] = float(n_units * beyond.sum() / all_)
            found["droplets_err"] = float(n_units * jackknife_error(p_j))
            if found["droplets"] < 1.0:
                phase = "GFL"
            elif n_units - found["droplets"] >= 1.0:
                phase = "GMFL-I"
    texts = {"barrier": ("nat", "from the centre to the top"), "well": ("1", "of the outer well"),
             "droplets": ("units", "N p, units beyond the top")}
    rows: dict[str, tuple] = {"phase": (phase if n_units > 1 else "one unit", "", "")}
    for name, value in found.items():
        unit, text = texts[name.removesuffix("_err")]
        rows[name] = (value, unit, f"error of {text}, jackknife" if name.endswith("_err") else text)
    return rows


class Top(NamedTuple):
    """Top of the barrier from the centre: where, how high (nat), and the density P(Phi) there."""

    at: float
    barrier: float
    barrier_err: float
    density: float
    density_err: float


def top_below(counts_rb: np.ndarray, largest: float, wall: float) -> Top:
    """Top of -ln P(Phi) between the centre and a wall, from histograms of chains kept below it.

    The top is the vertex of a parabola through the bins within a sixth of the wall of the highest,
    the centre the mean over the first bins; P is normalised on the real axis.  Errors are those of
    the jackknife over stretches of the chains.  NaN where the potential has no top below the wall.

    Parameters
    ----------
    counts_rb : ndarray, shape (R, B, bins + 1)
        Histograms of |Phi|, as :func:`potential_group` has them.
    largest : float
        Upper end of the histogram.
    wall : float
        |Phi| that no unit reaches.
    """
    counts_j = _stretches(counts_rb)
    width = largest / (counts_rb.shape[2] - 1)
    inside = int(wall / width)
    phi = (np.arange(inside) + 0.5) * width
    total = counts_j.sum(axis=0)[:inside]
    coarse = total[: inside // _COARSE * _COARSE].reshape(-1, _COARSE).sum(axis=1)
    lowest = int(np.argmin(coarse))
    nothing = Top(*[float("nan")] * 5)
    if lowest in (0, len(coarse) - 1) or coarse[lowest] < _FEWEST:
        return nothing
    centre = (lowest + 0.5) * _COARSE * width
    near = (np.abs(phi - centre) < wall / 6.0) & (total > 0)
    first = phi < wall / 20.0

    def fit(counts: np.ndarray) -> np.ndarray:
        density = counts[:inside] / (2.0 * width * counts.sum())
        V = -np.log(np.maximum(density[near], 1e-300))
        a, b, c = np.polyfit(phi[near] - centre, V, 2, w=np.sqrt(total[near]))
        at = centre - 0.5 * b / a
        top = c - 0.25 * b * b / a
        return np.array([a, at, top + math.log(density[first].mean()), top])

    found = fit(counts_j.sum(axis=0))
    if not (found[0] < 0.0 and abs(found[1] - centre) < wall / 6.0):
        return nothing
    errors = jackknife_error(np.array([fit(counts_j.sum(axis=0) - row) for row in counts_j]))
    density = math.exp(-found[3])
    return Top(float(found[1]), float(found[2]), float(errors[2]), density,
               density * float(errors[3]))


def equilibrated(potential: Group, chains: Group) -> bool:
    """Whether chains of both starts agree, mix, and have temperature 1; False if not known."""
    said = str(potential.attributes["convergence"])
    return said.startswith("chains begun") and "DISAGREE" not in said and not doubts(chains)


def doubts(chains: Group) -> list[str]:
    """What speaks against chains though the means of both starts may agree, a phrase each.

    Chains that differ among themselves, whatever their start; and a configurational or kinetic
    temperature other than 1, the error of a step too long.
    """
    found, a = [], chains.attributes
    names = chains.variables["observable"].long_name.split(", ")
    bad = [f"{name.replace('_', ' ')} {r:.2f}" for name, r in zip(names, chains["r_hat"])
           if r > _R_HAT]
    if bad:
        found.append(f"chains differ, R-hat of {', '.join(bad)}: run longer")
    for kind in ("configurational", "kinetic"):
        value = a.get(f"{kind}_temperature", 1.0)
        if kind == "configurational" and "wall" in a:
            continue  # the force of the wall is missing in it
        allowed = max(_NEAR, _SIGNIFICANT * a.get(f"{kind}_temperature_err", 0.0))
        if not abs(value - 1.0) < allowed:
            found.append(f"{kind} temperature {value:.3g}, not 1: take a shorter step")
    return found


def agreement(counts_rb: np.ndarray, aligned_r: np.ndarray) -> str:
    """Whether chains of both starts have the same mean |Phi|, in one sentence."""
    bins = np.arange(counts_rb.shape[2]) + 0.5
    mean_r = (counts_rb.sum(axis=1) @ bins) / counts_rb.sum(axis=(1, 2))
    groups = [mean_r[~aligned_r], mean_r[aligned_r]]
    if min(len(g) for g in groups) < 2:
        return "not known: two chains of each start are needed"
    error = np.sqrt(sum(np.var(g, ddof=1) / len(g) for g in groups))
    t = float((groups[1].mean() - groups[0].mean()) / error)
    # few chains: the error is itself uncertain, and t is said as the z that is as unlikely
    z = math.copysign(stats.norm.isf(stats.t.sf(abs(t), len(mean_r) - 2)), t)
    said = "agree" if abs(z) < 3.0 else "DISAGREE: run longer"
    return f"chains begun from the prior and aligned {said} (<|Phi|> differs by {z:.1f} sigma)"
