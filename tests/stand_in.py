"""A tiny network with the released one's inputs, outputs and metadata, so that the page's tests need no training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 96
DARK = 156  # grey levels; drawn films are about as often lighter as darker
METADATA = {
    "format": 2,
    "image_size": SIZE,
    "classes": ["normal", "bacterial", "viral"],
    "threshold": 0.5,
    "temperature": 2.0,
    "typicality_threshold": 20.0,
    "chest_threshold": 10.0,
    "preprocessing": "grey, squashed",
    "dataset_sha256": "0" * 64,
    "weights_sha256": "1" * 64,
    "licence": "Apache-2.0",
    "precision": "fp32",
}


def write_stand_in(folder: Path) -> None:
    """Write the model and a card into `folder`.

    Its activation is how much brighter than dark each 8 x 8 block is; its typicality is by how many grey levels the
    middle is brighter than the four corners, which tells a drawn film (dark corners) from noise and flat pictures.
    """
    random = np.random.default_rng(0)
    corner = np.zeros((1, SIZE, SIZE), np.float32)
    corner[:, SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4] = 4 / SIZE**2
    for rows in (slice(0, 8), slice(-8, None)):
        for columns in (slice(0, 8), slice(-8, None)):
            corner[:, rows, columns] = -1 / 256
    kernel = (random.normal(size=(1, 1, 8, 8)) * 0.02 + 1 / 64).astype(np.float32) / 12
    constants = {
        "where": corner, "kernel": kernel, "dark": np.array(DARK / 12, np.float32), "half": np.array(0.5, np.float32),
        "shape": np.array([-1, 1, SIZE, SIZE]), "grid": np.array([-1, SIZE // 8, SIZE // 8]), "sides": np.array([1, 2]),
        "cut": np.array([0.6, 0.4], np.float32), "column": np.array([-1, 1]), "one": np.array(1, np.float32),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        node("Reshape", ["image", "shape"], ["planes"]),
        node("Conv", ["planes", "kernel"], ["blocks"], strides=[8, 8]),
        node("Reshape", ["blocks", "grid"], ["levels"]),
        node("Sub", ["levels", "dark"], ["activation"]),
        node("ReduceMean", ["activation", "sides"], ["logit"], keepdims=0),
        node("Sigmoid", ["logit"], ["p_pneumonia"]),
        node("Mul", ["logit", "half"], ["cooled"]),
        node("Sigmoid", ["cooled"], ["p_calibrated"]),
        node("Reshape", ["p_pneumonia", "column"], ["ill"]),
        node("Sub", ["one", "ill"], ["well"]),
        node("Mul", ["ill", "cut"], ["kinds"]),
        node("Concat", ["well", "kinds"], ["probabilities"], axis=1),
        node("Mul", ["image", "where"], ["weighed"]),
        node("ReduceSum", ["weighed", "sides"], ["typicality"], keepdims=0),
    ]
    output = {"p_pneumonia": ["B"], "probabilities": ["B", 3], "p_calibrated": ["B"], "activation": ["B", "h", "w"]}
    graph = helper.make_graph(
        nodes,
        "stand-in",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["B", SIZE, SIZE])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in {**output, "typicality": ["B"]}.items()
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {"cxr-distill": json.dumps(METADATA)})
    onnx.checker.check_model(model)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "cxr-distill.onnx")
    (folder / "MODEL_CARD.md").write_text("# A stand-in\n\n| what | value |\n|---|---|\n| trained | no |\n")
