"""Pages in a headless Chromium: at phone width, in dark mode, by keyboard, and silent."""

import contextlib
import json
import shutil
import subprocess
import time
import urllib.request

import pytest
import websocket

from latentwave.bench.report import write_inspection, write_report
from tests.bench.report.made_up import KINDS, make_results
from tests.inspected import look_into

BINARY = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-port=0"]
FLAGS += ["--remote-allow-origins=*", "--disable-background-networking"]
NARROWEST_FIGURE = (
    "Math.min(...[...document.querySelectorAll('figure svg')].map(e => e.clientWidth))"
)


class Browser:
    """One page, driven through the debugging protocol."""

    def __init__(self, address):
        self.socket = websocket.create_connection(address, timeout=60)
        self.count, self.events = 0, []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": params}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.count:
                return answer["result"]
            self.events.append(answer)

    def run(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, path):
        self.events.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        wait(lambda: self.run("document.readyState") == "complete")

    def look(self, width=1280, scheme="light"):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def press(self, key, code):
        pressed = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        if key == "Enter":
            pressed["text"] = "\r"
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, **pressed)


def wait(condition):
    end = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if BINARY is None:
        pytest.skip("there is no Chromium on the PATH")
    profile = tmp_path_factory.mktemp("chromium")
    port = profile / "DevToolsActivePort"
    command = [BINARY, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        number = wait(lambda: port.is_file() and port.read_text().split())[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{number}/json") as answer:
            pages = [page for page in json.load(answer) if page["type"] == "page"]
        opened = Browser(pages[0]["webSocketDebuggerUrl"])
        with contextlib.closing(opened.socket):
            yield opened
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module", params=["comparison", "inspection"])
def page(request, runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    if request.param == "comparison":
        return write_report(make_results(tuple(KINDS)), folder)
    return write_inspection(look_into(*runs, "adaptive", "none"), folder)[0]


def test_a_page_is_quiet_fits_and_follows_light_and_dark(browser, page):
    browser.look()
    browser.open(page)
    colours = """(() => {
        const drawn = [...document.querySelectorAll('figure svg [style*="fill: #59616b"]')];
        return [document.body, ...drawn.slice(0, 1)].map(
            (e, i) => getComputedStyle(e)[i ? 'fill' : 'backgroundColor']);
    })()"""
    assert browser.run(colours) == ["rgb(255, 255, 255)", "rgb(89, 97, 107)"]
    browser.look(scheme="dark")
    assert browser.run(colours) == ["rgb(20, 23, 26)", "rgb(162, 171, 181)"]
    for width in (390, 360):
        browser.look(width=width)
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.run(NARROWEST_FIGURE) > 0.8 * width - 32
    sent = [each for each in browser.events if each["method"] == "Network.requestWillBeSent"]
    assert all(each["params"]["request"]["url"].startswith(("file:", "data:")) for each in sent)
    noise = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
    assert [each for each in browser.events if each["method"] in noise] == []


def test_folded_parts_open_by_keyboard(browser, page):
    browser.look()
    browser.open(page)
    folded = browser.run("document.querySelectorAll('details:not([open])').length")
    assert folded
    for _ in range(60):
        browser.press("Tab", 9)
        if browser.run("document.activeElement.matches('details:not([open]) > summary')"):
            break
    assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("Enter", 13)
    assert browser.run("document.querySelectorAll('details:not([open])').length") < folded
