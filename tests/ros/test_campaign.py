"""`trc faults`: its verdicts on recordings whose truth is known, and a short campaign over DDS."""

import json
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('rclpy')

from test_demo import wait_for

from trc_core import SYSTEMS
from trc_core.flight.safety import FALLBACKS
from trc_ros.lab.campaign import runner
from trc_ros.lab.campaign.command import main
from trc_ros.lab.campaign.contract import Contract
from trc_ros.lab.campaign.disturbances import DISTURBANCES, PLANT_FAULTS, Effect
from trc_ros.lab.campaign.fallbacks import TARGETS
from trc_ros.lab.campaign.report import page
from trc_ros.lab.campaign.store import Store
from trc_ros.lab.campaign.trial import Trial
from trc_ros.lab.campaign.verdict import Verdict, judge
from trc_ros.lab.recording import Horizon, Samples
from trc_ros.plant.faults import FAULTS

SYSTEM = SYSTEMS['van_der_pol']
PERIOD, TIMEOUT = 0.02, 0.2
BEGAN, ENDED, OVER = 1.0, 2.0, 2.5
LAST_STATE = 0.99  # measured before the fault
PLAN = np.sin(0.2 * np.arange(SYSTEM.horizon))[:, None]  # (T, n_u)
LQR = 0.5 * PLAN
TIMES = PERIOD * np.arange(1, round(OVER / PERIOD))


def lqr(x, goal):
    return LQR


def contract(fallback='tail', **changes):
    return Contract(SYSTEM, 1 / PERIOD, fallback, margin=0.005, **changes)


def held(controls, time):
    return controls[int((time - LAST_STATE) / SYSTEM.dt)]


FLOWN = {
    'tail': lambda time, before: held(PLAN, time),
    'lqr': lambda time, before: held(LQR, time),
    'hold': lambda time, before: before,
    'zero': lambda time, before: np.zeros(1),
    'none': lambda time, before: None,
}
"""What a faultless controller commands when its state is stale; None: nothing."""


def recorded(fallback='tail', stale_at=LAST_STATE + TIMEOUT):
    """What a controller does that loses its state for a second, at 50 Hz; its plan is `PLAN`."""
    times, commands, horizons = [], [np.zeros(1)], []
    for time in TIMES:
        blind = stale_at < time < ENDED
        u = FLOWN[fallback](time, commands[-1]) if blind else PLAN[0]
        if u is not None:
            times.append(time)
            commands.append(u)
        if not blind:
            start = LAST_STATE if BEGAN <= time < ENDED else time - 0.005
            horizons.append(Horizon(time + 0.001, start, np.zeros((101, 2)), PLAN))
    safety = [(0.5, 'active'), (1.5, 'fallback'), (2.3, 'active')]
    return Trial(
        'dropout',
        fallback,
        np.zeros(2),
        BEGAN,
        ENDED,
        Samples(np.array(times), np.array(commands[1:])),
        horizons,
        safety,
        Samples(np.empty(0), np.empty((0, 2))),
    )


def with_command(trial, time, u):
    """The same, but the command after `time` is u."""
    values = trial.commands.values.copy()
    values[np.searchsorted(trial.commands.times, time)] = u
    return replace(trial, commands=Samples(trial.commands.times, values))


def with_horizon(trial, **changes):
    """The same, but a horizon has other contents."""
    return replace(trial, horizons=[replace(trial.horizons[0], **changes), *trial.horizons[1:]])


def without_commands(trial, start, end):
    inside = (trial.commands.times > start) & (trial.commands.times < end)
    kept = Samples(trial.commands.times[~inside], trial.commands.values[~inside])
    return replace(trial, commands=kept)


@pytest.mark.parametrize('fallback', FALLBACKS)
def test_a_faultless_controller_passes(fallback):
    verdict = judge(recorded(fallback), contract(fallback), lqr)
    assert verdict.problems == ()
    assert verdict.state_age == pytest.approx(TIMEOUT, abs=1.01 * PERIOD)
    assert verdict.safe_after == pytest.approx(LAST_STATE + verdict.state_age - BEGAN)
    assert verdict.recovered_after == pytest.approx(PERIOD, abs=1.01 * PERIOD)
    assert verdict.commands == len(recorded(fallback).commands.times)


