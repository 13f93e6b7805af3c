"""`trc benchmark-fleet`: what its figures mean; never how fast."""

import json

import pytest

pytest.importorskip('rclpy')

from trc_ros.lab.children import NodeError
from trc_ros.lab.fleet_benchmark import command
from trc_ros.lab.fleet_benchmark.measurement import _figures, planning

LOOP = {
    'achieved_rate_hz': '49.9',
    'cycles': '100',
    'skipped_cycles': '3',
    'cycle_p50_us': '4000',
    'cycle_p99_us': '9000',
    'cycle_cpu_p50_us': '3000',
    'cycle_cpu_p99_us': '3500',
    'plan_time_p50_us': '1000',
    'plan_time_p99_us': '2000',
}
ROBOT = {'commands_published': '90', 'entered_fallback': '1', 'state': 'active'}


def test_counts_are_those_of_the_flight_that_was_measured():
    first = {'control_loop': LOOP, 'r1': ROBOT, 'r2': {**ROBOT, 'state': 'waiting'}}
    last = {
        'control_loop': {**LOOP, 'cycles': '600', 'skipped_cycles': '5'},
        'r1': {**ROBOT, 'commands_published': '590'},
        'r2': {**ROBOT, 'state': 'fallback', 'entered_fallback': '2'},
    }
    figures = _figures(first, last, ['r1', 'r2'])
    assert (figures['cycles'], figures['skipped_cycles'], figures['commands']) == (500, 2, 500)
    assert (figures['active'], figures['fallbacks']) == (1, 1)
    with pytest.raises(NodeError, match='no diagnostics'):
        _figures({}, last, ['r1', 'r2'])


def test_the_page_has_a_row_for_every_fleet():
    case = {
        'system': 'double_integrator',
        'robots': 2,
        'rate_hz': 50.0,
        'active': 2,
        'cycle_p50_us': 4000.0,
        'cycle_p99_us': 9000.0,
        'cycle_cpu_p50_us': 3000.0,
        'cycle_cpu_p99_us': 3500.0,
        'skipped_cycles': 1,
        'cycles': 500,
        'plan_time_p50_us': 1000.0,
        'plan_time_p99_us': 2000.0,
        'cpu_share': 0.25,
        'memory_mb': 200.0,
        'late_states': 0,
        'batch_ms': 0.5,
        'loop_ms': 1.0,
        'load': '0; 1',
    }
    page = command.report({'command': 'x', 'environment': {'cpu': 'y'}, 'cases': [case]}, 50.0)
    row = '| double_integrator | 2 | 50.0 | 4.00 / 9.00 | 3.00 / 3.50 | 1.00 / 2.00 | 1 of 500 |'
    assert row in page
    widths = {line.count('|') for line in page.splitlines() if line.startswith('| double')}
    assert widths == {len(command.HEADS) + 1}


def test_batch_and_loop_are_both_timed():
    times = planning('double_integrator', 3)
    assert set(times) == {'batch_ms', 'loop_ms'}
    assert all(value > 0.0 for value in times.values())


@pytest.mark.long
def test_a_short_flight_over_dds_is_measured_and_written(tmp_path):
    arguments = ['--systems', 'double_integrator', '--robots', '2', '--rate', '20']
    command.main([*arguments, '--seconds', '3', '--output', str(tmp_path)])
    [case] = json.loads((tmp_path / 'fleet.json').read_text())['cases']
    assert case['commands'] > 0 and case['active'] == 2
    assert case['memory_mb'] > 10.0
    assert (tmp_path / 'fleet.md').read_text().startswith('# Fleets')
