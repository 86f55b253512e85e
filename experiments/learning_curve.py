"""Measure the learning curve of a perceptron that learns from a perceptron.

Ising weights: Wang-Landau g(E, R) of many samples gives generalisation error and entropy at T = 0,
typical (mean over samples) and annealed (of the mean g), and the T at which good and poor students
coexist; quenches of a larger system from a random start and from the teacher show the jump and its
metastability.  Spherical weights: hit and run among the students without error.  Both beside theory
for N -> infinity (Gyorgyi, Phys. Rev. A 41 (1990) 7097, fig. 1; Seung, Sompolinsky and Tishby,
Phys. Rev. A 45 (1992) 6056, figs. 6, 8).
"""

from dataclasses import dataclass

from phasegrok.experiment import Job, main


@dataclass
class Parameters:
    """All settings are on the card."""


def run(job: Job) -> None:
    """All sizes and alphas, then the quenches."""
    from phasegrok.run.point import Point
    from phasegrok.run.scan import map_points
    from phasegrok.studies import learning_curve

    runs = map_points(job, learning_curve.measure,
                      [Point(*point) for point in learning_curve.points(job.card)])
    quenches = [Point(*point) for point in learning_curve.quenches(job.card)]
    quenched = map_points(job, learning_curve.measure_quench, quenches) if quenches else []
    job.finish(learning_curve.groups(job.card, runs, quenched))


if __name__ == "__main__":
    main(__doc__, Parameters, run, ["ising-perceptron", "spherical-perceptron"], __file__,
         scan=True)
