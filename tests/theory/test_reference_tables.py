"""The tables of data/reference can be made again."""

import runpy

import pytest
from repository import REFERENCE


@pytest.mark.slow
def test_reference_tables_are_reproduced(tmp_path):
    script = runpy.run_path(str(REFERENCE / "make_reference.py"))
    script["main"](tmp_path)
    made = sorted(path.name for path in tmp_path.iterdir())
    assert len(made) == 10
    for name in made:
        assert (tmp_path / name).read_text() == (REFERENCE / name).read_text()
