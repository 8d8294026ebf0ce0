"""Evaluate one model: `python -m stages.evaluate NAME` writes its predictions, metrics and example images."""

import sys
from pathlib import Path

from cxr_distill.base.errors import CxrError
from cxr_distill.evaluation.params import EvaluateParams
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.nets.teacher.params import TeacherParams
from stages.params import load_params
from stages.running import run

PREDICTIONS = Path("predictions")


def main() -> None:
    """Evaluate the model named on the command line on validation and test."""
    if len(sys.argv) != 2:
        raise CxrError("name one model: python -m stages.evaluate teacher|baseline|distilled|<param set>")
    name = sys.argv[1]
    params = load_params("evaluate", EvaluateParams)
    student = load_params("student", StudentParams)
    teacher = load_params("teacher", TeacherParams).model_copy(update={"pretrained": False})
    folder = Path("models") if name in ("teacher", "baseline", "distilled") else Path("models/sets")
    weights = folder / f"{name}.safetensors"

    from dataclasses import replace

    import pandas as pd

    from cxr_distill.base.classes import p_pneumonia
    from cxr_distill.base.files import file_sha256, write_bytes, write_json, write_table
    from cxr_distill.base.labels import class_names
    from cxr_distill.base.tables import read_index
    from cxr_distill.base.tensors import read_tensors
    from cxr_distill.evaluation import bootstrap, metrics, scores
    from cxr_distill.evaluation.examples import example_picture
    from cxr_distill.evaluation.frames import share_in_lungs, variants
    from cxr_distill.evaluation.predictions import predictions_table, scored_split
    from cxr_distill.nets.common.activation import activation_maps, enlarged, has_activation_maps
    from cxr_distill.nets.common.layers import count_parameters, load_weights, read_trained
    from cxr_distill.nets.common.logits import predict_logits
    from cxr_distill.nets.student.network import build_student
    from cxr_distill.nets.teacher.network import build_teacher

    index = read_index(Path("data/index.csv"))
    classes = class_names(index["subtype"])
    if name == "teacher":
        net, sees = build_teacher(teacher, classes=len(classes)), teacher.sees
    else:
        net, sees = build_student(student, classes=len(classes)), "film"
    load_weights(net, weights)
    images, tables, variants_of, activation = {}, [], {}, {}
    for split in ("val", "test"):
        tensors, _ = read_tensors(Path(f"data/{sees}/{split}.safetensors"))
        images[split], labels = tensors["images"], tensors["labels"]
        logits = predict_logits(net, images[split])
        changed = {}
        if sees == "film":
            made = variants(images[split], tensors["boxes"], labels, seed=params.seed)
            changed = {variant: predict_logits(net, pixels) for variant, pixels in made.items()}
            if has_activation_maps(net):
                maps = enlarged(activation_maps(net, images[split])[0], images[split].shape[-1])
                activation[split] = {"activation_in_lungs": bootstrap.rounded(share_in_lungs(maps, tensors["boxes"]))}
        # Lungs that are cut out of a film are the same in whatever frame the film is.
        reframed = changed.get("reframed", logits)
        table = predictions_table(index, split=split, labels=labels, logits=logits, reframed=reframed)
        tables.append(table)
        variants_of[split] = {"reframed": reframed, **changed}
    predictions = pd.concat(tables)
    val, test = scored_split(predictions, "val"), scored_split(predictions, "test")
    threshold = scores.threshold_for_sensitivity(val, params.sensitivity_target)
    figures = {}
    for split, name_of_split, scored in (("val", "validation", val), ("test", "test", test)):
        resampling = {"resamples": params.bootstrap_resamples, "seed": params.seed}
        by_variant = {
            variant: replace(scored, probabilities=p_pneumonia(logits))
            for variant, logits in variants_of[split].items()
        }
        figures[name_of_split] = {
            **metrics.evaluate(scored, validation_threshold=threshold, **resampling),
            "frames": metrics.frame_figures(scored, by_variant, **resampling),
            **activation.get(split, {}),
        }

    write_table(PREDICTIONS / f"{name}.csv", predictions)
    network = {
        "parameters": count_parameters(net),
        "megabytes": bootstrap.rounded(weights.stat().st_size / 1e6),
        "weights_sha256": file_sha256(weights),  # by which reports name the file that they are about
        "trained": read_trained(weights),
    }
    write_json(Path(f"evaluation/{name}.json"), {**network, **figures})
    write_json(Path(f"metrics/{name}.json"), metrics.shown(figures))
    picture = example_picture(images["test"], test, title=f"{name}: test images by outcome")
    write_bytes(Path(f"plots/examples/{name}.png"), picture)


if __name__ == "__main__":
    run(main)
