"""Write docs/cards.md from the schemas of the cards, so that the page cannot drift.

    python docs/make_cards.py

``tests/whole/test_docs.py`` compares the page with :func:`page`.
"""

import types
import typing
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from phasegrok.cards import kinds, sections
from phasegrok.text import write_text

PAGE = Path(__file__).resolve().parent / "cards.md"

_HEAD = """\
# Model cards

A card is a TOML file that names a physical system: what it is (`kind` and `parameters`), what is
measured (`observables`, `event`) and how each protocol runs by default. `phasegrok models` lists
the cards. A card is given by path or by name; a name is looked up in `./models`, then in the
repository, then among the installed cards.

`--set KEY=VALUE` overrides any value from the command line: `--set L=16`, or with the section,
`--set density_of_states.walkers=16`. A bare key is enough where it is unique, or where the
card has one of its sections only; a key of `parameters` comes first. All mistakes of a card are
reported at once, one line each.

Energies are in the units of the couplings, k_B = 1, and temperatures are energies. "Required"
means that the card, or its section where there is one, must give the key.
"""

_DATA = """\
## Data files

`[data] file = "..."` names a CSV or NPZ file, relative to the card, with the quenched disorder.
Couplings that are read are one sample: `--samples` needs couplings that are drawn.

A CSV has rows of numbers, separated by commas, by semicolons, tabs or blanks (with these three a
comma may be the decimal sign). It may have a header line, comments after `#` or on lines that begin
with `%`, and exponents as Fortran writes them (`1.0D+00`). It is UTF-8, with or without a byte
order mark, or UTF-16 with one. Of an NPZ the first array is taken.

- `ising-graph`: rows `site_a, site_b, J`, each pair of sites once, and rows `i, i, h` of local
  fields: E = -Σ J_ij s_i s_j - Σ (h + h_i) s_i. Sites count from 0 where one is called 0, else from
  1. A first row of two numbers, `N M`, has the numbers of sites and of the rows that follow, as in
  the G-set. A site without bond and field is an error, unless the card gives `n_sites`. Output and
  figure say how many spins, bonds and fields were read. Clusters and multi-spin coding know no
  local fields and refuse them.
- `edwards-anderson`: the same rows without local fields, every bond of the lattice once; site
  x + L y (+ L^2 z), or one more where sites count from 1.
- `sherrington-kirkpatrick`: rows `i, j, J`; `p-spin`: rows `i, j, k, J`. Sets that are missing have
  no coupling. Sites count from 1 where one is called N and none 0.
- `ising-perceptron`: P + 1 rows of N entries +1 or -1, the teacher as the first row.
  `spherical-perceptron`: the same, with any numbers.
- `ridge`: n rows of d + 1 numbers, the inputs of a pattern and its target. The overlap is measured
  along the first input, in which the teacher is the unit vector, and the test loss refers to it.
- `two-layer-cubic` with `inputs = "drawn"`: n rows of d inputs.
- `two-layer-modular`, and networks with `split = "given"`: rows a, b, the training pairs.

Without a file, all but `ising-graph` draw theirs from `disorder_seed`, networks their pairs from
`split_seed`. Any other kind refuses a file.

The arrays are copied into every run file (`/system`), and a resume uses that copy.

## Own code

`code = "my_model.py:Parameters"` names a Python file beside the card and the class of its
parameters; `CONTRIBUTING.md` shows a complete one. `run` (and the scripts themselves) execute it
for a card that the command line names; outside the card's folder, or for the card of a run file
that is resumed, it needs `--trust`. `models`, `status`, `inspect` and `plot` never execute it.
It may import files that stand beside it, at its top: those are part of the hash by which a resume
notices edits, while what only a function imports is not.
Before a run, its functions are tried on a few moves as plain Python: what is missing, disagrees
with `prepare` or lies outside the cells is refused in one sentence.
"""

# keys to which their schema gives no words of its own
_WORDS = {
    "title": "one line that says what the system is; it names no value that can be set, since "
    "figures and `inspect` show the parameters beside it",
    "kind": "one of the kinds below; any word where `code` names the system",
    "units": "units of energy, in words",
    "family": "which protocols fit; none: that of the kind; of own code `network` "
    "where it is one (it needs no `family`), else `discrete`",
    "energy": "the energy E, as a formula or in words",
    "order_parameter": "the order parameter, as a formula or in words",
    "file": "CSV or NPZ, relative to the card",
    "observable": "what reaches the threshold, in words",
    "beta1": "memory of the gradient's mean, a step",
    "beta2": "memory of its square, a step",
    "epsilon": "added to the root of the second moment",
    "dynamics": "what updates do; see the conventions",
    "preparation_sweeps": "sweeps that make the checkpoint",
    "preparation_temperature": "temperature of those sweeps, units of energy",
}


def page() -> str:
    """The whole page as Markdown."""
    parts = [_HEAD, "## The card\n", _table(_plain_keys())]
    for name, schema in sections.SECTIONS.items():
        parts += [f"## `[{name}]`\n", _doc(schema), _table(schema.model_fields)]
    parts += ["## `[quick]`\n", "Dotted keys and the values that they take under `--quick`, before "
              '`--set`: `"density_of_states.sweeps" = 40000`.\n']
    for kind in kinds.KINDS:
        schema = kinds.parameters_class(kind)
        parts += [f"## `[parameters]` of kind `{kind}` ({kinds.family(kind)})\n", _doc(schema),
                  _table(schema.model_fields)]
    parts.append(_DATA)
    return "\n".join(parts)


def _plain_keys() -> dict[str, FieldInfo]:
    skipped = {*sections.SECTIONS, "parameters", "quick"}
    return {k: f for k, f in sections.CardModel.model_fields.items() if k not in skipped}


def _doc(schema: type[BaseModel]) -> str:
    return (schema.__doc__ or "").strip().split("\n\n")[0].replace("``", "`") + "\n"


def _table(fields: dict[str, FieldInfo]) -> str:
    lines = ["| key | type | default | meaning and unit |", "|---|---|---|---|"]
    for name, field in fields.items():
        cells = [f"`{name}`", _type(field.annotation), _default(field), _meaning(name, field)]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _type(annotation) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(a) for a in arguments if a is not type(None))
    if origin is list:
        return f"list of {_type(arguments[0])}"
    names = {int: "integer", float: "number", str: "text", bool: "true or false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "none"
    if field.default is PydanticUndefined:
        return "required"
    if field.default is None:
        return "none"
    value = field.default
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _meaning(name: str, field: FieldInfo) -> str:
    text = field.description or _WORDS.get(name, "")
    limits = [f"{sign} {_number(getattr(rule, name))}" for rule in field.metadata
              for name, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
              if getattr(rule, name, None) is not None]
    return "; ".join(part for part in (text, " and ".join(limits)) if part)


def _number(value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    write_text(PAGE, page())
