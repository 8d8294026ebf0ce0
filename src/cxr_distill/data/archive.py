"""Kaggle's chest-xray-pneumonia zip, read in place: which entries are images, and what their names say."""

from __future__ import annotations

import csv
import os
import re
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TypeVar
from zipfile import BadZipFile, LargeZipFile, ZipFile, ZipInfo

from tqdm import tqdm

from cxr_distill.base.errors import CxrError

Converted = TypeVar("Converted")

MAX_FILE_BYTES = 64 * 2**20

FOLDER = "chest_xray"
MANIFEST = f"{FOLDER}/films.csv"
"""Only an archive of `cxr-pack` has it. Its columns: PACKED, and those that the user let travel."""
ABOUT = f"{FOLDER}/about.txt"
"""Where the films come from, as its user said."""
PACKED = ("file", "patient", "subtype")
PACKED_SUBTYPES = {"NORMAL": ("normal",), "PNEUMONIA": ("bacterial", "viral")}
"""What the column `subtype` may say, unless it is empty."""

# Only the first copy: the archive holds a second one under chest_xray/chest_xray/, and resource forks in __MACOSX/.
_IMAGE = re.compile(r"chest_xray/(?P<file>(?P<folder>train|val|test)/(?P<label>NORMAL|PNEUMONIA)/(?P<name>[^/]+))")
_NORMAL = re.compile(r"(?P<patient>(?:NORMAL2-)?(?P<coarse>IM-\d+))-.*")
_PNEUMONIA = re.compile(r"(?P<patient>(?P<coarse>person\d+)_(?P<germ>bacteria|virus))_.*")
_SUBTYPES = {"bacteria": "bacterial", "virus": "viral", "": "normal"}


@dataclass(frozen=True)
class Entry:
    """An image of the archive."""

    info: ZipInfo
    file: str  # train/NORMAL/IM-0115-0001.jpeg
    folder: str  # train, val or test, as published
    label: str  # NORMAL or PNEUMONIA
    subtype: str  # normal, bacterial or viral; pneumonia where nobody said which
    patient: str  # finest key that the name gives: person12_virus
    coarse: str  # key that surely keeps a patient together: person12


