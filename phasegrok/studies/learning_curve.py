"""Learning curves of perceptrons: landscapes or version spaces of many samples, beside theory."""

import dataclasses
import math
from typing import Any

import numpy as np
from scipy import special

from phasegrok.cards.card import Card
from phasegrok.cards.sections import LearningCurve
from phasegrok.errors import InputError
from phasegrok.groups import Group
from phasegrok.protocols.landscapes import Landscapes
from phasegrok.statistics import mean_and_error
from phasegrok.studies.common import known_kind
from phasegrok.studies.density_of_states import counting
from phasegrok.studies.relaxation import relaxation
from phasegrok.thermodynamics.zero_temperature import annealed, at_overlap

_STARTS = {"random": None, "teacher": 1.0}


def settings(card: Card) -> LearningCurve:
    """The card's [learning_curve].

    Raises
    ------
    InputError
        If it has none, or is no perceptron.
    """
    if card.model.learning_curve is None:
        raise InputError(f"{card.name}: a learning curve needs [learning_curve] on the card")
    if known_kind(card) not in ("ising-perceptron", "spherical-perceptron"):
        raise InputError(f"{card.name}: a learning curve is that of a perceptron")
    return card.model.learning_curve


def is_ising(card: Card) -> bool:
    """Whether the weights are +-1."""
    return known_kind(card) == "ising-perceptron"


def _point(card: Card, size: int, alpha: float, **more) -> Card:
    changes = {"parameters.N": size, "parameters.P": max(1, round(alpha * size))}
    return card.changed(changes | {key.replace("__", "."): v for key, v in more.items()})


def points(card: Card) -> list[tuple[str, Card]]:
    """Name and card of every size and alpha, the samples of which are one point."""
    s = settings(card)
    return [(f"N={size},alpha={alpha:g}", _point(card, size, alpha))
            for size in s.sizes for alpha in s.alphas]


def quenches(card: Card) -> list[tuple[str, Card]]:
    """Name and card of the quenches at the large size, from both starts."""
    s = settings(card)
    if not s.large or not is_ising(card):
        return []
    result = []
    for alpha in s.alphas:
        for name, start in _STARTS.items():
            more: dict[str, Any] = {"relaxation__temperature": s.quench_temperature,
                                    "relaxation__sweeps": s.quench_sweeps,
                                    "relaxation__replicas": 4}
            if start is not None:
                more["relaxation__start"] = start
            result.append((f"N={s.large},alpha={alpha:g},{name}",
                           _point(card, s.large, alpha, **more)))
    return result


def landscapes(card: Card, samples: int, sweeps: int, walkers: int) -> Landscapes:
    """Wang-Landau sampling of E and R on every sample of the teacher and the patterns."""
    return Landscapes(tuple(
        counting(dataclasses.replace(card, arrays=arrays), sweeps, walkers, joint=True)
        for arrays in card.samples(samples)))


def measure(job) -> None:
    """All samples of one size and alpha."""
    s = job.card.model.learning_curve
    if is_ising(job.card):
        protocol: Any = landscapes(job.card, s.samples, s.sweeps, s.walkers)
    else:
        from phasegrok.protocols.version_space import VersionSpace

        systems = tuple(job.card.build(arrays) for arrays in job.card.samples(s.samples))
        protocol = VersionSpace(systems, s.sweeps)
    job.finish(protocol.result(job.drive(protocol, job.path.stem)))


def measure_quench(job) -> None:
    """One alpha and start at the large size."""
    protocol = relaxation(job.card, samples=job.card.model.learning_curve.large_samples)
    job.finish(protocol.result(job.drive(protocol, job.path.stem)))


# --- the file -------------------------------------------------------------------------------------


def groups(card: Card, runs: list, quenched: list) -> dict[str, Group]:
    """Group ``learning_curve``: means over samples against N and alpha, theory beside them.

    Parameters
    ----------
    card : Card
        Of the scan.
    runs, quenched : list of RunFile
        In the order of :func:`points` and :func:`quenches`.
    """
    s, ising = settings(card), is_ising(card)
    group = Group(attributes={"weights": "Ising" if ising else "spherical", "samples": s.samples,
                              "large": s.large if quenched else 0,
                              "temperature": s.quench_temperature})
    group.add("size", np.array(s.sizes), "size", "1", "weights N")
    alpha_sa = np.array([round(a * N) / N for N in s.sizes for a in s.alphas]).reshape(
        len(s.sizes), -1)
    group.add("alpha", np.array(s.alphas), "alpha", "patterns a weight", "as asked for")
    rows = [_ising_row(run) if ising else _spherical_row(run) for run in runs]
    dims = ("size", "alpha")
    group.add("alpha_drawn", alpha_sa, dims, "patterns a weight", "P/N")
    for name, (_, unit, text) in rows[0].items():
        values = np.array([row[name][0] for row in rows]).reshape(*alpha_sa.shape, -1)
        group.add(name, values[..., 0], dims, unit, text)
        if values.shape[2] == 2:
            group.add(f"{name}_err", values[..., 1], dims, unit, f"error of {text}, over samples")
    if quenched:
        _add_quenches(group, quenched)
    result = {"learning_curve": group, "theory": _theory(card)}
    if ising:
        result["entropy_at_overlap"] = _entropies_at_overlap(runs, s)
    return result


