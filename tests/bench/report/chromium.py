"""A headless Chromium, driven through its debugging protocol."""

import base64
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import websocket

BINARY = shutil.which("chromium") or shutil.which("chromium-browser")
_FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
]
_KEYS = {"Tab": 9, "Enter": 13, "Home": 36, "End": 35}
_KEYS |= {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


class Browser:
    """One page. `messages` has what its console said and `requests` what it asked for."""

    def __init__(self, address):
        self._socket = websocket.create_connection(address, timeout=60)
        self._count = 0
        self.messages, self.requests = [], []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self):
        self._socket.close()

    def call(self, method, **params):
        self._count += 1
        self._socket.send(json.dumps({"id": self._count, "method": method, "params": params}))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def _note(self, event):
        kind, params = event.get("method"), event.get("params", {})
        if kind == "Runtime.consoleAPICalled":
            self.messages.append((params["type"], str(params["args"])))
        elif kind == "Runtime.exceptionThrown":
            self.messages.append(("exception", str(params["exceptionDetails"])))
        elif kind == "Log.entryAdded":
            self.messages.append((params["entry"]["level"], params["entry"]["text"]))
        elif kind == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def open(self, path):
        self.call("Page.navigate", url=Path(path).resolve().as_uri())
        self.wait("document.documentElement?.dataset.ready === 'yes'")

    def wait(self, condition, seconds=60):
        end = time.monotonic() + seconds
        while not self.run(condition):
            assert time.monotonic() < end, f"never: {condition}; {self.messages}"
            time.sleep(0.05)

    def run(self, expression):
        """The value of an expression."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key, shift=False):
        for kind in ("rawKeyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=_KEYS[key],
                modifiers=8 if shift else 0,
            )

    def look(self, width=1280, height=900, scheme="light"):
        """Set the window's size and the preferred colours."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.run(
            "new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r())))"
        )

    def screenshot(self, path):
        """The whole page as PNG."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        Path(path).write_bytes(base64.b64decode(answer["data"]))


@contextlib.contextmanager
def open_browser():
    profile = tempfile.mkdtemp(prefix="chromium-")
    process = subprocess.Popen(
        [BINARY, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        browser = Browser(_address(Path(profile) / "DevToolsActivePort", process))
        with contextlib.closing(browser):
            yield browser
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(profile, ignore_errors=True)


def _address(file, process):
    end = time.monotonic() + 60
    while not file.is_file() or not file.read_text().strip():
        assert time.monotonic() < end, "Chromium does not start"
        assert process.poll() is None, f"Chromium ended with {process.returncode}"
        time.sleep(0.05)
    port = file.read_text().split()[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
        pages = [page for page in json.load(answer) if page["type"] == "page"]
    return pages[0]["webSocketDebuggerUrl"]
