"""From films with labels to one archive for the pipeline: grey pictures and a manifest, and nothing else of a patient.

The archive has the layout of Kaggle's data set, `chest_xray/SPLIT/LABEL/NAME.png`, and a manifest beside the films.
Names of films and patients are keyed hashes (HMAC-SHA-256); the key is not in the archive.
"""

from __future__ import annotations

import csv
import hmac
import os
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO, StringIO
from itertools import islice
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from PIL import Image
from tqdm import tqdm

from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import file_sha256, whole_file
from cxr_distill.data.archive import ABOUT, FOLDER, MANIFEST, PACKED, PACKED_SUBTYPES
from cxr_distill.films.files import open_film
from cxr_distill.films.pixels import BadPicture
from cxr_distill.site.labels import Labelled, printable

KEY_BYTES = 32
DIGITS = 16
"""Hexadecimal digits of a keyed hash: 64 bits, so that two of a million patients share one with probability 3e-8."""
SPLITS = ("train", "val", "test")
LABELS = ("NORMAL", "PNEUMONIA")


@dataclass(frozen=True)
class Packed:
    """What went into an archive."""

    films: int
    patients: int
    tested: int  # of these, for testing
    copies: int  # exact copies that were left out
    counts: Mapping[str, int]  # by "SPLIT/LABEL"
    sha256: str  # of the archive


def read_key(path: Path, archive: Path) -> bytes:
    """The key in `path`; a new one if there is neither a key nor an archive. Raises CxrError."""
    try:
        text = path.read_text(encoding="ascii").strip()
        key = bytes.fromhex(text)
    except FileNotFoundError:
        if archive.exists():
            raise CxrError(
                f"{archive} exists, but its key {path} does not; name the key with --key, or delete the archive to "
                "start anew with other hashes"
            ) from None
        return _new_key(path)
    except OSError as error:
        raise CxrError(f"cannot read {path}: {error.strerror}") from None
    except ValueError:
        raise CxrError(f"{path} is not a key of cxr-pack") from None
    if len(key) != KEY_BYTES:
        raise CxrError(f"{path} is not a key of cxr-pack")
    return key


def _new_key(path: Path) -> bytes:
    key = secrets.token_bytes(KEY_BYTES)
    with whole_file(path) as beside:
        beside.touch(0o600)
        beside.write_text(key.hex() + "\n")
    return key


def keyed(key: bytes, what: str, value: str) -> str:
    """DIGITS hexadecimal digits that only the owner of the key can calculate from `value`."""
    return hmac.new(key, f"{what}\0{value}".encode(errors="surrogateescape"), sha256).hexdigest()[:DIGITS]


def pack(
    films: Sequence[Labelled], target: Path, *, key: bytes, keep: Sequence[str], test_share: float, about: str = ""
) -> Packed:
    """Write the archive `target`, whole or not at all.

    keep: columns that travel. about: where the films come from, for the model card. test_share: of the patients, if no
    film names a split; a patient stays on the same side when films are added. Raises CxrError naming every film that
    is bad, and if the disk refuses.
    """
    films = _shuffled(films, key)
    given = any(film.columns.get("split") for film in films)
    bad = _contradictions(films, given=given)
    rows: dict[str, list[str]] = {}
    first: dict[str, int] = {}
    copies = 0
    with whole_file(target) as beside, ZipFile(beside, "w", ZIP_STORED) as archive:
        for number, found in enumerate(_encoded(films)):
            film = films[number]
            if isinstance(found, str):
                bad.append(f"{film.file}: {found}")
                continue
            png, digest = found
            if digest in first:
                before = films[first[digest]]
                if before.label != film.label:
                    bad.append(f"{film.file} and {before.file} have the same pixels and different labels")
                elif before.patient != film.patient:
                    bad.append(f"{film.file} and {before.file} have the same pixels and different patients")
                for column in ("split", "subtype"):
                    if film.columns.get(column, "").lower() != before.columns.get(column, "").lower():
                        bad.append(f"{film.file} and {before.file} have the same pixels and different {column}s")
                copies += 1
                continue
            first[digest] = number
            who = ("patient", film.patient) if film.patient is not None else ("film", digest)
            patient = keyed(key, *who)
            # A hash of the patient decides, so that nobody changes sides when films are added.
            drawn = "test" if int(keyed(key, "split", patient), 16) < test_share * 16**DIGITS else "train"
            split = film.columns["split"].lower() if given else drawn
            name = f"{split}/{LABELS[film.label]}/{keyed(key, 'film', digest)}.png"
            rows[name] = [name, patient, film.columns.get("subtype", "").lower(), *(film.columns[k] for k in keep)]
            if not bad:
                _store(archive, f"{FOLDER}/{name}", png)
        if bad:
            raise CxrError(f"{len(bad)} unusable: {'; '.join(map(printable, bad))}")
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*PACKED, *keep])
        writer.writerows(rows[name] for name in sorted(rows))
        _store(archive, MANIFEST, text.getvalue().encode())
        if about:
            _store(archive, ABOUT, about.encode())
    return Packed(
        films=len(rows),
        patients=len({row[1] for row in rows.values()}),
        tested=len({row[1] for name, row in rows.items() if name.startswith("test/")}),
        copies=copies,
        counts=dict(sorted(Counter(name.rpartition("/")[0] for name in rows).items())),
        sha256=file_sha256(target),
    )


