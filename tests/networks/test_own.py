"""Networks, updates and schedules of a user's own against those of the package."""

import shutil
import sys

import numpy as np
import pytest
import torch
from own_code_files import CARD, KERNELS, NET, UPDATES

from phasegrok import compiled
from phasegrok.cards.card import from_text
from phasegrok.cards.library import load
from phasegrok.errors import InputError
from phasegrok.networks.compiled.agreement import check_kernels
from phasegrok.networks.kinds import NETWORKS, pytorch_of, small, usual_engine
from phasegrok.networks.landscape import Landscape
from phasegrok.networks.measures import Sphere
from phasegrok.networks.models import mlp
from phasegrok.networks.training.settings import Settings
from phasegrok.networks.training.state import STEP, Event
from phasegrok.protocols.chains import Langevin
from phasegrok.protocols.network_clones import NetworkClones
from phasegrok.protocols.training import Training
from phasegrok.rng import streams
from phasegrok.run import runfile
from phasegrok.studies.chains import network_chains
from phasegrok.studies.training import training

TRAINING = """steps = 40
replicas = 3
eval_every = 5
per_decade = 0
"""
PAIRS = 'operation = "-"\np = 7\ntrain_fraction = 0.7'
PACKAGE = mlp.Parameters(operation="-", p=7, train_fraction=0.7, hidden=[16], precision="float64")


@pytest.fixture
def own(tmp_path, monkeypatch):
    """``own(name, **card)``: a card with a network of the user's own, in an empty folder."""
    monkeypatch.setattr(compiled, "use_sources", lambda *files: None)  # no kernels stand there
    compiled.use_threads(1)
    for name, text in (("my_net.py", NET), ("my_update.py", UPDATES)):
        (tmp_path / name).write_text(text)

    def make(name="Squares", kind="pairs", parameters=PAIRS, precision="float64", more="",
             overrides=None, **words):
        (tmp_path / "mine.toml").write_text(CARD.format(
            name=name, kind=kind, parameters=f'{parameters}\nprecision = "{precision}"',
            training=TRAINING + more))
        return load(str(tmp_path / "mine.toml"), overrides, **words)

    yield make
    compiled.use_threads(0)


@pytest.fixture
def own_apart(own, tmp_path, monkeypatch):
    """The same with compiled kernels, in a cache that is keyed by their file."""
    monkeypatch.undo()
    monkeypatch.setattr("phasegrok.own_code.executed_files", set())
    compiled.use_threads(1)

    def make(kernels, engine):
        (tmp_path / "my_kernels.py").write_text(kernels)
        return own("Fast", overrides={"engine": engine})

    yield make
    compiled.use_sources()


def run(protocol, blocks=(1000,), theta=None, seed=3):
    state = protocol.init(seed)
    if theta is not None:
        state.theta[:] = theta
    for n in blocks:
        if protocol.done(state) < protocol.total():
            protocol.advance(state, n)
    return state


def refused(make):
    with pytest.raises(InputError) as error:
        make()
    return " ".join(error.value.messages)


# ---------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize("name", ["Squares", "Flat"])
def test_chains_of_a_network_of_ones_own_walk_with_those_of_modular_mlp(own, name):
    """Under the same measure, from the same latents; the package's by compiled kernels."""
    mine, package = own(name).build(), PACKAGE.build()
    found = []
    for network, engine in ((mine, "torch"), (package, "compiled")):
        landscape = Landscape(network, Sphere(6.0), 0.01, engine)
        chains = Langevin(landscape, "ghmc", 0.1, 1.0, 2, 100, 0, 1, None, 1.0)
        found.append(run(chains, (30, 70)))
    np.testing.assert_allclose(found[0].series, found[1].series, rtol=1e-8)
    np.testing.assert_array_equal(found[0].rng, found[1].rng)


