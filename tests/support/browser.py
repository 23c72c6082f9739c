"""Headless Chromium for tests of pages: found on this machine, and watched for hosts that a page must not contact."""

import base64
import functools
import http.server
import shutil
import threading
from contextlib import contextmanager

import numpy as np
import pytest

from ganzoo.media import images

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}


@contextmanager
def chromium():
    """A browser, or the test is skipped with what is to be installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install 'ganzoo[test]'")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def page_of(browser, url, *, expect_errors=False, **options):
    """An open page at `url`. At its end: it asked no other host, and nothing went wrong in its scripts."""
    context = browser.new_context(**{"viewport": DESKTOP, "accept_downloads": True, **options})
    page = context.new_page()
    asked, wrong = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    try:
        page.goto(url)
        idle(page)
        yield page
    finally:
        context.close()
    origin = "/".join(url.split("/")[:3]) + "/"
    assert not [address for address in asked if not address.startswith((origin, "blob:", "data:"))]
    assert expect_errors or not wrong


def idle(page):
    """Waits until the page has done what it was asked for."""
    page.wait_for_selector('main[aria-busy="false"]', timeout=60_000)


def shown(page, selector="canvas.output") -> np.ndarray:
    """uint8 (H, W, 3): the pixels of a canvas."""
    idle(page)
    url = page.locator(selector).first.evaluate("canvas => canvas.toDataURL('image/png')")
    return images.read_image(base64.b64decode(url.split(",")[1]), 3)


def choose(page, label, value):
    """Sets the control of a label: types into a number field, moves a slider."""
    field = page.get_by_label(f"{label}, as a number", exact=True)
    (field if field.count() else page.get_by_label(label, exact=True)).fill(str(value))
    idle(page)


@contextmanager
def file_server(folder):
    """`python -m http.server` on a folder, in a thread: yields its URL."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
