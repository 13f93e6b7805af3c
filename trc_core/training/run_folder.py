"""The folder of a run, which records its config and plant, so that runs are never mixed up."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml

from trc_core.command_line import interrupts
from trc_core.systems import System
from trc_core.training.config import RunConfig
from trc_core.whole_files import write_whole

RESUME_FILE = 'last.ckpt'
CONFIG_FILE, PLANT_FILE = 'config.yaml', 'plant.json'
NOT_PART_OF_THE_RUN = ('resume', 'output_dir', 'logger')


@contextmanager
def run_folder(output_dir: Path, config: RunConfig, system: System) -> Iterator[None]:
    """Holds the folder of a run while it goes on.

    A run that fails before it has saved anything leaves the folder free for the next one.

    Raises:
        ValueError: if it holds another run, or a resumed run has another config or plant.
        KeyboardInterrupt: after Ctrl-C, which Lightning turns into a silent exit.
    """
    if 'LOCAL_RANK' in os.environ:  # which DDP sets for the processes that join
        yield
        return
    _prepare(output_dir, config, system)
    try:
        with interrupts():
            yield
    except (KeyboardInterrupt, SystemExit) as error:
        if KeyboardInterrupt not in (type(error), type(error.__context__)):
            raise
        print(
            f"\nthe run in '{output_dir}' is kept; the same command with --resume true goes on",
            file=sys.stderr,
        )
        raise KeyboardInterrupt from None
    except Exception:
        if not (output_dir / RESUME_FILE).exists():
            _release(output_dir)
        raise


def _prepare(output_dir: Path, config: RunConfig, system: System) -> None:
    """Makes the folder and records the config and the plant; refuses to mix two runs."""
    settings = _settings(config)
    plant = {**system.contract(), 'equations': system.digest}
    if (output_dir / CONFIG_FILE).exists():
        if not config.resume:
            raise ValueError(
                f"'{output_dir}' holds a run already: pass --resume true to go on with it, "
                f'or another --output_dir'
            )
        _require_same(output_dir / CONFIG_FILE, settings, yaml.safe_load)
        if (output_dir / PLANT_FILE).exists():  # runs of earlier versions have none
            _require_same(output_dir / PLANT_FILE, plant, json.loads)
        return
    if config.resume:
        raise ValueError(f"nothing to resume in '{output_dir}'")
    output_dir.mkdir(parents=True, exist_ok=True)
    write_whole(output_dir / CONFIG_FILE, yaml.safe_dump(settings, sort_keys=False))
    write_whole(output_dir / PLANT_FILE, json.dumps(plant, indent=2) + '\n')


def _release(output_dir: Path) -> None:
    for name in (CONFIG_FILE, PLANT_FILE):
        (output_dir / name).unlink(missing_ok=True)
    if not any(output_dir.iterdir()):
        output_dir.rmdir()


def _require_same(path: Path, ours: Mapping[str, Any], parse: Callable[[str], Any]) -> None:
    """Compares a run with the record in its folder."""
    try:
        theirs = parse(path.read_text())
    except (ValueError, yaml.YAMLError):
        theirs = None
    if not isinstance(theirs, dict):
        raise ValueError(f"cannot resume: '{path}' is damaged; choose another --output_dir")
    theirs = {'task': {}, **theirs}  # runs of earlier versions have none
    differing = sorted(key for key in ours if ours[key] != theirs.get(key))
    if differing:
        key = differing[0]
        raise ValueError(
            f"cannot resume '{path.parent}': {key} is {ours[key]!r} now but was "
            f'{theirs.get(key)!r} ({path.name})'
        )


def _settings(config: RunConfig) -> dict[str, Any]:
    """The settings that a resumed run must share with its beginning, as YAML values."""
    values = {k: v for k, v in asdict(config).items() if k not in NOT_PART_OF_THE_RUN}
    task = getattr(config, 'task', None)
    if task is not None:
        values['task'] = task.words
    plain: dict[str, Any] = json.loads(json.dumps(values))  # lists where there were tuples
    return plain


def read_progress(output_dir: Path) -> dict[str, Any] | None:
    """The saved state of an interrupted run; None if it had saved nothing yet.

    Raises:
        ValueError: if it is damaged.
    """
    path = output_dir / RESUME_FILE
    if not path.exists():
        return None
    contents = io.BytesIO(path.read_bytes())
    try:
        progress: dict[str, Any] = torch.load(contents, weights_only=True)
    except Exception as error:  # of many kinds, by where the file is cut
        raise ValueError(
            f"cannot resume '{output_dir}': '{path}' is damaged ({type(error).__name__}); delete "
            f'it to begin that run again, or choose another --output_dir'
        ) from error
    return progress
