"""Waiting times: clones of one checkpoint, and the statistics of when they cross."""

import math

import numpy as np

from phasegrok.cards.card import Card
from phasegrok.cards.sections import Event, WaitingTimes
from phasegrok.errors import InputError
from phasegrok.estimates import estimated
from phasegrok.groups import Group
from phasegrok.studies.common import checked_temperature, known_kind, need_family
from phasegrok.studies.sampling import motion_of
from phasegrok.studies.training import (
    announced,
    eval_every,
    evaluations,
    trainable,
    training_settings,
    watched_observable,
)
from phasegrok.studies.weights import start_of

_MOST_STEPS = 1e18  # counters are 64-bit integers


def event_of(card: Card) -> tuple[WaitingTimes, Event]:
    """Settings of the clones and the event that they wait for, refused where they cannot be run."""
    if card.model.waiting_times is None or card.model.event is None:
        missing = "[waiting_times]" if card.model.waiting_times is None else "[event]"
        raise InputError(f"{card.name}: waiting times and a verdict need {missing} on the card")
    waiting, event = card.model.waiting_times, card.model.event
    if waiting.limit * 10_000 > _MOST_STEPS or event.hold > waiting.limit:
        raise InputError(f"{card.name}: limit = {waiting.limit:g}, hold = {event.hold:g} cannot be "
                         "run: give a limit that is longer than the hold and below 1e14")
    start = _known_start(card, waiting)
    if start is not None and start >= event.threshold:
        raise InputError(f"{card.name}: the order parameter at the start, {start:g}, is already at "
                         f"the event's threshold {event.threshold:g}")
    return waiting, event


def clones(card: Card, temperature: float | None = None, number: int | None = None,
           after: float = 0.0):
    """Clones of one checkpoint at ``temperature`` (None: the card's first; 0: noise-free).

    Those of spins and coordinates are watched for ``after`` transits longer than their event.

    Raises
    ------
    InputError
        If the card has no event or no ``[waiting_times]``, or the temperature is negative.
    """
    waiting, event = event_of(card)
    t = waiting.temperatures[0] if temperature is None else temperature
    if t < 0.0:
        raise InputError(f"{card.name}: temperature {t:g} is negative: give --temperature 0 or "
                         "more")
    if t > 0.0:
        checked_temperature(t)
    number = number or waiting.clones
    if card.family == "network":
        return _network_clones(card, t, number)
    system = card.build()
    if card.family == "overdamped":
        from phasegrok.protocols.clones import OverdampedClones

        _check_noise(card, t, event.threshold)
        return OverdampedClones(system, t, number, event.threshold, event.hold, waiting.limit,
                                after=after)
    if card.family == "hamiltonian":
        from phasegrok.protocols.clones import HamiltonianClones

        motion = motion_of(card)
        return HamiltonianClones(system, t, number, event.threshold, event.hold, waiting.limit,
                                 motion.step, motion.friction, waiting.start,
                                 waiting.preparation_sweeps, waiting.preparation_temperature,
                                 after=after)
    need_family(card, "discrete", "clones", "overdamped", "hamiltonian", "network")
    from phasegrok.protocols.clones import DiscreteClones

    return DiscreteClones(system, t, number, event.threshold, event.hold, waiting.limit,
                          waiting.dynamics, waiting.start, waiting.preparation_sweeps,
                          waiting.preparation_temperature, after=after)


def _check_noise(card: Card, temperature: float, threshold: float) -> None:
    """Refuse noise of which one time step leads past the event."""
    p = card.parameters
    reach = math.sqrt(2.0 * temperature * p.dt)
    if reach > abs(threshold - p.start):
        longest = (threshold - p.start) ** 2 / (2.0 * p.dt)
        raise InputError(f"{card.name}: temperature {temperature:g}: the noise of one time step, "
                         f"{reach:.3g}, leads past the event: give less than {longest:.3g}, or a "
                         "shorter dt")


def _known_start(card: Card, waiting: WaitingTimes) -> float | None:
    """Order parameter of the start where the card fixes it: the clones must not be there yet."""
    if card.family == "overdamped":
        x = card.parameters.start
        return abs(x) if card.parameters.order_parameter == "abs_x" else x
    return None if waiting.preparation_sweeps else waiting.start


def _network_clones(card: Card, temperature: float, number: int):
    from phasegrok.networks.training.state import Event
    from phasegrok.protocols.network_clones import NetworkClones

    waiting, event = event_of(card)
    settings = training_settings(card, temperature=temperature, snapshots=waiting.snapshots)
    system = trainable(card, settings)
    return announced(NetworkClones(
        system, settings, number, int(waiting.limit),
        Event(event.threshold, evaluations(card, event.hold),
              observable=watched_observable(card)),
        waiting.plateau_accuracy, card.model.training.steps, start=start_of(card, system)))


def interval_of(card: Card) -> float:
    """Spacing of recorded waiting times: evaluations of a network, 0 for the other families."""
    return float(eval_every(card)) if card.family == "network" else 0.0


def waiting_groups(card: Card, protocol, state) -> dict[str, Group]:
    """Group ``waiting_times`` with its statistics, and exact values where the system is solved."""
    from phasegrok.accounts.components import analyse
    from phasegrok.theory.solved import exact_first_passage

    groups = protocol.result(state)
    group = groups["waiting_times"]
    waits = estimated(groups, "statistics of the waiting times",
                      lambda: analyse(group, interval_of(card)))
    add_waiting_statistics(group, waits, protocol.unit)
    group.attributes["time_unit"] = protocol.unit
    size = getattr(protocol.system, "n_sites", None)
    temperature = group.attributes["temperature"]
    step = getattr(protocol, "step", None) if getattr(protocol, "friction", None) is None else None
    exact = estimated(groups, "exact waiting time", lambda: exact_first_passage(
        known_kind(card), card.parameters, *event_of(card), temperature, size, step))
    for name, value in (exact or {}).items():
        group.attributes[f"exact_{name}"] = value
    return groups


def add_waiting_statistics(group: Group, waits, unit: str) -> None:
    """Mean, spread and shifted-exponential law of the times of a group, each with its error.

    ``waits`` None: all of them NaN.
    """
    texts = {"tau": (unit, "mean waiting time"), "cv": ("1", "standard deviation / mean"),
             "lag": (unit, "lag of the shifted exponential"),
             "scale": (unit, "scale of the shifted exponential"),
             "memoryless": ("1", "mean residual time beyond the median / scale")}
    for name, (u, text) in texts.items():
        how = "bootstrap over clones" if u == "1" else "likelihood and scatter of clones"
        group.add(name, getattr(waits, name, np.nan), (), u, text)
        group.add(f"{name}_err", getattr(waits, f"{name}_err", np.nan), (), u,
                  f"standard error of {name}: {how}")
    group.add("p_value", getattr(waits, "p_value", np.nan), (), "1",
              "goodness of the shifted exponential: parametric bootstrap of the KS distance")
