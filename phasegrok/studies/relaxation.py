"""Relaxation after a quench, and slow ramps of the temperature."""

import numpy as np

from phasegrok.cards.card import Card
from phasegrok.cards.sections import Relaxation
from phasegrok.cards.values import temperature_grid
from phasegrok.errors import InputError
from phasegrok.estimates import estimated
from phasegrok.groups import Group
from phasegrok.studies.common import checked_temperature, known_kind, need_family
from phasegrok.studies.sampling import engine_of, samples_group, systems_of

_LONGEST_RING = 2**16  # spins; beyond, the infinite chain is the same to 1e-5
_FEWEST_WORDS = 8  # of 64 replicas each, whose scatter gives the error after a quench


def _relaxation_engine(card: Card, settings, samples: int, ramp: bool):
    """One site of one replica at a time, or 64 replicas in a word where enough words give errors.

    Out of equilibrium the replicas of a word are correlated by the sites that they share.
    """
    from phasegrok.dynamics.multi_spin import LANES
    from phasegrok.dynamics.replicas import SingleFlip

    n = settings.replicas
    at_random = ramp or settings.start is None
    if at_random and n % LANES == 0 and n * samples >= _FEWEST_WORDS * LANES:
        return engine_of(card, settings.dynamics, "random-site", samples)
    return SingleFlip(systems_of(card, samples), settings.dynamics)


def relaxation(card: Card, ramp: bool = False, temperature: float | None = None,
               sweeps: int | None = None, samples: int = 1):
    """Quench, or ramps, of a discrete card; settings that are None are the card's.

    Raises
    ------
    InputError
        If the card is not discrete or lacks what is needed.
    """
    need_family(card, "discrete", "relaxation")
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
        raise InputError(f"{card.name}: a quench needs [relaxation] with a temperature on the "
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
    p = card.parameters
    solved = ("relaxation" in groups and known_kind(card) == "ising-chain" and p.h == 0.0
              and p.J != 0.0 and protocol.engine.dynamics == "heat-bath" and protocol.start is None)
    if solved:
        estimated(groups, "exact relaxation", lambda: _add_glauber(
            groups["relaxation"], groups["two_time_overlap"], protocol.temperature, p))
    return groups


def _add_glauber(one: Group, two: Group, temperature: float, p) -> None:
    """Exact energy and two-time overlap of the ring, or of the infinite chain where N is large."""
    from phasegrok.theory import glauber

    n_spins = p.N if p.N <= _LONGEST_RING else None
    how = "of the ring in sweeps" if n_spins else "of the infinite chain in continuous time"
    time, since, waits = one["time"], two["time_since"], two["waiting_time"]
    one.add("exact_energy", glauber.quench_energy(time, temperature, p.J, n_spins), "time",
            "energy per site", f"exact energy a site {how}")
    exact = np.full((len(waits), len(since)), np.nan)
    for w, t_w in enumerate(waits):
        inside = t_w + since <= time[-1]
        exact[w, inside] = glauber.ageing_correlation(float(t_w), since[inside], temperature, p.J,
                                                      n_spins)
    two.add("exact_overlap", exact, ("waiting_time", "time_since"), "1",
            f"exact C(t_w, t_w + t) {how}")
