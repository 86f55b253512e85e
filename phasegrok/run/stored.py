"""What a run file stores of its run: attributes without which it is not continued, and cards."""

import json
from pathlib import Path
from typing import Any

from phasegrok import cards
from phasegrok.cards.card import Card
from phasegrok.errors import InputError
from phasegrok.run.runfile import RunFile, RunFileError
from phasegrok.text import as_path


def stored(path: Path, run: RunFile, name: str, kind: type) -> Any:
    """An attribute without which a run cannot be continued; the reader has checked its kind.

    ``kind`` list or dict: of the JSON text of that attribute.

    Raises
    ------
    RunFileError
        If the file lacks it, as one that no script wrote.
    """
    value = run.attributes.get(name)
    if kind in (list, dict) and isinstance(value, str):
        value = json.loads(value)
    if not isinstance(value, kind):
        raise not_as_written(path, name)
    return value


def not_as_written(path: Path, name: str) -> RunFileError:
    """The error of an attribute that this package would not have written."""
    return RunFileError(f"{path}: its attribute {name} is not as phasegrok writes it, so it cannot "
                        "be continued")


def stored_cards(path: Path, run: RunFile) -> list[dict[str, Any]]:
    """Text, folder and disorder (arrays; None: to be drawn) of the cards of a run file."""
    if "card" in run.attributes:
        rows = [(stored(path, run, "card", str), stored(path, run, "card_folder", str), "system")]
    else:
        texts, folders, names = (stored(path, run, name, list)
                                 for name in ("cards", "card_folders", "card_names"))
        rows = [(text, folder, f"system/{name}")
                for text, folder, name in zip(texts, folders, names)]
    return [{"text": text, "folder": as_path(folder), "arrays": _arrays(run, group)}
            for text, folder, group in rows]


def _arrays(run: RunFile, group: str) -> dict[str, Any] | None:
    """Arrays of the disorder, without the coordinates that they have in the file."""
    if group not in run:
        return None
    return {name: v.data for name, v in run[group].variables.items() if v.dims != (name,)}


def card_of(path: Path, run: RunFile, trust: bool = False) -> Card:
    """The one card of a run file; code that it names is executed with ``trust`` alone.

    Raises
    ------
    InputError
        If it is a run over several cards.
    """
    found = stored_cards(path, run)
    if len(found) != 1:
        raise InputError(f"{path} is a run over several cards: open one of its parts, in the "
                         "folders beside it")
    return cards.from_text(**found[0], execute_code=trust, trust=trust)


def same_code(path: Path, run: RunFile, card: Card) -> Card | None:
    """The card of a run file whose network is the class that ``card`` has; nothing is executed.

    None where the file names another class, or its code was not what ``card``'s folder has now.
    """
    found = stored_cards(path, run)[0]
    if card.model.code is None:
        return None
    schema = type(card.parameters)
    named = cards.from_text(found["text"], card.folder, execute_code=False, arrays={})
    if (named.model.code, named.model.kind) != (card.model.code, card.model.kind):
        return None
    same = cards.from_text(found["text"], card.folder, execute_code=False, arrays=found["arrays"],
                           schema=schema)
    return same if same.code_sha256 == run.attributes.get("code_sha256") else None
