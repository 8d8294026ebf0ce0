"""Data, models and runs move between machines through a real S3 client, and the released model by its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import boto3
import pytest
from conftest import program, ran, run
from moto.server import ThreadedMotoServer

pytestmark = pytest.mark.slow
SECRET = token_hex()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name, value in {"ACCESS_KEY_ID": "id", "SECRET_ACCESS_KEY": SECRET, "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    _, port = server.get_host_and_port()
    url = f"http://127.0.0.1:{port}"
    boto3.client("s3", endpoint_url=url).create_bucket(Bucket="team")
    yield url
    server.stop()


def test_a_fresh_clone_pulls_every_result_from_s3_and_trains_nothing(
    finished: Path, bucket: str, tmp_path: Path
) -> None:
    cache = finished / ".dvc" / "cache"
    first, second = tmp_path / "first", tmp_path / "second"
    run(finished, "git", "clone", "-q", str(finished), str(first))
    run(first, "dvc", "cache", "dir", "--local", str(cache))
    run(first, "dvc", "remote", "add", "-d", "team", "s3://team/cxr")
    run(first, "dvc", "remote", "modify", "team", "endpointurl", bucket)
    run(first, "git", "commit", "-qam", "remote")
    run(first, "dvc", "push", "--run-cache")

    run(first, "git", "clone", "-q", str(first), str(second))
    run(second, "dvc", "pull", "--run-cache")
    assert ran(run(second, "dvc", "repro")) == []
    for model in ("models/teacher.safetensors", "models/distilled.safetensors"):
        assert (second / model).read_bytes() == (finished / model).read_bytes()
    assert not [path for path in first.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


def test_a_stranger_downloads_the_released_model_by_its_name(finished: Path, tmp_path: Path) -> None:
    clone, elsewhere = tmp_path / "clone", tmp_path / "elsewhere"
    elsewhere.mkdir()
    run(finished, "git", "clone", "-q", str(finished), str(clone))
    run(clone, "git", "tag", "--annotate", "cxr-distill@v0.1.0", "--message", "release")
    run(elsewhere, "dvc", "artifacts", "get", str(clone), "cxr-distill")
    assert (elsewhere / "cxr-distill.onnx").read_bytes() == (finished / "release" / "cxr-distill.onnx").read_bytes()
    assert "release/cxr-distill.onnx" in run(elsewhere, *program("show_artifact", "../clone"))
