"""The page in a real browser: what a reader sees, clicks, presses and prints."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reports.compare import Comparison
from reports.record import Outcome
from reports.render import html
from reports.run import Run
from suites.selftest.browser import Browser, skipped
from suites.selftest.examples import compared, record, run
from suites.selftest.test_page import ENVIRONMENT, HOSTILE, fleet_of

pytestmark = pytest.mark.skipif(bool(skipped()), reason=f"no browser: {skipped()}")

GOOD = record(check="dispatch", subject="decode", evidence={"families": ["sdpa-flash"], "kernels": {"flash_fwd_kernel": 2}})
SLOW = replace(GOOD, evidence={"families": ["sdpa-math"], "kernels": {"softmax_warp_forward": 2}})
FINE = record(configuration="eager", memory={"footprint": 5_000_000})
BAD = record(
    subject="bad", outcome=Outcome.FAILED, message="rms error 0.5 is above 0.02", command="pytest -k bad",
    errors={"rms": 0.5, "rms_tolerance": 0.02},
)  # fmt: skip
ENTER, ESCAPE, DOWN, RIGHT = "\ue007", "\ue00c", "\ue015", "\ue014"


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def browser(window: Browser) -> Iterator[Browser]:
    """The window, of which a test ends with nothing to complain of."""
    yield window

    assert window.complaints == []


def written(folder: Path, found: Run | Comparison) -> Path:
    page = folder / "page.html"
    page.write_text(html.show(found) if isinstance(found, Run) else html.compared(found), errors="backslashreplace")
    return page


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return written(tmp_path, run(GOOD, FINE, BAD))


@pytest.fixture
def two(tmp_path: Path) -> Path:
    return written(tmp_path, compared([GOOD, FINE, replace(BAD, outcome=Outcome.PASSED)], [SLOW, FINE, BAD]))


def test_the_grid_shows_configurations_with_a_sign_and_a_count(browser: Browser, one: Path) -> None:
    browser.open(one)

    assert browser.all("#grid tr.group th") == ["▾sdpa", "▸eager"]
    assert browser.all("#grid tr.group td") == ["✗ 1/1", "✓ 1", "✓ 1", ""]


def test_a_configuration_unfolds_into_its_cells(browser: Browser, one: Path) -> None:
    browser.open(one)
    browser.click("#grid tr.group:last-of-type th")

    assert browser.all("#grid tr.leaf th") == ["llama-tiny bf16", "llama-tiny bf16"]


def test_a_click_opens_the_cell_with_reason_error_command_and_memory(browser: Browser, one: Path) -> None:
    browser.open(one)
    browser.click("#grid tr.leaf td.bad")
    browser.until(lambda: browser.all("#panel .body"))

    assert browser.all("#panel h2") == ["sdpa/llama-tiny/bf16/cuda · correct"]
    assert browser.all("#panel .reason") == ["rms error 0.5 is above 0.02"]
    assert browser.all("#panel pre") == ["pytest -k bad"]
    assert browser.all("#panel h3") == [
        "Error against tolerance",
        "Kernels and operators that executed",
        "Memory",
        "Time",
        "Identity",
    ]
    assert (
        browser.evaluate("document.querySelector('#panel .picture').getAttribute('aria-label')")
        == "rms 2500 % of its tolerance"
    )


def test_an_error_beyond_its_tolerance_is_drawn_right_of_the_limit(browser: Browser, one: Path) -> None:
    browser.open(one, BAD.id)
    browser.until(lambda: browser.all("#panel .body"))
    limit, error = (
        f"document.querySelector('#panel .picture {name}').getBoundingClientRect().left" for name in (".limit", ".now")
    )

    assert browser.evaluate(f"{error} > {limit}")


def test_a_comparison_shows_the_kernels_before_and_after(browser: Browser, two: Path) -> None:
    browser.open(two, GOOD.id)
    browser.until(lambda: browser.all("#panel .kernels"))

    assert browser.all("#panel .kernels tr.new") == ["-\t2x\tsoftmax_warp_forward"]
    assert browser.all("#panel .kernels tr.gone") == ["2x\t-\tflash_fwd_kernel"]


def of_latency(*medians: float) -> dict[str, object]:
    processes = [{"median": median, "samples": [0.99 * median, median, 1.01 * median], "marked": []} for median in medians]
    disturbed = {"median": None, "samples": [], "marked": [[0.1, "throttled"]]}
    return {"latency": {"figures": {"prefill": {"clock": "device", "processes": [*processes, disturbed]}},
                        "counters": {"synchronizations": 1}, "sites": {}, "code": "c"}}  # fmt: skip


def test_latency_is_drawn_as_a_dot_for_each_process_that_was_not_disturbed(browser: Browser, tmp_path: Path) -> None:
    before, after = (
        record(check="latency", subject="prefill", evidence=of_latency(*times)) for times in ((0.06, 0.061), (0.062,))
    )
    browser.open(written(tmp_path, compared([before], [after])), before.id)
    browser.until(lambda: browser.all("#panel .body"))

    (told,) = [line for line in browser.all("#panel .body .more") if "prefill" in line]
    assert told.startswith(
        "prefill (device time): baseline 60.5 ms over 2 processes, 1 disturbed; candidate 62.0 ms over 1 process"
    )
    assert browser.evaluate("document.querySelectorAll('#panel [aria-label$=processes] circle.was').length") == 2


def test_of_several_runs_a_square_opens_the_checks_of_one(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(html.together(fleet_of(old=run(GOOD, FINE), new=run(GOOD, BAD))))
    browser.open(page)
    browser.click("#grid tr.leaf td.bad")

    assert browser.until(lambda: browser.all("#panel h2")) == ["sdpa/llama-tiny/bf16/cuda \u00b7 new"]
    assert browser.all("#panel .check summary b") == ["correct[bad]", "dispatch[decode]"]


def test_an_address_opens_a_check_and_closing_gives_the_plain_address_back(browser: Browser, one: Path) -> None:
    browser.open(one, BAD.id)
    opened = browser.until(lambda: browser.all("#panel details[open] b"))
    browser.click("#panel .head button:last-of-type")

    assert opened == ["correct[bad]"]
    assert browser.all("#panel") == []
    assert browser.driver.current_url == one.as_uri()


def test_back_opens_what_was_closed(browser: Browser, one: Path) -> None:
    browser.open(one, BAD.id)
    browser.press(ESCAPE)
    browser.driver.back()

    assert browser.until(lambda: browser.all("#panel h2")) == ["sdpa/llama-tiny/bf16/cuda"]


def test_a_finding_leads_to_its_cell(browser: Browser, two: Path) -> None:
    browser.open(two)
    browser.click("#findings a.id")

    assert browser.until(lambda: browser.all("#panel details[open] b")) == ["correct[bad]"]


def test_an_address_of_a_check_that_is_not_there_says_so(browser: Browser, one: Path) -> None:
    browser.open(one, "sdpa/llama-tiny/bf16/cuda::gone")

    assert browser.all("#panel .more") == ["This page has no check sdpa/llama-tiny/bf16/cuda::gone. 1 failed, 1 passed"]


@pytest.mark.parametrize(
    ("words", "rows"),
    [("eager", ["eager"]), ("sdp*/llama -bad", ["sdpa"]), ("rms above", ["sdpa"]), ("(", []), ("failed", ["sdpa"])],
)  # fmt: skip
def test_a_search_leaves_what_has_all_its_words(browser: Browser, one: Path, words: str, rows: list[str]) -> None:
    browser.open(one)
    browser.click("#search")
    browser.press(words)

    assert [name.removeprefix("▾") for name in browser.all("#grid tr.group th")] == rows


def test_a_state_is_shown_alone_where_that_is_asked(browser: Browser, one: Path) -> None:
    browser.open(one)
    browser.click("#states button.bad")

    assert browser.all("#shown") == ["1 of 3 checks"]
    assert browser.all("#grid td.good") == []


def test_the_keyboard_alone_goes_everywhere(browser: Browser, one: Path) -> None:
    browser.open(one)
    browser.press("/")
    searching = browser.evaluate("document.activeElement.id")
    browser.press("b", "f", "1", "6", ESCAPE)
    browser.evaluate("document.querySelector('#grid [tabindex=\"0\"]').focus()")
    browser.press(DOWN, RIGHT)
    beside = browser.place
    browser.press(ENTER)
    opened = browser.until(lambda: browser.all("#panel details[open] b"))
    browser.press(ESCAPE)

    assert (searching, beside, opened, browser.place) == ("search", "✗ 1/1", ["correct[bad]"], "✗ 1/1")


def test_below_a_suite_comes_the_next_one_with_columns_of_its_own(browser: Browser, tmp_path: Path) -> None:
    placed = record("max-memory-gpus-sdpa", "placed", nodeid="suites/placement/test_placed.py::test_it")
    attention = [replace(each, nodeid="suites/attention/test_it.py::test_it") for each in (GOOD, FINE)]
    browser.open(written(tmp_path, run(*attention, placed)))
    heads = browser.all("#grid tr.heads th")
    browser.evaluate("document.querySelector('#grid [tabindex=\"0\"]').focus()")
    browser.press(DOWN, DOWN, RIGHT, RIGHT, ENTER)

    assert heads == ["attention", "correct", "dispatch", "placement", "placed"]
    assert browser.until(lambda: browser.all("#panel h2")) == ["max-memory-gpus-sdpa \u00b7 placed"]


def test_a_key_leads_from_one_bad_cell_to_the_next(browser: Browser, two: Path) -> None:
    browser.open(two)
    browser.press("n")

    assert browser.until(lambda: browser.all("#panel h2")) == ["sdpa/llama-tiny/bf16/cuda"]


def test_hostile_texts_are_shown_as_they_are_and_do_nothing(browser: Browser, tmp_path: Path) -> None:
    browser.open(written(tmp_path, run(GOOD, HOSTILE, environment=ENVIRONMENT, injected=("<img src=x onerror=alert(1)>",))))
    browser.press("n")
    browser.until(lambda: browser.all("#panel .body"))

    assert browser.evaluate("document.querySelectorAll('img, #panel script, #panel style, #panel b b').length") == 0
    assert browser.all("#panel .reason") == [r"</details><b onclick=alert(1)>\ud800\u0000\u202e{{ 7 * 7 }}"]
    assert browser.all("#panel a") == []


def test_nothing_is_loaded(browser: Browser, two: Path) -> None:
    browser.open(two, BAD.id)

    assert browser.evaluate("performance.getEntriesByType('resource').length") == 0


@pytest.mark.parametrize(("scheme", "paper"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(17, 22, 27)")])
def test_the_page_is_as_light_or_dark_as_its_reader_wants(browser: Browser, one: Path, scheme: str, paper: str) -> None:
    browser.open(one, prefers_color_scheme=scheme)

    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == paper


def test_what_is_printed_is_light_without_tools_and_has_the_open_cell(browser: Browser, one: Path) -> None:
    browser.open(one, BAD.id, media="print", prefers_color_scheme="dark")
    browser.until(lambda: browser.all("#panel .body"))

    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.all("#tools, button") == []
    assert browser.evaluate("getComputedStyle(document.querySelector('#panel')).position") == "static"
    assert base64.b64decode(browser.command("Page.printToPDF")["data"]).startswith(b"%PDF")


def test_without_its_script_the_page_still_tells_the_verdict_the_findings_and_the_grid(browser: Browser, one: Path) -> None:
    browser.open(one, script=False)

    assert browser.all("h1") == ["✗ NOT GOOD: 1 failed; 2 of 3 checks passed."]
    assert browser.all("#findings li.bad a") == [BAD.id]
    assert browser.all("#grid tr:not(.heads) th") == ["sdpa", "eager"]


def test_of_ten_thousand_checks_only_the_configurations_are_drawn_at_first(browser: Browser, tmp_path: Path) -> None:
    many = [record(configuration=f"c{at % 40:02}", subject=f"s{at}", model=f"m{at // 40 % 25:02}") for at in range(10_000)]
    browser.open(written(tmp_path, run(*many)))

    assert browser.all("#shown") == ["10000 checks"]
    assert browser.evaluate("document.querySelectorAll('#grid tr.group').length") == 40
    assert browser.evaluate("document.querySelectorAll('#panel *').length") == 0
