"""A real browser for tests of pages: headless Chromium, driven by the DevTools protocol over a pipe.

Keys and clicks go the way of a person's: through the browser's input, not through the page's functions. Nothing is
fetched: all names are resolved to nothing.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-pipe", "--hide-scrollbars"),
)
_PATIENCE = 30.0  # seconds for one answer: on a busy machine the first page takes some


def find_browser() -> str | None:
    """The path of Chromium or Chrome; None if there is none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Browser:
    """A browser with one page.

    Parameters
    ----------
    folder : Path
        For its profile and downloads.
    """

    def __init__(self, folder: Path) -> None:
        program = find_browser()
        assert program is not None
        self.downloads = folder / "downloads"
        self.downloads.mkdir(parents=True, exist_ok=True)
        command_read, self._write = os.pipe()
        self._read, answer_write = os.pipe()

        def as_chromium_expects() -> None:
            os.dup2(command_read, 3)
            os.dup2(answer_write, 4)

        # numbers above 4, so that neither is overwritten by the other
        command_read, answer_write = (_above(fd) for fd in (command_read, answer_write))
        self._process = subprocess.Popen(
            [program, *_OPTIONS, f"--user-data-dir={folder / 'profile'}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=as_chromium_expects,
            pass_fds=(3, 4),
            env={**os.environ, "HOME": str(folder)},
        )
        os.close(command_read)
        os.close(answer_write)
        self._number, self._rest, self._session = 0, b"", ""
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))
        pages = self._call("Target.getTargets")["targetInfos"]
        target = next(page["targetId"] for page in pages if page["type"] == "page")
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "DOM", "Log"):
            self._call(f"{domain}.enable")

    def open(self, page: Path, width: int = 1280, height: int = 800, *, phone: bool = False) -> None:
        """Open a file at a size."""
        self.resize(width, height, phone=phone)
        self._call("Page.navigate", url=page.resolve().as_uri())
        self.until("document.readyState === 'complete'")

    def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        ratio = 2 if phone else 1
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=ratio, mobile=phone
        )

    def reload(self) -> None:
        self.run("window.old = true")
        self._call("Page.reload")
        self.until("!window.old && document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression, awaited if it is a promise."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, script: str, seconds: float = _PATIENCE) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if self.run(script):
                    return
            except (AssertionError, RuntimeError):  # the page is just being replaced by another
                pass
            time.sleep(0.03)
        raise AssertionError(f"never true: {script}")

    def press(self, key: str) -> None:
        """Press a key and let it go: a letter, a digit, or a name such as ArrowLeft."""
        text = {"text": key} if len(key) == 1 else {}
        codes = {"Backspace": 8, "Enter": 13, " ": 32, "Tab": 9}
        code = codes.get(key, ord(key.upper()) if len(key) == 1 else 0)
        for kind in ("keyDown", "keyUp"):
            self._call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                windowsVirtualKeyCode=code,
                **(text if kind == "keyDown" else {}),
            )

    def click(self, selector: str, across: float = 0.5) -> None:
        """Click an element, at a part of its width."""
        script = f"""(() => {{ const e = document.querySelector({json.dumps(selector)});
            e.scrollIntoView({{block: "nearest"}});
            const r = e.getBoundingClientRect(); return [r.left + r.width * {across}, r.top + r.height / 2]; }})()"""
        x, y = self.run(script)
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def text(self, selector: str) -> str:
        found: str = self.run(f"document.querySelector({json.dumps(selector)}).textContent")
        return found

    def choose_file(self, selector: str, file: Path) -> None:
        """What a person does in the window that a file field opens."""
        root = self._call("DOM.getDocument")["root"]["nodeId"]
        node = self._call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self._call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def downloaded(self, name: str, seconds: float = _PATIENCE) -> Path:
        """Wait for a download."""
        file = self.downloads / name
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if file.exists() and file.stat().st_size:
                return file
            self.run("0")
            time.sleep(0.03)
        raise AssertionError(f"{name} was not downloaded")

    def screenshot(self, file: Path, *, whole: bool = False) -> None:
        answer = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(answer["data"]))

    def close(self) -> None:
        try:
            self._session = ""
            self._call("Browser.close")
        except (OSError, AssertionError, RuntimeError):
            pass
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        parameters = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.errors.append(str(parameters["exceptionDetails"]))
        elif event.get("method") == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.errors.append(parameters["entry"]["text"])
        elif event.get("method") == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], _PATIENCE)
            assert ready, "the browser does not answer"
            piece = os.read(self._read, 2**20)
            assert piece, "the browser has ended"
            self._rest += piece
        message, self._rest = self._rest.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(message)
        return answer


def _above(fd: int) -> int:
    """The same pipe under a number above 9."""
    import fcntl

    new = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(fd)
    return new
