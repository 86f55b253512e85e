"""Scans: every point in its own file, shares of an array, a point that fails, the live table."""

import dataclasses
import math

import numpy as np
import pytest

from phasegrok import cards, runfile
from phasegrok.job import Job, Script

SCRIPT = '''"""Energy of the chain at several sizes."""
from dataclasses import dataclass
from phasegrok.experiment import Job, main


@dataclass
class Parameters:
    """None."""


def measure(job: Job) -> None:
    """One size."""
    from phasegrok.protocols import sampling
    protocol = sampling(job.card)
    job.finish(protocol.result(job.drive(protocol)))


def run(job: Job) -> None:
    """All sizes."""
    from phasegrok.runfile import Group
    from phasegrok.scan import Point, map_points
    sizes = [6, 8, 10]
    runs = map_points(job, measure, [Point(f"N={n}", job.card.resized(n)) for n in sizes])
    group = Group()
    group.add("size", sizes, "size", "1", "spins")
    for name in ("energy", "energy_err"):
        group.add(name, [r["averages"][name][0] for r in runs], "size", "energy", name)
    job.finish({"sizes": group})


if __name__ == "__main__":
    main(__doc__, Parameters, run, ["glauber-chain"], __file__, scan=True)
'''
WORDS = ("glauber-chain", "--set", "sample.temperatures=1.5:2.0:2", "--set", "sample.sweeps=2000",
         "--set", "sample.equilibration=200", "--out", "found")


@pytest.fixture
def script(tmp_path):
    """A script of the user's own."""
    path = tmp_path / "sizes.py"
    path.write_text(SCRIPT)
    return path


def energies(folder):
    """Energies of a finished scan, and their z against the ring's exact ones at T = 1.5."""
    run = runfile.read(folder / "found" / "scan.h5")
    assert run.attributes["status"] == "done"
    group = run["sizes"]
    t = np.tanh(1.0 / 1.5)
    exact = np.array([-t * (1.0 + t ** (n - 2)) / (1.0 + t**n) for n in group["size"]])
    return group["energy"], (group["energy"] - exact) / group["energy_err"]


def test_all_points_are_measured_each_in_its_file(call, no_figures, script, tmp_path):
    done = call(script, *WORDS)
    assert done.code == 0, done.err
    _, z = energies(tmp_path)
    assert np.abs(z).max() < 4.0
    for n in (6, 8, 10):
        assert runfile.read(tmp_path / "found" / f"N={n}.h5").attributes["status"] == "done"
    table = call("phasegrok", "status", tmp_path / "found")
    assert table.code == 0 and "N=10" in table.out and "done" in table.out


def test_an_array_does_its_shares_and_the_last_one_ends_the_scan(call, no_figures, script,
                                                                tmp_path):
    """Also: the result is that of one process, to the last bit."""
    first = call(script, *WORDS, "--point", "1/2")
    assert first.code == 0 and not (tmp_path / "found" / "N=8.h5").exists()
    assert call("phasegrok", "status", tmp_path / "found").out.count("1 missing") == 1
    assert call(script, *WORDS, "--point", "2/2").code == 0
    assert call(script, *WORDS).code == 0
    pieces = energies(tmp_path)[0]
    (tmp_path / "found").rename(tmp_path / "before")
    assert call(script, *WORDS).code == 0
    assert np.array_equal(energies(tmp_path)[0], pieces)


def test_a_point_that_is_gone_is_measured_again(call, no_figures, script, tmp_path):
    assert call(script, *WORDS).code == 0
    before = energies(tmp_path)[0]
    (tmp_path / "found" / "N=8.h5").unlink()
    (tmp_path / "found" / "scan.h5").unlink()
    assert call(script, *WORDS).code == 0
    assert np.array_equal(energies(tmp_path)[0], before)


def test_force_of_one_share_leaves_the_others_alone(call, no_figures, script, tmp_path):
    assert call(script, *WORDS, "--point", "1/2").code == 0
    files = [tmp_path / "found" / f"N={n}.h5" for n in (6, 10)]
    before = [file.stat().st_mtime_ns for file in files]
    assert call(script, *WORDS, "--point", "2/2", "--force").code == 0
    assert [file.stat().st_mtime_ns for file in files] == before
    assert runfile.read(tmp_path / "found" / "scan.h5").attributes["status"] == "done"


def test_a_damaged_point_does_not_stop_the_others(call, no_figures, script, tmp_path):
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "N=8.h5").write_bytes(b"not a run file")
    ended = call(script, *WORDS)
    assert ended.code == 1 and "N=8" in ended.err and "Traceback" not in ended.err
    assert runfile.read(tmp_path / "found" / "N=10.h5").attributes["status"] == "done"
    (tmp_path / "found" / "N=8.h5").unlink()
    assert call(script, *WORDS).code == 0


def test_a_task_that_is_late_does_not_overwrite_the_result(script, tmp_path):
    """The task of an array that saw points missing ends after the one that wrote the result."""
    def task(share):
        job = Job(Script("sizes", "", script, script.read_text(), "", False, 60.0, False, False,
                         math.inf, share=share), cards.load("glauber-chain"),
                  dataclasses.make_dataclass("Parameters", [])(), 1, tmp_path / "scan.h5")
        job.open(False, lock=False)
        return job

    late, last = task((1, 2)), task((2, 2))
    last.finish({"sizes": runfile.Group()})
    late.write("interrupted", {})
    assert runfile.read(tmp_path / "scan.h5").attributes["status"] == "done"


def test_the_same_scan_on_worker_processes(call, no_figures, script, tmp_path):
    """On two processes of its own, and twice on the worker of a cluster that runs already."""
    distributed = pytest.importorskip("distributed")
    assert call(script, *WORDS).code == 0
    alone = energies(tmp_path)[0]
    assert call(script, *WORDS, "--force", "--engine", "local", "--workers", "2").code == 0
    assert np.array_equal(energies(tmp_path)[0], alone)
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=True,
                                  dashboard_address=None) as cluster:
        for _ in range(2):
            ended = call(script, *WORDS, "--force", "--engine", cluster.scheduler_address)
            assert ended.code == 0, ended.err
            assert np.array_equal(energies(tmp_path)[0], alone)


@pytest.mark.parametrize("engine, sentence", [
    ("sulrm", "give serial, local, slurm, or the address"),
    ("http://nowhere:1", "http://nowhere:1"),
    ("slurm", "there is no sbatch here"),
])
def test_engines_that_cannot_be_used(call, no_figures, script, engine, sentence):
    ended = call(script, *WORDS, "--engine", engine)
    assert ended.code == 2 and sentence in ended.err and "Traceback" not in ended.err


def test_a_job_of_slurm_runs_one_point_at_a_time():
    pytest.importorskip("dask_jobqueue")
    import dask

    from phasegrok import workers

    settings = {"jobqueue.slurm.cores": 8, "jobqueue.slurm.memory": "4GB",
                "jobqueue.slurm.walltime": "01:00:00", "jobqueue.slurm.processes": 4,
                "jobqueue.slurm.job-script-prologue": ["module load python"]}
    with dask.config.set(settings), workers.slurm_cluster() as cluster:
        text = cluster.job_script()
    lines = text.splitlines()
    assert "#SBATCH --cpus-per-task=8" in lines and "#SBATCH -t 01:00:00" in lines
    assert "module load python" in lines
    assert any(line.startswith("export PYTHONPATH=") for line in lines)
    command = lines[-1].split()
    assert command[len(command) - 1 - command[::-1].index("--nthreads") + 1] == "1"
    assert "--nworkers" not in command or command[command.index("--nworkers") + 1] == "1"
