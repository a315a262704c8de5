"""A headless Chromium, driven over its debugging pipe with what Python brings along."""

import base64
import fcntl
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SETTINGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--remote-debugging-pipe",
    "--disable-background-networking", "--disable-dev-shm-usage", "--force-color-profile=srgb", "--use-mock-keychain",
)  # fmt: skip
PATIENCE_S = 30.0


class Browser:
    """One page in one browser. Messages are JSON texts ended by a zero byte."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from, self._rest = to_browser, from_browser, b""
        self._numbers = itertools.count(1)
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.problems: list[str] = []
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """The result of one command. Raises: RuntimeError with what the browser answers to a wrong one."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != number:
            self._note(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._from, 1 << 16)
            if not part:
                raise RuntimeError("the browser has gone")
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        """Keep errors of scripts, refusals of the content policy and dialogs."""
        if event.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening"):
            self.problems.append(json.dumps(event["params"])[:600])

    def open(self, page: Path, width: int = 1280, height: int = 900, *, dark: bool = False, phone: bool = False) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.problems.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        self.wait("document.readyState === 'complete'")

    def value(self, expression: str) -> Any:
        """What an expression of JavaScript gives; a page's content policy does not bind it."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until an expression is true. Raises: AssertionError after half a minute."""
        began = time.monotonic()
        while not self.value(expression):
            assert time.monotonic() - began < PATIENCE_S, f"never true: {expression}"
            time.sleep(0.05)

    def click(self, selector: str) -> None:
        self.value(f"document.querySelector({json.dumps(selector)}).click()")

    def centre(self, selector: str) -> tuple[float, float]:
        """Where an element is in the window, scrolled into sight."""
        box = self.value(
            f"(() => {{ const node = document.querySelector({json.dumps(selector)}); node.scrollIntoView({{block: 'center'}});"
            "const box = node.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        return box[0], box[1]

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """A real event: `mousePressed`, `mouseMoved`, `mouseReleased`, `mouseWheel`."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        pressed = {"button": "left", "buttons": 1, "clickCount": 1}
        self.mouse("mousePressed", *start, **pressed)
        self.mouse("mouseMoved", *end, button="left", buttons=1)
        self.mouse("mouseReleased", *end, **pressed)

    def picture(self, path: Path, selector: str | None = None) -> None:
        """A screenshot of the window, or of the whole of one element."""
        clip: dict[str, Any] = {}
        if selector:
            x, y, width, height = self.value(
                f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
                "return [b.x + scrollX, b.y + scrollY, b.width, b.height]; })()"
            )
            clip = {"clip": {"x": x, "y": y, "width": width, "height": height, "scale": 1}, "captureBeyondViewport": True}
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png", **clip)["data"]))


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser with an own profile; skips the test, saying so, where there is none."""
    command = next(filter(None, map(shutil.which, NAMES)), None)
    if command is None:
        pytest.skip(f"no browser here: install one of {', '.join(NAMES)}")
    read_end, to_browser = os.pipe()
    from_browser, write_end = os.pipe()
    # The browser reads from descriptor 3 and writes to 4; high numbers first, so that neither covers the other.
    high = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (read_end, write_end)]
    line = f'exec "$@" 3<&{high[0]} 4>&{high[1]}'
    arguments = ["bash", "-c", line, "browser", command, *SETTINGS, f"--user-data-dir={profile}"]
    process = subprocess.Popen(arguments, pass_fds=high, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for end in (read_end, write_end, *high):
        os.close(end)
    try:
        yield Browser(to_browser, from_browser)
    finally:
        process.terminate()
        process.wait(20)
        os.close(to_browser)
        os.close(from_browser)
