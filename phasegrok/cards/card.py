"""A card: its text validated, the disorder drawn or read, and the system that it builds."""

import copy
import dataclasses
import functools
import hashlib
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from phasegrok import own_code
from phasegrok.cards import kinds
from phasegrok.cards.files import read_rows, to_toml
from phasegrok.cards.overrides import apply
from phasegrok.cards.sections import CardModel, one_line
from phasegrok.cards.values import MOST_MESSAGES, did_you_mean
from phasegrok.errors import InputError
from phasegrok.networks.training.settings import with_own_defaults
from phasegrok.networks.training.start import source_of

_LONGEST_CARD = 500_000  # characters; those of models/ have a thousand or two


@dataclasses.dataclass
class Card:
    """A validated card: what the file and ``--set`` say, and the disorder drawn or read."""

    model: CardModel
    parameters: Any  # of the schema of its kind; None where the user's code was not executed
    arrays: dict[str, np.ndarray]
    folder: Path
    text: str  # the effective TOML
    code_files: tuple[Path, ...] = ()  # of the user's own that the card names
    trusted: bool = False  # the user's word for code that the command line does not name

    @property
    def name(self) -> str:
        """The card's name."""
        return self.model.name

    @property
    def family(self) -> str:
        """Which protocols fit: "discrete", "continuous", "network", "overdamped", "constrained"."""
        kind, own = self.model.kind, getattr(self.parameters, "family", "")
        return self.model.family or own or (
            kinds.family(kind) if kind in kinds.KINDS else "discrete")

    @property
    def size(self) -> int:
        """The system's size, as it is named in file names (L, N or p)."""
        return self.parameters.size(self.arrays)

    @property
    def code_sha256(self) -> str:
        """Hash of the user's own code, empty where the card names none."""
        return own_code.sha256(self.code_files)

    @property
    def start_path(self) -> Path | None:
        """File of the weights with which a training starts; None: they are drawn."""
        text = self.model.training.start_from
        if text is None:
            return None
        file = Path(source_of(text).file)
        return self.folder / file if (self.folder / file).exists() else file

    @property
    def start_sha256(self) -> str:
        """Hash of that file, empty where there is none."""
        if self.start_path is None or not self.start_path.is_file():
            return ""
        return _sha256(self.start_path.resolve(), self.start_path.stat().st_mtime_ns)

    def build(self, arrays: dict[str, np.ndarray] | None = None):
        """The system on which kernels run, with the card's disorder or that of another sample.

        Raises
        ------
        InputError
            If the parameters make no system, or one that does not fit into memory, or if the
            user's own system disagrees with itself.
        """
        try:
            system = self.parameters.build(self.arrays if arrays is None else arrays)
            if self.model.code is not None:
                from phasegrok.systems.checks import check_system

                check_system(system, self.family)
            return system
        except ValueError as error:
            raise InputError(f"{self.name}: {error}") from error
        except MemoryError as error:
            raise InputError(f"{self.name}: does not fit into memory: {error}") from error

    def samples(self, number: int) -> list[dict[str, np.ndarray]]:
        """Disorder of ``number`` samples: this card's own, and others drawn after its seed.

        Sample k is drawn from a seed that is the k-th descendant of ``disorder_seed``.

        Raises
        ------
        InputError
            If more than one is asked for and the card's disorder is not drawn.
        """
        if number == 1:
            return [self.arrays]
        if self.model.data is not None:
            raise InputError(f"{self.name}: its disorder is read from {self.model.data.file}, "
                             "which is one sample and has no --samples")
        if "disorder_seed" not in type(self.parameters).model_fields:
            raise InputError(f"{self.name}: a system without disorder has no --samples")
        drawn = [self.arrays]
        for k in range(1, number):
            sequence = np.random.SeedSequence(self.parameters.disorder_seed, spawn_key=(k,))
            seed = int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
            drawn.append(self.parameters.model_copy(update={"disorder_seed": seed}).disorder(None))
        return drawn

    def resized(self, size: int) -> "Card":
        """The same card at another size (parameter L or N)."""
        key = "L" if "L" in self.model.parameters else "N"
        if key not in self.model.parameters:
            raise InputError(f"{self.name}: a system without parameter L or N has no sizes")
        return self.changed({f"parameters.{key}": size})

    def changed(self, overrides: dict[str, Any], section: str = "") -> "Card":
        """The card with other values, as ``--set`` makes it.

        Disorder stays where neither parameters nor data are changed, and is drawn anew otherwise.

        Parameters
        ----------
        overrides : dict
            Dotted or bare key -> value, as ``{"L": 16, "sample.temperatures": "2.1:2.4:7"}``.
        section : str
            The section that a bare key means where several have it.

        Raises
        ------
        InputError
            One line for each mistake.
        """
        model = from_text(self.text, self.folder, overrides, arrays={}, section=section,
                          trust=self.trusted).model
        same = all(getattr(model, key) == getattr(self.model, key)
                   for key in ("kind", "code", "parameters", "data"))
        return from_text(self.text, self.folder, overrides, arrays=self.arrays if same else None,
                         section=section, trust=self.trusted)


