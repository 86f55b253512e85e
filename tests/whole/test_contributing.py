"""The worked examples of CONTRIBUTING.md, run against exact results or the package's own."""

import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from repository import ROOT
from scipy import sparse
from scipy.sparse.linalg import spsolve

from phasegrok.cards.library import load
from phasegrok.networks.models import mlp
from phasegrok.protocols.training import Training
from phasegrok.run import runfile
from phasegrok.studies.training import training

PAGE = ROOT / "CONTRIBUTING.md"
N, J = 20, 1.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An empty folder with the files of the page, under the names that the page gives them."""
    target = tmp_path_factory.mktemp("contributing")
    named = re.findall(r"^File `([\w.-]+)`.*?^```(?:python|toml)\n(.*?)^```", PAGE.read_text(),
                       flags=re.MULTILINE | re.DOTALL)
    for name, text in named:
        (target / name).write_text(text)
    assert {name for name, _ in named} == {
        "chain.py", "ising-chain.toml", "himmelblau.py", "himmelblau.toml", "canonical.py",
        "mean_energy.py", "my_net.py", "my-net.toml", "my_update.py"}
    return target


def call(folder, *arguments):
    """Run a command of the page in ``folder``; what it printed."""
    environment = dict(os.environ, OPENBLAS_NUM_THREADS="1", PYTHONSAFEPATH="")
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, text=True,
                          capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_phasegrok(folder, *arguments):
    """``phasegrok ARGUMENTS`` in ``folder``."""
    return call(folder, "-c", "from phasegrok.cli import main; main()", *arguments)


def potential(x, y):
    """Of Himmelblau."""
    return (x * x + y - 11.0) ** 2 + (x + y * y - 7.0) ** 2


def passage_on_a_grid(T, start, threshold, n=160):
    """Mean time from a point to y = threshold, of dx = -grad E dt + sqrt(2 T) dW.

    Jumps between neighbours of a grid with rates (T/h^2) exp(-(E' - E)/2 T), which have detailed
    balance and the diffusion of the equation as h falls: the error is of order h^2.  The wells on
    the left are behind passes of 17 T and more.
    """
    x, y = np.linspace(0.5, 5.0, n), np.linspace(-4.0, 3.0, n)
    X, Y = np.meshgrid(x, y, indexing="ij")
    E = potential(X, Y)
    number = np.arange(n * n).reshape(n, n)
    rows, columns, rates = [], [], []
    for axis, h in ((0, x[1] - x[0]), (1, y[1] - y[0])):
        a, b = np.delete(number, -1, axis).ravel(), np.delete(number, 0, axis).ravel()
        for i, j in ((a, b), (b, a)):
            rows.append(i)
            columns.append(j)
            rates.append(T / h**2 * np.exp(-(E.ravel()[j] - E.ravel()[i]) / (2.0 * T)))
    i, j, rate = map(np.concatenate, (rows, columns, rates))
    inside = np.flatnonzero(Y.ravel() < threshold)
    G = sparse.csr_matrix((rate, (i, j)), shape=(n * n, n * n))
    G -= sparse.diags(np.asarray(G.sum(axis=1)).ravel())
    time = np.zeros(n * n)
    time[inside] = spsolve(G[inside][:, inside].tocsc(), -np.ones(len(inside)))
    near = np.argmin((X - start[0]) ** 2 + (Y - start[1]) ** 2)
    return time[near]


def test_own_coordinates_have_their_averages_and_waiting_times(folder):
    run_phasegrok(folder, "run", "sample", "himmelblau.toml", "--out", "wells.h5")
    group = runfile.read(folder / "wells.h5")["averages"]
    x = np.linspace(-8.0, 8.0, 2000)
    X, Y = np.meshgrid(x, x, indexing="ij")
    E = potential(X, Y)
    for k, T in enumerate(group["temperature"]):
        weight = np.exp(-E / T)
        weight /= weight.sum()
        exact = {name: (weight * values).sum() for name, values in (
            ("energy", E), ("order_parameter", Y), ("upper_right", (X > 0) & (Y > 0)),
            ("lower_right", (X > 0) & (Y < 0)))}
        exact["preference"] = T * math.log(exact["upper_right"] / exact["lower_right"])
        for name, largest in (("energy", 0.02 * T), ("order_parameter", 0.07),
                              ("upper_right", 0.012), ("lower_right", 0.012),
                              ("preference", 0.06 * T)):
            error = group[f"{name}_err"][k]
            assert error < largest
            assert abs(group[name][k] - exact[name]) < 4.0 * error
    run_phasegrok(folder, "run", "density_of_states", "himmelblau.toml", "--out", "volumes.h5")
    density = runfile.read(folder / "volumes.h5")["density_of_states"]
    assert density.attributes["complete"], density.attributes["complete_reason"]
    run_phasegrok(folder, "run", "waiting_times", "himmelblau.toml", "--out", "passages.h5")
    waits = runfile.read(folder / "passages.h5")["waiting_times"]
    assert not waits["censored"].any()
    time, error = waits["time"].mean(), waits["time"].std() / math.sqrt(len(waits["time"]))
    coarse, fine = (passage_on_a_grid(4.0, (3.584, -1.848), 1.5, n) for n in (120, 240))
    exact = fine + (fine - coarse) / 3.0
    assert abs(fine - coarse) < 0.03 * fine and error < 0.035 * exact
    assert abs(time - exact) < 3.5 * error


def test_system_gives_the_exact_density_of_states(folder):
    run_phasegrok(folder, "run", "density_of_states", "ising-chain.toml", "--out", "chain.h5")
    run = runfile.read(folder / "chain.h5")
    density = run["density_of_states"]
    walls = np.arange(0, N + 1, 2)
    exact = np.log([2.0 * math.comb(N, int(k)) for k in walls])
    assert density.attributes["complete"]
    np.testing.assert_allclose(density["energy"], -J * (N - 2.0 * walls), atol=1e-12)
    z = (density["log_g"] - exact) / density["log_g_err"]
    # eight walkers: Student's t with 7 degrees of freedom exceeds 6 with probability 5e-4
    assert np.abs(z).max() < 6.0
    assert np.all(density["log_g_err"] < 0.02)

    table = run["thermodynamics"]
    t = np.tanh(J / table["temperature"])
    energy = -J * (t + t ** (N - 1)) / (1.0 + t**N)
    assert np.all(np.abs(table["mean_energy"] - energy) < 0.01 * np.abs(energy))


def chain_energy(temperature):
    """Exact energy a spin of the periodic chain, from Z = (2 cosh)^N (1 + t^N)."""
    t = math.tanh(J / temperature)
    return -J * (t + t ** (N - 1)) / (1.0 + t**N)


@pytest.mark.slow  # compiles every kernel for one more system
def test_system_gives_the_exact_averages(folder):
    run_phasegrok(folder, "run", "sample", "ising-chain.toml", "--sweeps", "20000",
                  "--out", "averages.h5")
    table = runfile.read(folder / "averages.h5")["averages"]
    assert table.attributes["converged"]
    T, h = table["temperature"], 1e-4
    energy = np.array([chain_energy(t) for t in T])
    slope = np.array([(chain_energy(t + h) - chain_energy(t - h)) / (2.0 * h) for t in T])
    for name, exact in (("energy", energy), ("heat_capacity", slope)):
        z = (table[name] - exact) / table[f"{name}_err"]
        assert np.abs(z).max() < 4.0  # of 26 temperatures
        # 3 % off would be 6 errors at half of them; the coldest are slower
        assert np.median(table[f"{name}_err"] / np.abs(exact)) < 0.005


def test_experiment_gives_the_exact_energy(folder):
    printed = call(folder, "mean_energy.py", "ising-chain.toml", "--temperature", "1.0",
                   "--out", "energy.h5")
    found = runfile.read(folder / "energy.h5")["canonical"]
    value, error = float(found["mean_energy"]), float(found["mean_energy_err"])
    assert 0.0 < error < 0.005 * abs(value)
    assert abs(value - chain_energy(1.0)) < 4.0 * error
    assert "energy per site" in printed


def test_extended_run_equals_the_long_one(folder):
    base = ["mean_energy.py", "ising-chain.toml", "--temperature", "1.5"]
    call(folder, *base, "--sweeps", "3000", "--out", "short.h5")
    call(folder, *base, "--sweeps", "8000", "--out", "long.h5")
    call(folder, "mean_energy.py", "--resume", "short.h5", "--sweeps", "8000", "--trust")
    extended, long = (runfile.read(folder / name, with_state=True)
                      for name in ("short.h5", "long.h5"))
    assert extended["canonical"].attributes["sweeps"] == 8000
    for name in extended["canonical"].variables:
        assert extended["canonical"][name] == long["canonical"][name], name
    for name, value in long.state.items():
        np.testing.assert_array_equal(extended.state[name], value, err_msg=name)


def test_network_has_the_curves_of_the_package(folder):
    """The same weights and function as modular-mlp: the same losses, which fall."""
    run_phasegrok(folder, "run", "training", "my-net.toml", "--out", "net.h5")
    found = runfile.read(folder / "net.h5", with_state=True)
    group = found["training"]
    assert group["train_loss"][:, -1].max() < 0.1 < 2.0 < group["train_loss"][:, 0].min()

    card = load(str(folder / "my-net.toml"))
    mine = training(card)
    start = mine.init(1)
    package = mlp.Parameters(operation="-", p=11, train_fraction=0.7, hidden=[48],
                             precision="float64").build()
    assert package.layout == mine.system.layout
    theirs = Training(package, mine.settings, 2, 300)
    state = theirs.init(1)
    state.theta[:] = start.theta
    state.norm[:] = start.norm
    theirs.advance(state, 300)
    for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy"):
        np.testing.assert_allclose(group[name], getattr(state, name), rtol=1e-8, err_msg=name)
    np.testing.assert_allclose(found.state["theta"], state.theta, rtol=1e-7, atol=1e-10)


def test_update_has_the_curves_of_the_package(folder):
    run_phasegrok(folder, "run", "training", "my-net.toml", "--set", "lr=0.001", "--set",
                  "optimiser=my_update.py:Lion", "--out", "lion.h5")
    run_phasegrok(folder, "run", "training", "my-net.toml", "--set", "lr=0.001", "--set",
                  "optimiser=lion", "--set", "weight_decay=0.0", "--out", "ours.h5")
    mine, ours = (runfile.read(folder / name)["training"] for name in ("lion.h5", "ours.h5"))
    for name in ("train_loss", "test_loss", "weight_norm", "update_norm"):
        np.testing.assert_allclose(mine[name], ours[name], rtol=1e-9, err_msg=name)
    assert mine["train_loss"][:, -1].max() < 0.9 * mine["train_loss"][:, 0].min()


def test_page_names_only_what_exists():
    """The rooms, files and functions that the page names are there."""
    root = PAGE.parent
    for name in re.findall(r"`((?:phasegrok|tests|data)/[\w/.]*)`", PAGE.read_text()):
        assert (root / name).exists(), name
