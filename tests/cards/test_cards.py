"""Model cards: what they accept, what they refuse and in which words, and the user's own code."""

import ast
import datetime
import math
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from repository import EXPERIMENTS, MODELS, ROOT

from phasegrok import cards, compiled, figures, systems
from phasegrok.cards import files, kinds, sections
from phasegrok.cards.card import from_text
from phasegrok.cards.files import to_toml
from phasegrok.cards.library import load
from phasegrok.errors import InputError
from phasegrok.figures.common import title
from phasegrok.networks.kinds import NETWORKS
from phasegrok.run import runfile
from phasegrok.run.job import arrays_group
from phasegrok.systems import discrete
from phasegrok.systems.checks import check_system
from phasegrok.systems.ising import lattice_bonds

CARDS = sorted(MODELS.glob("*.toml"))
ISING = (MODELS / "ising-2d.toml").read_text()
GRAPH = """
name = "my-graph"
title = "Ising spins on my bonds"
kind = "ising-graph"
reference = "none"
[parameters]
h = 0.0
[observables]
energy = "E"
order_parameter = "M"
[data]
file = "bonds.csv"
"""
PERCEPTRON = """
name = "my-patterns"
title = "Perceptron on my patterns"
kind = "ising-perceptron"
reference = "none"
[parameters]
N = 3
P = 2
[observables]
energy = "E"
order_parameter = "R"
[data]
file = "patterns.csv"
"""


def messages(call, *arguments, **options) -> list[str]:
    """The lines that the user sees."""
    with pytest.raises(InputError) as error:
        call(*arguments, **options)
    assert all("\n" not in line for line in error.value.messages)
    return error.value.messages


# --- the cards of the repository ------------------------------------------------------------------


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
@pytest.mark.parametrize("quick", [False, True])
def test_every_card_loads_and_builds(path, quick):
    card = load(str(path), quick=quick)
    assert card.name == path.stem and card.model.reference and card.family
    assert load(path.stem).name == path.stem  # by its name too
    assert card.size >= 1
    card.build()
    again = from_text(card.text, card.folder, arrays=card.arrays)
    assert again.text == card.text and again.model == card.model
    assert again.parameters == card.parameters


def test_every_kind_has_a_schema():
    """Systems and networks are one table, in which no kind stands twice."""
    assert len(kinds.KINDS) == len(systems.KINDS) + len(NETWORKS)
    for kind in kinds.KINDS:
        assert (kinds.family(kind) == "network") == (kind in NETWORKS)
        schema = kinds.parameters_class(kind)
        assert all(hasattr(schema, part) for part in ("disorder", "size", "build"))


@pytest.mark.parametrize("schedule, method", [("samc", "samc"), ("halving", "wang-landau")])
def test_earlier_names_of_methods_are_read(schedule, method):
    card = load("ising-2d")
    text = card.text.replace("[density_of_states]",
                             f'[density_of_states]\nschedule = "{schedule}"').replace(
        "[finite_size]", '[finite_size]\nlandscape = "wang-landau"')
    old = from_text(text, card.folder).model
    assert old.density_of_states.method == method
    assert old.finite_size.landscape == "density-of-states"


def test_quick_makes_a_smaller_run():
    full, quick = load("ising-2d"), load("ising-2d", quick=True)
    assert quick.model.density_of_states.sweeps < full.model.density_of_states.sweeps
    set_too = load("ising-2d", {"sweeps": 5000}, quick=True, section="density_of_states")
    assert set_too.model.density_of_states.sweeps == 5000


def test_a_bare_key_means_the_section_of_the_script():
    for section in ("sample", "relaxation"):
        card = load("ising-2d", {"replicas": 12, "temperature": 1.9}, section=section)
        assert getattr(card.model, section).replicas == 12
        assert card.model.relaxation.temperature == 1.9
    found = messages(load, "ising-2d", {"replicas": 12})
    assert found == ["--set replicas: which of sample.replicas, finite_size.replicas, "
                     "phase_diagram.replicas, relaxation.replicas?"]  # a network alone is trained


# --- mistakes -------------------------------------------------------------------------------------


def test_three_mistakes_give_three_messages():
    text = ISING.replace("L = 8", "L = 2").replace("sweeps = 200000", "sweeps = 0").replace(
        'temperatures = "1.0:4.0:61"', 'temperatures = "-1:4:61"')
    found = messages(from_text, text, Path(), source="mine.toml")
    assert len(found) == 3 and all(line.startswith("mine.toml: ") for line in found)
    assert [key in line for key, line in zip(
        ("density_of_states.sweeps", "thermodynamics.temperatures", "parameters.L"),
        found)] == [True] * 3
    assert "positive" in found[1] and "L = 2" not in found[2] and "got 2" in found[2]


@pytest.mark.parametrize("change, words", [
    (('kind = "ising-2d"', 'kind = "ising2d"'), "did you mean ising-2d"),
    (('kind = "ising-2d"', ""), "kind: is missing"),
    (('kind = "ising-2d"', "kind = [1]"), "kind: input should be a valid string"),
    (("[density_of_states]", "[densty_of_states]"), "did you mean density_of_states"),
    (("walkers = 8", "wakers = 8"), "density_of_states.wakers: unknown key; did you mean walkers"),
    (("L = 8", "L = 8\nl = 3\n"), "parameters.l: unknown key"),
    (("J = 1.0 ", "JJ = 1.0 "), "parameters.JJ: unknown key; did you mean J"),
    (("L = 8", ""), "parameters.L: is missing"),
    (("L = 8", 'L = "eight"'), "parameters.L: input should be a valid integer"),
    (("L = 8", "L = 8.5"), "parameters.L: input should be a valid integer"),
    (("name = ", "name_ = "), "name: is missing"),
    (("[parameters]", "[[parameters]]"), "parameters: input should be a valid dictionary"),
    (("L = 8", "L = "), "not valid TOML"),
    (('"density_of_states.sweeps" = 40000', '"sweps" = 3'), "quick: sweps: unknown key"),
    (('temperatures = "1.0:4.0:61"', 'temperatures = "1.0-4.0"'), "first:last:number"),
    (('temperatures = "1.0:4.0:61"', 'temperatures = "1:2:0"'), "at least one"),
    (('name = "ising-2d"', 'name = "Ising/2D"'), "name: string should match"),
    (('name = "ising-2d"', 'name = "Ising 2D"'), "small letters a-z, digits, . and - alone"),
    (('temperatures = "1.0:4.0:61"', 'temperatures = "1:2:100000000"'), "10000 at most"),
    (('temperatures = "1.0:4.0:61"', f'temperatures = "{"1," * 100000}1"'), "10000 at most"),
])
def test_each_mistake_is_named(change, words):
    assert change[0] in ISING
    found = messages(from_text, ISING.replace(*change), Path(), source="mine.toml")
    assert any(words in line for line in found), found
    assert len(found) == (2 if change[0] in ("name = ",) else 1), found


