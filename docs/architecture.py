"""Rooms of the library and who imports whom, read from the code itself: a picture and a table.

A room is a folder of src/cxr_distill with modules of its own; in nets/, which has none, its folders are rooms.
"""

from __future__ import annotations

import ast
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import yaml
from grimp import build_graph
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from cxr_distill.evaluation.figures import svg

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "src" / "cxr_distill"
EVERYBODYS = "base"  # every room may use it, so that its arrows would only hide the others
TORCH = {"torch", "torchvision", "lightning"}
NARROW = 0.3  # what an arrow that passes a layer takes of it, beside a room's 1

Graph = dict[str, set[str]]
"""Room -> the rooms that it imports."""


def rooms() -> list[str]:
    """Names of the rooms as paths below src/cxr_distill."""
    found = []
    for folder in sorted(file.parent for file in LIBRARY.glob("*/__init__.py")):
        own_modules = [file for file in folder.glob("*.py") if file.name != "__init__.py"]
        inner = sorted(file.parent for file in folder.glob("*/__init__.py"))
        found += [folder] if own_modules else inner
    return [folder.relative_to(LIBRARY).as_posix() for folder in found]


def import_graph() -> Graph:
    """What each room imports: other rooms, and the top names of packages from elsewhere."""
    modules = build_graph(
        "cxr_distill", include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )
    dotted = {f"cxr_distill.{name.replace('/', '.')}": name for name in rooms()}
    for room in dotted:
        modules.squash_module(room)
    return {
        name: {dotted.get(other, other.split(".")[0]) for other in modules.find_modules_directly_imported_by(room)}
        - {name}
        for room, name in dotted.items()
    }


def reachable(graph: Graph, room: str) -> set[str]:
    """Every room that `room` imports, directly or through others."""
    found: set[str] = set()
    waiting = list(graph[room])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += graph[name]
    return found


def shortest(graph: Graph) -> Graph:
    """The graph without what everybody uses, and without arrows that follow from others."""
    slim = {name: (others & graph.keys()) - {EVERYBODYS} for name, others in graph.items() if name != EVERYBODYS}
    return {
        name: {other for other in others if not any(other in reachable(slim, between) for between in others - {other})}
        for name, others in slim.items()
    }


def layers(graph: Graph) -> dict[str, int]:
    """Height of each room: one above the highest that it imports."""
    height: dict[str, int] = {}

    def of(name: str) -> int:
        if name not in height:
            height[name] = 1 + max((of(other) for other in graph[name]), default=-1)
        return height[name]

    for name in sorted(graph):
        of(name)
    return height


def places(graph: Graph) -> tuple[dict[str, tuple[float, int]], list[list[tuple[float, int]]]]:
    """(x, height) of every room and the points of every arrow.

    An arrow over several layers gets a point in each, so that it passes between the rooms there. The order in a layer
    is found by exchanging pairs for as long as that makes arrows cross less, then run less far.
    """
    height = layers(graph)
    rows: list[list[str]] = [[] for _ in range(max(height.values()) + 1)]
    for name in sorted(height):
        rows[height[name]].append(name)
    paths = []
    for name in sorted(graph):
        for other in sorted(graph[name]):
            between = [(level, f"{name}>{other}@{level}") for level in range(height[name] - 1, height[other], -1)]
            for level, point in between:
                rows[level].append(point)
            paths.append([name, *(point for _, point in between), other])
    level_of = {name: level for level, row in enumerate(rows) for name in row}
    hops = [hop for path in paths for hop in pairwise(path)]

    def spread() -> dict[str, float]:
        x = {}
        for row in rows:
            width = [NARROW if "@" in name else 1.0 for name in row]
            left = -sum(width) / 2
            for name, own in zip(row, width, strict=True):
                x[name] = left + own / 2
                left += own
        return x

    def cost() -> tuple[int, float]:
        x = spread()
        crossings = sum(
            level_of[a] == level_of[c] and (x[a] - x[c]) * (x[b] - x[d]) < 0 for (a, b), (c, d) in combinations(hops, 2)
        )
        return crossings, round(sum(abs(x[a] - x[b]) for a, b in hops), 6)

    best, better = cost(), True
    while better:
        better = False
        for row in rows:
            for i, j in combinations(range(len(row)), 2):
                row[i], row[j] = row[j], row[i]
                if (found := cost()) < best:
                    best, better = found, True
                else:
                    row[i], row[j] = row[j], row[i]
    x = spread()
    return {name: (x[name], height[name]) for name in height}, [[(x[n], level_of[n]) for n in path] for path in paths]


