"""Phase diagrams of neurons: Langevin chains at points of the plane, lines of theory over them."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from phasegrok.cards.card import Card
from phasegrok.cards.sections import NeuronDiagram
from phasegrok.errors import InputError
from phasegrok.estimates import NOT_EQUILIBRATED
from phasegrok.groups import Group
from phasegrok.run.progress import Progress
from phasegrok.studies.chains import cubic_model, langevin, langevin_groups
from phasegrok.studies.common import known_kind

PHASES = ("GFL", "GMFL-I", "GMFL-II", NOT_EQUILIBRATED)
_RANGE = 3.0  # lines are looked for up to this factor beyond the values that are simulated
_TOLERANCE = 2e-3  # of the lines, in ln sigma^2
THEORY = "cavity"
_TEXTS = ("an outer well appears", "GMFL-I begins", "outer well as deep as the centre",
          "GMFL-II begins")


def settings(card: Card) -> NeuronDiagram:
    """The card's [neuron_diagram].

    Raises
    ------
    InputError
        If it has none, or its parameter is none of [parameters].
    """
    s = card.model.neuron_diagram
    if s is None:
        raise InputError(f"{card.name}: a phase diagram of neurons needs [neuron_diagram] on the "
                         "card")
    if s.parameter is not None and s.parameter not in type(card.parameters).model_fields:
        raise InputError(f"{card.name}: neuron_diagram.parameter: there is no {s.parameter} in "
                         "[parameters]")
    if (s.parameter is None) != (not s.values):
        raise InputError(f"{card.name}: neuron_diagram: give parameter and values, or neither")
    return s


def _values(card: Card) -> list[float]:
    s = settings(card)
    return list(s.values) if s.parameter else [math.nan]


def _at(card: Card, value: float, sigma2: float) -> dict:
    s = settings(card)
    changes: dict = {"parameters.sigma2": sigma2}
    if s.parameter:
        number = int(value) if s.parameter in ("n", "d", "N", "P") else value
        changes[f"parameters.{s.parameter}"] = number
    return changes


def points(card: Card) -> list[tuple[str, Card]]:
    """Name and card of every point, parameter by parameter."""
    s = settings(card)
    result = []
    for value in _values(card):
        for sigma2 in s.sigma2_values:
            name = f"sigma2={sigma2:g}"
            name = f"{s.parameter}={value:g},{name}" if s.parameter else name
            changes = _at(card, value, sigma2) | {
                "langevin.steps": s.steps, "langevin.equilibration": s.equilibration}
            result.append((name, card.changed(changes)))
    return result


def measure(job) -> None:
    """One point: chains, and the potential of a neuron with theory beside it."""
    protocol = langevin(job.card)
    state = job.drive(protocol, job.path.stem)
    job.finish(langevin_groups(job.card, protocol, state))


# --- theory ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Theory:
    """What a kind of card has to draw: numbers at a point, and lines in sigma^2.

    ``at(parameters)`` gives phase, N p and barrier; ``lines(parameters, highest, decades)`` gives
    name -> (sigma^2, text).
    """

    at: Callable
    lines: Callable


def _cubic_at(p) -> tuple[str, float, float]:
    from phasegrok.theory.adaptive_kernel import solve

    found = solve(cubic_model(p, p.sigma2 / p.n), THEORY)
    return found.phase, p.N * found.droplet, found.barrier


def _cubic_lines(p, highest: float, decades: float) -> dict[str, tuple[float, str]]:
    from phasegrok.theory.adaptive_kernel import limit_lines, transition_lines

    found = transition_lines(cubic_model(p, highest / p.n), THEORY, decades, 6, _TOLERANCE)
    result = {name: (p.n * value, text)
              for (name, value), text in zip(found._asdict().items(), _TEXTS)}
    strength = p.sigma_a2 * p.N / p.d
    limit = limit_lines(p.epsilon, strength, p.sigma_w2)
    for name, text in (("side_birth", "d to infinity: an outer well appears"),
                       ("coexistence", "d to infinity: wells of equal depth")):
        sigma2 = p.n / p.N * math.sqrt(strength / getattr(limit, name))
        result[f"limit_{name}"] = sigma2, text
    return result


def _modular_model(p, sigma2: float):
    from phasegrok.theory.modular_addition import Model

    return Model(p.P, p.N, sigma2, p.sigma_a2, p.gamma)


def _modular_at(p) -> tuple[str, float, float]:
    from phasegrok.theory.modular_addition import solve

    model = _modular_model(p, p.sigma2)
    found = solve(model)
    return found.phase, model.units * found.droplet, found.barrier


def _modular_lines(p, highest: float, decades: float) -> dict[str, tuple[float, str]]:
    from phasegrok.theory.modular_addition import closed_forms, transition_lines

    found = transition_lines(_modular_model(p, highest), decades, 12, _TOLERANCE)
    result = {name: (value, text) for (name, value), text in zip(found._asdict().items(), _TEXTS)}
    limit = closed_forms(p.P, p.N, p.sigma_a2, p.gamma)
    result["limit_I"] = limit.sigma2_I, "P to infinity: GMFL-I begins"
    result["limit_II"] = limit.sigma2_II, "P to infinity: GMFL-II begins"
    return result


_THEORIES = {"two-layer-cubic": Theory(_cubic_at, _cubic_lines),
             "two-layer-modular": Theory(_modular_at, _modular_lines)}


# --- the file -------------------------------------------------------------------------------------


def groups(card: Card, runs: list) -> dict[str, Group]:
    """Groups ``neuron_phases`` and ``neuron_lines``.

    Parameters
    ----------
    card : Card
        Of the scan.
    runs : list of RunFile
        In the order of :func:`points`.
    """
    s, values = settings(card), _values(card)
    theory = _THEORIES.get(known_kind(card))
    shape = len(values), len(s.sigma2_values)
    measured = _measured(runs, shape)
    group = Group(attributes={"parameter": s.parameter or "", "phases": list(PHASES),
                              "theory": "yes" if theory else "no"})
    dims = ("value", "sigma2")
    group.add("value", np.array(values), "value", "1", f"{s.parameter or 'no parameter'}")
    group.add("sigma2", np.array(s.sigma2_values), "sigma2", "1", "variance of the likelihood")
    for name, (array, unit, text) in measured.items():
        group.add(name, array, dims, unit, text)
    result = {"neuron_phases": group}
    if theory is None:
        return result
    progress = Progress("theory")
    rows = []
    for k, (name, point) in enumerate(points(card)):
        progress.update(0.2 * k / len(runs), f"at {name}")
        rows.append(_or_nothing(theory.at, point))
    group.add("phase_theory", np.array([PHASES.index(r[0]) if r[0] else -1 for r in rows]
                                       ).reshape(shape), dims, "1", "phase, theory; -1: none found")
    for k, (name, unit, text) in enumerate((
            ("droplets_theory", "units", "N p, theory"),
            ("barrier_theory", "nat", "barrier from the centre, theory"))):
        group.add(name, np.array([r[1 + k] for r in rows]).reshape(shape), dims, unit, text)
    result["neuron_lines"] = _lines(card, theory, progress)
    progress.close("points and lines")
    return result


def _or_nothing(function, point: Card) -> tuple[str, float, float]:
    try:
        return function(point.parameters)
    except ArithmeticError:  # does not converge: the point has no theory, and says so
        return "", math.nan, math.nan


def _measured(runs, shape) -> dict[str, tuple[np.ndarray, str, str]]:
    from phasegrok.thermodynamics.unit_potential import equilibrated

    potentials = [run["effective_potential"] for run in runs]
    chains = [run["chains"] for run in runs]
    label = [PHASES.index(str(g.attributes["phase"]))
             if equilibrated(g, c) else len(PHASES) - 1
             for g, c in zip(potentials, chains)]
    result = {"phase": (np.array(label).reshape(shape), "1", "index into the attribute phases")}
    for name in ("barrier", "barrier_err", "well", "droplets", "droplets_err"):
        first = potentials[0].variables[name]
        values = np.array([float(g[name]) for g in potentials]).reshape(shape)
        result[name] = values, first.units, first.long_name
    for name in ("train_loss", "test_loss"):
        first = chains[0].variables[name]
        for key, text in ((name, first.long_name), (f"{name}_err", f"error of {first.long_name}")):
            result[key] = (np.array([float(g[key]) for g in chains]).reshape(shape), first.units,
                           text)
    return result


def _lines(card: Card, theory: Theory, progress: Progress) -> Group:
    s = settings(card)
    highest, lowest = _RANGE * max(s.sigma2_values), min(s.sigma2_values) / _RANGE
    values = [math.nan]
    if s.parameter:
        spaced = np.geomspace if s.parameter in ("n", "d", "N", "P") else np.linspace
        values = list(spaced(min(s.values), max(s.values), s.lines))
    found = []
    for k, value in enumerate(values):
        progress.update(0.2 + 0.8 * k / len(values), f"lines at {s.parameter or 'the card'}"
                        + (f" = {value:.4g}" if s.parameter else ""))
        point = card.changed(_at(card, value, highest))
        try:
            found.append(theory.lines(point.parameters, highest, math.log10(highest / lowest)))
        except ArithmeticError:
            found.append({})
    group = Group(attributes={"parameter": s.parameter or ""})
    if s.parameter in ("n", "d", "N", "P"):
        values = [int(value) for value in values]
    group.add("line_value", np.array(values, float), "line_value", "1", s.parameter or "none")
    names = {name: text for row in found for name, (_, text) in row.items()}
    for name, text in names.items():
        group.add(name, np.array([row.get(name, (math.nan,))[0] for row in found]), "line_value",
                  "1", f"sigma^2: {text}")
    return group
