"""Any server with an OpenAI-compatible API: hosted ones, and those on your own machine.

OPENAI_BASE_URL, OPENAI_API_KEY, OPENAI_MODEL and OPENAI_TIMEOUT (seconds) say which one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from conversation_memory import Run
from example_project.chat.responders import ResponderError

# What most models can take in, and what is worth paying for in a demo.
REMEMBERED_RUNS = 40
MAX_BYTES = 4 * 1024 * 1024


class NoRedirect(HTTPRedirectHandler):
    """urllib would send the API key on to wherever a redirect points."""

    def redirect_request(self, *args):
        return None


def respond(runs: Sequence[Run], text: str) -> str:
    body = {"model": setting("OPENAI_MODEL"), "messages": list(messages(runs, text))}
    try:
        return json.loads(post(body))["choices"][0]["message"]["content"] or ""
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ResponderError("The model sent an answer that I cannot read.") from error


def messages(runs: Sequence[Run], text: str) -> Iterator[dict[str, str]]:
    for run in runs[-REMEMBERED_RUNS:]:
        if run.input.text:
            yield {"role": "user", "content": run.input.text}
        if run.output.text and run.output.type != "ErrorArtifact":
            yield {"role": "assistant", "content": run.output.text}
    yield {"role": "user", "content": text}


def post(body: dict) -> bytes:
    try:
        with build_opener(NoRedirect).open(request(body), timeout=timeout()) as response:
            return response.read(MAX_BYTES)
    except HTTPError as error:
        with error:
            raise ResponderError(explain(error.code)) from error
    except TimeoutError as error:
        raise ResponderError("The model took too long to answer.") from error
    except URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise ResponderError("The model took too long to answer.") from error
        raise ResponderError("The model's server cannot be reached.") from error
    except (OSError, HTTPException) as error:
        raise ResponderError("The connection to the model broke off.") from error


def request(body: dict) -> Request:
    url = setting("OPENAI_BASE_URL", "https://api.openai.com/v1")
    if not url.startswith(("https://", "http://")):
        raise ResponderError("OPENAI_BASE_URL has to start with https:// or http://.")
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("OPENAI_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    data = json.dumps(body).encode()
    return Request(url.rstrip("/") + "/chat/completions", data, headers, method="POST")


def timeout() -> float:
    return float(os.environ.get("OPENAI_TIMEOUT", "30"))


def setting(name: str, default: str = "") -> str:
    value = os.environ.get(name, default)
    if not value:
        raise ResponderError(f"The environment variable {name} is not set.")
    return value


def explain(status: int) -> str:
    if status in (401, 403):
        return "The model's server refused the API key."
    if status == 429:
        return "The model is busy, or the quota is used up."
    return f"The model's server answered with the error {status}."
