"""Get the archive from Kaggle, with its own client."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import whole_file
from cxr_distill.base.params import Params, PositiveInt
from cxr_distill.data.source import check_zip, disk_error

RETRIES = 5
LONGEST_WAIT = 120.0


class KaggleParams(Params):
    """Section `data.kaggle`: `dataset` is Kaggle's owner/slug."""

    dataset: Annotated[str, Field(pattern=r"^[\w-]+/[\w-]+$")]
    version: PositiveInt


def download_from_kaggle(
    dataset: str, target: Path, *, version: int, partial: Path, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Download `dataset` (owner/slug) at `version` to `target`.

    Bytes of a broken transfer wait in `partial`, from where the next call goes on. Credentials come from where
    Kaggle's client looks for them; without credentials, the request is anonymous. 429 and 5xx are tried RETRIES times
    more, waiting twice as long each time or as long as the server asks. Raises CxrError.
    """
    folder = partial / f"{dataset.replace('/', '-')}-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{dataset.split('/')[1]}.zip"
    with _one_line_errors(dataset):
        client = _client()
        for attempt in range(RETRIES + 1):
            try:
                client.dataset_download_files(f"{dataset}/{version}", path=str(folder), force=False, quiet=False)
                break
            except Exception as error:
                response = getattr(error, "response", None)
                status = getattr(response, "status_code", 0)
                if attempt == RETRIES or (status != 429 and status < 500):
                    raise
                wait = _wait(response, attempt)
                print(f"Kaggle answered {status}; next try in {wait:.0f} s")
                sleep(wait)
    try:
        check_zip(file, advice="run the same command again to download it afresh")
    except CxrError:
        shutil.rmtree(folder)  # nothing of it can be resumed from
        raise
    with _one_line_errors(dataset):
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as beside:
            shutil.move(file, beside)
    shutil.rmtree(folder, ignore_errors=True)


def _wait(response: Any, attempt: int) -> float:
    asked = response.headers.get("Retry-After", "")
    return min(float(asked) if asked.isdigit() else 2.0**attempt, LONGEST_WAIT)


def _client() -> Any:
    # Importing the client authenticates, prints a help block if it finds no credentials, and may call sys.exit.
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        from kaggle.api.kaggle_api_extended import KaggleApi

        client = KaggleApi()
        try:
            client.authenticate()
        except SystemExit:
            client = KaggleApi()  # without credentials: public data sets are served to anyone
    return client


@contextmanager
def _one_line_errors(what: str) -> Iterator[None]:
    """Turn what the network, Kaggle and the disk can do into a CxrError that says what to do; never their own text,
    which can hold addresses with signatures."""
    from requests import HTTPError, RequestException

    try:
        yield
    except CxrError:
        raise
    except HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        advice = {
            401: "Kaggle refused the credentials (401); make a new token at kaggle.com/settings",
            403: "Kaggle refused access (403); sign in, open the data set's page and accept its licence",
            404: f"Kaggle knows no data set {what} (404); check data.kaggle.dataset and data.kaggle.version",
            429: "Kaggle's rate limit is reached (429); try again in an hour",
        }
        default = f"Kaggle is out of order ({status}); try again later"
        raise CxrError(advice.get(status, default)) from None
    except (RequestException, ConnectionError, TimeoutError) as error:
        raise CxrError(
            f"no connection to Kaggle ({type(error).__name__}); go online and run it again (it resumes), "
            "or set CXR_ARCHIVE=/path/to.zip"
        ) from None
    except OSError as error:
        raise disk_error(error) from None
