"""A run that compiled its kernels and one that loaded them from the cache give the same bits."""

import os
import subprocess
import sys

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
