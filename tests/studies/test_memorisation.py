"""Train and test loss of two-layer networks: data sets, settling times, the script."""

import dataclasses
import math

import numpy as np
import pytest

from phasegrok.cards.library import load
from phasegrok.errors import InputError
from phasegrok.run import runfile
from phasegrok.studies import memorisation

SMALL = {"epsilon": 0.0, "d": 8, "N": 8, "sigma_a2": 1.0, "memorisation_gap.patterns": [40, 640],
         "memorisation_gap.kappa": 2e-3, "memorisation_gap.samples": 3,
         "memorisation_gap.steps": 2000, "memorisation_gap.equilibration": 600}


def test_data_sets_are_different_draws_at_one_kappa():
    points = memorisation.points(load("two-layer-cubic-dataset", SMALL))
    assert [name for name, _ in points] == [f"n={n},sample={k}" for n in (40, 640)
                                            for k in (1, 2, 3)]
    cards = [card for _, card in points]
    for card in cards:
        assert card.parameters.sigma2 / card.parameters.n == pytest.approx(2e-3)
    patterns = [card.arrays["patterns"] for card in cards[:3]]
    assert patterns[0].shape == (40, 8)
    assert not np.allclose(patterns[0], patterns[1]) and not np.allclose(patterns[1], patterns[2])


def test_settling_time_of_a_known_curve():
    time = np.geomspace(0.1, 1000.0, 200)
    loss = 1.0 + 3.0 * np.exp(-time / 5.0)  # within 10 % of 1 from 5 ln 30
    found = memorisation.settling_time(time, loss)
    assert found == pytest.approx(5.0 * math.log(30.0), rel=0.06)
    assert memorisation.settling_time(time, np.ones(200)) == time[0]


def test_course_averages_the_chains_of_a_start():
    series = np.zeros((4, 64, 2))
    series[..., 0] = np.arange(64.0)
    series[2:, :, 0] += 100.0
    group = memorisation.course(series, ("train_loss", "test_loss"),
                                 np.array([False, False, True, True]), 0.5)
    np.testing.assert_allclose(group["train_loss"][1], group["train_loss"][0] + 100.0)
    # record k is at time (k + 1)/2, so that the mean of a bin is 2 t - 1
    np.testing.assert_allclose(group["train_loss"][0], 2.0 * group["time"] - 1.0)


@pytest.mark.parametrize("changes, text", [
    ({"inputs": "population"}, "inputs = drawn"),
    ({"memorisation_gap.equilibration": 9000}, "leaves nothing")])
def test_settings_that_show_no_gap_are_refused(changes, text):
    with pytest.raises(InputError, match=text):
        memorisation.settings(load("two-layer-cubic-dataset", changes))


@pytest.mark.slow  # half a minute of chains
def test_gap_closes_with_patterns(call, tmp_path):
    path = tmp_path / "scan"
    words = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    assert call("memorisation_gap", "two-layer-cubic-dataset", *words, "--out", path).code == 0
    g = runfile.read(path / "scan.h5")["memorisation_gap"]
    gap = 1.0 - g["ratio"]
    # 8 neurons of 9 weights on 40 patterns remember them; on 640 much less so
    assert gap[0] > gap[1] + 4.0 * math.hypot(*g["ratio_err"])
    for name in ("train_loss", "test_loss", "ratio", "residual_3", "droplets", "potential",
                 "train_loss_course", "test_loss_settled"):
        assert f"{name}_err" in g
    assert g["potential_theory"].shape == g["potential"].shape
    assert (path / "scan.png").exists()
    one = runfile.read(path / "n=40,sample=2.h5")
    assert one["chains"]["train_loss"] < one["chains"]["test_loss"]
    assert one["effective_potential"]["count"].sum() > 0


def test_potential_over_data_sets_is_that_of_all_counts():
    """Two data sets whose chains are the same have the potential of each, and no error."""
    @dataclasses.dataclass
    class Run:
        groups: dict

        def __getitem__(self, name):
            return self.groups[name]

    from phasegrok.groups import Group
    from phasegrok.studies.chains import cubic_theory

    card = load("two-layer-cubic-dataset")
    phi = (np.arange(256) + 0.5) * 2.5 / 256
    count = np.round(1e6 * np.exp(-0.5 * (phi / 0.3) ** 2))
    one = Group()
    one.add("order_parameter", phi, "order_parameter", "1", "")
    one.add("count", count, "order_parameter", "1", "")
    one.add("second_sum", 0.4 * count, "order_parameter", "1", "")
    one.add("outside", 0.0, (), "1", "")
    group = Group()
    group.add("patterns", np.array([100]), "patterns", "1", "")
    run = Run({"effective_potential": one})
    theory = cubic_theory(card.parameters, 1e-3, 1000)
    memorisation.add_potentials(group, [[run, run]], [theory], 60)
    use = count > 1000
    exact = 0.5 * (phi / 0.3) ** 2 + math.log(0.3 * math.sqrt(2.0 * math.pi))
    np.testing.assert_allclose(group["potential"][0, use], exact[use], atol=2e-3)
    np.testing.assert_allclose(group["s_mean"][0, use], 0.4)
    np.testing.assert_allclose(group["potential_err"][0, use], 0.0, atol=1e-12)
