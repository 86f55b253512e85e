"""Phase diagram of a discrete system in temperature, or in temperature and one more parameter.

At each value of the parameter, and at several sizes, ladders of temperatures with replica exchange
give P(E, Phi) at every temperature of the range.  Transitions are located with errors, and each is
said to be first-order, continuous, a crossover at the sizes run, or undecided, with the evidence;
phases are labelled.  Intervals of the parameter in which first-order transitions end are halved.
Draws the plane with exact lines where they are known: Ising (T, h), Blume-Capel (T, D), Potts
(T, q), Curie-Weiss (T, h).

On a continuous card (two-layer-cubic), the phases of neurons in the noise sigma^2 and one more
parameter: Langevin chains at points, lines of theory over them (Rubin, Seroussi and Ringel, arXiv
2310.03789, fig. 1).  On ising-perceptron, alpha = P/N and T at which good and poor students
coexist, over samples, with the replica-symmetric lines (Seung, Sompolinsky and Tishby, Phys. Rev. A
45 (1992) 6056).
"""

from dataclasses import dataclass

from phasegrok.experiment import Job, main


@dataclass
class Parameters:
    """All settings are on the card."""


def measure(job: Job) -> None:
    """One point: one size at one value of the parameter."""
    from phasegrok.studies.phase_diagram import phase_diagram_series

    protocol = phase_diagram_series(job.card)
    job.finish(protocol.result(job.drive(protocol, job.path.stem)))


def scan(job: Job, columns) -> None:
    """All sizes of some values of the parameter, the smallest first, and what they say."""
    from phasegrok.run.point import Point
    from phasegrok.run.scan import map_points
    from phasegrok.thermodynamics.diagram import analyse
    from phasegrok.thermodynamics.ladders import too_high

    for size in job.card.model.phase_diagram.sizes:
        going = [c for c in columns if not too_high(c.series, c.card.resized(size).build().n_sites)]
        points = [Point(*column.point(size)) for column in going]
        for column, run in zip(going, map_points(job, measure, points)):
            column.add(run)
    for column in columns:
        column.found = analyse(column.series)


def neurons(job: Job) -> None:
    """Langevin chains at the points of a continuous card, and the lines of theory."""
    from phasegrok.run.point import Point
    from phasegrok.run.scan import map_points
    from phasegrok.studies import neuron_diagram

    points = [Point(*point) for point in neuron_diagram.points(job.card)]
    runs = map_points(job, neuron_diagram.measure, points)
    job.finish(neuron_diagram.groups(job.card, runs))


def perceptron(job: Job) -> None:
    """Landscapes of many samples of the Ising perceptron at several alpha = P/N."""
    from phasegrok.run.point import Point
    from phasegrok.run.scan import map_points
    from phasegrok.studies import learning_curve

    points = [Point(*point) for point in learning_curve.points(job.card)]
    found = learning_curve.groups(job.card, map_points(job, learning_curve.measure, points), [])
    job.finish({"perceptron_phases": found["learning_curve"], "theory": found["theory"]})


def run(job: Job) -> None:
    """Scan the card's values, then refine where first-order transitions end."""
    if job.card.family == "continuous":
        neurons(job)
        return
    if job.card.model.kind == "ising-perceptron" and not job.card.model.phase_diagram:
        perceptron(job)
        return
    from phasegrok.studies.phase_diagram import (
        phase_diagram_columns,
        phase_diagram_groups,
        phase_diagram_refinement,
    )

    columns = phase_diagram_columns(job.card)
    scan(job, columns)
    for _ in range(job.card.model.phase_diagram.refinements):
        values = phase_diagram_refinement(job.card, columns)
        if not values:
            break
        new = phase_diagram_columns(job.card, values)
        scan(job, new)
        columns = sorted([*columns, *new], key=lambda column: column.value)
    job.finish(phase_diagram_groups(job.card, columns))


if __name__ == "__main__":
    main(__doc__, Parameters, run, ["ising-2d"], __file__, scan=True)
