"""The matrix files are loaded strictly: what they say is taken, and what they cannot mean is one line."""

from __future__ import annotations

import datetime
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matrix.errors import UserError
from matrix.load import load_matrix
from suites.selftest.samples import DOCUMENTS, VALUES, changed, places, written

WORKLOAD = ("workload", "w")
CONFIGURATION = ("configuration", "c")
PLACES = [(name, place) for name, document in DOCUMENTS.items() for place in places(document)]
# Tables whose keys are values.
FREE = {"config", "options", "versions", "dtypes", "model", "workload", "configuration", "environment", "promise", "refusal"}
KEYS = [(name, place) for name, place in PLACES if isinstance(place[-1], str) and not FREE & set(place[-2:-1])]


def problem(folder: Path, **documents: Any) -> str:
    with pytest.raises(UserError) as raised:
        load_matrix(written(folder, **documents))
    return str(raised.value)


def workload_problem(folder: Path, **keys: Any) -> str:
    usual = {"summary": "s", "schedule": "prefill", "lengths": [7], "invariant": "causal"}
    return problem(folder, workloads=changed("workloads", WORKLOAD, usual | keys)).removeprefix("workloads.toml: workload.w.")


def test_the_smallest_files_are_loaded(tmp_path: Path) -> None:
    matrix = load_matrix(written(tmp_path))
    configuration = matrix.configurations["c"]
    actual = (tuple(matrix.models), matrix.workloads["w"].tier, configuration.models, configuration.platforms)

    assert (("m",), "quick", ("*",), ("cpu", "cuda", "rocm")) == actual


def test_the_files_of_the_suite_are_loaded() -> None:
    matrix = load_matrix()

    assert {"eager", "sdpa", "sdpa-flash"} <= set(matrix.configurations)


def test_an_expectation_keeps_its_date_and_its_versions(tmp_path: Path) -> None:
    (expectation,) = load_matrix(written(tmp_path)).expectations

    assert (datetime.date(2030, 1, 1), {"torch": ">=2.0, <3"}) == (expectation.expires, expectation.versions)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_file_that_is_missing_is_named(tmp_path: Path, name: str) -> None:
    folder = written(tmp_path)
    (folder / f"{name}.toml").unlink()

    with pytest.raises(UserError, match=rf"{name}\.toml: cannot be read"):
        load_matrix(folder)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_unknown_key_beside_the_version_is_named(tmp_path: Path, name: str) -> None:
    actual = problem(tmp_path, **{name: changed(name, ("versoin",), 1)})

    assert f"{name}.toml: versoin is an unknown key" in actual


@pytest.mark.parametrize(("name", "place"), KEYS)
def test_a_misspelled_key_is_an_error_wherever_it_stands(tmp_path: Path, name: str, place: tuple[str | int, ...]) -> None:
    document = changed(name, (*place[:-1], f"{place[-1]}x"), 1)

    assert f"{place[-1]}x is an unknown key" in problem(tmp_path, **{name: document})


@settings(max_examples=300)
@given(place=st.sampled_from(PLACES), value=VALUES)
def test_no_value_in_any_place_is_answered_with_anything_but_one_line(
    place: tuple[str, tuple[str | int, ...]], value: Any
) -> None:
    name, path = place
    with tempfile.TemporaryDirectory() as folder:
        try:
            load_matrix(written(Path(folder), **{name: changed(name, path, value)}))
        except UserError as error:
            assert 1 == len(str(error).splitlines())


# references between the files


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ((*CONFIGURATION, "models"), ["lama*"], "configuration.c.models holds 'lama*', which matches nothing in models.toml"),
        ((*CONFIGURATION, "workloads"), ["deocde"],
         "configuration.c.workloads holds 'deocde', which matches nothing in workloads.toml"),
        ((*CONFIGURATION, "promises"), ["q"], "configuration.c.promises is 'q', accepted: p"),
        ((*CONFIGURATION, "refuses"), ["q"], "configuration.c.refuses is 'q', accepted: r"),
        (("promise", "p", "families"), ["egaer"], "promise.p.families is 'egaer', accepted: eager; did you mean 'eager'?"),
        (("promise", "p", "architectures"), ["x"], "promise.p.architectures is 'x', accepted: llama"),
        ((*CONFIGURATION, "checks"), ["imports"], "configuration.c.checks is 'imports', accepted: builds"),
        ((*CONFIGURATION, "checks"), ["refuses"], "configuration.c.checks is 'refuses', accepted: builds"),
        ((*CONFIGURATION, "dtypes"), {"int8": "quick"}, "configuration.c.dtypes is 'int8', accepted: fp32, bf16, fp16"),
        ((*CONFIGURATION, "requires", "capability"), "8", "requires.capability is '8', a compute capability such as '8.0'"),
    ],
)  # fmt: skip
def test_a_reference_to_nothing_is_named(tmp_path: Path, path: tuple[str | int, ...], value: Any, expected: str) -> None:
    assert expected in problem(tmp_path, configurations=changed("configurations", path, value))


