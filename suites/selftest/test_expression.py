"""The expressions of --cells select the cells that they describe, and nothing else than an expression is accepted."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matrix.errors import UserError
from matrix.expression import DEEPEST, parse
from suites.selftest.samples import cell, model

CELLS = [
    cell(configuration, of=model(name), dtype=dtype, platform="cuda")
    for configuration in ("eager", "sdpa", "sdpa-flash")
    for name in ("llama-tiny", "gpt2-tiny")
    for dtype in ("fp32", "bf16")
]
WORDS = st.sampled_from(["and", "or", "not", "(", ")", "sdpa", "sdpa-*", "llama*", "bf16", "*", "[", "[!a]", "?", "nothing"])


def selected(expression: str) -> set[str]:
    return {cell.id for cell in CELLS if parse(expression)(cell)}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("*", lambda c, m, d: True),
        ("sdpa", lambda c, m, d: c == "sdpa"),
        ("sdpa*", lambda c, m, d: c.startswith("sdpa")),
        ("llama-tiny", lambda c, m, d: m == "llama-tiny"),
        ("bf16", lambda c, m, d: d == "bf16"),
        ("cuda", lambda c, m, d: True),
        ("rocm", lambda c, m, d: False),
        ("sdpa/*/bf16/*", lambda c, m, d: (c, d) == ("sdpa", "bf16")),
        ("sdpa/gpt2-tiny/fp32/cuda", lambda c, m, d: (c, m, d) == ("sdpa", "gpt2-tiny", "fp32")),
        ("sdpa-* and llama*", lambda c, m, d: c == "sdpa-flash" and m == "llama-tiny"),
        ("not sdpa*", lambda c, m, d: c == "eager"),
        ("not not eager", lambda c, m, d: c == "eager"),
        ("eager or sdpa and bf16", lambda c, m, d: c == "eager" or (c == "sdpa" and d == "bf16")),
        ("(eager or sdpa) and bf16", lambda c, m, d: c in ("eager", "sdpa") and d == "bf16"),
        ("not eager and bf16", lambda c, m, d: c != "eager" and d == "bf16"),
        ("not (eager or bf16)", lambda c, m, d: c != "eager" and d != "bf16"),
        ("  eager\tor  sdpa ", lambda c, m, d: c in ("eager", "sdpa")),
        ("EAGER", lambda c, m, d: False),
    ],
)  # fmt: skip
def test_an_expression_selects_what_it_describes(expression: str, expected: object) -> None:
    assert callable(expected)
    wanted = {cell.id for cell in CELLS if expected(cell.configuration.name, cell.model.name, cell.dtype)}

    assert wanted == selected(expression)


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("", "a glob is expected at the end"),
        ("a and", "a glob is expected at the end"),
        ("and a", "a glob is expected before 'and'"),
        ("a or or b", "a glob is expected before 'or'"),
        ("()", "a glob is expected before ')'"),
        ("not", "a glob is expected at the end"),
        ("a b", "unexpected 'b'"),
        ("a)", "unexpected ')'"),
        ("(a", "a closing parenthesis is missing"),
        ("a(b)", "unexpected '('"),
        ("(" * 9999 + "a" + ")" * 9999, "it is nested more than 50 deep"),
        ("not " * 9999 + "a", "it is nested more than 50 deep"),
    ],
)
def test_what_is_no_expression_is_one_line_that_says_where_and_what_is_accepted(expression: str, problem: str) -> None:
    with pytest.raises(UserError) as raised:
        parse(expression)

    assert (f"--cells {expression!r}: {problem}; accepted: globs joined by and, or, not and parentheses, "
            "such as 'sdpa-* and llama*'") == str(raised.value)  # fmt: skip


def test_an_expression_as_deep_as_is_accepted_is_judged() -> None:
    assert selected("eager") == selected("(" * DEEPEST + "eager" + ")" * DEEPEST)


def test_an_expression_as_long_as_a_command_line_is_judged() -> None:
    """A list of cells, as a script would write it, is no deeper than a short one."""
    assert selected("*") == selected(" or ".join(["nothing"] * 5000 + ["*"]))


@settings(max_examples=200)
@given(st.text(max_size=20) | st.lists(WORDS, max_size=12).map(" ".join))
def test_no_text_is_answered_with_anything_but_a_selection_or_one_line(text: str) -> None:
    try:
        selected(text)
    except UserError as error:
        assert 1 == len(str(error).splitlines())


@settings(max_examples=100)
@given(st.lists(WORDS, max_size=8).map(" ".join))
def test_what_an_expression_selects_its_negation_leaves_out(text: str) -> None:
    try:
        actual = selected(text)
    except UserError:
        return

    assert {cell.id for cell in CELLS} - actual == selected(f"not ({text})")
