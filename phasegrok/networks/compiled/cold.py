"""Networks that the engines have, and their kernels compiled in a process of their own."""

import hashlib
import os
import sys
import tempfile
from pathlib import Path

from phasegrok import environment, own_code
from phasegrok.compiled import cache_directory
from phasegrok.networks.compiled.agreement import check_kernels
from phasegrok.networks.kinds import NETWORKS, kernels_of, kind_of, small
from phasegrok.networks.models import own
from phasegrok.networks.network import Network
from phasegrok.networks.training import kernel as trainer
from phasegrok.networks.training.settings import Settings
from phasegrok.networks.updates.common import has, step
from phasegrok.networks.updates.table import row_of, update_of
from phasegrok.rng import streams
from phasegrok.trust import REPOSITORY

_ready: set[Path] = set()  # markers of kernels that this process loads from the cache
_COMPILE = """
import sys
from pkgutil import resolve_name
print("compiling kernels (once; they are cached for later runs) ...", file=sys.stderr, flush=True)
try:
    resolve_name(sys.argv[1])(*sys.argv[2:])
except ValueError as error:
    sys.exit(print(error) or 1)
"""


def check(system: Network, settings: Settings) -> None:
    """Refuse a network or an update that an engine does not have.

    Raises
    ------
    ValueError
        One sentence that says where its kernels are named.
    """
    if row_of(settings).hidden and not system.hidden:
        raise ValueError(f"{settings.optimiser} is for hidden matrices, of which this network has "
                         "none: take another optimiser")
    if settings.engine == "torch":
        from phasegrok.networks.training.stack_torch import check as check_stacked

        check_stacked(system, settings)
        return
    kernels_of(system)
    if not has(step, update_of(settings)):
        name = own_code.name_of(settings.optimiser)
        raise ValueError(f"the update {name} has no compiled form: set engine = \"torch\" in "
                         "[training]")


def compile_here(kind: str, precision: str, optimiser: str, filter_: str) -> None:
    """Compile the training kernels of a kind, precision, update and filter: two steps."""
    system = network_of(kind, precision)
    settings = Settings.model_validate(
        {"optimiser": optimiser, "filter": filter_, "temperature": 1e-3})
    trainer.advance(system, settings, trainer.init(system, settings, streams(1, [], 1)[0]), 2)


def network_of(kind: str, precision: str) -> Network:
    """A network whose kernels are those of all of its kind.

    Of a user's own network ``kind`` is the folder of its recipe (``models.own``); its kernels are
    compared with PyTorch.
    """
    if kind in NETWORKS:
        return small(kind, precision)
    system = own.from_recipe(Path(kind))
    check_kernels(system)
    return system


def compile_apart(system: Network, settings: Settings) -> None:
    """Compile the training kernels, as :func:`apart`."""
    apart("training", "phasegrok.networks.compiled.cold:compile_here", system,
          settings.optimiser, settings.filter)


def apart(purpose: str, function: str, system: Network, *what: str) -> None:
    """Compile the kernels of a network in a process of their own, where they are not cached yet.

    The process that compiles them gives other last digits than those that load them from the cache;
    a run that began in it could not be resumed bit for bit.

    Parameters
    ----------
    purpose : str
        What the kernels do, a word.
    function : str
        "module:name" of what compiles them, called with kind and precision, for ``network_of``, and
        ``what``; it must not come here again.
    system : Network
    what : str
        What else they are compiled for.

    Raises
    ------
    ValueError
        Where the kernels of a user's own network are not the function that PyTorch has.
    """
    kernels_of(system)  # executed, so that the cache is keyed by a user's own
    user = system if isinstance(system, own.OwnNetwork) else None
    kind = own.key(user) if user else kind_of(system)
    what = (system.parameters.precision, *what)
    root = str(REPOSITORY)
    here = hashlib.sha256(root.encode()).hexdigest()[:8]  # kernels are cached by their path too
    name = f"{purpose}-{kind}-{'-'.join(what)}-{here}"
    marker = cache_directory() / f"{name}.ready"
    if marker not in _ready and not marker.exists():
        with tempfile.TemporaryDirectory() as folder:
            if user:
                own.write_recipe(user, Path(folder))
            _compile(function, folder if user else kind, what)
        marker.parent.mkdir(parents=True, exist_ok=True)  # sources may have been edited meanwhile
        marker.touch()
    _ready.add(marker)


def _compile(function: str, kind: str, what: tuple[str, ...]) -> None:
    path = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    code, said = environment.run_child([sys.executable, "-c", _COMPILE, function, kind, *what],
                                       os.environ | {"PYTHONPATH": path})
    if code != 0:
        raise ValueError(said.strip() or "the kernels of this network do not compile")