@pytest.mark.parametrize("name", ["Llama", "llama tiny", "llama/tiny", "llama:tiny", "llama[1]", "-llama", ""])
def test_a_name_that_an_id_cannot_hold_is_refused(tmp_path: Path, name: str) -> None:
    document = {"version": 1, "model": {name: DOCUMENTS["models"]["model"]["m"]}}

    assert f"models.toml: model holds the name {name!r}, lower-case letters" in problem(tmp_path, models=document)


# what cannot be meant


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"lengths": [7, 9]}, "padding is 'none' though the rows differ in length: use left or right, or schedule = 'alone'"),
        ({"schedule": "alone", "padding": "left"}, "padding is 'left', 'none' is accepted with schedule = 'alone'"),
        ({"schedule": "decode", "cache": "dynamic"}, "steps is for schedules decode and generate, and at least 1 there"),
        ({"steps": 1}, "steps is for schedules decode and generate, and at least 1 there"),
        ({"schedule": "decode", "steps": 1}, "cache is 'none', accepted with schedule = 'decode': dynamic, static"),
        ({"cache": "static"}, "cache is 'static', accepted with schedule = 'prefill': none"),
        ({"schedule": "generate", "steps": 1, "cache": "static"},
         "cache is 'static', accepted with schedule = 'generate': dynamic"),
        ({"chunks": [7]}, "chunks is for schedule = 'chunked', and required there"),
        ({"schedule": "chunked", "cache": "dynamic"}, "chunks is for schedule = 'chunked', and required there"),
        ({"schedule": "chunked", "cache": "dynamic", "chunks": [3]}, "chunks adds up to 3, the length of the one row"),
        ({"schedule": "chunked", "cache": "dynamic", "chunks": [7], "lengths": [7, 7]},
         "chunks adds up to 7, the length of the one row"),
        ({"schedule": "decode", "steps": 1, "cache": "dynamic", "tasks": ["sequence-classification"]},
         "tasks is ['sequence-classification']"),
        ({"lengths": []}, "lengths is empty, a list of at least one value is accepted"),
        ({"tasks": ["call"]}, "tasks is 'call', accepted: causal-lm, sequence-classification"),
        ({"invariant": "cuasal"},
         "invariant is 'cuasal', accepted: causal, padded, batched, packed, cached, chunked, greedy; did you mean 'causal'?"),
    ],
)  # fmt: skip
def test_a_workload_that_contradicts_itself_is_refused(tmp_path: Path, keys: dict[str, Any], expected: str) -> None:
    assert workload_problem(tmp_path, **keys).startswith(expected)


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        ({"phases": ["decode"]}, "refusal.r.phases is for promises alone"),
        ({"at": "build"}, "refusal.r.mask is for at = 'run'"),
        ({"error": "("}, "refusal.r.error is no regular expression ('(')"),
        ({"error": "a{99999999999}"}, "refusal.r.error is no regular expression"),
    ],
)  # fmt: skip
def test_a_refusal_that_could_never_be_seen_is_refused(tmp_path: Path, refusal: dict[str, Any], expected: str) -> None:
    usual = {"mask": True, "at": "run", "error": "No available kernel", "source": "https://example.org"}
    document = changed("configurations", ("refusal", "r"), usual | refusal)

    assert expected in problem(tmp_path, configurations=document)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("config",), {}, "config needs vocab_size with task 'causal-lm': a whole number of at least 1"),
        (("features",), ["sliding-window"], "config needs sliding_window with feature 'sliding-window'"),
        (("features",), ["slidingwindow"], "features is 'slidingwindow', accepted: causal-mask"),
    ],
)  # fmt: skip
def test_a_model_without_what_its_features_need_is_refused(
    tmp_path: Path, path: tuple[str, ...], value: Any, expected: str
) -> None:
    document = changed("models", ("model", "m", *path), value)

    assert f"models.toml: model.m.{expected}" in problem(tmp_path, models=document)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("cells", "sdpa and", "expectations.toml: expectation[0].cells is 'sdpa and': a glob is expected at the end"),
        ("expires", "soon", "expectation[0].expires is 'soon', a date such as '2027-03-31' is accepted"),
        ("url", "issue 12", "expectation[0].url is 'issue 12', the https address of an issue is accepted"),
        ("message", "this|that", "message is 'this|that', words as they stand in the message are accepted, no pattern"),
        ("outcome", "passed", "expectation[0].outcome is 'passed', accepted: failed"),
        ("versions", {"torch": "2.0"},
         "expectation[0].versions of 'torch' is '2.0', a specifier such as '>=5.0, <5.2' is accepted"),
        ("versions", {"torch": 2}, "expectation[0].versions of 'torch' is 2, a specifier"),
    ],
)  # fmt: skip
def test_an_expectation_that_could_not_be_judged_is_refused(tmp_path: Path, key: str, value: Any, expected: str) -> None:
    document = changed("expectations", ("expectation", 0, key), value)

    assert expected in problem(tmp_path, expectations=document)
