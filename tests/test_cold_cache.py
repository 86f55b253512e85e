"""A run that compiled its kernels and one that loaded them from the cache give the same bits."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from repository import EXPERIMENTS

from phasegrok.run import runfile

SCRIPT = EXPERIMENTS / "training.py"


@pytest.mark.slow
def test_training_from_a_cold_cache_equals_that_from_a_warm_one(tmp_path):
    thetas = []
    for name in ("cold", "warm"):
        subprocess.run([sys.executable, str(SCRIPT), "--replicas", "2", "--steps", "300", "--out",
                        str(tmp_path / f"{name}.h5")], check=True, capture_output=True,
                       env=os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")})
        run = runfile.read(tmp_path / f"{name}.h5", with_state=True)
        assert run.state is not None
        thetas.append(run.state["theta"])
    assert np.array_equal(*thetas)


@pytest.mark.parametrize("whole_group", [True, False])
def test_a_signal_while_kernels_compile(tmp_path, whole_group):
    """Ctrl-C reaches all processes of a terminal, SIGTERM often one: the run stops as ever."""
    with subprocess.Popen([sys.executable, str(SCRIPT), "decoder-subtraction-31", "--out", "a.h5"],
                          cwd=tmp_path, text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE,
                          start_new_session=True,
                          env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}) as process:
        while "compiling kernels" not in process.stderr.readline():
            assert process.poll() is None
        time.sleep(0.3)
        begin = time.monotonic()
        if whole_group:
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.terminate()
        said = process.stderr.read()
        assert process.wait() == 3 and time.monotonic() - begin < 5.0, said
    assert said.split("\n", 2)[1:] == [
        "stopping at the next checkpoint ...",
        "interrupted; continue with: phasegrok resume a.h5\n"]
    run = runfile.read(tmp_path / "a.h5", with_state=True)
    assert run.attributes["status"] == "interrupted" and not run.state
