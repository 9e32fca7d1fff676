"""The probe says what a machine has, and a GPU that is there and cannot be used is a problem, never a CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures import platform
from fixtures.platform import import_error, measure

WORKING = {"version": "2.13.0", "location": "torch/__init__.py", "error": ""}


def fake_torch(
    *, cuda: str | None = None, hip: str | None = None, devices: int = 0, error: str | None = None, answer: float = 2048.0
) -> Any:
    """A torch that was built for ``cuda`` or ``hip``, sees so many devices, and raises or computes as given."""

    def init() -> None:
        if error is not None:
            raise RuntimeError(error)

    class Ones:
        def __add__(self, other: object) -> Any:
            return SimpleNamespace(sum=lambda: answer)

    properties = SimpleNamespace(
        name="a GPU", major=9, minor=0, total_memory=2**30, multi_processor_count=132, gcnArchName="gfx942:sramecc+:xnack-"
    )
    return SimpleNamespace(
        __version__="2.13.0", version=SimpleNamespace(cuda=cuda, hip=hip), ones=lambda *shape, device: Ones(),
        cuda=SimpleNamespace(init=init, is_available=lambda: devices > 0, device_count=lambda: devices,
                             get_device_properties=lambda index: properties,
                             can_device_access_peer=lambda a, b: True),
        backends=SimpleNamespace(cudnn=SimpleNamespace(version=lambda: 91002),
                                 cpu=SimpleNamespace(get_cpu_capability=lambda: "AVX2")),
    )  # fmt: skip


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the probe measures on a machine whose kernel shows these GPUs and that has this torch."""

    def probe(asked: str, present: list[str], torch: Any) -> dict[str, Any]:
        monkeypatch.setitem(sys.modules, "torch", torch)
        monkeypatch.setattr(platform, "_package", lambda name, module: WORKING)
        monkeypatch.setattr(platform, "gpus_of_the_host", lambda: present)
        monkeypatch.setattr(platform, "_driver", dict)
        return measure(asked)

    return probe


# which platform, and whether it can be used


@pytest.mark.parametrize(
    ("asked", "present", "torch", "expected"),
    [
        ("auto", [], fake_torch(), "cpu"),
        ("auto", [], fake_torch(cuda="13.0"), "cpu"),
        ("auto", ["cuda"], fake_torch(cuda="13.0", devices=1), "cuda"),
        ("auto", [], fake_torch(cuda="13.0", devices=1), "cuda"),
        ("auto", ["rocm"], fake_torch(hip="7.1", devices=1), "rocm"),
        ("cpu", ["cuda"], fake_torch(cuda="13.0", devices=1), "cpu"),
        ("cuda", ["cuda"], fake_torch(cuda="13.0", devices=1), "cuda"),
    ],
)
def test_the_platform_is_the_gpu_where_there_is_one(
    probed: Any, asked: str, present: list[str], torch: Any, expected: str
) -> None:
    actual = probed(asked, present, torch)

    assert (expected, "") == (actual["platform"], actual["problem"])


@pytest.mark.parametrize(
    ("asked", "present", "torch", "expected"),
    [
        ("auto", ["cuda"], fake_torch(),
         "platform cuda: this machine has a GPU (cuda) and torch 2.13.0 is built for the CPU alone: "
         "install a cuda build, or say --platform cpu"),
        ("auto", ["rocm"], fake_torch(),
         "platform rocm: this machine has a GPU (rocm) and torch 2.13.0 is built for the CPU alone: "
         "install a rocm build, or say --platform cpu"),
        ("cuda", [], fake_torch(),
         "platform cuda: torch 2.13.0 is built for the CPU alone: install a cuda build, or say --platform cpu"),
        ("rocm", ["rocm"], fake_torch(cuda="13.0"),
         "platform rocm: torch 2.13.0 is built for cuda: install a rocm build"),
        ("auto", ["cuda"], fake_torch(cuda="13.0", error="no CUDA-capable device is detected\nmore words"),
         "platform cuda: the GPU cannot be used: no CUDA-capable device is detected: check the driver and the visible devices"),
        ("auto", ["cuda"], fake_torch(cuda="13.0", error=""),
         "platform cuda: the GPU cannot be used: RuntimeError: check the driver and the visible devices"),
        ("cuda", ["cuda"], fake_torch(cuda="13.0", devices=1, answer=0.0),
         "platform cuda: a kernel ran on the GPU and returned wrong numbers: check the driver"),
    ],
)  # fmt: skip
def test_a_gpu_that_cannot_be_used_is_one_line(probed: Any, asked: str, present: list[str], torch: Any, expected: str) -> None:
    actual = probed(asked, present, torch)

    assert (expected, []) == (actual["problem"], actual["devices"])


@pytest.mark.parametrize("package", [{"version": "", "error": ""}, {"version": "2.13.0", "error": "OSError: libcudart.so.13"}])
def test_a_torch_that_cannot_be_imported_is_a_problem(monkeypatch: pytest.MonkeyPatch, package: dict[str, str]) -> None:
    monkeypatch.setattr(platform, "_package", lambda name, module: {"location": ""} | package)
    actual = measure("auto")

    assert ("cpu", f"torch cannot be used: {package['error'] or 'it is not installed'}") == (
        actual["platform"],
        actual["problem"],
    )


@pytest.mark.parametrize(
    ("torch", "expected"),
    [(fake_torch(cuda="13.0", devices=2), "9.0"), (fake_torch(hip="7.1", devices=2), "gfx942:sramecc+:xnack-")],
)
def test_every_device_is_described(probed: Any, torch: Any, expected: str) -> None:
    """By compute capability on CUDA, by architecture on ROCm."""
    actual = probed("auto", ["cuda"], torch)

    assert [("a GPU", expected, 2**30)] * 2 == [
        (each["name"], each["capability"], each["memory"]) for each in actual["devices"]
    ]


