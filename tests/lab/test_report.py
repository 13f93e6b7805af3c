"""The report: one file that needs no other, and shows what was recorded."""

import base64
import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import sync_playwright
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from trc_core import SYSTEMS
from trc_core.lab.report import flight as report_flight
from trc_core.lab.report.bag import read_bag
from trc_core.lab.report.command import main
from trc_core.lab.report.html import PLAYER
from trc_core.systems import cartpole, quadrotor_2d

RESULTS = Path(__file__).parents[2] / 'docs' / 'results'
STORE = get_typestore(Stores.ROS2_JAZZY)
TYPE = STORE.types
STATES, COMMANDS, RATE = 60, 30, 50.0  # the plant's states come at this rate [Hz]
START = 1_700_000_000.0  # [s since the epoch]
VOID = ('meta', 'img', 'input', 'br', 'hr', 'link')
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')
DRAWN = """(canvas, colour) => {
  const seen = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  const near = (i) => colour.every((value, k) => Math.abs(seen[i + k] - value) < 30);
  return seen.some((_, i) => i % 4 == 0 && seen[i + 3] > 60 && near(i));
}"""


class Reader(HTMLParser):
    """Reads a file as a browser would, strictly."""

    def __init__(self):
        super().__init__()
        self.open, self.rows, self.sources, self.films, self.text = [], [[]], [], [], ''

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        self.sources += [attributes[k] for k in ('src', 'href', 'srcset') if k in attributes]
        if tag == 'table':
            self.rows.append([])
        if tag == 'tr':
            self.rows[-1].append([])
        if tag in ('td', 'th'):
            self.rows[-1][-1].append('')

    def handle_startendtag(self, tag, attributes):
        assert tag in VOID
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-2:] == ['figure', 'script']:
            self.films.append(json.loads(data))
        elif self.open and self.open[-1] in ('td', 'th'):
            self.rows[-1][-1][-1] += data
        else:
            self.text += data


def opened(path):
    """The file, checked: balanced, even tables, and nothing that lies elsewhere."""
    reader = Reader()
    reader.feed(path.read_text())
    reader.close()
    assert reader.open == []
    for table in reader.rows:
        assert len({len(row) for row in table}) <= 1
    for source in reader.sources:
        kind, _, data = source.partition(';base64,')
        assert kind in ('data:image/png', 'data:image/svg+xml')
        assert base64.b64decode(data, validate=True)
    assert 'http' not in path.read_text().replace('http-equiv', '')
    return reader


@pytest.fixture(scope='module')
def chromium():
    """Headless Chromium: this machine's, or the one of `playwright install chromium`."""
    with sync_playwright() as playwright:
        installed = next(filter(None, map(shutil.which, BROWSERS)), None)
        if installed is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip('no Chromium here')
        with playwright.chromium.launch(executable_path=installed) as browser:
            yield browser


def shown(chromium, path):
    """The file on a screen: without errors, wide pictures only, and nothing from elsewhere."""
    screen, complaints, requests = chromium.new_page(), [], []
    screen.on('pageerror', lambda error: complaints.append(str(error)))
    screen.on('console', lambda message: complaints.append(message.text))
    screen.on('request', lambda request: requests.append(request.url))
    screen.goto(path.as_uri())
    assert complaints == []
    assert [url for url in requests if not url.startswith('data:')] == [path.as_uri()]
    widths = screen.locator('img').evaluate_all('all => all.map(image => image.naturalWidth)')
    assert min(widths) > 300
    assert screen.evaluate('document.documentElement.scrollWidth <= innerWidth')
    return screen


def stamp(time):
    return TYPE['builtin_interfaces/msg/Time'](int(time), round(1e9 * (time % 1)))


def header(time):
    return TYPE['std_msgs/msg/Header'](stamp(time), '')


def coordinates(system, x):
    """Positions and velocities by joint."""
    return (
        np.array([x[joint.position] for joint in system.joints]),
        np.array([x[joint.velocity] for joint in system.joints]),
    )