def picture() -> bytes:
    """SVG of the rooms: an arrow goes from the room that imports to the one that is imported."""
    graph = import_graph()
    where, arrows = places(shortest(graph))
    figure = Figure(figsize=(10, 6), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    step, half, tall = 1.5, 0.46, 0.34
    line: dict[str, Any] = {"color": "0.55", "linewidth": 1.0}
    for points in arrows:
        path = [(x, step * y + side) for x, y in points for side in (tall, -tall)][1:-1]
        axes.plot(*zip(*path, strict=True), **line, zorder=1)
        axes.annotate("", path[-1], path[-2], arrowprops={"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, **line})
    for name, (x, y) in where.items():
        _box(axes, x - half, step * y - tall, 2 * half, 2 * tall, name, torch=bool(graph[name] & TORCH))
    left, right = min(x for x, _ in where.values()) - half, max(x for x, _ in where.values()) + half
    top, bottom = step * max(y for _, y in where.values()) + tall, 0.2 - step - tall
    everybodys = f"{EVERYBODYS} (used by every package)"
    _box(axes, left, bottom, right - left, 2 * tall, everybodys, torch=bool(graph[EVERYBODYS] & TORCH))
    for number, (label, torch) in enumerate((("imports PyTorch", True), ("does not", False))):
        _box(axes, left, top - 0.35 - 0.5 * number, 0.2, 0.3, "", torch=torch)
        axes.text(left + 0.28, top - 0.2 - 0.5 * number, label, va="center", fontsize=9)
    axes.set(xlim=(left - 0.15, right + 0.15), ylim=(bottom - 0.2, top + 0.2))
    # Matplotlib ends some lines in a space, which Git and editors complain about.
    return b"\n".join(part.rstrip() for part in svg(figure).splitlines()) + b"\n"


def _box(axes: Any, x: float, y: float, width: float, height: float, name: str, *, torch: bool) -> None:
    face = "#fbe3d6" if torch else "#dcebf7"
    style = "round,pad=0,rounding_size=0.06"
    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=style, facecolor=face, edgecolor="0.3", zorder=2))
    axes.text(x + width / 2, y + height / 2, name, ha="center", va="center", fontsize=10, zorder=3)


def stages_of(pipeline: Path) -> dict[str, list[str]]:
    """Stage of a dvc.yaml -> its deps, relative to the root."""
    stages: dict[str, Any] = yaml.safe_load(pipeline.read_text())["stages"]
    up = "../" if pipeline.parent != ROOT else ""
    return {
        name: [dep.removeprefix(up) for dep in stage.get("do", stage)["deps"] if isinstance(dep, str)]
        for name, stage in stages.items()
        if name.removesuffix("_set") == name  # the same program as the stage without it
    }


def room_table() -> str:
    """Markdown: what each room is for, and which stages run again when any, or only some, of its modules change."""
    pipelines = [ROOT / "dvc.yaml", ROOT / "study" / "dvc.yaml"]
    main, study = (stages_of(path) for path in pipelines)
    lines = [
        "| package | what is in it | stages that depend on the whole package | on single modules |",
        "|---|---|---|---|",
    ]
    for name in rooms():
        folder = LIBRARY / name
        purpose = (ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or "").split("\n")[0]
        inside = f"{folder.relative_to(ROOT).as_posix()}/"
        wholly, partly = (
            [f"`{stage}`" for stage, deps in main.items() if any(_depends(dep, inside, whole=whole) for dep in deps)]
            + ["the study"] * any(_depends(dep, inside, whole=whole) for deps in study.values() for dep in deps)
            for whole in (True, False)
        )
        cells = [", ".join(wholly), ", ".join(each for each in partly if each not in wholly)]
        lines.append(f"| [`{name}`](../{inside.rstrip('/')}) | {purpose} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def _depends(dep: str, inside: str, *, whole: bool) -> bool:
    if whole:
        return inside.startswith(f"{dep}/")
    return dep.startswith(inside)
