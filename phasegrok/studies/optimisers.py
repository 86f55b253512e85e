"""Optimisers compared on one network: the same data, split and initial weights for each."""

import dataclasses
import math

import numpy as np

from phasegrok.cards.card import Card
from phasegrok.cards.sections import Optimisers
from phasegrok.errors import InputError
from phasegrok.groups import Group
from phasegrok.relaxation.training_curves import at_end
from phasegrok.statistics import bootstrap
from phasegrok.studies.training import training

TIMES = {
    "memorisation_step": "first step with 99 % train accuracy",
    "generalisation_step_50": "first step with 50 % test accuracy",
    "generalisation_step_95": "first step of held 95 % test accuracy",
}


def settings(card: Card) -> Optimisers:
    """The card's [optimisers].

    Raises
    ------
    InputError
        If it has none.
    """
    if card.model.optimisers is None:
        raise InputError(f"{card.name}: a comparison of optimisers needs [optimisers] on the card")
    return card.model.optimisers


def points(card: Card, seed: int) -> list[tuple[str, Card]]:
    """Name and card of every optimiser; ``seed`` draws the initial weights of all of them."""
    s = settings(card)
    same = {"optimisers.seed": seed if s.seed is None else s.seed}
    return [(name, card.changed(same | s.changes(name))) for name in s.names]


def measure(job) -> None:
    """One optimiser: training curves from the initial weights that all share."""
    train(job, settings(job.card).seed)


def train(job, seed: int | None) -> None:
    """A point of a scan: training curves from initial weights drawn by ``seed``."""
    protocol = dataclasses.replace(training(job.card), seed=seed)
    job.finish(protocol.result(job.drive(protocol, job.path.stem)))


def _medians(time_br: np.ndarray) -> np.ndarray:
    """Medians over the last axis; NaN (never) is later than any time, and so may be the median."""
    return np.median(np.where(np.isnan(time_br), np.inf, time_br), axis=-1)


def _spread(values_b: np.ndarray) -> float:
    """Half the distance of the quantiles 0.16 and 0.84 of a bootstrap; NaN if one is not known.

    Resamples with a censored median are infinite, 0 (in the denominator) or NaN (both: they may
    lie anywhere, and are counted on either side).
    """
    low = np.quantile(np.nan_to_num(values_b, nan=0.0, posinf=np.inf), 0.16, method="nearest")
    high = np.quantile(np.nan_to_num(values_b, nan=np.inf, posinf=np.inf), 0.84, method="nearest")
    return float(high - low) / 2.0 if low > 0.0 and np.isfinite(high) else math.nan


def median_time(time_r: np.ndarray) -> tuple[float, float]:
    """Median over replicas with its bootstrap error; NaN where half of them or more are censored.

    Parameters
    ----------
    time_r : (R,) array
        NaN: not within the run.
    """
    median = float(_medians(time_r))
    if not math.isfinite(median):
        return math.nan, math.nan
    return median, _spread(bootstrap(time_r, lambda x_bn: _medians(x_bn)))


def median_ratio(time_r: np.ndarray, other_r: np.ndarray,
                 limit: float) -> tuple[float, float, bool]:
    """Ratio of the medians of two optimisers, with its error, and whether it is a lower bound.

    Replicas are resampled together, since both began with the same weights.  Where the median of
    ``time_r`` is censored the ratio is that of ``limit``, the last step at which it could have been
    seen: a lower bound, without error.  Where that of ``other_r`` is, the ratio is not known: NaN.
    """
    median, other = float(_medians(time_r)), float(_medians(other_r))
    if not math.isfinite(other):
        return math.nan, math.nan, False
    if not math.isfinite(median):
        return limit / other, math.nan, True
    with np.errstate(invalid="ignore"):
        ratio_b = bootstrap(np.stack([time_r, other_r], axis=1),
                            lambda x: _medians(x[..., 0]) / _medians(x[..., 1]))
    return median / other, _spread(ratio_b), False


