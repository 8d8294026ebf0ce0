"""One epoch of distillation, compared with the blog post's loop and with the fastest possible loop.

`python -m benchmarks.epoch ARCHIVE.zip [SIZE]`. Three loops train the same student on the same images, in fp32,
with the same batch and input size and memory format:

- the blog's: opens, decodes and resizes the files in every epoch, with 0, 1 or 2 data-loader workers (the fastest
  counts), and runs the teacher at every step;
- ours: draws views of images in memory and looks the teacher's logits up;
- the floor: forward, backward and optimiser step alone, on tensors that are ready.

Every round runs all three, and each ratio is taken within one round.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import yaml
from lightning import Callback, LightningModule, Trainer
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

from benchmarks import archive_argument, heading, progress, run
from cxr_distill.base.classes import CLASSES
from cxr_distill.data.archive import list_images, open_archive, read_entry
from cxr_distill.distill.losses import distillation_losses
from cxr_distill.distill.params import DistillParams
from cxr_distill.distill.task import DistillationTask
from cxr_distill.films.pixels import decode
from cxr_distill.nets.common.params import BalanceParams, FitSettings, TrainerParams, ViewParams
from cxr_distill.nets.student.network import build_student
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.nets.teacher.network import build_teacher
from cxr_distill.nets.teacher.params import TeacherParams
from cxr_distill.training.data import Images, TrainingData, ViewData
from cxr_distill.training.loop import keep_buffers, quiet_lightning
from demo.workspace import ROOT

ROUNDS = 5
IMAGES = 512  # at most, of an archive


class Files(Dataset[tuple[Tensor, int]]):
    """Image files that are decoded and resized at every access."""

    def __init__(self, paths: list[Path], labels: list[int], size: int) -> None:
        self.paths, self.labels, self.size = paths, labels, size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        with Image.open(self.paths[row]) as image:
            grey = image.convert("L").resize((self.size, self.size), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.asarray(grey, dtype=np.float32) / 255).unsqueeze(0), self.labels[row]


def student_step(student: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def blog_epoch(
    loader: DataLoader[tuple[Tensor, int]], teacher: nn.Module, student: nn.Module, how: DistillParams
) -> None:
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3, fused=True)
    for pixels, labels in loader:
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            targets = teacher(pixels)
        student_step(student, optimizer, distillation_losses(student(pixels), targets, labels, how)["loss"])


class Clock(Callback):
    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_epoch_start(self, _: Trainer, __: LightningModule) -> None:
        self.begun = time.perf_counter()

    def on_train_epoch_end(self, _: Trainer, __: LightningModule) -> None:
        self.seconds.append(time.perf_counter() - self.begun)


def our_epoch(images: Images, targets: np.ndarray, params: dict[str, object], how: DistillParams) -> float:
    """Seconds per image of a training epoch of the pipeline, without validation, which the blog's loop lacks."""
    fit = StudentParams.model_validate({**params["student"], "epochs": 3})  # type: ignore[dict-item]
    settings = FitSettings(
        views=ViewParams.model_validate(params["views"]),
        balance=BalanceParams.model_validate(params["balance"]),
        operating_point=None,
        trainer=TrainerParams.model_validate(params["trainer"]),
        view_count=len(targets),
    )
    data = ViewData(TrainingData(images, images, targets), settings, fit)
    task = DistillationTask(build_student(fit).to(memory_format=torch.channels_last), fit, how)
    clock = Clock()
    Trainer(
        accelerator="cpu", max_epochs=3, limit_val_batches=0, num_sanity_val_steps=0, logger=False,
        enable_checkpointing=False, enable_model_summary=False, enable_progress_bar=False,
        reload_dataloaders_every_n_epochs=1, callbacks=[clock],
    ).fit(task, datamodule=data)  # fmt: skip
    return min(clock.seconds[1:]) / (len(data.train_dataloader()) * fit.batch_size)


def floor_epoch(batches: list[tuple[Tensor, Tensor]], student: nn.Module) -> float:
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3, fused=True)
    best = float("inf")
    for _ in range(2):
        begun = time.perf_counter()
        for pixels, labels in batches:
            student_step(student, optimizer, cross_entropy(student(pixels), labels))
        best = min(best, time.perf_counter() - begun)
    return best / sum(len(labels) for _, labels in batches)


def chunks(images: Images, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    for first in range(0, len(images.labels) - size + 1, size):
        part = slice(first, first + size)
        pixels = torch.from_numpy(images.pixels[part]).unsqueeze(1).float() / 255
        yield pixels.contiguous(memory_format=torch.channels_last), torch.from_numpy(images.labels[part]).long()


def main() -> None:
    path = archive_argument()
    quiet_lightning()
    keep_buffers()  # for all three loops
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    size = int(sys.argv[2]) if len(sys.argv) > 2 else params["preprocess"]["image_size"]
    how = DistillParams.model_validate(params["distill"])
    student_params = StudentParams.model_validate(params["student"])
    teacher = (
        build_teacher(TeacherParams.model_validate(params["teacher"])).eval().to(memory_format=torch.channels_last)
    )
    with tempfile.TemporaryDirectory() as folder, open_archive(path) as archive:
        entries = list_images(archive, {})
        chosen = entries[:: max(1, len(entries) // IMAGES)]
        paths, labels, pixels = [], [], []
        for number, entry in enumerate(chosen):
            content = read_entry(archive, entry)
            paths.append(Path(folder) / f"{number}.jpeg")
            paths[-1].write_bytes(content)
            pixels.append(decode(content, size=size).pixels)
            labels.append(CLASSES.index(entry.subtype))
        images = Images(np.stack(pixels), np.array(labels, dtype=np.uint8))
        targets = np.zeros((3, len(labels), len(CLASSES)), dtype=np.float32)
        batches = list(chunks(images, student_params.batch_size))
        files = Files(paths, labels, size)
        faster, dearer = [], []
        for number in range(ROUNDS):
            blog = {}
            for workers in (0, 1, 2):
                loader = DataLoader(files, student_params.batch_size, shuffle=True, num_workers=workers)
                student = build_student(student_params).to(memory_format=torch.channels_last)
                begun = time.perf_counter()
                blog_epoch(loader, teacher, student, how)
                blog[workers] = (time.perf_counter() - begun) / len(labels)
            ours = our_epoch(images, targets, params, how)
            floor = floor_epoch(batches, build_student(student_params).to(memory_format=torch.channels_last))
            best = min(blog, key=lambda workers: blog[workers])
            faster.append(blog[best] / ours)
            dearer.append(ours / floor)
            times = ", ".join(f"{workers} workers {1000 * seconds:.2f}" for workers, seconds in blog.items())
            progress(
                f"round {number + 1}, ms per image: blog {times}; ours {1000 * ours:.2f}; floor {1000 * floor:.2f}; "
                f"blog / ours {faster[-1]:.2f}, ours / floor {dearer[-1]:.2f}"
            )
    print(heading(f"One epoch of distillation, {path.name}, {len(labels)} images, {size} px"))
    for name, ratios in (("the blog's loop / ours", faster), ("ours / the floor", dearer)):
        print(f"- {name}: {np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    print()


if __name__ == "__main__":
    run(main)
