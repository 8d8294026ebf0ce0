"""A frame that is exchanged wrongly, or a box of another film, teaches a network what is not there."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from bad_zips import UNREADABLE, write_with_bad_entry
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from small_training import TRAIN, TRAINER, VIEWS

from cxr_distill.base.errors import CxrError
from cxr_distill.data.phantom import draw_film, write_archive
from cxr_distill.data.source import SplitCounts
from cxr_distill.evaluation.frames import partners, reframed_any, share_in_lungs, variants
from cxr_distill.evaluation.predictions import DRAWS
from cxr_distill.films.cut_lungs import MARGIN, cut_box
from cxr_distill.films.pixels import decode
from cxr_distill.lungs.boxes import (
    IN_ARCHIVE,
    PUBLISHED,
    agreement,
    boxes_of,
    filled,
    intersection_over_union,
    read_boxes,
)
from cxr_distill.lungs.finder import boxes_in_view, find_boxes, train_finder
from cxr_distill.lungs.params import LungParams
from cxr_distill.nets.common.frames import frame_map, in_frame, through
from cxr_distill.nets.common.views import apply_view, draw_view

SIDE = 64
KINDS = ("IM-1.jpeg", "person1_bacteria_1.jpeg", "person1_virus_1.jpeg")


@st.composite
def box(draw: st.DrawFn) -> list[float]:
    """A box of at least a fifth of the film that does not touch its border, which would repeat."""
    left, top = draw(st.floats(0.05, 0.45)), draw(st.floats(0.05, 0.45))
    return [left, top, left + draw(st.floats(0.2, 0.5)), top + draw(st.floats(0.2, 0.5))]


def bright(boxes: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Black films with a white rectangle in each box."""
    middle = (np.arange(side) + 0.5) / side
    across = (middle > boxes[:, :1]) & (middle < boxes[:, 2:3])
    down = (middle > boxes[:, 1:2]) & (middle < boxes[:, 3:4])
    return (255 * (down[:, :, None] & across[:, None, :])).astype(np.uint8)


def seen_box(pixels: np.ndarray) -> np.ndarray:
    """Where a white rectangle lies, as shares of the side, to half a pixel."""
    found = []
    for film in pixels > 127:
        rows, columns = np.flatnonzero(film.any(axis=1)), np.flatnonzero(film.any(axis=0))
        found.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    return np.array(found) / pixels.shape[-1]


@given(own=box(), partner=box())
@settings(max_examples=50, deadline=None)
def test_lungs_come_to_lie_where_those_of_the_partner_lie(own: list[float], partner: list[float]) -> None:
    boxes, others = np.array([own], np.float32), np.array([partner], np.float32)
    moved = in_frame(torch.from_numpy(bright(boxes)), torch.from_numpy(boxes), torch.from_numpy(others)).numpy()
    assert np.abs(seen_box(moved) - others).max() < 2 / SIDE


def test_a_film_in_its_own_frame_is_the_same_film() -> None:
    films = torch.from_numpy(TRAIN.pixels)
    boxes = torch.tensor([[0.2, 0.1, 0.8, 0.9]]).expand(len(films), 4)
    assert torch.equal(in_frame(films, boxes, boxes), films)


