"""One bad file must not pass unnoticed, and no patient may stand on both sides of a split."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_films import png_header
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold

from cxr_distill.base.errors import CxrError
from cxr_distill.data.archive import list_images, open_archive
from cxr_distill.data.phantom import write_archive
from cxr_distill.data.preprocess_params import PreprocessParams
from cxr_distill.data.source import SplitCounts
from cxr_distill.data.splits import assign_splits, read_archive
from cxr_distill.films.pixels import decode

COUNTS = SplitCounts.model_validate(
    {
        "train": {"NORMAL": 24, "PNEUMONIA": 40},
        "val": {"NORMAL": 2, "PNEUMONIA": 2},
        "test": {"NORMAL": 8, "PNEUMONIA": 10},
    }
)
PARAMS = PreprocessParams(image_size=32, validation_fraction=0.25, seed=0)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("phantoms") / "a.zip"
    write_archive(path, COUNTS, seed=0)
    return path


def jpeg(seed: int = 0, mode: str = "L") -> bytes:
    noise = np.random.default_rng(seed).integers(0, 255, (40, 50), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(buffer, "JPEG")
    return buffer.getvalue()


def with_changes(source: Path, target: Path, changes: dict[str, bytes]) -> Path:
    """The archive with the content of some entries replaced."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            new.writestr(info.filename, changes.get(info.filename, old.read(info)))
    return target


def first(source: Path, folder: str, number: int = 0) -> str:
    with zipfile.ZipFile(source) as archive:
        images = [n for n in archive.namelist() if n.startswith(f"chest_xray/{folder}/") and n.endswith(".jpeg")]
    return images[number]


def test_phantoms_have_kaggles_layout_and_warts_and_are_the_same_every_time(phantoms: Path, tmp_path: Path) -> None:
    write_archive(tmp_path / "again.zip", COUNTS, seed=0)
    assert (tmp_path / "again.zip").read_bytes() == phantoms.read_bytes()
    write_archive(tmp_path / "other.zip", COUNTS, seed=1)
    assert (tmp_path / "other.zip").read_bytes() != phantoms.read_bytes()
    names = zipfile.ZipFile(phantoms).namelist()
    assert sum(name.endswith(".jpeg") for name in names) == 3 * 86
    assert any("__MACOSX" in name for name in names) and any(".DS_Store" in name for name in names)


def test_every_image_lands_in_one_split_and_no_patient_in_two(phantoms: Path) -> None:
    index, pixels, summary = read_archive(phantoms, PARAMS, COUNTS)
    assert pixels.shape == (86, 32, 32) and pixels.dtype == np.uint8
    assert (index["split"] == "test").sum() == 18 and (index["split"] == "duplicate").sum() == 3
    assert summary["duplicates_kept_out"] == 3 and summary["folders"]["train/PNEUMONIA"] == 40
    coarse = index["patient"].str.replace("NORMAL2-", "").str.replace(r"_\w+$", "", regex=True)
    sides = pd.DataFrame({"split": index["split"], "coarse": coarse})
    sides = sides[sides["split"].isin(["train", "val"])]
    assert sides.groupby("coarse")["split"].nunique().max() == 1
    for split in ("train", "val"):
        assert set(index[index["split"] == split]["subtype"]) == {"normal", "bacterial", "viral"}
    again, pixels_again, _ = read_archive(phantoms, PARAMS, COUNTS)
    assert again.equals(index) and np.array_equal(pixels, pixels_again)


def drawn_index(films: int, *, seed: int) -> pd.DataFrame:
    """An index of so many films; a patient has one to four."""
    random = np.random.default_rng(seed)
    patients = np.repeat(np.arange(films), random.integers(1, 5, films))[:films]
    kinds = random.choice(["normal", "bacterial", "viral"], films, p=[0.27, 0.48, 0.25])[patients]
    return pd.DataFrame({
        "file": [f"{number}.jpeg" for number in range(films)], "subtype": kinds, "split": "train",
        "patient": patients.astype(str), "sha256": [f"{number}" for number in range(films)],
    })  # fmt: skip


@pytest.mark.parametrize("fraction", [0.05, 0.08, 0.1, 0.12, 0.15, 0.2, 0.22, 0.25, 0.28, 0.3, 0.35, 0.4, 0.45, 0.49])
def test_validation_has_the_share_that_was_asked_for(fraction: float) -> None:
    for seed in range(3):
        index = drawn_index(1000, seed=seed)
        split = assign_splits(index, index["patient"], fraction=fraction, seed=seed)
        assert abs((split == "val").mean() - fraction) < 0.03
        assert split.groupby(index["patient"]).nunique().max() == 1
        of_kind = (split == "val").groupby(index["subtype"]).mean()
        assert (of_kind - fraction).abs().max() < 0.05


@pytest.mark.parametrize(("fraction", "folds"), [(0.12, 8), (0.2, 5), (0.25, 4)])
def test_the_splits_in_use_stay_as_they_are(fraction: float, folds: int) -> None:
    index = drawn_index(1000, seed=1)
    kinds = index["subtype"].map(["normal", "bacterial", "viral"].index)
    plain = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
    _, held_out = next(plain.split(index, kinds, index["patient"]))
    split = assign_splits(index, index["patient"], fraction=fraction, seed=0)
    assert np.flatnonzero(split == "val").tolist() == held_out.tolist()