def _ising_row(run) -> dict[str, tuple]:
    g = run["landscapes"]
    mean_of_g = annealed(g["log_g"], g["order_parameter"])
    T = g["coexistence"]
    found, complete = np.isfinite(T), g["complete"] > 0
    return {
        "error": (mean_and_error(g["error"]), "1", "generalisation error at T = 0, typical"),
        "overlap": (mean_and_error(g["overlap"]), "1", "<R> at T = 0, typical"),
        "entropy": (mean_and_error(g["entropy"]), "nat per weight",
                    "of students without error, typical"),
        "annealed_error": (mean_of_g[1], "1", "generalisation error at T = 0, annealed"),
        "annealed_entropy": (mean_of_g[0], "nat per weight", "at T = 0, annealed"),
        "coexistence": (mean_and_error(T[found]), "energy",
                        "T at which R > 0.85 weighs as much as the rest, mean of the samples that "
                        "have one"),
        "coexisting": ((float(found.sum() / complete.sum()) if complete.any() else math.nan,), "1",
                       "fraction of the complete landscapes that have one"),
        "complete": ((float(np.mean(g["complete"])),), "1", "fraction of complete landscapes"),
    }


def _entropies_at_overlap(runs: list, s: LearningCurve) -> Group:
    """Group of ln g(0, R)/N against R at every size and alpha; steps of R beyond N are NaN."""
    shape = len(s.sizes), len(s.alphas), max(s.sizes) + 1
    R, lacking = np.full((2, shape[0], shape[2]), math.nan)
    columns: dict[str, np.ndarray] = {}
    for k, run in enumerate(runs):
        i, j = divmod(k, shape[1])
        g = run["landscapes"]
        N = len(g["order_parameter"]) - 1
        R[i, : N + 1] = g["order_parameter"]
        d = np.arange(N + 1)
        lacking[i, : N + 1] = (special.entr(d / N) + special.entr(1.0 - d / N)
                               - np.log(special.comb(N, d)) / N)
        for name, values in at_overlap(g["log_g"][:, 0]).items():
            columns.setdefault(name, np.full(shape, math.nan))[i, j, : N + 1] = values
    group = Group()
    group.add("size", np.array(s.sizes), "size", "1", "weights N")
    group.add("alpha", np.array(s.alphas), "alpha", "patterns a weight", "as asked for")
    group.add("step", np.arange(shape[2]), "step", "1", "steps of 2/N from R = -1")
    group.add("order_parameter", R, ("size", "step"), "1", "R")
    group.add("binomial", lacking, ("size", "step"), "nat per weight",
              "what ln of the number of all students at R lacks to its limit, N to infinity")
    dims = ("size", "alpha", "step")
    for name, text in (("typical", "median of ln g(0, R)/N over samples"),
                       ("annealed", "ln of the mean of g(0, R) over N")):
        group.add(name, columns[name], dims, "nat per weight", text)
        group.add(f"{name}_err", columns[f"{name}_err"], dims, "nat per weight",
                  f"error of {text}, bootstrap over samples")
    group.add("having", columns["having"], dims, "1", "fraction of samples with such a student")
    return group


def _spherical_row(run) -> dict[str, tuple]:
    g = run["version_space"]
    z = (g["error"][:, 0] - g["error"][:, 1]) / np.hypot(*g["error_err"].T)
    return {
        "error": (mean_and_error(g["error"].mean(axis=1)), "1", "generalisation error at T = 0"),
        "overlap": (mean_and_error(g["overlap"].mean(axis=1)), "1", "<R> at T = 0"),
        "agreement": ((float(np.sqrt(np.nanmean(z**2))),), "1",
                      "rms difference of the two starts, in its errors"),
    }


def _add_quenches(group: Group, quenched: list) -> None:
    """Overlap at the end of quenches from both starts, and after a tenth of their length."""
    n = len(group["alpha"])
    group.add("start", np.array(list(_STARTS)), "start", "1", "of the quench")
    for name, share, text in (("quench_overlap", 1.0, "<R> at the end of a quench"),
                              ("early_overlap", 0.1, "<R> after a tenth of it")):
        values = np.empty((n, len(_STARTS), 2))
        for k, run in enumerate(quenched):
            g = run["relaxation"]
            at = int(np.searchsorted(g["time"], share * g["time"][-1]))
            values[divmod(k, len(_STARTS))] = g["order_parameter"][at], g["order_parameter_err"][at]
        dims = ("alpha", "start")
        group.add(name, values[..., 0], dims, "1", text)
        group.add(f"{name}_err", values[..., 1], dims, "1", f"error of {text}, over samples")


def _theory(card: Card) -> Group:
    """Curves for N -> infinity on a fine grid of alpha, transitions and spinodals."""
    from phasegrok.theory import gibbs_perceptron, perceptron

    s = settings(card)
    group = Group()
    alpha = np.linspace(0.02, 1.1 * max(s.alphas), 120)
    group.add("alpha", alpha, "alpha", "patterns a weight", "grid")
    if not is_ising(card):
        found = [gibbs_perceptron.spherical_at(float(a)) for a in alpha]
        group.add("error", np.array([f.error for f in found]), "alpha", "1", "N to infinity")
        group.add("overlap", np.array([f.R for f in found]), "alpha", "1", "N to infinity")
        return group
    poor = [gibbs_perceptron.ising_at(float(a)) for a in alpha]
    for name, text in (("error", "of the poor state, replica-symmetric"),
                       ("entropy", "of the poor state, replica-symmetric"),
                       ("R", "of the poor state, replica-symmetric")):
        group.add("overlap" if name == "R" else name,
                  np.array([getattr(p, name) if p else math.nan for p in poor]), "alpha",
                  "nat per weight" if name == "entropy" else "1", text)
    R = np.linspace(-1.0, 1.0, 20001)
    best = np.array([perceptron.annealed_entropy(R, float(a)).max() for a in alpha])
    group.add("annealed_entropy", best, "alpha", "nat per weight", "largest annealed entropy")
    largest = max(s.sizes)
    curves = [round(a * largest) / largest for a in s.alphas]
    at = np.concatenate([np.linspace(-0.5, 0.9, 36), np.linspace(0.92, 0.99, 8)])
    group.add("curve_alpha", np.array(curves), "curve_alpha", "patterns a weight",
              "of the curves s(R): P/N at the largest size")
    group.add("curve_overlap", at, "curve_overlap", "1", "R")
    group.add("curve_entropy", np.array([
        [gibbs_perceptron.ising_entropy(float(r), a).entropy for r in at] for a in curves]),
        ("curve_alpha", "curve_overlap"), "nat per weight",
        "s(R) at T = 0, replica-symmetric; below 0 there is typically no student")
    group.add("curve_annealed", np.array([perceptron.annealed_entropy(at, a) for a in curves]),
              ("curve_alpha", "curve_overlap"), "nat per weight", "s(R) at T = 0, annealed")
    group.add("transition", gibbs_perceptron.ising_transition().alpha, (), "patterns a weight",
              "first-order transition at T = 0")
    group.add("spinodal", gibbs_perceptron.ising_spinodal().alpha, (), "patterns a weight",
              "end of the poor state at T = 0")
    T = np.concatenate([[0.05, 0.1, 0.2], np.arange(0.3, 2.01, 0.1)])
    group.add("line_temperature", T, "line_temperature", "energy", "T of the lines")
    for name, function, text in (
            ("line_transition", gibbs_perceptron.ising_thermal_transition,
             "alpha of the transition, replica-symmetric"),
            ("line_spinodal", gibbs_perceptron.ising_thermal_spinodal,
             "alpha of the spinodal, replica-symmetric"),
            ("line_annealed", lambda t: perceptron.annealed_transition(t)[0],
             "alpha of the transition, annealed")):
        group.add(name, np.array([function(float(t)) for t in T]), "line_temperature",
                  "patterns a weight", text)
    if s.large:
        thermal = [gibbs_perceptron.ising_thermal(float(a), s.quench_temperature) for a in alpha]
        group.add("thermal_overlap", np.array([t.R if t else math.nan for t in thermal]), "alpha",
                  "1", f"R of the poor state at T = {s.quench_temperature:g}, replica-symmetric")
        group.add("thermal_transition",
                  gibbs_perceptron.ising_thermal_transition(s.quench_temperature), (),
                  "patterns a weight", f"transition at T = {s.quench_temperature:g}")
    return group
