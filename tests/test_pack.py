"""An archive that leaves a hospital's disk: the right pixels, one error for a bad table, nothing else of a patient."""

from __future__ import annotations

import csv
import io
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from bad_zips import UNREADABLE, write_with_bad_entry
from conftest import ROOT, program, with_path
from drawn_films import chest, dicom, saved
from earlier_files import write_packed
from PIL import Image

from cxr_distill.base.errors import CxrError
from cxr_distill.data.archive import ABOUT, MANIFEST, list_images, open_archive, read_about, read_entry
from cxr_distill.data.preprocess_params import PreprocessParams
from cxr_distill.data.source import SplitCounts
from cxr_distill.data.splits import read_archive
from cxr_distill.films.formats import read_film
from cxr_distill.films.pixels import decode
from cxr_distill.screen.command import CANNOT_RUN
from cxr_distill.site import pack, pack_command
from demo.workspace import changes, environment, make_workspace, merge

MARKER = "MARKER"
COUNTS = SplitCounts.model_validate({split: {"NORMAL": 1, "PNEUMONIA": 1} for split in ("train", "val", "test")})


def row_of(number: int) -> dict[str, str]:
    kind = ("", "bacterial", "viral")[number % 3]
    label = "PNEUMONIA" if kind else "normal"
    return {"file": f"{number}.dcm", "label": label, "subtype": kind, "patient": f"{MARKER}{number // 2}", "sex": "F"}


