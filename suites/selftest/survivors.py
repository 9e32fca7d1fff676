"""A plugin for a nested run: how many of its workers live while latency is taken, as a note of the run."""

from __future__ import annotations

import pytest

from fixtures.selection import timed
from reports.recorder import NOTES


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Those that live would hold the device that is measured."""
    if (warden := item.config.pluginmanager.getplugin("warden")) is not None and timed(item):
        processes = [ward.process for ward in warden.wards.values()]
        lives = sum(process.poll() is None for process in processes)
        item.config.stash[NOTES].append(f"{len(processes)} workers were started, {lives} live while latency is taken")