@pytest.mark.parametrize("name", ["Squares", "Flat"])
def test_a_network_with_the_function_of_modular_mlp_has_its_curves(own, name):
    """Both forms, from the same weights, on both of the package's engines."""
    mine = training(own(name))
    package = PACKAGE.build()
    assert mine.system.layout == package.layout
    theta = 0.3 * np.random.default_rng(5).uniform(-1.0, 1.0, (3, package.n_parameters))
    found = run(mine, theta=theta)
    for engine in ("torch", "compiled"):
        settings = mine.settings.model_copy(update={"engine": engine})
        reference = run(Training(package, settings, 3, 40, per_decade=0), theta=theta)
        for curve in ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "norms"):
            np.testing.assert_allclose(getattr(found, curve), getattr(reference, curve),
                                       rtol=1e-9, err_msg=curve)
    assert found.train_loss[:, -1].max() < 0.9 * found.train_loss[:, 0].min()


@pytest.mark.parametrize("name", ["Squares", "Flat"])
def test_weights_start_as_the_class_draws_them(own, name):
    """Uniform within 0.3; replicas differ, a seed does not; float32 is float64 rounded."""
    double, single = (own(name, precision=p).build() for p in ("float64", "float32"))
    rng = streams(1, ["training"], 2)
    first, again, other = (double.initial(rng[k].copy()) for k in (0, 0, 1))
    assert np.array_equal(first, again) and not np.isclose(first, other).any()
    assert np.abs(first).max() <= 0.3 and abs(first.std() / (0.3 / 3**0.5) - 1) < 0.1
    assert np.array_equal(single.initial(rng[0].copy()), first.astype(np.float32))
    state = torch.random.get_rng_state()
    double.initial(rng[0].copy())
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_student_has_the_teacher_of_the_package(own):
    """A buffer, a matrix that is not trained, and mse of real targets: by hand in NumPy."""
    card = own("Student", "teacher", "layers = [3, 5, 2]\nn = 20\nn_test = 30\nwidth = 4")
    system = card.build()
    assert list(system.layout) == ["first.weight", "first.bias"]
    assert system.order_name == "explained variance" and system.loss_name[0] == "1"
    theta = system.initial(streams(1, [], 1)[0])
    W, b = theta[:12].reshape(4, 3), theta[12:]
    fixed = system.form.last.weight.numpy()
    f = np.tanh(0.5 * (system.train.inputs @ W.T + b)) @ fixed.T
    loss = np.mean((f - system.train.targets) ** 2)
    state = run(training(card), theta=theta)
    assert abs(state.train_loss[0, 0] / loss - 1) < 1e-12
    variance = system.train.targets.var(axis=0).mean()
    assert abs(state.train_accuracy[0, 0] - (1 - loss / variance)) < 1e-12
    assert state.train_loss[0, -1] < loss


def test_buffers_follow_the_weights_to_their_device(own):
    system = own("Student", "teacher", "layers = [3, 5, 2]", precision="float32").build()
    functions = pytorch_of(system)
    for device in ("meta", "cpu"):
        theta = torch.zeros(system.n_parameters, device=device)
        x, y = (torch.tensor(a, device=device) for a in system.train)
        E = functions.energy(system, theta, x, y)
        assert E.device.type == device and E.dtype == torch.float64
        held = functions.constants(theta.device)
        assert sorted(held) == ["last.weight", "scale"]
        assert all(b.device.type == device and b.dtype == torch.float32 for b in held.values())


def test_patterns_of_its_own_are_drawn_by_their_seed(own):
    cards = [own("Blobs", "patterns", f"n = 40\ndisorder_seed = {seed}") for seed in (1, 1, 2)]
    first, again, other = (card.arrays["inputs"] for card in cards)
    assert first.shape == (40, 3) and np.array_equal(first, again)
    assert not np.isclose(first, other).any()
    assert cards[0].build().order_name == "accuracy" and cards[0].size == 40
    state = run(training(own("Blobs", "patterns", "n = 40\ndistance = 6.0",
                             overrides={"lr": 0.1, "weight_decay": 0.0, "steps": 200})))
    assert (state.test_accuracy[:, -1] > 0.97).all()


