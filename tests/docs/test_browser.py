"""The built documentation in a real browser: `pytest -m browser`. Skipped where there is no Chromium."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from browsing import driver, emulate, find
from docs.blocks import ROOT

__all__ = ["driver"]

pytestmark = pytest.mark.browser


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="the documentation's extra is not installed")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Silent, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def pages(site: Path) -> list[str]:
    found = [path.parent.relative_to(site).as_posix() for path in sorted(site.rglob("index.html"))]
    assert len(found) > 40
    return found


@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_scrolls_sideways_and_all_asks_are_answered_here(
    driver: Any, address: str, pages: list[str], width: int
):
    wide, foreign, failed = {}, set(), set()
    for page in pages:
        emulate(driver, width, "light")
        driver.get(f"{address}/{page}/")
        found = driver.execute_script("return document.documentElement.scrollWidth")
        if found > width:
            wide[page] = found
        for entry in driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                if not url.startswith((address, "data:", "blob:", "chrome")):
                    foreign.add(url)
            if message["method"] == "Network.responseReceived" and message["params"]["response"]["status"] >= 400:
                failed.add(message["params"]["response"]["url"])
    assert wide == {}
    assert foreign == set(), "formulas, fonts and search come with the site"
    assert failed == set()


def test_formulas_are_drawn(driver: Any, address: str):
    emulate(driver, 1280, "light")
    driver.get(f"{address}/components/prior/")
    sizes = driver.execute_script(
        "return [...document.querySelectorAll('math')].map((m) => [m.getBoundingClientRect().width, m.textContent])"
    )
    assert len(sizes) > 40
    assert all(width > 3 for width, text in sizes if text.strip())


def test_search_finds_a_component(driver: Any, address: str):
    from selenium.webdriver.support.ui import WebDriverWait

    emulate(driver, 1280, "light")
    driver.get(f"{address}/")
    box = find(driver, "[data-md-component=search-query]")
    driver.execute_script("arguments[0].focus()", box)
    box.send_keys("VampPrior")
    WebDriverWait(driver, 30).until(lambda d: d.find_elements("css selector", ".md-search-result__link"))
    links = [link.get_attribute("href") for link in driver.find_elements("css selector", ".md-search-result__link")]
    assert any("components/prior" in link and link.endswith("#vamp") for link in links)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_colours_of_the_system(driver: Any, address: str, scheme: str):
    emulate(driver, 1280, scheme)
    driver.get(f"{address}/components/encoder/")
    ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    red = int(ground.split("(")[1].split(",")[0])
    assert (red < 80) == (scheme == "dark")
    fill = driver.execute_script("return getComputedStyle(document.querySelector('svg.layers text')).fill")
    assert fill != ground
