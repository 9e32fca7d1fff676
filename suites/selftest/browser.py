"""A real browser for the tests of the page: Chromium or Chrome, driven by Selenium, where they are installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reports.render.text import address

BROWSERS = ("chromium", "google-chrome")
DRIVER = "chromedriver"
REQUIRED = "GPU_INFERENCE_BROWSER"
"""Environment variable that, when it is ``required``, makes a browser that is not there a failure and no skip."""
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1400,1000")


def missing() -> str:
    """Why there is no browser here, empty where there is one."""
    if importlib.util.find_spec("selenium") is None:
        return "selenium is not installed; `tox run -e browser` installs it"
    absent = [] if _program() else [" or ".join(BROWSERS)]
    absent += [] if shutil.which(DRIVER) else [DRIVER]
    return f"{' and '.join(absent)} not found on PATH; Debian's packages are chromium and chromium-driver" if absent else ""


def skipped() -> str:
    """Why the tests are skipped here, empty where they are not."""
    return "" if os.environ.get(REQUIRED) == "required" else missing()


def _program() -> str | None:
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


class Browser:
    """One window; every page that is opened begins with an empty history of what was said on its console."""

    def __init__(self) -> None:
        if reason := missing():
            raise FileNotFoundError(reason)

        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = _program()
        for argument in ARGUMENTS:
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which(DRIVER)))

    def open(self, page: Path, id: str = "", *, script: bool = True, **media: str) -> None:
        """A file, at a check or cell in it; ``media`` is the medium, or features of its reader (prefers_color_scheme)."""
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items() if name != "media"]
        self.command("Emulation.setEmulatedMedia", media=media.get("media", ""), features=features)
        self.command("Emulation.setScriptExecutionDisabled", value=not script)
        self.driver.get("about:blank")
        self.driver.get(address(page.as_uri(), id) if id else page.as_uri())

    def command(self, name: str, **arguments: Any) -> Any:
        """A command of the DevTools protocol: https://chromedevtools.github.io/devtools-protocol."""
        return self.driver.execute_cdp_cmd(name, arguments)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript in the page, whether the page's own script runs or not."""
        found = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise ValueError(f"{expression}: {found['exceptionDetails']['exception'].get('description')}")
        return found["result"].get("value")

    def all(self, selector: str) -> list[str]:
        """What stands in every element that is shown, in the order of the page."""
        shown = "[...document.querySelectorAll({!r})].filter((e) => e.checkVisibility()).map((e) => e.innerText.trim())"
        found: list[str] = self.evaluate(shown.format(selector))
        return found

    def until(self, holds: Callable[[], Any]) -> Any:
        """What holds in the end; the page unpacks records on its own time."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, 20, poll_frequency=0.05).until(lambda _: holds())

    def click(self, selector: str) -> None:
        """Click the first element with a selector."""
        self.driver.find_element("css selector", selector).click()

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        from selenium.webdriver import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    @property
    def complaints(self) -> list[str]:
        """What the console said since it was asked last: errors of the script, violations of the page's policy."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    @property
    def place(self) -> str:
        """What stands where the focus is."""
        found: str = self.evaluate("document.activeElement.innerText")
        return found

    def close(self) -> None:
        """End it."""
        self.driver.quit()
