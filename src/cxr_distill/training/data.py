"""The images of a training run, in memory, and the batches of an epoch: views in a seeded order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule
from numpy.typing import NDArray
from torch import Tensor

from cxr_distill.base.errors import CxrError
from cxr_distill.base.tensors import read_tensors
from cxr_distill.nets.common.params import FitSettings, ScheduleParams
from cxr_distill.nets.common.views import View, draw_view, joined, network_input
from cxr_distill.training.film_quality import overlap_weights
from cxr_distill.training.sampling import balanced_order, shuffled_order
from cxr_distill.training.task import Batch


@dataclass(frozen=True)
class Images:
    """A split: grey uint8 `pixels` (N, S, S), class `labels` (N,); for films also `boxes` of the lungs (N, 4).

    For the lung finder, `labels` are float32 (N, 4): the boxes that it learns.
    """

    pixels: NDArray[Any]
    labels: NDArray[Any]
    boxes: NDArray[Any] | None = None


def read_images(path: Path) -> Images:
    """A split from data/film or data/lungs; only films have boxes."""
    tensors, _ = read_tensors(path)
    return Images(tensors["images"], tensors["labels"], tensors.get("boxes"))


@dataclass(frozen=True)
class TrainingData:
    """What a network learns from. teacher: for distillation, logits float32 (V, N, K) for V views of `train`.

    lungs: those of `train`, cut out, for a network that learns from both: an epoch shows each film and its lungs, as
    images of their own.
    """

    train: Images
    val: Images
    teacher: NDArray[np.float32] | None = None
    lungs: Images | None = None

    def shown(self) -> list[Images]:
        """What an epoch shows. Raises CxrError if films and lungs differ in size."""
        if self.lungs is None:
            return [self.train]
        film, lungs = (each.pixels.shape[-1] for each in (self.train, self.lungs))
        if film != lungs:
            raise CxrError(f"films have {film} pixels and lungs {lungs}: set teacher.image_size to {film}")
        return [self.train, self.lungs]

    def arrays(self) -> list[NDArray[Any]]:
        """All arrays, in a fixed order."""
        splits = (*self.shown(), self.val)
        found = [array for split in splits for array in (split.pixels, split.labels)]
        return found + [array for array in (*(split.boxes for split in splits), self.teacher) if array is not None]


def seen_data(train: Mapping[str, Images], val: Mapping[str, Images]) -> TrainingData:
    """What a network learns from that sees these kinds of picture, film or lungs; of both it validates on films."""
    first = "film" if "film" in train else "lungs"
    return TrainingData(train[first], val[first], lungs=train["lungs"] if len(train) > 1 else None)


@dataclass(frozen=True)
class Batches:
    """The batches of one epoch: tensors already in memory, picked by row.

    A batch has `size` images over all processes; process `rank` of `world` takes every world-th.
    """

    images: Tensor
    labels: Tensor
    order: Tensor
    size: int
    view: View | None = None
    teacher: Tensor | None = None
    rank: int = 0
    world: int = 1

    def __len__(self) -> int:
        return -(-len(self.order) // self.size) if self.view is None else max(1, len(self.order) // self.size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for number in range(len(self)):  # the last, short training batch is dropped: BatchNorm needs full ones
            rows = self.order[number * self.size : (number + 1) * self.size][self.rank :: self.world]
            batch: dict[str, Any] = {"images": self.images[rows], "labels": self.labels[rows]}
            if self.view is not None:
                batch["view"] = self.view.rows(rows)
            if self.teacher is not None:
                batch["teacher"] = self.teacher[rows]
            yield batch


class ViewData(LightningDataModule):
    """Train and validation images in memory; epoch e shows view e (mod `settings.view_count`, if given)."""

    def __init__(self, data: TrainingData, settings: FitSettings, schedule: ScheduleParams) -> None:
        super().__init__()
        self.settings, self.schedule = settings, schedule
        pixels, labels, self.boxes = zip(*map(_tensors, data.shown()), strict=True)
        self.pixels, self.labels, self.films = torch.cat(pixels), torch.cat(labels), len(labels[0])
        self.val_pixels, self.val_labels, self.val_boxes = _tensors(data.val)
        self.teacher = None if data.teacher is None else torch.from_numpy(data.teacher)
        self.weights = None
        if settings.balance.classes:
            self.weights = overlap_weights(self.pixels, self.labels, strength=settings.balance.film_quality)

    def train_dataloader(self) -> Batches:
        epoch, rank, world = 0, 0, 1
        if self.trainer:
            epoch, rank, world = self.trainer.current_epoch, self.trainer.global_rank, self.trainer.world_size
        size, seed, count = self.schedule.batch_size, self.schedule.seed, self.settings.view_count
        if size % world:
            raise CxrError(f"batch_size {size} is not divisible by {world} processes; make it so")
        if self.weights is None:
            order = shuffled_order(len(self.labels), seed=seed, epoch=epoch)
        else:
            order = balanced_order(self.labels, self.weights, seed=seed, epoch=epoch)
        number = epoch if count is None else epoch % count
        return Batches(
            self.pixels,
            self.labels,
            order,
            size,
            joined([draw_view(self.films, self.settings.views, number=number, boxes=each) for each in self.boxes]),
            None if self.teacher is None else self.teacher[number],
            rank,
            world,
        )

    def val_dataloader(self) -> Batches:
        # Every process validates on the whole set, which is small: all have the same, exact figures.
        return Batches(self.val_pixels, self.val_labels, torch.arange(len(self.val_labels)), 64)

    def on_after_batch_transfer(self, batch: dict[str, Any], _: int) -> Batch:
        """Draw the view on the device that trains."""
        view = batch.pop("view", None)
        images = batch.pop("images")
        if view is None:
            return {**batch, "pixels": network_input(images)}
        view = view.to(images.device)
        return {**batch, "pixels": network_input(images, view), "affine": view.affine}


def _tensors(images: Images) -> tuple[Tensor, Tensor, Tensor | None]:
    labels = torch.from_numpy(images.labels)
    boxes = None if images.boxes is None else torch.from_numpy(images.boxes)
    return torch.from_numpy(images.pixels), labels if labels.is_floating_point() else labels.long(), boxes
