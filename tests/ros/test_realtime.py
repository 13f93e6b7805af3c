"""Real-time settings are applied where that is allowed; elsewhere they cost one line."""

import gc
import os
import sys
import threading

import pytest

pytest.importorskip('rclpy')

from trc_ros.controller import realtime
from trc_ros.controller.realtime import STEPS, RealtimeSettings

OFF = {'sched_fifo_priority': 0, 'cpu_affinity': [], 'lock_memory': False, 'disable_gc': False}


def realtime_of(**wanted):
    return RealtimeSettings(
        {f'realtime.{name}': value for name, value in {**OFF, **wanted}.items()}
    )


def in_a_thread(work):
    """What `work` returns in a thread of its own, whose settings die with it."""
    results = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    return results[0]


def test_threads_hand_the_interpreter_over_soon_while_the_loop_runs():
    subject, usual = realtime_of(), sys.getswitchinterval()
    subject.apply()
    assert sys.getswitchinterval() == pytest.approx(realtime.SWITCH_INTERVAL)
    subject.revert()
    assert sys.getswitchinterval() == usual


def test_nothing_is_touched_unless_asked_for():
    subject = realtime_of()
    before = os.sched_getaffinity(0)
    assert subject.apply() == []
    assert os.sched_getaffinity(0) == before
    assert gc.isenabled()
    assert subject.report == dict.fromkeys(STEPS, 'off')


def test_the_loop_thread_alone_is_bound_to_its_cpus():
    before = os.sched_getaffinity(0)
    one = min(before)
    subject = realtime_of(cpu_affinity=[one])
    assert in_a_thread(lambda: (subject.apply(), os.sched_getaffinity(0))) == ([], {one})
    assert os.sched_getaffinity(0) == before
    assert subject.report['cpu_affinity'] == f'[{one}]'


def test_garbage_is_collected_again_after_the_flight():
    subject = realtime_of(disable_gc=True)
    try:
        assert subject.apply() == []
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
        assert subject.report['disable_gc'] == 'on'
    finally:
        subject.revert()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    assert subject.report['disable_gc'] == 'off'


def test_the_scheduler_is_asked_for_the_priority(monkeypatch):
    asked = []
    monkeypatch.setattr(os, 'sched_setscheduler', lambda *arguments: asked.append(arguments))
    assert realtime_of(sched_fifo_priority=80).apply() == []
    (thread, policy, parameters), *others = asked
    assert (thread, policy, parameters.sched_priority) == (0, os.SCHED_FIFO, 80)
    assert all((o[1], o[2].sched_priority) == (os.SCHED_FIFO, 79) for o in others)


def may_schedule():
    """Whether this machine lets us into SCHED_FIFO."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


def test_whoever_may_hold_the_interpreter_is_scheduled_one_step_below():
    if not in_a_thread(may_schedule):
        pytest.skip('SCHED_FIFO is not permitted here')
    subject = realtime_of(sched_fifo_priority=80)
    main = threading.main_thread().native_id

    def priorities():
        assert subject.apply() == []
        flying = os.sched_getparam(0).sched_priority, os.sched_getparam(main).sched_priority
        subject.revert()
        return flying, os.sched_getscheduler(main)

    assert in_a_thread(priorities) == ((80, 79), os.SCHED_OTHER)


def refuse(*arguments):
    raise PermissionError(1, 'Operation not permitted')


class Libc:
    """Refuses to lock memory."""

    def mlockall(self, flags):
        return -1


def test_what_is_not_allowed_is_one_line_with_the_remedy_and_stops_nothing(monkeypatch):
    monkeypatch.setattr(os, 'sched_setscheduler', refuse)
    monkeypatch.setattr(realtime.ctypes, 'CDLL', lambda *_, **__: Libc())
    subject = realtime_of(sched_fifo_priority=80, lock_memory=True, cpu_affinity=[4095])
    lines = in_a_thread(subject.apply)
    assert [line.split(' has no effect: ')[0] for line in lines] == [
        'realtime.sched_fifo_priority',
        'realtime.cpu_affinity',
        'realtime.lock_memory',
    ]
    assert "add '@realtime - rtprio 98' to /etc/security/limits.conf" in lines[0]
    assert 'choose from the' in lines[1]
    assert "add '@realtime - memlock unlimited' to /etc/security/limits.conf" in lines[2]
    assert subject.report['sched_fifo_priority'] == 'failed: [Errno 1] Operation not permitted'


def test_a_flight_reports_what_became_of_its_settings(controller, probe):
    node = controller(
        *('-p', 'realtime.cpu_affinity:=[4095]', '-p', 'realtime.disable_gc:=true'),
    )
    probe.fly((1.0, 0.0), 0.5)
    report = probe.diagnosis('realtime')
    assert report['disable_gc'] == 'on'
    assert report['cpu_affinity'].startswith('failed: ')
    assert report['lock_memory'] == 'off'
    assert node.log().count('realtime.cpu_affinity has no effect') == 1
    assert node.interrupt() == 0
