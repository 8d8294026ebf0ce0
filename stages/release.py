"""Release the distilled student: two ONNX files, and a check that they answer as PyTorch does."""

import json
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

from cxr_distill.nets.student.params import StudentParams
from cxr_distill.release.params import ReleaseParams
from stages.params import load_params
from stages.running import run

WEIGHTS = Path("models/distilled.safetensors")
RELEASE = Path("release")


def main() -> None:
    params = load_params("release", ReleaseParams)
    student = load_params("student", StudentParams)

    import numpy as np

    from cxr_distill.base.classes import p_pneumonia
    from cxr_distill.base.files import file_sha256, write_bytes, write_json
    from cxr_distill.base.labels import class_names
    from cxr_distill.base.tables import read_index
    from cxr_distill.base.tensors import read_tensors
    from cxr_distill.evaluation.scores import Scored
    from cxr_distill.nets.common.logits import predict_logits
    from cxr_distill.nets.student.network import load_student
    from cxr_distill.release.build import check_release, make_release

    index = read_index(Path("data/index.csv"))
    classes = class_names(index["subtype"])
    net = load_student(student, WEIGHTS, classes=len(classes))
    images = {
        split: read_tensors(Path(f"data/film/{split}.safetensors"))[0]["images"] for split in ("train", "val", "test")
    }

    def scored(split: str) -> Scored:
        rows = index[index.split == split]
        sick = (rows.label == "PNEUMONIA").to_numpy(np.int64)
        return Scored(sick, p_pneumonia(predict_logits(net, images[split])), rows.patient.to_numpy(str))

    dataset = json.loads(Path("data/dataset.json").read_text())
    files, facts = make_release(
        net,
        images["train"],
        images["val"],
        scored("val"),
        params,
        classes=classes,
        dataset_sha256=dataset["archive_sha256"],
        weights_sha256=file_sha256(WEIGHTS),
    )
    checked = check_release(files, images["val"], images["test"], scored("test"), params)

    for name, content in files.items():
        write_bytes(RELEASE / name, content)
    about = {"files": {name: sha256(content).hexdigest() for name, content in files.items()}, "facts": asdict(facts)}
    write_json(Path("reports/release.json"), {**checked, **about})


if __name__ == "__main__":
    run(main)
