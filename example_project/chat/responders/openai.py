"""Answers from a server with an OpenAI-compatible API, hosted or on your own machine.

The environment variables OPENAI_BASE_URL, OPENAI_API_KEY, OPENAI_MODEL and OPENAI_TIMEOUT (the
longest pause of the server, in seconds) configure it.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from conversation_memory import Run
from example_project.chat.responders import UNAVAILABLE, ResponderError

logger = logging.getLogger(__name__)

# Most models accept this much, and it is affordable in a demo.
REMEMBERED_RUNS = 40
MAX_BYTES = 4 * 1024 * 1024
SLOW = "The assistant took too long to answer. Please try again."


class NoRedirect(HTTPRedirectHandler):
    """Without this, urllib would send the API key to the target of a redirect."""

    def redirect_request(self, *args):
        return None


def respond(runs: Sequence[Run], text: str) -> Iterator[str]:
    """The answer piece by piece, as the server sends it."""
    body = {"model": setting("OPENAI_MODEL"), "messages": list(messages(runs, text))}
    try:
        with post({**body, "stream": True}) as response:
            yield from pieces(response)
    except HTTPError as error:
        with error:
            raise failed(f"The model server answered with status {error.code}.") from error
    except TimeoutError as error:
        raise failed("The model server did not answer in time.", SLOW) from error
    except URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise failed("The model server did not answer in time.", SLOW) from error
        raise failed("The model server cannot be reached.") from error
    except (OSError, HTTPException) as error:
        raise failed("The connection to the model server was interrupted.") from error
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise failed("The model server sent an unexpected response.") from error


def pieces(response: HTTPResponse) -> Iterator[str]:
    if response.headers.get_content_type() != "text/event-stream":  # it cannot stream
        answer = json.loads(response.read(MAX_BYTES))
        yield answer["choices"][0]["message"]["content"] or ""
        return
    is_complete = False
    for event in events(response):
        for choice in event["choices"]:  # the last event of some servers has none
            yield choice["delta"].get("content") or ""
            is_complete = is_complete or choice.get("finish_reason") is not None
    if not is_complete:
        raise HTTPException("The stream ended too early.")


def events(response: HTTPResponse) -> Iterator[Any]:
    """The data of server-sent events, up to the one that ends the answer."""
    room = MAX_BYTES
    while line := response.readline(room):
        room -= len(line)
        name, _, value = line.partition(b":")
        if name == b"data" and value.strip() == b"[DONE]":
            return
        if name == b"data":
            yield json.loads(value)


def messages(runs: Sequence[Run], text: str) -> Iterator[dict[str, str]]:
    for run in runs[-REMEMBERED_RUNS:]:
        if run.input.text:
            yield {"role": "user", "content": run.input.text}
        if run.output.text and run.output.type != "ErrorArtifact":
            yield {"role": "assistant", "content": run.output.text}
    yield {"role": "user", "content": text}


def post(body: dict) -> HTTPResponse:
    return build_opener(NoRedirect).open(request(body), timeout=timeout())


def request(body: dict) -> Request:
    url = setting("OPENAI_BASE_URL", "https://api.openai.com/v1")
    if not url.startswith(("https://", "http://")):
        raise failed("OPENAI_BASE_URL must start with https:// or http://.")
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
        raise failed(f"The environment variable {name} is not set.")
    return value


def failed(detail: str, sentence: str = UNAVAILABLE) -> ResponderError:
    """Log `detail` for the operator; the visitor is shown only the sentence."""
    logger.error(detail)
    return ResponderError(sentence)
