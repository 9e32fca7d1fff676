"""Secrets of the environment reach no record, no log and no report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.secrets import HIDDEN, hidden, hider
from reports.store import RunWriter
from suites.selftest.examples import record, run
from suites.selftest.nested import validate

SECRETS = {
    "HF_TOKEN": "hf_AbCdEfGhIjKlMnOpQrStUvWx",
    "REGISTRY_PASSWORD": "p\u00e4ss\"word/with'all",
    "HTTPS_PROXY": "http://deploy:s3cr3t-pr0xy@proxy.example:3128",
    "PIP_INDEX_URL": "https://t0ken-of-index@pypi.example/simple",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG",
}
PARTS = ("AbCdEfGh", 'ss"word', 'ss\\"word', "s3cr3t-pr0xy", "t0ken-of-index", "wJalrXUtnFEMI")


@pytest.mark.parametrize(
    ("environment", "text", "expected"),
    [
        ({"HF_TOKEN": "abcdef123"}, "401 for abcdef123", f"401 for {HIDDEN}"),
        ({"MY_API_KEY": "abcdef123"}, "abcdef123", HIDDEN),
        ({"DB_PASSWORD": "abc/def 1"}, "abc/def 1", HIDDEN),
        ({"https_proxy": "http://me:abcdef1@p:1"}, "me:abcdef1 and abcdef1", f"{HIDDEN} and {HIDDEN}"),
        ({}, "see https://me:pw@host/x", f"see https://{HIDDEN}@host/x"),
        ({}, "Bearer abcdefgh.ijk", f"Bearer {HIDDEN}"),
        ({}, "hf_AbCdEfGhIjKlMnOpQr", HIDDEN),
        ({"TOKENIZERS_PARALLELISM": "falsely"}, "falsely", "falsely"),
        ({"HF_TOKEN": "short"}, "a short line", "a short line"),
        ({"GOOGLE_APPLICATION_CREDENTIALS": "/etc/key.json"}, "/etc/key.json", "/etc/key.json"),
        ({"PATH": "/usr/bin"}, "/usr/bin", "/usr/bin"),
    ],
)  # fmt: skip
def test_what_is_secret_is_hidden_and_what_is_not_stays(
    environment: dict[str, str], text: str, expected: str, tmp_path: Path
) -> None:
    assert expected == hider(environment, tmp_path)(text)


def test_the_token_that_the_hub_keeps_in_a_file_is_hidden(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_KeptInAFileForEver123\n")

    assert HIDDEN == hider({"HF_HOME": str(tmp_path)})("hf_KeptInAFileForEver123")


@given(st.from_regex(r"[A-Za-z0-9+=_.-]{8,20}", fullmatch=True), st.text(max_size=20), st.text(max_size=20))
def test_no_secret_survives_in_a_tree(secret: str, before: str, after: str) -> None:
    tree = {"a": [before + secret + after], secret: {"b": (secret,)}, "c": 1.5, "d": None}
    shown = hidden(tree, hider({"HF_TOKEN": secret}))

    assert secret not in json.dumps(shown)


def test_a_writer_hides_secrets_in_everything_it_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    writer = RunWriter(tmp_path / "run")
    writer.begin(run(cells=SECRETS["HF_TOKEN"]).header, {"settings": dict(SECRETS)})
    writer.append(record(message=f"sent {SECRETS}", evidence={"output": list(SECRETS.values())}))
    writer.finish(finished=1.0, complete=True, notes=[str(SECRETS)])
    writer.attach("page.txt", str(SECRETS))
    written = "".join(path.read_text() for path in (tmp_path / "run").iterdir())

    assert [] == [part for part in PARTS if part in written]
    assert HIDDEN in written


def test_a_run_whose_checks_spill_the_environment_shows_none_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By raising with it, and by printing it before a crash: records, reports of pytest, and all that is printed."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    cell = "eager/gpt2-tiny/fp32/cpu"
    faults = [f"leak-error:{cell}::builds", f"leak-output:{cell}::correct[batch]", f"segfault:{cell}::correct[batch]"]
    spilled = validate(
        tmp_path, "--cells=eager and gpt2-tiny and fp32", *(f"--inject={fault}" for fault in faults),
        f"--junitxml={tmp_path / 'pytest.xml'}", "-k", "builds or batch", workers=1, seconds=240,
    )  # fmt: skip
    everything = "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file())

    assert spilled.run is not None
    assert {f"{cell}::correct[batch]"} == spilled.ended("crashed")
    assert HIDDEN in spilled.run.records[f"{cell}::builds"].message
    assert any(HIDDEN in line for line in spilled.run.records[f"{cell}::correct[batch]"].output)
    assert [] == [part for part in PARTS if part in everything]
