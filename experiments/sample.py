"""Sample a discrete system at one or many temperatures, beside theory where solved; or a network.

Replicas at each temperature, half of them begun ordered and half at random, independent or with
replica exchange.  Energy, heat capacity, order parameter, susceptibility, Binder ratio, overlap and
autocorrelation times come with errors and with the evidence of equilibration; with disorder,
--samples draws many samples, whose scatter is kept apart from thermal errors.  Draws the averages
against temperature (compare Onsager, Phys. Rev. 65 (1944) 117, for 2D Ising).

On the card of a network, Langevin chains at one temperature under a measure of its weights
([langevin]): losses and accuracies, with the evidence of equilibration.
"""

from dataclasses import dataclass

from phasegrok.experiment import Job, main, parameter


@dataclass
class Parameters:
    """What can be set on the command line."""

    temperatures: str | None = parameter(
        None, "first:last:number, or a list as 2.2,2.27 (default: the card's)")
    sweeps: int | None = parameter(None, "sweeps of each replica in total, also on resume "
                                   "(default: the card's)", extends=True)
    samples: int = parameter(1, "samples of the disorder")


def run(job: Job) -> None:
    """Sample, then average with errors."""
    from phasegrok.studies.chains import network_chains, network_groups
    from phasegrok.studies.sampling import sampling, sampling_groups

    p = job.parameters
    if job.card.family == "network":
        chains = network_chains(job.card, p.temperatures, p.sweeps, p.samples)
        job.finish(network_groups(job.card, chains, job.drive(chains)))
        return
    protocol = sampling(job.card, p.temperatures, p.sweeps, p.samples)
    job.finish(sampling_groups(job.card, protocol, job.drive(protocol)))


if __name__ == "__main__":
    main(__doc__, Parameters, run, ["ising-2d"], __file__)
