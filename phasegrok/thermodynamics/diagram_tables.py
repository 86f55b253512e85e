"""What is known of the plane of temperature and one parameter, as groups of a run file."""

import numpy as np

from phasegrok.groups import Group
from phasegrok.thermodynamics.diagram import PHASES, Column
from phasegrok.thermodynamics.order import CLASSES, LEAST_GROWTH

_UNITS = {"energy": "energy per site", "heat_capacity": "1 per site", "order_parameter": "1",
          "order_parameter_abs": "1", "susceptibility": "1 per energy", "binder": "1"}
_OF_SIZES = {
    "heat_capacity_temperature": ("energy", "temperature of the peak of C"),
    "heat_capacity_peak": ("1 per site", "height of the peak of C"),
    "susceptibility_temperature": ("energy", "temperature of the peak of chi"),
    "susceptibility_peak": ("1 per energy", "height of the peak of chi"),
    "barrier": ("nat", "barrier of -ln P(Phi) at equal height; 0: one well"),
    "barrier_temperature": ("energy", "temperature of equal height; NaN: one well"),
}
_OF_VALUES = {
    "temperature": ("energy", "temperature of the transition, or of the peak of chi"),
    "growth": ("1", "exponent y of the peak of chi, N^y, between the two largest sizes"),
    "binder_crossing": ("energy", "crossing of the Binder ratios of the two largest sizes"),
    "coexistence_end": ("energy", "upper end of the coexistence of +Phi and -Phi"),
}


def diagram_groups(name: str, values_v: np.ndarray, columns: list[Column],
                   sizes_s: list[int]) -> dict[str, Group]:
    """Groups ``phase_diagram`` (curves and phases) and ``transitions`` of a run file.

    Parameters
    ----------
    name : str
        The second parameter.
    values_v : ndarray, shape (V,)
        Its values.
    columns : list of Column
        What is known at each.
    sizes_s : list of int
        L or N; a column without the largest ones has NaN there.
    """
    n_sizes = len(sizes_s)

    def padded(x_s, shape=()):
        full = np.full((n_sizes, *shape), np.nan)
        full[: len(x_s)] = x_s
        return full

    plane, found = Group(), Group()
    for group in (plane, found):
        group.add("value", values_v, "value", "1", f"value of {name}")
        group.add("size", sizes_s, "size", "1", "linear size L, or N")
        group.attributes["parameter"] = name
    T_t = columns[0].temperatures_t
    plane.add("temperature", T_t, "temperature", "energy", "temperature")
    for curve, unit in _UNITS.items():
        for suffix, text in (("", ""), ("_err", "standard error of ")):
            rows = [padded(c.curves[curve + suffix], T_t.shape) for c in columns]
            plane.add(curve + suffix, rows, ("value", "size", "temperature"), unit,
                      text + curve.replace("_", " ") + ", reweighted")
    plane.add("phase", [c.phase_t for c in columns], ("value", "temperature"), "1",
              "phase: index into the attribute phases; -1: not known")
    plane.attributes["phases"] = list(PHASES)
    transitions = [c.transition for c in columns]
    found.add("label", [CLASSES.index(t.label) for t in transitions], "value", "1",
              "class: index into the attribute classes")
    found.attributes.update({"classes": list(CLASSES), "least_growth": LEAST_GROWTH,
                             "reasons": [t.reason for t in transitions]})
    for key, (unit, text) in _OF_VALUES.items():
        found.add(key, [getattr(t, key) for t in transitions], "value", unit, text)
        found.add(f"{key}_err", [getattr(t, f"{key}_err") for t in transitions], "value", unit,
                  f"standard error of {key}")
    found.add("temperature_shift", [t.temperature_shift for t in transitions], "value", "energy",
              "change of the temperature when the largest size was added")
    low_v, high_v = np.array([t.coexistence for t in transitions]).T
    found.add("coexistence_low", low_v, "value", "energy", "+Phi and -Phi coexist from this T ...")
    found.add("coexistence_high", high_v, "value", "energy", "... to this; NaN: nowhere")
    for key, (unit, text) in _OF_SIZES.items():
        for suffix, more in (("", ""), ("_err", "standard error of ")):
            rows = [padded(t.sizes.get(key + suffix, [])) for t in transitions]
            found.add(key + suffix, rows, ("value", "size"), unit, more + text)
    return {"phase_diagram": plane, "transitions": found}
