"""The student as one ONNX graph: grey levels in, everything that a screening program shows out."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping

import onnx
import torch
from torch import Tensor, nn

from cxr_distill.nets.common.activation import class_activation
from cxr_distill.nets.common.layers import Standardise
from cxr_distill.release.typicality import Typicality
from cxr_distill.screen.facts import KEY, Facts

OUTPUTS = ("p_pneumonia", "probabilities", "p_calibrated", "activation", "typicality")
OPSET = 18


class StandardiseLevels(nn.Module):
    """`layers.Standardise` for grey levels 0 to 255, as exact in onnxruntime as in PyTorch.

    onnxruntime adds up a whole image in fp32; that rounding alone changes P(pneumonia) by 1e-5. Sums of whole numbers
    row by row are exact.
    """

    def forward(self, image: Tensor) -> Tensor:
        """(B, S, S) to (B, 1, S, S)."""
        count = image.shape[1] * image.shape[2]
        mean = _sum(image) / count
        about = mean.round()
        variance = _sum((image - about).square()) / count - (mean - about).square()
        return ((image - mean) / (variance.clamp(min=0).sqrt() + 0.05 * 255)).unsqueeze(1)


def _sum(image: Tensor) -> Tensor:
    return image.sum(dim=2, keepdim=True).sum(dim=1, keepdim=True)


class Screener(nn.Module):
    """A student that ends in global average pooling and a linear layer, and all outputs of the graph."""

    def __init__(self, student: nn.Module, typicality: Typicality, temperature: float) -> None:
        super().__init__()
        first, *body, self.pool, self.flatten, linear, self.point = student.children()
        assert isinstance(first, Standardise) and isinstance(linear, nn.Linear)
        self.standardise = StandardiseLevels()
        self.body, self.linear = nn.Sequential(*body), linear
        self.typicality = typicality
        self.temperature = temperature

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """OUTPUTS, in this order, of grey levels (B, S, S), 0 to 255.

        The mean of the activation map is logit(P(pneumonia)) without three terms: the biases of the linear layer
        (weighted as the maps are), the operating point, and the entropy of the shares of bacterial and viral.
        """
        maps = self.body(self.standardise(image))
        logits = self.point(self.linear(self.flatten(self.pool(maps))))
        probabilities = logits.softmax(dim=1)
        p_pneumonia = probabilities[:, 1:].sum(dim=1)
        log_odds = logits[:, 1:].logsumexp(dim=1) - logits[:, 0]
        activation = class_activation(maps, logits, self.linear.weight)
        p_calibrated = (log_odds / self.temperature).sigmoid()
        return p_pneumonia, probabilities, p_calibrated, activation, self.typicality(image)


def to_onnx(screener: Screener, *, size: int) -> onnx.ModelProto:
    """The graph, for batches of any number of images `size` x `size`; equal screeners give equal bytes."""
    # The exporter logs each of its steps.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            screener.eval(),
            (torch.zeros(2, size, size),),
            input_names=["image"],
            output_names=list(OUTPUTS),
            dynamic_shapes={"image": {0: torch.export.Dim("batch", min=1)}},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return _plain(program.model_proto)


def _plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the exporter's notes: stack traces with paths, and symbols numbered since the process began."""
    graph = model.graph
    for part in [model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    graph.ClearField("value_info")
    return model


def with_facts(model: onnx.ModelProto, facts: Facts) -> bytes:
    """The bytes of the ONNX file, with `facts` in its metadata. Raises ValidationError if ONNX finds a fault in it."""
    properties: Mapping[str, str] = {KEY: facts.to_json()}
    onnx.helper.set_model_props(model, dict(properties))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
