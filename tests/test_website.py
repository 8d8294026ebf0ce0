"""The static site as GitHub Pages serves it, below a path: nothing is missing, and nothing is asked of anyone else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin, urlparse
from urllib.request import urlopen

import pytest
from browser import Page
from drawn_films import film_like
from PIL import Image
from selenium.webdriver.common.by import By

from docs.site import make_site

pytestmark = pytest.mark.page
BELOW = "/cxr-distill/"
PAGES = ("index.html", "study.html", "card.html", "screen/index.html")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("website") / BELOW.strip("/")
    make_site(folder)
    return folder


@pytest.fixture(scope="module")
def page(site: Path) -> Iterator[Page]:
    opened = Page(site.parent, site.parent / "downloads", path=f"{BELOW}screen/index.html")
    yield opened
    opened.close()


def test_every_link_and_asset_of_every_page_is_there(page: Page) -> None:
    found = 0
    for name in PAGES:
        address = f"{page.origin}{BELOW}{name}"
        text = urlopen(address).read().decode()
        for link in re.findall(r'(?:href|src)="([^"#]+)', text):
            whole = urljoin(address, link)
            if urlparse(whole).scheme == "http":
                assert whole.startswith(page.origin + BELOW), link
                assert urlopen(whole).status == 200
                found += 1
    assert found > 10


def test_no_page_asks_another_origin_and_the_browser_has_no_complaint(page: Page) -> None:
    for name in PAGES:
        page.driver.get(f"{page.origin}{BELOW}{name}")
        for image in page.driver.find_elements(By.TAG_NAME, "img"):
            page.wait(lambda image=image: image.get_property("complete"))
            assert image.get_property("naturalWidth") > 0
    page.read_logs()
    assert [url for url in page.requests if not url.startswith((page.origin, "blob:", "data:"))] == []
    assert page.complaints == []


def test_a_film_is_screened_and_again_without_the_server(page: Page, tmp_path: Path) -> None:
    Image.fromarray(film_like()).save(tmp_path / "film.png")
    page.open()
    page.wait(lambda: page.find("offline").is_displayed())
    (before,) = page.choose(tmp_path / "film.png")
    assert 0 <= float(before["probability"]) <= 1
    page.server.shutdown()
    page.server.server_close()
    page.open()
    assert page.choose(tmp_path / "film.png") == [before]


def test_two_sites_are_the_same_bytes(site: Path, tmp_path: Path) -> None:
    make_site(tmp_path / "again")
    content = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (site, tmp_path / "again")
    ]
    assert content[0] == content[1]
