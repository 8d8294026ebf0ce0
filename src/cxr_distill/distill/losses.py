"""Distillation losses: Hinton's, and the blog post's variant of it."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from cxr_distill.distill.params import DistillParams


def kl_divergence(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Mean over the batch of KL(teacher || student) in nats, both softened; logits (B, K), any B >= 1."""
    student_log = log_softmax(student / temperature, dim=-1)
    teacher_log = log_softmax(teacher / temperature, dim=-1)
    return kl_div(student_log, teacher_log, reduction="batchmean", log_target=True)


def distillation_losses(
    student: Tensor, teacher: Tensor, labels: Tensor, params: DistillParams, *, label_smoothing: float = 0.0
) -> dict[str, Tensor]:
    """`ce`, `kl` and the `loss` of one batch, in nats; logits (B, K), labels (B,).

    hinton: (1 - alpha) * CE + alpha * T^2 * KL (Hinton, Vinyals, Dean, arXiv 1503.02531, section 2).
    blog: (1 - alpha) * CE + alpha * KL / K: no T^2, and the mean taken over classes too.
    """
    ce = cross_entropy(student, labels, label_smoothing=label_smoothing)
    kl = kl_divergence(student, teacher, temperature=params.temperature)
    scale = params.temperature**2 if params.loss == "hinton" else 1 / student.shape[-1]
    return {"ce": ce, "kl": kl, "loss": (1 - params.alpha) * ce + params.alpha * scale * kl}
