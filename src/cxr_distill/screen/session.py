"""A released model, run with onnxruntime and without PyTorch."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from cxr_distill.base.errors import CxrError
from cxr_distill.screen.facts import KEY, Facts, read_facts

Floats = NDArray[np.float32]


class Answers(NamedTuple):
    """The graph's outputs for B pictures, float32."""

    p_pneumonia: Floats  # (B,)
    probabilities: Floats  # (B, K), order of Facts.classes
    p_calibrated: Floats  # (B,)
    activation: Floats  # (B, h, w), in logits: positive towards pneumonia
    typicality: Floats  # (B,), higher for more typical; the out-of-distribution score is minus this


def open_session(content: bytes, *, threads: int = 1) -> onnxruntime.InferenceSession:
    """An ONNX file's bytes, ready to run on the processor. Raises CxrError if they are damaged."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Without VNNI, the default sums of 8-bit products overflow 16 bits, and the int8 model's answers are wrong.
    options.add_session_config_entry("session.x64quantprecision", "1")
    # The arena would keep the memory of the largest batch.
    options.enable_cpu_mem_arena = False
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class
        raise CxrError(f"cannot load the model: {' '.join(str(error).split())[:200]}") from None


class Model:
    """A released model. Raises CxrError if `content`, an ONNX file's bytes, is damaged or not a released model."""

    def __init__(self, content: bytes, *, threads: int = 1) -> None:
        self.session = open_session(content, threads=threads)
        self.sha256 = sha256(content).hexdigest()
        text = self.session.get_modelmeta().custom_metadata_map.get(KEY)
        if text is None:
            raise CxrError("an ONNX file, but not a released model of cxr-distill")
        self.facts: Facts = read_facts(text)

    def __call__(self, images: NDArray[np.uint8]) -> Answers:
        """The answers for `images` uint8 (B, S, S)."""
        answers = Answers(*self.session.run(list(Answers._fields), {"image": images.astype(np.float32)}))
        # A sum of probabilities in fp32 can end a little above 1.
        return answers._replace(p_pneumonia=np.minimum(answers.p_pneumonia, np.float32(1)))


def load_model(file: Path) -> Model:
    """The model in a file. Raises CxrError naming the file."""
    try:
        return Model(file.read_bytes())
    except OSError as error:
        raise CxrError(f"cannot read {file}: {error.strerror}") from None
    except CxrError as error:
        raise CxrError(f"{file}: {error}") from None
