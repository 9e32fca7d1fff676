"""Checks that share references share a worker, and a check that kills its worker costs nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fixtures.isolation import ALL
from fixtures.scheduling import by_reference, running, scope
from matrix.expand import checks
from matrix.load import load_matrix

LLAMA = [f"a.py::b[sdpa/llama-tiny/bf16/cpu:correct:{subject}]" for subject in ("short", "long", "decode")]
GPT2 = ["a.py::b[sdpa/gpt2-tiny/bf16/cpu:correct:short]"]


class Worker:
    """A worker that keeps what it is sent; ``gpu`` is the one that it sees."""

    shutting_down = False

    def __init__(self, name: str, gpu: int = 0) -> None:
        self.workerinput = {"gpu": gpu}
        self.gateway = SimpleNamespace(id=name, spec=SimpleNamespace())
        self.config = SimpleNamespace(rootpath=None)
        self.sent: list[int] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.sent += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def scheduled(
    *workers: Worker,
    collected: tuple[str, ...] = (*LLAMA, *GPT2),
    several: frozenset[str] = frozenset(),
    deadly: frozenset[str] = frozenset(),
) -> Any:
    """A scheduler that has handed out every check there is."""
    config: Any = SimpleNamespace(
        getvalue=lambda name: ["popen"] * len(workers), hook=SimpleNamespace(),
        option=SimpleNamespace(loadscopereorder=False), rootpath=None,
    )  # fmt: skip
    scheduler = by_reference(config, None, several=several, deadly=deadly)
    for worker in workers:
        scheduler.add_node(worker)
        scheduler.add_node_collection(worker, list(collected))
    scheduler.schedule()
    return scheduler


@pytest.mark.parametrize(
    ("nodeid", "expected"),
    [
        ("suites/attention/test_correctness.py::test_a[sdpa/llama-tiny/bf16/cuda:correct:decode]", "llama-tiny/bf16"),
        (
            "suites/attention/test_invariants.py::test_b[eager/llama-tiny/bf16/cuda:invariant:padded:left-padding]",
            "llama-tiny/bf16",
        ),
        ("suites/attention/test_builds.py::test_c[sdpa/llama-tiny/bf16/cuda:builds]", "llama-tiny/bf16"),
        ("suites/environment/test_imports.py::test_d[environment/torch/any/cpu:imports]", "torch/any"),
        ("suites/selftest/test_isolation.py::test_e", "suites/selftest/test_isolation.py::test_e"),
        ("suites/a.py::test_f[a/b-c]", "suites/a.py::test_f[a/b-c]"),
    ],
)
def test_checks_of_a_model_in_a_dtype_share_a_worker(nodeid: str, expected: str) -> None:
    """They share references, which are the dearest to make."""
    assert expected == scope(nodeid)


def test_every_planned_check_has_a_scope_of_model_and_dtype() -> None:
    planned = list(checks(load_matrix(), "cuda", "full"))
    expected = {f"{check.cell.model.name}/{check.cell.dtype}" for check in planned}

    assert expected == {scope(f"a.py::b[{check.cell.id}:{check.kind}:{check.subject}]") for check in planned}


# a worker that dies


def test_a_worker_that_dies_before_anything_is_handed_out_is_replaced() -> None:
    """It has said what it collected; what takes its place has not when the others begin."""
    dead, alive, instead = Worker("gw0"), Worker("gw1"), Worker("gw2")
    config: Any = SimpleNamespace(getvalue=lambda name: ["popen"] * 2, hook=SimpleNamespace(), rootpath=None,
                                  option=SimpleNamespace(loadscopereorder=False))  # fmt: skip
    scheduler = by_reference(config, None)
    for worker in (dead, alive):
        scheduler.add_node(worker)
    scheduler.add_node_collection(dead, [*LLAMA, *GPT2])
    nobody = scheduler.remove_node(dead)
    scheduler.add_node(instead)
    scheduler.add_node_collection(alive, [*LLAMA, *GPT2])
    early = scheduler.collection_is_completed
    scheduler.add_node_collection(instead, [*LLAMA, *GPT2])
    scheduler.schedule()

    assert (None, False) == (nobody, early)
    assert {0, 1, 2, 3} == {*alive.sent, *instead.sent}
    assert [] == dead.sent


def test_the_check_that_runs_is_the_first_that_has_not_ended() -> None:
    scopes = {"a": {"1": True, "2": True}, "b": {"3": True, "4": False, "5": False}}

    assert ("4", None) == (running(scopes), running({"a": {"1": True}}))


def test_a_check_that_kills_its_worker_is_not_run_again() -> None:
    """The others of its scope go to the worker that takes its place."""
    first, second = Worker("gw0"), Worker("gw1")
    scheduler = scheduled(first, second)
    scheduler.mark_test_complete(first, 0)
    died = scheduler.remove_node(first)
    replacement = Worker("gw2")
    scheduler.add_node(replacement)
    scheduler.add_node_collection(replacement, [*LLAMA, *GPT2])
    scheduler.schedule()

    assert (LLAMA[1], [2]) == (died, [*second.sent[1:], *replacement.sent])


def test_a_worker_that_is_still_coming_up_is_given_nothing_yet() -> None:
    """Two died one after the other: the first that is back is given work while the second has not collected."""
    first, second = Worker("gw0"), Worker("gw1")
    scheduler = scheduled(first, second)
    scheduler.remove_node(first)
    scheduler.remove_node(second)
    early, late = Worker("gw2"), Worker("gw3")
    scheduler.add_node(early)
    scheduler.add_node(late)
    scheduler.add_node_collection(early, [*LLAMA, *GPT2])
    scheduler.schedule()

    assert ([1, 2], []) == (early.sent, late.sent)


def test_a_worker_that_dies_in_its_last_check_leaves_nothing_to_do() -> None:
    first, second = Worker("gw0"), Worker("gw1")
    scheduler = scheduled(first, second)
    for index in (0, 1):
        scheduler.mark_test_complete(first, index)

    assert (LLAMA[2], 0) == (scheduler.remove_node(first), len(scheduler.workqueue))


def test_a_worker_that_ends_with_nothing_left_died_in_no_check() -> None:
    first, second = Worker("gw0"), Worker("gw1")
    scheduler = scheduled(first, second)
    scheduler.mark_test_complete(second, 3)

    assert scheduler.remove_node(second) is None


DEADLY = frozenset({"sdpa/gpt2-tiny/bf16/cpu::correct[short]"})
MORE = tuple(f"a.py::b[sdpa/falcon-tiny/bf16/cpu:correct:{subject}]" for subject in ("short", "long"))


def test_known_failures_that_end_their_process_come_first() -> None:
    """A worker that dies late would be waited for while the others have nothing left."""
    only = Worker("gw0")
    scheduled(only, collected=(*LLAMA, *GPT2), deadly=DEADLY)

    assert [3, 0, 1, 2] == only.sent


def test_what_a_dead_worker_left_comes_before_other_work() -> None:
    first, second = Worker("gw0"), Worker("gw1")
    collected = (*LLAMA, *GPT2, *MORE)
    scheduler = scheduled(first, second, collected=collected, deadly=frozenset({"sdpa/llama-tiny/bf16/cpu::correct[short]"}))
    scheduler.remove_node(first)
    replacement = Worker("gw2")
    scheduler.add_node(replacement)
    scheduler.add_node_collection(replacement, list(collected))
    scheduler.schedule()

    assert ([0, 1, 2], [1, 2]) == (first.sent, replacement.sent[:2])


@pytest.mark.parametrize(("workers", "expected"), [(1, {0: 12}), (2, {0: 6, 1: 6}), (3, {0: 6, 1: 3, 2: 3})])
def test_a_model_with_more_than_a_worker_s_share_is_divided_by_cells(workers: int, expected: dict[int, int]) -> None:
    """Every check has one worker, and those of a cell have the same."""
    cells = [f"{name}/llama-tiny/bf16/cuda" for name in ("eager", "sdpa", "bnb-int8", "bnb-nf4")]
    names = [f"a.py::b[{cell}:correct:{index}]" for cell in cells for index in range(3)]
    several = [Worker(f"gw{index}", index) for index in range(workers)]
    scheduler = scheduled(*several, collected=tuple(names))
    for worker in several:
        done(scheduler, worker)

    assert expected == {index: len(worker.sent) for index, worker in enumerate(several)}
    assert len(names) == len({index for worker in several for index in worker.sent})
    assert all(len({sent // 3 for sent in worker.sent}) * 3 == len(worker.sent) for worker in several)


# checks that need several GPUs

SPLIT = tuple(f"a.py::b[device-map-auto-sdpa/llama-tiny/bf16/cuda:same:{subject}]" for subject in ("short", "long", "decode"))
SEVERAL = frozenset(f"device-map-auto-sdpa/llama-tiny/bf16/cuda::same[{subject}]" for subject in ("short", "long", "decode"))
BOTH = (*SPLIT, *LLAMA, *GPT2)


def done(scheduler: Any, worker: Worker) -> None:
    """A worker has ended all that it was sent, and what it was sent in the meantime."""
    for index in worker.sent:  # which grows
        scheduler.mark_test_complete(worker, index)


def test_checks_for_several_gpus_wait_for_those_for_one() -> None:
    first, second, whole = Worker("gw0"), Worker("gw1", 1), Worker("gw2", ALL)
    scheduler = scheduled(first, second, whole, collected=BOTH, several=SEVERAL)
    done(scheduler, first)
    before = list(whole.sent)
    done(scheduler, second)

    assert ([3, 4, 5], [6], [], [0, 1, 2]) == (first.sent, second.sent, before, whole.sent)


def test_a_worker_with_one_gpu_never_gets_a_check_for_several() -> None:
    first, whole = Worker("gw0"), Worker("gw2", ALL)
    scheduler = scheduled(first, whole, collected=BOTH, several=SEVERAL)
    done(scheduler, first)
    done(scheduler, whole)

    assert ([3, 4, 5, 6], [0, 1, 2]) == (sorted(first.sent), whole.sent)
    assert (True, True) == (first.shutting_down, whole.shutting_down)


def test_the_death_of_the_last_worker_with_one_gpu_lets_the_others_begin() -> None:
    first, whole = Worker("gw0"), Worker("gw2", ALL)
    scheduler = scheduled(first, whole, collected=(*SPLIT, *GPT2), several=SEVERAL)
    scheduler.remove_node(first)

    assert [0, 1, 2] == whole.sent


def test_an_only_worker_gets_everything_and_several_gpus_last() -> None:
    only = Worker("gw0", ALL)
    scheduler = scheduled(only, collected=BOTH, several=SEVERAL)
    done(scheduler, only)

    assert [3, 4, 5, 6, 0, 1, 2] == only.sent


def test_a_worker_goes_on_with_the_model_whose_references_it_made() -> None:
    """Others are taken up by whoever has nothing of them."""
    names = [f"a.py::b[sdpa/{model}/{dtype}/cuda:correct:{index}]" for model in ("llama", "gpt2")
             for dtype in ("fp32", "bf16") for index in range(3)]  # fmt: skip
    first, second = Worker("gw0"), Worker("gw1", 1)
    scheduler = scheduled(first, second, collected=tuple(names))
    scheduler.mark_test_complete(second, 6)
    scheduler.mark_test_complete(first, 0)

    assert ([0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]) == (first.sent, second.sent)
