"""A pytest plugin for nested runs (``-p suites.selftest.emulated.cuda_provider``): CUDAExecutionProvider on the CPU.

The configurations of CUDA are asked of the CPU, and sessions that are handed CUDAExecutionProvider are made on the CPU. In what
they say of themselves, and in their profiles, nodes are CUDA's as a GPU would have them: all but arithmetic about shapes
and what deals with text, which CUDA has no kernels for. The exact arithmetic is that of the CPU.
"""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from fixtures import selection
from fixtures.onnxruntime.fallback import strays_of
from fixtures.onnxruntime.profile import nodes
from matrix.load import Matrix, load_matrix
from matrix.providers import load_providers

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
COUNTING: Final = ("Shape", "Range")  # about shapes, and CUDA's all the same: it takes what begins a computation with them
TIMES: Final = {CPU: 5, CUDA: 10}  # microseconds of the host: to compute with a shape, and to launch a kernel
ASKED: Final = (
    "ort-cuda", "ort-cuda-exact", "ort-cuda-exported", "ort-cuda-no-binding", "ort-cuda-static", "guide-optimum-cuda",
)  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Put everything in before the suite plans."""
    emulate()
    patched: Any = selection
    patched.load_matrix = lambda: on_the_cpu(load_matrix())


def on_the_cpu(matrix: Matrix) -> Matrix:
    """The matrix whose configurations of CUDA are asked of the CPU, with the CPU's distribution of ONNX Runtime."""
    asked = dict(matrix.configurations)
    guide = asked["guide-optimum-cuda"]  # its pipeline names a device that torch does not have here
    asked[guide.name] = replace(guide, options={**guide.options, "snippets": ["stored", "export"]})
    configurations = {
        name: replace(entry, platforms=("cpu",), requires=replace(entry.requires, packages=("optimum-onnx", "onnxruntime")))
        if name in ASKED else entry
        for name, entry in asked.items()
    }  # fmt: skip
    return replace(matrix, configurations=configurations)


def emulate() -> None:
    """Have Optimum take CUDAExecutionProvider, and sessions on the CPU say that they are on it."""
    import onnxruntime
    from optimum.onnxruntime import base, utils

    keepers: Any = (base, utils)
    for keeper in keepers:
        keeper.validate_provider_availability = lambda provider: None
        keeper.get_device_for_provider = _on_the_cpu
    session: Any = onnxruntime.InferenceSession
    _make_on_the_cpu(session)
    _speak_of_cuda(session)


def _on_the_cpu(provider: str, options: Any) -> Any:
    import torch

    return torch.device("cpu")


def _make_on_the_cpu(session: Any) -> None:
    make = session.__init__

    @functools.wraps(make)
    def made(self: Any, path: Any, sess_options: Any = None, providers: Any = None, provider_options: Any = None) -> None:
        self.emulates = CUDA in (providers or ())
        make(self, path, sess_options, [CPU], [{}])

    session.__init__ = made


def _speak_of_cuda(session: Any) -> None:
    listed, options, assigned, ended = (
        session.get_providers, session.get_provider_options, session.get_provider_graph_assignment_info, session.end_profiling,
    )  # fmt: skip
    session.get_providers = lambda self: [CUDA, CPU] if self.emulates else listed(self)
    session.get_provider_options = lambda self: {CUDA: {}, CPU: {}} if self.emulates else options(self)
    session.get_provider_graph_assignment_info = lambda self: [] if self.emulates else assigned(self)
    session.end_profiling = lambda self: _as_on_a_gpu(ended(self)) if self.emulates else ended(self)


def _as_on_a_gpu(written: str) -> str:
    """A profile in which every node that CUDA would have taken is CUDA's, and takes as long as it might there."""
    path, shapes = Path(written), load_providers().shape_arithmetic
    events = json.loads(path.read_text(encoding="utf-8"))
    for event in events:
        if not (found := nodes([event])):
            continue
        told = event["args"]
        text = any("string" in tensor for side in ("input_type_shape", "output_type_shape") for tensor in told.get(side, ()))
        counts = not strays_of(found, shapes) and told["op_name"] not in COUNTING
        told["provider"] = CPU if text or counts else CUDA
        event["dur"] = TIMES[told["provider"]]
    path.write_text(json.dumps(events), encoding="utf-8")
    return written
