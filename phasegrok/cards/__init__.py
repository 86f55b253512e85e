"""Model cards: a TOML file and the command line's ``--set`` make a validated system.

A card says what is simulated (kind and parameters), what is measured (observables and event) and
with what settings each protocol runs by default.  All mistakes of a card are reported at once, one
line each.  Listing, inspecting and plotting never execute the code that a card may name.
"""

from phasegrok.cards.card import Card, from_text
from phasegrok.cards.library import available, find, load
from phasegrok.cards.overrides import parse_assignments
from phasegrok.errors import InputError

__all__ = ["Card", "InputError", "available", "find", "from_text", "load",
           "parse_assignments"]
