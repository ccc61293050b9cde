"""The built pages in a real browser."""

import pytest

from .conftest import CHAPTERS, PAGES


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_without_error_and_shows_whole_lines_of_code(open_page, page, scheme):
    opened, problems = open_page(page, scheme=scheme)
    opened.wait_for_function(f"document.documentElement.dataset.theme == '{scheme}'")  # a script sets it
    assert problems == []
    formulas = opened.locator(".math").count()
    assert opened.locator("mjx-container").count() >= formulas  # every formula was typeset
    # At this width, a laptop's, no line of code is cut off, in what is folded neither.
    opened.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
    opened.evaluate("document.querySelectorAll('.toggle-hidden').forEach(e => e.classList.remove('toggle-hidden'))")
    cut = "[...document.querySelectorAll('.bd-content pre')].filter(e => e.scrollWidth > e.clientWidth)"
    assert opened.evaluate(f"{cut}.map(e => e.textContent.slice(0, 80))") == []


@pytest.mark.parametrize("page", PAGES)
def test_no_horizontal_scrolling_on_a_phone(open_page, page):
    opened, _ = open_page(page, width=360)
    assert opened.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("page", CHAPTERS)
def test_the_player_reacts_to_mouse_and_keyboard(open_page, page):
    opened, problems = open_page(page)
    player = opened.locator(".aigc-player").first
    screen, button = player.locator("[role=img]"), player.locator("button")
    slider, shown = player.locator("input").last, player.locator("output").last

    def frame():
        return screen.evaluate("e => getComputedStyle(e).backgroundPosition")

    player.scroll_into_view_if_needed()
    start, label = frame(), shown.inner_text()
    assert label
    screen.focus()
    opened.keyboard.press("ArrowRight")
    assert frame() != start and shown.inner_text() != label
    opened.keyboard.press("ArrowLeft")
    assert frame() == start and shown.inner_text() == label

    slider.focus()  # the slider's own keys
    opened.keyboard.press("End")
    assert frame() != start
    opened.keyboard.press("Home")
    first = frame()
    assert first == start
    box = slider.bounding_box()
    opened.mouse.click(box["x"] + box["width"] - 4, box["y"] + box["height"] / 2)
    assert frame() != first

    button.click()
    before = frame()
    opened.wait_for_function(
        "before => before[1] !== getComputedStyle(before[0]).backgroundPosition", arg=[screen.element_handle(), before]
    )
    assert "Stop" in button.inner_text()
    button.click()
    stopped = frame()
    opened.wait_for_timeout(600)
    assert frame() == stopped and "Play" in button.inner_text()
    assert problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", CHAPTERS)
def test_outputs_take_the_colours_of_the_page(open_page, page, scheme):
    opened, _ = open_page(page, scheme=scheme)
    svg = opened.locator(".cell_output svg[role=img]:has(text)").first
    ink = svg.evaluate("e => getComputedStyle(e.querySelector('text')).fill")
    assert ink == opened.evaluate("getComputedStyle(document.querySelector('article p')).color")


def test_search_finds_a_word_of_a_chapter(open_page):
    opened, problems = open_page("search.html?q=reparameterisation")
    opened.wait_for_selector("#search-results a")
    assert "Variational autoencoders" in opened.locator("#search-results").inner_text()
    assert problems == []