def test_wrong_counts_say_which_folder(phantoms: Path) -> None:
    more = COUNTS.model_copy(update={"val": COUNTS.val.model_copy(update={"NORMAL": 9})})
    with pytest.raises(CxrError, match="val/NORMAL: 2 images, expected 9"):
        read_archive(phantoms, PARAMS, more)


def test_all_unusable_files_are_named_in_one_error(phantoms: Path, tmp_path: Path) -> None:
    bad = {
        first(phantoms, "train/NORMAL", 5): b"",
        first(phantoms, "train/PNEUMONIA", 1): b"I am a text",
        first(phantoms, "train/PNEUMONIA", 2): jpeg()[:400],
        first(phantoms, "test/NORMAL", 1): png_header(40_000, 40_000),
        first(phantoms, "test/PNEUMONIA", 1): b"GIF89a" + bytes(40),
    }
    with pytest.raises(CxrError) as error:
        read_archive(with_changes(phantoms, tmp_path / "bad.zip", bad), PARAMS, COUNTS)
    message = str(error.value)
    assert message.startswith("5 unusable images") and "\n" not in message
    assert all(name.removeprefix("chest_xray/") in message for name in bad)


def test_a_damaged_entry_is_named(phantoms: Path, tmp_path: Path) -> None:
    name = first(phantoms, "test/NORMAL", 1)
    content = bytearray(phantoms.read_bytes())
    offset = zipfile.ZipFile(phantoms).getinfo(name).header_offset
    content[offset + 300] ^= 0xFF
    (tmp_path / "flipped.zip").write_bytes(content)
    with pytest.raises(CxrError, match=name.removeprefix("chest_xray/")):
        read_archive(tmp_path / "flipped.zip", PARAMS, COUNTS)


def test_the_same_image_under_two_labels_is_an_error(phantoms: Path, tmp_path: Path) -> None:
    twins = {first(phantoms, "train/NORMAL", 9): jpeg(1), first(phantoms, "train/PNEUMONIA", 9): jpeg(1)}
    with pytest.raises(CxrError, match="different labels"):
        read_archive(with_changes(phantoms, tmp_path / "twins.zip", twins), PARAMS, COUNTS)


def test_an_archive_without_one_of_the_classes_is_one_clear_error(phantoms: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(phantoms) as old, zipfile.ZipFile(tmp_path / "a.zip", "w") as new:
        for info in old.infolist():
            name = info.filename if "/test/" in info.filename else info.filename.replace("virus", "bacteria")
            new.writestr(name, old.read(info))
    with pytest.raises(CxrError, match=r"train has 0 of viral.*add films$"):
        read_archive(tmp_path / "a.zip", PARAMS, COUNTS)


def test_a_training_image_that_is_also_a_test_image_is_kept_out(phantoms: Path, tmp_path: Path) -> None:
    twins = {first(phantoms, "train/NORMAL", 9): jpeg(2), first(phantoms, "test/NORMAL", 2): jpeg(2)}
    index, _, _ = read_archive(with_changes(phantoms, tmp_path / "leak.zip", twins), PARAMS, COUNTS)
    leaked = index[index["file"] == first(phantoms, "train/NORMAL", 9).removeprefix("chest_xray/")]
    assert list(leaked["split"]) == ["duplicate"]


@pytest.mark.parametrize(
    "name", ["train/NORMAL/holiday.jpeg", "train/PNEUMONIA/person1.jpeg", "train/NORMAL/IM\u2028x.jpeg"]
)
def test_a_name_that_tells_no_patient_is_refused(phantoms: Path, tmp_path: Path, name: str) -> None:
    path = with_changes(phantoms, tmp_path / "names.zip", {})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"chest_xray/{name}", jpeg())
    with open_archive(path) as archive, pytest.raises(CxrError, match="does not tell the patient"):
        list_images(archive, COUNTS.model_dump())


@pytest.mark.parametrize("name", ["../train/NORMAL/IM-1-1.jpeg", "/chest_xray/train/NORMAL/IM-1-1.jpeg", "evil.sh"])
def test_names_outside_the_layout_are_never_touched(phantoms: Path, tmp_path: Path, name: str) -> None:
    path = with_changes(phantoms, tmp_path / "outside.zip", {})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"harm")
    with open_archive(path) as archive:
        assert len(list_images(archive, COUNTS.model_dump())) == 86


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_zip_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    with pytest.raises(CxrError, match="not a readable zip"):
        read_archive(path, PARAMS, COUNTS)


def test_colour_and_grey_copies_of_an_image_decode_alike_and_keep_their_size() -> None:
    grey, colour = (decode(jpeg(mode=mode), size=16) for mode in ("L", "RGB"))
    assert (grey.width, grey.height, grey.mode, colour.mode) == (50, 40, "L", "RGB")
    assert np.abs(grey.pixels.astype(int) - colour.pixels.astype(int)).max() <= 3


def test_a_zip_of_a_version_to_come_is_one_clear_error(phantoms: Path, tmp_path: Path) -> None:
    content = bytearray(phantoms.read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 99  # version needed to extract
    (tmp_path / "new.zip").write_bytes(content)
    with pytest.raises(CxrError, match="not a readable zip"):
        read_archive(tmp_path / "new.zip", PARAMS, COUNTS)
