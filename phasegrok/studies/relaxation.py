"""Relaxation after a quench, and slow ramps of the temperature."""

from phasegrok.cards.card import Card
from phasegrok.cards.sections import Relaxation
from phasegrok.cards.values import temperature_grid
from phasegrok.errors import InputError
from phasegrok.estimates import estimated
from phasegrok.groups import Group
from phasegrok.studies.common import checked_temperature, known_kind, need_family
from phasegrok.studies.sampling import engine_of, samples_group, steps_of, systems_of

_FEWEST_WORDS = 8  # of 64 replicas each, whose scatter gives the error after a quench


def _relaxation_engine(card: Card, settings, samples: int, ramp: bool):
    """One site of one replica at a time, or 64 replicas in a word where enough words give errors.

    Out of equilibrium the replicas of a word are correlated by the sites that they share.
    """
    from phasegrok.dynamics.multi_spin import LANES
    from phasegrok.dynamics.replicas import SingleFlip

    if card.family == "hamiltonian":
        return steps_of(card, samples)
    n = settings.replicas
    at_random = ramp or settings.start is None
    if at_random and n % LANES == 0 and n * samples >= _FEWEST_WORDS * LANES:
        return engine_of(card, settings.dynamics, "random-site", samples)
    return SingleFlip(systems_of(card, samples), settings.dynamics)


def relaxation(card: Card, ramp: bool = False, temperature: float | None = None,
               sweeps: int | None = None, samples: int = 1):
    """Quench, or ramps, of spins or coordinates; settings that are None are the card's.

    Raises
    ------
    InputError
        If the card is neither discrete nor Hamiltonian, or lacks what is needed.
    """
    need_family(card, "discrete", "relaxation", "hamiltonian")
    from phasegrok.protocols.quench import Quench, Ramp

    if temperature is not None:
        if ramp:
            raise InputError("--temperature is that of a quench: a ramp goes through those of "
                             "--set ramp=first:last:number")
        if not temperature > 0.0:
            raise InputError(f"--temperature {temperature:g}: give a positive temperature")
    r = card.model.relaxation
    if r is None and temperature is not None:
        r = Relaxation(temperature=temperature)  # with settings that are the same on every card
    if r is None:
        raise InputError(f"{card.name}: a ramp needs [relaxation] on the card" if ramp else
                         f"{card.name}: a quench needs [relaxation] with a temperature on the "
                         "card, or --temperature T")
    engine = _relaxation_engine(card, r, samples, ramp)
    if not ramp:
        t = r.temperature if temperature is None else temperature
        checked_temperature(t)
        return Quench(engine, t, r.replicas * samples, sweeps or r.sweeps, r.start)
    if r.ramp is None:
        raise InputError(f"{card.name}: a ramp needs its temperatures: "
                         "--set ramp=first:last:number")
    grid = tuple(map(float, temperature_grid(r.ramp)))
    return Ramp(engine, grid, r.replicas * samples, sweeps or r.ramp_sweeps)


def relaxation_groups(card: Card, protocol, state) -> dict[str, Group]:
    """Groups of a quench or of ramps, with exact values beside a quench of the Glauber chain."""
    groups = protocol.result(state) | samples_group(card, len(protocol.engine.systems))
    alone = getattr(protocol, "start", "") is None  # a quench from a random configuration
    if "relaxation" in groups and alone and protocol.engine.dynamics == "heat-bath":
        estimated(groups, "exact relaxation", lambda: _add_exact(
            card, groups["relaxation"], groups["two_time_overlap"], protocol.temperature))
    return groups


def _add_exact(card: Card, one: Group, two: Group, temperature: float) -> None:
    """Exact energy and two-time overlap beside the measured ones, where they are known."""
    from phasegrok.theory.solved import heat_bath_quench

    found = heat_bath_quench(known_kind(card), card.parameters, temperature, one["time"],
                             two["waiting_time"], two["time_since"])
    if found is None:
        return
    energy, overlap, how = found
    one.add("exact_energy", energy, "time", "energy per site", f"exact energy a site {how}")
    two.add("exact_overlap", overlap, ("waiting_time", "time_since"), "1",
            f"exact C(t_w, t_w + t) {how}")
