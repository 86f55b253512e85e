"""Write docs/architecture.md and its picture, docs/architecture.svg, from the imports of the code.

    python docs/make_architecture.py

``tests/whole/test_docs.py`` compares both with the code, ``tests/whole/test_architecture.py`` the
imports with :data:`ROOMS`, which is the one place that says who may import whom.
"""

import ast
import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
PICTURE = PAGE.with_suffix(".svg")


class Room(NamedTuple):
    """What stands in a room, and the rooms that it may import besides the ground."""

    holds: str
    may: tuple[str, ...] = ()


GROUND = ("compiled", "environment", "errors", "estimates", "groups", "normals", "own_code",
          "rng", "statistics", "text", "trust")
"""Single files that every room may import."""

FRONT = ("phasegrok", "face", "experiment", "cli")
"""What scripts and the command line enter by."""

_PHYSICS = ("theory", "systems", "thermodynamics", "relaxation", "dynamics", "networks",
            "protocols", "accounts")

ROOMS = {
    "ground": Room("named arrays, statistics, random streams, compiled kernels, texts"),
    "theory": Room("closed forms and solvers; `solved.py` lists what is known of a kind"),
    "systems": Room("what is simulated: energy, order parameter, moves or gradient", ("theory",)),
    "thermodynamics": Room("arrays in, groups out: ln g, potentials, averages, transitions"),
    "relaxation": Room("arrays in, laws out: two-time functions, waits, responses, ramps"),
    "dynamics": Room("kernels that move a state; engines for many replicas", ("systems",)),
    "networks": Room("what is trained: models, tasks, updates, training, in two engines",
                     ("systems", "dynamics")),
    "protocols": Room("what has init, advance and result: samplers, quenches, clones",
                      ("dynamics", "networks", "systems", "thermodynamics", "relaxation")),
    "accounts": Room("components of the verdict, and its rule; never theory",
                     ("thermodynamics", "relaxation")),
    "cards": Room("the TOML of a system: sections, overrides, files, library",
                  ("systems", "networks.kinds", "networks.training.settings",
                   "networks.training.snapshots", "networks.training.start",
                   "networks.updates.table")),
    "run": Room("run file, lock, checkpoints, signals, scans, workers, status",
                ("cards", "protocols.protocol")),
    "studies": Room("one file an experiment: from a card to protocols to groups",
                    (*_PHYSICS, "cards", "run")),
    "figures": Room("reads run files, draws and prints; no formulas",
                    ("run", "relaxation.training_curves")),
    "front": Room("what scripts, notebooks and the shell call",
                  (*_PHYSICS, "cards", "run", "studies", "figures")),
}
"""From the ground up: a room imports only rooms that stand before it.

``protocols.protocol`` is one file of a room, the contract.
"""


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Name of every module of the package, without ``phasegrok.`` in front -> its file."""
    found = {}
    for path in sorted((root / "phasegrok").rglob("*.py")):
        parts = path.relative_to(root / "phasegrok").with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name or "phasegrok"] = path
    return found


def room_of(module: str) -> str:
    """The room in which a module stands."""
    first = module.split(".")[0]
    return "ground" if first in GROUND else "front" if first in FRONT else first


def imports(path: Path, known) -> set[tuple[str, str]]:
    """(module, name) of all that a file imports from the package, also inside functions.

    The name is empty where the module itself is imported.
    """
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            whole = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            whole = [(node.module or ".", alias.name) for alias in node.names]
        else:
            continue
        for source, name in whole:
            if source.split(".")[0] != "phasegrok":
                continue
            module = source.removeprefix("phasegrok").removeprefix(".")
            inside = f"{module}.{name}".strip(".")
            found.add((inside, "") if inside in known else (module or "phasegrok", name))
    return found


def arrows() -> dict[str, dict[str, int]]:
    """Room -> room that it imports -> number of its modules that do."""
    files = modules()
    counts: dict[str, Counter] = {room: Counter() for room in ROOMS}
    for module, path in files.items():
        room = room_of(module)
        counts[room].update({room_of(source) for source, _ in imports(path, files)} - {room})
    return {room: dict(sorted(count.items())) for room, count in counts.items()}


def sizes() -> dict[str, tuple[int, int]]:
    """Room -> its modules, and their lines."""
    found = {room: [0, 0] for room in ROOMS}
    for module, path in modules().items():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > 1 or path.name != "__init__.py":
            found[room_of(module)][0] += 1
            found[room_of(module)][1] += lines
    return {room: (number, lines) for room, (number, lines) in found.items()}


def drawn() -> dict:
    """The sizes and arrows that the picture shows, as it keeps them beside what is drawn."""
    text = PICTURE.read_text(encoding="utf-8")
    return json.loads(text.split("<dc:description>")[1].split("</dc:description>")[0])


def page() -> str:
    """The page with the table of rooms as it is in :data:`ROOMS`."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(_BEGIN)
    return before + _BEGIN + "\n" + _table() + _END + rest.split(_END)[1]


_BEGIN, _END = "<!-- made by docs/make_architecture.py -->\n", "<!-- end -->\n"
_TITLES = {"front": "face.py, experiment.py, cli.py", "ground": "the ground"}