def test_unknown_card_names_the_nearest():
    (line,) = messages(load, "isng-2d")
    assert "there is no card isng-2d; did you mean ising-2d" in line and "phasegrok models" in line
    (line,) = messages(load, "nothing-like-it-at-all")
    assert "did you mean" not in line


def test_a_card_that_is_no_text(tmp_path):
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe\x00")
    (line,) = messages(load, str(tmp_path / "a.toml"))
    assert "cannot be read as text" in line


def test_an_endless_list_of_mistakes_is_short():
    """A card, its [quick] and --set with 3000 unknown keys each: twenty lines and a count."""
    many = {f"unknown_{k}": 1 for k in range(3000)}
    keys = "\n".join(f"{key} = 1" for key in many)
    for text in (ISING.replace("[parameters]", keys + "\n[parameters]"),
                 ISING.replace("[parameters]", "[parameters]\n" + keys),
                 ISING.replace("[quick]", "[quick]\n" + keys)):
        found = messages(from_text, text, Path(), source="mine.toml")
        assert len(found) == 21 and all(found) and "unknown_19" in found[-2]
        assert found[-1] == "mine.toml: 2980 further mistakes"
    found = messages(from_text, ISING + "[quick2]\n" + keys, Path())
    assert found == ["card: quick2: unknown key; did you mean quick?"]
    assert messages(load, "ising-2d", many)[-1].endswith("2980 further mistakes")


def test_a_card_beyond_all_reason_is_refused_before_it_is_parsed(monkeypatch):
    monkeypatch.setattr("phasegrok.cards.card.tomllib.loads", lambda text: pytest.fail("parsed"))
    keys = "\n".join(f"unknown_{k} = 1" for k in range(100_000))
    (line,) = messages(from_text, ISING + keys, Path(), source="mine.toml")
    assert "characters; a card has 500000 at most" in line


def test_a_long_word_is_neither_compared_nor_shown_whole():
    found = messages(from_text, ISING.replace("L = 8", f'L = "{"8" * 10**4}"\n{"L" * 10**4} = 1'),
                     Path(), source="mine.toml")
    assert len(found) == 2 and all(len(line) < 300 for line in found)


@pytest.mark.parametrize("name, change, words", [
    ("transformer-subtraction-31", {"event.threshold": 2.0}, "event.threshold: 2 is never reached, "
     "as the observable lies between 0 and 1"),
    ("transformer-subtraction-31", {"event.threshold": 0.0}, "0 is reached from the start"),
    ("curie-weiss-p3", {"event.threshold": 1.01}, "never reached, as the observable lies between "
     "-1 and 1"),
    ("ising-perceptron", {"event.threshold": -1.0}, "reached from the start"),
    ("potts-2d-q10-nucleation", {"event.threshold": -0.5}, "reached from the start"),
    ("control-east", {"event.threshold": 1.5}, "between 0 and 1"),
    ("ising-2d-quench", {"relaxation.start": 3.0}, "relaxation.start: 3 cannot be"),
    ("ising-2d-reversal", {"waiting_times.start": -1.5}, "waiting_times.start: -1.5 cannot be"),
])
def test_what_a_bounded_observable_cannot_reach_is_refused(name, change, words):
    (line,) = messages(load, name, change)
    assert words in line, line


def test_unbounded_observables_take_any_threshold():
    assert load("control-drift", {"event.threshold": -3.0}).model.event.threshold == -3.0
    assert load("ising-2d", {"event.observable": "m", "event.threshold": 1.0})


@pytest.mark.parametrize("name, change, words", [
    ("ising-2d", {"L": 2}, "greater than or equal to 3"),
    ("potts-2d-q10", {"L": 2}, "greater than or equal to 3"),
    ("transformer-subtraction-31", {"p": 33}, "p = 33 is not a prime"),
    ("transformer-subtraction-31", {"train_fraction": 1.0}, "less than 1"),
    ("transformer-subtraction-31", {"train_fraction": 0.0}, "greater than 0"),
    ("transformer-subtraction-31", {"heads": 5}, "not divisible by heads = 5"),
    ("transformer-subtraction-31", {"lr": -1.0}, "greater than 0"),
    ("ising-perceptron", {"N": 10}, "N = 10 is even"),
    ("curie-weiss-p3", {"waiting_times.temperatures": [1.2, -1.0]}, "must be positive"),
    ("curie-weiss-p3", {"waiting_times.temperatures": []}, "at least 1"),
    ("curie-weiss-p3", {"waiting_times.temperatures": [float("nan")]}, "finite number"),
    ("curie-weiss-p3", {"waiting_times.dynamics": "glauber"}, "'heat-bath' or 'metropolis'"),
])
def test_unphysical_values_are_refused(name, change, words):
    (line,) = messages(load, name, change)
    assert words in line, line


def test_a_split_without_a_train_set_is_refused():
    card = load("transformer-subtraction-31", {"train_fraction": 1e-6})
    (line,) = messages(card.build)
    assert "transformer-subtraction-31" in line


# --- --set ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text, meant", [
    ("l=16", "L"), ("j=2", "J"), ("LR=1", "lr"), ("SWEEPS=8", "sweeps"),
    ("parameters.l=16", "parameters.L"), ("Density_of_states.walkers=8",
                                          "density_of_states.walkers")])
def test_other_letters_of_a_key_mean_that_key(text, meant):
    (line,) = messages(lambda: load("ising-2d", cards.parse_assignments([text])))
    assert line.endswith(f"unknown key; did you mean {meant}?"), line
    (line,) = messages(from_text, ISING.replace("L = 8", "L = 8\nj = 3\n"), Path())
    assert line.endswith("did you mean J?")


