"""A headless Chromium for tests, driven over its own DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import aiohttp

from local import reaper
from local.install import BROWSERS

MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
SECONDS = 20.0
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # CI runs as root, for whom Chromium has no sandbox; it sees our pages only
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


class BrowserError(Exception):
    """There is no browser, or it does not work; the text says more."""


def find_chromium() -> str:
    """The program to start; raises BrowserError where there is none."""
    named = os.environ.get("CHROMIUM")
    for name in (named,) if named else BROWSERS:
        found = shutil.which(name)
        if found is not None:
            return found
    if not named and MAC.exists():
        return str(MAC)
    raise BrowserError(
        "The tests of the pages need Chromium: install it (on Debian as root: apt-get install "
        "chromium), or set CHROMIUM to the program."
    )


class Browser:
    """One Chromium process, with a profile of its own in `folder`; gives pages.

    A process beside it ends it where the tests are killed before they can.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._reaper: subprocess.Popen[bytes] | None = None
        self._http: aiohttp.ClientSession | None = None
        self._port = 0

    async def __aenter__(self) -> Self:
        self._process, self._reaper = await asyncio.to_thread(self._start)
        self._http = aiohttp.ClientSession()
        try:
            self._port = await self._find_port()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._reaper is not None
        assert self._http is not None
        await self._http.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await asyncio.to_thread(self._process.wait)
        await asyncio.to_thread(self._reaper.communicate, f"-{self._process.pid}\n".encode())

    def _start(self) -> tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]:
        ender = subprocess.Popen(
            [sys.executable, reaper.__file__], stdin=subprocess.PIPE, process_group=0
        )
        with (self._folder / "chromium.log").open("wb") as log:
            chromium = subprocess.Popen(
                [find_chromium(), *FLAGS, f"--user-data-dir={self._folder / 'profile'}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        assert ender.stdin is not None
        ender.stdin.write(f"+{chromium.pid}\n".encode())
        ender.stdin.flush()
        return chromium, ender

    async def _find_port(self) -> int:
        assert self._process is not None
        file = self._folder / "profile" / "DevToolsActivePort"
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            # The file is there for a moment before its text is.
            if file.is_file() and (text := file.read_text("ascii").split()):
                return int(text[0])
            await asyncio.sleep(0.05)
        log = (self._folder / "chromium.log").read_text("utf-8", errors="replace")
        raise BrowserError(f"Chromium did not start: {log[-2000:]}")

    @contextlib.asynccontextmanager
    async def page(self, width: int = 1280, height: int = 900) -> AsyncIterator[Page]:
        """Open a page with a session of its own: no storage is shared between pages."""
        assert self._http is not None
        async with self._http.put(f"http://127.0.0.1:{self._port}/json/new?about:blank") as answer:
            target = await answer.json()
        async with self._http.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            page = Page(socket)
            reading = asyncio.create_task(page.receive())
            try:
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await page.command(f"{domain}.enable")
                await page.resize(width, height)
                yield page
                await page.command("Page.close")
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)


class Page:
    """A tab. `complaints` has what the browser reported: errors of scripts, refused resources."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.complaints: list[str] = []
        self.requests: list[tuple[str, str]] = []

    async def receive(self) -> None:
        """Read what the browser says until the socket closes."""
        async for message in self._socket:
            content = json.loads(message.data)
            if "id" in content:
                self._answers.pop(content["id"]).set_result(content)
                continue
            event, params = content["method"], content["params"]
            if event == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(params["exceptionDetails"]))
            elif event == "Log.entryAdded" and params["entry"]["level"] == "error":
                self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url')}")
            elif event == "Network.requestWillBeSent":
                request = params["request"]
                self.requests.append((request["method"], request["url"]))

    async def command(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one command of the DevTools protocol; raises BrowserError where it is refused."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(SECONDS):
            content = await answer
        if "error" in content:
            raise BrowserError(f"{method}: {content['error']['message']}")
        result: dict[str, Any] = content["result"]
        return result

    async def open(self, url: str) -> None:
        """Go to an address and wait until all of the page is there."""
        await self.command("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def run(self, script: str) -> Any:
        """Evaluate an expression, or a promise, in the page; return its value."""
        answer = await self.command(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise BrowserError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    async def until(self, script: str, seconds: float = SECONDS) -> None:
        """Evaluate an expression until it is true; raises BrowserError with the page's text."""
        deadline = time.monotonic() + seconds
        while not await self.run(f"Boolean({script})"):
            if time.monotonic() > deadline:
                text = await self.run("document.body.innerText")
                raise BrowserError(f"Not true within {seconds} s: {script}\nThe page:\n{text}")
            await asyncio.sleep(0.05)

    async def until_text(self, text: str) -> None:
        """Wait until the page shows a text."""
        await self.until(f"document.body.innerText.includes({json.dumps(text)})")

    async def text(self, selector: str = "body") -> str:
        """What an element shows."""
        shown: str = await self.run(f"document.querySelector({json.dumps(selector)}).innerText")
        return shown

    async def still(self) -> None:
        """Wait until nothing on the page has changed for a tenth of a second."""
        await self.run(
            "new Promise(resolve => {"
            " const done = () => { observer.disconnect(); resolve(); };"
            " let timer = setTimeout(done, 100);"
            " const observer = new MutationObserver("
            "() => { clearTimeout(timer); timer = setTimeout(done, 100); });"
            " observer.observe(document, {subtree: true, childList: true, attributes: true}); })"
        )

    async def fill(self, selector: str, text: str) -> None:
        """Write into a field as a person does: wait for it, focus it, replace what it has."""
        field = f"document.querySelector({json.dumps(selector)})"
        await self.until(field)
        await self.run(f"{field}.focus(), {field}.select()")
        await self.command("Input.insertText", text=text)

    async def click(self, selector: str) -> None:
        """Click the middle of an element, as a mouse does."""
        place = await self.run(
            "(element => { element.scrollIntoView({block: 'center'});"
            " const box = element.getBoundingClientRect();"
            " return {x: box.x + box.width / 2, y: box.y + box.height / 2}; })"
            f"(document.querySelector({json.dumps(selector)}))"
        )
        for event in ("mousePressed", "mouseReleased"):
            await self.command(
                "Input.dispatchMouseEvent", type=event, button="left", clickCount=1, **place
            )

    async def press(self, key: str) -> None:
        """Press and release a key: Tab, Enter, Escape or Space."""
        codes = {"Tab": (9, ""), "Enter": (13, "\r"), "Escape": (27, ""), "Space": (32, " ")}
        number, text = codes[key]
        name = " " if key == "Space" else key
        common = {"key": name, "code": key, "windowsVirtualKeyCode": number}
        await self.command("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        await self.command("Input.dispatchKeyEvent", type="keyUp", **common)

    async def resize(self, width: int, height: int) -> None:
        """Give the page another size, in CSS pixels."""
        await self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    async def dark(self, is_dark: bool = True) -> None:
        """Have dark colours preferred, or light ones, and no colours on the way to others."""
        preferred = {
            "prefers-color-scheme": "dark" if is_dark else "light",
            "prefers-reduced-motion": "reduce",
        }
        features = [{"name": name, "value": value} for name, value in preferred.items()]
        await self.command("Emulation.setEmulatedMedia", features=features)

    async def offline(self, is_offline: bool) -> None:
        """Cut the page from the network, or connect it again."""
        await self.command(
            "Network.emulateNetworkConditions",
            offline=is_offline,
            latency=0,
            downloadThroughput=-1,
            uploadThroughput=-1,
        )

    async def screenshot(self, file: Path) -> None:
        """Write a picture of the whole page."""
        answer = await self.command("Page.captureScreenshot", captureBeyondViewport=True)
        await asyncio.to_thread(file.write_bytes, base64.b64decode(answer["data"]))