@pytest.mark.parametrize(
    ("files", "variables", "expected"),
    [
        (("/dev/nvidiactl",), {}, ["cuda"]),
        (("/proc/driver/nvidia/version",), {}, ["cuda"]),
        (("/dev/kfd",), {}, ["rocm"]),
        (("/dev/kfd", "/dev/nvidiactl"), {}, ["cuda", "rocm"]),
        ((), {}, []),
        (("/dev/nvidiactl",), {"CUDA_VISIBLE_DEVICES": ""}, []),
        (("/dev/nvidiactl",), {"CUDA_VISIBLE_DEVICES": "-1"}, []),
        (("/dev/nvidiactl",), {"CUDA_VISIBLE_DEVICES": "0"}, ["cuda"]),
        (("/dev/nvidiactl",), {"HIP_VISIBLE_DEVICES": ""}, ["cuda"]),
        (("/dev/kfd",), {"ROCR_VISIBLE_DEVICES": ""}, []),
        (("/dev/kfd",), {"CUDA_VISIBLE_DEVICES": "0", "HIP_VISIBLE_DEVICES": "-1"}, []),
    ],
)
def test_gpus_are_seen_by_the_kernels_files_unless_the_caller_hides_them(
    monkeypatch: pytest.MonkeyPatch, files: tuple[str, ...], variables: dict[str, str], expected: list[str]
) -> None:
    for names in platform.HIDING.values():
        for name in names:
            monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(platform.os.path, "exists", files.__contains__)

    assert expected == platform.gpus_of_the_host()


# packages


@pytest.mark.parametrize(("whole", "expected"), [("1.24.0", "0+optimum.1.24.0"), ("2.1.0", ""), ("", "")])
def test_a_part_that_an_older_release_holds_is_there(monkeypatch: pytest.MonkeyPatch, whole: str, expected: str) -> None:
    monkeypatch.setattr(platform, "_version", {"optimum": whole, "optimum-onnx": ""}.__getitem__)

    assert expected == platform._package("optimum-onnx", "optimum.onnxruntime")["version"]


def test_a_package_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"version": "", "location": "", "error": ""} == platform._package("no-such-distribution", "nosuch")


@pytest.mark.parametrize(
    "raised", [OSError("libcudart.so.13: cannot open shared object file"), SystemExit("no license"), ImportError("x")]
)
def test_what_an_import_raises_is_told_whatever_it_is(monkeypatch: pytest.MonkeyPatch, raised: BaseException) -> None:
    def fail(module: str) -> None:
        raise raised

    monkeypatch.setattr(platform.importlib, "import_module", fail)
    actual = platform._package("numpy", "numpy")

    assert f"{type(raised).__name__}: {raised}" == actual["error"]


def test_a_package_that_imports_in_a_process_of_its_own_has_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        platform.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0, "", "a warning")
    )

    assert "" == import_error("accelerate", "cpu")


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        (
            1,
            "Traceback\nModuleNotFoundError: No module named 'x'\n",
            "the import failed: ModuleNotFoundError: No module named 'x'",
        ),
        (-11, "a warning\n", "the import was killed by signal 11 (Segmentation fault)"),
        (3, "", "the import failed with status 3"),
    ],
)
def test_an_import_that_fails_in_a_process_of_its_own_is_one_line(
    monkeypatch: pytest.MonkeyPatch, status: int, said: str, expected: str
) -> None:
    monkeypatch.setattr(platform.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, status, "", said))

    assert expected == import_error("accelerate", "cpu")


def test_an_import_that_hangs_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **options: Any) -> None:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(platform.subprocess, "run", run)

    assert "the import did not end within 120 s" == import_error("accelerate", "cpu")


# the driver


@pytest.mark.parametrize(
    ("status", "output", "error", "expected"),
    [
        (0, "575.57, 1980 MHz, 2619 MHz, 700 W, Enabled, 5\n575.57, 1 MHz, 1 MHz, 1 W, Disabled, 1\n", "",
         {"driver_version": "575.57", "clocks.max.sm": "1980 MHz", "clocks.max.mem": "2619 MHz", "power.limit": "700 W",
          "ecc.mode.current": "Enabled", "pcie.link.gen.max": "5"}),
        (9, "NVIDIA-SMI has failed\n", "", {"error": "NVIDIA-SMI has failed"}),
        (9, "", "", {"error": "nvidia-smi ended with status 9 and said nothing"}),
        (0, "", "", {"error": "nvidia-smi ended with status 0 and said nothing"}),
    ],
)  # fmt: skip
def test_the_driver_is_described_as_nvidia_smi_tells(
    monkeypatch: pytest.MonkeyPatch, status: int, output: str, error: str, expected: dict[str, str]
) -> None:
    monkeypatch.setattr(platform.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(
        platform.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, status, output, error)
    )

    assert expected == platform._driver()


@pytest.mark.parametrize(("written", "expected"), [("6.14.14\n", {"driver_version": "6.14.14"}), (None, {})])
def test_without_nvidia_smi_the_driver_is_that_of_amd_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, written: str | None, expected: dict[str, str]
) -> None:
    monkeypatch.setattr(platform.shutil, "which", lambda name: None)
    monkeypatch.setattr(platform, "AMDGPU", tmp_path / "version")
    if written:
        (tmp_path / "version").write_text(written)

    assert expected == platform._driver()


def test_facts_are_plain_json(probed: Any) -> None:
    measured = probed("auto", ["cuda"], fake_torch(cuda="13.0", devices=1))

    assert measured == json.loads(json.dumps(measured))
