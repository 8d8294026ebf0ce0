"""Zip archives with one entry that cannot be read, each for another reason."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

METHODS = {
    "deflated, damaged": zipfile.ZIP_DEFLATED,
    "bzip2, damaged": zipfile.ZIP_BZIP2,
    "lzma, damaged": zipfile.ZIP_LZMA,
    "stored, damaged": zipfile.ZIP_STORED,
}
UNREADABLE = (*METHODS, "of an unknown method", "with a password")


def write_with_bad_entry(path: Path, contents: Mapping[str, bytes], bad: str, how: str) -> None:
    """Write `contents` by name to the archive `path`; the entry `bad` is unreadable: `how` is one of UNREADABLE."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name), content, METHODS.get(how, zipfile.ZIP_STORED))
    with zipfile.ZipFile(path) as archive:
        local, central = archive.getinfo(bad).header_offset, archive.start_dir
    written = bytearray(path.read_bytes())
    central = written.index(bad.encode(), central) - 46
    if how in METHODS:
        start = local + 30 + len(bad)
        for at in range(start + 9 if "lzma" in how else start, start + 40):  # after what names the settings of LZMA
            written[at] ^= 0xFF
    else:
        field, value = (8, 99) if "method" in how else (6, 1)
        for at in (local + field, central + field + 2):
            written[at] = value
    path.write_bytes(written)
