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

    if params.source == "phantom":
        from cxr_distill.data.phantom import PhantomParams, write_archive

        knobs = load_params("data.phantom", PhantomParams).model_dump()
        write_archive(ARCHIVE, params.expected_counts, **knobs)
    elif params.source == "films":
        from cxr_distill.data.films import FilmsParams, copy_films

        wanted = load_params("data.films", FilmsParams).sha256
        copy_films(Path(at_hand).expanduser() if at_hand else None, ARCHIVE, sha256=wanted)
    elif at_hand:
        from cxr_distill.data.source import copy_archive

        copy_archive(Path(at_hand).expanduser(), ARCHIVE)
    else:
        from cxr_distill.data.kaggle import KaggleParams, download_from_kaggle

        kaggle = load_params("data.kaggle", KaggleParams)
        download_from_kaggle(kaggle.dataset, ARCHIVE, version=kaggle.version, partial=Path(".partial/download"))


if __name__ == "__main__":
    run(main)