def joint_state(system, time, x):
    names = [joint.name for joint in system.joints]
    kind = TYPE['sensor_msgs/msg/JointState']
    return kind(header(time), names, *coordinates(system, x), np.array([]))


def command(system, time, u):
    layout = TYPE['std_msgs/msg/MultiArrayLayout']([], 0)
    return TYPE['std_msgs/msg/Float64MultiArray'](layout, np.asarray(u, dtype=np.float64))


def horizon(system, time, states):
    duration = TYPE['builtin_interfaces/msg/Duration']
    points = [
        TYPE['trajectory_msgs/msg/JointTrajectoryPoint'](
            *coordinates(system, x), np.array([]), np.array([]), duration(0, 0)
        )
        for x in states
    ]
    names = [joint.name for joint in system.joints]
    return TYPE['trajectory_msgs/msg/JointTrajectory'](header(time), names, points)


def record(path, system, space):
    """A bag of a made-up flight, and its states (N, n_x)."""
    rng, known = np.random.default_rng(0), {}
    states = np.cumsum(0.02 * rng.standard_normal((STATES, system.n_x)), axis=0)
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:

        def write(topic, kind, message, time):
            if topic not in known:
                known[topic] = writer.add_connection(f'{space}/{topic}', kind, typestore=STORE)
            writer.write(known[topic], round(1e9 * time), STORE.serialize_cdr(message, kind))

        goal = joint_state(system, START, np.zeros(system.n_x))
        write('goal', 'sensor_msgs/msg/JointState', goal, START)
        for i, x in enumerate(states):
            time = START + i / RATE
            message = joint_state(system, time, x)
            write('state', 'sensor_msgs/msg/JointState', message, time + 0.001)
            if i % 2 == 0:
                u = system.u_max if i % 4 == 0 else system.u_trim
                write('command', 'std_msgs/msg/Float64MultiArray', command(system, 0, u), time)
            if i % 10 == 0:
                plan = horizon(system, time, x + np.zeros((system.horizon + 1, 1)))
                write('controller/horizon', 'trajectory_msgs/msg/JointTrajectory', plan, time)
    return states


@pytest.mark.parametrize('name', ['cartpole', 'quadrotor_2d', 'van_der_pol'])
def test_a_bag_is_read_as_it_was_recorded(name, tmp_path):
    system = SYSTEMS[name]
    states = record(tmp_path / 'bag', system, f'/{name}')
    (flight,) = read_bag(tmp_path / 'bag')
    assert flight.system is system and flight.name == name
    np.testing.assert_allclose(flight.states.values, states)
    np.testing.assert_allclose(flight.states.times, np.arange(STATES) / RATE, atol=1e-6)
    assert len(flight.commands.times) == COMMANDS
    np.testing.assert_allclose(flight.horizons[2].states[0], states[20])
    assert flight.horizons[2].start == pytest.approx(20 / RATE, abs=1e-6)


@pytest.mark.parametrize('name', ['cartpole', 'quadrotor_2d'])
def test_the_report_of_a_bag_is_one_file_with_an_animation(name, tmp_path):
    system = SYSTEMS[name]
    states = record(tmp_path / 'bag', system, f'/{name}')
    main([str(tmp_path / 'bag'), '--output', str(tmp_path / 'flight.html')])
    reader = opened(tmp_path / 'flight.html')
    assert len(reader.sources) == 2  # signals and phase portraits
    figures = dict(reader.rows[1][1:])
    assert figures['states'] == str(STATES) and figures['horizons'] == '6'
    assert figures['controls on a bound'] == '50.0%'
    assert float(figures['sum |x - goal| at the end']) == pytest.approx(
        np.abs(states[-1]).sum(), abs=1e-4
    )
    (film,) = reader.films
    assert len(film['frames']) == pytest.approx((STATES - 1) / RATE / film['period'] + 1, abs=1)
    left, right, bottom, top = film['view']
    points = [p for lines in film['frames'] for _, _, part in lines for p in part]
    assert all(left < x < right and bottom < y < top for x, y in points)


