"""Get an archive of one's own films, which `cxr-pack` made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import file_sha256
from cxr_distill.base.params import Params
from cxr_distill.data.source import copy_archive


class FilmsParams(Params):
    """Section `data.films`: which archive it is, so that one that was packed again is noticed."""

    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]


def copy_films(source: Path | None, target: Path, *, sha256: str) -> None:
    """Copy the archive, whole or not at all. Raises CxrError if it is not the one with this hash."""
    if source is None:
        raise CxrError("set CXR_ARCHIVE to the archive that cxr-pack wrote")
    try:
        found = file_sha256(source)
    except OSError as error:
        raise CxrError(f"cannot read {source}: {error.strerror}; set CXR_ARCHIVE to the archive of cxr-pack") from None
    if found != sha256:
        raise CxrError(f"{source} has SHA-256 {found}, data.films.sha256 is {sha256 or 'empty'}; set it in params.yaml")
    copy_archive(source, target)
