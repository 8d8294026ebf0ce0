"""The student that this project ships, which learned from the published films, as first weights."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from safetensors.torch import load
from torch import nn

from cxr_distill.base.errors import CxrError
from cxr_distill.nets.student.network import build_student
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.nets.student.weights import fill

SHIPPED = Path(__file__).with_name("release.safetensors")
"""models/distilled.safetensors of the committed run: a test compares them."""
SHA256 = "f8a5399c37fa4b202295f0fab4e9621061aa73accd4b43dee6f1419a5281c9a3"
"""Of SHIPPED. DVC sees this line, so students with other first weights are trained again."""


def named() -> dict[str, str]:
    """What a weights file says of its first weights."""
    return {"start": f"the released student, which learned from the published films (weights {SHA256[:12]})"}


def begin(params: StudentParams, *, classes: int) -> nn.Module:
    """The student with the shipped weights. Raises CxrError if it has another shape, or if the file is damaged."""
    content = SHIPPED.read_bytes()
    if sha256(content).hexdigest() != SHA256:
        raise CxrError(f"{SHIPPED} is damaged; get it again with `git checkout`")
    net = build_student(params, classes=classes)
    fill(net, load(content))
    return net
