"""What is told of placed models: how GPUs are connected, what copies cost, and the table of a run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fixtures.execution import Row
from fixtures.findings import Finding
from fixtures.placement import copies as copying
from fixtures.placement.copies import Pair, direct, pairs, pattern
from fixtures.placement.memory import Peaks
from fixtures.placement.sameness import differences
from fixtures.placement.topology import kind, matrix
from fixtures.placement.transfers import copies
from reports.render.placement import table
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


def test_all_ordered_pairs_are_copied_between() -> None:
    expected = ["cuda:0 -> cuda:1", "cuda:0 -> cuda:2", "cuda:1 -> cuda:0", "cuda:1 -> cuda:2", "cuda:2 -> cuda:0"]

    assert expected == [str(pair) for pair in pairs("cuda", 3)][:5]
    assert [Pair(source="cpu", target="cpu")] == pairs("cpu", 0)


def test_no_two_words_of_a_pattern_are_alike() -> None:
    """Nor are those of two patterns at one place: a word of elsewhere is seen."""
    first, second = pattern(4096, "cpu", 1), pattern(4096, "cpu", 2)

    assert (4096, 0) == (len(set(first.tolist())), int((first == second).sum()))


def test_pairs_and_copies_send_words_that_no_other_sends() -> None:
    pair = Pair(source="cpu", target="cpu")
    first, second, other = (
        copying._sent(64, pair),
        copying._sent(64, pair, 1),
        copying._sent(64, Pair(source="cpu", target="x")),
    )

    assert not (first == second).any()
    assert not (first == other).any()
    assert int(first.min()) >= 0 > copying.LOST


def test_a_copy_that_never_came_is_told_from_one_that_came_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "transfer", lambda target, source: None)
    sent = pattern(8, "cpu", 0)

    with pytest.raises(Finding, match="8 of 8 words of 4 bytes are wrong, the first at byte 0: 0x1e3779b1 was sent, nothing"):
        copying._same_bytes("a -> b", "direct", sent, direct(sent, "cpu"))


class Gpu:
    """Two GPUs that are done with a product of matrices after so many looks at them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, enough: int) -> None:
        self.asked: list[int] = []
        monkeypatch.setattr(copying, "_compute", self.compute)
        monkeypatch.setattr(copying, "_wait", lambda *devices: None)
        self.enough = enough

    def compute(self, device: str, products: int) -> Any:
        self.asked.append(products)
        return SimpleNamespace(query=lambda: products < self.enough)


def test_copies_under_load_are_made_again_under_more_until_the_load_outlasts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus, pair = Gpu(monkeypatch, 20), Pair(source="cuda:0", target="cuda:1")
    copying._while_computing(pair, [])

    assert [8, 8, 16, 16, 32, 32] == gpus.asked


def test_copies_that_outlast_every_load_are_not_under_load(monkeypatch: pytest.MonkeyPatch) -> None:
    Gpu(monkeypatch, 10**6)

    with pytest.raises(Finding, match=r"cuda:0 -> cuda:1: the copies were not done before 1024 products"):
        copying._while_computing(Pair(source="cuda:0", target="cuda:1"), [])


class Losing:
    """Copies of which one, by its number, leaves its last word as it was."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, lost: int) -> None:
        self.made, self.lost = 0, lost
        monkeypatch.setattr(copying, "transfer", self.transfer)
        monkeypatch.setattr(copying, "_sizes", lambda pair: (64,))

    def transfer(self, target: Any, source: Any) -> None:
        target[:-1] = source[:-1]
        if self.made != self.lost:
            target[-1] = source[-1]
        self.made += 1

    def wrong(self, subject: str) -> int:
        """Comparisons that found something, of the host with itself."""
        made = copying.SUBJECTS[subject](Pair(source="cpu", target="cpu"))
        return sum(bool((sent != arrived).any()) for _, sent, arrived in made)


@pytest.mark.parametrize("subject", ["streams", "under-load"])
def test_a_word_that_any_one_copy_loses_is_found(subject: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies before and after it into the same place bring that word."""
    whole = Losing(monkeypatch, -1)

    assert 0 == whole.wrong(subject)
    assert [1] * whole.made == [Losing(monkeypatch, lost).wrong(subject) for lost in range(whole.made)]


def test_a_sum_over_devices_is_compared_with_that_of_the_host() -> None:
    found = list(copying._sums(["cpu", "cpu"]))

    assert ["all -> cpu"] * 6 == [between for between, *_ in found]
    assert all((total == summed).all() for *_, total, summed in found)


def test_a_direct_copy_shares_no_memory() -> None:
    sent = pattern(8, "cpu", 0)

    assert sent.data_ptr() != direct(sent, "cpu").data_ptr()


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
    "prefill": {"placed_us": 2500.0, "whole_us": 2000.0, "copies": {"PtoP": 2}, "copy_us": {"PtoP": 12.0}, "kernel_us": 900.0},
    "decode": {"placed_us": 1500.0, "whole_us": 1000.0},
}
PLACED = {"configuration": "max-memory-gpus-sdpa", "model": "llama-deep-tiny", "errors": {}}
SUITE = "suites/placement/test_a.py::test_b"


def test_the_table_tells_where_a_model_is_and_what_it_cost() -> None:
    links = {"0 -> 1": {"peer_access": True, "link": "NV18", "kind": "NVLink, 18 links"}}
    told = table(run(
        record(check="placed", subject="", nodeid=SUITE, memory={"footprint@gpu-0": 2**20, "footprint@gpu-1": 2**21}, **PLACED),
        record(check="same", nodeid=SUITE, memory={"peak@gpu-0": 3 * 2**20}, **PLACED),
        record(check="transfer-cost", subject="", nodeid=SUITE, evidence=COST, memory={}, **PLACED),
        environment={"runtime": {"topology": links}},
    ))  # fmt: skip
    expected = (
        "| max-memory-gpus-sdpa | llama-deep-tiny | bf16 | 3 of 3 | gpu-0 1.00 MiB, gpu-1 2.00 MiB | gpu-0 3.00 MiB "
        "| 2.00, 2.50 ms | 1.00, 1.50 ms | 2 PtoP 12 us; kernels 900 us |"
    )

    assert expected == told.splitlines()[2]
    assert "GPU 0 -> 1: peer access, NVLink, 18 links (NV18)" in told


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
