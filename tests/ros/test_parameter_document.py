"""docs/parameters.md says what the table says."""

import pytest

pytest.importorskip('rclpy')

from probe import ROOT

from trc_ros.parameters.document import document
from trc_ros.parameters.table import SPECS


def test_the_page_is_up_to_date():
    page = (ROOT / 'docs' / 'parameters.md').read_text()
    assert page == document(), 'run python -m trc_ros.parameters.document > docs/parameters.md'


def test_every_parameter_has_exactly_one_row():
    rows = [line.split('`')[1] for line in document().splitlines() if line.startswith('| `')]
    assert sorted(rows) == sorted(spec.name for spec in SPECS)