def write_table(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty DICOM films of thirty patients, whose headers hold MARKER in every text, and their table."""
    folder = tmp_path_factory.mktemp("films")
    texts = (
        "PatientName",
        "PatientID",
        "PatientComments",
        "InstitutionName",
        "ReferringPhysicianName",
        "StudyDescription",
    )
    texts = dict.fromkeys((*texts, "AccessionNumber", "OperatorsName", "ImageComments", "StationName"), MARKER)
    for number in range(60):
        (folder / f"{number}.dcm").write_bytes(dicom(chest(number), **texts, PatientAge="034Y", PatientSex="F"))
    write_table(folder / "labels.csv", [row_of(number) for number in range(60)])
    return folder


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = pack_command.main([str(word) for word in words])
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    return status, output.out, output.err


def manifest(archive: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(zipfile.ZipFile(archive).read(MANIFEST).decode())))


def test_the_archive_holds_the_pixels_the_labels_and_hashes_of_the_patients(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said, _ = run(capsys, films / "labels.csv", "-o", tmp_path / "a.zip")
    assert status == 0 and "60 films of 30 patients" in said and "burned into the pixels was not removed" in said
    (tmp_path / "known.key").write_text("00" * 32)  # with a new one, now and then nobody is for testing
    known = run(capsys, films / "labels.csv", "-o", tmp_path / "known.zip")[1]
    assert "patients for testing are few: an accuracy is uncertain by up to 0." in known
    assert (tmp_path / "a.key").stat().st_mode & 0o077 == 0
    with open_archive(tmp_path / "a.zip") as archive:
        entries = list_images(archive, {})
        found = {decode(read_entry(archive, entry), size=32).sha256: entry for entry in entries}
    by_patient: dict[str, set[str]] = {}
    for number in range(60):
        row = row_of(number)
        png = saved(np.asarray(read_film((films / row["file"]).read_bytes())), "PNG")
        entry = found[decode(png, size=32).sha256]
        assert entry.label == row["label"].upper() and entry.subtype == (row["subtype"] or "normal")
        by_patient.setdefault(row["patient"], set()).add(f"{entry.patient} {entry.folder}")
    assert len(by_patient) == 30 and all(len(one) == 1 for one in by_patient.values())
    assert len(set.union(*by_patient.values())) == 30
    assert {entry.folder for entry in entries} == {"train", "test"}
    assert set(manifest(tmp_path / "a.zip")[0]) == {"file", "patient", "subtype"}


def test_nothing_of_a_patient_is_in_the_archive_but_what_was_asked_for(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (films / "labels.csv", "--keep", "sex", "--keep", "age", "-o", tmp_path / "a.zip")
    status, said, err = run(capsys, *words)
    assert status == 0 and MARKER not in said + err
    archive = zipfile.ZipFile(tmp_path / "a.zip")
    for info in archive.infolist():
        content = archive.read(info)
        assert MARKER.encode() not in content and MARKER not in info.filename and not info.comment and not info.extra
        if info.filename != MANIFEST:
            picture = Image.open(io.BytesIO(content))
            assert picture.mode == "L" and not picture.info and not picture.getexif()
    rows = manifest(tmp_path / "a.zip")
    assert {row["age"] for row in rows} == {"18-39"} and {row["sex"] for row in rows} == {"F"}
    assert archive.comment == b""


def test_the_same_key_gives_the_same_bytes_and_another_key_other_names(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = films / "labels.csv"
    for name, key in (("a", "a"), ("b", "a"), ("c", "c")):
        assert run(capsys, labels, "-o", tmp_path / f"{name}.zip", "--key", tmp_path / f"{key}.key")[0] == 0
    a, b, c = ((tmp_path / f"{name}.zip").read_bytes() for name in "abc")
    assert a == b != c
    rows, others = manifest(tmp_path / "a.zip"), manifest(tmp_path / "c.zip")
    assert not {row["patient"] for row in rows} & {row["patient"] for row in others}


def test_who_is_tested_stays_so_when_films_are_added_and_a_given_split_is_kept(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {}
    for count in (40, 60):
        table = write_table(films / f"first{count}.csv", [row_of(number) for number in range(count)])
        assert run(capsys, table, "-o", tmp_path / f"{count}.zip", "--key", tmp_path / "key")[0] == 0
        places[count] = {row["patient"]: row["file"].split("/")[0] for row in manifest(tmp_path / f"{count}.zip")}
    assert places[40].items() <= places[60].items()
    split = [{**row_of(number), "Split": "Test" if number < 10 else "train"} for number in range(40)]
    assert run(capsys, write_table(films / "split.csv", split), "-o", tmp_path / "given.zip")[0] == 0
    assert sum(row["file"].startswith("test/") for row in manifest(tmp_path / "given.zip")) == 10


def rows(**changed: Any) -> list[dict[str, str]]:
    """Four rows of a table; changed: column -> value of the last row, or a list of all four values."""
    four = [{**row_of(number), "split": "train"} for number in range(4)]
    for name, value in changed.items():
        for number, cell in enumerate(value if isinstance(value, list) else [four[0].get(name), *[None] * 2, value]):
            if cell is not None:
                four[number][name] = cell
    return four


BAD: dict[str, tuple[list[dict[str, str]], str]] = {
    "unknown split": (rows(split="tests"), "split 'tests' is not train, val or test"),
    "a split that is missing": (rows(split=["test", "test", "train", ""]), "split '' is not"),
    "a patient on two sides": (rows(split=["train", "test", "train", "train"]), "of one patient, on two sides"),
    "unknown subtype": (rows(subtype=["", "bacterial", "fungal", ""]), "'fungal' is not bacterial or viral"),
    "a normal film with a germ": (rows(subtype=["viral", "bacterial", "viral", ""]), "'viral' is not normal"),
    "a subtype that is missing": (rows(subtype=["", "", "viral", ""]), "'' is not bacterial or viral"),
    "unknown label": (rows(label="ill"), "'ill' is not NORMAL"),
    "a file that is missing": (rows(file="gone.dcm"), "gone.dcm: no such file"),
    "a file that is no film": (rows(file="labels.csv"), "labels.csv: not a JPEG"),
    "a folder": (rows(file="."), ": is a folder"),
    "a file twice": (rows(file="2.dcm"), "2.dcm stands in 2 rows"),
    "the same pixels, two labels": (rows(file="copy of 1.dcm"), "the same pixels and different labels"),
    "the same pixels, two patients": (
        rows(file="copy of 2.dcm", label="1", subtype="viral", patient="else"),
        "the same pixels and different patients",
    ),
    "the same pixels, two splits": (
        rows(
            file="copy of 2.dcm",
            label="1",
            subtype="viral",
            patient=row_of(2)["patient"],
            split=["train", "train", "train", "test"],
        ),
        "on two sides of the split",
    ),
    "the same pixels, two subtypes": (
        rows(file="copy of 2.dcm", label="1", subtype="bacterial", patient=row_of(2)["patient"]),
        "the same pixels and different subtypes",
    ),
    "two faults": (rows(label="ill", file=["gone.dcm", None, None, None]), "'ill' is not NORMAL"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_table_is_one_line_and_leaves_no_archive(
    name: str, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2):
        (films / f"copy of {number}.dcm").write_bytes((films / f"{number}.dcm").read_bytes())
    table, expected = BAD[name]
    status, said, err = run(capsys, write_table(films / "bad.csv", table), "-o", tmp_path / "a.zip")
    assert status == CANNOT_RUN and said == ""
    last = err.splitlines()[-1]
    assert last.startswith("error: ") and expected.lower() in last.lower()
    assert not list(tmp_path.glob("*.zip*")) and not list(tmp_path.glob(".*"))


def test_every_bad_film_is_named_at_once(films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = [{**row_of(number), "file": f"gone {number}.dcm"} for number in range(30)]
    _, _, err = run(capsys, write_table(films / "many.csv", table), "-o", tmp_path / "a.zip")
    assert all(f"gone {number}.dcm: no such file" in err.splitlines()[-1] for number in range(30))


def test_keys_that_are_lost_or_wrong_are_one_line_and_change_nothing(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels, archive, key = films / "labels.csv", tmp_path / "a.zip", tmp_path / "a.key"
    assert run(capsys, labels, "-o", archive)[0] == 0
    before = archive.read_bytes()
    whole = key.read_text()
    for content, expected in ((None, "exists, but its key"), ("", "is not a key"), ("zz" * 32, "is not a key"),
                              (whole[:20], "is not a key"), ("ä" * 64, "is not a key")):  # fmt: skip
        key.unlink(missing_ok=True)
        if content is not None:
            key.write_text(content)
        status, _, err = run(capsys, labels, "-o", archive)
        assert status == CANNOT_RUN and expected in err and archive.read_bytes() == before
    key.unlink()
    key.mkdir()
    assert "cannot read" in run(capsys, labels, "-o", archive)[2]
    key.rmdir()
    key.write_text(whole)
    assert run(capsys, labels, "-o", archive)[0] == 0 and archive.read_bytes() == before


def test_copies_are_left_out_and_columns_that_are_not_there_are_one_line(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (films / "copy of 3.dcm").write_bytes((films / "3.dcm").read_bytes())
    table = write_table(films / "copies.csv", [*(row_of(n) for n in range(6)), {**row_of(3), "file": "copy of 3.dcm"}])
    status, said, _ = run(capsys, table, "-o", tmp_path / "a.zip")
    assert status == 0 and "1 exact copies were left out" in said and len(manifest(tmp_path / "a.zip")) == 6
    assert "has no column 'ward'" in run(capsys, table, "-o", tmp_path / "b.zip", "--keep", "ward")[2]
    assert "cannot write" in run(capsys, table, "-o", films / "labels.csv" / "a.zip", "--key", tmp_path / "a.key")[2]
    assert "is a folder" in run(capsys, table, "-o", tmp_path)[2]


def test_the_archive_never_takes_the_place_of_its_key(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["-o", tmp_path / "a.key"], ["-o", tmp_path / "a.zip", "--key", tmp_path / "a.zip"]):
        status, _, err = run(capsys, films / "labels.csv", *words)
        assert status == CANNOT_RUN and "would take the place of the key" in err
    assert not list(tmp_path.iterdir())


def test_the_order_in_the_archive_says_nothing_of_that_in_the_table(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def stored(folder: Path, table: Path, name: str) -> list[int]:
        """Numbers of the films in the order of the archive."""
        assert run(capsys, table, "-o", tmp_path / name, "--key", tmp_path / "a.key")[0] == 0
        pixels = {saved(np.asarray(read_film((folder / f"{n}.dcm").read_bytes())), "PNG"): n for n in range(60)}
        archive = zipfile.ZipFile(tmp_path / name)
        return [pixels[archive.read(entry)] for entry in archive.namelist() if entry.endswith(".png")]

    order = stored(films, films / "labels.csv", "a.zip")
    assert sorted(order) == list(range(60)) and abs(np.corrcoef(order, range(60))[0, 1]) < 0.5
    backwards = write_table(films / "backwards.csv", [row_of(number) for number in reversed(range(60))])
    assert stored(films, backwards, "b.zip") == order
    moved = shutil.copytree(films, tmp_path / "elsewhere")
    stored(moved, moved / "labels.csv", "c.zip")
    assert len({(tmp_path / name).read_bytes() for name in ("a.zip", "b.zip", "c.zip")}) == 1


def test_two_folders_of_one_class_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("NORMAL", "normal", "PNEUMONIA"):
        (tmp_path / name).mkdir()
    assert "two folders of one class" in run(capsys, tmp_path, "-o", tmp_path / "a.zip")[2]


@pytest.mark.slow
def test_an_interrupted_packing_leaves_nothing_and_a_killed_one_no_archive(films: Path, tmp_path: Path) -> None:
    command, variables = program("slow_pack", films / "labels.csv", "-o", tmp_path / "a.zip"), with_path("src")
    for sent, left in ((signal.SIGINT, 0), (signal.SIGKILL, 1)):
        process = subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True, start_new_session=True)
        while not list(tmp_path.glob(".a.zip*")) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(sent)
        _, err = process.communicate(timeout=60)
        assert process.returncode != 0 and "Traceback" not in err and not (tmp_path / "a.zip").exists()
        assert len(list(tmp_path.glob(".a.zip*"))) == left
    assert subprocess.run(command, env=variables, capture_output=True).returncode == 0
    assert len(manifest(tmp_path / "a.zip")) == 60


def test_films_that_vanish_while_they_are_packed_are_named_and_leave_no_archive(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "films"
    shutil.copytree(films, mine)
    store = pack._store

    def vanishing(*film: Any) -> None:
        for number in range(40, 60):
            (mine / f"{number}.dcm").unlink(missing_ok=True)
        store(*film)

    monkeypatch.setattr(pack, "_store", vanishing)
    status, said, err = run(capsys, mine / "labels.csv", "-o", tmp_path / "a.zip")
    assert status == CANNOT_RUN and said == "" and "59.dcm: no such file or directory" in err.splitlines()[-1]
    assert not list(tmp_path.glob("*.zip*")) and not list(tmp_path.glob(".*"))


def in_little_space(folder: Path, kilobytes: int, *command: object) -> subprocess.CompletedProcess[str]:
    """The command, with `folder` on a disk of its own that is soon full; what is left there goes to `left`."""
    words = ["bash", ROOT / "tests/programs/little_space.sh", folder, kilobytes, *command]
    own_mounts = ["unshare", "--map-root-user", "--mount", *map(str, words)]
    result = subprocess.run(own_mounts, env=with_path("src"), capture_output=True, text=True)
    if result.returncode in (1, 77) and ("unshare:" in result.stderr or "mount:" in result.stderr):
        pytest.skip("this system gives no mount to a user")
    return result


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a small disk for one process needs Linux")
def test_a_full_disk_is_one_line_and_leaves_nothing(films: Path, released: dict[str, bytes], tmp_path: Path) -> None:
    small, model = tmp_path / "small", tmp_path / "model.onnx"
    small.mkdir()
    model.write_bytes(released["cxr-distill.onnx"])
    pack_it = [sys.executable, "-m", "cxr_distill.site.pack_command", films / "labels.csv", "-o", small / "a.zip"]
    key = ["--key", tmp_path / "a.key"]
    evaluate = [sys.executable, "-m", "cxr_distill.site.command", films / "labels.csv", "--model", model]
    for command in ([*pack_it, *key], [*evaluate, "-o", small]):
        room = 64 if command[2].endswith("pack_command") else 4
        result = in_little_space(small, room, *command)
        assert result.returncode == CANNOT_RUN and "Traceback" not in result.stderr, result.stderr
        assert "no space left" in result.stderr.splitlines()[-1].lower() and "error: " in result.stderr.splitlines()[-1]
        assert result.stdout == ""


def test_an_archive_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    png = saved(chest(), "PNG")
    write_packed(tmp_path / "a.zip", png)
    with open_archive(tmp_path / "a.zip") as archive:
        entries = list_images(archive, {"train": {"NORMAL": 1341}})
        assert [(entry.folder, entry.label, entry.subtype, entry.patient) for entry in entries] == [
            ("test", "PNEUMONIA", "viral", "5d2e8f7a90b1c346"),
            ("train", "NORMAL", "normal", "e4a7c1b83f65d209"),
            ("val", "PNEUMONIA", "bacterial", "07b9d4e6c2f8a135"),
        ]
        assert {read_entry(archive, entry) for entry in entries} == {png}
        assert read_about(archive) == "adults, St. Ann, 2019 to 2024"


@pytest.mark.parametrize("how", UNREADABLE)
@pytest.mark.parametrize("name", [MANIFEST, ABOUT])
def test_an_archive_that_does_not_give_its_texts_is_one_error(tmp_path: Path, name: str, how: str) -> None:
    table = b"file,patient,subtype\n" + b"".join(b"train/NORMAL/%d.png,%d,\n" % (n, n) for n in range(30))
    films = {f"chest_xray/train/NORMAL/{number}.png": b"" for number in range(30)}
    write_with_bad_entry(tmp_path / "a.zip", {**films, MANIFEST: table, ABOUT: table}, name, how)
    params = PreprocessParams(image_size=32, validation_fraction=0.25, seed=0)
    with pytest.raises(CxrError, match=r"^[^\n]*damaged \([^\n]* in the zip: [^\n]*\); pack it again$"):
        read_archive(tmp_path / "a.zip", params, COUNTS)


def test_a_manifest_that_does_not_fit_its_films_is_one_error(films: Path, tmp_path: Path, capsys: Any) -> None:
    status, said, _ = run(capsys, films / "labels.csv", "-o", tmp_path / "a.zip")
    assert status == 0 and "a.key is a new key" in said
    assert "new key" not in run(capsys, films / "labels.csv", "-o", tmp_path / "a.zip")[1]
    good = zipfile.ZipFile(tmp_path / "a.zip")
    table = good.read(MANIFEST).decode()
    first = table.splitlines()[1]
    wrong = ["", "\0", table + "x\n", table + "train/NORMAL/x.png,1,\n", table.replace(first + "\n", "")]
    for changed in [*wrong, table.replace("file", "files", 1), table.replace("bacterial", "fungal")]:
        with zipfile.ZipFile(tmp_path / "bad.zip", "w") as bad:
            for name in good.namelist():
                bad.writestr(name, changed if name == MANIFEST else good.read(name))
        with open_archive(tmp_path / "bad.zip") as archive, pytest.raises(CxrError) as error:
            list_images(archive, {})
        assert "\n" not in str(error.value)


def test_the_pipeline_takes_the_archive_and_notices_another_one(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, said, _ = run(capsys, films / "labels.csv", "-o", tmp_path / "a.zip")
    sha256 = said.split("SHA-256 ")[1].split()[0]
    repo = tmp_path / "repo"
    make_workspace(repo, merge(changes("tiny"), {"data": {"source": "films", "films": {"sha256": sha256}}}))
    (repo / ".dvc/config.local").write_text("[core]\n    no_scm = true\n")
    variables = {**environment(), "CXR_ARCHIVE": str(tmp_path / "a.zip")}
    command = ["dvc", "repro", "download"]
    subprocess.run(command, cwd=repo, env=variables, capture_output=True, check=True)
    assert (repo / "data/raw/chest-xray-pneumonia.zip").read_bytes() == (tmp_path / "a.zip").read_bytes()
    params = (repo / "params.yaml").read_text()
    (repo / "params.yaml").write_text(params.replace(sha256, "f" * 64))
    refused = subprocess.run(command, cwd=repo, env=variables, capture_output=True, text=True)
    assert refused.returncode != 0 and "data.films.sha256 is ffff" in refused.stdout + refused.stderr


def test_the_lung_finder_that_is_shipped_is_that_of_the_committed_run() -> None:
    from hashlib import md5

    lock = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]["find_lungs"]["outs"]
    (weights,) = (out["md5"] for out in lock if out["path"] == "models/lung_finder.safetensors")
    assert md5((ROOT / "src/cxr_distill/lungs/finder.safetensors").read_bytes()).hexdigest() == weights