@pytest.mark.parametrize("script, key, words", [
    ("density_of_states", "relaxation.temperature", "density_of_states reads [density_of_states], "
     "[thermodynamics], [sample] and [motion] of a card, not [relaxation]"),
    ("sample", "temperature", "sample reads [sample], [thermodynamics], [langevin] and [motion] "
     "of a card, not [relaxation]"),
    ("relaxation", "density_of_states.walkers", "relaxation reads [relaxation] and [motion] "
     "of a card, not [density_of_states]"),
    ("training", "clones", "training reads [training] and [event] of a card, not [nucleation]")])
def test_set_of_what_a_script_never_reads_is_refused(script, key, words):
    (line,) = messages(load, "ising-2d", {key: 2}, section=script, script=script)
    assert line == f"--set {key}: {words}"


def test_set_of_what_a_script_reads():
    card = load("ising-2d", {"replicas": 12, "L": 6, "title": "mine", "observables.energy": "U",
                             "sample.sweeps": 100, "thermodynamics.temperatures": "1:2:3"},
                section="sample", script="sample")
    assert card.model.sample.replicas == 12 and card.parameters.L == 6
    # of sections that only one script reads, a bare key is not ambiguous there
    card = load("ising-2d", {"walkers": 3}, script="finite_size")
    assert card.model.density_of_states.walkers == 3
    # several sections: a comparison of accounts; a script of the user's own reads what it likes
    for script in ("compare_accounts", "my_script"):
        card = load("ising-2d", {"relaxation.replicas": 8, "relaxation.temperature": 2.0},
                    section=script, script=script)
        assert card.model.relaxation.replicas == 8


def sections_read(script: str) -> set[str]:
    """Sections of a card in the code of a script and of the studies' functions that it calls."""
    files = {path.stem: ast.parse(path.read_text("utf-8"))
             for path in (ROOT / "phasegrok" / "studies").glob("*.py")}
    files["script"] = ast.parse((EXPERIMENTS / f"{script}.py").read_text("utf-8"))
    functions = {(stem, node.name): node for stem, tree in files.items() for node in tree.body
                 if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    imported = {(stem, alias.name): (node.module.rpartition(".")[2], alias.name)
                for stem, tree in files.items() for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom) for alias in node.names}
    found, seen, todo = set(), set(), [("script", "run")]
    while todo:
        stem, name = todo.pop()
        for node in ast.walk(functions[stem, name]):
            if (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute)
                    and node.value.attr == "model" and node.attr in sections.SECTIONS):
                found.add(node.attr)
            if isinstance(node, ast.Name):
                used = imported.get((stem, node.id), (stem, node.id))
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                used = (node.value.id, node.attr)
            else:
                continue
            if used in functions and used not in seen:
                seen.add(used)
                todo.append(used)
    return found


SCRIPTS = sorted(path.stem for path in EXPERIMENTS.glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_sections_that_a_script_reads_are_those_of_its_code(script):
    assert sections_read(script) == set(sections.READS[script])
    assert sorted(sections.READS) == SCRIPTS


@pytest.mark.parametrize("texts, words", [
    (["LL=8"], "--set LL: unknown key; did you mean L"),
    (["sweps=8"], "--set sweps: unknown key; did you mean sweeps"),
    (["density_of_states.wakers=8"], "did you mean density_of_states.walkers"),
    (["temperatures=1:2:3"], "which of thermodynamics.temperatures, "
     "sample.temperatures, finite_size.temperatures, phase_diagram.temperatures, "
         "waiting_times.temperatures"),
    (["L"], "give it as key=value"), (["=3"], "give it as key=value"),
    (["L=eight"], "parameters.L: input should be a valid integer"),
    (["L="], "parameters.L: input should be a valid integer"),
    (["kind=ising3d"], "there is no kind 'ising3d'; did you mean ising-3d"),
])
def test_mistakes_of_set(texts, words):
    found = messages(lambda: load("ising-2d", cards.parse_assignments(texts)))
    assert len(found) == 1 and words in found[0], found


def test_all_mistakes_of_set_are_named_at_once():
    found = messages(lambda: load("ising-2d", cards.parse_assignments(
        ["LL=8", "sweps=3", "J=x", "walkers=0"])))
    assert len(found) == 4, found


def test_set_parses_values_as_toml():
    given = cards.parse_assignments(["L=16", "h=1e-3", "title=no quotes", 'name="q"', "a=[1, 2]",
                                     "b=true", "temperatures=1:2:3", "c=a=b", "L=12"])
    assert given == {"L": 12, "h": 1e-3, "title": "no quotes", "name": "q", "a": [1, 2],
                     "b": True, "temperatures": "1:2:3", "c": "a=b"}


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_set_reaches_every_value(path):
    """Every value set to itself leaves the card as it is; a new title is a new title."""
    raw = tomllib.loads(path.read_text())
    card = load(str(path))
    flat = {key: value for key, value in raw.items() if not isinstance(value, dict)}
    flat |= {f"{section}.{key}": value for section, table in raw.items()
             if isinstance(table, dict) and section != "quick" for key, value in table.items()}
    assert len(flat) > 10
    for key, value in flat.items():
        texts = [f"{key}={files.toml_value(value)}"]
        assert load(str(path), cards.parse_assignments(texts)).text == card.text, key
    changed = load(str(path), cards.parse_assignments([f"{key}={files.toml_value(value)}"
                                                       for key, value in flat.items()]
                                                      + ["title=another"]))
    assert changed.model.title == "another" and changed.parameters == card.parameters
    assert from_text(changed.text, path.parent).model == changed.model


def test_set_of_another_kind_is_checked_by_its_schema():
    found = messages(load, "ising-2d", {"kind": "potts-2d"})
    assert any("parameters.q: is missing" in line for line in found), found
    assert any("parameters.J: unknown key" in line for line in found), found


def test_set_can_add_a_section():
    card = load("ising-2d", {"event.observable": "m", "event.threshold": 0.5})
    assert card.model.event.threshold == 0.5
    (line,) = messages(load, "ising-2d", {"event.threshold": 0.5})
    assert "event.observable: is missing" in line


# --- TOML out -------------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])), st.booleans(),
    st.integers(-2**63, 2**63 - 1), st.floats(),
    st.sampled_from(['"', "\\", "\n\r\t", "\x00\x1f\x7f", "'''", "#", '\\"']),
    st.dates(), st.times(), st.datetimes())
VALUES = st.recursive(SCALARS, lambda inner: st.one_of(
    st.lists(inner, max_size=3), st.dictionaries(st.text(
        st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=3)), max_leaves=6)
TABLES = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), VALUES,
                         max_size=5)


