"""What pip says is what is installed, and where it gives up its own words are the message."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from matrix import resolution
from matrix.errors import UserError
from matrix.requirement import parse
from matrix.resolution import Source, complaint, releases, resolve


class Pip:
    """Answers every call alike, and counts them."""

    def __init__(self, out: str = "", err: str = "", status: int = 0) -> None:
        self.done = subprocess.CompletedProcess([], status, out, err)
        self.calls: list[tuple[str, ...]] = []

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        self.calls.append(arguments)
        return self.done


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOX_WORK_DIR", str(tmp_path))


def report(name: str, version: str, *, direct: bool = False, needs: tuple[str, ...] = (), **where: Any) -> str:
    metadata = {"name": name, "version": version, "requires_dist": list(needs)}
    return json.dumps({"install": [{"metadata": metadata, "download_info": where, "is_direct": direct}]})


def pip(monkeypatch: pytest.MonkeyPatch, **answer: Any) -> Pip:
    made = Pip(**answer)
    monkeypatch.setattr(resolution, "_pip", made)
    return made


def test_a_release_of_the_index_is_pinned_and_known_by_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    pip(monkeypatch, out=report("Transformers", "5.23.0", needs=("tokenizers<0.24", "jax; extra == 'flax'")))

    resolved = resolve(parse("transformers>=5", "--candidate"), "--candidate", Source())

    assert ("transformers==5.23.0", "transformers5.23.0", ("tokenizers",)) == (resolved.line, resolved.factor, resolved.needs)


def test_a_pinned_release_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = pip(monkeypatch, out=report("torch", "2.13.0"))
    requirement = parse("torch==2.13.0", "--candidate")

    assert resolve(requirement, "", Source()) == resolve(requirement, "", Source())
    assert 1 == len(asked.calls)


def test_a_branch_is_the_commit_that_it_stood_at(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"url": "https://example.org/t.git", "vcs_info": {"vcs": "git", "commit_id": "3f2a91c04d"}}
    pip(monkeypatch, out=report("transformers", "5.24.0.dev0", direct=True, **told))

    resolved = resolve(parse("git+https://example.org/t.git@main", ""), "", Source())

    assert "transformers @ git+https://example.org/t.git@3f2a91c04d" == resolved.line
    assert "transformers5.24.0.dev0-3f2a91c0" == resolved.factor


def test_a_checkout_that_was_edited_is_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("a")
    pip(monkeypatch, out=report("transformers", "5.24.0.dev0", direct=True, url=tmp_path.as_uri(), dir_info={}))
    before = resolve(parse(str(tmp_path), ""), "", Source())
    (tmp_path / "pyproject.toml").write_text("edited")

    assert before.factor != resolve(parse(str(tmp_path), ""), "", Source()).factor


def test_another_index_and_prereleases_are_pips_own_options(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = pip(monkeypatch, out=report("torch", "2.16.0.dev20261122"))

    resolve(parse("torch", ""), "", Source(index="https://example.org/nightly", pre=True))

    assert {"--extra-index-url", "https://example.org/nightly", "--pre"} <= set(asked.calls[0])


def test_an_unknown_project_is_told_in_pips_words(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "ERROR: Could not find a version that satisfies the requirement x\nERROR: No matching distribution found for x\n"
    pip(monkeypatch, err=said, status=1)

    with pytest.raises(UserError, match=r"^--candidate 'x': pip: No matching distribution found for x$"):
        resolve(parse("x", "--candidate"), "--candidate", Source())


def test_requirements_that_contradict_each_other_are_told_with_both_sides() -> None:
    said = (
        "ERROR: Cannot install a==1 and b==2 because these package versions have conflicting dependencies.\n\n"
        "The conflict is caused by:\n    a 1 depends on c<1\n    b 2 depends on c>=2\n\nTo fix this you could try to:\n"
        "ERROR: ResolutionImpossible: for help visit https://pip.pypa.io\n"
    )

    assert "a 1 depends on c<1; b 2 depends on c>=2; ResolutionImpossible: for help visit https://pip.pypa.io" == complaint(
        said
    )


def test_what_uv_says_in_pips_place_is_told_as_well() -> None:
    said = (
        "cpu-tf5: install_deps> uv pip install a b\n\x1b[31mUsing Python 3.11.7\n"
        "error: No solution found when resolving dependencies\n  cause: Because a==1 depends on c<1 and you require c==2,\n"
        "         your requirements are unsatisfiable.\n\x1b[39mcpu-tf5: exit 1 (0.56 seconds)\n  evaluation failed :(\n"
    )
    expected = "No solution found when resolving dependencies: Because a==1 depends on c<1 and you require c==2,"

    assert f"{expected} your requirements are unsatisfiable." == complaint(said)


def test_the_releases_between_two_come_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    pip(monkeypatch, out="transformers (5.23.0)\nAvailable versions: 5.23.0, 5.22.2, 5.22.0, 5.21.1, 5.20.2\n")

    assert ["5.21.1", "5.22.0", "5.22.2"] == releases("transformers", "5.20.2", "5.22.2", Source())
