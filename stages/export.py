"""The distilled student as the files that are released, their parity with PyTorch, and the model card."""

import json
from pathlib import Path

from cxr_distill.params.data import DataParams
from cxr_distill.params.release import ReleaseParams
from cxr_distill.params.student import StudentParams
from stages.common import load_params, run

WEIGHTS = Path("models/distilled.safetensors")
RELEASE = Path("release")


def main() -> None:
    params = load_params("release", ReleaseParams)
    student = load_params("student", StudentParams)
    synthetic = load_params("data", DataParams).source == "phantom"

    from cxr_distill.artifacts import file_sha256, read_tensors, write_bytes, write_json
    from cxr_distill.model_card import model_card
    from cxr_distill.models import load_weights
    from cxr_distill.predictions import COLUMNS, read_csv, scored_split
    from cxr_distill.release import check_release, make_release
    from cxr_distill.students import build_student

    net = build_student(student)
    load_weights(net, WEIGHTS)
    images = {
        split: read_tensors(Path(f"data/tensors/{split}.safetensors"))[0]["images"]
        for split in ("train", "val", "test")
    }
    predictions = read_csv(Path("predictions/distilled.csv"), COLUMNS)
    dataset, evaluation = (json.loads(Path(f"metrics/{name}.json").read_text()) for name in ("dataset", "distilled"))
    files, facts = make_release(
        net,
        images["train"],
        images["val"],
        scored_split(predictions, "val"),
        params,
        dataset_sha256=dataset["archive_sha256"],
        weights_sha256=file_sha256(WEIGHTS),
    )
    checked = check_release(files, images["val"], images["test"], scored_split(predictions, "test"), params)

    for name, content in files.items():
        write_bytes(RELEASE / name, content)
    card = model_card(facts, evaluation, dataset, checked, synthetic=synthetic)
    write_bytes(RELEASE / "MODEL_CARD.md", card.encode())
    write_json(Path("metrics/release.json"), checked)


if __name__ == "__main__":
    run(main)
