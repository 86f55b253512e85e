"""Canonical sampling: from a card to the engine that moves its replicas, and to averages."""

from typing import Any

import numpy as np

from phasegrok.cards.card import Card
from phasegrok.cards.sections import FiniteSize, Motion, PhaseDiagram
from phasegrok.cards.values import temperature_grid
from phasegrok.errors import InputError
from phasegrok.estimates import estimated
from phasegrok.groups import Group
from phasegrok.studies.common import known_kind, need_family, temperature_table, temperatures_text


def systems_of(card: Card, samples: int) -> tuple:
    """One system a sample of the disorder."""
    return tuple(card.build(arrays) for arrays in card.samples(samples))


def samples_group(card: Card, samples: int) -> dict[str, Group]:
    """Group ``samples`` with the disorder of every sample, where there are several."""
    if samples == 1:
        return {}
    group = Group()
    group.add("sample", np.arange(samples), "sample", "1", "sample of the disorder")
    drawn = card.samples(samples)
    for name, array in card.arrays.items():
        dims = tuple(f"{name}_{axis}" for axis in range(array.ndim))
        for axis, dim in enumerate(dims):
            group.add(dim, np.arange(array.shape[axis]), dim, "1", f"axis {axis} of {name}")
        group.add(name, np.stack([arrays[name] for arrays in drawn]), ("sample", *dims), "1",
                  f"{name} of every sample")
    return {"samples": group}


def engine_of(card: Card, dynamics: Any, order: Any, samples: int):
    """What moves the replicas: clusters, 64 replicas in a word where they fit, or one site."""
    from phasegrok.dynamics import multi_spin
    from phasegrok.dynamics.multi_spin_east import MultiSpinEast
    from phasegrok.dynamics.replicas import SingleFlip
    from phasegrok.systems.east import East

    systems = systems_of(card, samples)
    if dynamics in ("wolff", "swendsen-wang"):
        from phasegrok.dynamics.clusters import Clusters

        try:
            return Clusters(systems, dynamics)
        except ValueError as error:
            raise InputError(f"{card.name}: {error}") from error
    problem = multi_spin.fits(systems, order)
    if not problem:
        return multi_spin.MultiSpin(systems, dynamics, order)
    if isinstance(systems[0], East) and order == "random-site":
        return MultiSpinEast(systems, dynamics)
    if order != "random-site":
        raise InputError(f"{card.name}: order = {order}: {problem}; take order = random-site")
    return SingleFlip(systems, dynamics)


def steps_of(card: Card, samples: int):
    """What moves replicas of plain coordinates, as [motion] says."""
    from phasegrok.dynamics.hamiltonian_steps import HamiltonianSteps

    motion = motion_of(card)
    return HamiltonianSteps(systems_of(card, samples), motion.step, motion.friction)


def motion_of(card: Card) -> Motion:
    """The section of the card that moves plain coordinates."""
    if card.model.motion is None:
        raise InputError(f"{card.name}: coordinates move by [motion] on the card, with the time of "
                         "a step: --set motion.step=0.01")
    for section in ("sample", "relaxation", "waiting_times"):
        settings = getattr(card.model, section)
        given = [f"{section}.{key}" for key in ("dynamics", "order")
                 if settings is not None and key in settings.model_fields_set]
        if given:
            raise InputError(f"{card.name}: {', '.join(given)}: of lattices; coordinates move as "
                             "[motion] says: leave it out")
    return card.model.motion


def _need_own_names(card: Card, system) -> None:
    """Observables of a system stand beside the averages that all have."""
    from phasegrok.systems.hamiltonian import derived_of, observables_of
    from phasegrok.thermodynamics.averages import RESERVED

    if taken := RESERVED & (set(observables_of(system)) | set(derived_of(system))):
        raise InputError(f"{card.name}: {', '.join(sorted(taken))}: of every system; give the "
                         "observable another name")


def _need_pairs(card: Card, replicas: int, samples: int) -> None:
    """Overlaps are taken within pairs of replicas, which must not cross samples."""
    if replicas > 1 and replicas % 2:
        raise InputError(f"{card.name}: replicas = {replicas}: give an even number, for the "
                         "overlap within pairs" + (" of each sample" if samples > 1 else ""))


def sampling(card: Card, temperatures: str | None = None, sweeps: int | None = None,
             samples: int = 1):
    """Canonical sampling of spins or coordinates; settings that are None are the card's.

    Raises
    ------
    InputError
        If the card is neither discrete nor Hamiltonian, gives no temperatures, or its dynamics does
        not fit.
    """
    need_family(card, "discrete", "canonical sampling", "hamiltonian")
    from phasegrok.protocols.canonical import FEWEST_SWEEPS, Canonical

    s = card.model.sample
    text = temperatures_text(card, temperatures or s.temperatures)
    grid = temperature_table(card, text)
    sweeps = sweeps or s.sweeps
    if s.equilibration + FEWEST_SWEEPS > sweeps:
        raise InputError(f"{card.name}: equilibration = {s.equilibration} leaves too little to "
                         f"measure of {sweeps} sweeps, at least {FEWEST_SWEEPS}: "
                         f"--set equilibration={sweeps // 5}")
    _need_pairs(card, s.replicas, samples)
    if s.exchange and len(grid) < 2:
        raise InputError(f"{card.name}: replica exchange needs at least two temperatures")
    if card.family == "hamiltonian":
        engine: Any = steps_of(card, samples)
        _need_own_names(card, engine.systems[0])
    else:
        engine = engine_of(card, s.dynamics, s.order, samples)
    tune = s.tune and ":" in text  # what was listed is wanted as it is
    return Canonical(engine, tuple(map(float, grid)), s.replicas * samples, sweeps,
                     s.equilibration, s.exchange, tune)


def sampling_groups(card: Card, protocol, state) -> dict[str, Group]:
    """Groups of canonical sampling, with exact values beside them where the model is solved."""
    from phasegrok.theory.solved import exact_averages, universal_jumps

    groups = protocol.result(state)
    if "averages" in groups:
        averages = groups["averages"]
        exact = estimated(groups, "exact averages", lambda: exact_averages(
            known_kind(card), card.parameters, averages["temperature"]))
        for name, value in (exact or {}).items():
            variable = averages.variables[name]
            averages.add(f"exact_{name}", value, "temperature", variable.units, f"exact {name}")
        for name, value in universal_jumps(known_kind(card), card.parameters,
                                           averages["temperature"]).items():
            averages.add(f"jump_{name}", value, "temperature", averages.variables[name].units,
                         f"line at which {name} falls to zero, of an infinite system")
    return groups | samples_group(card, len(protocol.engine.systems))


def series_protocol(card: Card, settings: FiniteSize | PhaseDiagram, sweeps: int,
                    equilibration: int, exchange: bool):
    """Canonical sampling that keeps time series, as a section of the card says."""
    from phasegrok.protocols.series import Series

    engine = engine_of(card, settings.dynamics, "random-site", 1)
    grid = tuple(map(float, temperature_grid(settings.temperatures)))
    return Series(engine, grid, settings.replicas, sweeps, equilibration, exchange, tune=False)
