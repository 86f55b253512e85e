"""The pages that are made from the code are current, and the others say what the code does."""

import importlib.util
import re
import subprocess
import sys

import pytest
from repository import EXPERIMENTS, MODELS, ROOT

from phasegrok.accounts import verdict

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]


def script(name):
    """A script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["make_architecture", "make_cards", "make_performance"])
def test_made_pages_are_current(name):
    made = script(name)
    assert made.PAGE.read_text() == made.page(), f"run: python docs/{name}.py"


def test_picture_of_the_rooms_is_current():
    """The same rooms and arrows; numbers within a tenth, as the page says."""
    made = script("make_architecture")
    shown, arrows = made.drawn(), made.arrows()
    assert {a: set(b) for a, b in shown["arrows"].items()} == {a: set(b) for a, b in arrows.items()}
    pairs = [(shown["arrows"][a][b], number) for a in arrows for b, number in arrows[a].items()]
    for room, numbers in made.sizes().items():
        pairs += zip(shown["sizes"][room], numbers)
    for drawn, now in pairs:
        assert abs(drawn - now) <= max(1.0, 0.1 * now), "run: python docs/make_architecture.py"


def test_every_key_of_a_card_has_words():
    rows = [line for line in script("make_cards").page().splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    assert not [row for row in rows if row.endswith("|  |")]


def test_rule_of_the_verdict_is_that_of_the_code():
    literal = verdict.__doc__.split("::\n\n")[1].split("\n\nwhere")[0]
    rule = "\n".join(line.removeprefix("    ") for line in literal.splitlines())
    assert f"```text\n{rule}\n```" in (DOCS / "accounts.md").read_text()


def test_every_label_is_explained():
    page = (DOCS / "accounts.md").read_text()
    labels = [verdict.FIRST_ORDER, verdict.GLASS, verdict.CRITICAL, verdict.COARSENING,
              verdict.DRIFT, verdict.SADDLE, verdict.NONE, verdict.UNDECIDED]
    assert all(f"| {label} |" in page for label in labels)


def commands():
    """(page, script, options) of every command line in a page that runs an experiment."""
    found = []
    for page in PAGES:
        for block in re.findall(r"^```\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            for line in block.splitlines():
                match = re.search(r"(?:phasegrok run |python experiments/)(\w+)(?:\.py)?(.*)", line)
                if match:
                    options = re.findall(r"--[\w-]+", match[2].split("#")[0])
                    found.append((page.name, match[1], tuple(options)))
    return found


def test_commands_of_the_pages_exist():
    listed = commands()
    assert len(listed) > 10
    known = {}
    for page, name, options in listed:
        path = EXPERIMENTS / f"{name}.py"
        # the worked examples of CONTRIBUTING.md are run by tests/whole/test_contributing.py
        assert path.is_file(), f"{page}: {name}"
        if name not in known:
            done = subprocess.run([sys.executable, str(path), "--help"], capture_output=True,
                                  text=True, timeout=60)
            known[name] = set(re.findall(r"--[\w-]+", done.stdout))
        assert set(options) <= known[name], f"{page}: {name} {options}"


def test_readme_has_the_two_lines():
    lines = (ROOT / "README.md").read_text().splitlines()
    install = [line for line in lines if line.startswith("python3.11 -m venv ")]
    assert len(install) == 2
    assert install[0].endswith("python experiments/compare_accounts.py --quick")
    assert install[1].endswith("pytest")


def test_controls_are_named():
    page = (DOCS / "accounts.md").read_text()
    for card in sorted(MODELS.glob("*.toml")):
        if re.search(r"^control =", card.read_text(), re.MULTILINE):
            assert f"`{card.stem}`" in page, card.stem


def test_links_between_pages():
    for page in DOCS.glob("*.md"):
        for target in re.findall(r"\]\(([\w.]+\.md)\)", page.read_text()):
            assert (DOCS / target).is_file(), f"{page.name}: {target}"


@pytest.mark.slow
def test_pages_build_without_a_warning(tmp_path):
    pytest.importorskip("sphinx")
    pytest.importorskip("myst_parser")
    done = subprocess.run([sys.executable, "-m", "sphinx", "-q", "-W", str(DOCS), str(tmp_path)],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