def groups(card: Card, runs: list) -> dict[str, Group]:
    """Group ``optimisers``: times of each, their ratios, and curves of the test accuracy.

    Parameters
    ----------
    card : Card
        Of the scan.
    runs : list of RunFile
        In the order of :func:`points`.
    """
    s = settings(card)
    steps, hold = card.model.training.steps, card.model.event.hold if card.model.event else 0.0
    found = [run["training"] for run in runs]
    cards = [card.changed(s.changes(name)).model.training for name in s.names]
    group = Group(attributes={"reference": s.names[0], "steps": steps})
    group.add("optimiser", np.array(s.names), "optimiser", "1", "name, as on the card")
    group.add("replica", found[0]["replica"], "replica", "1", "initialisation, the same for all")
    group.add("step", found[0]["step"], "step", "steps", "training step")
    group.add("learning_rate", [t.lr for t in cards], "optimiser", "1", "learning rate")
    group.add("weight_decay", [t.weight_decay for t in cards], "optimiser", "1", "weight decay")
    group.add("fixed_norm", [t.fixed_norm for t in cards], "optimiser", "1",
              "whether the norm of all weights is fixed")
    for name, text in TIMES.items():
        times = np.array([g[name] for g in found])
        group.add(name, times, ("optimiser", "replica"), "steps", f"{text}; NaN: never")
        add_medians(group, "optimiser", name, text, times)
        # an accuracy that must be held is seen only if the run goes on for so long
        limit = max(0.0, steps - hold) if name == "generalisation_step_95" else float(steps)
        group.attributes[f"{name}_limit"] = limit
        if name != "memorisation_step":
            _add_ratios(group, s.names, name, times, limit)
    group.add("broken", [int(np.isfinite(g["broken_step"]).sum()) for g in found], "optimiser", "1",
              "replicas whose loss or weights ceased to be finite")
    _add_norms(group, found)
    _add_curves(group, found)
    return {"optimisers": group}


def add_medians(group: Group, dim: str, name: str, text: str, times: np.ndarray) -> None:
    """Medians over replicas of times (values of ``dim``, replicas), with errors, and censored."""
    medians = np.array([median_time(row) for row in times])
    group.add(f"{name}_median", medians[:, 0], dim, "steps",
              f"{text}: median of replicas; NaN: half of them or more never")
    group.add(f"{name}_median_err", medians[:, 1], dim, "steps",
              f"standard error of {name}_median: bootstrap; NaN: not known")
    group.add(f"{name}_censored", np.isnan(times).sum(axis=1), dim, "1",
              f"{text}: replicas in which it was not seen")


def _add_ratios(group: Group, names: list[str], name: str, times: np.ndarray, limit: float) -> None:
    short = name.removeprefix("generalisation_step_")
    bases = [names.index(base) if plus and base in names else None
             for base, plus, _ in (n.partition("+") for n in names)]
    unknown = (math.nan, math.nan, False)
    for label, others, text in (
            ("ratio", [0] * len(names), f"of {names[0]}"),
            ("filter_ratio", bases, "of the same optimiser without filter")):
        rows = [unknown if other is None else median_ratio(times[k], times[other], limit)
                for k, other in enumerate(others)]
        rows = [(value, 0.0, bound) if k == other and not math.isnan(value) else (value, err, bound)
                for k, (other, (value, err, bound)) in enumerate(zip(others, rows))]
        value, error, bound = (np.array(column) for column in zip(*rows))
        group.add(f"{label}_{short}", value, "optimiser", "1",
                  f"median {name} over that {text}; NaN: not known")
        group.add(f"{label}_{short}_err", error, "optimiser", "1",
                  f"standard error of {label}_{short}: bootstrap of replicas; NaN: not known")
        group.add(f"{label}_{short}_bound", bound, "optimiser", "1",
                  f"whether {label}_{short} is a lower bound")


def _add_norms(group: Group, found: list[Group]) -> None:
    """Norm of all weights at the end, and what noise alone would have made of it."""
    ends = np.array([at_end(g, "weight_norm") for g in found])
    group.add("final_norm", np.sqrt((ends**2).sum(axis=2)), ("optimiser", "replica"),
              "1", "norm of all weights at the end; NaN: not finite")
    free = [at_end(g, "free_norm") if "free_norm" in g.variables else np.full(len(row), math.nan)
            for g, row in zip(found, ends)]
    group.add("final_free_norm", np.array(free), ("optimiser", "replica"), "1",
              "the same with noise and decay alone, at the last step; NaN: no noise, or not known")
    best = [np.fmax(np.nanmax(g["test_accuracy"], axis=1), at_end(g, "test_accuracy"))
            for g in found]
    group.add("best_test_accuracy", np.array(best), ("optimiser", "replica"), "1",
              "largest test accuracy in the run")


def _add_curves(group: Group, found: list[Group]) -> None:
    curves = np.array([g["test_accuracy"] for g in found])
    group.add("test_accuracy", curves, ("optimiser", "replica", "step"), "1", "test accuracy")
    for name, q in (("low", 0.25), ("middle", 0.5), ("high", 0.75)):
        # a replica that broke down has no accuracy any more and counts as none
        group.add(f"test_accuracy_{name}", np.quantile(np.nan_to_num(curves), q, axis=1),
                  ("optimiser", "step"), "1", f"quantile {q:g} of the replicas' test accuracy")