def test_maps_one_after_the_other_are_one_map() -> None:
    one, other = (torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    points = torch.randn(5, 3, 1, generator=torch.Generator().manual_seed(2))
    points[:, 2] = 1
    inner = torch.cat([other @ points, torch.ones(5, 1, 1)], dim=1)
    torch.testing.assert_close(through(one, other) @ points, one @ inner)


def test_exchanging_frames_changes_no_other_draw_of_a_view() -> None:
    boxes = torch.rand(48, 4, generator=torch.Generator().manual_seed(0)) * 0.4
    boxes[:, 2:] += 0.5
    plain = draw_view(48, VIEWS, number=3)
    exchanged = draw_view(48, VIEWS, number=3, boxes=boxes)
    assert not torch.equal(exchanged.affine, plain.affine)
    for name in ("contrast", "brightness", "gamma", "detail", "erased"):
        assert torch.equal(getattr(exchanged, name), getattr(plain, name))
    kept = (exchanged.affine == plain.affine).all(dim=(1, 2)).float().mean()
    assert abs(float(kept) - (1 - VIEWS.frame)) < 0.25
    assert torch.equal(draw_view(48, VIEWS, number=3, boxes=boxes).affine, exchanged.affine)
    never = VIEWS.model_copy(update={"frame": 0.0})
    assert torch.equal(draw_view(48, never, number=3, boxes=boxes).affine, plain.affine)


def test_with_frames_always_exchanged_a_frame_says_nothing_of_its_film() -> None:
    random = np.random.default_rng(0)
    boxes = np.tile(np.array([[0.1, 0.1, 0.5, 0.9], [0.5, 0.1, 0.9, 0.9]], np.float32), (150, 1))
    boxes += random.uniform(-0.02, 0.02, boxes.shape).astype(np.float32)
    still = dict.fromkeys(("translation", "scale", "aspect", "flip", "contrast", "brightness", "gamma", "detail"), 0.0)
    views = VIEWS.model_copy(update={**still, "rotation_degrees": 0.0, "erase": 0.0, "frame": 1.0})
    view = draw_view(len(boxes), views, number=0, boxes=torch.from_numpy(boxes))
    shown = seen_box((apply_view(torch.from_numpy(bright(boxes)), view)[:, 0].numpy() * 255).astype(np.uint8))
    before = np.corrcoef(boxes[:, 0], np.arange(len(boxes)) % 2)[0, 1]
    after = np.corrcoef(shown[:, 0], np.arange(len(boxes)) % 2)[0, 1]
    assert before > 0.9
    assert abs(after) < 0.2


def test_a_box_follows_its_film_through_a_view() -> None:
    boxes = np.array([[0.2, 0.3, 0.6, 0.8], [0.4, 0.1, 0.9, 0.7]] * 20, np.float32)
    views = VIEWS.model_copy(update={"rotation_degrees": 0.0, "erase": 0.0, "contrast": 0.0, "brightness": 0.0})
    view = draw_view(len(boxes), views, number=1)
    seen = apply_view(torch.from_numpy(bright(boxes)), view)[:, 0].numpy()
    moved = boxes_in_view(torch.from_numpy(boxes), view.affine).numpy()
    assert np.abs(seen_box((seen * 255).astype(np.uint8)) - moved).max() < 2 / SIDE


@pytest.mark.parametrize("where", [(0.2, 0.3, 0.7, 0.8), (0.0, 0.0, 1.0, 1.0), (0.0, 0.5, 0.4, 1.0)])
def test_lungs_are_cut_out_with_their_margin(where: tuple[float, float, float, float]) -> None:
    film = Image.fromarray(bright(np.array([where]), 200)[0]).resize((300, 200))
    cut = cut_box(film, where, size=96)
    assert cut.shape == (96, 96)
    inner = MARGIN / (1 + 2 * MARGIN)
    wanted = [0 if where[0] == 0 else inner, 0 if where[1] == 0 else inner]  # the film's edge pixels repeat
    assert np.abs(seen_box(cut[None])[0, :2] - wanted).max() < 0.03


BAD_TABLES = {
    "no columns": "a,b\n1,2\n",
    "empty": "",
    "text": "file,left,top,right,bottom\ntrain/NORMAL/a.jpeg,x,0,1,1\n",
    "outside": "file,left,top,right,bottom\ntrain/NORMAL/a.jpeg,-0.1,0,1,1\n",
    "turned round": "file,left,top,right,bottom\ntrain/NORMAL/a.jpeg,0.9,0,0.1,1\n",
    "no number": "file,left,top,right,bottom\ntrain/NORMAL/a.jpeg,nan,0,1,1\n",
    "twice": "file,left,top,right,bottom\ntrain/NORMAL/a.jpeg,0,0,1,1\ntrain/NORMAL/a.jpeg,0,0,1,1\n",
    "a row too long": "file,left,top,right,bottom\ntrain/NORMAL/a.jpeg,0,0,1,1\na,b,c,d,e,f,g\n",
    "not text": "\udcff\udcfe",
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_damaged_table_of_boxes_is_one_clear_error(tmp_path: Path, name: str) -> None:
    with ZipFile(tmp_path / "films.zip", "w") as archive:
        archive.writestr("chest_xray/lungs.csv", BAD_TABLES[name].encode(errors="surrogateescape"))
    with pytest.raises(CxrError, match=r"lungs\.csv[^\n]*$"):
        read_boxes(tmp_path / "films.zip")


@pytest.mark.parametrize("how", UNREADABLE)
def test_boxes_that_the_archive_does_not_give_are_one_clear_error(tmp_path: Path, how: str) -> None:
    contents = {
        "chest_xray/train/NORMAL/a.jpeg": b"",
        IN_ARCHIVE: b"file,left,top,right,bottom\n" + b"a,0,0,1,1\n" * 99,
    }
    write_with_bad_entry(tmp_path / "films.zip", contents, IN_ARCHIVE, how)
    with pytest.raises(CxrError, match=r"lungs\.csv: [^\n]* in the zip: [^\n]*; run `dvc repro -f download`$"):
        read_boxes(tmp_path / "films.zip")


def test_an_archive_without_boxes_gets_the_published_ones(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "films.zip", "w") as archive:
        archive.writestr("chest_xray/train/NORMAL/IM-0115-0001.jpeg", b"")
    table = read_boxes(tmp_path / "films.zip")
    assert len(table) == len(PUBLISHED.read_text().splitlines()) - 1 == 5851
    boxes = boxes_of(["train/NORMAL/IM-0115-0001.jpeg", "train/NORMAL/none.jpeg"], table)
    assert np.isnan(boxes).any(axis=1).tolist() == [False, True]
    found = np.full((2, 4), 0.5, np.float32)
    assert np.array_equal(filled(boxes, found), [boxes[0], found[1]])


def test_overlap_of_boxes_by_hand() -> None:
    one = np.array([[0, 0, 0.5, 1], [0, 0, 0.5, 0.5], [0, 0, 1, 1]])
    other = np.array([[0.25, 0, 0.75, 1], [0.5, 0.5, 1, 1], [0, 0, 1, 1]])
    assert intersection_over_union(one, other).tolist() == [pytest.approx(1 / 3), 0, 1]
    assert agreement(one, other) == {"n": 3, "mean_iou": round(4 / 9, 6), "mean_iou_of_worst_twentieth": 0.0}


def test_the_boxes_that_phantoms_bring_are_where_their_lungs_are(tmp_path: Path) -> None:
    counts = SplitCounts.model_validate({split: {"NORMAL": 8, "PNEUMONIA": 8} for split in ("train", "val", "test")})
    write_archive(tmp_path / "films.zip", counts, seed=0)
    table = read_boxes(tmp_path / "films.zip")
    with ZipFile(tmp_path / "films.zip") as archive:
        for file, row in table.iterrows():
            pixels = decode(archive.read(f"chest_xray/{file}"), size=100).pixels.astype(float)
            left, top, right, bottom = (round(100 * side) for side in row)
            # Lungs are dark and what is beside them is bright, but not if the box is shifted or too narrow.
            assert _rim(pixels, left, top, right, bottom) > 50, file
            aside = 12 if right < 80 else -12
            for wrong in ((left + aside, right + aside), (left + 8, right - 8)):
                assert _rim(pixels, wrong[0], top, wrong[1], bottom) < 40, file


def _rim(pixels: np.ndarray, left: int, top: int, right: int, bottom: int) -> float:
    """How much brighter it is outside the left and right sides of a box than inside."""
    rows, width = slice(top + 15, bottom - 10), 6
    outside = (pixels[rows, max(left - width, 0) : left - 1], pixels[rows, right + 1 : right + width])
    inside = (pixels[rows, left + 4 : left + 4 + width], pixels[rows, right - 4 - width : right - 4])
    return float(np.hstack(outside).mean() - np.hstack(inside).mean())


def test_partners_are_of_the_other_class_and_the_same_each_time() -> None:
    labels = np.array([0, 1, 2, 0, 1, 2, 2], np.uint8)
    chosen = partners(labels, seed=3)
    assert ((labels > 0) != (labels[chosen] > 0)).all()
    assert np.array_equal(chosen, partners(labels, seed=3))


def test_a_greyed_film_shows_neither_its_own_lungs_nor_where_they_were() -> None:
    boxes = np.array([[0.1, 0.1, 0.5, 0.6], [0.4, 0.3, 0.9, 0.9]], np.float32)
    films, labels = bright(boxes), np.array([0, 1], np.uint8)
    changed = {name: next(draws) for name, draws in variants(films, boxes, labels, seed=0)}
    union = (0.1, 0.1, 0.9, 0.9)
    inside = slice(int(union[1] * SIDE) + 1, int(union[3] * SIDE))
    for film in range(2):
        assert len(np.unique(changed["lungs_greyed"][film, inside, inside])) == 1
        assert np.array_equal(changed["lungs_only"][film, inside, inside], films[film, inside, inside])
    assert np.array_equal(changed["lungs_greyed"][0], changed["lungs_greyed"][1])  # nothing tells the two films apart
    assert np.abs(seen_box(changed["reframed"]) - boxes[::-1]).max() < 2 / SIDE
    assert np.abs(seen_box(changed["mean_frame"]) - boxes.mean(axis=0)).max() < 2 / SIDE


def test_partners_of_any_class_do_not_tell_the_class_and_each_film_is_one_once() -> None:
    boxes = np.array([[0.1, 0.1, 0.5, 0.6], [0.4, 0.3, 0.9, 0.9]] * 20, np.float32)
    draws = list(reframed_any(bright(boxes), boxes, seed=0))
    assert len(draws) == DRAWS
    sides = np.arange(40) % 2
    for draw in draws:
        left = seen_box(draw)[:, 0] > 0.25  # framed as the second kind of film
        assert left.sum() == 20 and abs(np.corrcoef(left, sides)[0, 1]) < 0.5
    again = list(reframed_any(bright(boxes), boxes, seed=0))
    assert all(np.array_equal(one, other) for one, other in zip(draws, again, strict=True))
    assert not np.array_equal(draws[0], draws[1])


def test_share_of_activation_in_the_lungs_by_hand() -> None:
    maps = np.zeros((3, 4, 4))
    maps[0, 0, 0], maps[0, 3, 3] = 1, 3  # a quarter in the box
    maps[1] = -1  # nothing positive: not counted
    maps[2, 1, 1] = 5
    boxes = np.tile(np.array([0, 0, 0.5, 0.5], np.float32), (3, 1))
    assert share_in_lungs(maps, boxes) == pytest.approx((0.25 + 1) / 2)


FINDER = LungParams(channels=[8, 12, 16], epochs=16, batch_size=16, learning_rate=4e-3, weight_decay=0.01, seed=0)


@pytest.mark.slow
def test_a_finder_learns_where_lungs_are_and_again_the_same() -> None:
    films = [draw_film(KINDS[number % 3], np.random.default_rng(number)) for number in range(192)]
    pixels = np.stack([decode(film.jpeg, size=32).pixels for film in films])
    boxes = np.array([film.lungs for film in films], np.float32)
    boxes[5] = np.nan
    nets = [train_finder(FINDER, pixels[:128], boxes[:128], VIEWS, TRAINER) for _ in range(2)]
    found, again = (find_boxes(net, pixels[128:]) for net in nets)
    assert np.array_equal(found, again)
    middle = np.tile(np.nanmean(boxes[:128], axis=0), (64, 1))
    mean = intersection_over_union(middle, boxes[128:]).mean()
    assert intersection_over_union(found, boxes[128:]).mean() > max(0.8, mean)
    with pytest.raises(CxrError, match="have a box"):
        train_finder(FINDER, pixels[:8], boxes[:8], VIEWS, TRAINER)
    wild = FINDER.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(CxrError, match=r"diverged; lower lungs\.learning_rate"):
        train_finder(wild, pixels[:128], boxes[:128], VIEWS, TRAINER)


def test_a_frame_map_of_many_films_is_that_of_each() -> None:
    random = torch.Generator().manual_seed(4)
    own, other = (torch.rand(6, 4, generator=random) * 0.4 + torch.tensor([0, 0, 0.5, 0.5]) for _ in range(2))
    together = frame_map(own, other)
    each = torch.cat([frame_map(own[row : row + 1], other[row : row + 1]) for row in range(6)])
    assert torch.equal(together, each)