def open_archive(path: Path) -> ZipFile:
    """The archive for reading. Raises CxrError if it is missing or not a whole zip."""
    try:
        return ZipFile(path)
    except (OSError, BadZipFile, LargeZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise CxrError(f"{path} is not a readable zip ({error}); run `dvc repro -f download`") from error


def list_images(archive: ZipFile, expected: dict[str, dict[str, int]]) -> list[Entry]:
    """The images of the first copy, sorted by file. Raises CxrError for names or counts that do not fit.

    Those of an archive of `cxr-pack` are what its manifest says, whatever is expected.
    """
    if MANIFEST in archive.namelist():
        return _packed(archive)
    entries: list[Entry] = []
    strange: list[str] = []
    for info in archive.infolist():
        match = _IMAGE.fullmatch(info.filename)
        if match is None or match["name"] == ".DS_Store" or match["name"].startswith("._"):
            continue
        pattern = _NORMAL if match["label"] == "NORMAL" else _PNEUMONIA
        name = pattern.fullmatch(match["name"])
        if name is None:
            strange.append(f"{match['file']!r} (name does not tell the patient)")
            continue
        subtype = _SUBTYPES[name.groupdict().get("germ", "")]
        entries.append(
            Entry(info, match["file"], match["folder"], match["label"], subtype, name["patient"], name["coarse"])
        )
    repeated = [file for file, times in Counter(entry.file for entry in entries).items() if times > 1]
    strange += [f"{file!r} (stored more than once)" for file in repeated]
    if strange:
        raise CxrError(f"{len(strange)} unusable names in the archive: {'; '.join(strange)}")
    found = Counter((entry.folder, entry.label) for entry in entries)
    wrong = [
        f"{folder}/{label}: {found[folder, label]} images, expected {count}"
        for folder, labels in expected.items()
        for label, count in labels.items()
        if found[folder, label] != count
    ]
    if wrong:
        raise CxrError(f"not the expected archive (data.expected_counts): {'; '.join(wrong)}")
    return sorted(entries, key=lambda entry: entry.file)


def _packed(archive: ZipFile) -> list[Entry]:
    """The images that the manifest of `cxr-pack` names, sorted by file."""
    try:
        rows = list(csv.DictReader(StringIO(read_file(archive, MANIFEST).decode())))
        films = {info.filename: info for info in archive.infolist() if info.filename not in (MANIFEST, ABOUT)}
        if strange := sorted(set(films) ^ {f"{FOLDER}/{row['file']}" for row in rows}):
            raise CxrError(f"films and manifest of the archive differ: {'; '.join(map(repr, strange))}; pack it again")
        entries = []
        for row in rows:
            folder, label, _ = row["file"].split("/")
            if row["subtype"] not in ("", *PACKED_SUBTYPES[label]):
                raise ValueError(f"{row['file']} of subtype {row['subtype']!r}")
            subtype = row["subtype"] or label.lower()
            info = films[f"{FOLDER}/{row['file']}"]
            entries.append(Entry(info, row["file"], folder, label, subtype, row["patient"], row["patient"]))
    except (KeyError, ValueError, AttributeError, csv.Error) as error:
        raise CxrError(f"the manifest of the archive is damaged ({error}); pack it again") from error
    return sorted(entries, key=lambda entry: entry.file)


def read_about(archive: ZipFile) -> str | None:
    """What the user of `cxr-pack` said about the films. Raises CxrError if that is damaged."""
    try:
        return read_file(archive, ABOUT).decode() if ABOUT in archive.namelist() else None
    except ValueError as error:
        raise CxrError(f"{ABOUT} of the archive is damaged ({error}); pack it again") from error


def read_entry(archive: ZipFile, entry: Entry) -> bytes:
    """The bytes of an image. Raises as `read_file`."""
    return read_file(archive, entry.info)


def read_file(archive: ZipFile, what: ZipInfo | str) -> bytes:
    """The bytes of a file in the archive, at most MAX_FILE_BYTES.

    Raises ValueError with the reason in one line: too large, damaged, of an unknown method, or with a password.
    """
    info = archive.getinfo(what) if isinstance(what, str) else what
    if info.file_size > MAX_FILE_BYTES:
        raise ValueError(f"{info.file_size:,} bytes is too large")
    try:
        with archive.open(info) as file:
            return file.read(MAX_FILE_BYTES)
    except (BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
        raise ValueError(f"unreadable in the zip: {error}") from None
    except Exception as error:  # zlib.error and lzma.LZMAError share no base with the above
        raise ValueError(f"damaged in the zip: {error}") from None


def convert_images(
    path: Path, entries: Sequence[Entry], convert: Callable[[bytes, str], Converted], *, desc: str
) -> list[Converted]:
    """`convert(bytes, file)` of every entry on all cores, in order. Raises CxrError naming every bad file."""
    # Threads, not processes: Pillow's decoder and resizer and hashlib release the interpreter lock, and nothing
    # has to be copied between processes. One handle per slice, since a ZipFile serialises its readers.
    workers = min(os.cpu_count() or 1, len(entries))
    results: dict[int, Converted] = {}
    bad: dict[int, str] = {}
    with tqdm(total=len(entries), desc=desc, unit="image") as progress:

        def work(first: int) -> None:
            with open_archive(path) as archive:
                for number in range(first, len(entries), workers):
                    try:
                        results[number] = convert(read_entry(archive, entries[number]), entries[number].file)
                    except ValueError as error:
                        bad[number] = f"{entries[number].file!r} ({error})"
                    progress.update()

        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, range(workers)))
    if bad:
        reasons = "; ".join(bad[number] for number in sorted(bad))
        raise CxrError(f"{len(bad)} unusable images in the archive: {reasons}")
    return [results[number] for number in range(len(entries))]
