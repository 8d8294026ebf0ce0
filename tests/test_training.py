"""Teacher and student must see the same pixels, and a run must be repeatable to the byte."""

import ctypes
import subprocess
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision.models
import yaml
from conftest import ROOT, program, with_path
from safetensors.torch import load_file
from small_training import (
    BALANCE,
    DATA,
    FIT,
    SETTINGS,
    STUDENT,
    TEACHER,
    TRAIN,
    VAL,
    VIEWS,
    settings,
    weights,
)  # fmt: skip
from torch import nn
from torch.nn.functional import interpolate
from torchvision.models.resnet import BasicBlock

from cxr_distill.base.errors import CxrError
from cxr_distill.base.params import parse
from cxr_distill.base.tensors import read_tensors, write_tensors
from cxr_distill.distill.params import DistillParams
from cxr_distill.distill.targets import SoftTargets, read_soft_targets, target_key, write_soft_targets
from cxr_distill.distill.task import DistillationTask
from cxr_distill.nets.common.batchnorm import estimate_batchnorm
from cxr_distill.nets.common.layers import OperatingPoint, count_parameters, load_weights, write_weights
from cxr_distill.nets.common.logits import predict_logits
from cxr_distill.nets.common.params import OperatingPointParams, ViewParams
from cxr_distill.nets.common.residual import ResidualBlock
from cxr_distill.nets.common.views import apply_view, draw_view, gain_octaves, octaves, stretch, to_input
from cxr_distill.nets.student.network import MAX_STUDENT_PARAMETERS, build_student
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.nets.teacher.network import build_teacher
from cxr_distill.nets.teacher.soft_targets import make_soft_targets
from cxr_distill.training.data import Images, TrainingData, ViewData, seen_data
from cxr_distill.training.film_quality import film_quality, overlap_weights
from cxr_distill.training.loop import fit
from cxr_distill.training.operating_point import balanced_weights, screening_losses, set_operating_point
from cxr_distill.training.sampling import balanced_order
from cxr_distill.training.task import CrossEntropyTask


def test_committed_student_fits_the_budget() -> None:
    params = StudentParams.model_validate(yaml.safe_load((ROOT / "params.yaml").read_text())["student"])
    assert count_parameters(build_student(params)) <= MAX_STUDENT_PARAMETERS


def test_plain_student_has_three_convolutions_and_fits_the_budget() -> None:
    params = STUDENT.model_copy(update={"channels": [32, 64, 256]})
    student = build_student(params)
    assert sum(isinstance(module, nn.Conv2d) for module in student.modules()) == 3
    assert count_parameters(student) <= MAX_STUDENT_PARAMETERS
    assert student(torch.rand(2, 1, 96, 96)).shape == (2, 3)
    with pytest.raises(CxrError, match=r"student\.channels"):
        build_student(params.model_copy(update={"channels": [64, 128, 512]}))


def test_residual_student_fits_the_budget_and_sees_where_things_are() -> None:
    student = build_student(STUDENT.model_copy(update={"arch": "residual", "channels": [32, 48, 64, 96]})).eval()
    assert 250_000 < count_parameters(student) <= MAX_STUDENT_PARAMETERS
    pixels = torch.rand(2, 1, 96, 96)
    assert student(pixels).shape == (2, 3)
    assert student[:-4](pixels).shape == (2, 96, 6, 6)  # what global average pooling gets


def test_plain_student_without_three_widths_is_one_clear_error() -> None:
    with pytest.raises(CxrError, match=r"student: .*three channels"):
        parse(StudentParams, {**FIT, "arch": "plain", "channels": [4, 8], "init": "random"}, "student")


@pytest.mark.parametrize("arch", ["resnet18", "mobilenet_v3_small", "small_resnet"])
def test_teacher_takes_grey_images_whatever_its_architecture(arch: str) -> None:
    teacher = build_teacher(TEACHER.model_copy(update={"arch": arch}), side=64).eval()
    assert teacher(torch.rand(2, 1, 64, 64)).shape == (2, 3)


