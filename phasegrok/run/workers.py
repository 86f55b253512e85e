"""Points of a scan on worker processes, by dask.distributed; the only module that imports it.

The scheduler's word is not trusted: a worker, its node or the scheduler may die at any moment, and
what counts is what the files say.  A task whose worker died is run again by the scheduler; one that
the scheduler gave up or lost is submitted again by the driver.

dask runs any function that is sent to its ports.  So a scheduler of ours and its workers talk by
TLS alone, with keys made for this scan; those of the local engine listen on the loopback interface,
which other users of a machine reach too; and none serves pages.
"""

import asyncio
import contextlib
import dataclasses
import importlib
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import types
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
from distributed import Client, KilledWorker, LocalCluster, Worker, WorkerPlugin
from distributed.comm import CommClosedError
from distributed.security import Security

from phasegrok import cards, compiled
from phasegrok.errors import InputError
from phasegrok.rng import point_seed
from phasegrok.run import stopping
from phasegrok.run.job import Job
from phasegrok.run.point import (
    BUSY,
    DONE,
    FAILED,
    INTERRUPTED,
    Point,
    Scan,
    Watch,
    attempt,
    source_of,
)
from phasegrok.run.script import Script
from phasegrok.run.stopping import Interrupted, Unfinished
from phasegrok.text import printable
from phasegrok.trust import REPOSITORY

_POLL_SECONDS = 0.2
_RETRY_SECONDS = 2.0  # before a point that was busy or interrupted is submitted again
_LOST_SECONDS = 15.0  # without a scheduler, before the driver asks for a new one
_STOP_SECONDS = 30.0  # that workers are given for their checkpoints
_MOST_ERRORS = 10  # workers in a row that end soon after their start before the scan gives up
_YOUNG_SECONDS = 10.0
_CLOSE_SECONDS = 8.0  # that the end of workers and driver takes, of the wall time
_LOOPBACK = "127.0.0.1"
_NO_PAGES: dict[str, Any] = {"distributed.scheduler.http.routes": [],
                             "distributed.worker.http.routes": []}
_DASK = _NO_PAGES | {
    # a task killed a few times took innocent ones that only waited in the same worker with it
    "distributed.scheduler.allowed-failures": 1_000_000,
    "distributed.scheduler.worker-saturation": 1.0,  # a point waits where any worker can take it
    "distributed.comm.timeouts.connect": "20s",
    "distributed.admin.large-graph-warning-threshold": "1GB",
}


# --- in a worker ----------------------------------------------------------------------------------

_withdrawn: set[str] = set()  # scans whose driver wants their points to stop
_closing = threading.Event()  # this worker is to end
_running: set[str] = set()


def withdraw(token: str) -> None:
    """Let the points of one driver's scan stop at a checkpoint."""
    _withdrawn.add(token)


def _leave() -> None:
    """End this process once its points are at a checkpoint; their outcome is handed over before."""
    _closing.set()
    had = bool(_running)
    while _running:
        time.sleep(0.05)
    time.sleep(0.5 * had)
    os._exit(stopping.EXIT_INTERRUPTED)


def _answer_signals() -> None:
    """SIGTERM means: a checkpoint of the running points, and the end.  Ctrl-C is the driver's."""
    def note(_number, _frame):
        threading.Thread(target=_leave, daemon=True).start()

    with contextlib.suppress(ValueError):  # a worker that is a thread of somebody's process
        signal.signal(signal.SIGTERM, note)
        signal.signal(signal.SIGINT, signal.SIG_IGN)


class Answers(WorkerPlugin):
    """A worker's answers to signals, and to the end that its nanny or a lost scheduler brings."""

    name = "phasegrok-answers"
    idempotent = True  # else a second scan on the same workers would end them

    def setup(self, worker):  # noqa: ARG002
        """Called in every worker, also in one that starts later."""
        _answer_signals()

    def teardown(self, worker):  # noqa: ARG002
        """The running points write their checkpoints."""
        _closing.set()


