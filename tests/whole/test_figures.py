"""Figures of runs that have gone astray, and of those of which nothing is drawn."""

from pathlib import Path

import pytest

from phasegrok import figures
from phasegrok.groups import Group
from phasegrok.run import runfile

NETWORK = ("mlp-subtraction-31", "--set", "p=5", "--set", "hidden=[8]", "--set",
           "training.engine=torch", "--replicas", 2, "--steps", 30)


def test_a_training_that_diverges_is_drawn(call):
    """Losses at the end of what a float can be would be beyond what axes can."""
    assert call("training", *NETWORK, "--out", "a.h5").code == 0
    run = runfile.read("a.h5")
    for name in ("train_loss", "weight_norm"):
        run["training"][name][0, 2] = 1e290
    assert [file.suffix for file in figures.save(run, Path("a.h5"))] == [".png", ".pdf"]


def test_no_older_figure_stays_beside_a_run_that_cannot_be_drawn(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_text("older")
    monkeypatch.setattr(figures, "draw", lambda run, path: 1 / 0)
    with pytest.raises(runfile.RunFileError, match="cannot be drawn: ZeroDivisionError"):
        figures.save(runfile.RunFile({}, {}), tmp_path / "a.h5")
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_which_nothing_is_drawn_says_so(call):
    """As the chains of a network."""
    group = Group()
    group.add("train_loss", 1.0, (), "nat", "mean of the train set")
    runfile.write(Path("a.h5"), runfile.RunFile({"title": "chains"}, {"chains": group}))
    plotted = call("phasegrok", "plot", "a.h5")
    assert plotted.code == 0 and plotted.out == "none: nothing is drawn of chains\n"