def test_unknown_teacher_is_one_clear_error() -> None:
    with pytest.raises(CxrError, match=r"teacher\.arch"):
        build_teacher(TEACHER.model_copy(update={"arch": "resnet0"}))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"arch": "googlenet"}, r"teacher\.arch: googlenet gives several answers while it trains"),
        ({"arch": "vit_b_16"}, r"teacher\.arch: vit_b_16 takes no images of 32 pixels"),
        ({"arch": "small_resnet", "pretrained": True}, r"teacher\.pretrained: there are no ImageNet weights"),
    ],
)
@pytest.mark.filterwarnings("ignore:The default weight initialization of GoogleNet")
def test_a_teacher_that_cannot_be_trained_is_one_line_before_work_starts(
    changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(CxrError, match=reason):
        build_teacher(TEACHER.model_copy(update=changes), side=32)


def test_a_pretrained_teacher_without_a_linear_layer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = torchvision.models.get_model
    monkeypatch.setattr(
        torchvision.models, "get_model", lambda name, weights, **more: whole(name, weights=None, **more)
    )
    with pytest.raises(CxrError, match=r"teacher\.pretrained: squeezenet1_0 ends in no linear layer"):
        build_teacher(TEACHER.model_copy(update={"arch": "squeezenet1_0", "pretrained": True}))


def test_residual_blocks_are_those_of_torchvision_to_the_byte() -> None:
    for narrow, wide, stride in ((8, 8, 1), (8, 16, 2), (8, 16, 1)):
        torch.manual_seed(0)
        own = ResidualBlock(narrow, wide, stride=stride)
        torch.manual_seed(0)
        shortcut = None
        if stride > 1 or narrow != wide:
            shortcut = nn.Sequential(nn.Conv2d(narrow, wide, 1, stride=stride, bias=False), nn.BatchNorm2d(wide))
        theirs = BasicBlock(narrow, wide, stride, shortcut)
        assert list(own.state_dict()) == list(theirs.state_dict()) and weights(own) == weights(theirs)
        pixels = torch.rand(2, narrow, 9, 9)
        assert torch.equal(own(pixels), theirs(pixels))


def test_imagenet_weights_without_a_network_are_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(CxrError, match=r"teacher\.pretrained.*go online"):
        build_teacher(TEACHER.model_copy(update={"pretrained": True}))


def test_a_view_is_the_same_for_one_image_and_for_the_whole_set() -> None:
    pixels = torch.from_numpy(TRAIN.pixels)
    view = draw_view(len(pixels), VIEWS, number=3)
    whole = apply_view(pixels, view)
    rows = torch.tensor([5, 40, 2])
    assert torch.equal(apply_view(pixels[rows], view.rows(rows)), whole[rows])
    assert torch.equal(apply_view(pixels, draw_view(len(pixels), VIEWS, number=3)), whole)
    assert not torch.equal(apply_view(pixels, draw_view(len(pixels), VIEWS, number=4)), whole)
    assert 0 <= float(whole.min()) <= float(whole.max()) <= 1


def test_a_view_without_any_change_is_the_image() -> None:
    still = {name: 0.0 for name in VIEWS.model_dump() if name != "seed"}
    pixels = torch.from_numpy(TRAIN.pixels)
    view = draw_view(len(pixels), ViewParams(seed=0, **still), number=0)
    assert torch.allclose(apply_view(pixels, view), to_input(pixels), atol=2e-4)


def test_a_view_shows_the_films_edge_and_nothing_else_where_the_film_ends() -> None:
    # Black there would tell a network how far a film was moved or squeezed.
    grey = torch.full((48, 24, 24), 200, dtype=torch.uint8)
    shape = {"rotation_degrees": 30, "translation": 0.3, "scale": 0.4, "aspect": 0.4, "flip": 0.5}
    others = {name: 0.0 for name in VIEWS.model_dump() if name not in shape}
    view = draw_view(48, ViewParams(**{**others, **shape, "seed": 0}), number=0)
    assert torch.allclose(apply_view(grey, view), to_input(grey), atol=1e-3)


def test_an_epoch_shows_as_many_normal_as_pneumonia_images_each_once() -> None:
    labels = torch.from_numpy(TRAIN.labels).long()
    order = balanced_order(labels, seed=0, epoch=1)
    assert len(order.unique()) == len(order) == 32
    assert int((labels[order] == 0).sum()) == 16
    assert not torch.equal(order, balanced_order(labels, seed=0, epoch=2))


def test_an_unbalanced_epoch_shows_every_image_once() -> None:
    everyone = settings(balance=BALANCE.model_copy(update={"classes": False}))
    order = ViewData(DATA, everyone, STUDENT).train_dataloader().order
    assert sorted(order.tolist()) == list(range(48)) != order.tolist()


def test_film_quality_tells_less_of_the_class_under_overlap_weights() -> None:
    sharp = np.random.default_rng(0).integers(0, 255, (200, 32, 32))
    soft = (sharp + np.roll(sharp, 1, 1) + np.roll(sharp, 1, 2)) // 3
    share = np.random.default_rng(1).uniform(size=(200, 1, 1))
    sick = torch.arange(200) % 2
    share[:, 0, 0] = np.where(sick, share[:, 0, 0], share[:, 0, 0] * 0.6)  # normal films are sharper on the whole
    pixels = torch.from_numpy((sharp * (1 - share) + soft * share).astype(np.uint8))
    gaps = []
    for strength in (0.0, 0.5, 1.0):
        weights = overlap_weights(pixels, sick, strength=strength).numpy()
        features = film_quality(pixels)
        means = [np.average(features[sick == label], axis=0, weights=weights[sick == label]) for label in (0, 1)]
        gaps.append(float(np.abs(means[0] - means[1])[0]))
    assert gaps[0] > 1.3 * gaps[1] > 1.3 * gaps[2]
    weights = torch.ones(200, dtype=torch.float64)
    weights[:100] = 0
    assert int(balanced_order(sick, weights, seed=0, epoch=0).min()) >= 100


def test_gains_of_detail_are_those_of_a_laplacian_pyramid_at_any_size() -> None:
    generator = torch.Generator().manual_seed(0)
    for side in (96, 31):
        pixels = torch.rand(2, 1, side, side, generator=generator)
        assert torch.allclose(gain_octaves(pixels, torch.ones(2, 4)), pixels, atol=1e-5)
        gains = torch.rand(2, 4, generator=generator) + 0.5
        bands, result = octaves(pixels)
        for level in (3, 2, 1, 0):
            band = bands[level]
            result = interpolate(result, band.shape[-2:], mode="bilinear") + band * gains[:, level].view(2, 1, 1, 1)
        assert torch.allclose(gain_octaves(pixels, gains), result, atol=1e-5)


def test_a_stretched_film_has_its_middle_where_it_was_and_more_at_its_sides() -> None:
    pixels = torch.from_numpy(TRAIN.pixels)
    assert torch.allclose(stretch(pixels, 1.0), to_input(pixels), atol=1e-6)
    ramp = torch.arange(24, dtype=torch.uint8).expand(1, 24, 24) * 4
    wide = stretch(ramp, 1.5)[0, 0, 0] * 255
    assert wide[0] == 0 and wide[-1] == 92 and torch.allclose(wide[11:13].diff(), torch.tensor(6.0))


def point(widths: list[float], frames: int = 0) -> OperatingPointParams:
    return OperatingPointParams(widths=widths, frames=frames)


def test_the_operating_point_undoes_a_bias_and_is_kept_with_the_weights(tmp_path: Path) -> None:
    pixels, labels = torch.from_numpy(TRAIN.pixels), torch.from_numpy(TRAIN.labels).long()
    net = build_student(STUDENT)
    fit(CrossEntropyTask(net, STUDENT), DATA, settings(operating_point=point([])))
    assert set_operating_point(net, pixels, labels, point([])) == 0
    fair = set_operating_point(net, pixels, labels, point([0.9, 1.1]))
    linear = next(module for module in net.modules() if isinstance(module, nn.Linear))
    with torch.no_grad():
        linear.bias[0] += 2
    assert set_operating_point(net, pixels, labels, point([0.9, 1.1])) == pytest.approx(fair - 2, abs=1e-3)
    # In frames that are all the same, films are as they are; in others, the point moves.
    same = torch.tensor([[0.1, 0.1, 0.8, 0.9]]).expand(len(pixels), 4)
    mixed = torch.where((labels > 0)[:, None], same, torch.tensor([[0.3, 0.2, 0.7, 0.8]]))
    as_is = set_operating_point(net, pixels, labels, point([1.0]))
    assert set_operating_point(net, pixels, labels, point([], 2), same) == pytest.approx(as_is, abs=1e-3)
    assert set_operating_point(net, pixels, labels, point([], 2), mixed) != pytest.approx(as_is, abs=1e-3)
    write_weights(net, tmp_path / "w")
    again = build_student(STUDENT)
    load_weights(again, tmp_path / "w")
    assert np.array_equal(predict_logits(again, VAL.pixels), predict_logits(net, VAL.pixels))


def test_where_films_tell_nothing_the_operating_point_is_a_half_however_many_are_sick() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(24 * 24, 3), OperatingPoint())
    nn.init.zeros_(net[1].weight)
    for sick in (12, 36):
        labels = (torch.arange(48) < sick).long()
        set_operating_point(net, torch.from_numpy(TRAIN.pixels), labels, point([1.0]))
        normal = net(torch.zeros(1, 24, 24)).detach().softmax(dim=1)[0, 0]
        assert float(normal) == pytest.approx(0.5, abs=1e-4)


