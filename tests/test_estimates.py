"""No estimator costs the data: a run whose analysis fails keeps what it measured, and says why."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from phasegrok import cards, figures
from phasegrok.errors import InputError
from phasegrok.estimates import NOT_ESTIMATED, estimated
from phasegrok.groups import Group
from phasegrok.run import runfile
from phasegrok.run.job import Job
from phasegrok.run.script import Script
from phasegrok.studies import nucleation
from phasegrok.studies.density_of_states import density_of_states, potential_groups
from phasegrok.studies.finite_size import finite_size_scaling
from phasegrok.studies.sampling import sampling, sampling_groups
from phasegrok.studies.waiting_times import add_waiting_statistics
from phasegrok.thermodynamics import averages, reweighting, tables
from phasegrok.thermodynamics.zero_temperature import annealed


@dataclasses.dataclass
class State:
    number: int
    sums: np.ndarray


class Counting:
    """A protocol of ten steps, whose result fails up to and including ``fails_at``."""

    unit = "steps"

    def __init__(self, fails_at: int):
        self.fails_at = fails_at

    def memory(self):
        return 0

    def total(self):
        return 10

    def done(self, state):
        return state.number

    def status(self, state):
        return ""

    def init(self, seed):
        return State(0, np.zeros(3))

    def restore(self, saved):
        return State(int(saved["number"]), saved["sums"])

    def advance(self, state, n):
        state.number += 1
        state.sums += state.number

    def result(self, state):
        if state.number <= self.fails_at:
            raise ArithmeticError("the equations did not converge")
        group = Group()
        group.add("k", np.arange(3), "k")
        group.add("sums", state.sums, "k", "1", "sums")
        return {"counted": group}


@pytest.fixture
def job(tmp_path):
    """A job on one file, opened anew at each call."""
    script = Script("sample", "", Path(__file__), "", "", False, 1e-9, False, False)

    def opened():
        job = Job(script, cards.load("glauber-chain"), dataclasses.make_dataclass("None_", [])(), 1,
                  tmp_path / "x.h5")
        job.silent = True
        job.open(False)
        return job

    return opened


def test_a_finished_run_whose_analysis_fails_is_kept(job, tmp_path):
    first, failing = job(), Counting(10)
    with pytest.raises(ArithmeticError):
        try:
            first.finish(failing.result(first.drive(failing)))
        finally:
            first.close()
    run = runfile.read(tmp_path / "x.h5", with_state=True)
    assert run.attributes["status"] == "interrupted" and run.attributes["done_share"] == 1.0
    np.testing.assert_array_equal(run.state["sums"], [55.0, 55.0, 55.0])
    again, mended = job(), Counting(0)
    mended.advance = lambda state, n: pytest.fail("measured again")
    again.finish(mended.result(again.drive(mended)))
    again.close()
    run = runfile.read(tmp_path / "x.h5")
    assert run.attributes["status"] == "done" and run["counted"]["sums"][0] == 55.0


def test_results_that_cannot_be_had_yet_do_not_stop_a_run(job, tmp_path, monkeypatch):
    """Checkpoints are written after every step here, those of the first five without results."""
    run, late, seen = job(), Counting(5), []
    monkeypatch.setattr(run, "interval", lambda: 0.0)
    write = runfile.write
    monkeypatch.setattr(runfile, "write", lambda path, file: (seen.append(file), write(path, file)))
    run.finish(late.result(run.drive(late)))
    run.close()
    assert len(seen) == 11
    assert ["counted" in file for file in seen] == 5 * [False] + 6 * [True]
    assert "did not converge" in seen[2][NOT_ESTIMATED].attributes["results so far"]


def test_what_is_not_estimated_is_said():
    groups = {}
    assert estimated(groups, "the mean", lambda: 3.0) == 3.0 and groups == {}
    assert estimated(groups, "the mean", lambda: 1 // 0) is None
    run = runfile.RunFile({}, groups)
    assert "not estimated: the mean: " in figures.summary(run)
    with pytest.raises(TypeError):  # a fault of the code is no fault of the numbers
        estimated(groups, "the mean", lambda: None + 1)


def failing(*arguments, **settings):
    raise ArithmeticError("does not converge")


@pytest.mark.parametrize("module, estimator, missing", [
    (reweighting, "reweighted_group", {"reweighted"}),
    (averages, "equilibration", {"averages", "equilibration", "reweighted"}),
])
def test_sampling_without_an_estimator(monkeypatch, module, estimator, missing):
    card = cards.load("curie-weiss-p3", {"parameters.N": 6, "sample.replicas": 8,
                                         "sample.sweeps": 300, "sample.equilibration": 50,
                                         "sample.temperatures": "1, 2"})
    protocol = sampling(card)
    state = protocol.init(1)
    protocol.advance(state, protocol.total())
    whole = sampling_groups(card, protocol, state)
    assert NOT_ESTIMATED not in whole
    monkeypatch.setattr(module, estimator, failing)
    groups = sampling_groups(card, protocol, state)
    assert groups.keys() == whole.keys() - missing | {NOT_ESTIMATED}
    assert list(groups[NOT_ESTIMATED].attributes.values()) == ["does not converge"]
    if "averages" in groups:
        np.testing.assert_array_equal(groups["averages"]["energy"], whole["averages"]["energy"])


def test_landscapes_without_an_estimator(monkeypatch):
    card = cards.load("curie-weiss-p3", {"parameters.N": 6})
    protocol = density_of_states(card, 400, 2, "wang-landau", joint=True)
    state = protocol.init(1)
    while protocol.done(state) < protocol.total():
        protocol.advance(state, 400)
    monkeypatch.setattr(tables, "effective_potential", failing)
    groups = potential_groups(protocol, state, np.array([1.0, 1.5]))
    assert groups.keys() == {"density_of_states", "thermodynamics", NOT_ESTIMATED}


def test_finite_size_scaling_of_sizes_that_do_not_overlap():
    """Histograms of both temperatures of a size have no energy in common: a reason, no end."""
    series, averaged = Group(attributes={"every": 1, "n_sites": 9}), Group()
    series.add("temperature", [0.1, 9.0], "temperature")
    energy = np.stack([np.full((4, 60), -18.0), np.full((4, 60), 2.0)])
    series.add("energy", energy, ("temperature", "replica", "sweep"))
    series.add("order_parameter", 0.0 * energy + 0.5, ("temperature", "replica", "sweep"))
    for name in ("tau_energy", "tau_order_parameter"):
        averaged.add(name, [0.5, 0.5], "temperature")
    card = cards.load("ising-2d", {"finite_size.sizes": [3, 4, 6]})
    runs = 3 * [runfile.RunFile({}, {"series": series, "averages": averaged})]
    groups, collapsed = finite_size_scaling(card, runs)
    assert collapsed is None and groups.keys() == {NOT_ESTIMATED}
    assert "add temperatures there" in groups[NOT_ESTIMATED].attributes["finite-size scaling"]


def test_annealed_averages_where_no_student_is_right():
    """ln 0 is minus infinity: no error of the range of logarithms."""
    R = np.array([-1.0, 0.0, 1.0])
    (entropy, _), (error, _) = annealed(np.full((3, 2, 3), -np.inf), R)
    assert entropy == -np.inf and np.isnan(error)


def test_waiting_times_of_clones_that_all_broke():
    group = Group()
    for name in ("time", "censored", "broken_step"):
        group.add(name, np.ones(4), "clone")
    groups = {}
    from phasegrok.accounts.components import analyse

    add_waiting_statistics(group, estimated(groups, "t", lambda: analyse(group)), "steps")
    assert np.isnan(group["tau"]) and np.isnan(group["p_value"])


def test_too_few_records_are_refused_before_they_are_made():
    card = cards.load("two-layer-cubic-nucleation", {"nucleation.steps": 1100})

    class Never:
        card = None

        def drive(self, *arguments):
            pytest.fail("was driven")

    Never.card = card
    with pytest.raises(InputError, match="too few records"):
        nucleation.measure_chains(Never())
