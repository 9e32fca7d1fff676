"""Where tox keeps environments, and what is known of releases beside them."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent


def work_folder() -> Path:
    """tox's own, which TOX_WORK_DIR moves: an environment of one name is built once, whoever asks for it."""
    return Path(os.environ.get("TOX_WORK_DIR") or ROOT / ".tox").absolute()