def test_batchnorm_takes_the_statistics_of_balanced_training_images() -> None:
    pixels, labels = torch.from_numpy(TRAIN.pixels), torch.from_numpy(TRAIN.labels).long()
    net = nn.Sequential(nn.BatchNorm2d(1)).eval()
    rows = balanced_order(labels, seed=0, epoch=0)
    estimate_batchnorm(net, pixels, rows)
    assert torch.allclose(net[0].running_mean, to_input(pixels[rows]).mean(), atol=1e-5)
    assert not net.training
    estimate_batchnorm(net, pixels, rows, view=(view := draw_view(48, VIEWS, number=0)))
    assert torch.allclose(net[0].running_mean, apply_view(pixels[rows], view.rows(rows)).mean(), atol=1e-5)


@pytest.mark.parametrize("source", ["images", "views"])
def test_batchnorm_of_a_trained_network_is_that_of_images_or_of_views(source: str) -> None:
    changed = settings(balance=BALANCE.model_copy(update={"batchnorm": source}), operating_point=None)
    fit(CrossEntropyTask(net := build_student(STUDENT), STUDENT), DATA, changed)
    kept = net[2].running_mean.clone()
    rows = balanced_order(torch.from_numpy(TRAIN.labels), seed=0, epoch=0)
    estimate_batchnorm(net, torch.from_numpy(TRAIN.pixels), rows)
    assert torch.equal(kept, net[2].running_mean) == (source == "images")


