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

from trc_core import SYSTEMS, get_system
from trc_core.flight.safety import FALLBACKS
from trc_core.numerics.cost import TURN
from trc_ros.lab.campaign import runner
from trc_ros.lab.campaign.command import main
from trc_ros.lab.campaign.contract import GOAL_TIMEOUT, Contract
from trc_ros.lab.campaign.disturbances import DISTURBANCES, Effect
from trc_ros.lab.campaign.evidence import constraint_named, turns_counted
from trc_ros.lab.campaign.fallbacks import TARGETS
from trc_ros.lab.campaign.report import page
from trc_ros.lab.campaign.store import Store
from trc_ros.lab.campaign.trial import Exit, Trial
from trc_ros.lab.campaign.verdict import Verdict, judge
from trc_ros.lab.recording import Diagnosis, Horizon, Samples
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
    said = [Diagnosis(t, s) for t, s in ((0.5, 'active'), (1.5, 'fallback'), (2.3, 'active'))]
    return Trial(
        'dropout',
        fallback,
        np.zeros(2),
        BEGAN,
        ENDED,
        Samples(np.array(times), np.array(commands[1:])),
        horizons,
        said,
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
    assert set(FAULTS) <= set(DISTURBANCES)


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
        t, diagnoses=[t.diagnoses[0], t.diagnoses[-1]]
    ),
    'no recovery, no plan': lambda t: replace(
        t, horizons=[h for h in t.horizons if h.sent < ENDED]
    ),
    'no recovery, plans from old states': lambda t: replace(
        t, horizons=[replace(h, start=min(h.start, LAST_STATE)) for h in t.horizons]
    ),
    'no recovery, diagnostics': lambda t: replace(t, diagnoses=t.diagnoses[:-1]),
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


def flown(fault, state='active', level=0, **values):
    """What a controller does that goes on through a fault; meanwhile diagnostics say this."""
    trial = recorded(stale_at=np.inf)
    fresh = [replace(h, start=h.sent - 0.006) for h in trial.horizons]
    said = [
        Diagnosis(t, state, level, values) if BEGAN < t < ENDED else Diagnosis(t, 'active')
        for t in np.arange(0.5, OVER, 0.05)
    ]
    return replace(trial, fault=fault, horizons=fresh, diagnoses=said)


def test_a_flying_controller_must_go_on_in_time():
    trial = flown('frozen')
    assert judge(trial, contract(), lqr).problems == ()
    silent = judge(without_commands(trial, BEGAN - 0.001, 1.4), contract(), lqr)
    assert silent.problems == ('command after 400 ms, promised 225',)
    assert silent.largest_gap == pytest.approx(0.4)


def test_a_flying_controller_must_plan_from_new_states_and_not_fall_back():
    blind = [h for h in flown('frozen').horizons if not 1.2 < h.sent < 1.8]
    late = judge(replace(flown('frozen'), horizons=blind), contract(), lqr)
    assert late.problems == ('the newest plan after 625 ms, promised 225',)
    lost = flown('two_drivers', state='fallback', reason='no usable plan left')
    assert judge(lost, contract(), lqr).problems == ('it fell back: no usable plan left',)


def test_a_controller_that_still_complains_has_not_recovered():
    trial = flown('frozen')
    wary = [replace(d, level=2) for d in trial.diagnoses]
    assert judge(replace(trial, diagnoses=wary), contract(), lqr).problems == ('no recovery',)


HERE = {'goal_position': '0', 'goal_velocity': '0'}
RIVAL = "'/x/command' is also published by '/x/fault_injector': stop one of them"
SIGNS = {
    'far_goal': (
        flown('far_goal', **HERE, goal_rejected_out_of_range='1'),
        {
            'goal_rejected_out_of_range was not counted': flown('far_goal', **HERE),
            'another goal: [20.0, 0.0]': flown(
                'far_goal', goal_position='20', goal_velocity='0', goal_rejected_out_of_range='1'
            ),
        },
    ),
    'second_controller': (
        flown('second_controller', level=2, other_publishers=RIVAL),
        {
            'never named the other publisher': flown(
                'second_controller', level=2, other_publishers='none'
            ),
            'named the other publisher in an error': flown(
                'second_controller', other_publishers=RIVAL
            ),
        },
    ),
}
"""Of faults that diagnostics must tell of: a trial that passes, and some by their complaints."""


@pytest.mark.parametrize('fault', SIGNS)
def test_what_diagnostics_must_say_is_missed_where_they_do_not(fault):
    right, wrong = SIGNS[fault]
    assert judge(right, contract(), lqr).problems == ()
    for complaint, trial in wrong.items():
        (problem,) = judge(trial, contract(), lqr).problems
        assert complaint in problem


def test_an_obstacle_must_degrade_the_flight_by_its_name():
    def problems(**said):
        return constraint_named(flown('obstacle_in_state', **said), around_circles)

    around_circles = Contract(get_system('bicycle_circles'), 1 / PERIOD, 'tail')
    named = "constraint 'circle_1' is violated by 0.9 after 0.1 s: nothing better was found"
    assert problems(state='degraded', reason=named) == []
    assert problems(state='active', reason=named) != []
    assert problems(state='degraded', reason='plan is late') != []