@functools.lru_cache(maxsize=64)  # the runs of a scan ask for that of one file
def _sha256(path: Path, _modified: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def from_text(text: str, folder: Path, overrides: dict[str, Any] | None = None,
              quick: bool = False, execute_code: bool = True,
              arrays: dict[str, np.ndarray] | None = None, source: str = "card",
              section: str = "", trust: bool = False, script: str = "",
              schema: type[BaseModel] | None = None) -> Card:
    """Validate a card given as TOML text; see :func:`load`.

    ``schema``: of its parameters, where it is known without executing code.
    """
    if len(text) > _LONGEST_CARD:
        raise InputError(f"{source}: {len(text)} characters; a card has {_LONGEST_CARD} at most")
    try:
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{source}: not valid TOML: {error}") from error
    overrides = overrides or {}
    raw |= {key: overrides[key] for key in ("kind", "code") if key in overrides}
    named = trust or "code" in overrides  # the command line names it
    messages: list[str] = []
    if schema is None:
        schema, messages = _schema_of(raw, folder, execute_code, source, named)
    small = raw.get("quick")
    if isinstance(small, dict):  # its keys are checked even where they are not applied
        messages += apply(raw if quick else copy.deepcopy(raw), small, schema, f"{source}: quick:")
    known_for = _what_is_known_of(raw)
    messages += apply(raw, overrides, schema, "--set", section, script)
    if _what_is_known_of(raw) != known_for:
        raw.pop("control", None)  # the known verdict is that of the card's own setting
    model, parameters, more = _validate(raw, schema, source)
    messages += more
    files, more = _files_of(raw, schema, folder, execute_code, source, trust)
    messages += more
    if model is not None and parameters is not None and not messages:
        messages += [f"{source}: {line}" for line in _beyond_range(model)]
    if messages or model is None:
        raise InputError(*messages[:MOST_MESSAGES], *(
            [f"{source}: {len(messages) - MOST_MESSAGES} further mistakes"]
            if len(messages) > MOST_MESSAGES else []))
    if execute_code:
        training = with_own_defaults(model.training, folder)
        model = model.model_copy(update={"training": training})
    if arrays is None and parameters is not None:
        arrays = _disorder(model, parameters, folder, source)
    return Card(model, parameters, arrays or {}, folder, to_toml(raw), files, trust)


def _what_is_known_of(raw) -> tuple:
    """What the known verdict of a control depends on."""
    waiting = raw.get("waiting_times")
    temperatures = waiting.get("temperatures") if isinstance(waiting, dict) else None
    return copy.deepcopy((raw.get("kind"), raw.get("parameters"), raw.get("event"), temperatures))


def _schema_of(raw, folder, execute_code, source, trust):
    """Schema of the parameters (None: unknown kind, or user's code not to be executed)."""
    code, kind = raw.get("code"), raw.get("kind")
    if code is not None:
        found, messages = _own(str(code), folder, execute_code, f"{source}: code", trust)
        if found is None:
            return None, messages
        try:
            return kinds.schema_of(found, kind), []
        except ValueError as error:
            return None, [f"{source}: code: {error}"]
    if not isinstance(kind, str):
        return None, []  # missing or no text: the schema of the card says so
    if kind not in kinds.KINDS:
        message = f"{source}: kind: there is no kind {kind!r}"
        return None, [message + did_you_mean(str(kind), kinds.KINDS)]
    return kinds.parameters_class(kind), []


def _own(reference, folder, execute_code, where, trust):
    """What a card names as FILE.py:NAME (None: not to be executed, or a mistake)."""
    try:
        path = own_code.path_of(reference, folder)
        if not execute_code:
            return None, []
        if not trust:
            own_code.check_trusted(path, folder)
        return own_code.load(reference, folder), []
    except ValueError as error:
        return None, [f"{where}: {error}"]


def _files_of(raw, schema, folder, execute_code, source,
              trust) -> tuple[tuple[Path, ...], list[str]]:
    """Files of the user's own that a card names, each once and executed, and what they import."""
    found: dict[str, None] = {}
    messages: list[str] = []
    if own_code.is_own(raw.get("code")):
        code = own_code.absolute(raw["code"], folder).rpartition(":")[0]
        found[code] = None
        kernels = getattr(getattr(schema, "network", None), "compiled", None)
        if kernels is not None:  # of a network, which names them itself
            found[str(Path(code).parent / kernels)] = None
    for key, reference in _references(raw):
        messages += _own(reference, folder, execute_code, f"{source}: {key}", trust)[1]
        found[own_code.absolute(reference, folder).rpartition(":")[0]] = None
    files = dict.fromkeys(each for path in map(Path, found) if path.is_file()
                          for each in own_code.with_imports(path))
    return tuple(files), messages


def _references(raw) -> list[tuple[str, str]]:
    """(key, FILE.py:NAME) of what [training] and its variants name."""
    tables = {"training": raw.get("training")}
    variants = raw.get("optimisers")
    settings = variants.get("settings") if isinstance(variants, dict) else None
    if isinstance(settings, dict):
        tables |= {f"optimisers.settings.{name}": table for name, table in settings.items()}
    return [(f"{section}.{key}", str(text))
            for section, table in tables.items() if isinstance(table, dict)
            for key in ("optimiser", "schedule", "observables")
            for text in (table[key] if isinstance(table.get(key), list) else [table.get(key)])
            if own_code.is_own(text)]


def _validate(raw, schema, source):
    messages, model, parameters = [], None, None
    try:
        model = CardModel.model_validate(raw)
    except ValidationError as error:
        messages += _lines(source, (), error, CardModel)
    given = raw.get("parameters")
    if schema is not None and isinstance(given, dict):
        try:
            parameters = schema.model_validate(given)
        except ValidationError as error:
            messages += _lines(source, ("parameters",), error, schema)
    return model, parameters, messages


def _lines(source, prefix, error, schema) -> list[str]:
    """One line for each of the first mistakes, and empty ones that only count the others."""
    found = error.errors(include_url=False)
    return [one_line(source, prefix, item, schema) if k < MOST_MESSAGES else ""
            for k, item in enumerate(found)]


def _beyond_range(model) -> list[str]:
    """Thresholds and starts that the order parameter of the kind cannot have."""
    if model.code is not None:
        return []  # of the user's own system only its build says which values occur
    low, high = kinds.order_range(model.kind)
    lines = []
    observables = {own_code.name_of(text) for text in model.training.observables}
    event = None if model.event and model.event.observable in observables else model.event
    if event is not None and not low < event.threshold <= high:
        what = "is never reached" if event.threshold > high else "is reached from the start"
        lines.append(f"event.threshold: {event.threshold:g} {what}, as the observable lies "
                     f"between {low:g} and {high:g}")
    for section in ("relaxation", "waiting_times"):
        start = getattr(getattr(model, section), "start", None)
        if start is not None and not low <= start <= high:
            lines.append(f"{section}.start: {start:g} cannot be, as the order parameter lies "
                         f"between {low:g} and {high:g}")
    return lines


def _disorder(model, parameters, folder, source) -> dict[str, np.ndarray]:
    try:
        rows = read_rows(folder / model.data.file) if model.data else None
        arrays = parameters.disorder(rows)
        if rows is not None and not arrays:
            raise ValueError(f"data.file: {model.kind} with these parameters reads no file")
        return arrays
    except ValueError as error:
        raise InputError(f"{source}: {error}") from error
