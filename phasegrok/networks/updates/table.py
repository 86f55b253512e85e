"""The updates by name, and which of them have velocities.

Within the step k -> k + 1 of ``phasegrok.networks.training.kernel`` come a filter of the gradient,
the decay where it is coupled, the update, and the noise.  At a fixed norm (Omnigrok: Liu et al.,
arXiv 2210.01117, sec. 3) theta is then scaled back to the norm of its start.
"""

OPTIMISERS = ("adamw", "adam", "sgd", "baoab", "ghmc", "wand")  # the scheme is the place here
ADAMW, ADAM, SGD, BAOAB, GHMC, WAND = range(6)
VELOCITIES = ("baoab", "ghmc", "wand")  # updates with velocities, in ``State.m``
