"""Archive to tensors per split, index and summary."""

from pathlib import Path

from cxr_distill.data.preprocess_params import PreprocessParams
from cxr_distill.data.source import DataParams
from stages.params import load_params
from stages.running import run


def main() -> None:
    params = load_params("preprocess", PreprocessParams)
    expected = load_params("data", DataParams).expected_counts

    from cxr_distill.base.files import write_json, write_table
    from cxr_distill.base.labels import class_names
    from cxr_distill.base.tensors import write_tensors
    from cxr_distill.data.splits import read_archive

    index, pixels, summary = read_archive(Path("data/raw/chest-xray-pneumonia.zip"), params, expected)
    labels = index["subtype"].map(class_names(index["subtype"]).index).to_numpy("uint8")
    for split in ("train", "val", "test"):
        rows = (index["split"] == split).to_numpy()
        write_tensors(Path(f"data/tensors/{split}.safetensors"), {"images": pixels[rows], "labels": labels[rows]})
    write_table(Path("data/index.csv"), index)
    write_json(Path("data/dataset.json"), summary)


if __name__ == "__main__":
    run(main)
