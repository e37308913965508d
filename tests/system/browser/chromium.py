"""Drives a headless Chromium over its DevTools protocol, one page at a time.

The protocol is at https://chromedevtools.github.io/devtools-protocol/.
"""

import asyncio
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from support.client import DEADLINE_S, wait_until

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
    "--window-size=1280,900",
)


class Page:
    """A page of a browser, by the URL of its DevTools.

    ``troubles`` are the errors that the browser reports: exceptions of scripts, violations of the
    content security policy, failed loads.
    """

    def __init__(self, url: str) -> None:
        self.troubles: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._session, self._socket = self._loop.run_until_complete(self._connect(url))
        self._number = 0
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    @staticmethod
    async def _connect(
        url: str,
    ) -> tuple[aiohttp.ClientSession, aiohttp.ClientWebSocketResponse]:
        session = aiohttp.ClientSession()
        return session, await session.ws_connect(url, max_msg_size=0)

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Call a method of the protocol; return its result."""
        return self._loop.run_until_complete(self._call_in_time(method, parameters))

    async def _call_in_time(self, method: str, parameters: dict[str, object]) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            return await self._call(method, parameters)

    async def _call(self, method: str, parameters: dict[str, object]) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json()
            if message.get("id") == self._number:
                assert "error" not in message, (method, message)
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        match message:
            case {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": details}}:
                self.troubles.append(str(details))
            case {"method": "Log.entryAdded", "params": {"entry": entry}}:
                self.troubles.append(f"{entry['text']} {entry.get('url', '')}")
            case {"method": "Page.javascriptDialogOpening", "params": dialog}:
                self.troubles.append(f"a dialog: {dialog['message']}")

    def sign_in(self, token: str) -> None:
        """Send a token with every request, as a browser does after its user entered it."""
        shown = b64encode(f"anyone:{token}".encode()).decode()
        self.call("Network.setExtraHTTPHeaders", headers={"Authorization": f"Basic {shown}"})

    def open(self, url: str) -> None:
        """Load a page; return when its scripts have run."""
        answer = self.call("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        wait_until(lambda: self.evaluate("document.readyState") == "complete", f"{url} is loaded")

    def evaluate(self, expression: str) -> Any:  # noqa: ANN401 - whatever the script gives
        """Return the value of a JavaScript expression, also in a page with scripts disabled."""
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def text(self, selector: str) -> str:
        """Return the visible text of an element; empty if there is no element."""
        return str(self.evaluate(f"document.querySelector({selector!r})?.innerText ?? ''"))

    def wait_text(self, selector: str, text: str) -> None:
        """Wait until the visible text of an element has a part."""
        wait_until(lambda: text in self.text(selector), f"{text!r} is in {selector}")

    def click(self, selector: str) -> None:
        """Click an element as a mouse does."""
        self.mouse("mousePressed", selector)
        self.mouse("mouseReleased", selector)

    def mouse(self, kind: str, selector: str) -> None:
        """Do something with the mouse button on an element."""
        x, y = self.evaluate(
            f"(() => {{ const e = document.querySelector({selector!r}); "
            "e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect(); "
            "return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def resize(self, width: int, height: int) -> None:
        """Resize the window, in CSS pixels."""
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **screen)

    def screenshot(self, path: Path) -> None:
        """Write a picture of the whole page."""
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(b64decode(picture["data"]))

    def close(self) -> None:
        """Disconnect; the browser keeps running."""
        self._loop.run_until_complete(self._socket.close())
        self._loop.run_until_complete(self._session.close())
        self._loop.close()


@contextmanager
def browsing(directory: Path) -> Iterator[str]:
    """Run a browser with a profile of its own; yield the ``host:port`` of its DevTools."""
    profile = directory / "profile"
    with (directory / "chromium.log").open("wb") as log:
        command = ["chromium", *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        browser = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            port = profile / "DevToolsActivePort"
            wait_until(lambda: port.exists() and "\n" in port.read_text(), "the browser is there")
            yield f"127.0.0.1:{port.read_text().splitlines()[0]}"
        finally:
            browser.terminate()
            browser.wait(DEADLINE_S)
