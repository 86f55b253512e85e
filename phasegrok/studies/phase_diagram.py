"""Phase diagrams: lines of transitions in the plane of temperature and a second parameter."""

import dataclasses
from itertools import pairwise
from typing import Any

import numpy as np

from phasegrok.cards.card import Card
from phasegrok.errors import InputError
from phasegrok.groups import Group
from phasegrok.studies.common import known_kind, need_family
from phasegrok.studies.sampling import series_protocol


def _phase_diagram_settings(card: Card):
    need_family(card, "discrete", "a phase diagram")
    if card.model.phase_diagram is None:
        raise InputError(f"{card.name}: a phase diagram needs [phase_diagram] on the card")
    return card.model.phase_diagram


def phase_diagram_series(card: Card):
    """Series on a ladder of temperatures: one point of a phase diagram.

    Raises
    ------
    InputError
        If the card's dynamics does not fit.
    """
    settings = _phase_diagram_settings(card)
    return series_protocol(card, settings, settings.sweeps, settings.equilibration, exchange=True)


@dataclasses.dataclass
class PhaseDiagramColumn:
    """One value of the second parameter: its card, the series so far, smallest size first."""

    value: float
    card: Card
    series: list = dataclasses.field(default_factory=list)
    found: Any = None  # diagram.Column, when all sizes are measured

    def point(self, size: int) -> tuple[str, Card]:
        """Name and card of the point at one size; its rungs follow from the size before."""
        from phasegrok.thermodynamics.curves import Reweighted
        from phasegrok.thermodynamics.ladders import rungs

        settings = _phase_diagram_settings(self.card)
        key = "L" if "L" in self.card.model.parameters else "N"
        changes: dict[str, Any] = {f"parameters.{key}": size}
        if self.series:
            n_sites = self.card.resized(size).build().n_sites
            try:
                ladder = rungs(Reweighted(self.series[-1]), n_sites)
            except ValueError as error:  # neighbouring histograms do not overlap
                raise InputError(f"{self.card.name}: phase_diagram.temperatures = "
                                 f"{settings.temperatures}: {error}") from error
            changes["phase_diagram.temperatures"] = ", ".join(map(repr, ladder.tolist()))
        name = f"{key}={size}" if settings.parameter is None else (
            f"{settings.parameter}={self.value:.10g}-{key}={size}")
        return name, self.card.changed(changes)

    def add(self, run) -> None:
        """Take the series of the next size from its run file."""
        from phasegrok.thermodynamics.curves import Series

        group = run["series"]
        a = group.attributes
        self.series.append(Series(
            int(a["n_sites"]), group["temperature"], group["energy"],
            group["order_parameter"] - a["order_parameter_zero"], bool(a["symmetric"]),
            bool(self.card.build().order_levels()[0] < 0.0), "L" in self.card.model.parameters))


def phase_diagram_columns(card: Card, values=None) -> list[PhaseDiagramColumn]:
    """A column for each value of the second parameter; values that are None are the card's.

    Raises
    ------
    InputError
        If the card is not discrete, has no ``[phase_diagram]``, or its parameter does not exist.
    """
    settings = _phase_diagram_settings(card)
    if settings.parameter is None:
        return [PhaseDiagramColumn(float("nan"), card)]
    if settings.parameter not in type(card.parameters).model_fields:
        known = ", ".join(type(card.parameters).model_fields)
        raise InputError(f"{card.name}: phase_diagram.parameter = {settings.parameter}: "
                         f"parameters are {known}")
    values = settings.values if values is None else values
    if not values:
        raise InputError(f"{card.name}: phase_diagram.values: give values of {settings.parameter}")
    whole = isinstance(getattr(card.parameters, settings.parameter), int)
    return [PhaseDiagramColumn(float(v), card.changed(
        {f"parameters.{settings.parameter}": int(v) if whole else float(v)})) for v in values]


def phase_diagram_refinement(card: Card, columns: list[PhaseDiagramColumn]) -> list[float]:
    """Values half-way between a column of first-order transitions and a neighbour without."""
    name = _phase_diagram_settings(card).parameter
    if name is None or isinstance(getattr(card.parameters, name), int):
        return []
    return [0.5 * (a.value + b.value) for a, b in pairwise(columns)
            if (a.found.transition.label == "first-order") != (
                b.found.transition.label == "first-order")]


def phase_diagram_groups(card: Card, columns: list[PhaseDiagramColumn]) -> dict[str, Group]:
    """Groups ``phase_diagram`` and ``transitions``, and ``exact`` where lines are known."""
    from phasegrok.theory.solved import phase_lines
    from phasegrok.thermodynamics.diagram_tables import diagram_groups

    settings = _phase_diagram_settings(card)
    name = settings.parameter or "none"
    key = "L" if "L" in card.model.parameters else "N"
    groups = diagram_groups(name, np.array([column.value for column in columns]),
                            [column.found for column in columns], settings.sizes)
    groups["transitions"].attributes["size_name"] = key
    exact = phase_lines(known_kind(card), card.parameters, name,
                        np.array([column.value for column in columns]))
    if exact is None:
        return groups
    found = groups["transitions"]
    found.attributes["known_exactly"] = exact.exact
    found.add("known_temperature", exact.temperature, "value", "energy",
              "known temperature of the transition; NaN: none")
    found.add("known_first_order", exact.first_order, "value", "1",
              "whether the known transition is of first order")
    return groups | {"exact": _lines_group(exact)}


def _lines_group(exact) -> Group:
    """Group ``exact``: known lines and points of the plane."""
    group = Group()
    for name, line in exact.lines.items():
        group.add(f"{name}_value", line.parameter, f"{name}_value", "1", f"{line.text}: parameter")
        group.add(f"{name}_temperature", line.temperature, f"{name}_value", "energy", line.text)
    for name, (value, temperature, text) in exact.points.items():
        group.add(f"{name}_point", [value, temperature], "coordinate", "1", text)
    if exact.points:
        group.add("coordinate", [0, 1], "coordinate", "1", "parameter, temperature")
    return group
