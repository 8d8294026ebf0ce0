"""Films with labels: a CSV table, or the class folders NORMAL/ and PNEUMONIA/."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

from cxr_distill.base.errors import CxrError
from cxr_distill.films.files import is_folder
from cxr_distill.films.header import FACTS, read_header
from cxr_distill.screen.verdicts import find_files

KNOWN = ("file", "label", "patient")
FOLDERS = {"normal": 0, "pneumonia": 1}
LABELS = {"0": 0, "1": 1, **FOLDERS}
"""What a table may say, in lower case -> 0 (normal) or 1 (pneumonia)."""


@dataclass(frozen=True)
class Labelled:
    """A film with its label. `columns`: the other columns of its row; `patient` is None where nothing names one."""

    file: Path
    label: int
    patient: str | None
    columns: dict[str, str]


def read_labelled(source: Path) -> list[Labelled]:
    """The films of a CSV table or of a folder with NORMAL/ and PNEUMONIA/.

    A table needs the columns `file` (relative to the table) and `label` (NORMAL or 0, PNEUMONIA or 1). It may have
    `patient` and any other columns. Upper and lower case are the same; names of columns become lower case. Raises
    CxrError naming every bad row, and if there is no film.
    """
    films = _from_folders(source) if is_folder(source) else _from_table(source)
    if not films:
        raise CxrError(f"{source} names no film")
    return films


def with_headers(films: Sequence[Labelled], wanted: Sequence[str]) -> list[Labelled]:
    """The films with what only a DICOM header says: a patient where none is named, and those of FACTS in `wanted` that
    are no columns."""
    facts = [name for name in wanted if name in FACTS and any(name not in film.columns for film in films)]
    found = []
    for film in films:
        header = read_header(film.file) if film.patient is None or facts else {}
        told = {name: header.get(name, "") for name in facts}
        found.append(replace(film, patient=film.patient or header.get("patient") or None, columns=told | film.columns))
    return found


def _from_folders(source: Path) -> list[Labelled]:
    try:
        found = [path for path in sorted(source.iterdir()) if path.name.lower() in FOLDERS and path.is_dir()]
    except OSError as error:
        raise CxrError(f"cannot read {source}: {error.strerror}") from None
    folders = {path.name.lower(): path for path in found}
    if len(folders) < len(found):
        raise CxrError(f"{source} has two folders of one class: {', '.join(path.name for path in found)}")
    if missing := sorted(set(FOLDERS) - set(folders)):
        raise CxrError(f"{source} has no folder {' and no folder '.join(name.upper() for name in missing)}")
    return [Labelled(file, label, None, {}) for name, label in FOLDERS.items() for file in find_files([folders[name]])]


def _from_table(source: Path) -> list[Labelled]:
    films, bad = [], []
    names, lines = _lines(source)
    for number, cells in lines:
        row = dict(zip(names, cells, strict=False))
        file, label = row.get("file", ""), LABELS.get(row.get("label", "").lower())
        if len(cells) != len(names):
            bad.append(f"row {number} has {len(cells)} cells, the first row has {len(names)}")
        elif not file or "\0" in file:
            bad.append(f"row {number} names no file")
        elif label is None:
            bad.append(f"row {number} ({file}): label {row['label']!r} is not NORMAL, PNEUMONIA, 0 or 1")
        elif row.get("patient") == "":
            bad.append(f"row {number} ({file}) names no patient")
        else:
            others = {name: cell for name, cell in row.items() if name not in KNOWN}
            films.append(Labelled(source.parent / file, label, row.get("patient"), others))
    times = Counter(film.file for film in films)
    bad += [f"{file} stands in {count} rows" for file, count in times.items() if count > 1]
    if bad:
        raise CxrError(f"{source}: {len(bad)} unusable: {'; '.join(map(printable, bad))}")
    return films


def _lines(source: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Names of the columns, and the cells of every row that is not empty with the number of its line."""
    try:
        text = source.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise CxrError(f"{source} is not text in UTF-8; save the table as CSV UTF-8") from None
    except OSError as error:
        raise CxrError(f"cannot read {source}: {error.strerror}") from None
    first = text.split("\n", 1)[0]
    # Spreadsheets in many countries write semicolons.
    reader = csv.reader(StringIO(text), delimiter=";" if ";" in first and "," not in first else ",", strict=True)
    try:
        read = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise CxrError(f"{source}: row {reader.line_num} is not CSV: {error}") from None
    (_, head), *lines = read or [(1, [])]
    names = [name.lower() for name in head]
    if missing := [name for name in ("file", "label") if name not in names]:
        raise CxrError(f"{source} has no column {' and no column '.join(missing)}; its first row must name the columns")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise CxrError(f"{source} has two columns {printable(twice[0])!r}")
    return names, [(number, cells) for number, cells in lines if any(cells)]


def printable(text: str) -> str:
    """The text, with escapes for what a terminal would obey."""
    return text if text.isprintable() else ascii(text)
