"""Arrows point down: what may import what is the table of docs/make_architecture.py."""

import ast
import importlib.util

import pytest
from repository import ROOT


@pytest.fixture(scope="module")
def made():
    """The script that draws the rooms."""
    spec = importlib.util.spec_from_file_location(
        "make_architecture", ROOT / "docs" / "make_architecture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def imported(made):
    """Module -> (module, name) of all that it imports from the package."""
    files = made.modules()
    assert {made.room_of(module) for module in files} == set(made.ROOMS)
    return {module: made.imports(path, files) for module, path in files.items()}


def test_rooms_stand_on_rooms_below(made):
    names = list(made.ROOMS)
    for name, room in made.ROOMS.items():
        assert {other.split(".")[0] for other in room.may} <= set(names[: names.index(name)]), name


def test_arrows_point_down(made, imported):
    wrong = set()
    for module, sources in imported.items():
        room = made.room_of(module)
        may = {room, "ground", *made.ROOMS[room].may}
        wrong |= {(module, source) for source, _ in sources
                  if made.room_of(source) not in may and source not in may}
    assert not wrong


def test_no_circle_of_files(imported):
    """Files that import nothing but what is already laid are laid next; a circle never is."""
    left = {module: {source for source, _ in sources} - {module}
            for module, sources in imported.items()}
    while laid := {module for module, sources in left.items() if not sources & left.keys()}:
        left = {module: sources for module, sources in left.items() if module not in laid}
    assert not left


def test_names_with_an_underscore_stay_in_their_file(made, imported):
    """Neither imported nor asked of a module that was imported."""
    wrong = set()
    for module, path in made.modules().items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        known = {source.split(".")[-1]: source for source, name in imported[module] if not name}
        used = {(known.get(node.value.id), node.attr) for node in ast.walk(tree)
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)}
        wrong |= {(module, source) for source, name in imported[module] | used
                  if source and name.startswith("_") and not name.endswith("__")}
    assert not wrong
