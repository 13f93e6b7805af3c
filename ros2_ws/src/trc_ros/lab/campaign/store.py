"""Store of a campaign: its figures in a file, written after every trial, to be resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trc_core.whole_files import write_whole
from trc_ros.lab.campaign.verdict import Verdict


class Store:
    """Keeps verdicts by (fallback, fault), and how both processes ended.

    Args:
        path: of the JSON file; read if it is there.
        settings: what the figures depend on.

    Raises:
        ValueError: if the file holds a campaign with other settings.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self._path = path
        self.settings = dict(settings)
        self.origin: dict[str, str] = {}
        """The command, and where and when it ran."""
        self.verdicts: dict[tuple[str, str], Verdict] = {}
        self.landings: dict[str, list[str]] = {}
        """For every fallback mode: what was wrong at the end of its processes."""
        if path.is_file():
            self._read(json.loads(path.read_text()))

    def _read(self, content: Mapping[str, Any]) -> None:
        if content['settings'] != self.settings:
            raise ValueError(
                f"'{self._path}' holds a campaign with other settings, {content['settings']}; "
                'choose another --output, or --overwrite it'
            )
        self.origin = content['origin']
        self.landings = content['landings']
        for values in content['trials']:
            verdict = Verdict(**{**values, 'problems': tuple(values['problems'])})
            self.verdicts[verdict.fallback, verdict.fault] = verdict

    def add(self, verdict: Verdict) -> None:
        """Keeps a verdict."""
        self.verdicts[verdict.fallback, verdict.fault] = verdict
        self.write()

    def write(self) -> None:
        """Replaces the file at once."""
        content = {
            'settings': self.settings,
            'origin': self.origin,
            'landings': self.landings,
            'trials': [verdict.as_json() for verdict in self.verdicts.values()],
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._path, json.dumps(content, indent=1) + '\n')

    @property
    def problems(self) -> list[str]:
        """One line for every violation of the contract."""
        trials = [
            f'{v.fault}, {v.fallback}: {"; ".join(v.problems)}'
            for v in self.verdicts.values()
            if not v.passed
        ]
        ends = [
            f'end, {name}: {"; ".join(found)}' for name, found in self.landings.items() if found
        ]
        return trials + ends
