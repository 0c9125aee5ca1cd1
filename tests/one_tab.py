"""One tab of a real browser, driven over its debugging protocol: sizes, media, keys, pictures."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
PIPED = 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null'  # where the browser reads and writes messages
PATIENCE = 60.0  # seconds


def browser() -> str | None:
    """Return the path of a Chromium, if there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Tab:
    """A tab; use it as a context, and `open` a file in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number, self.read = folder, 0, b""
        self.events: list[dict[str, Any]] = []
        self.session: dict[str, str] = {}

    def __enter__(self) -> Self:
        command = [str(browser()), *FLAGS, f"--user-data-dir={self.folder / 'profile'}"]
        pipe = subprocess.PIPE
        self.running = subprocess.Popen(
            ["sh", "-c", PIPED, "sh", *command], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
        )
        tab = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=tab, flatten=True)
        self.session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.running.terminate()
        self.running.communicate()

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self.number += 1
        call = {"id": self.number, "method": method, "params": params, **self.session}
        pipes = self.running.stdin, self.running.stdout
        assert pipes[0]
        assert pipes[1]
        pipes[0].write(json.dumps(call).encode() + b"\0")
        pipes[0].flush()
        while True:
            answer = self._next(pipes[1])
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self.events.append(answer)

    def _next(self, pipe: IO[bytes]) -> dict[str, Any]:
        while b"\0" not in self.read:
            some = os.read(pipe.fileno(), 1 << 20)
            assert some, "the browser ended"
            self.read += some
        message, _, self.read = self.read.partition(b"\0")
        return dict(json.loads(message))

    def run(self, script: str) -> Any:
        """Evaluate a script in the page and return its value, a promise's when it is there."""
        found = self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def open(
        self,
        page: str,
        *,
        width: int = 1280,
        dark: bool = False,
        anchor: str = "",
        when_ready: Callable[[], None] = lambda: None,
    ) -> None:
        """Show a page until all is drawn; when it is ready, call `when_ready`."""
        path = self.folder / "report.html"
        path.write_text(page, encoding="utf-8")
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=900,
                  deviceScaleFactor=1, mobile=width < 600)  # fmt: skip
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[theme])
        self.send("Page.navigate", url="about:blank")
        begun = time.monotonic()
        self.send("Page.navigate", url=path.as_uri() + anchor)
        self._wait("ready", begun)
        when_ready()
        self._wait("drawn", begun)

    def _wait(self, mark: str, begun: float) -> None:
        while self.run(f"document.documentElement?.dataset.{mark}") != "1":
            assert time.monotonic() < begun + PATIENCE, f"the page never was {mark}"
            time.sleep(0.02)

    def press(self, key: str, *, shift: bool = False, text: str = "") -> None:
        """Press a key, such as ``Tab`` or ``Enter``."""
        codes = {"Tab": 9, "Enter": 13, "ArrowDown": 40, " ": 32}
        known = {"key": key, "windowsVirtualKeyCode": codes.get(key, 0), "modifiers": 8 * shift}
        extra = {"text": text} if text else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", **known, **extra)
        self.send("Input.dispatchKeyEvent", type="keyUp", **known)

    def picture(self, path: Path) -> None:
        """Write a picture of the whole page."""
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        path.write_bytes(base64.b64decode(shot["data"]))