def plain(value):
    """Values that compare by their bits: NaN equals NaN, -0.0 is not 0.0."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, datetime.date | datetime.time):
        return value
    return repr(value)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(TABLES)
def test_to_toml_is_read_back(table):
    assert plain(tomllib.loads(to_toml(table))) == plain(table)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(title=st.text(st.characters(exclude_categories=["Cs"])),
       T=st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=4),
       h=st.floats(allow_nan=False, allow_infinity=False), sweeps=st.integers(2, 2**62))
def test_effective_card_is_read_back(title, T, h, sweeps):
    changes = {"title": title, "waiting_times.temperatures": T, "waiting_times.limit": 10.0,
               "h": h, "density_of_states.sweeps": sweeps}
    card = load("ising-2d", changes)
    again = from_text(card.text, card.folder)
    assert again.model == card.model and again.text == card.text
    assert again.model.title == title and again.model.waiting_times.temperatures == T
    assert again.parameters.h == h and again.model.density_of_states.sweeps == sweeps


# --- data files -----------------------------------------------------------------------------------

BONDS = np.array([[0, 1, 1.0], [1, 2, -1.0], [0, 2, 0.5]])


def graph_card(tmp_path, file, text=None, **arrays):
    if text is not None:
        (tmp_path / file).write_bytes(text.encode("utf-8"))
    elif arrays:
        np.savez(tmp_path / file, **arrays)
    (tmp_path / "card.toml").write_text(GRAPH.replace("bonds.csv", file))
    return str(tmp_path / "card.toml")


@pytest.mark.parametrize("text", [
    "0,1,1.0\n1,2,-1.0\n0,2,0.5\n", "site_a,site_b,J\n0,1,1.0\n1,2,-1.0\n0,2,0.5",
    "# mine\n\nsite_a, site_b, J\n0, 1, 1\n1, 2, -1\n\n0, 2, 0.5  # weak\n",
    "\ufeff0,1,1.0\n1,2,-1.0\n0,2,0.5\n", "0,1,1.0\r\n1,2,-1.0\r\n0,2,0.5\r\n"])
def test_bonds_of_a_csv(tmp_path, text):
    card = load(graph_card(tmp_path, "bonds.csv", text))
    np.testing.assert_array_equal(card.arrays["bonds"], BONDS)
    assert card.size == 3 and card.build().n_sites == 3


TRIANGLE, RING_OF_6 = -0.930553, -0.851632  # E/N at T = 1, J = 1, as given beside the inputs
INSTANCES = {  # form: bytes of the file, exact E/N of ferromagnets at T = 1
    "sites from 1": (b"site_a,site_b,J\n1,2,1\n2,3,1\n3,4,1\n4,5,1\n5,6,1\n6,1,1\n", RING_OF_6),
    "G-set": (b"6 6\n1 2 1\n2 3 1\n3 4 1\n4 5 1\n5 6 1\n6 1 1\n", RING_OF_6),
    "counts of a spreadsheet": (b"3,3,\n0,1,1\n1,2,1\n2,0,1\n", TRIANGLE),
    "the number of sites": (b"3\n1\t2\t1\n2\t3\t1\n3\t1\t1\n", TRIANGLE),
    "semicolons": (b"a;b;J\r\n0;1;1,0\r\n1;2;1,0\r\n2;0;1,0\r\n", TRIANGLE),
    "semicolons and points": (b"0;1;1.0\n1;2;1.\n2;0;1\n", TRIANGLE),
    "tabs and decimal commas": (b"0\t1\t1,0\n1\t2\t1,0\n2\t0\t1,0\n", TRIANGLE),
    "blanks": (b"  0  1   1.0\n  1  2   1.0\n  2  0   1.0\n", TRIANGLE),
    "Fortran": (b"0,1,1.0D+00\n1,2,1.0D+00\n2,0,0.1d1\n", TRIANGLE),
    "other comments": (b"% a comment\n0 1 1 # J\n\n1 2 1\n2 0 1\n", TRIANGLE),
    "trailing commas": (b"0,1,1,\n1,2,1,\n2,0,1,\n", TRIANGLE),
    "UTF-8 with a mark": (b"\xef\xbb\xbf0,1,1\n1,2,1\n2,0,1\n", TRIANGLE),
    "UTF-16": ("\ufeff0,1,1\r\n1,2,1\r\n2,0,1\r\n".encode("utf-16-le"), TRIANGLE),
    "UTF-16, high bytes first": ("\ufeff0,1,1\n1,2,1\n2,0,1\n".encode("utf-16-be"), TRIANGLE),
    "local field": (b"# fields as i i h\n0,0,0.5\n0,1,1\n1,2,1\n2,0,1\n", -1.007573),
    "local field, from 1": (b"3 4\n1 1 0.5\n1 2 1\n2 3 1\n3 1 1\n", -1.007573),
    "local field, bonds counted": (b"3 3\n1 2 1\n2 3 1\n3 1 1\n1 1 0.5\n", -1.007573),
}


def states_of(system) -> tuple[np.ndarray, np.ndarray]:
    """E and M of all states, by the system's own functions as plain Python."""
    n = system.n_sites
    cache = np.zeros(system.cache_size, dtype=np.int64)
    found = [discrete.prepare(system, 2 * (k >> np.arange(n) & 1) - 1, cache)
             for k in range(2**n)]
    return tuple(np.array(found).T)


def mean_energy(E: np.ndarray, temperature: float) -> float:
    weight = np.exp(-(E - E.min()) / temperature)
    return float(weight @ E / weight.sum())


@pytest.mark.parametrize("form", INSTANCES)
def test_instances_in_the_common_forms(tmp_path, form):
    raw, exact = INSTANCES[form]
    (tmp_path / "bonds.csv").write_bytes(raw)
    card = load(graph_card(tmp_path, "bonds.csv"))
    system = card.build()
    n = 6 if exact == RING_OF_6 else 3
    assert card.size == system.n_sites == n and len(card.arrays["bonds"]) == n
    assert mean_energy(states_of(system)[0], 1.0) / n == pytest.approx(exact, abs=5e-7)


