"""The built pages as files: links, alternatives, descriptions, buttons, nothing from elsewhere."""

from urllib.parse import unquote, urlsplit

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup

from .conftest import CHAPTERS, HTML, PAGES, ROOT

SOUP = {page: BeautifulSoup((HTML / page).read_text(), "html.parser") for page in PAGES}


def external_resources(soup):
    """Addresses of scripts, styles, pictures and fonts that the browser would fetch from another host."""
    found = [tag.get("src") for tag in soup.find_all(["script", "img", "iframe", "source"]) if tag.get("src")]
    found += [tag["href"] for tag in soup.find_all("link", href=True) if "canonical" not in tag.get("rel", [])]
    return [url for url in found if urlsplit(url).netloc]


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_fetched_from_another_host(page):
    assert external_resources(SOUP[page]) == []


def test_a_cdn_script_would_be_seen():
    soup = BeautifulSoup('<script src="https://cdn.example.org/x.js"></script>', "html.parser")
    assert external_resources(soup) == ["https://cdn.example.org/x.js"]


@pytest.mark.parametrize("page", PAGES)
def test_internal_links_lead_somewhere(page):
    for link in SOUP[page].find_all("a", href=True):
        url = urlsplit(link["href"])
        if url.scheme or url.netloc:
            continue
        target = (HTML / page).parent / unquote(url.path) if url.path else HTML / page
        assert target.exists(), f"{link['href']} (text: {link.get_text(strip=True)!r})"
        name = target.resolve().relative_to(HTML.resolve()).as_posix()
        if url.fragment and name in SOUP:
            assert SOUP[name].find(id=unquote(url.fragment)), f"no {link['href']}"


@pytest.mark.parametrize("page", PAGES)
def test_every_picture_has_an_alternative(page):
    for image in SOUP[page].find_all("img"):
        assert image.get("alt", "").strip(), image
    for svg in SOUP[page].select(".cell_output svg"):
        if svg.find_parent("svg") is None:
            assert svg.get("role") == "img" and svg.get("aria-label", "").strip(), str(svg)[:200]
    for screen in SOUP[page].select(".aigc-player [role=img]"):
        assert screen["aria-label"].strip()


@pytest.mark.parametrize("page", PAGES)
def test_description_and_one_search_box(page):
    described = SOUP[page].find("meta", attrs={"name": "description"})
    assert 20 <= len(described["content"]) <= 220
    assert SOUP[page].find("html")["lang"] == "en"
    assert len(SOUP[page].select("#pst-primary-sidebar .search-button-field, .bd-header .search-button-field")) == 1


@pytest.mark.parametrize("page", sorted(set(PAGES) - set(CHAPTERS)))
def test_a_page_without_a_notebook_offers_none_in_colab(page):
    assert not [a["href"] for a in SOUP[page].find_all("a", href=True) if "colab.research" in a["href"]]


@pytest.mark.parametrize("page", CHAPTERS)
def test_buttons_give_the_generated_notebook(page):
    name = page.removeprefix("chapters/").removesuffix(".html")
    repository = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]
    owner = repository["url"].removeprefix("https://github.com/")
    links = [a["href"] for a in SOUP[page].find_all("a", href=True)]
    wanted = f"https://colab.research.google.com/github/{owner}/blob/{repository['branch']}/notebooks/{name}.ipynb"
    assert wanted in links
    downloads = [link for link in links if "_sources/" in link and link.endswith(".ipynb")]
    assert len(downloads) == 1
    given = nbformat.read((HTML / page).parent / downloads[0], as_version=4)
    assert given == nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


def false_claims(soup):
    """What a page's cells printed after ✗."""
    printed = "\n".join(output.get_text() for output in soup.select(".cell_output pre"))
    return [line for line in printed.splitlines() if line.startswith("✗ ")]


@pytest.mark.parametrize("page", PAGES)
def test_every_claim_holds(page):
    assert false_claims(SOUP[page]) == []


def test_a_false_claim_would_be_seen():
    page = next(page for page in CHAPTERS if "✓ " in SOUP[page].get_text())
    html = str(SOUP[page])
    assert false_claims(BeautifulSoup(html.replace("✓ ", "✗ "), "html.parser")) != []


@pytest.mark.parametrize("page", CHAPTERS)
def test_no_traceback_no_progress_bar_no_widget_state(page):
    html = (HTML / page).read_text()
    for unwanted in ("Traceback (most recent call last)", "step/s", "application/vnd.jupyter.widget", "require.js"):
        assert unwanted not in html