def _shuffled(films: Sequence[Labelled], key: bytes) -> list[Labelled]:
    """The films in an order that says nothing of that in the table, which may be by name; the same for the same key
    and files, wherever their folder is."""
    paths = [str(film.file.absolute()) for film in films]
    top = os.path.commonpath(paths)
    order = {path: keyed(key, "order", os.path.relpath(path, top)) for path in paths}
    return [film for _, film in sorted(zip(paths, films, strict=True), key=lambda each: order[each[0]])]


def _contradictions(films: Sequence[Labelled], *, given: bool) -> list[str]:
    """What the table says that cannot be: unknown splits and subtypes, a patient on both sides of a `given` split."""
    bad = []
    sides: dict[str, tuple[str, Path]] = {}
    subtyped = any(film.columns.get("subtype") for film in films)
    for film in films:
        subtype, split = (film.columns.get(name, "").lower() for name in ("subtype", "split"))
        allowed = PACKED_SUBTYPES[LABELS[film.label]] if subtyped else ("",)
        if given and split not in SPLITS:
            bad.append(f"{film.file}: split {split!r} is not train, val or test")
        if subtype not in allowed and not (film.label == 0 and subtype == ""):
            bad.append(f"{film.file}: subtype {subtype!r} is not {' or '.join(allowed)}")
        if given and film.patient is not None:
            side, other = sides.setdefault(film.patient, (split, film.file))
            if side != split:
                bad.append(f"{film.file} and {other} are of one patient, on two sides of the split")
    return bad


def _encoded(films: Sequence[Labelled]) -> Iterator[tuple[bytes, str] | str]:
    """PNG bytes and a hash of the pixels of each film, or why there are none; decoded on all cores, in order."""
    workers = os.cpu_count() or 1
    remaining = iter(films)
    with ThreadPoolExecutor(workers) as pool, tqdm(total=len(films), desc="films", unit="film", disable=None) as bar:
        running: list[Future[tuple[bytes, str] | str]] = []
        try:
            while True:
                running += [pool.submit(_encode, film.file) for film in islice(remaining, 2 * workers - len(running))]
                if not running:
                    return
                yield running.pop(0).result()
                bar.update()
        finally:
            pool.shutdown(cancel_futures=True)


def _encode(file: Path) -> tuple[bytes, str] | str:
    try:
        grey = open_film(file)
    except BadPicture as error:
        return str(error)
    content = BytesIO()
    plain = Image.frombytes("L", grey.size, grey.tobytes())  # without what the file said beside its pixels
    plain.save(content, "PNG")
    return content.getvalue(), sha256(f"{grey.width}x{grey.height}:".encode() + grey.tobytes()).hexdigest()


def _store(archive: ZipFile, name: str, content: bytes) -> None:
    info = ZipInfo(name)  # dated 1980: the same films give the same bytes
    info.external_attr = 0o644 << 16
    archive.writestr(info, content)
