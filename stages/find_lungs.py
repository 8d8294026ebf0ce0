"""Where the lungs lie in every film: published boxes, and for films that have none, those of a small network."""

from pathlib import Path

from cxr_distill.lungs.params import LungParams
from cxr_distill.nets.common.params import TrainerParams, ViewParams
from stages import resuming
from stages.params import load_params
from stages.running import run

ARCHIVE = Path("data/raw/chest-xray-pneumonia.zip")
WEIGHTS = Path("models/lung_finder.safetensors")
SPLITS = ("train", "val", "test")


def main() -> None:
    params = load_params("lungs", LungParams)
    views = load_params("views", ViewParams)
    trainer = load_params("trainer", TrainerParams)

    from cxr_distill.base.files import write_json
    from cxr_distill.base.tables import read_index
    from cxr_distill.base.tensors import read_tensors, write_tensors
    from cxr_distill.lungs.boxes import agreement, boxes_of, count_missing, filled, read_boxes
    from cxr_distill.lungs.finder import find_boxes, shipped_finder, train_finder
    from cxr_distill.nets.common.layers import count_parameters, write_weights
    from cxr_distill.nets.common.precision import device_of

    device = device_of(trainer)
    index, table = read_index(Path("data/index.csv")), read_boxes(ARCHIVE)
    tensors = {split: read_tensors(Path(f"data/tensors/{split}.safetensors"))[0] for split in SPLITS}
    known = {split: boxes_of(index.loc[index["split"] == split, "file"], table) for split in SPLITS}
    images = tensors["train"]["images"]
    if any(count_missing(boxes) < len(boxes) for boxes in known.values()):
        net = train_finder(params, images, known["train"], views, trainer, resume=resuming.start("lung_finder"))
    else:
        print("No film of this archive has a box of its lungs: the lung finder that this project ships gives them.")
        net = shipped_finder(params, side=images.shape[-1])
    found = {split: find_boxes(net, tensors[split]["images"], device=device) for split in SPLITS}
    for split in SPLITS:
        boxes = filled(known[split], found[split])
        write_tensors(Path(f"data/film/{split}.safetensors"), {**tensors[split], "boxes": boxes})
    write_weights(net, WEIGHTS)
    write_json(
        Path("data/lungs.json"),
        {
            "parameters": count_parameters(net),
            "validation": agreement(known["val"], found["val"])
            if count_missing(known["val"]) < len(found["val"])
            else None,
            "without_a_published_box": {split: count_missing(known[split]) for split in SPLITS},
        },
    )
    resuming.finish("lung_finder", WEIGHTS)


if __name__ == "__main__":
    run(main)
