"""A TOML table is read strictly: whatever is in it, the answer is its values or one line that says what is wrong where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matrix.errors import UserError
from matrix.table import Table, read
from suites.selftest.samples import VALUES

FILE = Path("models.toml")


def table(**data: Any) -> Table:
    return Table(FILE, "model.m", data)


def problem(read_key: Any) -> str:
    with pytest.raises(UserError) as raised:
        read_key()
    return str(raised.value)


def test_a_key_that_nobody_asked_for_is_named_with_what_is_accepted_and_what_was_meant() -> None:
    read_table = table(task="causal-lm", teir="quick")
    read_table.text("task")
    read_table.text("tier", "full")

    assert "models.toml: model.m.teir is an unknown key, accepted: task, tier; did you mean 'tier'?" == problem(read_table.done)


def test_a_table_of_which_every_key_was_asked_for_is_done() -> None:
    read_table = table(mask=True, seed=0)
    actual = (read_table.flag("mask"), read_table.integer("seed"), read_table.flag("absent"), read_table.text("kind", "a"))
    read_table.done()

    assert (True, 0, None, "a") == actual


@pytest.mark.parametrize(
    ("ask", "data", "expected"),
    [
        (lambda t: t.text("k"), {}, "model.m.k is missing, a string is required"),
        (lambda t: t.text("k"), {"k": 3}, "model.m.k is a whole number (3), a string is accepted"),
        (lambda t: t.text("k", accepted=("cuda", "cpu")), {"k": "cdua"},
         "model.m.k is 'cdua', accepted: cuda, cpu; did you mean 'cuda'?"),
        (lambda t: t.integer("k"), {"k": True}, "model.m.k is a boolean (True), a whole number is accepted"),
        (lambda t: t.integer("k"), {"k": -1}, "model.m.k is -1, a whole number of at least 0 is accepted"),
        (lambda t: t.integer("k"), {"k": 1.5}, "model.m.k is a float (1.5), a whole number is accepted"),
        (lambda t: t.flag("k"), {"k": "yes"}, "model.m.k is a string ('yes'), a boolean is accepted"),
        (lambda t: t.texts("k"), {"k": ["a", 1]}, "model.m.k holds 1, a list of strings is accepted"),
        (lambda t: t.texts("k"), {"k": ["a", "a"]}, "model.m.k repeats a value: ['a', 'a']"),
        (lambda t: t.texts("k"), {"k": []}, "model.m.k is empty, a list of at least one value is accepted"),
        (lambda t: t.texts("k", ("a",)), {"k": []},
         "model.m.k is empty, a list of at least one value is accepted: or leave it out"),
        (lambda t: t.integers("k"), {"k": [1, 0]}, "model.m.k is [1, 0], whole numbers of at least 1 are accepted"),
        (lambda t: t.integers("k"), {"k": [True]}, "model.m.k holds True, a list of whole numbers is accepted"),
        (lambda t: t.mapping("k"), {"k": []}, "model.m.k is a list ([]), a table is accepted"),
        (lambda t: t.choices("k", keys=("a",), values=("x",)), {"k": {"b": "x"}}, "model.m.k is 'b', accepted: a"),
        (lambda t: t.choices("k", keys=("a",), values=("x",)), {"k": {"a": ["x"]}}, "model.m.k is ['x'], accepted: x"),
        (lambda t: t.choices("k", keys=("a",), values=("x",)), {"k": {}},
         "model.m.k is empty, a table of at least one key is required"),
        (lambda t: list(t.tables("k")), {"k": [1]},
         "model.m.k[0] is a whole number (1), a table is accepted: write [model.m.k[0]]"),
        (lambda t: list(t.named("k")), {"k": {}}, "model.m.k is empty, at least one [model.m.k.NAME] is required"),
        (lambda t: t.pattern("k"), {"k": "("},
         "model.m.k is no regular expression ('('): missing ), unterminated subpattern at position 0"),
        (lambda t: t.table("k").text("inner"), {"k": {}}, "model.m.k.inner is missing, a string is required"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_file_key_value_and_what_is_accepted(ask: Any, data: dict[str, Any], expected: str) -> None:
    assert f"models.toml: {expected}" == problem(lambda: ask(table(**data)))


@pytest.mark.parametrize(
    "method", ["text", "integer", "texts", "integers", "flag", "mapping", "table", "tables", "named", "pattern"]
)
@settings(max_examples=100)
@given(value=VALUES, key=st.text(max_size=5))
def test_no_value_is_answered_with_anything_but_a_value_or_one_line(method: str, key: str, value: Any) -> None:
    read_table = Table(FILE, "model.m", {key: value})
    try:
        answer = getattr(read_table, method)(key)
        list(answer) if method in ("tables", "named") else read_table.done()
    except UserError as error:
        assert 1 == len(str(error).splitlines())


@settings(max_examples=100)
@given(st.text() | st.from_regex(r"(?s)version = .{0,20}"))
def test_no_text_is_read_as_anything_but_a_version_1_table_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        read(path).done()
    except UserError as error:
        assert 1 == len(str(error).splitlines())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version = 1\n[[", "is not valid TOML"),
        ("", "version is missing, a whole number is required"),
        ("version = 2", "version is 2, 1 is accepted: update the suite or the file"),
        ("version = true", "version is a boolean (True), a whole number is accepted"),
        ("version = 0x" + "f" * 5000, "version is too long to be shown, 1 is accepted"),
        ("version = " + "9" * 5000, "is not valid TOML"),
        ("version = " + "[" * 5000, "is not valid TOML"),
        ('version = 1\n"a\\nb" = 1', '"a\\nb" is an unknown key'),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "models.toml"
    path.write_text(text)
    actual = problem(lambda: read(path).done())

    assert actual.startswith(f"models.toml: {expected}")
    assert 1 == len(actual.splitlines())


def test_a_file_in_another_encoding_is_not_valid(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    path.write_bytes(b"version = 1 # \xff")

    assert "models.toml: is not valid TOML" in problem(lambda: read(path))


def test_a_missing_file_is_named_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"

    assert f"{path}: cannot be read: No such file or directory" == problem(lambda: read(path))
