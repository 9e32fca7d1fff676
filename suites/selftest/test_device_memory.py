"""Memory of a GPU is what was asked for, whatever the allocator had to give."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch

from fixtures import device_memory
from fixtures.placement.memory import Peaks


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What torch's allocator says of itself."""
    stats: dict[str, int] = {}
    reset: Any = lambda index=None: stats.update({f"{kind}.all.peak": stats[f"{kind}.all.current"] for kind in KINDS})  # noqa: E731
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset)
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda index=None: stats)
    return stats


KINDS = ("requested_bytes", "allocated_bytes")


def hold(stats: dict[str, int], *, asked: int, given: int) -> None:
    for kind, size in zip(KINDS, (asked, given), strict=True):
        stats[f"{kind}.all.current"] = size
        stats[f"{kind}.all.peak"] = max(size, stats.get(f"{kind}.all.peak", 0))
        stats[f"{kind}.all.allocated"] = stats.get(f"{kind}.all.allocated", 0) + size


@pytest.mark.parametrize("given", [1536, 2_000_000], ids=["a new block", "a larger one that was left from before"])
def test_a_peak_is_of_what_was_asked_for(told: dict[str, int], given: int) -> None:
    hold(told, asked=500, given=512)
    before = device_memory.begun()
    hold(told, asked=1500, given=given)
    hold(told, asked=100, given=512)

    assert (500, 1500) == (before, device_memory.peak())


def test_an_allocator_that_does_not_tell_has_what_it_gave(told: dict[str, int]) -> None:
    hold(told, asked=0, given=512)
    before = device_memory.begun()
    hold(told, asked=0, given=2048)

    assert 2048 - 512 == device_memory.peak() - before


def test_what_compilers_keep_in_the_place_of_a_tensor_holds_nothing() -> None:
    from torch._subclasses import FakeTensorMode

    before = device_memory.reachable()
    with FakeTensorMode():
        fake = torch.empty(1000, 1000)
    sparse, lazy = torch.eye(3).to_sparse(), torch.nn.LazyLinear(7)
    kept = [torch.zeros(100, dtype=torch.uint8), torch.nn.Parameter(torch.zeros(50, dtype=torch.uint8), requires_grad=False)]

    assert 150 <= device_memory.reachable() - before < 1000, (fake.shape, sparse.shape, lazy, len(kept))


def test_garbage_of_before_is_not_given_back_while_a_peak_is_taken() -> None:
    class Cycle:
        def __init__(self) -> None:
            self.itself = self

    garbage = weakref.ref(Cycle())
    with device_memory.without_collections():
        kept = [[index] for index in range(10 * gc.get_threshold()[0])]
        left = garbage() is not None
    gc.collect()

    assert (True, True, None) == (left, gc.isenabled(), garbage()), len(kept)


def test_every_gpu_has_a_peak_of_its_own(told: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    hold(told, asked=100, given=512)
    with Peaks("cuda") as peaks:
        hold(told, asked=400, given=512)

    assert {0: 300, 1: 300} == peaks.bytes


def test_torch_says_what_is_read_here() -> None:
    """The documentation of the release that is installed names both."""
    words = torch.cuda.memory_stats.__doc__ or ""

    assert all(f"{kind}.{{all,large_pool,small_pool}}.{{current,peak,allocated,freed}}" in words for kind in KINDS)
