"""Preflight of what is installed and of the room there is: one line for what is broken."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures import installation, preflight
from suites.selftest.samples import facts, packages
from suites.selftest.test_preflight import BEGUN, child, looks

GIB = 2**30


# libraries


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("say(name='torch', ok=True, said='', seconds=1)", (True, "torch", "import_failed")),
        ("say(name='torch', ok=True, said='', seconds=1)\nsay(name='x', ok=False, said='OSError: libcudart.so.12', seconds=1)",
         (False, "x: OSError: libcudart.so.12", "import_failed")),
        ("say(name='x', begun=True)\nos.kill(os.getpid(), 11)",
         (False, "the process was ended by SIGSEGV: it said nothing", "crashed")),
    ],
)  # fmt: skip
def test_an_import_that_fails_in_one_order_is_broken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, expected: tuple[bool, str, str]
) -> None:
    (look,) = preflight._of_imports({"imports, torch last": child(monkeypatch, tmp_path, BEGUN + program)})

    assert expected == (look.ok, look.said, look.outcome)


def test_an_import_that_takes_long_is_not_called_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The check of that import waits longer."""
    monkeypatch.setattr(preflight, "SECONDS", 0.3)
    (look,) = preflight._of_imports({"imports, torch last": child(monkeypatch, tmp_path, BEGUN + "time.sleep(99)")})

    assert look.ok is None


def test_promised_packages_are_imported_in_both_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch first and last; what the probe imports after torch is not imported in that order once more."""
    started: dict[str, tuple[str, ...]] = {}
    monkeypatch.setattr(preflight, "Child", lambda module, *order: order)
    monkeypatch.setattr(preflight, "installed", lambda name: name != "optimum-onnx")
    started = preflight._importing(["torch", "transformers", "bitsandbytes", "optimum-onnx"], "cuda")  # type: ignore[assignment]

    assert {
        "imports, torch first": ("cuda", "torch", "bitsandbytes"),
        "imports, torch last": ("cuda", "bitsandbytes", "transformers", "torch"),
    } == started  # fmt: skip


def test_a_package_that_is_imported_here_is_not_imported_again_by_its_check(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done = child(monkeypatch, tmp_path, BEGUN + "say(name='accelerate', ok=True, said='', seconds=1)")
    list(preflight._of_imports({"a": done}))
    actual = preflight._with_imports(facts(packages=packages(accelerate="1", torch="2")), {"a": done})

    assert ("yes", None) == (actual.packages["accelerate"].get("imported"), actual.packages["torch"].get("imported"))


def test_what_preflight_learned_of_a_native_library_is_kept_for_its_check(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A library that cannot be used does not break the environment: it is the import check that fails, and what needs it."""
    said = BEGUN + "say(name='accelerate', ok=True, said='', native='no kernels', seconds=1)"
    done = child(monkeypatch, tmp_path, said)
    looks = list(preflight._of_imports({"a": done}))
    actual = preflight._with_imports(facts(packages=packages(accelerate="1")), {"a": done}).packages["accelerate"]

    assert ([True], "", "no kernels") == ([look.ok for look in looks], actual["error"], actual["native"])


@pytest.mark.parametrize(
    ("changes", "promised", "expected"),
    [
        ({}, ["torch"], []),
        ({"problem": "platform cuda: no driver"}, [], ["platform cuda: no driver"]),
        ({}, ["bitsandbytes"],
         ["bitsandbytes promised and not installed: install them, or take them out of matrix/environments.toml"]),
        ({"packages": {"torch": {"version": "2", "location": "", "error": "OSError: x"}}}, ["torch"], ["OSError: x"]),
    ],
)  # fmt: skip
def test_what_the_probe_found_broken_is_broken(changes: dict[str, Any], promised: list[str], expected: list[str]) -> None:
    assert expected == [look.said for look in preflight._of_facts(facts(**changes), promised) if look.ok is False]


class Distribution:
    """One that is installed in a folder."""

    def __init__(self, name: str, version: str, folder: Path, told: str | None = None) -> None:
        self.name, self.version, self._folder, self._told = name, version, folder, told
        self.files: list[Any] | None = None

    def locate_file(self, path: str) -> Path:
        return self._folder / path

    def read_text(self, name: str) -> str | None:
        return self._told


EDITABLE = '{"url": "file:///src", "dir_info": {"editable": true}}'