def test_clones_of_a_network_of_its_own(own):
    """The plateau is found by the engine that trains: times are those of modular-mlp."""
    system, package = own().build(), PACKAGE.build()
    found = []
    for network, engine in ((system, "torch"), (package, "torch"), (package, "compiled")):
        settings = Settings(lr=1e-2, weight_decay=0.0, eval_every=5, engine=engine, batch=20)
        p = NetworkClones(network, settings, 2, 25, Event(1.1, 1), plateau_accuracy=0.9,
                          search_steps=1000)
        found.append(p.init(3))
    assert len({state.start_step for state in found[1:]}) == 1
    assert found[0].start_step > 4 and (found[0].theta[0] == found[0].theta[1]).all()
    for name in ("theta", "m", "v", "counters", "order"):
        np.testing.assert_allclose(*(getattr(s, name) for s in found[1:]), atol=1e-9)


@pytest.mark.parametrize("name, kind, parameters, words", [
    ("Squares", "modular-mlp", PAIRS, "kind names its task, one of pairs, teacher, patterns"),
    ("Squares", "patterns", PAIRS, "Squares has no function data(rng, ...)"),
    ("Blobs", "pairs", PAIRS, "Blobs has a function data of its own: kind is patterns"),
    ("Squares", "pairs", f"{PAIRS}\nwidht = 8", "widht: unknown key; did you mean width?"),
    ("Squares", "pairs", f'{PAIRS}\nwidth = "wide"', "parameters.width: input should be a valid"),
    ("Tanh", "pairs", PAIRS, "and no network, which has forward or scores"),
    ("Squares", "pairs", f"{PAIRS}\nwidth = -1", "Squares cannot be made with elements = 7, width"),
    ("Dropping", "pairs", PAIRS, "draws random numbers in its forward pass"),
    ("Infinite", "pairs", PAIRS, "Infinite returns numbers that are not finite"),
    ("Normed", "pairs", PAIRS, "another output where others stand beside it"),
    ("Tracking", "pairs", PAIRS, "changes its buffers"),
    ("Wide", "pairs", PAIRS, "Wide returns (34, 6), and (34, 7) is expected"),
    ("Branching", "pairs", PAIRS, "Branching does not work under torch.func.vmap"),
])
def test_networks_that_are_no_functions_are_refused(own, name, kind, parameters, words):
    found = refused(lambda: own(name, kind, parameters).build())
    assert words in found


def test_the_compiled_engine_refuses_it_in_a_sentence(own):
    card = own(overrides={"engine": "compiled"})
    assert 'Squares has no compiled kernels: set engine = "torch"' in refused(
        lambda: training(card))


def test_chains_take_the_engine_that_the_network_has(own):
    """A card says otherwise only by name, and then it is refused with its own section."""
    more = """[langevin]
step = 0.1
steps = 600
measure = "sphere"
radius = 1.0
temperature = 0.01
"""
    assert network_chains(own(more=more)).system.engine == "torch"
    found = refused(lambda: network_chains(own(more=more + 'engine = "compiled"\n')))
    assert 'Squares has no compiled kernels: set engine = "torch" in [langevin]' in found
    assert usual_engine(PACKAGE.build()) == "compiled"


# ------------------------------------------------------------------------------- compiled kernels


@pytest.mark.parametrize("kind", [
    # compiled here alone, for half a minute; test_decoder has its gradient
    pytest.param(kind, marks=pytest.mark.slow) if kind == "modular-decoder" else kind
    for kind in NETWORKS])
def test_kernels_of_the_package_are_what_pytorch_has(kind):
    check_kernels(small(kind, "float64"))