def stopped(fallback, stale_at, reason='goal is stale', follows='reference'):
    """What a controller does whose references stop for a while, and that knows from a time on."""
    trial = replace(recorded(fallback, stale_at), fault='reference_stops')
    before = [h for h in trial.horizons if h.sent < BEGAN]
    during = [replace(h, start=h.sent - 0.006) for h in recorded(stale_at=np.inf).horizons]
    horizons = [*before, *(h for h in during if BEGAN < h.sent < stale_at or h.sent > ENDED)]
    said = [
        Diagnosis(t, 'fallback', 2, {'reason': reason, 'follows': follows})
        if stale_at < t < ENDED
        else Diagnosis(t, 'active', 0, {'follows': follows})
        for t in np.arange(0.5, OVER, 0.05)
    ]
    return replace(trial, horizons=horizons, diagnoses=said)


@pytest.mark.parametrize('fallback', ['lqr', 'hold', 'zero', 'none'])
def test_when_references_stop_the_fallback_must_fly_in_time_and_for_that_reason(fallback):
    in_time, too_late = BEGAN + GOAL_TIMEOUT + 0.003, BEGAN + GOAL_TIMEOUT + 0.103
    assert judge(stopped(fallback, in_time), contract(fallback), lqr).problems == ()
    (late,) = judge(stopped(fallback, too_late), contract(fallback), lqr).problems
    assert late in [f'fallback after {ms} ms, promised 425' for ms in (500, 520)]
    other = judge(stopped(fallback, in_time, 'state is stale'), contract(fallback), lqr)
    assert other.problems == ('diagnostics never said that the goal is stale',)
    goal = judge(stopped(fallback, in_time, follows='goal'), contract(fallback), lqr)
    assert goal.problems == ('no reference was followed before it stopped',)
    never = judge(stopped(fallback, np.inf), contract(fallback), lqr)
    assert 'diagnostics never said fallback' in never.problems


def test_after_its_end_a_reference_must_rest_at_its_last_point():
    def problems(at, follows='reference'):
        said = [
            Diagnosis(t, 'active', 0, {'follows': follows, 'reference_position': at})
            for t in np.arange(0.5, OVER, 0.05)
        ]
        trial = replace(flown('reference_ends'), goal=np.array([0.188069, 0.0]), diagnoses=said)
        return judge(trial, contract(), lqr).problems

    assert problems('0.188069') == ()
    assert problems('0') == ('the aim is [0.0], the reference ended at 0.188069',)
    assert problems('0.188069', follows='goal') == ('no reference was followed before it stopped',)


def test_a_controller_that_is_hung_up_on_must_land_and_end_well():
    trial = without_commands(flown('sighup'), 1.1, ENDED)
    last = np.searchsorted(trial.commands.times, 1.11) - 1
    values = trial.commands.values.copy()
    values[: last + 1] = 0.5 * np.clip(1.1 - trial.commands.times[: last + 1, None], 0.0, 0.1)
    values[last] = 0.0
    landed = replace(
        trial,
        commands=Samples(trial.commands.times, values),
        spawned=(ENDED,),
        exit=Exit(1.2, 0),
    )
    verdict = judge(landed, contract(), lqr)
    assert verdict.problems == ()
    assert verdict.safe_after == pytest.approx(0.1, abs=1.01 * PERIOD)
    killed = judge(replace(landed, exit=Exit(1.2, -1)), contract(), lqr)
    assert killed.problems == ('it ended with code -1',)
    values[last] = 0.01
    assert judge(landed, contract(), lqr).problems == (
        'the last command was [0.01], expected [0.0]',
    )
    silent = judge(without_commands(landed, BEGAN - 0.001, 1.2), contract(), lqr)
    assert 'no safe command' in silent.problems


def test_plans_must_not_jump_by_a_turn_with_the_angles_that_are_sent():
    system = SYSTEMS['pendulum']
    angles = np.pi + TIMES - 1.2
    sent = np.stack([np.where(TIMES < BEGAN, angles, np.remainder(angles + np.pi, TURN) - np.pi)])

    def problems(states, starts):
        horizons = [
            Horizon(t, t, np.array([[a, 0.0]]), PLAN[:0])
            for t, a in zip(TIMES, starts, strict=True)
        ]
        measured = Samples(TIMES, np.stack([states, 0 * states], -1))
        trial = replace(flown('wrapped_angle'), horizons=horizons, states=measured)
        return turns_counted(trial, Contract(system, 1 / PERIOD, 'tail'))

    assert problems(sent[0], angles) == []
    assert problems(sent[0], sent[0]) == ['1 plans begin a turn away from the one before']
    assert problems(angles, angles) == ['no angle jumped: nothing was tested']


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


@pytest.mark.long
def test_a_campaign_can_be_interrupted_and_gone_on_with_and_nothing_is_unsafe(tmp_path):
    command = [*CAMPAIGN, '--output', str(tmp_path)]
    path = tmp_path / 'faults-double_integrator.json'
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
