"""A loss that shifts by a factor silently turns alpha into another alpha."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from cxr_distill.base.classes import p_pneumonia
from cxr_distill.distill.losses import distillation_losses, kl_divergence
from cxr_distill.distill.params import DistillParams
from cxr_distill.training.operating_point import balanced_weights, screening_losses

STUDENT = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], dtype=torch.float64)
TEACHER = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0]], dtype=torch.float64)
LABELS = torch.tensor([0, 2])


def loss(alpha: float, temperature: float, name: str = "hinton") -> torch.Tensor:
    params = DistillParams(alpha=alpha, temperature=temperature, loss=name)
    return distillation_losses(STUDENT, TEACHER, LABELS, params)["loss"]


def by_hand(temperature: float) -> float:
    p, q = (TEACHER / temperature).softmax(-1), (STUDENT / temperature).softmax(-1)
    return float((p * (p / q).log()).sum() / len(STUDENT))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 4.0])
def test_kl_is_the_definition_per_image(temperature: float) -> None:
    assert float(kl_divergence(STUDENT, TEACHER, temperature=temperature)) == pytest.approx(by_hand(temperature))


def test_frozen_values() -> None:
    # Worked out from the formulas in NumPy, without this library.
    assert float(loss(0.25, 1.0)) == pytest.approx(1.891078, abs=1e-6)
    assert float(loss(0.75, 4.0)) == pytest.approx(1.380666, abs=1e-6)
    assert float(loss(0.25, 1.0, "blog")) == pytest.approx(1.772979, abs=1e-6)


@pytest.mark.parametrize("name", ["hinton", "blog"])
def test_alpha_zero_is_cross_entropy_and_alpha_one_ignores_the_labels(name: str) -> None:
    assert loss(0, 3.0, name) == torch.nn.functional.cross_entropy(STUDENT, LABELS)
    one = DistillParams(alpha=1, temperature=2, loss=name)
    other = distillation_losses(STUDENT, TEACHER, 2 - LABELS, one)["loss"]
    assert torch.equal(distillation_losses(STUDENT, TEACHER, LABELS, one)["loss"], other)


def test_gradients_of_the_hinton_loss_keep_their_scale_at_high_temperature() -> None:
    sizes = []
    for temperature in (20.0, 40.0):
        student = STUDENT.clone().requires_grad_()
        params = DistillParams(alpha=1, temperature=temperature, loss="hinton")
        distillation_losses(student, TEACHER, LABELS, params)["loss"].backward()
        sizes.append(float(student.grad.norm()))  # type: ignore[union-attr]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.05)


@pytest.mark.parametrize(("alpha", "temperature", "effective"), [(0.25, 1.0, 1 / 7), (0.75, 4.0, 0.085714)])
def test_blog_loss_at_two_classes_is_hintons_at_a_smaller_alpha(
    alpha: float, temperature: float, effective: float
) -> None:
    two, teacher, labels = STUDENT[:, :2], TEACHER[:, :2], torch.tensor([0, 1])
    blog = distillation_losses(two, teacher, labels, DistillParams(alpha=alpha, temperature=temperature, loss="blog"))
    same = DistillParams(alpha=effective, temperature=temperature, loss="hinton")
    hinton = distillation_losses(two, teacher, labels, same)
    scale = (1 - alpha) / (1 - effective)
    assert float(blog["loss"]) == pytest.approx(scale * float(hinton["loss"]), rel=1e-4)


def test_student_that_equals_its_teacher_has_no_distillation_loss() -> None:
    assert float(kl_divergence(TEACHER, TEACHER, temperature=1.0)) == pytest.approx(0, abs=1e-12)


def test_balanced_weights_make_normal_and_pneumonia_count_equally() -> None:
    weights = balanced_weights(torch.tensor([0, 1, 2, 2]))
    assert float(weights[0]) == pytest.approx(float(weights[1:].sum()))
    assert float(weights.mean()) == pytest.approx(1)


def test_screening_loss_is_the_log_loss_of_p_pneumonia_and_blind_to_which_pneumonia() -> None:
    logits, labels = (
        torch.randn(8, 3, generator=torch.Generator().manual_seed(0)),
        torch.tensor([0, 1, 2, 0, 1, 2, 0, 1]),
    )
    p = torch.from_numpy(p_pneumonia(logits.numpy()))
    expected = -torch.where(labels > 0, p.log(), (1 - p).log())
    assert torch.allclose(screening_losses(logits, labels).double(), expected.double(), atol=1e-5)
    swapped = torch.tensor([0, 2, 1])[labels]
    assert torch.equal(screening_losses(logits, labels), screening_losses(logits, swapped))


def test_label_smoothing_reaches_the_cross_entropy_of_distillation() -> None:
    logits, teacher = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0)).unbind()
    labels = torch.tensor([0, 1, 2, 0])
    params = DistillParams(alpha=0.0, temperature=1.0, loss="hinton")
    smooth = distillation_losses(logits, teacher, labels, params, label_smoothing=0.2)["loss"]
    assert torch.equal(smooth, cross_entropy(logits, labels, label_smoothing=0.2))
    assert smooth != distillation_losses(logits, teacher, labels, params)["loss"]