@pytest.mark.slow  # compiles the training kernels for one more network, twice
def test_compiled_kernels_of_its_own(own_apart):
    """Checked against autograd, then curves of the engine torch; a wrong gradient is refused."""
    states = [run(training(own_apart(KERNELS, engine))) for engine in ("torch", "compiled")]
    np.testing.assert_allclose(states[0].theta, states[1].theta, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(states[0].test_loss, states[1].test_loss, rtol=1e-9)
    wrong = KERNELS.replace("back = 2.0", "back = 2.06")
    with pytest.raises(ValueError, match="kernels and PyTorch disagree: gradient in U"):
        training(own_apart(wrong, "compiled")).init(3)
    wrong = KERNELS.replace("return losses_inner(w, data, work)",
                            "return 0.97 * losses_inner(w, data, work)[0], 0.0")
    with pytest.raises(ValueError, match="kernels and PyTorch disagree: test loss"):
        training(own_apart(wrong, "compiled")).init(3)


# ------------------------------------------------------------------------------------------ updates


@pytest.mark.parametrize("mine, package, more", [
    ("Lion", "lion", dict(lr=1e-3, weight_decay=0.5)),
    ("StackedLion", "lion", dict(lr=1e-3, batch=20, beta1=0.8, weight_decay=1.0)),
    ("Lion", "lion", dict(lr=1e-3, filter="ema", fixed_norm=True, weight_decay=0.0)),
    ("Lion", "lion", dict(lr=1e-3, temperature=1e-4, schedule="cosine", weight_decay=1.0)),
    ("SAM", "sam", dict(lr=0.3, weight_decay=1e-3, rho=0.1)),
    ("SAM", "sam", dict(lr=0.3, weight_decay=1e-3, batch=20)),
    ("Assigning", "sgd", dict(lr=0.3, weight_decay=1e-3, momentum=0.5)),
])
def test_an_update_has_the_curves_of_the_package(own, mine, package, more):
    """The equations are those of updates/NAME.py; Assigning is torch.optim.SGD."""
    states = [run(training(own(overrides={"optimiser": name} | more)))
              for name in (f"my_update.py:{mine}", package)]
    np.testing.assert_allclose(states[0].theta, states[1].theta, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(states[0].train_loss, states[1].train_loss, rtol=1e-10)
    assert not np.allclose(states[0].theta, states[0].theta[0])


def test_what_a_card_leaves_out_is_the_default_of_the_class(own, tmp_path):
    """Rate and decay too, which have other defaults in the package; the run records them."""
    own(overrides={"optimiser": "my_update.py:Lion"})
    text = (tmp_path / "mine.toml").read_text().replace("lr = 1e-2\n", "")
    folder, name = tmp_path, {"optimiser": "my_update.py:Lion"}
    left = from_text(text, folder, name)
    assert (left.model.training.lr, left.model.training.weight_decay) == (1e-4, 0.0)
    given = from_text(text, folder, name | {"lr": 1e-4, "weight_decay": 0.0})
    np.testing.assert_array_equal(run(training(left)).theta, run(training(given)).theta)
    other = from_text(text, folder, name | {"weight_decay": 1.0})
    assert other.model.training.weight_decay == 1.0
    assert left.changed({"steps": 50}).model.training.lr == 1e-4


def test_an_update_of_pytorch_that_needs_a_closure(own, tmp_path):
    """L-BFGS of each replica equals that of torch by itself, on the module."""
    (tmp_path / "my_update.py").write_text("from torch.optim import LBFGS\n")
    card = own(overrides={"optimiser": "my_update.py:LBFGS", "warmup": 0, "steps": 4, "lr": 0.1,
                          "arguments": {"max_iter": 3}, "fixed_norm": False})
    p = training(card)
    start = p.init(3).theta
    found = run(p, [1, 3])
    x, y = map(torch.tensor, p.system.train)
    for k in range(3):
        module = type(p.system.form)(7).double()
        torch.nn.utils.vector_to_parameters(torch.tensor(start[k]), module.parameters())
        optimiser = torch.optim.LBFGS(module.parameters(), lr=0.1, max_iter=3)

        def closure(module=module, optimiser=optimiser):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(module(x), y)
            loss.backward()
            return loss

        for _ in range(4):
            optimiser.step(closure)
        alone = torch.nn.utils.parameters_to_vector(module.parameters()).detach()
        np.testing.assert_allclose(found.theta[k], alone, rtol=1e-7)


@pytest.mark.parametrize("name, more", [
    ("Lion", dict(temperature=1e-5)), ("StackedLion", dict(batch=20)), ("Double", dict(lr=0.1)),
    ("SAM", dict(lr=0.1)), ("AdamW", dict())])
def test_a_resumed_run_has_the_same_bits(own, tmp_path, name, more):
    (tmp_path / "my_update.py").write_text(UPDATES + "\nfrom torch.optim import AdamW\n")
    def made():
        return training(own(precision="float32", overrides={
            "optimiser": f"my_update.py:{name}"} | more))

    whole, p = run(made()), made()
    cut = p.init(3)
    for n in (13, 1, 0, 11, 100):
        p.advance(cut, n)
        saved = {key: np.array(value) if isinstance(value, np.ndarray) else value
                 for key, value in runfile.pack_dataclass(cut).items()}
        p = made()
        cut = p.restore(saved)
    assert p.done(cut) == 40 and whole.optimiser.dtype == np.uint8
    for key, value in vars(whole).items():
        np.testing.assert_array_equal(value, getattr(cut, key), err_msg=key)


def test_a_run_that_is_cut_in_other_stacks_has_the_same_weights(own):
    """Elementwise: the state of a stack is kept a replica, and goes into another stack."""
    card = own(overrides={"optimiser": "my_update.py:StackedLion", "lr": 1e-3})
    whole = run(training(card))
    p = training(card)
    cut = run(p, [15])
    compiled.use_threads(2)
    p = training(card)
    cut = p.restore(runfile.pack_dataclass(cut))
    p.advance(cut, 25)
    assert p.stacked.size == 2
    np.testing.assert_allclose(cut.theta, whole.theta, rtol=1e-12)


@pytest.mark.parametrize("name, more, words", [
    ("Wrong", {}, "Wrong says that it is elementwise, but it moves stacked replicas"),
    ("Hoarding", {}, "the state_dict of Hoarding holds more than tensors and numbers"),
    ("warm_restarts", {}, "is no class of torch.optim.Optimizer"),
    ("Lion", {"arguments": {"slow": True}}, "it takes no argument slow; it takes lr, betas"),
    ("Lion", {"engine": "compiled"}, "the update Lion has no compiled form"),
    ("Lyon", {}, "training.optimiser: my_update.py has no Lyon"),
])
def test_updates_that_cannot_be_are_refused(own, name, more, words):
    def make():
        training(own("Squares", overrides={"optimiser": f"my_update.py:{name}"} | more))

    if more.get("engine"):
        card = own(overrides={"optimiser": f"my_update.py:{name}"})
        settings = card.model.training.model_copy(update={
            "engine": "compiled", "optimiser": str(card.folder / f"my_update.py:{name}")})
        from phasegrok.networks.compiled.cold import check
        with pytest.raises(ValueError, match=words):
            check(PACKAGE.build(), settings)
        return
    assert words in refused(make)


def test_arguments_of_an_update_of_the_package_are_refused(own):
    assert "leave them out" in refused(lambda: training(own(overrides={"arguments": {"a": 1}})))


# ---------------------------------------------------------------------------------------- schedules


def test_a_schedule_of_its_own_is_that_of_the_package(own):
    states = [run(training(own(overrides={"schedule": name})))
              for name in ("my_update.py:cosine", "cosine")]
    assert np.array_equal(states[0].theta, states[1].theta)


@pytest.mark.parametrize("name, words", [
    ("by_length", "gives a step another factor where others are asked for with it"),
    ("negative", "must return a finite factor >= 0"), ("scalar", "an array of their shape"),
    ("missing", "training.schedule: my_update.py has no missing")])
def test_schedules_that_cannot_be_are_refused(own, name, words):
    assert words in refused(lambda: training(own(overrides={"schedule": f"my_update.py:{name}"})))


def test_a_schedule_with_the_compiled_engine(own):
    """Whole and cut, on a network of the package: rates of each step are those of the function."""
    card = own(overrides={"schedule": "my_update.py:warm_restarts"})
    settings = training(card).settings.model_copy(update={"engine": "compiled"})
    p = Training(PACKAGE.build(), settings, 2, 40)
    whole, cut = run(p), run(p, [7, 20, 13])
    assert np.array_equal(whole.theta, cut.theta)


# --------------------------------------------------------------------------------- trust and hashes


def test_all_files_that_a_card_names_are_in_its_hash(own, tmp_path):
    card = own(more='optimiser = "my_update.py:Lion"\nschedule = "my_update.py:cosine"')
    assert card.code_files == (tmp_path / "my_net.py", tmp_path / "my_update.py")
    alone = own()
    hashes = {card.code_sha256, alone.code_sha256}
    (tmp_path / "my_update.py").write_text(UPDATES + "# edited\n")
    hashes |= {own(more='optimiser = "my_update.py:Lion"').code_sha256, own().code_sha256}
    assert len(hashes) == 3


def test_own_code_imports_what_stands_beside_it(own, tmp_path, monkeypatch):
    """Edits there are in the hash; a file of that name in another folder is another module."""
    monkeypatch.setattr("phasegrok.own_code._imports", {})
    text = "import beside_it\nfrom folded import two\n" + NET
    text = text.replace("(-0.3, 0.3)", "(-beside_it.scale, two.of())")
    other, path = tmp_path / "other", list(sys.path)
    (tmp_path / "folded").mkdir()
    other.mkdir()
    (tmp_path / "folded" / "__init__.py").write_text("")
    (tmp_path / "folded" / "two.py").write_text("def of():\n    import late\n    return late.x\n")
    (tmp_path / "late.py").write_text("x = 0.3\n")
    (tmp_path / "beside_it.py").write_text("scale = 0.3\n")
    (tmp_path / "my_net.py").write_text(text)
    first = own()
    assert [file.name for file in first.code_files] == [
        "my_net.py", "beside_it.py", "__init__.py", "two.py"]
    theta = training(first).init(3).theta
    for name in ("my_net.py", "mine.toml"):
        shutil.copy(tmp_path / name, other)
    shutil.copytree(tmp_path / "folded", other / "folded")
    (other / "late.py").write_text("x = 0.200\n")
    (other / "beside_it.py").write_text("scale = 0.2000\n")
    second = load(str(other / "mine.toml"))
    assert abs(training(second).init(3).theta).max() < 0.2 < theta.max()
    assert first.parameters.network.forward.__globals__["beside_it"].scale == 0.3
    before = first.code_sha256
    (tmp_path / "beside_it.py").write_text("scale = 0.10000\n")
    edited = own()
    assert edited.code_sha256 != before and training(edited).init(3).theta.min() > -0.1
    assert sys.path == path


@pytest.mark.parametrize("key, value, words", [
    ("optimiser", "sigum.py:Signum", "there is no file sigum.py in {}"),
    ("code", "my_nut.py:Squares", "there is no file my_nut.py in {}"),
    ("observables", "my_update.py:norm", 'give a list, as observables = ["my_update.py:norm"]'),
    ("snapshots", [0.5], "give none, events, log:N, or a list of whole numbers"),
    ("snapshots", 3, "give none, events, log:N, or a list of whole numbers"),
])
def test_a_slip_of_the_pen_is_told_in_a_sentence(own, tmp_path, key, value, words):
    found = refused(lambda: own(overrides={key: value}))
    assert words.format(tmp_path) in found and "\n" not in found


def test_a_file_outside_the_folder_of_the_card_needs_trust(own, tmp_path, monkeypatch):
    monkeypatch.setattr("phasegrok.own_code.executed_files", set())
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.py").write_text(UPDATES)
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "my_net.py").write_text(NET)
    text = CARD.format(name="Squares", kind="pairs", parameters=PAIRS,
                       training='optimiser = "../elsewhere/mine.py:Lion"')
    path = tmp_path / "cards" / "mine.toml"
    path.write_text(text)
    assert "give --trust to execute it" in refused(lambda: load(str(path)))
    assert load(str(path), trust=True).code_files[1] == tmp_path / "elsewhere" / "mine.py"


# -------------------------------------------------------------------------------------- observables

NORM = 'observables = ["my_update.py:norm"]'


@pytest.mark.parametrize("engine", ["torch", "compiled"])
def test_an_observable_is_kept_at_every_evaluation(own, engine):
    """The norm of all weights is the root of the sum of the squares of those of the matrices."""
    settings = training(own(more=NORM)).settings.model_copy(update={"engine": engine})
    p = Training(PACKAGE.build(), settings, 3, 40, per_decade=0)
    whole, cut = run(p), run(p, [3, 0, 2, 11, 1000])
    for key, value in vars(whole).items():
        np.testing.assert_array_equal(value, getattr(cut, key), err_msg=key)
    group = p.result(whole)["training"]
    norm = np.sqrt((group["weight_norm"] ** 2).sum(axis=2))
    assert group["norm"].shape == (3, 9)
    np.testing.assert_allclose(group["norm"], norm, rtol=1e-12)
    variable = group.variables["norm"]
    assert variable.units == "weight" and variable.long_name == "root of the sum of squares"
    np.testing.assert_allclose(group["norm_mean"], norm.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(group["norm_mean_err"], norm.std(axis=0, ddof=1) / 3**0.5,
                               rtol=1e-9)
    plain = run(Training(PACKAGE.build(), settings.model_copy(update={"observables": []}), 3, 40,
                         per_decade=0))
    assert np.array_equal(plain.theta, whole.theta)


@pytest.mark.parametrize("engine", ["torch", "compiled"])
@pytest.mark.parametrize("hold", [1, 3])
def test_an_event_on_an_observable(own, engine, hold):
    """Found again in the curves of a run without it; cut anywhere."""
    settings = training(own(more=NORM)).settings.model_copy(update={"engine": engine, "lr": 0.03})
    free = run(Training(PACKAGE.build(), settings, 3, 60, per_decade=0))
    norm = free.observed[..., 0]
    lowest = np.lib.stride_tricks.sliding_window_view(norm, hold, axis=1).min(axis=2)
    threshold = np.sort(lowest.max(axis=1))[1]  # two replicas reach it
    event = Event(threshold, hold, observable="norm")
    p = Training(PACKAGE.build(), settings, 3, 60, event, per_decade=0)
    whole, cut = run(p), run(p, [7, 1, 12, 1000])
    assert np.array_equal(whole.counters, cut.counters)
    first = np.where(lowest >= threshold, np.arange(lowest.shape[1]), 10**6).min(axis=1)
    expected = np.where(first < 10**6, 5.0 * first, np.nan)
    group = p.result(whole)["training"]
    np.testing.assert_array_equal(group["event_step"], expected)
    reached = np.isfinite(expected)
    assert reached.sum() == 2
    np.testing.assert_array_equal(whole.counters[reached, STEP],
                                  expected[reached] + 5 * (hold - 1))


def test_waiting_times_of_an_observable(own):
    """The event of clones is seen in the norm: times, plateau and start are its own."""
    card = own(more=f'''{NORM}
[event]
observable = "norm"
threshold = 0.0
[waiting_times]
temperatures = [1e-3]
limit = 200
plateau_accuracy = 0.6
''', overrides={"lr": 3e-2, "weight_decay": 0.0, "steps": 500})
    from phasegrok.studies.waiting_times import clones
    with pytest.raises(ValueError, match="the event is there at the start, before a train accu"):
        clones(card, number=2).init(3)  # it is above zero from the start
    start = clones(card.changed({"threshold": 99.0}), number=2).init(3)
    norm = float(np.linalg.norm(start.theta[0]))
    p = clones(card.changed({"threshold": 1.02 * norm, "waiting_times.snapshots": "events"}),
               number=3)
    state = run(p)
    group, weights = (p.result(state)[name] for name in ("waiting_times", "weights"))
    np.testing.assert_array_equal(weights["step"], [[0.0] * 3, group["time"]])  # checkpoint, event
    assert abs(group.attributes["start_order_parameter"] / norm - 1) < 1e-12
    assert not group["censored"].any()
    for k, time in enumerate(group["time"]):
        curve = group["norm"][k]
        step = group["step"]
        assert curve[step == time] >= 1.02 * norm and (curve[step < time] < 1.02 * norm).all()
        np.testing.assert_allclose(group["plateau_mean"][k], curve[step < time].mean())


@pytest.mark.parametrize("name, words", [
    ("writing", "the observable writing fails, or returns no number: ValueError: assignment"),
    ("vector", "the observable vector fails, or returns no number: TypeError"),
])
def test_observables_that_cannot_be_are_refused(own, name, words):
    assert words in refused(lambda: training(own(more=f'observables = ["my_update.py:{name}"]')))


def test_an_event_on_an_observable_that_is_not_asked_for_is_refused(own):
    card = own(more=f'{NORM}\n[event]\nobservable = "nrom"\nthreshold = 0.5')
    assert "nrom is none of training.observables; did you mean norm?" in refused(
        lambda: training(card))
