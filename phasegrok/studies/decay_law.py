"""The time to generalise against weight decay, train fraction and size of the weights."""

from typing import Any

import numpy as np

from phasegrok.cards.card import Card
from phasegrok.cards.sections import DecayLaw
from phasegrok.errors import InputError
from phasegrok.groups import Group
from phasegrok.relaxation.delay_laws import divergence, local_exponents, power_law
from phasegrok.relaxation.training_curves import at_end
from phasegrok.statistics import mean_and_error
from phasegrok.studies.optimisers import TIMES, add_medians, train

SCANS = ("decays", "rates", "fractions", "scales", "norms")
_TEXT = {
    "decays": "lr wd, changed by the decay", "rates": "lr wd, changed by the learning rate",
    "fractions": "train fraction", "scales": "factor of the initial weights",
    "norms": "norm of all weights, held fixed, over that of the default initial weights",
}


def settings(card: Card) -> DecayLaw:
    """The card's [decay_law].

    Raises
    ------
    InputError
        If it has none.
    """
    if card.model.decay_law is None:
        raise InputError(f"{card.name}: a decay law needs [decay_law] on the card")
    return card.model.decay_law


def _changes(card: Card, scan: str, value: float) -> dict[str, Any]:
    """What differs from the card at one value."""
    s, t = settings(card), card.model.training
    if scan == "norms":
        return {"training.initial_scale": value, "training.fixed_norm": True,
                "training.weight_decay": 0.0, "training.stop_at_event": False}
    longer = s.slowest
    if scan in ("decays", "rates"):
        longer = min(longer, max(1.0, t.lr * t.weight_decay / value))
    key, new = {"decays": ("training.weight_decay", value / t.lr),
                "rates": ("training.lr", value / (t.weight_decay or 1.0)),
                "fractions": ("parameters.train_fraction", value),
                "scales": ("training.initial_scale", value)}[scan]
    return {key: new, "training.steps": round(longer * t.steps), "training.stop_at_event": True}


def points(card: Card, seed: int) -> list[tuple[str, Card]]:
    """Name and card of every value; ``seed`` draws the initial weights of all of them.

    Raises
    ------
    InputError
        If there is no [decay_law], or no value in it, or lr wd is scanned where it is zero.
    """
    s = settings(card)
    if not any(getattr(s, scan) for scan in SCANS):
        raise InputError(f"{card.name}: decay_law has no values: give one of {', '.join(SCANS)}")
    if (s.decays or s.rates) and card.model.training.weight_decay == 0.0:
        raise InputError(f"{card.name}: lr wd is scanned about that of [training], which is zero: "
                         "give training.weight_decay")
    same = {"decay_law.seed": seed if s.seed is None else s.seed}
    return [(f"{scan}={value:g}", card.changed(same | _changes(card, scan, value)))
            for scan in SCANS for value in getattr(s, scan)]


def measure(job) -> None:
    """One value: training curves from the initial weights that all share."""
    train(job, settings(job.card).seed)


def groups(card: Card, runs: list) -> dict[str, Group]:
    """Group ``decay_law``: of every scan its times or losses and what was fitted.

    Parameters
    ----------
    card : Card
        Of the scan.
    runs : list of RunFile
        In the order of :func:`points`.
    """
    s, t = settings(card), card.model.training
    group = Group(attributes={"lr": t.lr, "weight_decay": t.weight_decay})
    rest = list(runs)
    group.add("replica", rest[0]["training"]["replica"], "replica", "1",
              "initialisation, the same at all values")
    for scan in SCANS:
        values = np.array(getattr(s, scan))
        if len(values) == 0:
            continue
        found, rest = [run["training"] for run in rest[: len(values)]], rest[len(values):]
        group.add(scan, values, scan, "1", _TEXT[scan])
        if scan == "norms":
            _add_losses(group, found)
        else:
            _add_times(group, scan, values, found)
    return {"decay_law": group}


def _add_times(group: Group, scan: str, values: np.ndarray, found: list[Group]) -> None:
    group.add(f"{scan}_steps", [g.attributes["steps"] for g in found], scan, "steps",
              "steps that a replica had at most")
    for name, text in TIMES.items():
        times = np.array([g[name] for g in found])
        group.add(f"{scan}_{name}", times, (scan, "replica"), "steps", f"{text}; NaN: never")
        add_medians(group, scan, f"{scan}_{name}", text, times)
    half = np.array([g["generalisation_step_50"] for g in found])
    if scan == "fractions":
        _add_fit(group, scan, ("prefactor", "exponent", "critical"), divergence(values, half))
    else:
        _add_fit(group, scan, ("prefactor", "exponent"), power_law(values, half))
        local, error = local_exponents(values, half)
        group.add(f"{scan}_local_exponent", np.append(local, np.nan), scan, "1",
                  "-d ln t/d ln value from this value to the next")
        group.add(f"{scan}_local_exponent_err", np.append(error, np.nan), scan, "1",
                  f"standard error of {scan}_local_exponent: bootstrap of replicas")


_FIT = {"prefactor": "prefactor of the law, in steps", "exponent": "exponent of the law",
        "critical": "train fraction at which the time diverges"}


def _add_fit(group: Group, scan: str, names: tuple[str, ...], fit) -> None:
    for k, name in enumerate(names):
        group.add(f"{scan}_{name}", fit.value[k], (), "1", f"{_FIT[name]} of median times")
        group.add(f"{scan}_{name}_err", fit.error[k], (), "1",
                  f"standard error of {scan}_{name}: bootstrap of replicas, enlarged by the "
                  "scatter about the law; NaN: not known")
    group.attributes[f"{scan}_rms"] = fit.rms
    group.attributes[f"{scan}_points"] = fit.points


def _add_losses(group: Group, found: list[Group]) -> None:
    group.add("norms_steps", [g.attributes["steps"] for g in found], "norms", "steps",
              "steps of training")
    for name, unit in (("train_loss", "nat"), ("test_loss", "nat"), ("train_accuracy", "1"),
                       ("test_accuracy", "1")):
        _add_mean(group, f"norms_{name}", [at_end(g, name) for g in found], unit,
                  f"{name.replace('_', ' ')} after training")


def _add_mean(group: Group, name: str, samples: list[np.ndarray], unit: str, text: str) -> None:
    values = np.array(samples)
    group.add(name, values, ("norms", "replica"), unit, text)
    mean, error = mean_and_error(values, axis=1)
    group.add(f"{name}_mean", mean, "norms", unit, f"{text}, mean of replicas")
    group.add(f"{name}_mean_err", error, "norms", unit, f"standard error of {name}_mean")
