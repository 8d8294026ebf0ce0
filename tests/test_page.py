"""The page in a real browser: what a clinic sees, that it is what `cxr-screen` says, and that nothing leaves.

Needs Chromium and its driver; `make page-test` builds what else it needs.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Page
from conftest import ROOT
from drawn_films import film_like
from earlier_files import SITE_FILE
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from stand_in import METADATA, write_stand_in

from app.build import build
from cxr_distill.data.phantom import draw_film
from cxr_distill.films.formats import read_film
from cxr_distill.screen.session import load_model
from cxr_distill.screen.site_file import Calibration, SiteFile, read_site
from cxr_distill.screen.verdicts import UNLIKE_FILMS, Verdict, screen_files

pytestmark = pytest.mark.page


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with a built page, and films and other files to show it."""
    place = tmp_path_factory.mktemp("page")
    write_stand_in(place / "release")
    build(place / "release", place / "dist")
    (place / "films").mkdir()
    (place / "downloads").mkdir()
    for number in range(12):
        kind = ("IM-0001-0001", "person1_bacteria_1", "person1_virus_1")[number % 3]
        film = draw_film(kind, np.random.default_rng([7, number])).jpeg
        (place / f"films/film_{number}.jpeg").write_bytes(film)
    film = (place / "films/film_1.jpeg").read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, (90, 120), dtype=np.uint8)
    Image.fromarray(noise).save(place / "noise.png")
    (place / "cut.jpeg").write_bytes(film[: len(film) // 2])
    (place / "empty.png").write_bytes(b"")
    (place / "text.png").write_text("not a picture")
    (place / "huge.png").write_bytes(huge_png())
    return place


def huge_png() -> bytes:
    """A PNG of 40,000 x 40,000 pixels by its header, and a few bytes long."""
    content = BytesIO()
    Image.new("L", (1, 1)).save(content, "PNG")
    header = b"IHDR" + (40_000).to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    return content.getvalue()[:12] + header + zlib.crc32(header).to_bytes(4, "big") + content.getvalue()[33:]


def dicom(*, dtype: str = "u2", syntax: str = ExplicitVRLittleEndian, colours: int = 1, **elements: Any) -> bytes:
    """A DICOM file of a smooth 60 x 80 picture; `elements` by their keywords."""
    y, x = np.mgrid[0:60, 0:80]
    values = 2000 + 1500 * np.sin(x / 12) * np.cos(y / 9)
    if dtype.endswith("1"):
        values = values / 16
    if dtype.startswith("i"):
        values = values - 2000
    pixels = values.astype(dtype)
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == RLELossless else syntax
    file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    file.Rows, file.Columns = pixels.shape
    file.SamplesPerPixel, file.PhotometricInterpretation = colours, "MONOCHROME2" if colours == 1 else "RGB"
    file.BitsAllocated = 8 * pixels.itemsize
    file.BitsStored = 8 if pixels.itemsize == 1 else 12 if dtype[0] == "u" else 16
    file.HighBit, file.PixelRepresentation = file.BitsStored - 1, int(dtype[0] == "i")
    if colours > 1:
        file.PlanarConfiguration = 0
        pixels = np.stack([pixels, pixels // 2, 255 - pixels], axis=-1)
    for keyword, value in elements.items():
        setattr(file, keyword, value)
    content = BytesIO()
    if syntax == JPEGBaseline8Bit:
        Image.fromarray(pixels).save(content, "JPEG", quality=95)
        file.PixelData = encapsulate([content.getvalue()])
        file["PixelData"].is_undefined_length = True
        content = BytesIO()
    else:
        file.PixelData = (
            pixels.astype(pixels.dtype.newbyteorder(">")) if syntax == ExplicitVRBigEndian else pixels
        ).tobytes()
    if syntax == RLELossless:
        file.compress(RLELossless)
    file.save_as(content, enforce_file_format=True)
    return content.getvalue()


def voi_table(*, bits: int = 12, first: int = 0, dtype: str = "<u2") -> Sequence:
    table = Dataset()
    table.LUTDescriptor = [4096, first, bits]
    table.LUTData = ((2**bits - 1) * (np.arange(4096) / 4095) ** 2).astype(dtype).tobytes()
    table["LUTData"].VR, table["LUTDescriptor"].VR = "OW", "SS" if first < 0 else "US"
    return Sequence([table])


DICOM_KINDS: dict[str, dict[str, Any]] = {
    "window": {"WindowCenter": 2100, "WindowWidth": 1800},
    "two windows": {"WindowCenter": [1900, 100], "WindowWidth": [2500, 50]},
    "exact window": {"WindowCenter": 2100, "WindowWidth": 1800, "VOILUTFunction": "LINEAR_EXACT"},
    "sigmoid": {"WindowCenter": 2100, "WindowWidth": 1800, "VOILUTFunction": "SIGMOID"},
    "no window": {},
    "padding": {"PixelPaddingValue": 2000},
    "signed and rescaled": {"dtype": "i2", "RescaleSlope": 2, "RescaleIntercept": -10},
    "MONOCHROME1": {"PhotometricInterpretation": "MONOCHROME1", "WindowCenter": 2000, "WindowWidth": 3000},
    "VOI table": {"VOILUTSequence": voi_table()},
    "VOI table of 8 bits": {"VOILUTSequence": voi_table(bits=8)},
    "VOI table of 8 bits, two entries to a word": {"VOILUTSequence": voi_table(bits=8, dtype="u1")},
    "VOI table that begins below 0": {"dtype": "i2", "VOILUTSequence": voi_table(first=-2000)},
    "slope without intercept": {"RescaleSlope": 2, "WindowCenter": 2100, "WindowWidth": 1800},
    "implicit": {"syntax": ImplicitVRLittleEndian},
    "big endian": {"syntax": ExplicitVRBigEndian},
    "8 bits": {"dtype": "u1"},
    "RGB": {"dtype": "u1", "colours": 3},
    "RLE": {"syntax": RLELossless},
    "RLE, 8 bits": {"dtype": "u1", "syntax": RLELossless},
    "JPEG": {"dtype": "u1", "syntax": JPEGBaseline8Bit},
}


@pytest.fixture(scope="module")
def page(folder: Path) -> Iterator[Page]:
    opened = Page(folder / "dist", folder / "downloads")
    yield opened
    opened.close()


def command(folder: Path, *films: Path, reject: bool = False) -> list[Verdict]:
    """What `cxr-screen` says of the films, by the model in `folder`."""
    return list(screen_files(films, load_model(folder / "cxr-distill.onnx"), reject=reject))


def expected(folder: Path, *films: Path) -> np.ndarray:
    return np.array([verdict.p_pneumonia for verdict in command(folder / "release", *films)])


def test_a_film_gets_its_probability_decision_and_heat_map(page: Page, folder: Path) -> None:
    film = folder / "films/film_1.jpeg"
    (row,) = page.choose(film)
    probability = expected(folder, film)[0]
    assert float(row["probability"]) == pytest.approx(probability, abs=0.01)
    assert row["decision"] == ("pneumonia" if probability >= METADATA["threshold"] else "normal")
    assert page.text("decision") == row["decision"]
    assert page.text("probability") == row["probability"]
    assert row["decision"] in page.text("status"), "a screen reader hears the answer"
    assert page.find("heat").is_displayed()
    painted = """const {width, height} = heat;
        return heat.getContext("2d").getImageData(0, 0, width, height).data.filter((_, i) => i % 4 === 3)
          .reduce((most, alpha) => Math.max(most, alpha), 0)"""
    assert page.driver.execute_script(painted) > 60
    page.find("heat-on").click()
    assert not page.find("heat").is_displayed()
    page.find("heat-on").click()
    assert page.find("heat").is_displayed()


def test_a_heat_map_that_cannot_be_drawn_costs_no_verdict_and_stops_no_other_film(page: Page, folder: Path) -> None:
    first, second, third = (folder / f"films/film_{number}.jpeg" for number in range(3))
    page.driver.execute_script(
        "heat.getContext = () => { delete heat.getContext; throw new RangeError('out of memory'); }"
    )
    rows = page.choose(first, second)
    assert page.text("name") == first.name and page.text("decision") == rows[0]["decision"]
    np.testing.assert_allclose([float(row["probability"]) for row in rows], expected(folder, first, second), atol=0.01)
    assert page.find("no-heat").text == "The heat map of film_0.jpeg could not be drawn: out of memory"
    assert not page.find("heat").is_displayed()
    page.find("files").send_keys(str(third))
    page.wait(lambda: page.text("status").startswith(f"{third.name}: "))
    assert page.text("name") == third.name and page.text("decision") == page.rows()[2]["decision"]
    assert page.find("heat").is_displayed() and not page.find("no-heat").is_displayed()


def test_a_film_that_is_chosen_while_another_is_read_is_the_one_that_is_shown(page: Page, folder: Path) -> None:
    for name, side, level in (("slow", 2500, 0), ("fast", 100, 200)):
        noise = np.random.default_rng(0).integers(level, level + 50, (side, side), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{name}.png")
    page.choose(folder / "slow.png", folder / "fast.png")
    page.driver.execute_script("for (const button of document.querySelectorAll('#rows button')) button.click()")
    level = """const done = arguments[0];
        setTimeout(() => done(picture.getContext("2d").getImageData(5, 5, 1, 1).data[0]), 1500)"""
    assert page.driver.execute_async_script(level) >= 200 and page.text("name") == "fast.png"


def test_many_films_get_the_decisions_of_the_command(page: Page, folder: Path) -> None:
    films = sorted((folder / "films").iterdir())
    rows = page.choose(*films)
    probabilities = expected(folder, *films)
    assert [row["name"] for row in rows] == [film.name for film in films]
    np.testing.assert_allclose([float(row["probability"]) for row in rows], probabilities, atol=0.01)
    called = np.where(probabilities >= METADATA["threshold"], "pneumonia", "normal")
    assert [row["decision"] for row in rows] == called.tolist()
    assert {"pneumonia", "normal"} == set(called)


def test_what_is_no_film_is_rejected_until_someone_insists(page: Page, folder: Path) -> None:
    (row,) = page.choose(folder / "noise.png")
    assert (row["decision"], row["probability"]) == ("rejected", "")
    (verdict,) = command(folder / "release", folder / "noise.png", reject=True)
    assert (verdict.rejected, verdict.reason) == (True, row["reason"])
    assert not page.find("figures").is_displayed() and not page.find("heat").is_displayed()
    assert page.saved()[0]["p_pneumonia"] == ""
    page.find("anyway").click()
    (row,) = page.rows()
    assert float(row["probability"]) == pytest.approx(expected(folder, folder / "noise.png")[0], abs=1e-3)
    assert page.find("figures").is_displayed() and page.find("heat").is_displayed()
    assert "at your request" in page.text("reason")


def test_a_film_of_another_kind_is_told_from_what_is_no_film(page: Page, folder: Path) -> None:
    pale = np.full((96, 96), 100, np.uint8)
    pale[24:72, 24:72] = 115  # its typicality is 15, between both thresholds of the stand-in
    Image.fromarray(pale).save(folder / "pale.png")
    files = [folder / "pale.png", folder / "noise.png"]
    reasons = [row["reason"] for row in page.choose(*files)]
    assert reasons == [verdict.reason for verdict in command(folder / "release", *files, reject=True)]
    assert reasons[0].startswith(UNLIKE_FILMS) and reasons[1].startswith("not like a frontal chest X-ray")


def test_bad_files_get_a_reason_and_the_rest_is_screened(page: Page, folder: Path) -> None:
    bad = {"cut.jpeg": "truncated", "empty.png": "empty", "text.png": "not a JPEG", "huge.png": "too large"}
    rows = page.choose(*(folder / name for name in bad), folder / "films/film_2.jpeg")
    for row, reason in zip(rows, bad.values(), strict=False):
        assert row["decision"] == "unreadable" and reason in row["reason"]
    assert rows[-1]["probability"]
    saved = page.saved()
    assert [row["file"] for row in saved] == [row["name"] for row in rows]
    assert [row["reason"] for row in saved[:-1]] == [row["reason"] for row in rows[:-1]]
    assert float(saved[-1]["p_pneumonia"]) == pytest.approx(expected(folder, folder / "films/film_2.jpeg")[0], abs=0.01)


def test_a_dropped_folder_is_screened_with_all_below_it(page: Page, folder: Path) -> None:
    ward = folder / "ward"
    (ward / "deep").mkdir(parents=True)
    film = (folder / "films/film_1.jpeg").read_bytes()
    for name in ("a.jpeg", "deep/b.jpeg", ".hidden.jpeg"):
        (ward / name).write_bytes(film)
    (ward / "deep/notes.txt").write_text("not a picture")
    rows = {row["name"]: row for row in page.drop(ward, folder / "films/film_1.jpeg", rows=4)}
    assert rows.keys() == {"ward/a.jpeg", "ward/deep/b.jpeg", "ward/deep/notes.txt", "film_1.jpeg"}
    assert rows["ward/deep/notes.txt"]["reason"].startswith("not a JPEG")
    probabilities = {row["probability"] for row in rows.values() if row["decision"] != "unreadable"}
    assert probabilities == {f"{expected(folder, folder / 'films/film_1.jpeg')[0]:.3f}"}


def test_every_dropped_entry_that_the_browser_cannot_read_gets_a_row(page: Page) -> None:
    page.open()
    page.driver.execute_script("""
        const refuses = (_, failed) => failed(new DOMException("no", "NotReadableError"));
        const file = { isFile: true, name: "locked.jpeg", file: refuses };
        const reads = (batches) => (done, failed) => (batches.length ? done(batches.shift()) : refuses(done, failed));
        const half = { isFile: false, name: "half", createReader: () => ({ readEntries: reads([[file]]) }) };
        const closed = { isFile: false, name: "closed", createReader: () => ({ readEntries: refuses }) };
        const item = (entry, file = null) => ({ kind: "file", webkitGetAsEntry: () => entry, getAsFile: () => file });
        const text = new File(["no film"], "alone.txt");
        const items = [item(file), item(half), item(closed), item(null, text), item(null)];
        document.dispatchEvent(Object.assign(new Event("drop"), { dataTransfer: { items } }));
    """)
    page.wait(lambda: len(page.rows()) == 6 and "files:" in page.text("status"))
    assert {row["decision"] for row in page.rows()} == {"unreadable"}
    folder_reason = "a folder that cannot be read"
    reasons = {"locked.jpeg": "cannot be read", "half/locked.jpeg": "cannot be read", "half": folder_reason}
    reasons |= {"closed": folder_reason, "alone.txt": "not a JPEG", "dropped item": "cannot be read"}
    assert [row["name"] for row in page.rows()] == list(reasons)
    assert all(row["reason"].startswith(reasons[row["name"]]) for row in page.rows())
    assert [row["file"] for row in page.saved()] == list(reasons)


def test_a_turned_film_and_a_negative_are_named_as_such(page: Page, folder: Path) -> None:
    film = Image.open(folder / "films/film_4.jpeg").convert("L")
    turned = {
        "left": film.transpose(Image.Transpose.ROTATE_90),
        "right": film.transpose(Image.Transpose.ROTATE_270),
        "negative": Image.fromarray(255 - np.asarray(film)),
    }
    for name, picture in turned.items():
        picture.save(folder / f"{name}.png")
    paths = [folder / f"{name}.png" for name in turned]
    reasons = [row["reason"] for row in page.choose(*paths)]
    assert reasons == [verdict.reason or "" for verdict in command(folder / "release", *paths, reject=True)]
    assert "negative" in reasons[-1]


def test_a_name_with_commas_quotes_and_markup_stays_a_name(page: Page, folder: Path) -> None:
    odd = folder / 'a "b", <img src=x onerror=alert(1)>.jpeg'
    odd.write_bytes((folder / "films/film_0.jpeg").read_bytes())
    (row,) = page.choose(odd)
    assert row["name"] == odd.name
    assert page.saved()[0]["file"] == odd.name


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_png_pixels_are_those_of_the_command(page: Page, mode: str) -> None:
    random = np.random.default_rng(1)
    for width, height in ((33, 47), (97, 130)):
        if mode == "I;16":
            picture = Image.fromarray(random.integers(0, 5000, (height, width), dtype=np.uint16))
        else:
            colours = Image.fromarray(random.integers(0, 256, (height, width, 4), dtype=np.uint8))
            picture = colours.convert("RGB").convert(mode) if mode == "P" else colours.convert(mode)
        content = BytesIO()
        picture.save(content, "PNG")
        found = page.decoded("films", "readFilm", content.getvalue())
        np.testing.assert_array_equal(found, np.asarray(read_film(content.getvalue())))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_what_a_png_calls_transparent_is_black(page: Page, mode: str) -> None:
    picture = Image.linear_gradient("L").convert("RGB").convert(mode)
    content = BytesIO()
    picture.save(content, "PNG", transparency={"RGB": (77, 77, 77), "1": 1}.get(mode, 200))
    found = page.decoded("films", "readFilm", content.getvalue())
    np.testing.assert_array_equal(found, np.asarray(read_film(content.getvalue())))


@pytest.mark.parametrize("kind", DICOM_KINDS)
def test_dicom_levels_are_those_of_the_command(page: Page, kind: str) -> None:
    content = dicom(**DICOM_KINDS[kind])
    found = page.decoded("films", "readFilm", content).astype(int)
    wanted = np.asarray(read_film(content)).astype(int)
    assert wanted.std() > 20
    assert np.abs(found - wanted).max() <= (3 if kind == "JPEG" else 1)


def test_resizing_is_that_of_training_to_the_bit(page: Page) -> None:
    random = np.random.default_rng(2)
    script = """const [text, width, height, size, done] = arguments;
        import("/pixels.js").then(({squash}) =>
          done([...squash(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)), width, height, size)]));"""
    sizes = [(1, 1), (96, 96), (95, 97), (96, 400), (40, 500), (641, 333), (1024, 768), (224, 224)]
    sizes += [(120, 144), (120, 145), (192, 288), (192, 289)]  # either side of where Pillow changes its order
    sizes += random.integers(1, 400, (25, 2)).tolist()
    for (width, height), size in product(sizes, (96, 64)):
        picture = Image.fromarray(random.integers(0, 256, (height, width), dtype=np.uint8))
        wanted = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))
        text = base64.b64encode(picture.tobytes()).decode()
        found = page.driver.execute_async_script(script, text, width, height, size)
        np.testing.assert_array_equal(np.reshape(found, (size, size)), wanted, f"{width} x {height} to {size}")


def test_the_command_and_the_page_turn_the_same_files_and_see_the_same_picture(page: Page, folder: Path) -> None:
    film = Image.open(folder / "films/film_1.jpeg").convert("L")
    exif = Image.Exif()
    exif[0x0112] = 6
    preview = [Image.new("L", (64, 64))]
    for kind, words in {"JPEG": {"exif": exif}, "PNG": {"exif": exif},
                        "MPO": {"save_all": True, "append_images": preview}}.items():  # fmt: skip
        content = BytesIO()
        film.save(content, kind, quality=95, **words)
        found, wanted = page.decoded("films", "readFilm", content.getvalue()), np.asarray(read_film(content.getvalue()))
        assert found.shape == wanted.shape == (film.size if kind == "JPEG" else film.size[::-1])
        assert np.abs(found.astype(int) - wanted).mean() < 1


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_a_dicom_file_without_a_preamble_is_read(page: Page, syntax: str) -> None:
    whole = dicom(syntax=syntax)
    start = 144 + int.from_bytes(whole[140:144], "little")
    found = page.decoded("films", "readFilm", whole[start:]).astype(int)
    assert np.abs(found - np.asarray(read_film(whole[start:])).astype(int)).max() <= 1


def test_keyboard_alone_is_enough(page: Page, folder: Path) -> None:
    page.choose(folder / "films/film_0.jpeg", folder / "noise.png")
    page.driver.execute_script("document.activeElement.blur(); document.body.focus()")
    reached = []
    for _ in range(14):
        webdriver.ActionChains(page.driver).send_keys(Keys.TAB).perform()
        focused = page.driver.switch_to.active_element
        reached.append(focused.get_attribute("id") or focused.text)
        if focused.text == "noise.png":
            webdriver.ActionChains(page.driver).send_keys(Keys.ENTER).perform()
    assert {"files", "heat-on", "csv", "clear", "noise.png"} <= set(reached)
    assert page.text("decision") == "Rejected"


def test_a_phone_shows_it_without_scrolling_sideways(page: Page, folder: Path) -> None:
    page.choose(folder / "films/film_0.jpeg", folder / "noise.png")
    metrics = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        assert page.driver.execute_script("return document.documentElement.scrollWidth") <= 360
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_and_work_it(page: Page, folder: Path, scheme: str) -> None:
    emulated = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", emulated)
    page.choose(folder / "films/film_0.jpeg", folder / "films/film_1.jpeg", folder / "noise.png", folder / "empty.png")
    page.driver.execute_script((ROOT / "app/node_modules/axe-core/axe.min.js").read_text())
    for button in page.driver.find_elements(By.CSS_SELECTOR, "#rows button"):
        button.click()
        found = page.driver.execute_async_script("axe.run().then(arguments[0])")
        assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found["violations"]] == []


def test_the_model_card_is_shown(page: Page) -> None:
    page.find("about").find_element(By.TAG_NAME, "summary").click()
    assert "A stand-in" in page.find("card").text
    assert page.find("card").find_elements(By.TAG_NAME, "table")


def test_what_a_site_wrote_into_the_model_card_stays_words(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "release", tmp_path / "release")
    card = tmp_path / "release/MODEL_CARD.md"
    card.write_text(
        card.read_text()
        + "\nSt. Ann, <5 years>, <b onclick='alert(1)'>2026</b>, **all** films; [consent](https://example.org/consent),"
        " [more](javascript:alert(1)), ![plan](icon.svg)\n\n<form id=files><img src=x onerror=alert(1)></form>\n"
    )
    build(tmp_path / "release", tmp_path / "dist")
    page = Page(tmp_path / "dist", tmp_path)
    try:
        page.wait(lambda: "St. Ann" in page.text("card"))
        assert "<5 years>, <b onclick='alert(1)'>2026</b>, all films" in page.text("card")
        found = page.driver.execute_script("""return [...card.querySelectorAll("p, p *")].map((element) =>
            [element.localName, ...[...element.attributes].map(({name, value}) => `${name}=${value}`)])""")
        assert found == [["p"], ["strong"], ["a", "href=https://example.org/consent"], ["a"], ["p"]]
        assert page.driver.find_elements(By.CSS_SELECTOR, "#card td")
        assert not page.driver.find_elements(By.CSS_SELECTOR, "#card :is(form, img, script)")
    finally:
        page.close()


def test_a_new_build_takes_the_place_of_the_old_one_without_closing_the_tab(page: Page, folder: Path) -> None:
    def versions() -> list[str]:
        return page.driver.execute_async_script("caches.keys().then(arguments[0])")

    page.wait(lambda: page.find("offline").is_displayed())
    (old,) = versions()
    card = folder / "release/MODEL_CARD.md"
    card.write_text(card.read_text() + "\n\nBuilt again.\n")
    build(folder / "release", folder / "dist")
    page.open()
    page.wait(lambda: old not in versions())
    page.open()
    page.find("about").find_element(By.TAG_NAME, "summary").click()
    page.wait(lambda: "Built again." in page.find("card").text)


def test_it_works_when_the_network_and_the_server_are_gone(page: Page, folder: Path) -> None:
    page.wait(lambda: page.find("offline").is_displayed())
    page.server.shutdown()
    page.server.server_close()
    page.open()
    (row,) = page.choose(folder / "films/film_1.jpeg")
    assert float(row["probability"]) == pytest.approx(expected(folder, folder / "films/film_1.jpeg")[0], abs=0.01)
    page.find("about").find_element(By.TAG_NAME, "summary").click()
    assert "A stand-in" in page.find("card").text


def test_a_site_file_decides_until_it_is_put_away(page: Page, folder: Path) -> None:
    films = sorted((folder / "films").glob("*.jpeg"))
    before = page.choose(*films)
    found = sorted(float(row["probability"]) for row in before if row["probability"])
    sha256 = load_model(folder / "release/cxr-distill.onnx").sha256
    calibration = Calibration(slope=0.5, intercept=-0.25)
    threshold = round((found[-2] + found[-1]) / 2, 4)
    own = SiteFile("St. Ann", threshold, 0.8, calibration, 0.4, 300, 250, sha256, "2026-01-31")
    for name, content in {
        "site.json": own.to_dict(),
        "other.json": {**own.to_dict(), "model_sha256": "0" * 64},
        "future.json": {**own.to_dict(), "format": 2},
        "wrong.json": {**own.to_dict(), "threshold": 2},
        "list.json": [],
    }.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "text.json").write_text("{")
    for name, reason in {
        "other.json": "made for another model (000000000000",
        "future.json": "it is of format 2, this page reads 1",
        "wrong.json": "not a site file",
        "list.json": "not a site file",
        "text.json": "not a site file",
    }.items():
        page.find("files").send_keys(str(folder / name))
        page.wait(lambda name=name: page.text("status").startswith(f"{name}: "))
        assert reason in page.text("status") and not page.find("site").is_displayed()
        assert page.rows() == before

    page.find("files").send_keys(str(folder / "site.json"))
    page.wait(page.find("site").is_displayed)
    assert page.text("whose") == (
        f"Operating point of St. Ann, 2026-01-31: threshold {threshold:g}, chosen for a sensitivity of 0.8 on 300 "
        "films of 250 patients."
    )
    assert page.text("threshold") == f"{threshold:g}"
    model = load_model(folder / "release/cxr-distill.onnx")
    verdicts = list(screen_files(films, model, site=own))
    for row, verdict in zip(page.rows(), verdicts, strict=True):
        assert row["decision"] == ("rejected" if verdict.rejected else verdict.decision)
        assert verdict.rejected or float(row["calibrated"]) == pytest.approx(verdict.p_calibrated, abs=0.01)
    assert sum(row["decision"] == "pneumonia" for row in page.rows()) == 1
    for row, verdict in zip(page.saved(), verdicts, strict=True):
        assert verdict.rejected or float(row["p_calibrated"]) == pytest.approx(verdict.p_calibrated, abs=0.01)
    page.find("no-site").click()
    assert page.rows() == before and not page.find("site").is_displayed()


def test_no_request_left_for_another_place_and_the_browser_had_no_complaint(page: Page) -> None:
    page.read_logs()
    assert any(request.endswith("model.json") for request in page.requests)
    assert not [url for url in page.requests if not url.startswith((page.origin, "blob:", "data:"))]
    assert page.complaints == []


def test_the_browser_forbids_connections_to_anywhere_else(page: Page) -> None:
    script = """const done = arguments[0];
        const blocked = [];
        document.addEventListener("securitypolicyviolation", (event) => blocked.push(event.effectiveDirective));
        fetch("http://127.0.0.1:9/").catch(() => {
          new Image().src = "http://127.0.0.1:9/pixel.png";
          navigator.sendBeacon("http://127.0.0.1:9/", "film");
          setTimeout(() => done(blocked), 300);
        });"""
    blocked = page.driver.execute_async_script(script)
    assert blocked.count("connect-src") == 2 and "img-src" in blocked


def test_two_builds_are_the_same_bytes(folder: Path) -> None:
    build(folder / "release", folder / "again")
    listed = subprocess.run(["diff", "-r", folder / "dist", folder / "again"], capture_output=True, text=True)
    assert listed.returncode == 0, listed.stdout


@pytest.mark.parametrize("fact", ["typicality_threshold", "chest_threshold", "threshold"])
def test_a_model_without_a_limit_is_not_loaded(folder: Path, tmp_path: Path, fact: str) -> None:
    dist = shutil.copytree(folder / "dist", tmp_path / "dist")
    card = json.loads((dist / "model.json").read_text())
    del card["metadata"][fact]
    (dist / "model.json").write_text(json.dumps(card))
    page = Page(dist, tmp_path)
    try:
        told = f"The network could not be loaded: the facts of the model lack {fact}. Reload the page to try again."
        assert page.text("problem") == told and not page.find("files").is_enabled()
    finally:
        page.close()


def test_the_released_model_says_in_the_browser_what_the_command_says(folder: Path) -> None:
    build(ROOT / "release", folder / "released")
    Image.fromarray(film_like()).save(folder / "film_like.png")
    files = [folder / "film_like.png", folder / "noise.png", *sorted((folder / "films").iterdir())]
    page = Page(folder / "released", folder / "downloads")
    try:
        rows = page.choose(*files)
        for row, verdict in zip(rows, command(ROOT / "release", *files, reject=True), strict=True):
            assert row["decision"] == ("rejected" if verdict.rejected else verdict.decision)
            assert row["reason"].split(":")[0] == (verdict.reason or "").split(":")[0]
        film, noise = rows[:2]
        (verdict,) = command(ROOT / "release", files[0], reject=True)
        assert film["decision"] == verdict.decision and not film["reason"]
        assert float(film["probability"]) == pytest.approx(verdict.p_pneumonia, abs=0.01)
        assert float(film["calibrated"]) == pytest.approx(verdict.p_calibrated, abs=0.01)
        assert noise["decision"] == "rejected" and noise["probability"] == ""
        assert noise["reason"].startswith("not like a frontal chest X-ray: out-of-distribution score ")
        for row, verdict in zip(page.insist(), command(ROOT / "release", *files), strict=True):
            assert row["decision"] == verdict.decision
            assert float(row["probability"]) == pytest.approx(verdict.p_pneumonia, abs=0.01)

        # A site file as an earlier version wrote it, for this model.
        sha256 = load_model(ROOT / "release/cxr-distill.onnx").sha256
        own = {**json.loads(SITE_FILE), "model_sha256": sha256}
        (folder / "site.json").write_text(json.dumps(own, indent=2) + "\n")
        page.find("files").send_keys(str(folder / "site.json"))
        page.wait(page.find("site").is_displayed)
        assert page.text("whose").startswith("Operating point of St. Ann, 2026-11-27: threshold 0.3127, chosen for a")
        site = read_site(folder / "site.json", model_sha256=sha256)
        (verdict,) = screen_files(files[:1], load_model(ROOT / "release/cxr-distill.onnx"), site=site)
        row = page.rows()[0]
        assert row["decision"] == verdict.decision
        assert float(row["calibrated"]) == pytest.approx(verdict.p_calibrated, abs=0.01)
    finally:
        page.close()
