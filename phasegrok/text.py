"""Text on its way to a terminal."""

import unicodedata

_HARMFUL = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format, surrogate, separator


def printable(text: str) -> str:
    r"""Text of a file or a card as a terminal may show it: every control character as its escape.

    Titles, names and messages may hold sequences that move the cursor, set the window's title, or
    reverse the order of writing; here they are seen instead (``\x1b``, ``\u202e``).  Line feeds and
    tabs stay.
    """
    return "".join(
        character if character in "\n\t" or unicodedata.category(character) not in _HARMFUL
        else character.encode("unicode_escape", "surrogatepass").decode() for character in text)
