"""Numbers of the theories as tables: critical values, spinodals, coexistence, barriers.

``NAMES`` is the one table from a name to the function that gives its rows (quantity, value, unit);
the keywords of a function, with their defaults, are what can be set.
"""

import inspect
import math
from collections.abc import Callable

Rows = list[tuple[str, float | str, str]]


def _two_layer_cubic(d: int = 20, N: int = 60, kappa: float = 1e-3, epsilon: float = -0.3,
                     sigma_a2: float = 0.2, sigma_w2: float = 0.5, n: float = math.inf,
                     theory: str = "cavity", modes: int = 0,
                     lines: bool = False) -> Rows:
    """Two-layer erf network with a cubic teacher; lines=true adds the lines in kappa (slower)."""
    from phasegrok.theory import adaptive_kernel as ak

    model = ak.Model(d, N, kappa, epsilon, sigma_a2, sigma_w2, n)
    found = ak.solve(model, theory, modes)
    rows: Rows = [("u = sigma_a2/(kappa^2 d N)", model.u, "1"), ("phase", found.phase, ""),
                  ("kappa with the noise of finite n", found.kappa, "1"),
                  ("b, residual of He_1", found.b, "1"), ("c, residual of He_3", found.c, "1"),
                  ("outer well Phi", float(found.wells[-1]), "1"),
                  ("barrier from the centre", found.barrier, "nat"),
                  ("depth of the outer well over the centre", found.depth, "nat"),
                  ("neurons beyond the top, N p", model.N * found.droplet, "neurons")]
    if found.b > 0.0:
        frozen = ak.frozen_transitions(found.b, found.c, sigma_w2)
        rows += [("at this field, 1-D: u of the centre's spinodal", frozen.centre_spinodal, "1"),
                 ("at this field, 1-D: u of coexistence", frozen.coexistence, "1"),
                 ("at this field, 1-D: u at which the side well appears", frozen.side_birth, "1")]
    if lines:
        found_lines = ak.transition_lines(ak.Model(d, N, 100.0 * kappa, epsilon, sigma_a2,
                                                   sigma_w2, n), theory)
        rows += [(f"kappa: {text}", value, "1") for text, value in zip(
            ("an outer well appears", "first droplet (GMFL-I)", "outer well as deep as the centre",
             "no neuron left in the centre (GMFL-II)"), found_lines)]
    return rows


def _two_layer_modular(P: int = 5, N: int = 400, sigma2: float = 0.002, sigma_a2: float = 5e-5,
                       gamma: float = 0.5, lines: bool = False) -> Rows:
    """Two-layer quadratic network on addition modulo P; lines=true adds those at this size."""
    from phasegrok.theory import modular_addition as ma

    limit = ma.closed_forms(P, N, sigma_a2, gamma)
    rows: Rows = [("P to infinity: sigma2 at which GMFL-I begins", limit.sigma2_I, "1"),
                  ("P to infinity: sigma2 at which GMFL-II begins", limit.sigma2_II, "1"),
                  ("P to infinity: outer well Phi", limit.well, "1"),
                  ("P to infinity: barrier at coexistence", limit.barrier, "nat")]
    try:
        model = ma.Model(P, N, sigma2, sigma_a2, gamma)
        found = ma.solve(model)
    except ArithmeticError as error:
        return [*rows, ("at this P", str(error), "")]
    rows += [("phase", found.phase, ""), ("residual a", found.residual, "1"),
             ("outer well Phi", float(found.wells[-1]), "1"),
             ("barrier from the centre", found.barrier, "nat"),
             ("depth of the outer well over the centre", found.depth, "nat"),
             ("units beyond the top", model.units * found.droplet, "units")]
    if lines:
        found_lines = ma.transition_lines(ma.Model(P, N, 3.0 * limit.sigma2_I, sigma_a2, gamma))
        rows += [(f"sigma2: {text}", value, "1") for text, value in zip(
            ("an outer well appears", "first droplet (GMFL-I)", "outer well as deep as the centre",
             "no unit left in the centre (GMFL-II)"), found_lines)]
    return rows


def _ridge(d: int = 20, n: int = 40, sigma2: float = 0.25, noise: float = 0.25,
           sigma_w2: float = 1.0, seed: int = 1) -> Rows:
    """Ridge regression on drawn patterns, those of the card of this disorder_seed."""
    from phasegrok.theory import ridge

    X, y = ridge.drawn(d, n, noise, seed)
    found = ridge.posterior(X, y, sigma2, math.sqrt(sigma_w2 / d))
    return [("expected train loss", ridge.expected_loss(found, X, y), "mean squared error"),
            ("expected test loss, all inputs", ridge.expected_test_loss(found, noise),
             "mean squared error"),
            ("mean of Phi", float(found.mean[0]), "1"),
            ("variance of Phi", float(found.covariance[0, 0]), "1"),
            *((f"largest stable step, {name}", step, "1")
              for name, step in ridge.largest_steps(found).items())]


