"""The lungs cut out of every full-size film, for a teacher that sees lungs (`teacher.sees`)."""

from functools import partial
from pathlib import Path

from cxr_distill.nets.teacher.params import TeacherParams
from stages.params import load_params
from stages.running import run

ARCHIVE = Path("data/raw/chest-xray-pneumonia.zip")


def main() -> None:
    size = load_params("teacher", TeacherParams).image_size

    import numpy as np

    from cxr_distill.base.tables import read_index
    from cxr_distill.base.tensors import read_tensors, write_tensors
    from cxr_distill.data.archive import convert_images, list_images, open_archive
    from cxr_distill.films.cut_lungs import cut_lungs

    index = read_index(Path("data/index.csv"))
    with open_archive(ARCHIVE) as archive:
        entries = {entry.file: entry for entry in list_images(archive, {})}
    for split in ("train", "val", "test"):
        films = Path(f"data/film/{split}.safetensors")
        tensors, _ = read_tensors(films)
        files = index.loc[index["split"] == split, "file"].tolist()
        boxes = dict(zip(files, map(tuple, tensors["boxes"].tolist()), strict=True))

        lungs = convert_images(
            ARCHIVE,
            [entries[file] for file in files],
            partial(cut_lungs, boxes, size),
            desc=f"cut out the lungs, {split}",
        )
        write_tensors(
            Path(f"data/lungs/{split}.safetensors"),
            {"images": np.stack(lungs), "labels": tensors["labels"]},
        )


if __name__ == "__main__":
    run(main)
