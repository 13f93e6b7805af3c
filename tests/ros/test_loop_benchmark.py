"""`trc benchmark-loop`: what its figures mean, and one short run over real DDS; never how fast."""

import ctypes
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState

from trc_ros.lab.loop_benchmark import stalls
from trc_ros.lab.loop_benchmark.bars import bars
from trc_ros.lab.loop_benchmark.cases import Case, parse
from trc_ros.lab.loop_benchmark.command import main
from trc_ros.lab.loop_benchmark.gil import Ticker
from trc_ros.lab.loop_benchmark.latency import Times, reaction, spread, stamp_of, transit
from trc_ros.lab.loop_benchmark.process_statistics import (
    MissCount,
    ProcessStatistics,
    unexplained_misses,
)
from trc_ros.lab.loop_benchmark.report import report

NAP = 20_000  # [us]
PERFECT = {
    'cycle_on': 'clock',
    'stalled_ms': 0.0,
    'seconds': 600.0,
    'load before': '0 0 0',
    'load after': '0 0 0',
    'scheduling': 'SCHED_FIFO (1 threads), SCHED_OTHER (9 threads)',
    'cpu_share': 0.1,
    'memory_mb': [(0.0, 200.0), (600.0, 201.0)],
    'tasks': {'set': 60, 'missed': 0},
    'loop': {
        'target_rate_hz': 100.0,
        'achieved_rate_hz': 100.0,
        'period_jitter_p50_us': 5.0,
        'period_jitter_p99_us': 100.0,
        'plan_time_p50_us': 200.0,
        'plan_time_p99_us': 300.0,
        'deadline_misses': 0.0,
        'cycles': 60_000.0,
    },
    'unexplained_misses': 0,
    'held_up_ms': {'p50': 1.0, 'p99': 2.0, 'count': 600},
    'state_us': {'p50': 200.0, 'p99': 400.0, 'count': 60_000},
    'command_us': {'p50': 200.0, 'p99': 400.0, 'count': 60_000},
    'reaction_us': {'p50': 5e3, 'p99': 9e3, 'count': 60_000},
    'interpreter': {'held_share': 0.02, 'plan_us': 200.0, 'plans': 500},
}


def times(*rows):
    """What was heard of a topic: (stamp, sent, arrived) in microseconds."""
    heard = Times()
    for row in rows:
        heard.add(*(1000 * value for value in row))
    return heard


def test_the_stamp_is_read_from_the_serialised_message():
    message = JointState(name=['slider'], position=[1.0])
    message.header.stamp.sec, message.header.stamp.nanosec = 1_795_332_551, 778_581_580
    assert stamp_of(serialize_message(message)) == 1_795_332_551_778_581_580


def test_a_transit_is_from_sending_to_arrival():
    assert transit(times((1, 2, 5), (11, 12, 13))).tolist() == [3.0, 1.0]


def test_a_reaction_is_from_the_state_that_was_used_to_the_command_of_that_cycle():
    states = times((100, 101, 0), (200, 202, 0), (300, 303, 0))
    commands = times((0, 250, 260), (0, 350, 365))
    # The second plan still starts from the second state; the last one from one never heard.
    horizons = times((200, 251, 0), (200, 351, 0), (400, 352, 0))
    assert reaction(states, commands, horizons).tolist() == [260 - 202, 365 - 202]
    assert spread(reaction(Times(), commands, horizons)) == {'count': 0}


def test_a_miss_is_explained_only_by_a_hold_up_of_that_second():
    quiet = [MissCount(0, 0.001 * k) for k in range(5)]
    assert unexplained_misses([*quiet, MissCount(1, 0.005)], 0.01) == 1
    assert unexplained_misses([*quiet, MissCount(1, 0.030)], 0.01) == 0
    assert unexplained_misses([*quiet, MissCount(0, 0.030), MissCount(2, 0.031)], 0.01) == 2
    assert unexplained_misses([MissCount(7, 0.0)], 0.01) == 0


def test_a_process_is_seen_as_the_kernel_accounts_for_it():
    process, own = ProcessStatistics(os.getpid()), os.times()
    cpu, end = process.cpu_seconds(), time.process_time() + 0.5
    while time.process_time() < end:
        pass
    spent = os.times()
    truth = spent.user + spent.system - own.user - own.system
    assert process.cpu_seconds() - cpu == pytest.approx(truth, abs=0.03)
    status = Path('/proc/self/status').read_text()
    resident = 1024 * int(re.search(r'VmRSS:\s+(\d+)', status)[1]) / 1e6
    assert process.resident_mb() == pytest.approx(resident, rel=0.02)
    assert 'SCHED_' in process.scheduling()
    assert process.held_up() >= 0.0


def test_a_machine_that_stands_still_is_noticed_and_the_watch_ends(monkeypatch):
    lost, naps = np.zeros(os.cpu_count()), iter([0.0, 0.05, 0.0, 0.02])
    monkeypatch.setattr(os, 'sched_setaffinity', lambda *_: None)
    monkeypatch.setattr(os, 'sched_setscheduler', lambda *_: None)
    clock = [100.0]

    def sleep(seconds):
        clock[0] += seconds + next(naps)

    monkeypatch.setattr(stalls, 'time', SimpleNamespace(monotonic=lambda: clock[0], sleep=sleep))
    with pytest.raises(StopIteration):
        stalls.watch(0, lost)
    assert lost[0] == pytest.approx(0.07)
    with stalls.MachineStalls() as machine:
        assert machine.seconds() >= 0.0
    assert machine._process.returncode is not None


