"""The archive: from Kaggle, from CXR_ARCHIVE, of synthetic films, or of one's own films."""

import os
from pathlib import Path

from cxr_distill.data.source import DataParams
from stages.params import load_params
from stages.running import run

ARCHIVE = Path("data/raw/chest-xray-pneumonia.zip")


def main() -> None:
    params = load_params("data", DataParams)
    at_hand = os.environ.get("CXR_ARCHIVE")

    from cxr_distill.base.files import file_sha256, write_json

    if params.source == "phantom":
        from cxr_distill.data.phantom import PhantomParams, write_archive

        knobs = load_params("data.phantom", PhantomParams).model_dump()
        write_archive(ARCHIVE, params.expected_counts, **knobs)
        origin = "synthetic films"
    elif params.source == "films":
        from cxr_distill.data.films import FilmsParams, copy_films

        wanted = load_params("data.films", FilmsParams).sha256
        copy_films(Path(at_hand).expanduser() if at_hand else None, ARCHIVE, sha256=wanted)
        origin = "films packed with cxr-pack"
    elif at_hand:
        from cxr_distill.data.source import copy_archive

        copy_archive(Path(at_hand).expanduser(), ARCHIVE)
        origin = "an archive at hand (CXR_ARCHIVE)"
    else:
        from cxr_distill.data.kaggle import KaggleParams, download_from_kaggle

        kaggle = load_params("data.kaggle", KaggleParams)
        download_from_kaggle(kaggle.dataset, ARCHIVE, version=kaggle.version, partial=Path(".partial/download"))
        origin = f"Kaggle, {kaggle.dataset}, version {kaggle.version}"
    write_json(Path("data/source.json"), {"origin": origin, "sha256": file_sha256(ARCHIVE)})


if __name__ == "__main__":
    run(main)