def test_film_view_and_soft_target_of_a_batch_belong_together() -> None:
    count, films = 2, len(TRAIN.labels)
    teacher = np.zeros((count, films, 3), np.float32)
    teacher[..., 0], teacher[..., 1] = np.arange(count)[:, None], np.arange(films)[None]
    data = ViewData(TrainingData(TRAIN, VAL, teacher), settings(view_count=count), STUDENT)
    data.trainer = SimpleNamespace(current_epoch=3, global_rank=0, world_size=1)
    view = draw_view(films, VIEWS, number=3 % count, boxes=data.boxes[0])
    seen = []
    for batch in data.train_dataloader():
        rows = batch["teacher"][:, 1].long()
        seen += rows.tolist()
        assert (batch["teacher"][:, 0] == 3 % count).all()
        assert torch.equal(batch["images"], data.pixels[rows]) and torch.equal(batch["labels"], data.labels[rows])
        wanted = view.rows(rows)
        assert all(torch.equal(getattr(batch["view"], f.name), getattr(wanted, f.name)) for f in fields(wanted)
                   if torch.is_tensor(getattr(wanted, f.name)))  # fmt: skip
    assert seen != sorted(seen)


def test_same_run_twice_gives_the_same_bytes_and_alpha_zero_is_the_baseline() -> None:
    targets = np.random.default_rng(2).normal(size=(2, 48, 3)).astype(np.float32)
    nets = [build_student(STUDENT) for _ in range(4)]
    for net in nets[:2]:
        history = fit(CrossEntropyTask(net, STUDENT), DATA, settings(view_count=2))
    assert [row["epoch"] for row in history] == [0, 1]
    for net, alpha in zip(nets[2:], (0.0, 0.9), strict=True):
        distill = DistillParams(alpha=alpha, temperature=2, loss="hinton")
        fit(DistillationTask(net, STUDENT, distill), TrainingData(TRAIN, VAL, targets), settings(view_count=2))
    alone, again, zero, distilled = map(weights, nets)
    assert alone == again == zero
    assert alone != distilled