@pytest.mark.parametrize('name', ['cartpole', 'quadrotor_2d'])
def test_chromium_plays_the_animation_until_it_is_clicked(name, tmp_path, chromium):
    record(tmp_path / 'bag', SYSTEMS[name], f'/{name}')
    main([str(tmp_path / 'bag'), '--output', str(tmp_path / 'flight.html')])
    screen = shown(chromium, tmp_path / 'flight.html')
    assert screen.locator('img').count() == 2  # signals and phase portraits
    screen.wait_for_function('document.querySelector("input").value > 3')
    canvas, slider = screen.locator('canvas'), screen.locator('input')
    for colour in (report_flight.INK, report_flight.TARGET):
        assert canvas.evaluate(DRAWN, list(bytes.fromhex(colour[1:])))
    canvas.click()
    stopped = slider.input_value()
    screen.wait_for_timeout(200)  # [ms], five frames
    assert slider.input_value() == stopped
    before = canvas.screenshot()
    slider.fill('0')
    assert canvas.screenshot() != before


def test_chromium_shows_every_page_of_results(tmp_path, chromium):
    main([str(RESULTS), '--output', str(tmp_path / 'results.html')])
    screen = shown(chromium, tmp_path / 'results.html')
    pictures = sum(page.read_text().count('![') for page in RESULTS.glob('*.md'))
    assert screen.locator('img').count() == pictures
    assert screen.locator('table').evaluate_all('all => all.every(table => table.rows.length > 1)')


def test_outlines_stand_where_the_state_says():
    upright, hanging = np.zeros(4), np.array([0.5, 0.0, np.pi, 0.0])
    assert cartpole.outline(upright)[1][1] == pytest.approx([0.0, 1.0])
    assert cartpole.outline(hanging)[1][1] == pytest.approx([0.5, -1.0])
    tilted = np.array([1.0, 2.0, 0.3, 0.0, 0.0, 0.0])
    beam = quadrotor_2d.outline(tilted)[0]
    assert beam.mean(0) == pytest.approx([1.0, 2.0])
    along = beam[1] - beam[0]
    assert np.arctan2(along[1], along[0]) == pytest.approx(0.3)  # T2 at the right end lifts phi


def test_a_signal_holds_its_value_until_the_next():
    signal = report_flight.Signal(np.array([0.0, 1.0]), np.array([[1.0], [2.0]]))
    times = np.array([-1.0, 0.0, 0.9, 1.0, 5.0])
    assert report_flight.held(signal, times)[:, 0].tolist() == [1, 1, 1, 2, 2]


def test_a_system_that_shares_its_joints_is_told_apart_by_the_namespace(tmp_path):
    record(tmp_path / 'bag', SYSTEMS['cartpole_swingup'], '/cartpole_swingup')
    (flight,) = read_bag(tmp_path / 'bag')
    assert flight.system is SYSTEMS['cartpole_swingup']


def test_an_evaluation_becomes_tables_and_pictures(tmp_path):
    row = {'mean': 1.01, 'median': 1.0, 'p95': 1.02, 'worst': 1.5, 'success': 0.9, 'wrong': 0.1}
    run = tmp_path / 'figures.json'
    run.write_text(json.dumps({'van_der_pol': {'lqr': row}, 'pendulum': {'a < b': row}}))
    main([str(tmp_path), '--output', str(tmp_path / 'new' / 'all.html')])
    assert len(opened(tmp_path / 'new' / 'all.html').sources) == 2
    main([str(run)])
    reader = opened(tmp_path / 'figures.html')
    assert reader.rows[2][1] == [
        'a < b',
        *['1.010000', '1.000000', '1.020000', '1.500000'],
        '90.0%',
        '10.0%',
    ]
    assert len(reader.sources) == 2


