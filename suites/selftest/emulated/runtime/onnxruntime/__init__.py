"""An emulated onnxruntime-gpu whose CUDA libraries are found where torch has loaded them, and nowhere else.

``EMULATED_MISSING=always`` has them found nowhere, ``EMULATED_MISSING=never`` everywhere.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

MISSED = "Failed to load library libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object \
file: No such file or directory"


class SessionOptions:
    """What the probe sets."""

    enable_profiling = False
    profile_file_prefix = ""


class InferenceSession:
    """Squares its input, and says in its profile where."""

    def __init__(self, path: Any, options: SessionOptions, providers: list[str]) -> None:
        found = {"always": False, "never": True}.get(os.environ.get("EMULATED_MISSING", ""), "torch" in sys.modules)
        self.options, self.provider = options, providers[0] if found else "CPUExecutionProvider"
        if not found:
            os.write(2, f"{MISSED}\n".encode())

    def run(self, names: None, fed: dict[str, Any]) -> tuple[Any]:
        """The square of x."""
        return (fed["x"] @ fed["x"],)

    def get_providers(self) -> list[str]:
        """Where it runs."""
        return [self.provider]

    def end_profiling(self) -> str:
        """A profile of one node."""
        path = Path(f"{self.options.profile_file_prefix}.json")
        told = {"op_name": "MatMul", "provider": self.provider, "output_size": "64"}
        node = {"cat": "Node", "name": "product_kernel_time", "ts": 1, "dur": 1, "args": told}
        path.write_text(json.dumps([node]), encoding="utf-8")
        return str(path)


def get_available_providers() -> list[str]:
    """What it was built with."""
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]