def test_local_fields_against_the_sum_over_states(tmp_path):
    """Mixed bonds, fields of both signs, a site with a field alone: E by its definition."""
    bonds = {(0, 1): 1.0, (1, 2): -0.5, (2, 3): 1.5, (0, 3): 1.0, (1, 3): -0.5}
    h = np.array([0.5, 0.0, -1.0, 0.25, 0.75])
    rows = "".join(f"{a},{b},{J}\n" for (a, b), J in bonds.items())
    rows += "".join(f"{i},{i},{h[i]}\n" for i in (0, 2, 3, 4))
    path = graph_card(tmp_path, "bonds.csv", rows)
    system = load(path, {"h": 0.25}).build()
    E, M = states_of(system)
    sigma = np.array([2 * (k >> np.arange(5) & 1) - 1 for k in range(32)])
    exact = -sigma @ (h + 0.25) - sum(J * sigma[:, a] * sigma[:, b] for (a, b), J in bonds.items())
    np.testing.assert_allclose(E, exact, atol=1e-12)
    np.testing.assert_array_equal(M, sigma.sum(axis=1))
    levels, cells = system.energy_levels(), [discrete.energy_cell(system, e) for e in E]
    np.testing.assert_allclose(levels[cells], exact, atol=1e-9)
    check_system(system, "discrete")  # energy_change, order_change and assign agree with these
    assert system.known_cells() == []  # a negative coupling: nobody knows the ground state


@pytest.mark.parametrize("fields, h", [("0,0,0.5\n", 0.0), ("0,0,-0.5\n", 0.0),
                                       ("0,0,0.5\n2,2,1\n", -0.25), ("0,0,1\n", -1.0)])
def test_known_ground_state_in_local_fields(tmp_path, fields, h):
    system = load(graph_card(tmp_path, "bonds.csv", "0,1,1\n1,2,1\n2,0,1\n" + fields),
                  {"h": h}).build()
    E, M = states_of(system)
    lowest = {(float(E[k]), float(M[k])) for k in np.flatnonzero(E < E.min() + 1e-9)}
    assert set(system.known_cells()) <= lowest
    assert bool(system.known_cells()) == (np.all(system.field + h >= 0)
                                          or np.all(system.field + h <= 0))


def test_free_spins_are_declared(tmp_path):
    """Two free spins beside a triangle: its energy, four times its states."""
    path = graph_card(tmp_path, "bonds.csv", "1,2,1\n2,3,1\n3,1,1\n")
    card = load(path, {"n_sites": 5})
    E, _ = states_of(card.build())
    assert card.size == 5 and len(E) == 32
    assert mean_energy(E, 1.0) / 3 == pytest.approx(TRIANGLE, abs=5e-7)
    (line,) = messages(load, path, {"n_sites": 2})
    assert "number 3, but 2 sites that count from 1 end at 2" in line
    graph_card(tmp_path, "bonds.csv", "4 3\n1 2 1\n2 3 1\n3 1 1\n")
    (line,) = messages(load, path, {"n_sites": 5})
    assert "the first row says 4 sites, but there are to be 5" in line


@pytest.mark.parametrize("text, change, words", [
    ("0,1,1\n1,2,1\n", {}, "3 spins, 2 bonds"), ("0,1,1\n", {}, "2 spins, 1 bond"),
    ("0,1,1\n1,1,0.5\n", {}, "2 spins, 1 bond, 1 local field"),
    ("0,1,1\n1,1,0.5\n2,2,1\n", {}, "3 spins, 1 bond, 2 local fields"),
    ("1,2,1\n", {"n_sites": 4}, "4 spins, 1 bond")])
def test_output_and_figure_say_what_was_read(tmp_path, text, change, words):
    card = load(graph_card(tmp_path, "bonds.csv", text), change)
    run = runfile.RunFile({"card": card.text, "title": "mine"},
                          {"system": arrays_group(card.arrays)})
    assert figures.summary(run) == words
    figure = Figure()
    title(figure, run)
    assert figure.get_suptitle().endswith(words)


def test_kernels_that_know_one_field_refuse_local_ones(tmp_path):
    from phasegrok.dynamics import clusters, multi_spin

    systems = (load(graph_card(tmp_path, "bonds.csv", "0,0,1\n0,1,1\n")).build(),)
    assert "Ising spins" in clusters.fits(systems, "swendsen-wang")
    assert "lattice" in multi_spin.fits(systems)


