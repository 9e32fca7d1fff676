"""What is told of placed models: how GPUs are connected, what copies cost, and the table of a run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fixtures.execution import Row
from fixtures.placement import transfers
from fixtures.placement.memory import Peaks
from fixtures.placement.sameness import differences
from fixtures.placement.topology import kind, matrix
from fixtures.placement.transfers import copies
from reports.record import Record
from reports.render import markdown, terminal
from reports.render.placement import lost, table
from reports.render.terminal import Page
from reports.scaling import scaling
from reports.verdict import Kind
from suites.selftest.examples import record, run, verdict

# As nvidia-smi prints it of eight GPUs with NVSwitch and a network card: https://docs.nvidia.com/dgx/dgxh100-user-guide
TOPOLOGY = """\
\t\x1b[4mGPU0\tGPU1\tGPU2\tNIC0\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m
GPU0\t X \tNV18\tSYS\tPXB\t0-47\t0\t\tN/A
GPU1\tNV18\t X \tPIX\tSYS\t0-47\t0\t\tN/A
GPU2\tSYS\tPIX\t X \tSYS\t48-95\t1\t\tN/A
NIC0\tPXB\tSYS\tSYS\t X

Legend:
  X    = Self
"""


def test_links_are_read_off_what_nvidia_smi_prints() -> None:
    expected = {(0, 1): "NV18", (1, 0): "NV18", (0, 2): "SYS", (2, 0): "SYS", (1, 2): "PIX", (2, 1): "PIX"}

    assert expected == matrix(TOPOLOGY.splitlines())


@pytest.mark.parametrize(
    ("link", "expected"),
    [("NV18", "NVLink, 18 links"), ("SYS", "PCIe and the interconnect between NUMA nodes"), ("?", "unknown")],
)
def test_a_link_is_said_in_words(link: str, expected: str) -> None:
    assert expected == kind(link)


def test_nothing_is_read_where_nvidia_smi_prints_nothing() -> None:
    assert {} == matrix([])


# copies


def event(name: str, microseconds: int, *, device: str = "CUDA") -> Any:
    return SimpleNamespace(
        name=lambda: name, duration_ns=lambda: 1000 * microseconds, device_type=lambda: SimpleNamespace(name=device),
        is_user_annotation=lambda: False,
    )  # fmt: skip


def test_copies_are_told_from_kernels_by_the_way_they_go() -> None:
    """Names as kineto writes them; calls of the host, marks and fills are neither."""
    seen = [
        event("Memcpy PtoP (Device -> Device)", 5), event("Memcpy PtoP (Device -> Device)", 7),
        event("Memcpy HtoD (Pageable -> Device)", 3), event("Memset (Device)", 9), event("ampere_bf16_gemm", 11),
        event("aten::copy_", 99, device="CPU"),
    ]  # fmt: skip

    assert {"copies": {"PtoP": 2, "HtoD": 1}, "copy_us": {"PtoP": 12.0, "HtoD": 3.0}, "kernel_us": 11.0} == copies(seen)


def test_there_are_no_peaks_without_a_gpu() -> None:
    with Peaks("cpu") as peaks:
        pass

    assert {} == peaks.bytes


# the same


def rows(*logits: list[float], token: int = 5) -> tuple[Row, ...]:
    return (Row(tokens=np.array([1, 2, token]), positions=np.array([0, 1]), logits=np.array(logits)),)


@pytest.mark.parametrize(
    ("judged", "expected"),
    [
        (rows([1.0, 2.0], [3.0, np.nan]), []),
        (rows([1.0, 2.0], [3.5, np.nan]), ["1 of 2 tokens differ from the whole model's, first row 0, position 1: 1 of 2"]),
        (rows([1.0, 2.0], [3.0, np.nan], token=7), ["row 0, position 2: token 7, the whole model says 5"]),
        (rows([1.0, 2.0]), ["row 0: logits of shape (1, 2), the whole model gives (2, 2)"]),
    ],
)
def test_one_bit_is_a_difference_and_is_located(judged: tuple[Row, ...], expected: list[str]) -> None:
    found = list(differences(judged, rows([1.0, 2.0], [3.0, np.nan])))

    assert expected == [sentence[: len(words)] for sentence, words in zip(found, expected or found, strict=True)]


# the report

COST = {
    "prefill": {"placed_us": 2500.0, "whole_us": 2000.0, "copies": {"DtoH": 1, "PtoP": 2}, "whole_copies": {"DtoH": 1},
                "copy_us": {"DtoH": 3.0, "PtoP": 12.0}, "kernel_us": 900.0},
    "decode": {"placed_us": 1500.0, "whole_us": 1000.0},
}  # fmt: skip
PLACED = {"configuration": "max-memory-gpus-sdpa", "model": "llama-deep-tiny", "errors": {}}
SUITE = "suites/placement/test_a.py::test_b"


def test_the_table_tells_where_a_model_is_and_what_it_cost() -> None:
    links = {"0 -> 1": {"peer_access": True, "link": "NV18", "kind": "NVLink, 18 links"}}
    told = table(run(
        record(check="placed", subject="", nodeid=SUITE, **PLACED,
               memory={"footprint@gpu-0": 2**20, "footprint@gpu-1": 2**21, "loading_peak@gpu-0": 2**22}),
        record(check="same", nodeid=SUITE, memory={"peak@gpu-0": 3 * 2**20}, **PLACED),
        record(check="transfer-cost", subject="", nodeid=SUITE, evidence=COST, memory={}, **PLACED),
        environment={"runtime": {"topology": links}},
    ))  # fmt: skip
    expected = (
        "| max-memory-gpus-sdpa | llama-deep-tiny | bf16 | 3 of 3 | gpu-0 1.00 MiB, gpu-1 2.00 MiB | gpu-0 3.00 MiB "
        "| gpu-0 4.00 MiB | 2.00, 2.50 ms | 1.00, 1.50 ms | 1 DtoH 3 us, 2 PtoP 12 us, whole 1 DtoH; kernels 900 us |"
    )

    assert expected == told.splitlines()[2]
    assert "GPU 0 -> 1: peer access, NVLink, 18 links (NV18)" in told


def test_what_a_placement_loses_is_in_the_page_of_the_run() -> None:
    costly = run(record(check="transfer-cost", subject="", nodeid=SUITE, evidence=COST, memory={}, **PLACED))
    said = ["0.50 of 1.50 ms of a decode", "0.50 of 2.50 ms of a prefill, copies 0.01 ms"]

    assert said == [words for _, words in lost(costly)]
    assert all(words in page for words in said for page in (terminal.show(costly, Page()), markdown.show(costly)))


def test_two_workers_are_told_to_be_faster_than_one() -> None:
    """By the checks of models that both ran, from the beginning of the first to the end of the last."""
    alone = [record(subject=name, worker="gw0", started=100.0 + 2 * turn, durations={"total": 2.0})
             for turn, name in enumerate("abcd")]  # fmt: skip
    both = [record(subject=name, worker=f"gw{turn % 2}", started=50.0 + 2 * (turn // 2), durations={"total": 2.0})
            for turn, name in enumerate("abcde")]  # fmt: skip
    found = scaling(run(*alone), run(*both))

    assert found is not None
    assert "4 checks took 8.0 s with 1 worker and 4.0 s with 2 workers, 2.00 times faster" in found.sentence


def test_a_worker_that_took_the_place_of_a_dead_one_is_none_more() -> None:
    alone = [record(subject=name, worker=worker, started=2.0 * turn, durations={"total": 2.0})
             for turn, (name, worker) in enumerate(zip("abcd", ("gw0", "gw0", "gw1", "gw2"), strict=True))]  # fmt: skip
    found = scaling(run(*alone), run(*alone))

    assert found is not None
    assert (1, 1) == found.workers


def test_runs_without_a_check_in_common_are_not_compared() -> None:
    assert None is scaling(run(record(subject="a", started=1.0)), run(record(subject="b", started=1.0)))


def test_memory_that_grows_on_one_gpu_is_a_regression_of_that_gpu() -> None:
    """The sum may stay: the weights have moved."""
    before = record(**PLACED, memory={"footprint": 4 * 2**20, "footprint@gpu-0": 2 * 2**20, "footprint@gpu-1": 2 * 2**20})
    after = record(**PLACED, memory={"footprint": 4 * 2**20, "footprint@gpu-0": 3 * 2**20, "footprint@gpu-1": 2**20})
    found = verdict(before, after)

    assert (Kind.REGRESSED, "footprint") == (found.kind, found.reason)
    assert "the memory footprint on gpu-0 grew by 50.0 %, from 2.00 MiB to 3.00 MiB" == found.message


def test_a_place_that_holds_something_now_is_not_passed_over() -> None:
    before = record(**PLACED, memory={"footprint": 2**21, "footprint@gpu-0": 2**21})
    found = verdict(before, record(**PLACED, memory=dict(before.memory) | {"footprint@gpu-1": 2**20}))

    assert (Kind.INCONCLUSIVE, "footprint_unknown_before") == (found.kind, found.reason)
    assert "the memory footprint on gpu-1 is 1.00 MiB, the baseline has none of it" == found.message


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"to_the_bit": True, "same_bits": True}, {"to_the_bit": False, "same_bits": True}, "bits_not_compared"),
        ({"inputs": {"cuda:0": "the same answer, on cuda:0", "cpu": "the same answer, on cuda:0"}},
         {"inputs": {"cuda:0": "the same answer, on cuda:0", "cpu": "declined: RuntimeError"}}, "inputs"),
    ],
)  # fmt: skip
def test_what_a_placement_no_longer_does_is_a_regression(before: dict[str, Any], after: dict[str, Any], expected: str) -> None:
    found = verdict(record(**PLACED, evidence=before), record(**PLACED, evidence=after))
    gone = verdict(record(**PLACED, evidence=before), record(**PLACED, evidence={}))

    assert (Kind.REGRESSED, expected) == (found.kind, found.reason)
    assert Kind.MISSING is gone.kind


def test_a_peak_while_loading_is_compared_on_gpus() -> None:
    """On the CPU it is of all that the process has."""

    def of(size: int, platform: str) -> Record:
        return record(**PLACED, platform=platform, memory={"loading_peak@gpu-1": size})

    grown = verdict(of(2**22, "cuda"), of(2**23, "cuda"))

    assert (Kind.REGRESSED, "loading_peak") == (grown.kind, grown.reason)
    assert "peak memory while loading on gpu-1 grew by 100.0 %, from 4.00 MiB to 8.00 MiB" == grown.message
    assert Kind.UNCHANGED is verdict(of(2**22, "cpu"), of(2**23, "cpu")).kind


# copies, and what they cost


def test_the_first_pass_of_a_length_is_charged_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step of decoding has another length, and whoever passes it first pays for what is made once."""
    clock, seen = [0.0], set[int]()

    def feed(built: Any, lengths: Any, *, decode: bool) -> Any:
        steps = iter(range(99))

        def run() -> None:
            length = next(steps)
            clock[0] += built.seconds + (0.0 if length in seen else 1.0)
            seen.add(length)

        return run

    monkeypatch.setattr(transfers.execution, "feed", feed)
    monkeypatch.setattr(transfers.time, "perf_counter", lambda: clock[0])
    models: Any = [SimpleNamespace(seconds=seconds, cell=SimpleNamespace(platform="cpu")) for seconds in (0.2, 0.1)]

    assert [200_000, 100_000] == [round(taken) for taken in transfers.medians(*models, decode=True)]