def test_validation_after_the_last_epoch_alone_changes_no_weight_and_the_best_epoch_needs_all() -> None:
    found = {}
    for validate in ("each", "last"):
        for keep in ("last", "best"):
            params = STUDENT.model_copy(update={"keep": keep})
            net = build_student(params)
            history = fit(CrossEntropyTask(net, params), DATA, settings(validate_after=validate))
            found[validate, keep] = weights(net), sum("val_loss" in row for row in history), history[-1]["train_loss"]
    assert found["each", "last"][0] == found["last", "last"][0]
    assert found["each", "best"] == found["last", "best"]
    assert [found[validate, "last"][1] for validate in ("each", "last")] == [2, 1]
    # Of the last epoch's steps, whether or not an earlier epoch was validated.
    assert found["each", "last"][2] == found["last", "last"][2]


def test_the_last_epoch_or_the_one_with_the_least_validation_loss_is_kept() -> None:
    wrong = Images(VAL.pixels, np.roll(VAL.labels, 1))  # on wrong labels the loss grows with what has been learned
    labels = torch.from_numpy(wrong.labels).long()
    losses = {}
    for keep in ("last", "best"):
        params = STUDENT.model_copy(update={"epochs": 6, "learning_rate": 0.02, "keep": keep})
        net = build_student(params)
        history = fit(CrossEntropyTask(net, params), TrainingData(TRAIN, wrong), settings(operating_point=None))
        loss = [row["val_loss"] for row in history]
        logits = torch.from_numpy(predict_logits(net, wrong.pixels))
        losses[keep] = float((screening_losses(logits, labels) * balanced_weights(labels)).mean())
    assert min(loss) < 0.9 * loss[-1]
    assert losses == pytest.approx({"last": loss[-1], "best": min(loss)}, abs=1e-4)


def test_soft_targets_of_another_teacher_or_view_are_rejected(tmp_path: Path) -> None:
    teacher, train, file = tmp_path / "teacher", tmp_path / "train", tmp_path / "targets"
    student = build_student(STUDENT)
    write_weights(student, teacher)
    write_tensors(train, {"images": TRAIN.pixels})
    logits = make_soft_targets(
        student, TRAIN.pixels, balanced_order(torch.from_numpy(TRAIN.labels), seed=0, epoch=0), VIEWS, count=2
    )
    key = target_key(teacher=teacher, films=train, views=VIEWS)
    write_soft_targets(file, SoftTargets(logits, 0.75), key)
    found = read_soft_targets(file, key, count=2)
    assert np.array_equal(found.logits, logits) and found.validation_auroc == 0.75
    assert np.array_equal(logits[1], predict_logits(student, TRAIN.pixels, view=draw_view(48, VIEWS, number=1)))
    other = target_key(teacher=train, films=train, views=VIEWS.model_copy(update={"seed": 1}))
    with pytest.raises(CxrError, match=r"another teacher and views; run `dvc repro soft_targets`"):
        read_soft_targets(file, other, count=2)
    with pytest.raises(CxrError, match=r"2 usable views, soft_targets\.count is 3"):
        read_soft_targets(file, key, count=3)


