"""Lists of systems of known answer: they parse, and every card loads with its overrides."""

import tomllib
from pathlib import Path

import pytest

from phasegrok.cards import load
from phasegrok.studies.waiting_times import event_of

FOLDER = Path(__file__).parents[2] / "data" / "calibration"
KINETICS = {"ACTIVATED", "GLASS", "CRITICAL", "COARSENING", "AGEING", "DRIFT", "SADDLE",
            "FLUCTUATION", "NONE", "UNDECIDED"}
THERMODYNAMICS = {"first-order", "continuous", "none", ""}
KEYS = {"name", "card", "set", "kinetics", "thermodynamics", "noise", "family", "why"}


def systems(name):
    with (FOLDER / f"{name}.toml").open("rb") as file:
        return tomllib.load(file)["system"]


TUNING, ASIDE = systems("tuning"), systems("aside")


def loaded(system):
    card = system["card"]
    return load(str(FOLDER / card) if card.endswith(".toml") else card, system["set"], trust=True)


def test_entries_are_complete_and_their_words_known():
    for system in TUNING + ASIDE:
        assert set(system) == KEYS, system["name"]
        assert system["kinetics"] and set(system["kinetics"]) <= KINETICS, system["name"]
        assert system["thermodynamics"] in THERMODYNAMICS, system["name"]
        assert system["noise"] in {"temperature", "size"}, system["name"]
        assert system["why"] and system["family"], system["name"]


def test_names_are_unique_and_no_card_is_left_over():
    names = [system["name"] for system in TUNING + ASIDE]
    assert len(set(names)) == len(names)
    cards = {system["card"] for system in TUNING + ASIDE if system["card"].endswith(".toml")}
    assert cards == {path.name for path in FOLDER.glob("*.toml")} - {"tuning.toml", "aside.toml"}


def test_what_is_set_aside_is_new_and_covers_every_answer():
    families = {system["family"] for system in TUNING}
    assert len(ASIDE) >= 40
    assert 2 * sum(system["family"] not in families for system in ASIDE) >= len(ASIDE)
    for part in (TUNING, ASIDE):
        assert {answer for system in part for answer in system["kinetics"]} == KINETICS


@pytest.mark.parametrize("system", TUNING + ASIDE, ids=lambda system: system["name"])
def test_a_card_loads_and_has_a_ladder_of_its_noise(system):
    card = loaded(system)
    waiting, _ = event_of(card)
    if system["noise"] == "size":
        sizes = [card.resized(n).build().n_sites for n in waiting.sizes]
        sizes.append(card.build().n_sites)
        assert max(sizes) >= 10**1.5 * 0.99 * min(sizes)
        return
    main, *further = waiting.temperatures
    assert len(further) >= 5
    assert min(further) < main < max(further)