@pytest.mark.slow  # compiles the kernels of spins in local fields
def test_a_run_in_local_fields(tmp_path):
    """ln g of the triangle with one field: exact counts, each energy twice but none degenerate."""
    path = graph_card(tmp_path, "bonds.csv", INSTANCES["local field"][0].decode())
    done = phasegrok("run", "density_of_states", path, "--sweeps", 20000, "--temperatures", "1,2",
                     "--out", "a.h5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "3 spins, 3 bonds, 1 local field" in done.stdout
    E, _ = states_of(load(path).build())
    energies, counts = np.unique(E.round(9), return_counts=True)
    assert worst_z(tmp_path / "a.h5", dict(zip(energies.tolist(), counts.tolist()))) < 5


def test_sites_of_other_kinds_count_from_one_too(tmp_path):
    """A 3 x 3 Edwards-Anderson lattice and an SK instance, from 0 and from 1."""
    lattice = [(int(a), int(b), (-1) ** k) for k, (a, b) in enumerate(lattice_bonds(3, 2))]
    model = kinds.parameters_class("edwards-anderson")(L=3, dimension=2)
    full = kinds.parameters_class("sherrington-kirkpatrick")(N=4)
    pairs = [(0, 1, 0.5), (1, 3, -1.0), (2, 3, 0.25)]
    for parameters, rows in ((model, np.array(lattice)), (full, np.array(pairs))):
        found = parameters.disorder(rows)["couplings"]
        more = parameters.disorder(rows + np.array([1, 1, 0]))["couplings"]
        counted = parameters.disorder(np.vstack([
            [parameters.size({}) ** (2 if parameters is model else 1), len(rows), np.nan],
            rows + np.array([1, 1, 0])]))["couplings"]
        np.testing.assert_array_equal(found, more)
        np.testing.assert_array_equal(found, counted)
    with pytest.raises(ValueError, match="take the kind ising-graph"):
        model.disorder(np.array([*lattice, (4, 4, 1.0)]))


@pytest.mark.parametrize("name", ["ising-2d", "two-layer-cubic", "control-drift"])
def test_a_data_file_that_nothing_reads_is_refused(tmp_path, name):
    (tmp_path / "bonds.csv").write_text("0,1,1\n")
    (line,) = messages(load, name, {"data.file": str(tmp_path / "bonds.csv")})
    assert "reads no file" in line


@pytest.mark.parametrize("name, text, words", [
    ("ridge", "1,2,0.5\n3,nan,1\n", "not finite"), ("ridge", "1,2\n3,4\n", "n = 2 rows of d = 2"),
    ("spherical-perceptron", "1,2\n3,nan\n4,5\n", "not finite")])
def test_numbers_of_other_files(tmp_path, name, text, words):
    (tmp_path / "rows.csv").write_text(text)
    sizes = {"d": 2, "n": 2} if name == "ridge" else {"N": 2, "P": 2}
    (line,) = messages(load, name, {"data.file": str(tmp_path / "rows.csv")} | sizes)
    assert words in line


def test_the_data_file_of_ridge(tmp_path):
    (tmp_path / "rows.csv").write_text("x1,x2,y\n1,2,0.5\n3,4,1\n")
    card = load("ridge", {"data.file": str(tmp_path / "rows.csv"), "d": 2, "n": 2})
    assert card.arrays["patterns"].tolist() == [[1, 2], [3, 4]]
    assert card.arrays["targets"].tolist() == [0.5, 1]


def test_bonds_of_an_npz(tmp_path):
    card = load(graph_card(tmp_path, "bonds.npz", bonds=BONDS))
    np.testing.assert_array_equal(card.arrays["bonds"], BONDS)


def test_patterns_of_csv_and_npz(tmp_path):
    rows = np.array([[1, 1, -1], [1, -1, 1], [-1, -1, -1]])
    (tmp_path / "patterns.csv").write_text("1,1,-1\n1,-1,1\n-1,-1,-1\n")
    (tmp_path / "card.toml").write_text(PERCEPTRON)
    card = load(str(tmp_path / "card.toml"))
    np.testing.assert_array_equal(card.arrays["patterns"], rows)
    np.savez(tmp_path / "patterns.npz", rows)
    (tmp_path / "npz.toml").write_text(PERCEPTRON.replace("patterns.csv", "patterns.npz"))
    np.testing.assert_array_equal(load(str(tmp_path / "npz.toml")).arrays["patterns"], rows)


@pytest.mark.parametrize("text, words", [
    (None, "there is no data file"), ("", "has no rows"), ("site_a,site_b,J\n", "has no rows"),
    ("0,1\n1,2\n", "three columns"), ("0,1,1\n1,2\n", "not a table of numbers"),
    ("0,1,x\n1,2,1\n", "not a table of numbers"), ("a,b,J\nc,d,e\n", "not a table of numbers"),
    ("0,1,1\n1,0,2\n", "a bond appears twice"), ("0,0,1\n", "joins a site with itself"),
    ("0,1.5,1\n", "are integers from 0"), ("-1,0,1\n", "are integers from 0"),
    ("0,1,nan\n", "not a finite number"), ("0,inf,1\n", "finite"),
    ("nan,1,1\n", "integers from 0"), ("0 1 1\n1 two 1\n", 'line 2 is "1 two 1"'),
    ("0;1;1,0\n0;2\n", "line 1 has 3 numbers, and the last row has 2"),
    ("0 1 1_0\n0 2 1\n", 'line 1 is "0 1 1_0"; give rows of numbers'),
    ("0,1,1\n1,2,1\n4,5,1\n", "site 3 has no bond: number the sites from 0 or from 1 without "
     "gaps, or give n_sites = 6 in [parameters]"),
    ("1,2,1\n2,4,1\n", "site 3 has no bond"), ("2,3,1\n3,2,1\n", "twice, 2 to 3"),
    ("7 2\n1 2 1\n2 3 1\n", "site 4 has no bond"),
    ("3 3\n1 2 1\n2 3 1\n", "first row says 3 bonds, but 2 rows follow"),
    ("3 3\n1 2 1\n2 3 1\n3 4 1\n", "site has number 4, but 3 sites that count from 1 end at 3"),
    ("3 3\n0 1 1\n1 2 1\n2 3 1\n", "site has number 3, but 3 sites that count from 0 end at 2"),
    ("1e12 2\n1 2 1\n2 3 1\n", "there can be 16777216"),
    ("3 2 0\n1 2 1\n2 3 1\n", "can be a bond, or the numbers of sites and bonds"),
    ("3 3 2\n1 2 1\n2 3 1\n", "can be a bond, or the numbers of sites and bonds"),
    ("0,0,1\n0,1,1\n0,0,2\n", "field of site 0 appears twice")])
def test_malformed_bonds(tmp_path, text, words):
    (line,) = messages(load, graph_card(tmp_path, "bonds.csv", text))
    assert words in line and "card.toml" in line, line


@pytest.mark.parametrize("text, words", [
    ("1,1,-1\n1,-1,1\n", "need 3 rows (teacher first) of 3"),
    ("1,1\n1,-1\n1,1\n", "need 3 rows (teacher first) of 3"),
    ("1,1,-1\n1,-1,0\n-1,-1,-1\n", "neither +1 nor -1"),
    ("1,1,-1\n1,-1,nan\n-1,-1,-1\n", "neither +1 nor -1")])
def test_malformed_patterns(tmp_path, text, words):
    (tmp_path / "patterns.csv").write_text(text)
    (tmp_path / "card.toml").write_text(PERCEPTRON)
    (line,) = messages(load, str(tmp_path / "card.toml"))
    assert words in line, line


@pytest.mark.parametrize("raw", [b"", b"no zip", b"PK\x03\x04 cut off"])
def test_a_damaged_npz(tmp_path, raw):
    (tmp_path / "bonds.npz").write_bytes(raw)
    (line,) = messages(load, graph_card(tmp_path, "bonds.npz"))
    assert "not a table of numbers" in line


def test_an_npz_of_objects_or_of_nothing(tmp_path):
    for arrays in ({"bonds": np.array([None, "a"], dtype=object)}, {"bonds": np.array(["a", "b"])}):
        (line,) = messages(load, graph_card(tmp_path, "bonds.npz", **arrays))
        assert "not a table of numbers" in line
    np.savez(tmp_path / "bonds.npz")
    (line,) = messages(load, str(tmp_path / "card.toml"))
    assert "holds no array" in line


def test_an_instance_that_is_too_large_is_refused(tmp_path):
    card = graph_card(tmp_path, "bonds.csv", "0,1,1\n1,1000000000000000,1\n")
    (line,) = messages(load, card)
    assert "without large gaps" in line


# --- the user's own code --------------------------------------------------------------------------

MODEL = '''
"""Spins in a field of strength 1: E = -sum_i s_i."""
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from phasegrok.systems.discrete import behaviour, draw_spins, spins_with_magnetisation

(Path(__file__).parent / "executed").touch()


class MyModel(BaseModel):
    model_config = ConfigDict(extra="forbid")
    N: int

    def disorder(self, rows):
        return {}

    def size(self, arrays):
        return self.N

    def build(self, arrays):
        return Spins(self.N)


class Spins(NamedTuple):
    n_spins: int

    n_sites = property(lambda self: self.n_spins)
    cache_size = property(lambda self: 1)
    log_n_states = property(lambda self: self.n_spins * math.log(2.0))
    order_unit = property(lambda self: float(self.n_spins))
    order_merge = property(lambda self: 1)

    def energy_levels(self):
        return np.arange(-self.n_spins, self.n_spins + 1, 2, dtype=float)

    def order_levels(self):
        return np.arange(-self.n_spins, self.n_spins + 1, 2, dtype=float)

    def known_cells(self):
        return [(float(-self.n_spins), float(self.n_spins))]

    def configuration(self, phi, rng):
        return spins_with_magnetisation(self.n_spins, phi, rng)


@behaviour(Spins)
def draw(system, sigma, rng):
    draw_spins(sigma, rng)


@behaviour(Spins)
def prepare(system, sigma, cache):
    energy = 0.0
    magnetisation = 0.0
    for i in range(sigma.shape[0]):
        magnetisation += sigma[i]
        energy -= sigma[i]
    return energy, magnetisation


@behaviour(Spins)
def n_values(system):
    return 2


@behaviour(Spins)
def value_of(system, k):
    return 2 * k - 1


@behaviour(Spins)
def energy_change(system, sigma, cache, site, value):
    return float(sigma[site] - value)


@behaviour(Spins)
def order_change(system, sigma, cache, site, value):
    return float(value - sigma[site])


@behaviour(Spins)
def assign(system, sigma, cache, site, value):
    sigma[site] = value


@behaviour(Spins)
def energy_cell(system, energy):
    return int((energy + system.n_spins) / 2.0 + 0.5)


@behaviour(Spins)
def order_cell(system, phi):
    return int((phi + system.n_spins) / 2.0 + 0.5)
'''
RING = {  # the edit that makes the spins a ring: E = -sum_i s_i s_{i+1}
    "energy -= sigma[i]": "energy -= sigma[i] * sigma[i - 1]",
    "return float(sigma[site] - value)":
        "n = sigma.shape[0]\n"
        "    return float((sigma[site] - value) * (sigma[site - 1] + sigma[(site + 1) % n]))",
}
MY_CARD = """
name = "mine"
title = "My spins"
kind = "my-spins"
reference = "none"
code = "my_model.py:MyModel"
[parameters]
N = 10
[observables]
energy = "E"
order_parameter = "M"
[thermodynamics]
temperatures = "1:3:3"
"""


def phasegrok(*arguments, cwd) -> subprocess.CompletedProcess:
    code = "from phasegrok.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], cwd=cwd,
                          capture_output=True, text=True)