def test_a_network_of_films_and_lungs_sees_both_under_the_same_draws_and_only_films_in_other_frames() -> None:
    boxes = np.tile(np.array([0.1, 0.2, 0.7, 0.9], dtype=np.float32), (48, 1))
    boxes[24:] = [0.3, 0.1, 0.9, 0.8]
    film, lungs = replace(TRAIN, boxes=boxes), Images(255 - TRAIN.pixels, TRAIN.labels)
    data = seen_data({"film": film, "lungs": lungs}, {"film": VAL, "lungs": Images(255 - VAL.pixels, VAL.labels)})
    shown = ViewData(data, settings(), STUDENT)
    assert np.array_equal(shown.pixels[48:], 255 - shown.pixels[:48]) and shown.val_pixels is not None
    assert np.array_equal(shown.val_pixels, VAL.pixels)  # it validates on films
    view = shown.train_dataloader().view
    assert view is not None and len(view.gamma) == 96
    assert torch.equal(view.gamma[:48], view.gamma[48:]) and torch.equal(view.erased[:48], view.erased[48:])
    moved = (view.affine[:48] != view.affine[48:]).flatten(1).any(dim=1)
    assert 0.1 < float(moved.float().mean()) < 0.6  # half of them, a half of whom have a partner in another frame
    small = Images(TRAIN.pixels[:, :16, :16], TRAIN.labels)
    with pytest.raises(CxrError, match=r"films have 24 pixels and lungs 16: set teacher\.image_size to 24"):
        ViewData(seen_data({"film": film, "lungs": small}, {"film": VAL}), settings(), STUDENT)


def test_weights_survive_a_file_and_damaged_or_foreign_ones_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    student = build_student(STUDENT)
    write_weights(student, path)
    other = build_student(STUDENT.model_copy(update={"seed": 1}))
    load_weights(other, path)
    assert weights(other) == weights(student)
    with pytest.raises(CxrError, match="cannot load"):
        load_weights(build_student(STUDENT.model_copy(update={"channels": [4, 8, 9]})), path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CxrError, match="cannot load"):
        load_weights(other, path)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="for glibc")
def test_freed_buffers_are_there_for_the_next_step() -> None:
    def faults(how: str) -> int:
        ended = subprocess.run(program("page_faults", how), env=with_path("src"), capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        return int(ended.stdout)

    assert faults("kept") < 100
    # What glibc keeps by itself depends on where it puts the buffers, so not every run shows the difference.
    assert any(faults("returned") > 1000 for _ in range(10))


def test_diverging_training_stops_with_one_line() -> None:
    params = STUDENT.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(CxrError, match="learning_rate"):
        fit(CrossEntropyTask(build_student(params), params), DATA, SETTINGS)


def test_equal_tensors_and_metadata_give_equal_bytes(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.safetensors" for number in range(8)]
    for number, file in enumerate(files):
        entries = [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]
        write_tensors(file, {"x": np.arange(3)}, dict(entries[number % 4 :] + entries[: number % 4]))
    assert len({file.read_bytes() for file in files}) == 1
    assert read_tensors(files[0])[1] == {"a": "1", "b": "2", "c": "3", "d": "4"}


@pytest.mark.slow
def test_two_processes_train_as_one_does_with_the_same_batch(tmp_path: Path) -> None:
    # Without BatchNorm, which would see other groups of images.
    results = []
    for processes in ("1", "2"):
        out = tmp_path / processes
        command, env = program("processes", processes, out), with_path("src", "tests")
        ended = subprocess.run(command, env=env, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        results.append(load_file(out))
    for one, two in zip(*(result.values() for result in results), strict=True):
        assert torch.allclose(one, two, atol=1e-5)
