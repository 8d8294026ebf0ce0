"""The real Kaggle client against a loopback server: a hiccup must not cost two gigabytes, nor a log a token."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT, program, run
from kaggle_server import Kaggle, serving

from demo.workspace import make_workspace, merge

TOKEN = "KGAT_very-secret-token"
OUT = Path("data/raw/chest-xray-pneumonia.zip")


def zip_bytes() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("noise", np.random.default_rng(0).bytes(3_000_000))
    return buffer.getvalue()


CONTENT = zip_bytes()


def download(folder: Path, environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Runs tests/programs/impatient_download.py with these words."""
    shutil.copy(ROOT / "params.yaml", folder)
    home = folder / "home"
    home.mkdir(exist_ok=True)
    clean = {key: value for key, value in os.environ.items() if "proxy" not in key.lower() and "KAGGLE" not in key}
    clean |= {"HOME": str(home), "PYTHONPATH": str(ROOT), **environment}
    command = program("impatient_download", *words)
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, timeout=100)


def assert_one_line_error(result: subprocess.CompletedProcess[str], folder: Path, *words: str) -> None:
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode == 1 and len(errors) == 1 and "Traceback" not in result.stderr, result.stderr
    assert all(word in errors[0] for word in words), errors
    assert not (folder / OUT).exists()
    assert TOKEN not in result.stdout + result.stderr and "secret-from-server" not in result.stderr


def test_download_with_a_token_at_the_pinned_version(tmp_path: Path) -> None:
    with serving(Kaggle(CONTENT)) as kaggle:
        result = download(tmp_path, {**kaggle.environment(), "KAGGLE_API_TOKEN": TOKEN})
    assert result.returncode == 0, result.stderr
    assert (tmp_path / OUT).read_bytes() == CONTENT
    assert kaggle.downloads[0]["datasetVersionNumber"] == 2
    assert kaggle.authorizations == [f"Bearer {TOKEN}"]
    assert TOKEN not in result.stdout + result.stderr
    assert not list((tmp_path / ".partial").rglob("*.zip"))


def test_download_without_an_account_is_tried_anonymously(tmp_path: Path) -> None:
    with serving(Kaggle(CONTENT)) as kaggle:
        result = download(tmp_path, kaggle.environment())
    assert result.returncode == 0, result.stderr
    assert kaggle.authorizations == [None]
    assert (tmp_path / OUT).read_bytes() == CONTENT


def test_a_broken_transfer_goes_on_in_the_same_run(tmp_path: Path) -> None:
    with serving(Kaggle(CONTENT, cuts=[1_500_000])) as kaggle:
        result = download(tmp_path, kaggle.environment())
    assert result.returncode == 0, result.stderr
    assert (tmp_path / OUT).read_bytes() == CONTENT
    assert any(asked and asked != "bytes=0-" for asked in kaggle.ranges)


def test_a_broken_transfer_goes_on_in_the_next_run(tmp_path: Path) -> None:
    with serving(Kaggle(CONTENT, cuts=[1_500_000, *[0] * 20])) as kaggle:
        assert_one_line_error(download(tmp_path, kaggle.environment()), tmp_path, "resumes")
    left = next((tmp_path / ".partial").rglob("*.zip")).stat().st_size
    with serving(Kaggle(CONTENT)) as kaggle:
        result = download(tmp_path, kaggle.environment())
    assert result.returncode == 0, result.stderr
    assert f"bytes={left}-" in kaggle.ranges and 0 < left < len(CONTENT)
    assert (tmp_path / OUT).read_bytes() == CONTENT


def test_rate_limits_and_hiccups_are_waited_out(tmp_path: Path) -> None:
    with serving(Kaggle(CONTENT, statuses=[429, 503])) as kaggle:
        result = download(tmp_path, kaggle.environment())
    assert result.returncode == 0, result.stderr
    assert len(kaggle.downloads) == 3 and result.stdout.count("next try in") == 2


@pytest.mark.parametrize(
    ("statuses", "word"),
    [
        ([401], "token"),
        ([403], "licence"),
        ([404], "data.kaggle.dataset"),
        ([429] * 9, "rate limit"),
        ([500] * 9, "later"),
    ],
)
def test_what_kaggle_refuses_is_one_line_that_says_what_to_do(tmp_path: Path, statuses: list[int], word: str) -> None:
    with serving(Kaggle(CONTENT, statuses=statuses)) as kaggle:
        result = download(tmp_path, {**kaggle.environment(), "KAGGLE_API_TOKEN": TOKEN})
    assert_one_line_error(result, tmp_path, word)


@pytest.mark.parametrize(
    "content", [b"<html>not a zip</html>", CONTENT[:-2000], b""], ids=["html", "truncated", "empty"]
)
def test_an_answer_that_is_no_whole_zip_is_refused_and_forgotten(tmp_path: Path, content: bytes) -> None:
    with serving(Kaggle(content)) as kaggle:
        assert_one_line_error(download(tmp_path, kaggle.environment()), tmp_path, "not a whole zip")
    assert not list((tmp_path / ".partial").rglob("*.zip"))


def test_no_network_names_the_way_round_it(tmp_path: Path) -> None:
    nowhere = Kaggle(CONTENT, address="http://127.0.0.1:9")
    assert_one_line_error(download(tmp_path, nowhere.environment()), tmp_path, "CXR_ARCHIVE")


def test_a_write_that_the_system_refuses_is_one_line(tmp_path: Path) -> None:
    with serving(Kaggle(CONTENT)) as kaggle:
        assert_one_line_error(download(tmp_path, kaggle.environment(), "1000000"), tmp_path, "archive")


def test_an_archive_at_hand_is_copied_and_a_wrong_one_refused(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.zip", tmp_path / "bad.zip"
    good.write_bytes(CONTENT)
    bad.write_bytes(CONTENT[:-2000])
    assert_one_line_error(download(tmp_path, {"CXR_ARCHIVE": str(bad)}), tmp_path, "CXR_ARCHIVE")
    assert_one_line_error(download(tmp_path, {"CXR_ARCHIVE": str(tmp_path / "none")}), tmp_path, "does not exist")
    assert download(tmp_path, {"CXR_ARCHIVE": str(good)}).returncode == 0
    assert (tmp_path / OUT).read_bytes() == CONTENT


@pytest.mark.slow
@pytest.mark.parametrize("source", ["kaggle", "phantom"])
def test_an_edited_phantom_does_not_ask_kaggle_again(tmp_path: Path, source: str) -> None:
    (tmp_path / "good.zip").write_bytes(CONTENT)
    folder = tmp_path / "workspace"
    counts = {split: {"NORMAL": 1, "PNEUMONIA": 1} for split in ("train", "val", "test")}
    make_workspace(folder, {"data": {"source": source, "expected_counts": counts}})
    run(folder, "git", "init", "-q")
    run(folder, "env", f"CXR_ARCHIVE={tmp_path / 'good.zip'}", "dvc", "repro", "download")
    module = folder / "src/cxr_distill/data/phantom.py"
    module.write_text(module.read_text() + "\n")
    edited = run(folder, "dvc", "status", "download")
    assert ("up to date" in edited) == (source == "kaggle")
    run(folder, "dvc", "repro", "download")
    params = folder / "params.yaml"
    params.write_text(yaml.safe_dump(merge(yaml.safe_load(params.read_text()), {"data": {"phantom": {"seed": 9}}})))
    turned = run(folder, "dvc", "status", "download")
    assert ("up to date" in turned) == (source == "kaggle") and ("data.phantom" in turned) == (source == "phantom")
