"""The page in a real browser: `pytest -m browser`. Skipped where there is no Chromium."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import vaelab
from browsing import driver, emulate, find, press
from vaelab.report import report

__all__ = ["driver"]

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def pages(runs: list[vaelab.Run], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    both = tmp_path_factory.mktemp("both") / "both.html"
    return {"one": runs[0].directory.report, "both": report([run.path for run in runs], both)}


def show(driver: Any, page: Path, width: int = 1280, scheme: str = "light") -> None:
    emulate(driver, width, scheme)
    driver.get(page.as_uri())


@pytest.mark.parametrize("name", ["one", "both"])
def test_it_runs_without_an_error_and_asks_for_nothing(driver: Any, pages: dict[str, Path], name: str):
    show(driver, pages[name])
    assert driver.execute_script("return document.documentElement.dataset.ready") == "true"
    assert driver.get_log("browser") == []
    sent = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    assert {url.split(":")[0] for url in urls} <= {"file", "data"}
    assert [url for url in urls if url.startswith("file")] == [pages[name].as_uri()]
    sizes = driver.execute_script("return [...document.images].map((image) => [image.complete, image.naturalWidth])")
    assert len(sizes) == (2 if name == "one" else 4)
    assert all(complete and width > 50 for complete, width in sizes)
    assert driver.execute_script("return document.querySelector('script[src], link[rel=stylesheet]')") is None
    injected = "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s);"
    assert driver.execute_script(injected + "return window.ran") is None, "the policy holds"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("name", ["one", "both"])
def test_it_never_scrolls_sideways(driver: Any, pages: dict[str, Path], name: str, width: int, scheme: str):
    show(driver, pages[name], width, scheme)
    driver.execute_script("document.querySelectorAll('details').forEach((element) => { element.open = true; })")
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    red = int(ground.removeprefix("rgb(").split(",")[0])
    assert (red < 60) == (scheme == "dark")
    small = driver.execute_script(
        "return [...document.querySelectorAll('button')].filter((b) => b.getBoundingClientRect().height < 24).length"
    )
    assert small == 0, "targets for fingers"


def test_values_can_be_read_off_by_keyboard(driver: Any, pages: dict[str, Path], runs: list[vaelab.Run]):
    from selenium.webdriver.common.keys import Keys

    show(driver, pages["one"])
    plot = find(driver, ".plot")
    losses = {line["step"]: line["loss"] for line in runs[0].history if line["split"] == "train"}
    plot.send_keys(Keys.HOME)
    said = plot.get_attribute("aria-valuetext")
    step, loss = next(iter(losses.items()))
    assert said.startswith(f"step {step}: ")
    assert float(said.split("train ")[1].split()[0]) == pytest.approx(loss, rel=1e-4)
    plot.send_keys(Keys.ARROW_RIGHT)
    assert plot.get_attribute("aria-valuenow") == "1"
    assert find(driver, ".chart .readout").text == plot.get_attribute("aria-valuetext") != said
    outline = driver.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "focus is seen"


def test_the_skip_link_is_the_first_stop(driver: Any, pages: dict[str, Path]):
    from selenium.webdriver.common.keys import Keys

    show(driver, pages["one"])
    find(driver, "body").send_keys(Keys.TAB)
    link = driver.switch_to.active_element
    assert link.text == "To the content"
    link.send_keys(Keys.ENTER)
    assert driver.switch_to.active_element.get_attribute("id") == "main"


def test_curves_are_hidden_and_drawn_on_a_logarithmic_axis(driver: Any, pages: dict[str, Path]):
    show(driver, pages["both"])
    chart = find(driver, "#term-0")
    curves = chart.find_elements("css selector", "[data-curve]")
    assert len(curves) == 2
    first = chart.find_element("css selector", "[data-toggle]")
    press(driver, first)
    assert first.get_attribute("aria-pressed") == "false"
    assert [curve.is_displayed() for curve in curves] == [False, True]
    press(driver, first)
    assert curves[0].is_displayed()
    path = curves[0].find_element("css selector", ".curve")
    before = path.get_attribute("d")
    log = chart.find_element("css selector", "[data-log]")
    press(driver, log)
    after = path.get_attribute("d")
    assert after != before
    assert chart.find_elements("css selector", ".log-ticks text")
    press(driver, log)
    numbers = [
        [float(n) for n in d.replace("M", " ").replace("L", " ").split()] for d in (before, path.get_attribute("d"))
    ]
    assert numbers[0] == pytest.approx(numbers[1], abs=0.3), "the script draws what the page came with"


def test_the_map_shows_the_datum_and_lies_in_two_ways(driver: Any, pages: dict[str, Path], runs: list[vaelab.Run]):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    show(driver, pages["one"])
    content = json.loads(runs[0].directory.latent_map.read_text())
    area, words = find(driver, ".area"), find(driver, ".datum-card p")
    circle = find(driver, ".datum")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", circle)
    ActionChains(driver).move_to_element(circle).perform()
    number = int(words.text.split()[1]) - 1
    assert words.text == f"Datum {number + 1} of 24, label {content['labels'][number]}"
    box = find(driver, ".datum-card svg").get_dom_attribute("viewBox").split()
    columns, (width, height) = content["sheet"]["columns"], content["sheet"]["size"]
    assert [int(part) for part in box] == [number % columns * width, number // columns * height, width, height]
    before = circle.get_attribute("cx")
    press(driver, find(driver, '[data-layout="tsne"]'))
    assert circle.get_attribute("cx") != before
    press(driver, find(driver, '[data-layout="pca"]'))
    assert float(circle.get_attribute("cx")) == pytest.approx(float(before), abs=0.1)
    seen = set()
    for key in (Keys.ARROW_LEFT, Keys.ARROW_RIGHT, Keys.ARROW_UP, Keys.ARROW_DOWN) * 3:
        area.send_keys(key)
        seen.add(words.text)
    assert len(seen) > 2
