"""A wheel built from the tree holds everything that ROS, launch and pip look for."""

import importlib.metadata
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from trc_core import Controller

ROOT = Path(__file__).resolve().parents[1]
SKIPPED = shutil.ignore_patterns('.git', '.venv*', '.*_cache', '__pycache__', '*.egg-info')
IGNORED = (ROOT / '.gitignore').read_text().splitlines()
WRITTEN = {line.strip('/') for line in IGNORED if line.startswith('/')}  # beside the sources


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    """The folder of an sdist, and of the wheel that was built from it and nothing else."""
    pytest.importorskip('build')
    place = tmp_path_factory.mktemp('built')
    tree = place / 'tree'
    shutil.copytree(
        ROOT,
        tree,
        ignore=lambda folder, names: (
            {*SKIPPED(folder, names), *(WRITTEN if Path(folder) == ROOT else ())}
        ),
    )
    build = [sys.executable, '-m', 'build', '--no-isolation', '--outdir', str(place), str(tree)]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    return place


@pytest.fixture(scope='module')
def wheel(built):
    """The wheel that pip would install, open for reading."""
    with zipfile.ZipFile(next(built.glob('*.whl'))) as archive:
        yield archive


def test_the_sdist_holds_every_file_of_the_tree(built):
    with tarfile.open(next(built.glob('*.tar.gz'))) as archive:
        packed = {name.partition('/')[2] for name in archive.getnames()}
    tree = built / 'tree'
    files = {path.relative_to(tree).as_posix() for path in tree.rglob('*') if path.is_file()}
    own = {name for name in files if not name.startswith(('trc.egg-info/', '.'))}
    assert 'tests/conftest.py' in own and 'ros2_ws/src/trc_ros/plant/node.py' in own
    assert own <= packed


def test_an_index_takes_sdist_and_wheel_with_a_description_in_markdown(built):
    files = [*built.glob('*.whl'), *built.glob('*.tar.gz')]
    check = [sys.executable, '-m', 'twine', 'check', '--strict', *map(str, files)]
    shown = subprocess.run(check, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stdout
    assert shown.stdout.count('PASSED') == len(files) == 2


def requirements(name):
    """What a distribution needs without extras, with what that needs in turn."""
    found, left = set(), [name]
    while left:
        for line in importlib.metadata.requires(left.pop()) or ():
            needed = Requirement(line)
            wanted = needed.marker is None or needed.marker.evaluate({'extra': ''})
            if wanted and needed.name not in found:
                found.add(needed.name)
                left.append(needed.name)
    return found


FLIGHT = """
import sys
from trc_core import Controller

plan = Controller.load('van_der_pol', backend='numpy').plan([1.0, 0.5], [0.0, 0.0])
print(plan.cost, sys.modules['trc_core'].__file__)
"""


def test_the_wheel_flies_in_an_environment_with_nothing_but_what_it_needs(built, tmp_path):
    place = tmp_path / 'empty'
    venv.create(place)
    [site] = place.glob('lib/python*/site-packages')
    for name in requirements('trc'):  # as if from an index, which takes a minute
        for file in importlib.metadata.files(name):
            top = site / file.parts[0]
            if file.parts[0] != '..' and not top.exists():
                top.symlink_to(file.locate().parents[len(file.parts) - 1] / file.parts[0])
    install = [sys.executable, '-m', 'pip', '--python', str(place), 'install', '--quiet']
    offline = ['--no-index', '--no-compile', '--disable-pip-version-check']
    subprocess.run([*install, *offline, str(next(built.glob('*.whl')))], check=True)
    python, clean = str(place / 'bin' / 'python'), dict(os.environ)
    clean.pop('PYTHONPATH', None)
    flown = subprocess.run(
        [python, '-c', FLIGHT], capture_output=True, text=True, cwd=tmp_path, env=clean
    )
    assert flown.returncode == 0, flown.stderr
    cost, module = flown.stdout.split()
    ours = Controller.load('van_der_pol', backend='numpy').plan([1.0, 0.5], [0.0, 0.0])
    assert float(cost) == pytest.approx(ours.cost, rel=1e-9)
    assert Path(module).is_relative_to(place)


def manifest():
    catkin_package = pytest.importorskip('catkin_pkg.package')
    return catkin_package.parse_package(str(ROOT))


def test_package_xml_is_valid_and_builds_as_ament_python():
    package = manifest()
    package.validate()
    assert package.name == 'trc'
    assert package.get_build_type() == 'ament_python'


def test_package_xml_declares_every_ros_package_that_the_nodes_import():
    declared = {dependency.name for dependency in manifest().exec_depends}
    imported = set()
    for path in [*ROOT.glob('ros2_ws/src/trc_ros/**/*.py'), *ROOT.glob('launch/*.py')]:
        for line in path.read_text().splitlines():
            match = re.match(
                r'\s*(?:from|import) (rclpy|launch|launch_ros|\w+_(?:msgs|srvs|interfaces))\b',
                line,
            )
            if match:
                imported.add(match[1])
    assert imported <= declared


def test_the_version_stands_in_package_xml_only():
    version = manifest().version
    assert importlib.metadata.version('trc') == version
    # importlib sees the version that setup.py read; nobody else may state it.
    for name in ('setup.py', 'pyproject.toml', 'trc_core/__init__.py'):
        assert version not in (ROOT / name).read_text()


def test_torch_is_pinned_in_the_constraints_only():
    assert 'torch==' in (ROOT / 'constraints.txt').read_text()
    assert 'torch==' not in (ROOT / 'setup.py').read_text()


@pytest.mark.parametrize(
    ('folder', 'pattern'),
    [
        ('launch', '*.launch.py'),
        ('params', '*.yaml'),
        ('params/training', '*.yaml'),
        ('params/ros2_control', '*.yaml'),
        ('rviz', '*.rviz'),
        ('layouts', '*'),
        ('security', '*.xml'),
    ],
)
def test_every_shared_file_is_installed(wheel, folder, pattern):
    files = {path.name for path in (ROOT / folder).glob(pattern)}
    assert files
    assert files == names_below(wheel, f'share/trc/{folder}')


def test_the_ament_index_knows_the_package(wheel):
    assert names_below(wheel, 'share/ament_index/resource_index/packages') == {'trc'}
    assert 'package.xml' in names_below(wheel, 'share/trc')


def test_every_checkpoint_is_installed(wheel):
    checkpoints = {f'trc_core/pretrained/{p.name}' for p in pretrained()}
    assert checkpoints
    assert checkpoints <= set(wheel.namelist())


def test_the_mujoco_model_is_installed(wheel):
    assert 'trc_core/simulation/cartpole.xml' in wheel.namelist()
    assert 'trc_core/systems/arm.urdf' in wheel.namelist()


def pretrained():
    return (ROOT / 'trc_core' / 'pretrained').glob('*.safetensors')


def test_every_module_is_installed(wheel):
    core = {p.relative_to(ROOT).as_posix() for p in (ROOT / 'trc_core').rglob('*.py')}
    sources = ROOT / 'ros2_ws' / 'src'
    nodes = {p.relative_to(sources).as_posix() for p in (sources / 'trc_ros').rglob('*.py')}
    assert core | nodes <= set(wheel.namelist())


@pytest.mark.parametrize('name', ['controller', 'fleet', 'plant'])
def test_the_executables_are_where_launch_looks_and_may_run(wheel, name):
    [entry] = [e for e in wheel.infolist() if e.filename.endswith(f'.data/data/lib/trc/{name}')]
    assert (entry.external_attr >> 16) & stat.S_IXUSR


@pytest.mark.parametrize('name', ['controller', 'fleet', 'plant'])
def test_an_executable_starts_the_console_script_of_its_own_installation(tmp_path, name):
    shim, script = tmp_path / 'lib' / 'trc' / name, tmp_path / 'bin' / f'trc_{name}'
    for path in (shim, script):
        path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / 'libexec' / name, shim)
    script.write_text('#!/bin/sh\necho "$0" "$@"\n')
    script.chmod(0o755)
    answer = subprocess.run([shim, 'a b'], capture_output=True, text=True, check=True, cwd='/')
    assert answer.stdout.strip() == f'{shim.parent}/../../bin/trc_{name} a b'


def test_make_help_lists_every_target():
    environment = {key: value for key, value in os.environ.items() if key != 'MAKEFLAGS'}
    answer = subprocess.run(
        ['make', '--no-print-directory', 'help'],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=environment,
    )
    listed = set(re.findall(r'make (\w+) ', answer.stdout))
    assert listed == {'help', 'demo', 'test', 'lint', 'docs', 'clean'}


def names_below(wheel, folder):
    """Names of the data files directly in a folder of the installation."""
    pattern = re.compile(rf'.*\.data/data/{re.escape(folder)}/([^/]+)')
    return {match[1] for match in map(pattern.fullmatch, wheel.namelist()) if match}
