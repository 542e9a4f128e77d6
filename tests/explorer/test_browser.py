"""The explorer in a real browser: `pytest -m browser`. Skipped where there is no Chromium."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vaelab
from browsing import driver, emulate, find, press
from explorer.conftest import FLAT, Page
from vaelab.explorer import Explorer

__all__ = ["driver"]

pytestmark = pytest.mark.browser

Served = Callable[..., Page]
TABS = ("latents", "walk", "code", "sample")


def still(driver: Any) -> None:
    """Wait until the page has all that it asked for."""
    state = "return [document.documentElement.dataset.ready, document.documentElement.dataset.waiting]"
    for _ in range(400):
        if driver.execute_script(state) == ["true", "0"]:
            # what an answer asks for in its turn
            time.sleep(0.05)
            if driver.execute_script(state) == ["true", "0"]:
                return
        time.sleep(0.05)
    pytest.fail(driver.execute_script("return document.body.innerText")[:1000])


def show(driver: Any, page: Page, tab: str = "latents", width: int = 1280, scheme: str = "light") -> None:
    emulate(driver, width, scheme)
    driver.get("about:blank")  # a change behind the # alone would load nothing
    driver.get(page.explorer.url)
    still(driver)
    press(driver, find(driver, f"#tab-{tab}"))
    still(driver)


def source(driver: Any, selector: str) -> str:
    found: str = find(driver, selector).get_attribute("src")
    assert found.startswith("data:image/png;base64,")
    return found


def slide(driver: Any, element: Any, value: float) -> None:
    script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}));"
    driver.execute_script(script, element, value)
    still(driver)


def choose(driver: Any, element: Any, value: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(element).select_by_value(value)
    still(driver)


def labelled(driver: Any, words: str, tab: str) -> Any:
    """The control of a label, as a reader of the screen finds it."""
    script = """
    return [...document.querySelectorAll(`#${arguments[1]} label`)]
      .filter((label) => label.textContent.startsWith(arguments[0])).map((label) => label.control)"""
    found = driver.execute_script(script, words, tab)
    assert found, words
    return found[0]


@pytest.mark.parametrize("kinds", [("flat",), ("hierarchy",), ("codes",), ("table",), ("flat", "hierarchy")], ids=str)
def test_it_runs_without_an_error_and_asks_itself_alone(driver: Any, served: Served, kinds: tuple[str, ...]):
    page = served(*kinds)
    show(driver, page)
    for tab in TABS:
        press(driver, find(driver, f"#tab-{tab}"))
        still(driver)
        assert find(driver, "#error").is_displayed() is False
    assert driver.get_log("browser") == []
    sent = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    own = f"http://127.0.0.1:{page.port}/"
    assert {url.split(",")[0] for url in urls if not url.startswith(own)} <= {
        "data:image/png;base64",
        "data:",
        "about:blank",
    }
    assert not [url for url in urls if page.explorer.server.token in url.partition("#")[0]]
    injected = "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s);"
    assert driver.execute_script(injected + "return window.ran") is None, "the policy holds"


def test_a_slider_changes_the_picture_and_the_beginning_comes_back(driver: Any, served: Served):
    from selenium.webdriver.common.keys import Keys

    page = served("flat")
    show(driver, page)
    first = source(driver, "#latents .big img")
    slider = find(driver, "#latents .unit-row input[type=range]")
    slider.send_keys(Keys.END)
    still(driver)
    moved = source(driver, "#latents .big img")
    assert moved != first
    unit = page.ask("group", group=0)["units"][0]
    value = float(find(driver, "#latents .unit-row output").text)
    assert value == pytest.approx(unit["high"], abs=0.05)
    moves = [{"group": 0, "unit": unit["number"], "value": float(slider.get_attribute("value"))}]
    assert page.ask("latents", base={"kind": "datum", "index": 0}, moves=moves)["item"]["source"] == moved
    press(driver, find(driver, "#latents .stay button"))
    still(driver)
    assert source(driver, "#latents .big img") == first
    press(driver, find(driver, "#latents input[value=prior]"))
    still(driver)
    noise = source(driver, "#latents .big img")
    assert noise != first
    seed = labelled(driver, "Seed of the noise", "latents")
    seed.clear()
    seed.send_keys("5", Keys.TAB)
    still(driver)
    assert source(driver, "#latents .big img") not in (noise, first)


def test_of_a_quick_gesture_the_newest_counts(driver: Any, served: Served):
    show(driver, served("flat"))
    slider = find(driver, "#latents .unit-row input[type=range]")
    before = len(driver.execute_script("return performance.getEntriesByName(location.origin + '/api/latents')"))
    script = """
    for (let i = 0; i < 100; i += 1) {
      arguments[0].value = -1 + i / 50;
      arguments[0].dispatchEvent(new Event('input', { bubbles: true }));
    }"""
    driver.execute_script(script, slider)
    still(driver)
    after = len(driver.execute_script("return performance.getEntriesByName(location.origin + '/api/latents')"))
    assert after - before <= 3
    picture = source(driver, "#latents .big img")
    slide(driver, slider, 0.98)
    assert source(driver, "#latents .big img") == picture, "the last of them was shown"


def test_a_datum_is_chosen_from_pictures(driver: Any, served: Served):
    show(driver, served("flat"))
    first = source(driver, "#latents .big img")
    press(driver, find(driver, "#latents .picker summary"))
    still(driver)
    data = driver.find_elements("css selector", "#latents .datum")
    assert len(data) == 24
    name = data[5].get_attribute("aria-label")
    press(driver, data[5])
    still(driver)
    assert (
        labelled(driver, "Test datum", "latents").get_attribute("value")
        == name.removeprefix("Test datum ").split(",")[0]
    )
    assert source(driver, "#latents .big img") != first
    choose(driver, labelled(driver, "Label", "latents"), "3")
    names = [one.get_attribute("aria-label") for one in driver.find_elements("css selector", "#latents .datum")]
    assert names
    assert all(name.endswith(", label 3") for name in names)


def test_a_walk(driver: Any, served: Served):
    show(driver, served("flat"), "walk")
    strip = [image.get_attribute("src") for image in driver.find_elements("css selector", "#walk .strip img")]
    assert len(strip) == 11
    assert len(set(strip)) > 5
    place = labelled(driver, "Place on the way", "walk")
    for value, expected in ((0, strip[0]), (50, strip[5]), (100, strip[10])):
        slide(driver, place, value)
        assert source(driver, "#walk .big img") == expected
    assert find(driver, "#walk figcaption").text == "100 % of the way"
    choose(driver, labelled(driver, "Path", "walk"), "spherical")
    curved = [image.get_attribute("src") for image in driver.find_elements("css selector", "#walk .strip img")]
    assert (curved[0], curved[10]) == (strip[0], strip[10])
    assert curved[5] != strip[5]


def test_drawing_with_pointer_and_keyboard(driver: Any, served: Served):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    show(driver, served("flat"), "code")

    def told() -> tuple[str, str, str]:
        seen, made = (image.get_attribute("src") for image in driver.find_elements("css selector", "#code .middle img"))
        return seen, made, find(driver, "#code .bound").text

    first = told()
    press(driver, find(driver, "#code .canvas ~ .pair button"))  # clear
    still(driver)
    empty = told()
    assert empty[0] != first[0]
    canvas = find(driver, "#code .drawing")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    ActionChains(driver).move_to_element_with_offset(canvas, -60, -60).click_and_hold().move_by_offset(
        60, 100
    ).release().perform()
    still(driver)
    drawn = told()
    assert all(a != b for a, b in zip(drawn, empty, strict=True))
    rows = driver.find_elements("css selector", "#code .code-table tbody tr")
    assert len(rows) == 5
    press(driver, find(driver, "#code .canvas ~ .pair button"))
    still(driver)
    canvas.send_keys(Keys.ARROW_LEFT, Keys.SPACE, Keys.SHIFT + Keys.ARROW_DOWN + Keys.ARROW_DOWN)
    still(driver)
    assert told()[0] not in (empty[0], drawn[0])
    press(driver, find(driver, "#code .picker .pair button"))  # a datum takes the place of the drawing
    still(driver)
    assert told()[0] != drawn[0]


def test_sampling(driver: Any, served: Served):
    from selenium.webdriver.common.keys import Keys

    show(driver, served("flat"), "sample")

    def samples() -> list[str]:
        return [image.get_attribute("src") for image in driver.find_elements("css selector", "#sample .samples img")]

    first = samples()
    assert len(first) == 16
    slide(driver, labelled(driver, "Temperature", "sample"), 0.3)
    assert samples() != first
    assert find(driver, "#sample output").text == "0.30"
    slide(driver, labelled(driver, "Temperature", "sample"), 1)
    assert samples() == first, "the same noise"
    number = labelled(driver, "How many", "sample")
    number.clear()
    number.send_keys("5", Keys.TAB)
    still(driver)
    assert len(samples()) == 5
    press(driver, find(driver, "#sample .tools .pair button"))
    still(driver)
    assert samples() != first[:5]
    choose(driver, labelled(driver, "Show", "sample"), "draw")
    assert len(samples()) == 5


def test_groups_of_a_hierarchy(driver: Any, served: Served):
    show(driver, served("hierarchy"))
    group = labelled(driver, "Latent group", "latents")
    choose(driver, group, "1")
    assert len(driver.find_elements("css selector", "#latents .unit-row")) == 4
    choose(driver, group, "0")
    assert len(driver.find_elements("css selector", "#latents .unit-row")) == 3
    still_picture = source(driver, "#latents .big img")
    press(driver, labelled(driver, "Draw the groups after", "latents"))
    still(driver)
    follows = source(driver, "#latents .big img")
    assert follows != still_picture
    press(driver, find(driver, "#tab-sample"))
    still(driver)
    before = source(driver, "#sample .samples img")
    assert not find(driver, "#sample .picker").is_displayed()
    choose(driver, labelled(driver, "Groups", "sample"), "2")
    assert find(driver, "#sample .picker").is_displayed()
    assert source(driver, "#sample .samples img") != before


def test_codes_are_set_by_keyboard(driver: Any, served: Served):
    from selenium.webdriver.common.keys import Keys

    show(driver, served("codes"))
    cells = driver.find_elements("css selector", "#latents .code")
    assert len(cells) == 4
    assert sum(cell.get_attribute("tabindex") == "0" for cell in cells) == 1
    first = source(driver, "#latents .big img")
    chosen = find(driver, "#latents .code[aria-pressed=true]")
    chosen.send_keys(Keys.ARROW_RIGHT if cells.index(chosen) in (0, 2) else Keys.ARROW_LEFT)
    other = driver.switch_to.active_element
    assert other != chosen
    number = labelled(driver, "Its number", "latents")
    new = (int(number.get_attribute("value")) + 1) % 6
    number.clear()
    number.send_keys(str(new), Keys.TAB)
    still(driver)
    assert other.text == str(new)
    assert source(driver, "#latents .big img") != first


def test_two_runs_stand_side_by_side_with_the_same_noise(driver: Any, served: Served):
    show(driver, served("flat", "flat"), "sample")
    sides = driver.find_elements("css selector", "#sample .side")
    pictures = [[i.get_attribute("src") for i in side.find_elements("css selector", ".samples img")] for side in sides]
    assert len(pictures) == 2
    assert pictures[0] == pictures[1]
    left, right = (side.rect for side in sides)
    assert (left["y"], left["x"] < right["x"]) == (right["y"], True)
    press(driver, find(driver, "#tab-latents"))
    still(driver)
    images = driver.find_elements("css selector", "#latents .big img")
    assert images[0].get_attribute("src") == images[1].get_attribute("src")
    slide(driver, find(driver, "#latents .unit-row input"), 2)
    assert images[0].get_attribute("src") != images[1].get_attribute("src"), "each run has its own controls"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("kinds", [("hierarchy",), ("codes",), ("table",), ("flat", "sequence")], ids=str)
def test_it_never_scrolls_sideways(driver: Any, served: Served, kinds: tuple[str, ...], width: int, scheme: str):
    show(driver, served(*kinds), width=width, scheme=scheme)
    for tab in TABS:
        press(driver, find(driver, f"#tab-{tab}"))
        driver.execute_script("document.querySelectorAll('details').forEach((element) => { element.open = true; })")
        still(driver)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width, tab
        small = driver.execute_script(
            "return [...document.querySelectorAll('button, select, input, summary')].filter((b) => b.checkVisibility())"
            ".filter((b) => b.getBoundingClientRect().height < 20).map((b) => b.outerHTML)"
        )
        assert small == [], "targets for fingers"
    ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    red = int(ground.removeprefix("rgb(").split(",")[0])
    assert (red < 60) == (scheme == "dark")


@pytest.mark.parametrize("kinds", [("hierarchy",), ("codes",), ("table",), ("classes",), ("bits",)], ids=str)
def test_every_control_has_a_name_and_every_picture_words(driver: Any, served: Served, kinds: tuple[str, ...]):
    show(driver, served(*kinds))
    for tab in TABS:
        press(driver, find(driver, f"#tab-{tab}"))
        driver.execute_script("document.querySelectorAll('details').forEach((element) => { element.open = true; })")
        still(driver)
        nameless = driver.execute_script(
            """
            const named = (element) => element.getAttribute("aria-label") || element.labels?.length || element.textContent.trim();
            return [...document.querySelectorAll("button, select, input, canvas:not([aria-hidden]), [role=region], [role=group]")]
              .filter((element) => element.checkVisibility() && !named(element)).map((element) => element.outerHTML)
              .concat([...document.images].filter((image) => !image.hasAttribute("alt")).map((image) => image.outerHTML))"""
        )
        assert nameless == [], tab
        big = driver.execute_script(
            "return [...document.querySelectorAll('.big img, .middle img, .samples img')].map((i) => i.alt)"
        )
        assert all(big)
        ids = driver.execute_script("return [...document.querySelectorAll('[id]')].map((element) => element.id)")
        assert len(ids) == len(set(ids))


def test_tabs_and_focus_by_keyboard(driver: Any, served: Served):
    from selenium.webdriver.common.keys import Keys

    show(driver, served("flat"))
    driver.execute_script("document.activeElement.blur(); window.getSelection().removeAllRanges()")
    driver.get(driver.current_url)
    still(driver)
    find(driver, "body").send_keys(Keys.TAB)
    link = driver.switch_to.active_element
    assert link.text == "To the content"
    link.send_keys(Keys.ENTER)
    assert driver.switch_to.active_element.get_attribute("id") == "main"
    tab = find(driver, "#tab-latents")
    tab.send_keys(Keys.ARROW_RIGHT)
    still(driver)
    assert driver.switch_to.active_element.get_attribute("id") == "tab-walk"
    assert find(driver, "#walk").is_displayed()
    assert not find(driver, "#latents").is_displayed()
    assert driver.execute_script("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    driver.switch_to.active_element.send_keys(Keys.END)
    still(driver)
    assert find(driver, "#sample").is_displayed()
    stops = set()
    for _ in range(40):
        driver.switch_to.active_element.send_keys(Keys.TAB)
        stops.add(
            driver.execute_script(
                "return document.activeElement.labels?.[0]?.textContent || document.activeElement.textContent"
            )
        )
    assert {"Temperature", "New noise", "Seed of the noise", "Show"} <= stops


def test_the_token_leaves_the_address_and_stays_with_the_tab(driver: Any, served: Served):
    page = served("flat")
    show(driver, page)
    assert driver.current_url == f"http://127.0.0.1:{page.port}/"
    driver.refresh()
    still(driver)
    driver.switch_to.new_window("tab")
    try:
        driver.get(f"http://127.0.0.1:{page.port}/")
        time.sleep(0.5)
        assert "The address is not whole" in find(driver, "#error").text
        assert page.explorer.server.token not in driver.page_source
    finally:
        driver.close()
        driver.switch_to.window(driver.window_handles[0])


def test_an_explorer_that_was_ended_is_told(driver: Any, served: Served):
    trained = served("flat").explorer.subjects[0].run
    with Explorer([trained]) as explorer:
        show(driver, Page(explorer))
    time.sleep(0.3)
    slider = find(driver, "#latents .unit-row input")
    driver.execute_script("arguments[0].dispatchEvent(new Event('input'))", slider)
    for _ in range(100):
        if find(driver, "#error").is_displayed():
            break
        time.sleep(0.05)
    assert find(driver, "#error").text == "The explorer does not answer. If it was ended, start it again."


def test_names_of_columns_are_text(driver: Any, tmp_path: Path):
    hostile = """<img src=x onerror="window.ran=1">'&"""
    table = tmp_path / "table.csv"
    rows = [f"{i % 7},{(i * i) % 5}" for i in range(60)]
    quoted = hostile.replace('"', '""')
    table.write_text("\n".join([f'"{quoted}",b', *rows]))
    content = {
        "name": "hostile",
        "data": {"kind": "table", "path": str(table)},
        "model": {**FLAT, "likelihood": "normal"},
        "training": {"steps": 2},
        "evaluation": {"metrics": ["reconstruction"], "figures": [], "report": False},
    }
    with Explorer([vaelab.train(content, tmp_path, device="cpu")]) as explorer:
        show(driver, Page(explorer), "code")
        assert find(driver, "#code .item-table th").text == hostile
        assert find(driver, "#code .form label").text == hostile
        assert driver.execute_script("return window.ran") is None
        assert driver.get_log("browser") == []
