"""The few facts of a DICOM header that an evaluation may need. They are never shown and never kept unasked."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path

from cxr_distill.films.dicom import inflated, is_dicom

FACTS = ("age", "sex", "view", "device")
"""What a user may ask for by name: age band in years, sex, view position, model of the device."""
BANDS = ((5, "0-4"), (18, "5-17"), (40, "18-39"), (65, "40-64"), (200, "65 and over"))
START = 4 << 20
"""Bytes of a file that are read: what is asked for stands before the pixels."""
LAST = 0x00185101  # the tag with the highest number in TAGS: ViewPosition
TAGS = ["PatientID", "PatientAge", "PatientSex", "ViewPosition", "Manufacturer", "ManufacturerModelName"]


def read_header(file: Path) -> dict[str, str]:
    """`patient` and FACTS of a DICOM file, each empty if the header does not say; {} if it is no readable DICOM."""
    try:
        if not file.is_file():  # a pipe would block
            return {}
        with file.open("rb") as opened:
            start = opened.read(START)
        if not is_dicom(start):
            return {}
        from pydicom.filereader import read_partial
        from pydicom.tag import Tag

        header = read_partial(
            BytesIO(inflated(start)), lambda tag, *_: tag > LAST, force=True, specific_tags=[Tag(name) for name in TAGS]
        )
        told = {tag: " ".join(str(header.get(tag) or "").split()) for tag in TAGS}
    except Exception:  # on damaged bytes pydicom raises many kinds of exceptions; screening names the file
        return {}
    return {
        "patient": told["PatientID"],
        "age": _band(told["PatientAge"]),
        "sex": told["PatientSex"],
        "view": told["ViewPosition"],
        "device": " ".join(filter(None, (told["Manufacturer"], told["ManufacturerModelName"]))),
    }


def _band(age: str) -> str:
    """The band of an age as DICOM writes it: 034Y, 018M, 003W or 010D (PS3.5, value representation AS)."""
    match = re.fullmatch(r"(\d{3})([DWMY])", age)
    if match is None:
        return ""
    years = int(match[1]) / {"D": 365, "W": 52, "M": 12, "Y": 1}[match[2]]
    return next((band for end, band in BANDS if years < end), "")
