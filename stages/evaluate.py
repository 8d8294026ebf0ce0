"""Evaluate one model: `python -m stages.evaluate NAME` writes its predictions, metrics and example images."""

import sys
from pathlib import Path

from cxr_distill.base.errors import CxrError
from cxr_distill.evaluation.params import EvaluateParams
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.nets.teacher.params import TeacherParams
from stages import load_params, run

PREDICTIONS = Path("predictions")


def main() -> None:
    """Evaluate the model named on the command line on validation and test."""
    if len(sys.argv) != 2:
        raise CxrError("name one model: python -m stages.evaluate teacher|baseline|distilled|<param set>")
    name = sys.argv[1]
    params = load_params("evaluate", EvaluateParams)
    teacher, student = load_params("teacher", TeacherParams), load_params("student", StudentParams)
    folder = Path("models") if name in ("teacher", "baseline", "distilled") else Path("models/sets")
    weights = folder / f"{name}.safetensors"

    import pandas as pd

    from cxr_distill.base.files import file_sha256, write_bytes, write_json, write_table
    from cxr_distill.base.tables import read_index
    from cxr_distill.base.tensors import read_tensors
    from cxr_distill.evaluation import metrics
    from cxr_distill.evaluation.examples import example_picture
    from cxr_distill.evaluation.predictions import predictions_table, scored_split
    from cxr_distill.nets.common.layers import count_parameters, load_weights, read_trained
    from cxr_distill.nets.common.logits import predict_logits
    from cxr_distill.nets.student.network import build_student
    from cxr_distill.nets.teacher.network import load_teacher

    if name == "teacher":
        net = load_teacher(teacher, weights)
    else:
        net = build_student(student)
        load_weights(net, weights)
    index = read_index(Path("data/index.csv"))
    images = {}
    tables = []
    for split in ("val", "test"):
        tensors, _ = read_tensors(Path(f"data/tensors/{split}.safetensors"))
        images[split] = tensors["images"]
        logits = predict_logits(net, tensors["images"])
        tables.append(predictions_table(index, split=split, labels=tensors["labels"], logits=logits))
    predictions = pd.concat(tables)
    val, test = scored_split(predictions, "val"), scored_split(predictions, "test")
    threshold = metrics.threshold_for_sensitivity(val, params.sensitivity_target)
    figures = {
        split: metrics.evaluate(
            scored, resamples=params.bootstrap_resamples, seed=params.seed, validation_threshold=threshold
        )
        for split, scored in (("validation", val), ("test", test))
    }

    write_table(PREDICTIONS / f"{name}.csv", predictions)
    network = {
        "parameters": count_parameters(net),
        "megabytes": metrics.rounded(weights.stat().st_size / 1e6),
        "weights_sha256": file_sha256(weights),  # by which reports name the file that they are about
        "trained": read_trained(weights),
    }
    write_json(Path(f"evaluation/{name}.json"), {**network, **figures})
    write_json(Path(f"metrics/{name}.json"), metrics.shown(figures))
    picture = example_picture(images["test"], test, title=f"{name}: test images by outcome")
    write_bytes(Path(f"plots/examples/{name}.png"), picture)


if __name__ == "__main__":
    run(main)
