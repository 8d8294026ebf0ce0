"""Evaluate one model: `python -m stages.evaluate NAME` writes its predictions, metrics and example images."""

import sys
from pathlib import Path

from cxr_distill.base.errors import CxrError
from cxr_distill.evaluation.params import EvaluateParams
from cxr_distill.nets.common.params import TrainerParams
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.nets.teacher.params import TeacherParams
from stages.params import load_params
from stages.running import run


def main() -> None:
    """Evaluate the model named on the command line on validation and test."""
    if len(sys.argv) != 2:
        raise CxrError("name one model: python -m stages.evaluate teacher|baseline|distilled|<param set>")
    name = sys.argv[1]
    params = load_params("evaluate", EvaluateParams)
    student, teacher = load_params("student", StudentParams), load_params("teacher", TeacherParams)
    trainer = load_params("trainer", TrainerParams)

    import pandas as pd

    from cxr_distill.base.files import file_sha256, write_bytes, write_json, write_table
    from cxr_distill.base.labels import class_names
    from cxr_distill.base.tables import read_index
    from cxr_distill.base.tensors import read_tensors
    from cxr_distill.evaluation.bootstrap import rounded
    from cxr_distill.evaluation.examples import example_picture
    from cxr_distill.evaluation.metrics import score, shown
    from cxr_distill.evaluation.predict import mean_prediction, predict
    from cxr_distill.evaluation.predictions import Predicted, predictions_table, scored_split
    from cxr_distill.nets.common.layers import count_parameters, read_trained
    from cxr_distill.nets.common.precision import device_of
    from cxr_distill.nets.student.network import load_student
    from cxr_distill.nets.teacher.network import load_teacher

    device = device_of(trainer)
    index = read_index(Path("data/index.csv"))
    classes = len(class_names(index["subtype"]))
    weights = Path(f"models/{name}.safetensors")
    if name == "teacher":
        net, kinds = load_teacher(teacher, weights, classes=classes), list(map(str, teacher.sees))
    else:
        net, kinds = load_student(student, weights, classes=classes), ["film"]

    def predicted_of(sees: str, split: str) -> Predicted:
        seen, _ = read_tensors(Path(f"data/{sees}/{split}.safetensors"))
        return predict(net, seen["images"], seen["labels"], seen.get("boxes"), seed=params.seed, device=device)

    predicted = {split: mean_prediction([predicted_of(sees, split) for sees in kinds]) for split in ("val", "test")}
    films = {split: read_tensors(Path(f"data/{kinds[0]}/{split}.safetensors"))[0] for split in predicted}
    tables = [
        predictions_table(index, split=split, labels=films[split]["labels"], logits=each.logits)
        for split, each in predicted.items()
    ]
    predictions = pd.concat(tables)
    figures = score(
        predictions,
        predicted,
        resamples=params.bootstrap_resamples,
        seed=params.seed,
        sensitivity_target=params.sensitivity_target,
    )
    network = {
        "parameters": count_parameters(net),
        "megabytes": rounded(weights.stat().st_size / 1e6),
        "weights_sha256": file_sha256(weights),  # by which reports name the file that they are about
        "trained": read_trained(weights),
        "sees": kinds,
    }
    title = f"{name}: test images by outcome"
    picture = example_picture(films["test"]["images"], scored_split(predictions, "test"), title=title)
    write_table(Path(f"evaluation/{name}.csv"), predictions)
    write_json(Path(f"evaluation/{name}.json"), {**network, **figures})
    write_json(Path(f"metrics/{name}.json"), shown(figures))
    write_bytes(Path(f"plots/examples/{name}.png"), picture)


if __name__ == "__main__":
    run(main)
