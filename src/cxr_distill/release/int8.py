"""The exported graph with its convolutions in int8: smaller, and faster on processors with units for it."""

from __future__ import annotations

import logging
import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

PERCENTILE = 99.999
"""Share of an activation's values, in percent, that its range holds: the few beyond would make all others coarse."""


def quantise(model: onnx.ModelProto, images: NDArray[np.uint8]) -> onnx.ModelProto:
    """The graph with its convolutions in int8: QDQ, weights per channel, ranges of activations from `images` (N, S, S).

    The rest stays in fp32: standardisation, the linear layer, and the typicality, in which small differences decide.
    """
    logging.getLogger().setLevel(logging.ERROR)  # it advises a pre-processing step that the exporter has already done
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):  # it tells its progress line by line
        fp32, int8 = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, fp32)
        quantize_static(
            fp32,
            int8,
            _Reader(images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": PERCENTILE},
        )
        return onnx.load(int8)


class _Reader(CalibrationDataReader):
    """Gives onnxruntime the calibration images, one by one."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self.waiting = iter(images.astype(np.float32)[:, None])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        image = next(self.waiting, None)
        return None if image is None else {"image": image}
