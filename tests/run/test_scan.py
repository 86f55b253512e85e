"""Scans: every point in its own file, shares of an array, a point that fails, the live table."""

import dataclasses
import math
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from repository import EXPERIMENTS

from phasegrok import cards
from phasegrok.groups import Group
from phasegrok.run import runfile, stopping
from phasegrok.run.job import Job
from phasegrok.run.lock import Lock
from phasegrok.run.point import Scan, Watch
from phasegrok.run.script import Script

SCRIPT = '''"""Energy of the chain at several sizes."""
from dataclasses import dataclass
from phasegrok.experiment import Job, main


@dataclass
class Parameters:
    """None."""


def measure(job: Job) -> None:
    """One size."""
    from phasegrok.studies.sampling import sampling
    protocol = sampling(job.card)
    job.finish(protocol.result(job.drive(protocol)))


def run(job: Job) -> None:
    """All sizes, in two stages."""
    from phasegrok.run.runfile import Group
    from phasegrok.run.scan import Point, map_points
    sizes = [6, 8, 10]
    runs = [run for stage in (sizes[:2], sizes[2:]) for run in
            map_points(job, measure, [Point(f"N={n}", job.card.resized(n)) for n in stage])]
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


@pytest.mark.parametrize("task", ["2/2", "3/3"])
def test_one_task_of_an_array_alone_does_all_stages(call, no_figures, script, tmp_path,
                                                    differences, task):
    """As the others never come; also: the result is that of one process, to the last bit."""
    assert call(script, *WORDS).code == 0
    (tmp_path / "found").rename(tmp_path / "serial")
    assert call(script, *WORDS, "--point", task).code == 0
    again = call(script, *WORDS, "--point", "1/2")
    assert again.code == 0 and "finished" in again.err
    for path in (tmp_path / "serial").glob("*.h5"):
        assert differences(path, tmp_path / "found" / path.name) == []


@pytest.fixture
def held(tmp_path):
    """The lock of point N=8, as another process holds it that runs it."""
    lock = Lock(tmp_path / "found" / "N=8.h5")
    lock.acquire()
    yield lock
    lock.release()


@pytest.fixture
def while_waiting(monkeypatch):
    """``while_waiting(action)``: it happens once a task waits for points of others."""
    def arrange(action, *arguments):
        update = Watch.update

        def acting(self):
            update(self)
            action(*arguments)

        monkeypatch.setattr(Watch, "update", acting)

    return arrange


def test_a_task_waits_for_a_point_that_another_process_runs(call, no_figures, script, tmp_path,
                                                            held, while_waiting):
    """And runs it once that process is gone without having done it."""
    while_waiting(held.release)
    ended = call(script, *WORDS, "--point", "1/2")
    assert ended.code == 0 and "waiting for N=8" in ended.err
    assert "1 of 2 points done" in ended.err  # the progress line
    _, z = energies(tmp_path)
    assert np.abs(z).max() < 4.0


def test_a_task_that_waits_answers_signals(call, no_figures, script, held, while_waiting):
    while_waiting(signal.raise_signal, signal.SIGTERM)
    ended = call(script, *WORDS, "--point", "1/2")
    assert ended.code == 3
    assert ended.err.splitlines()[-1] == (
        f"interrupted; continue with: python {script} --resume found/scan.h5")
    stopping.received.clear()
    held.release()
    assert call(script, "--resume", "found/N=6.h5").code == 0  # any of its files stands for it


def test_a_task_that_waits_ends_before_its_time_is_over(call, no_figures, script, held,
                                                        while_waiting, monkeypatch):
    while_waiting(monkeypatch.setattr, Job, "wall_is_over", lambda job, block_seconds=0.0: True)
    assert call(script, *WORDS, "--point", "1/2", "--wall", "01:00:00").code == 3


def test_a_point_that_failed_in_another_task_is_not_tried_again(call, no_figures, script,
                                                                tmp_path):
    """While the array runs; a later call tries it again."""
    good = script.read_text()
    script.write_text(good.replace('"""One size."""', """
    with open("tried", "a") as file:
        file.write(job.path.stem + " ")
    if job.path.stem == "N=8":
        raise ValueError("not this one")"""))
    assert call(script, *WORDS, "--point", "2/2").code == 1
    tried = (tmp_path / "tried").read_text()
    assert sorted(tried.split()) == ["N=6", "N=8"]  # the next stage is not begun
    path = tmp_path / "found" / "N=8.h5"
    found = runfile.read(path, with_state=True)
    runfile.write(path, dataclasses.replace(
        found, attributes=found.attributes | {"updated": time.time() + 1000.0}))
    ended = call(script, *WORDS, "--point", "1/2")  # a task that began before that moment
    assert ended.code == 1 and "N=8: ValueError: not this one" in ended.errors[0]
    assert (tmp_path / "tried").read_text() == tried
    runfile.write(path, found)
    assert call(script, *WORDS, "--point", "1/2").code == 1
    assert (tmp_path / "tried").read_text() == tried + "N=8 "


DIAGRAM = ("ising-2d", *(word for value in (
    "values=[-0.1,0.0,0.1,0.2]", "sizes=[4,6]", "sweeps=2000", "equilibration=200", "replicas=4",
    "temperatures=1.8:2.9:5") for word in ("--set", f"phase_diagram.{value}")))


def start(folder, name, *words):
    """A phase diagram in a process of its own."""
    return subprocess.Popen(
        [sys.executable, str(EXPERIMENTS / "phase_diagram.py"), *DIAGRAM, "--out", name,
         "--checkpoint", "0.05", *words], cwd=folder, stderr=subprocess.PIPE, text=True,
        stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def whole_diagram(tmp_path_factory):
    """The folder in which one process has made a phase diagram."""
    folder = tmp_path_factory.mktemp("diagram")
    process = start(folder, "serial")
    assert process.communicate()[1] is not None and process.returncode == 0
    return folder


def compare_diagrams(folder, name, differences):
    """Every run file of a diagram with the serial one's."""
    names = {path.name for path in (folder / "serial").glob("*.h5")}
    assert len(names) >= 9 and {path.name for path in (folder / name).glob("*.h5")} == names
    for file in names:
        assert differences(folder / name / file, folder / "serial" / file) == [], file
    assert not list((folder / name).glob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize("pauses", [(0.0, 0.0), (0.0, 2.0), (0.0, 1.0, 4.0), (0.0, 30.0)])
def test_tasks_of_an_array_make_a_phase_diagram(whole_diagram, differences, pauses):
    """Two or three, begun at different times, the last perhaps when all is done."""
    name = f"pauses-{'-'.join(map(str, pauses))}"
    begin, tasks = time.monotonic(), []
    for k, pause in enumerate(pauses):
        time.sleep(max(0.0, begin + pause - time.monotonic()))
        tasks.append(start(whole_diagram, name, "--point", f"{k + 1}/{len(pauses)}"))
    for task in tasks:
        text = task.communicate()[1]
        assert task.returncode == 0, text
    compare_diagrams(whole_diagram, name, differences)


@pytest.mark.slow
@pytest.mark.parametrize("restarted", [True, False])
@pytest.mark.parametrize("file", ["h=-0.1-L=4.h5", "h=-0.1-L=6.h5"])
def test_a_task_of_an_array_is_killed(whole_diagram, differences, file, restarted):
    """In either stage, and started again or not: the others take over what it left."""
    name = f"killed-{file}-{restarted}"
    first, second = (start(whole_diagram, name, "--point", f"{i}/2") for i in (1, 2))
    while not (whole_diagram / name / file).exists():
        time.sleep(0.01)
    first.kill()
    first.communicate()
    tasks = [second] + [start(whole_diagram, name, "--point", "1/2")] * restarted
    for task in tasks:
        text = task.communicate()[1]
        assert task.returncode == 0, text
    compare_diagrams(whole_diagram, name, differences)


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
    (tmp_path / "found" / "N=6.h5").write_bytes(b"not a run file")
    ended = call(script, *WORDS)
    assert ended.code == 1 and "N=6" in ended.err and "Traceback" not in ended.err
    assert runfile.read(tmp_path / "found" / "N=8.h5").attributes["status"] == "done"
    (tmp_path / "found" / "N=6.h5").unlink()
    assert call(script, *WORDS).code == 0


def task_of(script, folder, share) -> Job:
    """One task of an array, with the main file of its scan open."""
    job = Job(Script("sizes", "", script, script.read_text(), "", False, 60.0, False, False,
                     math.inf, share=share), cards.load("glauber-chain"),
              dataclasses.make_dataclass("Parameters", [])(), 1, folder / "scan.h5")
    job.open(False, lock=False)
    return job


def test_a_task_that_is_late_does_not_overwrite_the_result(script, tmp_path):
    """The task of an array that saw points missing ends after the one that wrote the result."""
    late, last = (task_of(script, tmp_path, (k, 2)) for k in (1, 2))
    last.finish({"sizes": Group()})
    late.write("interrupted", {})
    assert runfile.read(tmp_path / "scan.h5").attributes["status"] == "done"


def test_no_task_writes_between_the_look_and_the_write_of_another(script, tmp_path,
                                                                  monkeypatch):
    """A task that is about to say that it runs, when another publishes the result."""
    late, last = (task_of(script, tmp_path, (k, 2)) for k in (1, 2))
    write, about_to_write = runfile.write, threading.Event()

    def slow_write(path, run):
        if run.attributes["status"] == "running":
            about_to_write.set()
            time.sleep(0.3)
        write(path, run)

    monkeypatch.setattr(runfile, "write", slow_write)
    other = threading.Thread(target=late.alive)
    other.start()
    about_to_write.wait()
    last.finish({"sizes": Group()})
    other.join()
    assert runfile.read(tmp_path / "scan.h5").attributes["status"] == "done"
    before = (tmp_path / "scan.h5").read_bytes()
    late.finish({"sizes": Group()})
    assert late.done and (tmp_path / "scan.h5").read_bytes() == before  # one result


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


def listening(process) -> list[str]:
    """Addresses on which a process listens."""
    return [c.laddr.ip for c in process.net_connections() if c.status == "LISTEN"]


def test_workers_of_this_machine_are_closed_to_others(script, tmp_path, monkeypatch):
    """Every port of scheduler and workers is on the loopback interface, and asks for a key."""
    distributed = pytest.importorskip("distributed")
    pytest.importorskip("cryptography")
    psutil = pytest.importorskip("psutil")
    from phasegrok.run import workers

    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here" / "dask.py").write_text("raise RuntimeError('not of ours')")
    job = Job(Script("sizes", "", script, script.read_text(), "", False, 60.0, False, False),
              cards.load("glauber-chain"), dataclasses.make_dataclass("Parameters", [])(), 1,
              tmp_path / "scan.h5")
    before = listening(psutil.Process())
    with workers.open_engine("local", Scan(job, print, []), 2, 2) as engine:
        engine.client.wait_for_workers(2, timeout=120)
        children = psutil.Process().children(recursive=True)
        ports = [listening(process) for process in children]
        assert sum(map(bool, ports)) == 2 and len(listening(psutil.Process())) > len(before)
        for address in [*listening(psutil.Process()), *(a for some in ports for a in some)]:
            assert address in ("127.0.0.1", "::1")
        for process in children:  # keys are neither in its words nor in its environment
            assert "PRIVATE KEY" not in " ".join([*process.cmdline(), *process.environ().values()])
        addresses = [engine.client.scheduler.address, *engine.client.scheduler_info()["workers"]]
        assert len(addresses) == 3
        for address in addresses:
            assert address.startswith("tls://127.0.0.1:")
            with pytest.raises((OSError, TypeError)):
                distributed.Client(address.replace("tls", "tcp"), timeout="2s")
            with pytest.raises((OSError, TypeError)):  # keys of somebody else
                distributed.Client(address, timeout="2s", security=workers.credentials())
        assert engine.client.submit(int, "7").result(timeout=60) == 7


@pytest.mark.parametrize("engine, sentence", [
    ("sulrm", "give serial, local, slurm, or the address"),
    ("http://nowhere:1", "http://nowhere:1"),
    ("slurm", "there is no sbatch here"),
])
def test_engines_that_cannot_be_used(call, no_figures, script, engine, sentence):
    ended = call(script, *WORDS, "--engine", engine)
    assert ended.code == 2 and sentence in ended.err and "Traceback" not in ended.err


def test_a_job_of_slurm_runs_one_point_at_a_time(tmp_path):
    pytest.importorskip("dask_jobqueue")
    import dask

    from phasegrok.run import workers

    settings = {"jobqueue.slurm.cores": 8, "jobqueue.slurm.memory": "4GB",
                "jobqueue.slurm.walltime": "01:00:00", "jobqueue.slurm.processes": 4,
                "jobqueue.slurm.job-script-prologue": ["module load python"]}
    with dask.config.set(settings), workers.slurm_cluster(tmp_path) as cluster:
        text = cluster.job_script()
        assert cluster.scheduler_address.startswith("tls://")
        keys = list(tmp_path.glob(".*worker*"))
        assert len(keys) == 3 and all(path.stat().st_mode & 0o77 == 0 for path in keys)
    lines = text.splitlines()
    assert "#SBATCH --cpus-per-task=8" in lines and "#SBATCH -t 01:00:00" in lines
    assert "module load python" in lines
    assert any(line.startswith("export PYTHONPATH=") for line in lines)
    command = lines[-1].split()
    assert command[len(command) - 1 - command[::-1].index("--nthreads") + 1] == "1"
    assert "--nworkers" not in command or command[command.index("--nworkers") + 1] == "1"
