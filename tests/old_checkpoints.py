"""Checkpoints as they were before they held their equations."""

import json

from safetensors import safe_open
from safetensors.numpy import save_file

from trc_core.checkpoint import RECORD


def read_record(path):
    """The record of a checkpoint as it is in the file."""
    with safe_open(path, framework='numpy') as file:
        return json.loads(file.metadata()[RECORD])


def write_record(path, record):
    """Puts another record into a checkpoint."""
    with safe_open(path, framework='numpy') as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    save_file(tensors, path, metadata={RECORD: json.dumps(record)})


def strip_equations(path):
    """Makes a file of format 2 of a checkpoint."""
    record = read_record(path)
    system = {k: v for k, v in record['system'].items() if k not in ('joints', 'dynamics')}
    write_record(path, {**record, 'format': 2, 'system': system})
