"""What reaches the terminal."""

import pytest

from phasegrok.text import printable


@pytest.mark.parametrize("text, shown", [
    ("clear \x1b[2J", r"clear \x1b[2J"),
    ("\x9b2J", r"\x9b2J"),
    ("over\rwritten", r"over\rwritten"),
    ("bell \x07, nul \0, delete \x7f", r"bell \x07, nul \x00, delete \x7f"),
    ("5.0 \u202e1.0\u202c", r"5.0 \u202e1.0\u202c"),
    ("\u2066isolated\u2069", r"\u2066isolated\u2069"),
    ("two\u2028lines", r"two\u2028lines"),
    ("path \udc80", r"path \udc80"),
    ("tag \U000e0041", r"tag \U000e0041"),
    ("⟨Φ²⟩ = 1.0 ± 0.1\n\tü 漢\\n", "⟨Φ²⟩ = 1.0 ± 0.1\n\tü 漢\\n"),
])
def test_no_control_character_reaches_the_terminal(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown
