"""A wheel built from the tree holds everything that ROS, launch and pip look for."""

import importlib.metadata
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SKIPPED = shutil.ignore_patterns('.git', '.venv*', '.*_cache', '__pycache__', '*.egg-info')
WRITTEN = {'build', 'demo', 'outputs'}  # by commands, beside the sources


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """The wheel that pip would install, open for reading."""
    place = tmp_path_factory.mktemp('wheel')
    tree = place / 'tree'
    shutil.copytree(
        ROOT,
        tree,
        ignore=lambda folder, names: (
            {*SKIPPED(folder, names), *(WRITTEN if Path(folder) == ROOT else ())}
        ),
    )
    subprocess.run(
        [
            *(sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps'),
            *('--no-build-isolation', '--wheel-dir', str(place), str(tree)),
        ],
        check=True,
    )
    with zipfile.ZipFile(next(place.glob('*.whl'))) as archive:
        yield archive


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


def pretrained():
    return (ROOT / 'trc_core' / 'pretrained').glob('*.safetensors')


def test_every_module_is_installed(wheel):
    core = {p.relative_to(ROOT).as_posix() for p in (ROOT / 'trc_core').rglob('*.py')}
    sources = ROOT / 'ros2_ws' / 'src'
    nodes = {p.relative_to(sources).as_posix() for p in (sources / 'trc_ros').rglob('*.py')}
    assert core | nodes <= set(wheel.namelist())


@pytest.mark.parametrize('name', ['controller', 'plant'])
def test_the_executables_are_where_launch_looks_and_may_run(wheel, name):
    [entry] = [e for e in wheel.infolist() if e.filename.endswith(f'.data/data/lib/trc/{name}')]
    assert (entry.external_attr >> 16) & stat.S_IXUSR


@pytest.mark.parametrize('name', ['controller', 'plant'])
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
