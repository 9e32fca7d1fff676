"""Copies between devices: what is sent, what is found where something does not arrive, and that they run under load."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fixtures.findings import Finding
from fixtures.measure import Measurement
from fixtures.placement import copies as copying
from fixtures.placement.copies import Pair, direct, pairs, pattern
from matrix.expand import checks
from matrix.load import load_matrix


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

    assert "8 of 8 words of 4 bytes are wrong, the first at byte 0: 0x1e3779b1 was sent, nothing arrived" == (
        copying._wrong_bytes(sent, direct(sent, "cpu"))
    )


def test_every_pair_with_wrong_bytes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = pattern(4, "cpu", 0)
    found = [("a -> b", "small", sent, sent), ("a -> b", "large", sent, sent + 1), ("b -> a", "small", sent, sent + 1)]
    monkeypatch.setattr(copying, "_copies", lambda *_: iter(found))
    monkeypatch.setattr(copying, "pairs", lambda *_: ["a -> b", "b -> a"])
    check = next(each for each in checks(load_matrix(), "cpu", "quick") if each.id.startswith("copies/"))

    with pytest.raises(Finding, match=r"a -> b, .*, large: 4 of 4 words .*; wrong as well: b -> a"):
        copying.explore(check, "cpu", 0, Measurement(check))


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


def test_nothing_may_arrive_beside_a_view(monkeypatch: pytest.MonkeyPatch) -> None:
    def whole(target: Any, source: Any) -> None:
        target.copy_(source)
        if target._base is not None:
            target._base.flatten()[1] = 0

    pair = Pair(source="cpu", target="cpu")
    intact = [(sent == arrived).all() for _, sent, arrived in copying._not_contiguous(pair)]
    monkeypatch.setattr(copying, "transfer", whole)
    wrong = [name for name, sent, arrived in copying._not_contiguous(pair) if not (sent == arrived).all()]

    assert all(intact)
    assert {"every other word, into the same of a matrix", "a column, into the same of a matrix"} <= set(wrong)


@pytest.mark.parametrize("subject", ["under-load", "streams"])
def test_copies_by_way_of_the_host_are_made_at_the_same_time(subject: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A word that is lost on the way to the host, which every second one takes."""
    monkeypatch.setattr(copying, "_sizes", lambda pair: (64 * copying.STREAMS,))
    pair = Pair(source="cpu", target="cpu")
    intact = [bool((sent == arrived).all()) for _, sent, arrived in copying.SUBJECTS[subject](pair)]
    monkeypatch.setattr(copying.Lane, "copy", lambda lane: None if lane._pinned is not None else copying.transfer(
        lane.arrived, lane.sent))  # fmt: skip
    lost = [bool((sent == arrived).all()) for _, sent, arrived in copying.SUBJECTS[subject](pair)]

    assert (True, len(intact) // 2) == (all(intact), sum(lost))


def test_copies_between_fewer_than_two_gpus_are_a_finding() -> None:
    check: Any = SimpleNamespace(subject="direct")
    with pytest.raises(Finding, match="copies are between two GPUs at least, 1 can be seen here"):
        copying.explore(check, "cuda", 1, SimpleNamespace(evidence=lambda **seen: None))  # type: ignore[arg-type]
