"""A device that was broken by a check is noticed right after it; memory that ran out is told from it."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures import device
from fixtures.findings import Poisoned


class OutOfMemoryError(RuntimeError):
    """As torch names it, and other libraries too."""


def answering(monkeypatch: pytest.MonkeyPatch, said: BaseException | float, *, on: str = "", gpus: int = 1) -> None:
    """A torch that sees so many GPUs and whose kernel raises, or returns a sum; on one of them alone where it is named."""

    class Tensor:
        def __add__(self, other: object) -> Any:
            return SimpleNamespace(sum=self.sum)

        def __init__(self, device: str) -> None:
            self.device = device

        def sum(self) -> float:
            if on and on != self.device:
                return 16.0
            if isinstance(said, BaseException):
                raise said
            return said

    cuda = SimpleNamespace(device_count=lambda: gpus)
    torch: Any = SimpleNamespace(ones=lambda *_, device: Tensor(device), cuda=cuda)
    monkeypatch.setitem(sys.modules, "torch", torch)


def test_every_gpu_that_a_process_sees_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, RuntimeError("CUDA error: unspecified launch failure"), on="cuda:1", gpus=2)

    assert "CUDA error: unspecified launch failure" == device.answer("cuda")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("CUDA error: an illegal memory access was encountered", "illegal-memory-access"),
        ("CUDA error: device-side assert triggered\nCUDA kernel errors might be", "device-assert"),
        ("CUDA error: unspecified launch failure", "launch-failure"),
        ("CUDA error: misaligned address", "misaligned-address"),
        ("HIP error: an illegal memory access was encountered", "illegal-memory-access"),
        ("CUDA error: out of memory", ""),
        ("CUDA error: no kernel image is available for execution on the device", ""),
        ("an illegal memory access is what this test is about", ""),
        ("", ""),
    ],
)
def test_sticky_errors_are_known_by_the_words_of_the_runtime(words: str, expected: str) -> None:
    assert expected == device.sticky(words)


def test_a_device_that_answers_is_not_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, 16.0)

    assert device.broken("cuda", None) is None
    assert device.broken("cuda", ValueError("logits differ")) is None


def test_a_check_that_passed_and_broke_the_device_is_what_broke_it(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, RuntimeError("CUDA error: an illegal memory access was encountered\nmore"))
    found = device.broken("cuda", None)

    assert found is not None
    assert ("illegal-memory-access", True) == (found.code, str(found).startswith("CUDA error: an illegal memory access"))


def test_a_device_that_computes_nonsense_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, 7.0)
    found = device.broken("cuda", None)

    assert found is not None and found.code == "device-lost"


def test_an_error_that_is_sticky_is_believed_without_asking_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, 16.0)
    found = device.broken("cuda", RuntimeError("CUDA error: device-side assert triggered"))

    assert found is not None and found.code == "device-assert"


def test_a_check_that_says_itself_that_it_broke_the_device_is_left_to_say_it(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Poisoned("device-error", "this very call")

    assert own is device.broken("cuda", own)


def test_a_full_device_is_not_a_broken_one(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, RuntimeError("CUDA out of memory. Tried to allocate 2.00 MiB"))

    assert device.broken("cuda", None) is None


def test_torch_is_not_imported_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)

    assert ("", False) == (device.answer("cuda"), "torch" in sys.modules)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (MemoryError(), True),
        (OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("CUDA error: out of memory"), False),
    ],
)
def test_memory_that_ran_out_is_known_under_every_librarys_name(raised: BaseException, expected: bool) -> None:
    assert expected == device.out_of_memory(raised)