def serve(address: str, driver: int) -> None:
    """A worker process of the local engine; ends, after a checkpoint, when its driver does.

    Its credentials come by the standard input, which nobody else can read.
    """
    _answer_signals()
    security = Security(require_encryption=True, **json.load(sys.stdin))

    def watch_driver():
        while os.getppid() == driver:
            time.sleep(0.5)
        _leave()

    threading.Thread(target=watch_driver, daemon=True).start()
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # deaths are no news here

    async def work():
        async with Worker(address, nthreads=1, memory_limit=0, dashboard=False, host=_LOOPBACK,
                          security=security) as worker:
            await worker.finished()

    with contextlib.suppress(OSError), dask.config.set(_NO_PAGES):  # no scheduler any more
        asyncio.run(work())
    _leave()


def run_point(task: dict[str, Any]) -> tuple[str, str]:
    """Run one point in a worker; see :func:`phasegrok.run.point.attempt`."""
    try:
        return _run_point(task)
    except SystemExit as end:  # of a card or a script without `if __name__`; dask would end with it
        return FAILED, f"the code of its script or card ended the process (SystemExit: {end.code})"


def _run_point(task: dict[str, Any]) -> tuple[str, str]:
    slots = task["slots"].get(socket.gethostname(), task["slots"].get("", 1))
    cores = len(os.sched_getaffinity(0))
    compiled.use_threads(max(1, cores // slots))
    script = Script(**task["script"])
    folder = str(script.path.parent)
    if folder not in sys.path:
        sys.path.append(folder)
    measure = _named(task["measure"], script)
    parameters = _named(task["parameters"]["class"], script)(**task["parameters"]["values"])
    card = cards.from_text(task["card"]["text"], Path(task["card"]["folder"]),
                           arrays=task["card"]["arrays"], trust=True)  # as its driver did
    card.trusted = task["card"]["trusted"]
    run = Job(script, card, parameters, task["seed"], Path(task["path"]),
              part_of=Path(task["part_of"]), extra=task["extra"])
    if run.run_id != task["run_id"]:
        return FAILED, ("its worker has another version of phasegrok, or of the card's code: start "
                        "the workers anew")
    run.silent = True
    token = task["token"]
    run.withdrawn = lambda: _closing.is_set() or token in _withdrawn
    if run.withdrawn() or run.wall_is_over():
        return INTERRUPTED, ""
    _running.add(task["path"])
    try:
        return attempt(run, measure)
    finally:
        _running.discard(task["path"])


_scripts: dict[str, types.ModuleType] = {}


def _named(where: dict[str, str], script: Script):
    """A function or class of a module; what the script itself defines is made from its source."""
    if where["module"] != "__main__":
        found = importlib.import_module(where["module"])
    else:
        found = _scripts.get(script.sha256) or _module_of(script)
    for part in where["name"].split("."):
        found = getattr(found, part)
    return found


def _module_of(script: Script) -> types.ModuleType:
    # the text that the driver read: the file may have been edited meanwhile
    name = f"phasegrok_script_{script.name}"
    module = types.ModuleType(name)
    module.__file__ = str(script.path)
    sys.modules[name] = module  # dataclasses look their module up
    exec(compile(script.text, str(script.path), "exec"), module.__dict__)
    _scripts[script.sha256] = module
    return module


# --- in the driver --------------------------------------------------------------------------------


def run(scan: Scan, pending: list[Point], engine: str, workers: int) -> dict[str, str]:
    """Run points on worker processes until each is done or failed by itself.

    Parameters
    ----------
    scan : Scan
    pending : list of Point
        Those that are not done.
    engine : str
        ``local``, ``slurm`` or an address.
    workers : int
        Worker processes; 0: for ``local`` one a core, for ``slurm`` one a point.

    Returns
    -------
    dict
        Sentences on the points that failed.

    Raises
    ------
    Interrupted
        After a signal or at the end of the wall time.
    InputError
        If the engine cannot be started.
    """
    driver = Driver(scan, pending)
    watch = Watch(scan)
    first = True
    while driver.left():
        if scan.stops():
            raise Interrupted(scan.job.path)
        try:
            with open_engine(engine, scan, len(pending), workers) as running:
                first = False
                driver.drive(running, watch)
        except OSError as error:  # no scheduler there (any more)
            if first:
                raise InputError(f"--engine {engine}: no scheduler answers: {error}") from error
            print(f"\nno scheduler: {error}; trying again", file=sys.stderr, flush=True)
            time.sleep(_RETRY_SECONDS)
    watch.close(f"{len(scan.points) - len(driver.failures)} of {len(scan.points)} points done")
    return driver.failures


@dataclasses.dataclass
class Engine:
    """A scheduler's client, how many tasks share each host's cores, and what keeps workers up."""

    client: Client
    slots: dict[str, int]
    mend: Callable[[], None] = lambda: None


@contextlib.contextmanager
def open_engine(name: str, scan: Scan, points: int, workers: int) -> Iterator[Engine]:
    """A scheduler by the name of the command line, and what keeps its workers up, until the end."""
    with dask.config.set(_DASK), contextlib.ExitStack() as stack:
        if name == "local":
            n = min(points, workers or compiled.n_threads())
            security = credentials()
            cluster: Any = stack.enter_context(LocalCluster(
                n_workers=0, host=_LOOPBACK, dashboard_address=None, security=security,
                silence_logs=logging.CRITICAL))
            crew = stack.enter_context(
                Crew(cluster.scheduler_address, n, scan.job.script.path, security))
            slots, mend = {"": n}, crew.mend
        elif name == "slurm":
            if shutil.which("sbatch") is None:
                raise InputError("--engine slurm: there is no sbatch here; run this on a login "
                                 "node of the cluster")
            cluster = stack.enter_context(slurm_cluster(scan.job.path.parent))
            n = min(points, workers or points)
            cluster.adapt(minimum=n, maximum=n)  # adapting, it replaces jobs that ended
            slots, mend = {"": 1}, Engine.mend
        else:
            cluster, slots, mend = name, {}, Engine.mend
        try:
            client = stack.enter_context(Client(cluster, set_as_default=False, timeout="20s"))
        except ValueError as error:
            raise InputError(f"--engine {name}: {error}") from error
        client.register_plugin(Answers())
        yield Engine(client, slots or _slots(client), mend)


def credentials() -> Security:
    """A key and a certificate of a cluster's own, which live as long as it does.

    Raises
    ------
    InputError
        If what makes them is missing.
    """
    try:
        return Security.temporary()
    except ImportError as error:
        raise InputError("--engine: worker processes need the package cryptography, which is not "
                         'installed: pip install "phasegrok[cluster]", or in a clone pip install '
                         '-e ".[cluster]"') from error


class Crew:
    """Worker processes of the local engine, which are replaced when they die.

    dask's own keeper gives a worker up that dies while it starts, and it runs the user's script
    again in every worker.
    """

    def __init__(self, address: str, n: int, script: Path, security: Security):
        # -P: modules of the folder in which the command was called are none of ours
        self._words = [sys.executable, "-P", "-c",
                       "from phasegrok.run.workers import serve; "
                       f"serve({address!r}, {os.getpid()})"]
        paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", ""), str(script.parent)]
        single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._environment = os.environ | single | {
            "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
        keys = security.get_tls_config_for_role("worker")
        self._credentials = json.dumps({
            "tls_ca_file": keys["ca_file"], "tls_worker_cert": keys["cert"],
            "tls_worker_key": keys["key"]}).encode()
        self._began = [0.0] * n
        self._processes = [self._start(k) for k in range(n)]
        self._errors = 0

    def _start(self, k: int) -> subprocess.Popen:
        self._began[k] = time.monotonic()
        process = subprocess.Popen(self._words, env=self._environment, stdin=subprocess.PIPE)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin:  # mend() sees that it has died
            process.stdin.write(self._credentials)
        return process

    def mend(self) -> None:
        """Replace those that have died.

        Raises
        ------
        Unfinished
            If they cannot live at all, which their own messages explain.
        """
        for k, process in enumerate(self._processes):
            code = process.poll()
            if code is None:
                continue
            how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
            print(f"\na worker process {how}; another takes its place", file=sys.stderr,
                  flush=True)
            young = time.monotonic() - self._began[k] < _YOUNG_SECONDS
            self._errors = self._errors + 1 if young else 0
            if self._errors > _MOST_ERRORS:
                raise Unfinished([f"worker processes cannot live: the last one {how}, see above"])
            self._processes[k] = self._start(k)

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, kind, error, trace) -> None:
        """Running points write a checkpoint, unless it is to end at once."""
        for process in self._processes:
            if process.poll() is None:
                process.kill() if kind is KeyboardInterrupt else process.terminate()
        end = time.monotonic() + _STOP_SECONDS
        for process in self._processes:
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def slurm_cluster(folder: Path):
    """A Slurm cluster after the user's dask configuration (``~/.config/dask/jobqueue.yaml``).

    One job is one worker process, which runs one point at a time with all cores of the job; with
    several processes dask would not see which of them ended with a job.  The workers' credentials
    lie in ``folder``, readable by the user alone, while the driver lives.

    Raises
    ------
    InputError
        If dask-jobqueue is missing or its configuration lacks what Slurm needs.
    """
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError as error:
        raise InputError("--engine slurm: needs dask-jobqueue, which is not installed: "
                         'pip install "phasegrok[cluster]", or in a clone pip install -e '
                         '".[cluster]"') from error
    prologue = list(dask.config.get("jobqueue.slurm.job-script-prologue", []) or [])
    prologue.append(f'export PYTHONPATH="{REPOSITORY}${{PYTHONPATH:+:$PYTHONPATH}}"')
    prologue += [f"export DASK_{key.upper().replace('.', '__')}='[]'" for key in _NO_PAGES]
    arguments = [*(dask.config.get("jobqueue.slurm.worker-extra-args", []) or []), "--nthreads",
                 "1", "--no-dashboard"]
    folder.mkdir(parents=True, exist_ok=True)
    scheduler = {"dashboard_address": f"{_LOOPBACK}:0"} | (
        dask.config.get("jobqueue.slurm.scheduler-options", {}) or {})
    try:
        return SLURMCluster(processes=1, job_script_prologue=prologue, security=credentials(),
                            shared_temp_directory=str(folder.resolve()),
                            worker_extra_args=arguments, scheduler_options=scheduler)
    except ValueError as error:
        raise InputError(f"--engine slurm: {error}; write it into ~/.config/dask/jobqueue.yaml, as "
                         "docs/scans.md shows") from error


def _slots(client) -> dict[str, int]:
    """Threads of all workers of each host of somebody's cluster; points share its cores so."""
    found: dict[str, int] = {}
    hosts = client.run(socket.gethostname)
    for address, worker in client.scheduler_info(n_workers=-1)["workers"].items():
        if address in hosts:
            found[hosts[address]] = found.get(hosts[address], 0) + int(worker["nthreads"])
    return found


class Driver:
    """Submits points, takes their outcomes, and submits again what is neither done nor failed."""

    def __init__(self, scan: Scan, pending: list[Point]):
        self.failures: dict[str, str] = {}
        self._scan = scan
        self._token = uuid.uuid4().hex
        self._points = {point.name: point for point in pending}
        self._due = dict.fromkeys(self._points, 0.0)  # when to submit
        self._futures: dict[str, Any] = {}
        self._order = {name: k for k, name in enumerate(self._points)}

    def left(self) -> bool:
        """Whether points are neither done nor failed."""
        return bool(self._points)

    def drive(self, engine: Engine, watch: Watch) -> None:
        """Until nothing is left, or the scheduler is gone.

        Raises
        ------
        Interrupted
            After a signal or at the end of the wall time, once workers wrote their checkpoints.
        """
        client, lost_since = engine.client, None
        self._futures = {}
        self._due = dict.fromkeys(self._points, 0.0)
        while self._points:
            if self._scan.stops():
                self._stop(client)
                raise Interrupted(self._scan.job.path)
            if client.status != "running":
                lost_since = lost_since or time.monotonic()
                if client.status == "closed" or time.monotonic() - lost_since > _LOST_SECONDS:
                    return
            else:
                lost_since = None
                self._submit(client, engine.slots)
            engine.mend()
            self._take()
            watch.update()
            time.sleep(_POLL_SECONDS)

    def _submit(self, client, slots) -> None:
        now = time.monotonic()
        for name in [name for name, due in self._due.items() if due <= now]:
            del self._due[name]
            self._futures[name] = client.submit(
                run_point, self._task(self._points[name]) | {"slots": slots}, pure=False,
                key=f"{name}-{uuid.uuid4().hex}", priority=-self._order[name])

    def _task(self, point: Point) -> dict[str, Any]:
        """What a worker must know, in plain values."""
        job = self._scan.job
        run = self._scan.run_of(point)
        script = dataclasses.asdict(job.script)
        script["deadline"] -= _CLOSE_SECONDS
        parameters = {f.name: getattr(job.parameters, f.name)
                      for f in dataclasses.fields(job.parameters)}
        return {
            "script": script,
            "measure": source_of(self._scan.measure, job.script.path),
            "parameters": {"class": source_of(type(job.parameters), job.script.path),
                           "values": parameters},
            "card": {"text": point.card.text, "folder": str(point.card.folder.resolve()),
                     "arrays": point.card.arrays, "trusted": point.card.trusted},
            "seed": point_seed(job.seed, point.name),
            "path": str(run.path.resolve()),
            "part_of": str(job.path.resolve()),
            "extra": run.extra,
            "run_id": run.run_id,
            "token": self._token,
        }

    def _take(self) -> None:
        """Outcomes of tasks that ended, however they ended."""
        for name, future in list(self._futures.items()):
            if future.status == "pending":
                continue
            del self._futures[name]
            outcome, text = self._outcome(future)
            if outcome == DONE:
                del self._points[name]
            elif outcome == FAILED:
                self.failures[name] = text
                del self._points[name]
                print(f"\n{name} failed: {printable(text)}", file=sys.stderr, flush=True)
            else:
                self._due[name] = time.monotonic() + _RETRY_SECONDS
                self._order[name] += len(self._order) * (outcome == BUSY)  # others first

    def _outcome(self, future) -> tuple[str, str]:
        try:
            return future.result(timeout=_LOST_SECONDS)
        except (KilledWorker, CommClosedError, OSError, TimeoutError) as error:
            return INTERRUPTED, str(error)
        except Exception as error:  # an error in the worker, before the point began
            if type(error).__name__.endswith("CancelledError"):  # the scheduler is gone
                return INTERRUPTED, str(error)
            return FAILED, f"{type(error).__name__}: {error}"

    def _stop(self, client) -> None:
        """Let every running point write its checkpoint; what waits is not begun."""
        def tell():
            with contextlib.suppress(Exception):  # a scheduler that is gone tells its workers so
                client.run(withdraw, self._token, on_error="ignore")

        threading.Thread(target=tell, daemon=True).start()  # a hung worker would not answer
        with contextlib.suppress(Exception):
            running = {key for keys in client.processing().values() for key in keys}
            for name, future in list(self._futures.items()):
                if future.key not in running:
                    future.cancel()
                    del self._futures[name]
        end = time.monotonic() + _STOP_SECONDS
        while self._futures and client.status == "running" and time.monotonic() < end:
            for name, future in list(self._futures.items()):
                if future.status != "pending":
                    del self._futures[name]
            time.sleep(0.05)