def test_every_fault_of_the_plant_is_flown():
    assert set(FAULTS) == set(PLANT_FAULTS)


def test_every_fallback_and_every_effect_can_be_judged():
    assert set(TARGETS) == set(FALLBACKS) == set(FLOWN)
    assert {disturbance.effect for disturbance in DISTURBANCES.values()} == set(Effect)


NAN = np.full((101, 2), np.nan)
UNSAFE = {
    '1 not finite': lambda t: with_command(t, 0.5, np.nan),
    '1 not finite, a state of a horizon': lambda t: with_horizon(t, states=NAN),
    '1 out of limits': lambda t: with_command(t, 0.5, 1.95),  # bounds: 2, limits: 1.9
    '1 out of limits, a control of a horizon': lambda t: with_horizon(t, controls=2.01 + 0 * PLAN),
    'beyond the rate limit': lambda t: with_command(t, 0.5, 1.8),
    "1 not the fallback 'tail'": lambda t: with_command(t, 1.5, held(PLAN, 1.5) + 0.01),
    'fallback after 310 ms, promised 225': lambda t: recorded(stale_at=LAST_STATE + 0.3),
    'no safe command': lambda t: without_commands(t, 1.19, ENDED),
    'diagnostics never said fallback': lambda t: replace(
        t, safety=[(0.5, 'active'), t.safety[-1]]
    ),
    'no recovery, no plan': lambda t: replace(
        t, horizons=[h for h in t.horizons if h.sent < ENDED]
    ),
    'no recovery, plans from old states': lambda t: replace(
        t, horizons=[replace(h, start=min(h.start, LAST_STATE)) for h in t.horizons]
    ),
    'no recovery, diagnostics': lambda t: replace(t, safety=t.safety[:-1]),
}
"""For every complaint, up to the comma: what earns it."""


@pytest.mark.parametrize('complaint', UNSAFE)
def test_what_is_unsafe_or_late_fails(complaint):
    problems = judge(UNSAFE[complaint](recorded()), contract(), lqr).problems
    expected = complaint if 'promised' in complaint else complaint.split(',')[0]
    assert any(expected in problem for problem in problems)


@pytest.mark.parametrize(
    ('flown', 'asked'), [('tail', 'zero'), ('zero', 'tail'), ('hold', 'none')]
)
def test_the_wrong_fallback_fails(flown, asked):
    verdict = judge(recorded(flown), contract(asked), lqr)
    assert verdict.wrong_fallback > 30
    assert not verdict.passed


def test_a_tail_that_is_not_published_is_held_to_the_limits_alone():
    trial = recorded('hold')
    bare = [replace(horizon, controls=PLAN[:0]) for horizon in trial.horizons]
    assert judge(trial, contract('tail'), lqr).wrong_fallback > 30
    assert judge(replace(trial, horizons=bare), contract('tail'), lqr).problems == ()


def test_a_fallback_may_be_approached_at_the_rate_limit():
    slow = recorded('zero')
    for time, u in ((1.17, 0.75), (1.19, 0.5), (1.21, 0.25)):
        slow = with_command(slow, time, u)
    assert judge(slow, contract('zero'), lqr).problems == ()
    away = with_command(slow, 1.21, 0.6)
    assert judge(away, contract('zero'), lqr).wrong_fallback == 1
    idle = with_command(slow, 1.21, 0.49)
    assert judge(idle, contract('zero'), lqr).wrong_fallback == 1


def test_a_flying_controller_must_go_on_in_time():
    trial = replace(recorded(stale_at=np.inf), fault='frozen')
    assert judge(trial, contract(), lqr).problems == ()
    silent = judge(without_commands(trial, BEGAN - 0.001, 1.4), contract(), lqr)
    assert silent.problems == ('command after 400 ms, promised 225',)
    assert silent.largest_gap == pytest.approx(0.4)


