"""Whatever bytes, names or values come in: a result or one line of error, nothing else. `make fuzz` runs it longer."""

from __future__ import annotations

import io
import os
import zipfile
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import ROOT
from drawn_films import chest, containers, jpeg_dicom
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cxr_distill.base.errors import CxrError
from cxr_distill.base.params import parse
from cxr_distill.data.archive import list_images, open_archive
from cxr_distill.data.phantom import write_archive
from cxr_distill.data.preprocess_params import PreprocessParams
from cxr_distill.data.source import DataParams, SplitCounts
from cxr_distill.data.splits import read_archive
from cxr_distill.distill.params import DistillParams
from cxr_distill.evaluation.params import EvaluateParams
from cxr_distill.films.formats import read_film
from cxr_distill.films.pixels import BadPicture, decode
from cxr_distill.nets.common.params import BalanceParams, TrainerParams, ViewParams
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.nets.teacher.params import TeacherParams
from cxr_distill.release.params import ReleaseParams

BASIC = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
settings.register_profile("quick", BASIC, max_examples=40, derandomize=True)
settings.register_profile("fuzz", BASIC, max_examples=2000)
settings.load_profile(os.environ.get("CXR_FUZZ", "quick"))

EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), st.binary(max_size=8)), min_size=1, max_size=6)
NAME = r"(chest_xray/){0,2}(train|\.\.)/(NORMAL|PNEUMONIA)/(IM-|person)\d{0,3}.{0,6}\.jpeg"
SECTIONS = {
    "data": DataParams,
    "preprocess": PreprocessParams,
    "views": ViewParams,
    "balance": BalanceParams,
    "teacher": TeacherParams,
    "student": StudentParams,
    "distill": DistillParams,
    "trainer": TrainerParams,
    "evaluate": EvaluateParams,
    "release": ReleaseParams,
}
COUNTS = SplitCounts.model_validate(
    {split: {"NORMAL": 3, "PNEUMONIA": 5} if split == "train" else {"NORMAL": 1, "PNEUMONIA": 1}
     for split in ("train", "val", "test")}
)  # fmt: skip
PARAMS = PreprocessParams(image_size=16, validation_fraction=0.4, seed=0)


def edited(content: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    """`content` with bytes overwritten, inserted, deleted, repeated or cut off at some places."""
    for share, kind, new in edits:
        at = int(share * len(content))
        tail = {0: content[at + len(new) :], 1: content[at:], 2: content[at + 1 :], 3: content[at // 2 :], 4: b""}[kind]
        content = content[:at] + new + tail
    return content


def one_line(error: Exception) -> bool:
    return len(str(error).splitlines()) == 1


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "a.zip"
    write_archive(path, COUNTS, seed=0)
    return path.read_bytes()


@given(edits=EDITS)
def test_a_damaged_archive(tmp_path_factory: pytest.TempPathFactory, whole: bytes, edits: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = folder / "a.zip"
    path.write_bytes(edited(whole, edits))
    try:
        index, pixels, _ = read_archive(path, PARAMS, COUNTS)
        assert len(index) == len(pixels) == 12
    except CxrError as error:
        assert one_line(error)
    assert list(folder.iterdir()) == [path]


@given(
    names=st.lists(
        st.one_of(
            st.text(max_size=20),
            st.from_regex(NAME, fullmatch=True),
        ).map(lambda name: name.encode(errors="ignore").decode()),
        max_size=8,
    )
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_any_names_in_an_archive(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    path = tmp_path_factory.mktemp("names") / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name[:200] or "x"), b"content")
    with open_archive(path) as archive:
        try:
            for entry in list_images(archive, {}):
                assert entry.patient and entry.coarse and ".." not in entry.file.split("/")
        except CxrError as error:
            assert one_line(error)


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    noise = np.random.default_rng(0).integers(0, 255, (24, 30, 3), dtype=np.uint8)
    contents = []
    for mode, kind in (("L", "JPEG"), ("RGB", "JPEG"), ("CMYK", "JPEG"), ("L", "PNG"), ("RGBA", "PNG"), ("P", "PNG"),
                       ("I;16", "PNG"), ("1", "PNG"), ("RGB", "GIF"), ("RGB", "TIFF"), ("RGB", "BMP")):  # fmt: skip
        buffer = io.BytesIO()
        Image.fromarray(noise).convert("L" if mode == "I;16" else mode).convert(mode).save(buffer, kind)
        contents.append(buffer.getvalue())
    return contents


@given(number=st.integers(0, 10), edits=EDITS)
def test_a_damaged_picture(pictures: list[bytes], number: int, edits: list[Any]) -> None:
    try:
        decoded = decode(edited(pictures[number], edits), size=16)
        assert decoded.pixels.shape == (16, 16) and decoded.pixels.dtype == np.uint8
    except ValueError as error:
        assert one_line(error)


@pytest.fixture(scope="module")
def films() -> list[bytes]:
    grey = chest()[::3, ::3]
    return [*containers(grey).values(), *jpeg_dicom(grey)]


@given(number=st.integers(0, 100), edits=EDITS)
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_film(films: list[bytes], number: int, edits: list[Any]) -> None:
    try:
        film = read_film(edited(films[number % len(films)], edits))
        assert film.mode == "L" and min(film.size) >= 32
    except BadPicture as error:
        assert one_line(error) and str(error).isprintable()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(section=st.sampled_from(sorted(SECTIONS)), changes=st.dictionaries(st.text(max_size=6), VALUES, max_size=2),
       chosen=st.integers(0, 20), value=VALUES)  # fmt: skip
def test_any_values_of_parameters(section: str, changes: dict[str, Any], chosen: int, value: object) -> None:
    values = dict(yaml.safe_load((ROOT / "params.yaml").read_text())[section])
    values[sorted(values)[chosen % len(values)]] = value
    try:
        parse(SECTIONS[section], values | changes, section)
    except CxrError as error:
        assert one_line(error) and section in str(error)


@given(text=st.text(max_size=200) | st.binary(max_size=200))
def test_any_text_as_params_yaml(tmp_path_factory: pytest.TempPathFactory, text: str | bytes) -> None:
    from stages.params import load_params

    folder = tmp_path_factory.mktemp("params")
    (folder / "params.yaml").write_bytes(text if isinstance(text, bytes) else text.encode(errors="replace"))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(CxrError) as error:
        patch.chdir(folder)
        load_params("distill", DistillParams)
    assert one_line(error.value)