def _table() -> str:
    lines = ["| room | holds | may import, besides the ground |", "|---|---|---|"]
    names = list(ROOMS)
    for name, room in reversed(ROOMS.items()):
        title = _TITLES.get(name, f"`{name}/`")
        may = ", ".join(f"`{m.replace('.', '/')}.py`" if "." in m else m for m in room.may)
        if len(room.may) > 1 and set(room.may) == set(names[1 : names.index(name)]):
            may = "all below"
        lines.append(f"| {title} | {room.holds} | {may or '-'} |")
    return "\n".join(lines) + "\n\n"


_COLOURS = {"systems": "#0072b2", "dynamics": "#009e73", "networks": "#222222",
            "protocols": "#d55e00", "accounts": "#8a6d00", "cards": "#3b9bd1", "run": "#b0408a",
            "studies": "#b0408a", "figures": "#555555", "front": "#0072b2"}
_TINTS = {"ground": "#dcdcdc", "theory": "#e8f1f7", "systems": "#e8f1f7", "dynamics": "#e8f1f7",
          "networks": "#e8f1f7", "thermodynamics": "#eaf5ec", "relaxation": "#eaf5ec",
          "accounts": "#eaf5ec", "protocols": "#fdf0e2"}
_LEFT = ("studies", "front")  # their lines stand on the left of the rooms, all others on the right
_HIGH, _WIDE = 0.76, 5.2  # of a box; floors are 1 apart
_IN, _APART, _OUT = 0.28, 0.18, -0.27  # on the side of a box: arrows come in, the line goes out


def draw():
    """Matplotlib figure: rooms as floors; from each a line with a branch to what it imports."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    floor = {room: k for k, room in enumerate(ROOMS)}
    size = sizes()
    used = {room: {t: n for t, n in targets.items() if t != "ground"}
            for room, targets in arrows().items()}
    figure, axis = plt.subplots(figsize=(7.2, 8.2))
    axis.set(xlim=(-3.65, 4.75), ylim=(-0.55, len(ROOMS) - 0.45))
    axis.axis("off")
    figure.subplots_adjust(0.0, 0.0, 1.0, 1.0)
    for name, y in floor.items():
        _box(axis, name, y, *size[name])
    for side in (-1, 1):
        rooms = [r for r in used if used[r] and (r in _LEFT) == (side < 0)]
        # short lines near the rooms, long ones outside
        rooms.sort(key=lambda r: floor[r] - min(floor[t] for t in used[r]))
        for target in ROOMS:
            users = [r for r in reversed(ROOMS) if r in rooms and target in used[r]]
            users.sort(key=lambda r: floor[r])  # the nearest comes in at the top
            for k, room in enumerate(users):
                y = floor[target] + _IN - k * min(_APART, 0.54 / len(users))
                x = side * (_WIDE / 2 + 0.66 + 0.19 * rooms.index(room))
                _branch(axis, side, x, y, used[room][target], _COLOURS.get(room, "#222222"))
                axis.plot([side * _WIDE / 2, x, x],
                          [floor[room] + _OUT, floor[room] + _OUT, y], linewidth=1.4, zorder=2,
                          color=_COLOURS.get(room, "#222222"), solid_joinstyle="round")
    return figure


def _box(axis, name: str, y: float, number: int, lines: int) -> None:
    """One room: its name, what it holds, how many files and lines."""
    from matplotlib.patches import FancyBboxPatch

    axis.add_patch(FancyBboxPatch(
        (-_WIDE / 2, y - _HIGH / 2), _WIDE, _HIGH, facecolor=_TINTS.get(name, "#f4f1f6"),
        edgecolor="#333333", linewidth=0.9, zorder=3, boxstyle="round,pad=0,rounding_size=0.08"))
    left, right = -_WIDE / 2 + 0.13, _WIDE / 2 - 0.13
    axis.text(left, y + 0.14, _TITLES.get(name, f"{name}/"), fontsize=10.5, weight="bold",
              va="center", zorder=4)
    axis.text(right, y + 0.14, f"{number} files, {round(lines, -2)} lines", fontsize=8.5,
              ha="right", va="center", zorder=4)
    axis.text(left, y - 0.18, ROOMS[name].holds.replace("`", ""), fontsize=8, va="center",
              zorder=4, color="#333333")


def _branch(axis, side: int, x: float, y: float, number: int, colour: str) -> None:
    """An arrow from a line at x into a box, as wide as the number of modules says."""
    edge = side * _WIDE / 2
    width = 0.6 + 0.3 * number
    axis.plot([x, edge + side * 0.13], [y, y], color=colour, linewidth=width, zorder=2.5,
              solid_capstyle="butt")
    half = 0.045 + 0.0045 * number
    axis.fill([edge, edge + side * 0.16, edge + side * 0.16], [y, y + half, y - half],
              color=colour, zorder=2.6, linewidth=0)
    axis.text(edge + side * 0.34, y - 0.01, str(number), fontsize=7, color=colour, ha="center",
              va="center", zorder=5, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6})


def write() -> None:
    """The page and the picture."""
    import matplotlib.pyplot as plt

    from phasegrok.text import write_text

    write_text(PAGE, page())
    numbers = json.dumps({"sizes": sizes(), "arrows": arrows()})
    # text stays text, and two runs make the same file
    with plt.rc_context({"svg.hashsalt": "phasegrok", "svg.fonttype": "none"}):
        draw().savefig(PICTURE, metadata={"Date": None, "Description": numbers})


if __name__ == "__main__":
    write()
