"""Every discrete card builds, and its sections make the protocols that they name."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from repository import EXPERIMENTS, MODELS

from phasegrok import cards, figures
from phasegrok.cards import kinds
from phasegrok.errors import InputError
from phasegrok.figures import common
from phasegrok.run import runfile
from phasegrok.studies.relaxation import relaxation
from phasegrok.studies.sampling import sampling

TEXTS = {path.stem: tomllib.loads(path.read_text()) for path in sorted(MODELS.glob("*.toml"))}
DISCRETE = [name for name, raw in TEXTS.items() if kinds.family(raw["kind"]) == "discrete"]
SAMPLED = [name for name in DISCRETE if "sample" in TEXTS[name]]
RELAXING = [name for name in DISCRETE if "relaxation" in TEXTS[name]]

# E of all spins parallel (J = J3 = 1, h = 0), by hand: bonds times coupling
PARALLEL = {
    "ising-2d": -2.0 * 64,
    "ising-3d": -3.0 * 512,
    "ising-2d-j2": -2.0 * 64 * (1.0 - 0.7),
    "ising-2d-quench": -2.0 * 4096,
    "glauber-chain": -1024.0,
    "curie-weiss-p3": -100.0,
    "blume-capel-2d": 16 * (1.98 - 2.0),
    "potts-mean-field": -(24 * 23 / 2) / 24,
}


def card_of(name, quick):
    return cards.load(str(MODELS / f"{name}.toml"), quick=quick)


def energy_of(system, sigma):
    """E from scratch, as the kernels define it."""
    from phasegrok.systems.discrete import prepare

    return prepare(system, sigma, np.zeros(system.cache_size, dtype=np.int64))[0]


def test_every_family_has_a_card():
    assert {raw["kind"] for raw in TEXTS.values()} == set(kinds.KINDS)


NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def scalars(value):
    """Numbers and words among the values of a table, and of the tables in it."""
    if isinstance(value, dict):
        return [x for part in value.values() for x in scalars(part)]
    return [value]


@pytest.mark.parametrize("name", TEXTS)
def test_a_title_names_no_value_that_can_be_set(name):
    """After ``--set p=59 --set operation=+`` the figure said "a - b mod 31"."""
    card = card_of(name, False)
    title = card.model.title.lower()
    words = re.findall(r"[^\s,:()]+", title)
    assert not re.search(r"\d", title)
    values = card.parameters.model_dump().values()
    assert not [n for k, n in enumerate(NUMBERS) if n in words and k in values]
    fixed = {"name", "title", "kind", "reference", "observables", "family", "units", "control"}
    settings = scalars({key: value for key, value in card.model.model_dump().items()
                        if key not in fixed} | {"parameters": card.parameters.model_dump()})
    assert not {str(x).lower() for x in settings if isinstance(x, str)} & set(words)


def test_what_was_set_stands_under_the_title():
    import matplotlib.pyplot as plt

    card = cards.load(str(MODELS / "mlp-subtraction-31.toml"), {"p": 59, "operation": "+"})
    run = runfile.RunFile({"title": card.model.title, "card": card.text}, {})
    figure = plt.figure()
    common.title(figure, run, without=("split_seed",), more="8 replicas")
    drawn = figure.get_suptitle()
    plt.close(figure)
    for text in (drawn, figures.describe(run, Path("a.h5"))):
        first, second, *_ = text.splitlines()
        assert first.endswith("Perceptron on a binary operation: grokking")
        assert "operation = +, p = 59, hidden = [128]" in second
    assert "split_seed" not in drawn and drawn.endswith("8 replicas")


def test_every_discrete_card_says_how_it_is_sampled():
    unsaid = set(DISCRETE) - set(SAMPLED)
    assert {name for name in unsaid if not name.startswith("control-")} == set()


@pytest.mark.parametrize("quick", [False, True], ids=["full", "quick"])
@pytest.mark.parametrize("name", SAMPLED)
def test_sample_section_makes_its_protocol(name, quick):
    card = card_of(name, quick)
    protocol = sampling(card)
    section = card.model.sample
    assert protocol.total() == section.sweeps > 2 * section.equilibration
    # fewer than four replicas cannot be compared between ordered and random starts
    assert protocol.replicas == section.replicas >= 4 and protocol.replicas % 4 == 0
    assert len(protocol.temperatures) >= (2 if section.exchange else 1)
    assert section.dynamics in protocol.engine.name
    assert protocol.memory() < 2**30


@pytest.mark.parametrize("quick", [False, True], ids=["full", "quick"])
@pytest.mark.parametrize("name", RELAXING)
def test_relaxation_section_makes_quench_and_ramp(name, quick):
    card = card_of(name, quick)
    quench = relaxation(card)
    assert quench.temperature == card.model.relaxation.temperature
    assert "random sites" in quench.engine.name  # the dynamics that has time
    if card.model.relaxation.ramp is None:
        with pytest.raises(InputError, match="a ramp needs its temperatures"):
            relaxation(card, ramp=True)
        return
    ramp = relaxation(card, ramp=True)
    assert ramp.engine.name == quench.engine.name
    low, high = min(ramp.temperatures), max(ramp.temperatures)
    assert low < quench.temperature < high
    assert max(quench.memory(), ramp.memory()) < 2**30


def test_relaxation_runs_on_what_the_script_takes_without_a_card():
    text = (EXPERIMENTS / "relaxation.py").read_text()
    assert any(f'["{name}"]' in text for name in RELAXING)


@pytest.mark.parametrize("name", PARALLEL)
def test_energy_of_parallel_spins(name):
    system = card_of(name, False).build()
    ones = np.ones(system.n_sites, dtype=np.int8)
    assert energy_of(system, ones) == pytest.approx(PARALLEL[name], rel=1e-12)


def test_stripes_are_the_ground_state_of_the_frustrated_lattice():
    # a site has two satisfied and two broken bonds along the axes, and four broken diagonals less
    # J2 < 0: E/N = 2 J2
    system = card_of("ising-2d-j2", False).build()
    L = system.L
    rows = np.where(np.arange(L * L) // L % 2 == 0, 1, -1).astype(np.int8)
    stripes = energy_of(system, rows)
    assert stripes == pytest.approx(2.0 * -0.7 * L * L, rel=1e-12)
    parallel = energy_of(system, np.ones(L * L, dtype=np.int8))
    checkers = energy_of(system, rows * np.where(np.arange(L * L) % 2 == 0, 1, -1).astype(np.int8))
    assert stripes < min(parallel, checkers)


@pytest.mark.parametrize("name", [n for n in DISCRETE if n.startswith("edwards-anderson-")])
def test_couplings_of_the_glasses(name):
    card = card_of(name, False)
    J = card.build().coupling
    if card.model.parameters.get("couplings") == "gaussian":
        # mean 0 and variance 1 of n couplings, each in the list twice: errors 1/sqrt n, sqrt(2/n)
        n = len(J) // 2
        assert abs(J.mean()) * np.sqrt(n) < 4.0
        assert abs(J.var() - 1.0) * np.sqrt(n / 2.0) < 4.0
    else:
        assert set(np.abs(J)) == {1.0} and len(set(J)) == 2