def worst_z(path, exact) -> float:
    """Largest deviation of ln g from the exact counts {E: g}, in stated errors."""
    density = runfile.read(path)["density_of_states"]
    assert density["energy"].tolist() == sorted(exact)
    log_g = np.array([math.log(exact[e]) for e in density["energy"]])
    assert np.all(density["log_g_err"] < 0.1)
    return float(np.max(np.abs(density["log_g"] - log_g) / density["log_g_err"]))


def test_a_user_model_runs_and_an_edit_is_seen(tmp_path):
    """Exact counts: C(N, k) of spins in a field; 2 C(N, k) of a ring with k broken bonds, even."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "mine.toml").write_text(MY_CARD)
    code, marker = folder / "my_model.py", folder / "executed"
    code.write_text(MODEL)
    listed = phasegrok("models", cwd=tmp_path)
    assert listed.returncode == 0 and "My spins" in listed.stdout and not marker.exists()
    command = ["run", "density_of_states", "mine", "--sweeps", 20000, "--walkers", 8]
    done = phasegrok(*command, "--out", "a.h5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert marker.exists()
    field = {-10.0 + 2 * k: math.comb(10, k) for k in range(11)}
    ring = {-10.0 + 2 * k: 2 * math.comb(10, k) for k in range(0, 11, 2)}
    assert worst_z(tmp_path / "a.h5", field) < 5

    marker.unlink()
    for call in (["inspect", "a.h5"], ["plot", "a.h5"], ["models"]):
        assert phasegrok(*call, cwd=tmp_path).returncode == 0
        assert not marker.exists(), call

    text = MODEL
    for before, after in RING.items():
        assert text.count(before) == 1
        text = text.replace(before, after)
    code.write_text(text)
    refused = phasegrok("resume", "a.h5", "--sweeps", 40000, "--trust", cwd=tmp_path)
    assert refused.returncode == 2 and "code has changed" in refused.stderr
    assert worst_z(tmp_path / "a.h5", field) < 5
    refused = phasegrok(*command, "--out", "a.h5", cwd=tmp_path)
    assert refused.returncode == 2 and "another run" in refused.stderr
    done = phasegrok(*command, "--out", "b.h5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert worst_z(tmp_path / "b.h5", ring) < 5


@pytest.mark.parametrize("code, text, words", [
    ("my_model.py", MODEL, "is not FILE.py:NAME"),
    ("other.py:MyModel", MODEL, "is not FILE.py:NAME"),
    ("my_model.py:Missing", MODEL, "my_model.py has no Missing"),
    ("my_model.py:math", MODEL, "is no pydantic model"),
    ("my_model.py:Spins", MODEL, "is no pydantic model"),
    ("my_model.py:MyModel", MODEL.replace("def size", "def sise"), "has no size"),
    ("my_model.py:MyModel", "1/0", "my_model.py fails: ZeroDivisionError"),
    ("my_model.py:MyModel", "def", "my_model.py fails: SyntaxError"),
    ("my_model.py:MyModel", MODEL.replace("def draw(", "def drow("), "drow is no behaviour"),
    ("my_model.py:MyModel", MODEL.replace("N: int", "M: int"), "parameters.N: unknown key"),
])
def test_mistakes_of_user_code(tmp_path, monkeypatch, code, text, words):
    monkeypatch.setattr(compiled, "use_sources", lambda *files: None)
    monkeypatch.setattr("phasegrok.own_code.executed_files", set())
    (tmp_path / "my_model.py").write_text(text)
    (tmp_path / "mine.toml").write_text(MY_CARD.replace("my_model.py:MyModel", code))
    found = messages(load, str(tmp_path / "mine.toml"))
    assert any(words in line for line in found), found


SPINS = "@behaviour(Spins)\ndef "


@pytest.mark.parametrize("change, words", [
    ((SPINS + "assign(", "def assign("), "Spins has no behaviour assign: a function of that name "
     "below @behaviour(Spins) (put it above assign)"),
    ((SPINS + "order_cell(", "def _cell("), "Spins has no behaviour order_cell: a function of that "
     "name below @behaviour(Spins)"),
    (("    def known_cells", "    def unknown_cells"), "Spins has no known_cells"),
    (("return 2 * k - 1", "return 100 * k + 50"), "value_of(1) is 150, but the state of a site is "
     "a whole number from -128 to 127 (int8)"),
    (("return 2 * k - 1", "return 0.5 * k"), "value_of(1) is 0.5"),
    (("return 2 * k - 1", "return 1"), "two states the same value"),
    (("return 2\n", "return 1\n"), "n_values is 1, but a site has 2 to 256 states"),
    (("int((energy + system.n_spins) / 2.0 + 0.5)", "int(energy + system.n_spins + 0.5)"),
     "energy_cell gives cell 10, of level 10, for 0 of a configuration"),
    (("int((energy + system.n_spins) / 2.0 + 0.5)", "int((energy - system.n_spins) / 2.0 - 0.5)"),
     "energy_cell gives cell -10 of 11 for -10 of known_cells()"),
    (("int((energy + system.n_spins) / 2.0 + 0.5)", "int((energy + system.n_spins) / 2.0 + 1.5)"),
     "energy_cell gives cell 1, of level -8, for -10 of known_cells()"),
    (("int((phi + system.n_spins) / 2.0 + 0.5)", "int((phi - 2 + system.n_spins) / 2.0 - 0.5)"),
     "order_cell gives cell"),
    (("float(sigma[site] - value)", "2.0 * float(sigma[site] - value)"), "energy_change gives"),
    (("float(value - sigma[site])", "float(sigma[site] - value)"), "order_change gives"),
    (("    sigma[site] = value\n", "    sigma[site] = -sigma[site]\n"),
     "assign leaves other states than sigma["),
    (("    sigma[site] = value\n", "    sigma[site] = value\n    cache[0] += 1\n"),
     "assign leaves another cache than prepare makes"),
    (("energy -= sigma[i]", "energy -= sigma[i + 1]"), "prepare of Spins fails: IndexError"),
    (("    sigma[site] = value\n", "    prepare(system, sigma, cache)\n    sigma[site] = value\n"),
     "assign calls prepare, which is in my_model.py a plain function that kernels cannot call: "
     "write discrete.prepare"),
])
def test_a_user_system_that_is_not_whole_is_refused_at_build(tmp_path, monkeypatch, change, words):
    monkeypatch.setattr(compiled, "use_sources", lambda *files: None)
    monkeypatch.setattr("phasegrok.own_code.executed_files", set())
    assert MODEL.count(change[0]) == 1
    (tmp_path / "my_model.py").write_text(MODEL.replace(*change))
    (tmp_path / "mine.toml").write_text(MY_CARD)
    card = load(str(tmp_path / "mine.toml"))
    (line,) = messages(card.build)
    assert words in line and line.startswith("mine: "), line


def test_a_whole_user_system_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "use_sources", lambda *files: None)
    monkeypatch.setattr("phasegrok.own_code.executed_files", set())
    ring = MODEL
    for before, after in RING.items():
        ring = ring.replace(before, after)
    for name, text in (("field", MODEL), ("ring", ring)):
        (tmp_path / f"{name}.py").write_text(text)
        (tmp_path / f"{name}.toml").write_text(MY_CARD.replace("my_model.py", f"{name}.py"))
        assert load(str(tmp_path / f"{name}.toml")).build().n_sites == 10


@pytest.mark.parametrize("name", [
    "blume-capel-2d-tricritical", "curie-weiss-field", "east", "edwards-anderson-l4", "ising-2d",
    "control-golf-hole", "potts-2d", "potts-mean-field", "ridge", "sherrington-kirkpatrick",
    "two-layer-cubic"])
def test_the_systems_of_the_package_pass_the_same_checks(name):
    card = load(name, quick=True)
    check_system(card.build(), card.family)


def test_a_behaviour_that_is_defined_twice_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "use_sources", lambda *files: None)
    monkeypatch.setattr("phasegrok.own_code.executed_files", set())
    again = MODEL + "\n\n" + SPINS + "n_values(system):\n    return 2\n"
    (tmp_path / "my_model.py").write_text(again)
    (tmp_path / "mine.toml").write_text(MY_CARD)
    (line,) = messages(load, str(tmp_path / "mine.toml"))
    assert "n_values of Spins is defined twice" in line


def test_the_kernel_cache_is_keyed_by_allexecuted_files(tmp_path, monkeypatch):
    """Two cards with code of their own: an edit of either is an edit."""
    keyed = []
    monkeypatch.setattr(compiled, "use_sources", lambda *files: keyed.append(files))
    monkeypatch.setattr("phasegrok.own_code.executed_files", set())
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(MODEL)
        (tmp_path / f"{name}.toml").write_text(MY_CARD.replace("my_model.py", f"{name}.py"))
        load(str(tmp_path / f"{name}.toml"))
    assert keyed[-1] == (tmp_path / "one.py", tmp_path / "two.py")


def test_code_is_not_executed_unless_asked(tmp_path):
    (tmp_path / "my_model.py").write_text(MODEL)
    (tmp_path / "mine.toml").write_text(MY_CARD)
    card = load(str(tmp_path / "mine.toml"), execute_code=False)
    assert card.parameters is None and card.model.parameters == {"N": 10}
    assert sorted(os.listdir(tmp_path)) == ["mine.toml", "my_model.py"]
