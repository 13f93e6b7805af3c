"""Recorded flight: the cycles of one controller from a bag, which may hold anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from trc_core.flight.cycle_record import LONGEST, split
from trc_core.lab.report.bag import Message, read_topics

CYCLE, STRING = '/cycle', 'std_msgs/msg/String'
NOTE = 'trc'  # in the bag's metadata


@dataclass(frozen=True)
class Line:
    """Record of a cycle as it stands in the bag, its numbers not yet checked."""

    time: int
    """When it was sent [ns since the epoch]."""
    entries: dict[str, Any]
    extras: dict[str, Any]


@dataclass
class RecordedFlight:
    """Flight of one controller."""

    controller: str
    """Full name of its node."""
    lines: list[Line]
    """Its cycles; empty where the bag holds no records of them."""
    topics: Mapping[str, list[Message]]
    """All messages of the bag, by topic."""
    parameters: dict[str, Any]
    """Of the controller, as far as the bag tells."""
    opening: dict[str, Any] | None = None
    """Who flew; None if the bag does not say."""
    remarks: list[str] = field(default_factory=list)
    """Remarks about what is missing, one line each."""


def read_flight(path: Path, controller: str | None = None) -> RecordedFlight:
    """The flight of a bag.

    Args:
        path: the bag's folder, or an `.mcap` or `.db3` file.
        controller: whose flight; needed where there are several.

    Raises:
        ValueError: if the bag is damaged, holds no flight, or several.
    """
    if not path.exists():
        raise ValueError(f"there is no bag '{path}'")
    topics = read_topics(path, lambda topic: True)
    noted = _noted(path)
    names = sorted(
        topic.removesuffix(CYCLE)
        for topic, messages in topics.items()
        if topic.endswith(CYCLE) and messages[0].kind == STRING
    )
    if not names:
        return _without_cycles(path, topics, controller, noted)
    name = _chosen(path, names, controller)
    lines = [_line(path, k, message) for k, message in enumerate(topics[f'{name}{CYCLE}'])]
    opening = next((ln.extras['opening'] for ln in lines if 'opening' in ln.extras), None)
    values = opening.get('parameters') if opening else noted.get('parameters')
    flight = RecordedFlight(name, lines, topics, _mapping(path, values), opening)
    if opening is None:
        flight.remarks.append(
            'the record in which the controller introduces itself was lost: it is replayed from a '
            'cold start'
        )
    return flight


def _line(path: Path, k: int, message: Message) -> Line:
    try:
        return Line(message.time, *split(message.content().data))
    except (ValueError, AttributeError) as error:
        raise ValueError(f"'{path}': cycle record {k}: {error}") from error


def _mapping(path: Path, values: Any) -> dict[str, Any]:
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ValueError(f"'{path}': the parameters are no mapping")
    return values


def _chosen(path: Path, names: list[str], controller: str | None) -> str:
    if controller is not None and controller not in names:
        raise ValueError(f"'{path}' holds no flight of '{controller}'; choose from {names}")
    if controller is None and len(names) > 1:
        raise ValueError(f"'{path}' holds several flights; choose one --controller of {names}")
    return controller or names[0]


def _without_cycles(
    path: Path, topics: Mapping[str, list[Message]], controller: str | None, noted: Any
) -> RecordedFlight:
    """The flight of a bag that holds only what everybody records."""
    name = controller or noted.get('controller')
    if not isinstance(name, str):
        spaces = sorted(t.removesuffix('/command') for t in topics if t.endswith('/command'))
        if not spaces:
            raise ValueError(
                f"'{path}' holds neither ~/cycle nor command; it holds {sorted(topics)}: name the "
                'controller, and topics that were remapped, by --controller and --remap'
            )
        name = f'{_chosen(path, spaces, None)}/controller'
    flight = RecordedFlight(name, [], topics, _mapping(path, noted.get('parameters')))
    flight.remarks.append(
        f'the bag holds no {name}{CYCLE} (`trc record` records it): cycles are put together from '
        'messages by the times at which they were sent, so that commands agree about, not exactly'
    )
    if not flight.parameters:
        flight.remarks.append(
            'the bag does not tell the parameters: those of --params count, else the defaults'
        )
    return flight


def _noted(path: Path) -> dict[str, Any]:
    """What `trc record` noted among the bag's metadata; empty if nothing."""
    file = (path if path.is_dir() else path.parent) / 'metadata.yaml'
    if not file.is_file() or file.stat().st_size > LONGEST:
        return {}
    try:
        data = yaml.safe_load(file.read_text(encoding='utf-8'))
        text = (data['rosbag2_bagfile_information'].get('custom_data') or {}).get(NOTE, '{}')
        noted = json.loads(text)
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"'{file}' is damaged") from None
    return noted if isinstance(noted, dict) else {}