def test_a_new_process_is_not_held_to_the_rate_of_the_one_before():
    trial = replace(recorded(stale_at=np.inf), fault='kill_controller')
    trial = without_commands(trial, 1.01, 1.5)
    values = np.where(trial.commands.times[:, None] < 1.2, -1.8, 1.8)
    trial = replace(trial, commands=Samples(trial.commands.times, values))
    assert judge(replace(trial, spawned=(1.4,)), contract(), lqr).safe_after == pytest.approx(0.5)
    jump = replace(
        trial, commands=Samples(np.array([1.0, 1.02, 2.4]), np.array([[-1.8], [1.8], [0]]))
    )
    assert judge(replace(jump, spawned=(1.01,)), contract(), lqr).too_fast == 0
    assert judge(replace(jump, spawned=(0.5,)), contract(), lqr).too_fast == 1


@pytest.fixture
def settings():
    times = {'frequency': 50.0, 'duration': 1.0, 'margin': 0.02, 'state_timeout': 0.2}
    return {'system': 'van_der_pol', 'seed': 0, **times}


def test_figures_survive_in_their_file(tmp_path, settings):
    path = tmp_path / 'faults.json'
    first = Store(path, settings)
    first.add(judge(recorded(), contract(), lqr))
    again = Store(path, settings)
    assert again.verdicts == first.verdicts
    with pytest.raises(ValueError, match='other settings'):
        Store(path, {**settings, 'seed': 1})


def test_the_page_names_what_failed(tmp_path, settings):
    store = Store(tmp_path / 'faults.json', settings)
    store.add(judge(with_command(recorded(), 0.5, np.nan), contract(), lqr))
    store.add(judge(recorded('zero'), contract('zero'), lqr))
    text = page(store, 'faults.png')
    assert '**1 of 2 passed**' in text
    assert '- dropout, tail: 1 not finite' in text
    assert '**failed**' in text


@pytest.mark.parametrize(('problems', 'code'), [(('no recovery',), 1), ((), None)])
def test_the_exit_code_says_whether_all_was_well(tmp_path, monkeypatch, problems, code):
    def fly_campaign(contracts, faults, duration, seed, store):
        store.add(Verdict('dropout', 'tail', 0.2, 0.2, 0.02, problems=problems))

    monkeypatch.setattr(runner, 'fly_campaign', fly_campaign)
    if code is None:
        main(['--output', str(tmp_path)])
    else:
        with pytest.raises(SystemExit) as stop:
            main(['--output', str(tmp_path)])
        assert stop.value.code == code
    assert {path.suffix for path in tmp_path.iterdir()} == {'.json', '.md', '.png'}


FLOWN_FAULTS = ('dropout', 'nan_goal', 'wrong_type_state', 'kill_controller')
CAMPAIGN = (
    *(sys.executable, '-c', 'from trc_ros.lab.campaign.command import main; main()'),
    *('--system', 'double_integrator', '--fallback', 'zero', '--fault', *FLOWN_FAULTS),
    *('--frequency', '20', '--margin', '60'),  # a busy machine may take its time
)


def test_a_campaign_can_be_interrupted_and_gone_on_with_and_nothing_is_unsafe(tmp_path):
    command = [*CAMPAIGN, '--output', str(tmp_path)]
    path = tmp_path / 'faults.json'
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(path.is_file, 300.0)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert 'Traceback' not in errors
    kept = json.loads(path.read_text())['trials']
    assert [trial['fault'] for trial in kept] == list(FLOWN_FAULTS[: len(kept)])
    finished = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    results = json.loads(path.read_text())
    assert results['trials'][: len(kept)] == kept
    assert {trial['fault'] for trial in results['trials']} == set(FLOWN_FAULTS)
    for trial in results['trials']:
        unsafe = ('not_finite', 'out_of_limits', 'too_fast', 'wrong_fallback')
        assert [trial[count] for count in unsafe] == [0] * len(unsafe), trial
        assert trial['recovered_after'] is not None
        assert trial['commands'] > 10
    assert results['landings'] == {'zero': []}


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('--system', 'vdp'), "unknown system 'vdp'; choose from"),
        (('--frequency', '0'), '--frequency and --duration must be positive'),
    ],
)
def test_a_wrong_option_is_one_readable_line(arguments, message, capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        main([*arguments, '--output', str(tmp_path / 'none')])
    assert stop.value.code == 1
    errors = capsys.readouterr().err
    assert message in errors and len(errors.splitlines()) == 1