def _ising_perceptron(temperature: float = 0.0, alpha: float = 0.0) -> Rows:
    """Ising perceptron, N -> infinity: annealed, replica-symmetric; alpha > 0: its poor state."""
    from phasegrok.theory import gibbs_perceptron as gibbs
    from phasegrok.theory import perceptron

    if alpha < 0.0:
        raise ValueError("alpha >= 0 is required")
    annealed, R = perceptron.annealed_transition(temperature)
    rows: Rows = [("annealed: alpha of the first-order transition", annealed, "patterns a weight"),
                  ("annealed: overlap R of the poor state there", R, "1"),
                  ("annealed: alpha of its spinodal", perceptron.annealed_spinodal(temperature),
                   "patterns a weight")]
    if temperature == 0.0:
        at, end = gibbs.ising_transition(), gibbs.ising_spinodal()
        rows += [("alpha of the first-order transition", at.alpha, "patterns a weight"),
                 ("overlap R of the poor state there", at.R, "1"),
                 ("generalisation error there", at.error, "1"),
                 ("alpha of its spinodal", end.alpha, "patterns a weight")]
    else:
        transition = gibbs.ising_thermal_transition(temperature)
        rows += [("alpha of the first-order transition", transition, "patterns a weight"),
                 *_poor_state(transition, temperature, "there"),
                 ("alpha of its spinodal", gibbs.ising_thermal_spinodal(temperature),
                  "patterns a weight")]
    return rows + (_poor_state(alpha, temperature, f"at alpha = {alpha:g}") if alpha else [])


def _poor_state(alpha: float, temperature: float, where: str) -> Rows:
    """Rows of the poorly generalising state, or that there is none."""
    from phasegrok.theory import gibbs_perceptron as gibbs

    found: gibbs.Point | gibbs.Thermal | None
    if temperature == 0.0:
        found = gibbs.ising_at(alpha)
        q, entropy = (found.R, found.entropy) if found else (math.nan, math.nan)
    else:
        found = gibbs.ising_thermal(alpha, temperature)
        q, entropy = ((found.q, found.phi + found.energy / temperature) if found
                      else (math.nan, math.nan))
    if found is None:
        return [(f"poor state {where}", "none, beyond its spinodal", "")]
    return [(f"overlap R of the poor state {where}", found.R, "1"),
            (f"overlap q of two students {where}", q, "1"),
            (f"generalisation error {where}", math.acos(found.R) / math.pi, "1"),
            (f"entropy {where}", entropy, "nat a weight")]


def _spherical_perceptron(R: float = 0.9) -> Rows:
    """Gibbs learning of a spherical perceptron at T = 0, N -> infinity, at overlap R."""
    from phasegrok.theory import gibbs_perceptron

    found = gibbs_perceptron.spherical(R)
    return [("alpha", found.alpha, "patterns a weight"), ("generalisation error", found.error, "1"),
            ("alpha times it (0.625 as R -> 1)", found.alpha * found.error, "1"),
            ("entropy", found.entropy, "nat a weight")]


def _ising_2d(J: float = 1.0) -> Rows:
    """Ising model on the square lattice, N -> infinity."""
    from phasegrok.theory import ising

    T = ising.critical_temperature(J)
    return [("critical temperature", T, "energy"),
            ("energy at it", float(ising.onsager_energy(T, J)), "energy a site")]


def _potts_2d(q: float = 10.0) -> Rows:
    """Potts model on the square lattice, N -> infinity."""
    from phasegrok.theory import potts

    rows: Rows = [("transition temperature", potts.transition_temperature(q), "energy")]
    if q > 4.0:
        low, high = sorted(potts.transition_energies(q))
        rows += [("latent heat", potts.latent_heat(q), "energy a site"),
                 ("energy of the ordered phase", low, "energy a site"),
                 ("energy of the disordered phase", high, "energy a site"),
                 ("interface tension", potts.interface_tension(q), "nat per length")]
    return rows


def _potts_mean_field(q: int = 10, J: float = 1.0) -> Rows:
    """Mean-field Potts model, N -> infinity."""
    from phasegrok.theory import mean_field_potts as theory

    T = theory.transition_temperature(q, J)
    rows: Rows = [("transition temperature", T, "energy"),
                  ("jump of the order parameter", theory.order_parameter_jump(q), "1"),
                  ("latent heat", theory.latent_heat(q, J), "energy a site")]
    if q > 2:
        low, high = theory.spinodals(q, J)
        rows += [("lower spinodal temperature", low, "energy"),
                 ("upper spinodal temperature", high, "energy")]
    return rows


def _spherical_p_spin(p: int = 3) -> Rows:
    """Spherical p-spin glass, N -> infinity."""
    from phasegrok.theory import spherical_p_spin as theory

    return [("dynamic transition temperature", theory.dynamic_temperature(p), "energy"),
            ("static transition temperature", theory.static_temperature(p), "energy"),
            ("ground state energy", theory.ground_state_energy(p), "energy a site"),
            ("threshold energy", theory.threshold_energy(p), "energy a site")]


NAMES: dict[str, Callable[..., Rows]] = {
    "two-layer-cubic": _two_layer_cubic,
    "two-layer-modular": _two_layer_modular,
    "ridge": _ridge,
    "ising-perceptron": _ising_perceptron,
    "spherical-perceptron": _spherical_perceptron,
    "ising-2d": _ising_2d,
    "potts-2d": _potts_2d,
    "potts-mean-field": _potts_mean_field,
    "spherical-p-spin": _spherical_p_spin,
}


def settings(name: str) -> dict[str, object]:
    """Keywords of a theory and their defaults."""
    return {key: p.default for key, p in inspect.signature(NAMES[name]).parameters.items()}


def numbers(name: str, **values) -> Rows:
    """Rows (quantity, value, unit) of a theory.

    Raises
    ------
    ValueError
        For a keyword that the theory does not have, a value of another type, or one out of range.
    """
    known = settings(name)
    for key, value in values.items():
        if key not in known:
            raise ValueError(f"{name} has no {key}; it has {', '.join(known)}")
        default = known[key]
        fits = isinstance(value, type(default)) and (
            isinstance(default, bool) or not isinstance(value, bool))
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            fits = True
        if not fits:
            raise ValueError(f"{name}: {key} = {value!r}: give a value like {default!r}")
    return NAMES[name](**values)
