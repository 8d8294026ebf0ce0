"""The student as one ONNX graph that takes grey levels and gives everything a screen shows."""

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
    """`models.Standardise` for grey levels 0 to 255, rounded as little in onnxruntime as in PyTorch.

    onnxruntime adds up a whole image in single precision, which alone moves P(pneumonia) by 1e-5. Sums of whole
    numbers by rows are exact.
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
    """A student that ends in global average pooling and a linear layer, with what is said about its answer."""

    def __init__(self, student: nn.Module, typicality: Typicality, temperature: float) -> None:
        super().__init__()
        first, *body, self.pool, self.flatten, linear, self.point = student.children()
        assert isinstance(first, Standardise) and isinstance(linear, nn.Linear)
        self.standardise = StandardiseLevels()
        self.body, self.linear = nn.Sequential(*body), linear
        self.typicality = typicality
        self.temperature = temperature

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """OUTPUTS of grey levels (B, S, S), 0 to 255.

        The mean of the activation map is the logit of P(pneumonia) less the biases (weighed like the maps), the
        operating point, and the entropy of the shares of bacterial and viral.
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
    """The graph, with any number of images `size` x `size` a batch; equal screeners give equal bytes."""
    # The exporter counts symbols over the life of a process and writes stack traces, paths and all, into the file.
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
    """Without what the exporter notes for its own developers."""
    graph = model.graph
    for part in [model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    graph.ClearField("value_info")
    return model


def with_facts(model: onnx.ModelProto, facts: Facts) -> bytes:
    """The file's bytes."""
    properties: Mapping[str, str] = {KEY: facts.to_json()}
    onnx.helper.set_model_props(model, dict(properties))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
