"""Figures and tables of run files: what is in the file is drawn, nothing is computed anew.

``save`` draws the figure of a run file beside it, as PNG and PDF; ``summary`` is the table that a
script prints at its end; ``describe`` is ``phasegrok inspect``.
"""

import contextlib
import json
import time
import warnings
from pathlib import Path

import numpy as np

from phasegrok.estimates import NOT_ESTIMATED, reasons
from phasegrok.figures import (
    decay_law,
    finite_size,
    landscapes,
    learning,
    memorisation,
    networks,
    neuron_phases,
    neurons,
    nucleation,
    phase_diagram,
    replicas,
    verdicts,
    waiting,
)
from phasegrok.figures.common import STYLE, instance, parameters_text
from phasegrok.run.runfile import RunFile, RunFileError, figure_of

_LINES = {
    "chains": neurons.chain_lines,
    "density_of_states": landscapes.density_lines,
    "effective_potential": landscapes.potential_lines,
    "thermodynamics": landscapes.thermodynamics_table,
    "averages": replicas.averages_table,
    "replica_exchange": replicas.exchange_line,
    "ramp": replicas.ramp_table,
    "transitions": phase_diagram.transition_lines,
    "training": networks.training_table,
    "evaluation": networks.evaluation_table,
    "waiting_times": waiting.waiting_lines,
}
"""What is printed of each group, in this order."""

_SCANS = {
    "neuron_phases": neuron_phases.lines,
    "learning_curve": learning.lines,
    "optimisers": networks.optimiser_lines,
    "decay_law": decay_law.lines,
    "perceptron_phases": learning.plane_lines,
    "nucleation": nucleation.lines,
    "memorisation_gap": memorisation.lines,
}
"""What is printed of groups for which the whole file is needed."""

_FIGURES = {
    "learning_curve": learning.draw,
    "optimisers": networks.draw_optimisers,
    "decay_law": decay_law.draw,
    "perceptron_phases": learning.plane,
    "neuron_phases": neuron_phases.draw,
    "nucleation": nucleation.draw,
    "memorisation_gap": memorisation.draw,
    "chains": neurons.draw,
    "finite_size": finite_size.draw,
    "effective_potential": landscapes.draw_potential,
    "density_of_states": landscapes.draw_density,
    "averages": replicas.draw_averages,
    "relaxation": replicas.draw_quench,
    "ramp": replicas.draw_ramp,
    "transitions": phase_diagram.draw,
    "training": networks.draw_training,
    "waiting_times": waiting.draw_waiting,
}
"""The figure of a file is that of the first of these groups that it holds."""


def summary(run: RunFile) -> str:
    """What the run found, as text for the terminal."""
    parts = [line] if (line := instance(run)) else []
    if verdicts.verdict_groups(run):
        parts.append(verdicts.verdict_table(run))
    shown = [name for name in _LINES if name in run]
    if "effective_potential" in shown and "thermodynamics" in shown:
        shown.remove("thermodynamics")
    lines = _LINES | ({"effective_potential": neurons.potential_lines} if "chains" in run else {})
    parts += [lines[name](run[name]) for name in shown]
    parts += [text(run) for name, text in _SCANS.items() if name in run]
    if NOT_ESTIMATED in run:
        parts.append(reasons(run[NOT_ESTIMATED]))
    if "finite_size" in run:
        parts.append(finite_size.lines(run))
    if "relaxation" in run:
        parts.append(replicas.relaxation_lines(run["relaxation"], run["two_time_overlap"]))
    return "\n\n".join(parts)


def describe(run: RunFile, path: Path) -> str:
    """What a run file holds: where it comes from, its groups, and what it found."""
    a = run.attributes
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(a.get("updated", 0.0))))
    lines = [f"{path}: {a.get('title')}",
             *filter(None, [f"  {parameters_text(run)}".rstrip()]),
             f"  {a.get('experiment')}, status {a.get('status')}, updated {when}, "
             f"{float(a.get('wall_s', 0.0)):.1f} s",
             f"  {a.get('command_line')}",
             f"  seed {a.get('seed')}, {a.get('hostname')}, {a.get('cpu')}, "
             f"{_versions(a.get('versions', '{}'))}",
             f"  commit {a.get('git_commit')}"]
    for name, group in run.groups.items():
        lines.append(f"\n/{name}")
        for key, v in group.variables.items():
            shape = " x ".join(f"{d} {n}" for d, n in zip(v.dims, np.shape(v.data))) or "scalar"
            lines.append(f"  {key:26s} {shape:34s} [{v.units}] {v.long_name}")
    text = summary(run)
    return "\n".join(lines) + (f"\n\n{text}" if text else "")


def _versions(text: str) -> str:
    return ", ".join(f"{k} {v}" for k, v in json.loads(text).items())


def save(run: RunFile, path: Path) -> list[Path]:
    """Draw the figure of a run file beside it; returns the files written.

    Raises
    ------
    RunFileError
        If it cannot be drawn (numbers beyond what axes take) or written: one sentence; an older
        figure there is removed.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    targets = [figure_of(path, ".png"), figure_of(path, ".pdf")]
    if path in targets:  # as run files could be called once
        raise RunFileError(f"{path} has the name of its figure: rename it, to end with .h5")
    try:
        with plt.rc_context(STYLE), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # what overflows is not drawn
            figure = draw(run, path)
            if figure is None:
                return []
            for target in targets:
                figure.savefig(target)
    except Exception as error:  # of matplotlib, in many kinds
        for target in targets:  # an older one would pass for that of this run
            with contextlib.suppress(OSError):
                target.unlink(missing_ok=True)
        reason = str(error).split("\n")[0]
        raise RunFileError(f"{path} is whole, but cannot be drawn: {type(error).__name__}: {reason}"
                           ) from error
    finally:
        plt.close("all")
    return targets


def files_drawn(run: RunFile, path: Path) -> list[str]:
    """Draw as ``save``; a line for each file, or the one that says that there is none."""
    files = save(run, path)
    found = ", ".join(run.groups) or "what it holds"
    return [f"figure   {file}" for file in files] or [f"figure   none: nothing is drawn of {found}"]


def draw(run: RunFile, path: Path):
    """Matplotlib figure of what a run file holds; None if it holds nothing to draw yet."""
    if verdicts.verdict_groups(run):
        return verdicts.draw_verdict(run, path)
    for name, figure in _FIGURES.items():
        if name in run:
            return figure(run)
    return None
