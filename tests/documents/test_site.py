"""The site: no dead link, nothing from elsewhere, every page in the navigation, small pictures."""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from pages import page_names
from paths import ROOT

SOURCES = [*page_names(), "config/README.md", "CHANGELOG.md"]
MAX_PICTURE_BYTES = 300_000


class Page(HTMLParser):
    """Ids, links and assets of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.assets: list[str] = []
        self.without_alt: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids |= {given[key] for key in ("id", "name") if given.get(key)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload"):
            self.assets.append(given["href"])
        if tag in ("script", "img", "iframe", "source") and given.get("src"):
            self.assets.append(given["src"])
        if tag == "img" and not given.get("alt"):
            self.without_alt.append(given["src"])


@cache
def parsed(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def pages_of(site: Path) -> list[Path]:
    found = sorted(path for path in site.rglob("*.html"))
    assert len(found) > 25
    return found


def well_formed(link: str) -> bool:
    parts = urlsplit(link)
    return parts.scheme in ("https", "mailto") and ("." in parts.netloc or "@" in parts.path)


@pytest.mark.slow  # makes the site
def test_no_link_is_dead(site):
    dead = []
    for page in pages_of(site):
        for link in parsed(page).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                dead += [] if well_formed(link) else [f"{page.name}: {link}"]
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            fine = target.is_file() and target.is_relative_to(site)
            if fine and parts.fragment and target.suffix == ".html":
                fine = unquote(parts.fragment) in parsed(target).ids
            dead += [] if fine else [f"{page.name}: {link}"]
    assert not dead


@pytest.mark.slow  # makes the site
def test_nothing_comes_from_elsewhere(site):
    assert sum(len(parsed(page).assets) for page in pages_of(site)) > 10
    for page in pages_of(site):
        for asset in parsed(page).assets:
            parts = urlsplit(asset)
            assert not parts.scheme, (page.name, asset)
            assert not parts.netloc, (page.name, asset)
            assert (page.parent / unquote(parts.path)).is_file(), (page.name, asset)
        assert not parsed(page).without_alt
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        loaded = re.findall(r"url\(\s*[\"']?([^\"')]+)|@import\s+[\"']([^\"']+)", text)
        for place in map("".join, loaded):
            assert place.startswith(("data:", "#")) or (style.parent / place).is_file(), style


@pytest.mark.slow  # makes the site
def test_every_page_is_in_the_navigation(site):
    listed = {urlsplit(link).path for link in parsed(site / "index.html").links}
    made = {str(page.relative_to(site)) for page in pages_of(site)}
    # "#" is the page itself; the index of names and the search are reached from every page
    assert made - listed == {"index.html", "genindex.html", "search.html"} - listed
    sources = {name.removeprefix("docs/") for name in page_names() if name.startswith("docs/")}
    assert {name.replace(".md", ".html") for name in sources} <= made


def test_no_page_stands_where_only_new_pages_do():
    text = (ROOT / "docs" / "how-to.md").read_text(encoding="utf-8")
    assert text.count("<!-- all other pages -->") == 1


def slug(heading: str) -> str:
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    found: list[str] = []
    for heading in re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE):
        name = slug(heading)
        number = sum(other.rsplit("-", 1)[0] == name or other == name for other in found)
        found.append(f"{name}-{number}" if name in found else name)
    return set(found)


@pytest.mark.parametrize("name", SOURCES)
def test_links_of_the_sources_lead_somewhere(name):
    path = ROOT / name
    text = re.sub(r"^ *```.*?^ *```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", text)):
        parts = urlsplit(link)
        if parts.scheme:
            assert well_formed(link), link
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        assert target.exists(), f"{name}: {link}"
        if parts.fragment:
            generated = "<!-- made from:" in target.read_text(encoding="utf-8")
            assert generated or unquote(parts.fragment) in anchors(target), f"{name}: {link}"


def test_pictures_are_small_and_used():
    pictures = sorted((ROOT / "docs" / "pictures").glob("*.png"))
    assert [picture.name for picture in pictures] == ["cells.png", "report.png", "steps.png"]
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in SOURCES)
    for picture in pictures:
        assert picture.stat().st_size < MAX_PICTURE_BYTES
        assert f"pictures/{picture.name})" in text
