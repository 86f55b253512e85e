"""Laws of the time to generalise: points of the scan, and the script."""

import numpy as np
import pytest

from phasegrok.cards.library import load
from phasegrok.errors import InputError
from phasegrok.figures import decay_law as figure
from phasegrok.groups import Group
from phasegrok.run.runfile import RunFile, read
from phasegrok.studies import decay_law


def test_one_quantity_differs_at_each_value():
    card = load("decay-law-subtraction-31")
    t = card.model.training
    cards = dict(decay_law.points(card, 7))
    assert all(c.model.decay_law.seed == 7 for c in cards.values())
    slow = cards["decays=0.0005"].model.training
    assert slow.lr == t.lr and slow.lr * slow.weight_decay == pytest.approx(5e-4)
    assert slow.steps == 6 * t.steps and slow.stop_at_event
    fast = cards["rates=0.008"].model.training
    assert fast.weight_decay == t.weight_decay and fast.lr == pytest.approx(8e-3)
    assert fast.steps == t.steps
    assert cards["fractions=0.6"].parameters.train_fraction == 0.6
    assert cards["scales=2"].model.training.initial_scale == 2.0
    held = cards["norms=0.5"].model.training
    assert held.fixed_norm and held.weight_decay == 0.0 and not held.stop_at_event


@pytest.mark.parametrize("changes, message", [
    ({"decay_law.decays": [2e-3, 1e-3]}, "ascend"),
    ({"training.weight_decay": 0.0}, "lr wd is scanned about"),
    ({f"decay_law.{scan}": [] for scan in decay_law.SCANS}, "no values"),
])
def test_what_cannot_be_scanned_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        decay_law.points(load("decay-law-subtraction-31", changes), 1)
    with pytest.raises(InputError, match="needs \\[decay_law\\]"):
        decay_law.points(load("transformer-subtraction-31"), 1)


def finished(step, replicas=4):
    """A point of the scan whose replicas generalise at ``step``, each a little later."""
    late = step * (1.0 + 0.01 * np.arange(replicas))
    group = Group(attributes={"steps": 10 * step})
    group.add("replica", np.arange(replicas), "replica")
    for name, share in (("memorisation_step", 0.1), ("generalisation_step_50", 1.0),
                        ("generalisation_step_95", 1.5)):
        group.add(name, share * late, "replica")
    for k, name in enumerate(("train_loss", "test_loss", "train_accuracy", "test_accuracy")):
        group.add(name, (k + 1.0) / step * np.ones((replicas, 3)), ("replica", "step"))
    return RunFile({}, {"training": group})


def test_what_is_printed_is_what_the_file_holds():
    """Every number of every table against the variable that it stands for."""
    card = load("decay-law-subtraction-31")
    points = decay_law.points(card, 1)
    steps = [1000 + 137 * k for k in range(len(points))]
    run = RunFile({}, decay_law.groups(card, [finished(n) for n in steps]))
    group, blocks = run["decay_law"], figure.lines(run).split("\n\n")
    scans = [scan for scan in decay_law.SCANS if scan in group]
    assert len(blocks) == len(scans) == 5
    for scan, block in zip(scans, blocks):
        rows = [line.replace("± ?", "").split() for line in block.splitlines()[2:]]
        rows = [[float(x) for x in row if x not in ("±", "-")] for row in rows[: len(group[scan])]]
        stored = [[f"{scan}_{name}_mean", f"{scan}_{name}_mean_err"]
                  for name in ("train_loss", "test_loss", "test_accuracy")]
        if scan != "norms":
            stored = [[f"{scan}_{name}_median", f"{scan}_{name}_median_err"] for name in (
                "memorisation_step", "generalisation_step_50", "generalisation_step_95")]
            if f"{scan}_local_exponent" in group:
                stored.append([f"{scan}_local_exponent", f"{scan}_local_exponent_err"])
            stored.append([f"{scan}_steps"])
        for k, row in enumerate(rows):
            known = [float(group[name][k]) for names in stored for name in names]
            assert f"{row[0]:g}" == f"{group[scan][k]:g}", scan  # that line printed the exponent
            known = [x for x in known if np.isfinite(x) and x != 0.0]
            assert row[1:] == pytest.approx(known, rel=0.05), (scan, k)  # errors have two digits


@pytest.mark.slow
def test_the_script_measures_fits_and_draws(call, tmp_path):
    out = tmp_path / "scan"
    ended = call("decay_law", "--quick", "--out", out, "--set", "training.steps=400", "--set",
                 "p=7", "--set", "hidden=[32]")
    assert ended.code == 0, ended.err
    group = read(out / "scan.h5")["decay_law"]
    assert group["decays"].tolist() == [1.2e-3, 3e-3, 6e-3]
    assert group["decays_steps"].tolist() == [1000, 400, 400]
    assert np.isfinite(group["decays_memorisation_step"]).all()
    assert group["fractions_generalisation_step_50"].shape == (4, 4)
    assert np.isfinite(group["norms_train_loss_mean"]).all()
    assert (out / "scan.png").stat().st_size > 10_000
