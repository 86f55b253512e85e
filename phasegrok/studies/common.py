"""What several studies ask of a card: its family, what is known of its kind, its temperatures."""

import numpy as np

from phasegrok.cards.card import Card
from phasegrok.cards.values import check_temperature, temperature_grid
from phasegrok.errors import InputError


def need_family(card: Card, family: str, what: str, *others: str) -> None:
    """Refuse a card of another family; ``what`` needs this one, or one of the others."""
    if card.family not in (family, *others):
        *first, last = family, *others
        families = f"{', '.join(first)} or {last}" if first else last
        raise InputError(f"{card.name}: {what} needs a {families} system, this one is "
                         f"{card.family}; `phasegrok models` lists the cards by family")


def known_kind(card: Card) -> str:
    """Kind by which exact results are found; empty for the user's own code, whatever its kind."""
    return "" if card.model.code else card.model.kind


def temperature_table(card: Card, text: str | None = None) -> np.ndarray:
    """Temperatures from the command line, or the card's.

    Raises
    ------
    InputError
        If neither gives any, or the text is not first:last:number with positive values.
    """
    try:
        return temperature_grid(temperatures_text(card, text))
    except ValueError as error:
        raise InputError(f"--temperatures: {error}") from error


def temperatures_text(card: Card, text: str | None) -> str:
    """The text given, or that of ``[thermodynamics]``."""
    if text is None:
        if card.model.thermodynamics is None:
            raise InputError(f"{card.name}: no temperatures: give --temperatures first:last:number")
        text = card.model.thermodynamics.temperatures
    return text


def checked_temperature(temperature: float) -> None:
    """Refuse a temperature that arithmetic cannot follow, in one sentence."""
    try:
        check_temperature(temperature)
    except ValueError as error:
        raise InputError(str(error)) from error