@pytest.mark.parametrize(('library', 'holds'), [(ctypes.PyDLL, True), (ctypes.CDLL, False)])
def test_only_who_keeps_the_interpreter_stops_the_clock(library, holds):
    # PyDLL calls C with the interpreter held, CDLL lets go of it.
    nap, blocked = library(None).usleep, []
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with Ticker() as ticker:
            for _ in range(15):
                begin = time.perf_counter()
                nap(NAP)
                blocked.append((begin, time.perf_counter()))
    finally:
        sys.setswitchinterval(interval)
    shares = [ticker.blocked(*nap) / (1e-6 * NAP) for nap in blocked]
    assert np.max(shares) >= 0.9 if holds else np.min(shares) < 0.7


def test_perfect_figures_meet_every_bar_and_reach_the_page():
    judged = bars({'case': PERFECT})
    assert len(judged) == 9
    assert all(bar.met for bar in judged)
    results = {'command': 'trc benchmark-loop', 'environment': {'load': '0'}}
    page = report({**results, 'cases': {'case': PERFECT}})
    assert '| without wait | 600 / 1,100 |' in page
    assert 'missed**' not in page


@pytest.mark.parametrize(
    ('change', 'missed'),
    [
        ({'loop': {**PERFECT['loop'], 'achieved_rate_hz': 99.8}}, 'error of the rate'),
        ({'loop': {**PERFECT['loop'], 'period_jitter_p50_us': 21.0}}, 'jitter'),
        ({'cpu_share': 0.16}, 'of a core'),
        ({'state_us': {'p50': 700.0, 'p99': 900.0, 'count': 9}}, 'without the wait, p50'),
        ({'memory_mb': [(0.0, 200.0), (600.0, 197.9)]}, 'change of memory'),
        ({'tasks': {'set': 60, 'missed': 1}}, 'goals missed'),
        ({'unexplained_misses': 1}, 'unexplained deadline misses'),
    ],
)
def test_one_bad_figure_misses_one_bar(change, missed):
    broken = [bar.what for bar in bars({'case': {**PERFECT, **change}}) if not bar.met]
    assert len(broken) == 1
    assert missed in broken[0]


def test_jitter_is_judged_under_fifo_only_and_memory_after_ten_minutes_only():
    mild = {**PERFECT, 'scheduling': 'SCHED_OTHER (9 threads)', 'seconds': 30.0}
    texts = [bar.what for bar in bars({'case': mild})]
    assert not [text for text in texts if 'jitter' in text or 'memory' in text]


def test_a_case_is_written_as_system_and_rate():
    assert parse('van_der_pol:100') == Case('van_der_pol', 100.0)
    assert parse(str(parse('double_integrator:62.5'))).frequency == 62.5
    assert parse('pendulum:50:state') == Case('pendulum', 50.0, 'state')
    assert str(parse('pendulum:50:state')) == 'pendulum:50:state'


def test_a_loop_that_states_wake_is_judged_by_its_reaction():
    woken = {**PERFECT, 'cycle_on': 'state', 'reaction_us': {'p50': 999.0, 'p99': 2001.0}}
    judged = {bar.what: bar.met for bar in bars({'case': woken})}
    assert judged['case: state to command, p50'] and not judged['case: state to command, p99']
    assert not any('rate' in what or 'jitter' in what or 'without' in what for what in judged)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--cases', 'vdp:100'], "unknown system 'vdp'; choose from"),
        (['--cases', 'van_der_pol'], 'write SYSTEM:HZ, like double_integrator:100'),
        (['--cases', 'van_der_pol:9:goal'], "a cycle begins on clock or state, not 'goal'"),
        (['--cases', 'van_der_pol:0'], 'the rate is 0 Hz; choose from 1 to 1000'),
        (['--seconds', '0'], '0 s are too short'),
    ],
)
def test_a_wrong_option_is_named(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code
    assert message in capsys.readouterr().err


@pytest.mark.long
def test_a_short_run_leaves_a_page_a_picture_and_all_figures(tmp_path):
    module = 'trc_ros.lab.loop_benchmark.command'
    command = [sys.executable, '-m', module, '--fifo', '--seconds', '2']
    command += ['--cases', 'double_integrator:50', '--output', tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / 'loop.json').read_text())
    [(name, figures)] = results['cases'].items()
    assert name == 'double_integrator:50'
    assert figures['loop']['target_rate_hz'] == 50.0
    assert figures['loop']['cycles'] > 50
    assert figures['tasks'] == {'set': 1, 'missed': 0}
    assert all(figures[key]['count'] > 50 for key in ('state_us', 'command_us', 'reaction_us'))
    # Whoever waits for the next cycle waits at least for the command's way.
    assert figures['reaction_us']['p99'] > figures['command_us']['p50'] > 0.0
    assert 0.0 < figures['cpu_share'] < 2.0
    assert 0.0 <= figures['interpreter']['held_share'] < 1.0
    assert figures['load before'] and 'SCHED_' in figures['scheduling']
    assert (tmp_path / 'loop.png').stat().st_size > 1000
    assert (tmp_path / 'loop.md').read_text().strip() in done.stdout
