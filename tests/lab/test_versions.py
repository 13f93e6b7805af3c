import json

import pytest

from trc_core.lab.benchmark import versions
from trc_core.lab.benchmark.command import main
from trc_core.lab.benchmark.options import Options


def test_a_version_beside_itself_plans_the_same(tmp_path, capsys):
    arguments = ['--sections', 'versions', '--systems', 'double_integrator', '--quick']
    main([*arguments, '--against', str(versions.HERE), '--output', str(tmp_path)])
    results = json.loads((tmp_path / 'benchmark.json').read_text())['versions']
    for task in ('cold', 'warm'):
        figures = results['double_integrator'][task]
        assert figures['this version']['count'] == figures['other version']['count'] >= 20
        assert figures['largest difference of J'] == 0.0
        p50 = [figures[label]['p50'] for label in ('this version', 'other version')]
        assert figures['ratio of p50'] == p50[0] / p50[1]
    page = (tmp_path / 'benchmark.md').read_text()
    assert '## Beside another version' in page and '| double_integrator, cold |' in page


def test_another_version_must_be_a_checkout(tmp_path):
    with pytest.raises(ValueError, match='is no checkout of trc'):
        Options(against=tmp_path)


def test_a_checkout_without_the_controller_is_refused_in_one_line(tmp_path):
    (tmp_path / 'trc_core').mkdir()
    (tmp_path / 'trc_core' / '__init__.py').write_text('Controller = None')
    with pytest.raises(ValueError, match=f"no controller 'van_der_pol' starts in '{tmp_path}'"):
        versions._Version(tmp_path, 'van_der_pol')
