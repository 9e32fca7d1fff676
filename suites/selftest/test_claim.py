"""An environment that is not what it claims to be is a broken one."""

from __future__ import annotations

import dataclasses

import pytest

from fixtures.claim import look
from matrix.load import load_matrix
from suites.selftest.samples import facts, packages

TF5 = load_matrix().environments["cuda-tf5"]
RELEASES = {"torch": "2.13.0", "transformers": "5.23.0", "accelerate": "1.15.0", "bitsandbytes": "0.50.2"}


def test_the_pinned_releases_are_what_is_claimed() -> None:
    there = facts("cuda", packages=packages(**RELEASES), details={"cuda": "13.0"})

    assert look(TF5, (), there).ok


def test_a_local_version_is_the_same_release() -> None:
    there = facts("cuda", packages=packages(**RELEASES | {"torch": "2.13.0+cu130"}), details={"cuda": "13.0"})

    assert look(TF5, (), there).ok


@pytest.mark.parametrize(
    ("changes", "cuda", "expected"),
    [
        ({"transformers": "5.17.0"}, "13.0", "transformers==5.23.0 is claimed, transformers 5.17.0 is installed"),
        ({}, "12.8", "a torch for CUDA 13 is claimed, this one is built for 12.8"),
    ],
)
def test_another_release_or_a_wheel_of_another_cuda_is_a_broken_environment(
    changes: dict[str, str], cuda: str, expected: str
) -> None:
    found = look(TF5, (), facts("cuda", packages=packages(**RELEASES | changes), details={"cuda": cuda}))

    assert (False, "other-environment") == (found.ok, found.reason)
    assert f"{expected}: build it with `tox run -e cuda-tf5`, or do not name it" == found.said


def test_an_override_takes_the_place_of_what_is_claimed() -> None:
    there = facts("cuda", packages=packages(**RELEASES | {"transformers": "5.17.0"}), details={"cuda": "13.0"})

    assert look(TF5, ("transformers==5.17.0",), there).ok


def test_an_environment_that_is_built_for_no_gpu_claims_no_runtime() -> None:
    cpu = dataclasses.replace(TF5, platform="cpu", runtime="")

    assert look(cpu, (), facts("cpu", packages=packages(**RELEASES), details={"cuda": None})).ok
