"""A clinic's folder holds anything: every file gets its line, the films among them their right answer."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from conftest import program, with_path
from drawn_films import chest, containers, dicom, hostile, jpeg_dicom, saved, shrunk
from PIL import Image

from cxr_distill.films.formats import read_film
from cxr_distill.films.header import read_header
from cxr_distill.films.pixels import BadPicture, decode, squash
from cxr_distill.release.build import FP32, INT8
from cxr_distill.screen import command as cli
from cxr_distill.screen.command import main
from cxr_distill.screen.session import Model
from cxr_distill.screen.verdicts import UNLIKE_FILMS

SIZE = 32
pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR DS")  # drawn so on purpose


@pytest.fixture(scope="module")
def film(released: dict[str, bytes]) -> np.ndarray:
    """A drawn chest that the model finds typical."""
    screen = Model(released[FP32])
    films = (chest(seed) for seed in range(500, 600))
    return next(f for f in films if screen(shrunk(f)[None]).typicality[0] > screen.facts.typicality_threshold + 0.1)


def screen(model: Path, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, list[dict], str]:
    """Exit status, JSON lines and stderr of the command."""
    status = main(["--json", "--model", str(model), *map(str, words)])
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    return status, [json.loads(line) for line in output.out.splitlines()], output.err


def test_screening_sees_the_pixels_that_training_saw(film: np.ndarray) -> None:
    colour = Image.merge("RGB", [Image.fromarray(np.roll(film, shift)) for shift in (0, 3, 9)])
    for data in (saved(film, "JPEG", quality=75), saved(colour, "JPEG"), saved(film, "PNG"), saved(colour, "PNG")):
        assert np.array_equal(squash(read_film(data), size=SIZE), decode(data, size=SIZE).pixels)


@pytest.mark.parametrize("name", containers(chest()))
def test_a_film_looks_the_same_from_every_container(name: str) -> None:
    grey = chest()
    assert (grey.min(), grey.max()) == (0, 255)  # DICOM without a window is shown from the darkest to the brightest
    assert np.abs(np.asarray(read_film(containers(grey)[name])).astype(int) - grey).max() <= 1


def test_dicom_holds_the_jpeg_that_it_was_made_of() -> None:
    jpeg, in_dicom = jpeg_dicom(chest())
    grey = np.asarray(read_film(jpeg)).astype(float)
    stretched = (grey - grey.min()) / np.ptp(grey) * 255
    assert np.abs(np.asarray(read_film(in_dicom)) - stretched).max() <= 1


def shown(stored: list[int], **elements: object) -> list[int]:
    """Grey levels of four stored values in a DICOM file of 12 bits."""
    pixels = np.repeat(np.array(stored, np.uint16), 400).reshape(40, 40)
    film = np.asarray(read_film(dicom(pixels, BitsStored=12, HighBit=11, **elements)))
    return film.ravel()[::400].tolist()


def test_windows_are_those_of_the_standard() -> None:
    # PS3.3 C.11.2.1.2: with centre 100 and width 101, black ends at 49.5 and white begins at 149.5.
    assert shown([49, 50, 149, 150], WindowCenter=100, WindowWidth=101) == [0, 1, 254, 255]
    exact = shown([0, 50, 100, 200], WindowCenter=100, WindowWidth=200, VOILUTFunction="LINEAR_EXACT")
    assert exact == [0, 64, 128, 255]
    smooth = shown([0, 100, 150, 4095], WindowCenter=100, WindowWidth=100, VOILUTFunction="SIGMOID")
    assert smooth == [5, 128, 225, 255]
    rescaled = {"RescaleSlope": 2, "RescaleIntercept": 100}
    assert shown([74, 75, 124, 125], WindowCenter=300, WindowWidth=101, **rescaled) == [0, 1, 251, 255]


def table_of(bits: int, levels: list[int], first: int = 0) -> dict[str, Any]:
    """The elements of a DICOM file that is shown through a table of `levels` of so many bits."""
    table = pydicom.Dataset()
    table.LUTDescriptor = [len(levels), first, bits]
    table["LUTDescriptor"].VR = "SS" if first < 0 else "US"
    table.LUTData = np.array(levels, np.uint16).tobytes()
    table["LUTData"].VR = "OW"
    return {"VOILUTSequence": pydicom.Sequence([table])}


def test_a_table_of_8_bits_shows_what_one_of_16_shows() -> None:
    stored = [0, 1000, 3000, 4095]
    wide = shown(stored, **table_of(16, [16 * level for level in range(4096)]))
    narrow = shown(stored, **table_of(8, [level >> 4 for level in range(4096)]))
    assert wide[-1] > 250 and np.abs(np.subtract(wide, narrow)).max() <= 1
    packed = table_of(8, [])
    packed["VOILUTSequence"][0].LUTDescriptor = [4096, 0, 8]
    packed["VOILUTSequence"][0].LUTData = bytes(level >> 4 for level in range(4096))
    assert shown(stored, **packed) == narrow


@pytest.mark.filterwarnings("error")
def test_a_value_beyond_a_table_and_beyond_16_bits_is_white() -> None:
    table = table_of(16, [16 * level for level in range(4096)])
    assert shown([0, 1000, 3000, 4095], RescaleSlope=16, RescaleIntercept=100, **table)[1:] == [255] * 3


def test_colours_of_12_bits_are_as_bright_as_those_of_8() -> None:
    grey = chest()
    colours = np.repeat(grey[..., None], 3, axis=2)
    kind = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": "RGB"}
    wide = dicom(colours.astype(np.uint16) << 4, BitsStored=12, HighBit=11, **kind)
    assert np.array_equal(np.asarray(read_film(wide)), np.asarray(read_film(dicom(colours, **kind))))


def test_a_file_without_a_preamble_is_read() -> None:
    grey = chest()
    with_preamble = dicom(grey)
    start = 144 + int.from_bytes(with_preamble[140:144], "little")
    assert np.array_equal(np.asarray(read_film(with_preamble[start:])), np.asarray(read_film(with_preamble)))


def test_a_pipe_has_no_header_and_a_bomb_is_not_inflated_for_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.dcm")
    (tmp_path / "bomb.dcm").write_bytes(hostile(chest())["bomb_without_length.dcm"])
    tracemalloc.start()
    assert read_header(tmp_path / "pipe.dcm") == read_header(tmp_path / "bomb.dcm") == {}
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_a_reason_quotes_nothing_of_a_dicom_header() -> None:
    with pytest.raises(BadPicture) as bad:
        read_film(dicom(chest(), PhotometricInterpretation="MARKER"))
    assert str(bad.value).startswith("corrupt: its header or pixels") and "MARKER" not in str(bad.value)


def test_a_useless_window_is_left_out_and_padding_is_black() -> None:
    plain = [0, 85, 170, 255]
    for width in (0, -5, "NaN", ""):
        assert shown([100, 200, 300, 400], WindowCenter=1, WindowWidth=width) == plain
    padded = {"PixelPaddingValue": 4095, "PhotometricInterpretation": "MONOCHROME1"}
    assert shown([4095, 100, 200, 300], **padded) == [0, 255, 128, 0]


def test_a_transparent_picture_lies_on_black() -> None:
    grey = chest()
    clear = Image.merge("LA", [Image.fromarray(grey), Image.new("L", grey.shape[::-1], 0)])
    assert np.asarray(read_film(saved(clear, "PNG"))).max() == 0


def test_a_picture_of_a_phone_is_turned_as_the_phone_says() -> None:
    grey = chest()
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(np.rot90(grey).copy())
    jpeg = np.asarray(read_film(saved(turned, "JPEG", exif=exif, quality=100)), np.int16)
    assert jpeg.shape == grey.shape and np.abs(jpeg - grey).max() < 6
    # Browsers do not agree on PNG files, so that neither command nor page turns them.
    assert np.array_equal(np.asarray(read_film(saved(turned, "PNG", exif=exif))), np.rot90(grey))


def test_the_preview_in_a_cameras_jpeg_does_not_hide_its_picture() -> None:
    film, preview = Image.fromarray(chest()), Image.new("L", (64, 64))
    both = io.BytesIO()
    film.save(both, "MPO", save_all=True, append_images=[preview], quality=100)
    read = np.asarray(read_film(both.getvalue()), np.int16)
    assert read.shape == chest().shape and np.abs(read - chest()).max() < 6


def test_a_table_never_takes_the_place_of_a_film_and_is_none_itself(
    model: Path, film: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(saved(film, "PNG"))
    status, lines, err = screen(model, capsys, tmp_path / "b.png", "--csv", tmp_path / "a.png")
    assert status == cli.CANNOT_RUN and not lines and "a.png exists and is no table" in err
    assert (tmp_path / "a.png").read_bytes() == saved(film, "PNG")
    for _ in range(2):
        status, lines, _ = screen(model, capsys, tmp_path, "--csv", tmp_path / "out.csv")
        assert status == cli.ALL_SCREENED and [Path(line["file"]).name for line in lines] == ["a.png", "b.png"]
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 3


def test_every_hostile_file_gets_one_line_and_the_films_beside_them_are_screened(
    model: Path, film: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    bad = hostile(film)
    good = {
        "film.jpeg": saved(film, "JPEG"),
        "wrong_extension.dcm": saved(film, "PNG"),
        "cmyk.jpg": saved(Image.fromarray(film).convert("CMYK"), "JPEG"),
        "alpha.png": saved(Image.fromarray(film).convert("LA"), "PNG"),
        "deep/er/film.dcm": dicom(film),
        "new\nline.jpeg": saved(film, "JPEG"),
        os.fsdecode(b"no\xfftext.jpeg"): saved(film, "JPEG"),
        ".hidden.png": saved(film, "PNG"),
    }
    for name, content in (bad | good).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    os.mkfifo(folder / "pipe.png")
    (folder / "gone.png").symlink_to("nowhere")
    (folder / "loop").symlink_to(folder)
    begun = time.monotonic()
    status, lines, err = screen(model, capsys, folder, tmp_path / "missing", "--no-reject")
    assert time.monotonic() - begun < 20
    assert status == cli.SOME_UNREADABLE
    by_name = {str(Path(line["file"]).relative_to(tmp_path)).removeprefix("in/"): line for line in lines}
    assert set(by_name) == (bad | good).keys() - {".hidden.png"} | {"pipe.png", "gone.png", "loop", "missing"}
    for name, line in by_name.items():
        if name in good:
            assert 0 <= line["p_pneumonia"] <= 1 and line["decision"] in ("normal", "pneumonia")
        else:
            assert line["p_pneumonia"] is None and line["decision"] is None and not line["rejected"]
            assert line["reason"] and "\n" not in line["reason"]
    assert "too large" in by_name["bomb.dcm"]["reason"] and "no such file" in by_name["missing"]["reason"]
    sick = sum(line["decision"] == "pneumonia" for line in lines)
    assert err == f"7 screened ({sick} pneumonia), 0 rejected, {len(lines) - 7} unreadable\n"
    main(["--model", str(model), str(folder)])
    assert len(capsys.readouterr().out.splitlines()) == len(lines) - 1


def test_what_is_no_upright_chest_is_rejected_with_a_reason_and_without_a_probability(
    model: Path, film: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (90, 90), dtype=np.uint8)
    pictures = {
        "a_left.png": np.rot90(film),
        "b_right.png": np.rot90(film, -1),
        "c_down.png": np.rot90(film, 2),
        "d_negative.png": 255 - film,
        "e_noise.png": noise,
        "f_film.png": film,
    }
    for name, picture in pictures.items():
        (tmp_path / name).write_bytes(saved(np.ascontiguousarray(picture), "PNG"))
    status, lines, _ = screen(model, capsys, tmp_path)
    assert status == cli.SOME_REJECTED
    assert [line["rejected"] for line in lines] == [True] * 5 + [False]
    assert all(line["p_pneumonia"] is None and line["p_calibrated"] is None for line in lines[:5])
    expected = ["turn it right", "turn it left", "upside down", "negative", "not like a frontal chest"]
    assert all(part in line["reason"] for part, line in zip(expected, lines, strict=False))
    status, shown_anyway, _ = screen(model, capsys, tmp_path, "--no-reject")
    assert status == cli.ALL_SCREENED and all(0 <= line["p_pneumonia"] <= 1 for line in shown_anyway)
    assert shown_anyway[-1] == lines[-1] and "negative" in shown_anyway[3]["reason"]


def test_a_film_of_another_kind_is_told_from_what_is_no_chest_film(
    model: Path, film: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    screener = Model(model.read_bytes())
    flatter = [(film * share + (1 - share) * film.mean()).astype(np.uint8) for share in np.linspace(0.9, 0.05, 18)]
    scores = screener(np.stack([shrunk(each) for each in flatter])).typicality
    between = (scores < screener.facts.typicality_threshold) & (scores >= screener.facts.chest_threshold)
    (tmp_path / "a.png").write_bytes(saved(flatter[int(between.argmax())], "PNG"))
    (tmp_path / "b.png").write_bytes(saved(np.full((90, 90), 90, np.uint8), "PNG"))
    _, lines, _ = screen(model, capsys, tmp_path)
    assert lines[0]["reason"].startswith(UNLIKE_FILMS) and lines[1]["reason"].startswith("not like a frontal chest")
    limits = -np.array([screener.facts.typicality_threshold, screener.facts.chest_threshold])
    for line, limit in zip(lines, limits, strict=True):
        score, above = map(float, re.findall(r": out-of-distribution score (\S+) is above (\S+)$", line["reason"])[0])
        assert score >= above == round(limit, 2)


def test_scripts_and_tables_of_before_the_word_rejected_go_on_working(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "flat.png").write_bytes(saved(np.full((90, 90), 90, np.uint8), "PNG"))
    (tmp_path / "t.csv").write_text("file,p_pneumonia,p_calibrated,decision,refused,reason\r\nold.png,,,,True,old\r\n")
    status, lines, _ = screen(model, capsys, tmp_path, "--no-refuse", "--csv", tmp_path / "t.csv")
    assert status == cli.ALL_SCREENED and len(lines) == 1 and lines[0]["decision"]
    (row,) = csv.DictReader((tmp_path / "t.csv").open())
    assert row["rejected"] == "False" and row["file"].endswith("flat.png")
    with pytest.raises(SystemExit):
        main(["--help"])
    helped = capsys.readouterr().out
    assert "--no-reject" in helped and "refuse" not in helped


def test_exit_status_and_outputs(
    model: Path, film: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "film.png").write_bytes(saved(film, "PNG"))
    long = "n" * 240 + ".png"
    (tmp_path / long).write_bytes(saved(film, "PNG"))
    (tmp_path / "more").mkdir()
    (tmp_path / "more/film.png").write_bytes(saved(np.pad(film, 3, "edge"), "PNG"))
    arguments = [tmp_path / "film.png", tmp_path / "more", tmp_path / long, "--no-reject"]
    status, lines, _ = screen(model, capsys, *arguments, "--csv", tmp_path / "t.csv", "--heatmap", tmp_path / "maps")
    assert status == cli.ALL_SCREENED
    assert list(lines[0]) == ["file", "p_pneumonia", "p_calibrated", "decision", "rejected", "reason"]
    rows = list(csv.DictReader((tmp_path / "t.csv").open()))
    assert [(row["file"], float(row["p_pneumonia"])) for row in rows] == [(x["file"], x["p_pneumonia"]) for x in lines]
    overlays = [Image.open(tmp_path / "maps" / name) for name in ("film.png.png", "film.png.2.png")]
    assert [o.size for o in overlays] == [film.shape[::-1], (film.shape[1] + 6, film.shape[0] + 6)]
    assert all(np.ptp(np.asarray(o), axis=2).max() > 0 for o in overlays)
    assert main([str(tmp_path / "film.png"), "--model", str(model)]) == cli.ALL_SCREENED
    assert re.fullmatch(r".*film.png: \w+, P = [01]\.\d{3} \(calibrated [01]\.\d{3}\)\n", capsys.readouterr().out)


def test_every_film_has_a_heat_map_of_its_own_whatever_the_names(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [
        "a/1.2.840.1",
        "b/1.2.840.1",
        "c/1.2.840.1.2",
        "d/1.2.840.1.2",
        "e/SCAN.png",
        "f/scan.png",
        "g/\u00e4",
        "h/\u00f6",
    ]
    for number, name in enumerate(names):
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        (tmp_path / "in" / name).write_bytes(saved(np.pad(chest(number), number + 1, "edge"), "PNG"))
    status, lines, _ = screen(model, capsys, tmp_path / "in", "--no-reject", "--heatmap", tmp_path / "maps")
    assert status == cli.ALL_SCREENED and len(lines) == len(names)
    maps = sorted((tmp_path / "maps").iterdir())
    sizes = {Image.open(path).size for path in maps}
    assert sizes == {Image.open(tmp_path / "in" / name).size for name in names} and len(sizes) == len(names)
    assert len({path.name.lower() for path in maps}) == len(names)
    assert {"1.2.840.1.png", "1.2.840.1.2.png", "SCAN.png.png", "_.png"} <= {path.name for path in maps}


def test_what_stops_the_command_is_said_in_one_line(
    model: Path, film: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "film.png").write_bytes(saved(film, "PNG"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    cases: list[list[object]] = [
        [tmp_path / "empty"],
        [tmp_path / "film.png", "--model", tmp_path / "missing.onnx"],
        [tmp_path / "film.png", "--model", tmp_path / "bad.onnx"],
        [tmp_path / "film.png", "--csv", tmp_path],
        [tmp_path / "film.png", "--heatmap", tmp_path / "film.png"],
    ]
    (tmp_path / "film").write_bytes(saved(film, "PNG"))
    cases.append([tmp_path / "film", tmp_path / "film.png", "--heatmap", tmp_path])  # film.png would be overwritten
    for words in cases:
        status, lines, err = screen(model, capsys, *words)
        assert status == cli.CANNOT_RUN and lines == []
        assert err.startswith("error: ") and err.count("\n") == 1
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == cli.CANNOT_RUN


@pytest.mark.slow
def test_ten_thousand_files_are_screened_while_one_waits(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = saved(shrunk(chest()), "PNG")
    for number in range(10_000):
        (tmp_path / f"{number:05}.png").write_bytes(tiny)
    monkeypatch.setattr(cli, "PROGRESS_SECONDS", 0.2)
    begun = time.monotonic()
    status, lines, err = screen(model, capsys, tmp_path, "--no-reject")
    assert time.monotonic() - begun < 30
    assert status == cli.ALL_SCREENED and len({line["p_pneumonia"] for line in lines}) == 1
    assert [Path(line["file"]).name for line in lines] == [f"{number:05}.png" for number in range(10_000)]
    assert re.match(r"\d+ of 10000 files\n", err)


def test_the_command_stops_quietly_when_its_reader_has_seen_enough(
    model: Path, film: np.ndarray, tmp_path: Path
) -> None:
    for number in range(300):
        (tmp_path / f"{number}.png").write_bytes(saved(film, "PNG"))
    command = f"{sys.executable} -m cxr_distill.screen.command --model {model} {tmp_path} | head -n 1"
    environment = {**with_path("src"), "PYTHONUNBUFFERED": "1"}
    result = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=60)
    assert len(result.stdout.splitlines()) == 1 and "Traceback" not in result.stderr


def test_screening_opens_no_connection_and_imports_nothing_that_only_training_needs(
    model: Path, film: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "film.dcm").write_bytes(dicom(film))
    command, env = program("screen_offline", model, "film.dcm"), with_path("src")
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True, timeout=60)
    line, modules = result.stdout.splitlines()
    assert ", P = " in line
    heavy = {"torch", "pandas", "scipy", "sklearn", "pydantic", "psutil", "safetensors", "onnx", "yaml", "matplotlib"}
    assert not heavy & set(modules.split())


def test_the_int8_model_is_the_one_that_int8_takes(
    model: Path, film: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "film.png").write_bytes(saved(film, "PNG"))
    monkeypatch.setattr(cli, "_installed_model", lambda name: model.parent / name)
    answers = []
    for words in ([], ["--int8"]):
        assert main([*words, "--json", "--no-reject", str(tmp_path / "film.png")]) == cli.ALL_SCREENED
        answers.append(json.loads(capsys.readouterr().out)["p_pneumonia"])
    _, lines, _ = screen(model.with_name(INT8), capsys, tmp_path / "film.png", "--no-reject")
    assert answers[1] == lines[0]["p_pneumonia"] != answers[0]
