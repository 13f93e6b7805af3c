"""The exported network: one ONNX file that describes itself, run by ONNX Runtime.

Its metadata hold what a checkpoint holds beside the weights: the JSON record, and the numbers of
the plan representation as a safetensors blob in base64.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from trc_core.compile.cache import cache_folder

if TYPE_CHECKING:
    from trc_core.checkpoint import Checkpoint

GRAPH_SUFFIX, RECORD = '.onnx', 'trc'
KIND, NETWORK = 'trc.graph', 'network'
NUMBERS = 'trc.representation'
SEAL = b'\xc2\x3e\x20'  # a field of 32 bytes that readers of ONNX do not know, and skip
DIGEST = hashlib.sha256().digest_size


def sealed(content: bytes) -> bytes:
    """A graph with a hash of its bytes behind them, by which damage is noticed."""
    return content + SEAL + hashlib.sha256(content).digest()


def has_seal(content: bytes) -> bool:
    """Whether a graph ends in a hash, right or wrong; those of other programs do not."""
    return content[: len(content) - DIGEST].endswith(SEAL)


def is_whole(content: bytes) -> bool:
    """Whether a graph ends in the hash of its bytes."""
    return has_seal(content) and content == sealed(content[: -DIGEST - len(SEAL)])


class ExportedNetwork:
    """An exported file, loaded.

    Args:
        path: of an `.onnx` file that `trc export` wrote.
        num_threads: of the matrix products.

    Raises:
        ValueError: if ONNX Runtime is not installed, or the file is not such a graph.
    """

    def __init__(self, path: Path, num_threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError:
            raise ValueError("needs ONNX Runtime: pip install 'trc[onnx]'") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads or 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 4  # what is wrong with a file is raised
        try:
            content = path.read_bytes()
            if has_seal(content) and not is_whole(content):
                raise ValueError('it was damaged since it was written')
            self.session = onnxruntime.InferenceSession(
                content, options, providers=['CPUExecutionProvider']
            )
            metadata = self.session.get_modelmeta().custom_metadata_map
            if metadata[KIND] != NETWORK:
                raise ValueError(f"it is a '{metadata[KIND]}' of another version; export it anew")
            self.record: dict[str, Any] = json.loads(metadata[RECORD])
            self.tensors: dict[str, NDArray[Any]] = load(base64.b64decode(metadata[NUMBERS]))
        except OSError:
            raise
        except Exception as error:  # ONNX Runtime's own are not ValueErrors
            reason = str(error).strip().splitlines()[0]
            raise ValueError(f"'{path}' is not a graph of trc export: {reason}") from error
        self._fetched_only = onnxruntime.RunOptions()
        self._fetched_only.only_execute_path_to_fetches = True
        self._nothing = {
            argument.name: np.zeros(
                [0, *(n for n in argument.shape[1:] if isinstance(n, int))], np.float32
            )
            for argument in self.session.get_inputs()
        }

    @property
    def sizes(self) -> dict[str, Any]:
        """The length of a row of every input and output, by name."""
        ends = (*self.session.get_inputs(), *self.session.get_outputs())
        return {end.name: end.shape[-1] if end.shape else None for end in ends}

    def run(self, outputs: list[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The named outputs; inputs that they do not depend on may be missing or too many."""
        feed = {name: inputs.get(name, nothing) for name, nothing in self._nothing.items()}
        found: list[NDArray[Any]] = self.session.run(outputs, feed, self._fetched_only)
        return found


def metadata_of(checkpoint: Checkpoint) -> dict[str, str]:
    """The metadata of a checkpoint's graph."""
    numbers = {
        name: np.array(value, order='C')
        for name, value in checkpoint.tensors.items()
        if name.startswith('representation.')
    }
    return {
        KIND: NETWORK,
        RECORD: json.dumps(checkpoint.record),
        NUMBERS: base64.b64encode(save(numbers)).decode(),
    }


def cached_graph(checkpoint: Checkpoint) -> Path:
    """The file in the cache for the graph of a checkpoint, named by all that it is made from."""
    digest = hashlib.sha256(json.dumps(checkpoint.record, sort_keys=True).encode())
    for name, value in sorted(checkpoint.tensors.items()):
        digest.update(name.encode() + np.ascontiguousarray(value).tobytes())
    for path in sorted((Path(__file__).parent / 'planner' / 'onnx').glob('*.py')):
        digest.update(path.read_bytes())
    return cache_folder() / f'{checkpoint.system.name}_{digest.hexdigest()[:16]}{GRAPH_SUFFIX}'
