"""Table and figure of training runs."""

import math

import numpy as np

from phasegrok.figures.common import COLOURS, table, title
from phasegrok.runfile import Group, RunFile


def training_table(group: Group) -> str:
    """Steps to memorise and to generalise of every replica."""
    rows = []
    for k in range(len(group["replica"])):
        last = np.flatnonzero(np.isfinite(group["train_loss"][k]))
        end = last[-1] if len(last) else 0
        steps = [group[n][k] for n in ("memorisation_step", "generalisation_step_50",
                                       "generalisation_step_95")]
        broken = group["broken_step"][k]
        note = "" if math.isnan(broken) else f"stopped: not finite at step {broken:.0f}"
        rows.append([str(k), *("never" if math.isnan(s) else f"{s:.0f}" for s in steps),
                     f"{group['train_loss'][k, end]:.2e}", f"{group['test_loss'][k, end]:.2e}",
                     f"{group['test_accuracy'][k, end]:.3f}", note])
    return table(["replica", "train 99 %", "test 50 %", "test 95 % held", "train loss",
                  "test loss", "test accuracy", ""], rows)


def draw_training(run: RunFile):
    """Accuracy, loss and norms against steps."""
    import matplotlib.pyplot as plt

    group = run["training"]
    figure, axes = plt.subplots(1, 3, figsize=(9.0, 2.8))
    accuracy_curves(axes[0], group["step"], group["train_accuracy"], group["test_accuracy"])
    step = np.maximum(group["step"], 1)
    for k in range(len(group["replica"])):
        axes[1].plot(step, group["train_loss"][k], color=COLOURS[0], alpha=0.8)
        axes[1].plot(step, group["test_loss"][k], color=COLOURS[1], alpha=0.8)
    axes[1].set(xscale="log", yscale="log", xlabel="step", ylabel="loss (nat)",
                xlim=_step_range(step))
    norms, names = group["weight_norm"], group["matrix"]
    for j, name in enumerate(names):
        if not str(name).startswith("b_"):
            axes[2].plot(step, _mean_of_known(norms[:, :, j]), label=str(name),
                         color=plt.get_cmap("viridis")(j / max(1, len(names) - 1)))
    axes[2].set(xscale="log", xlabel="step", ylabel="weight norm, mean of replicas",
                ylim=(0, None), xlim=_step_range(step))
    axes[2].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    title(figure, run)
    return figure


def _step_range(step: np.ndarray) -> tuple[float, float]:
    """From the first evaluation after the start to the last."""
    return float(step[min(1, len(step) - 1)]), float(max(step[-1], 2))


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Mean over the replicas that got there; NaN where none did."""
    known = np.isfinite(values)
    number = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def accuracy_curves(axis, step, train, test) -> None:
    """Train and test accuracy of every replica."""
    step = np.maximum(step, 1)
    for k in range(len(train)):
        axis.plot(step, train[k], color=COLOURS[0], alpha=0.8, label="train" if k == 0 else None)
        axis.plot(step, test[k], color=COLOURS[1], alpha=0.8, label="test" if k == 0 else None)
    axis.set(xscale="log", xlabel="step", ylabel="accuracy", ylim=(-0.02, 1.05),
             xlim=_step_range(step))
    axis.legend(loc="center left")