@pytest.mark.parametrize(
    ("installed", "origin", "expected"),
    [
        ([("torch", "2.11", "a", None)], "a/torch/__init__.py", []),
        ([("torch", "2.11", "a", None), ("torch", "2.9", "b", None)], "a/torch/__init__.py",
         ["torch is installed more than once"]),
        ([("onnxruntime", "1", "a", None), ("onnxruntime-gpu", "1", "a", None)], "a/onnxruntime/__init__.py",
         ["onnxruntime and onnxruntime-gpu both install the module onnxruntime"]),
        ([("onnxruntime-gpu", "1", "b", None), ("onnxruntime", "1", "a", None)], "b/onnxruntime/__init__.py",
         ["onnxruntime and onnxruntime-gpu both bring the module onnxruntime", "onnxruntime is imported from"]),
        ([("torch", "2.11", "a", None)], "here/torch.py", ["torch is imported from"]),
        ([("torch", "2.11", "a", EDITABLE)], "src/torch/__init__.py", []),
        ([("Torch", "2.11", "a", None)], None, []),
        ([("requests", "1", "a", None), ("requests", "2", "b", None)], "a/requests.py", []),
    ],
)  # fmt: skip
def test_a_library_that_is_there_twice_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, installed: list[tuple[str, str, str, str | None]], origin: str | None,
    expected: list[str],
) -> None:  # fmt: skip
    there = [Distribution(name, version, tmp_path / folder, told) for name, version, folder, told in installed]
    spec = SimpleNamespace(origin=str(tmp_path / origin)) if origin else None
    monkeypatch.setattr(installation.importlib.metadata, "distributions", lambda: there)
    monkeypatch.setattr(installation.importlib.util, "find_spec", lambda module: spec)
    actual = installation.shadowed()

    assert [True] * len(expected) == [said.startswith(words) for said, words in zip(actual, expected, strict=True)]


def test_of_two_that_share_a_module_it_is_told_which_is_on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The one that was installed last has overwritten the other."""

    def recorded(name: str, size: int) -> Distribution:
        made = Distribution(name, "1.30.0", tmp_path)
        made.files = [SimpleNamespace(parts=("onnxruntime", file), size=size, locate=lambda: tmp_path / "on-disk")
                      for file in ("session.so", "providers.so")]  # fmt: skip
        return made

    (tmp_path / "on-disk").write_bytes(bytes(20))
    there = [recorded("onnxruntime-gpu", 300), recorded("onnxruntime", 20)]
    monkeypatch.setattr(installation.importlib.metadata, "distributions", lambda: there)
    monkeypatch.setattr(installation.importlib.util, "find_spec", lambda module: None)
    (actual,) = installation.shadowed()

    assert "2 of 2 files are those of onnxruntime 1.30.0; 0 of 2 files are those of onnxruntime-gpu 1.30.0" in actual


def test_a_package_that_is_linked_from_a_store_is_not_called_hidden(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As uv installs with --link-mode=symlink."""
    (tmp_path / "store" / "torch").mkdir(parents=True)
    (tmp_path / "store" / "torch" / "__init__.py").touch()
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "torch").symlink_to(tmp_path / "store" / "torch")
    there = [Distribution("torch", "2.11", tmp_path / "site")]
    monkeypatch.setattr(installation.importlib.metadata, "distributions", lambda: there)
    monkeypatch.setattr(installation.importlib.util, "find_spec",
                        lambda module: SimpleNamespace(origin=str(tmp_path / "site" / "torch" / "__init__.py")))  # fmt: skip

    assert [] == installation.shadowed()


def test_nothing_of_this_environment_is_there_twice() -> None:
    assert [] == installation.shadowed()


# space


def test_too_little_room_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: SimpleNamespace(free=GIB // 2))
    monkeypatch.setattr(preflight, "available_memory", lambda: GIB)

    assert [
        (False, f"0.5 GiB are free in {tmp_path}, 1 are needed"), (False, "1.0 GiB available, 6 needed"),
    ] == looks(preflight._of_space("cuda", [tmp_path / "new" / "run"]))  # fmt: skip


def test_a_system_that_does_not_tell_its_memory_is_not_called_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(preflight, "available_memory", lambda: None)

    assert (None, "unknown available, 2 needed") == looks(preflight._of_space("cpu", [tmp_path]))[-1]