def test_an_experiment_becomes_its_page_with_the_picture_inside(tmp_path):
    from matplotlib.figure import Figure

    (tmp_path / 'x.json').write_text(json.dumps({'experiment': 'x'}))
    Figure().savefig(tmp_path / 'x.png')
    text = (
        '# x\n\n![x](x.png)\n\nSee [there](../other.md).\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n'
    )
    (tmp_path / 'x.md').write_text(text)
    main([str(tmp_path / 'x.json')])
    reader = opened(tmp_path / 'x.html')
    assert reader.rows[1] == [['a', 'b'], ['1', '2']]
    data = reader.sources[0].partition(';base64,')[2]
    assert base64.b64decode(data) == (tmp_path / 'x.png').read_bytes()
    main([str(tmp_path), '--output', str(tmp_path / 'all.html')])
    text = opened(tmp_path / 'all.html').text
    assert text.count('See there.') == 1  # the figures and their page are one


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('nothing.json', None, 'no run at'),
        ('a.csv', '1,2', 'give a file that ends in'),
        ('a.json', '{"a": {"b": 1}}', 'holds no figures of'),
        *(
            ('a.json', content, 'holds no figures of')
            for content in ('[1]', '3', '{}', '{"a": {}}')
        ),
        ('a.json', '{"a": ', 'is not JSON: Expecting value'),
        ('a.mcap', '', "a.mcap' is no bag, or a crash cut it short: "),
        ('a.db3', 'damaged', "a.db3' is no bag, or a crash cut it short: "),
    ],
)
def test_what_cannot_be_reported_is_one_readable_line(name, content, message, tmp_path, capsys):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(SystemExit):
        main([str(tmp_path / name)])
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1


def test_a_flight_that_a_crash_cut_short_is_one_readable_line(tmp_path, capsys):
    record(tmp_path / 'bag', SYSTEMS['cartpole'], '/cartpole')
    (file,) = (tmp_path / 'bag').glob('*.mcap')
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(SystemExit):
        main([str(tmp_path / 'bag')])
    error = capsys.readouterr().err
    assert "bag' is no bag, or a crash cut it short: " in error and error.count('\n') == 1


def test_a_report_is_not_written_over_what_it_reports_on(tmp_path, capsys):
    run = tmp_path / 'a.md'
    run.write_text('# a')
    with pytest.raises(SystemExit):
        main([str(run), '--output', str(run)])
    assert "a.md' must end in .html" in capsys.readouterr().err
    assert run.read_text() == '# a'


def test_an_empty_folder_is_no_run(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert 'holds neither a bag nor files that end in .md or .json' in capsys.readouterr().err


@pytest.mark.skipif(shutil.which('node') is None, reason='no JavaScript engine here')
def test_the_player_draws_every_line_of_a_frame(tmp_path):
    film = {'frames': [[['red', 1, [[0, 0], [1, 1], [1, 0]]]]], 'view': [0, 2, 0, 1], 'period': 1}
    script = f"""
        const drawn = [];
        const pen = new Proxy({{}}, {{
          get: (_, name) => (...given) => drawn.push([name, ...given]), set: () => true }});
        const canvas = {{ width: 200, height: 100, getContext: () => pen }};
        const parts = {{ script: {{ textContent: {json.dumps(json.dumps(film))} }},
          canvas, input: {{ value: 0 }} }};
        const figure = {{ dataset: {{}}, querySelector: (name) => parts[name] }};
        globalThis.document = {{ querySelectorAll: () => [figure] }};
        let frames = 0;
        globalThis.requestAnimationFrame = (play) => {{ if (frames++ < 2) play(1000 * frames); }};
        {PLAYER}
        console.log(JSON.stringify(drawn.filter((d) => /To$|stroke/.test(d[0]))));
    """
    (tmp_path / 'player.js').write_text(script)
    ran = subprocess.run(['node', tmp_path / 'player.js'], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    drawn = json.loads(ran.stdout)[:4]
    assert drawn == [['moveTo', 0, 100], ['lineTo', 100, 0], ['lineTo', 100, 100], ['stroke']]
