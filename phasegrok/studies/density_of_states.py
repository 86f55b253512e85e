"""Densities of states and effective potentials, by ladders of temperatures or Wang-Landau."""

import dataclasses

import numpy as np

from phasegrok.cards.card import Card
from phasegrok.errors import InputError
from phasegrok.estimates import estimated
from phasegrok.groups import Group
from phasegrok.studies.common import need_family, temperature_table
from phasegrok.studies.sampling import sampling


def density_of_states(card: Card, sweeps: int | None = None, walkers: int | None = None,
                      method: str | None = None, fold: bool | None = None, joint: bool = False,
                      what: str = "the density of states"):
    """Protocol of ln g(E) or ln g(E, Phi); settings that are None are the card's.

    Of plain coordinates replica exchange at the temperatures of [sample]; else :func:`counting`.

    Raises
    ------
    InputError
        If the card is of another family (``what`` says what needs it), has too many cells, or the
        method does not fit it.
    """
    if card.family == "hamiltonian":
        return _coordinate_ladder(card, sweeps, walkers, method, fold, joint)
    need_family(card, "discrete", what, "hamiltonian")
    return counting(card, sweeps, walkers, method, fold, joint, what)


def counting(card: Card, sweeps: int | None = None, walkers: int | None = None,
             method: str | None = None, fold: bool | None = None, joint: bool = False,
             what: str = "the density of states"):
    """Protocol of ln g of a discrete card: a ladder of temperatures where the system fits it, and
    Wang-Landau else, unless the method is named.  Arguments and errors: :func:`density_of_states`.
    """
    system = _counted(card, what)
    from phasegrok.protocols.temperature_ladder import TemperatureLadder, fits
    from phasegrok.systems.binned import Binned

    settings = card.model.density_of_states
    method, fold = method or settings.method, settings.fold if fold is None else fold
    reason = "energies are counted in bins" if isinstance(system, Binned) else fits(system)
    if method == "auto":
        method = "wang-landau" if reason else "ladder"
    if reason and (fold or method == "ladder"):
        raise InputError(f"{card.name}: a ladder of temperatures does not fit: {reason}; take "
                         "--method wang-landau, without --fold")
    if fold and method != "ladder":
        raise InputError(f"{card.name}: --fold is of a ladder of temperatures, not of {method}")
    if method != "ladder":
        return _wang_landau(card, system, sweeps, walkers, joint, method)
    try:
        return TemperatureLadder(system, sweeps or settings.sweeps, walkers or settings.walkers,
                                 fold, joint)
    except ValueError as error:
        raise InputError(f"{card.name}: {error}") from error


def _coordinate_ladder(card: Card, sweeps: int | None, walkers: int | None, method: str | None,
                       fold: bool | None, joint: bool):
    from phasegrok.protocols.coordinate_ladder import CoordinateLadder

    if fold or walkers or method not in (None, "auto"):
        raise InputError(f"{card.name}: of coordinates ln g is measured by replica exchange at the "
                         "temperatures of [sample]: leave out --fold, --walkers and --method")
    sampler = sampling(card, None, sweeps)
    fields = {f.name: getattr(sampler, f.name) for f in dataclasses.fields(sampler) if f.init}
    try:
        return CoordinateLadder(**fields, width=card.model.density_of_states.bin_width or 0.0,
                                joint=joint)
    except ValueError as error:
        raise InputError(f"{card.name}: {error}") from error


def _counted(card: Card, what: str):
    """The system of a discrete card as its states are counted, built once; else InputError."""
    need_family(card, "discrete", what)
    from phasegrok.systems.binned import counted

    try:
        return counted(card.build(), card.model.density_of_states.bin_width)
    except ValueError as error:
        raise InputError(f"{card.name}: {what}: {error}") from error


def _wang_landau(card: Card, system, sweeps: int | None, walkers: int | None, joint: bool,
                 method: str):
    from phasegrok.protocols.wang_landau import WangLandau

    settings = card.model.density_of_states
    return WangLandau(system, sweeps or settings.sweeps, walkers or settings.walkers, joint,
                      settings.windows, "samc" if method == "samc" else "halving")


def landscape_temperatures(card: Card, text: str | None = None) -> np.ndarray | None:
    """Temperatures for a density of states: given, the card's, or None: those it shows itself at.

    Raises
    ------
    InputError
        If the text is not first:last:number with positive values.
    """
    text = text or (card.model.sample.temperatures if card.model.thermodynamics is None else None)
    if text is None and card.model.thermodynamics is None:
        return None
    return temperature_table(card, text)


def potential_groups(sampler, state, temperatures: np.ndarray | None) -> dict[str, Group]:
    """Groups ``density_of_states``, ``thermodynamics`` and ``effective_potential``."""
    from phasegrok.thermodynamics.tables import effective_potential, merge_columns, thermodynamics

    groups = sampler.result(state)
    density = groups["density_of_states"]
    merge = getattr(sampler.system, "order_merge", 1)  # coordinates have no neighbouring values
    found = estimated(groups, "thermodynamics", lambda: thermodynamics(
        density, temperatures, sampler.system.n_sites))
    if found is not None:
        groups["thermodynamics"], temperatures = found, found["temperature"]
    potential = None if temperatures is None else estimated(
        groups, "effective_potential", lambda: effective_potential(
            merge_columns(density, merge) if merge > 1 else density, temperatures))
    if potential is not None:
        groups["effective_potential"] = potential
        potential.attributes["merged_values"] = merge
    return groups
