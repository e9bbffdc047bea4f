"""python -m tests.benchmark [SECTION ...]: times of the app beside the floor, on a real Redis.

The floor is bare redis-py with hiredis doing the same work with JSON at hand, interleaved with ours
in the same run, so that a machine that slows down slows both. Figures are medians.
"""

from __future__ import annotations

import argparse
import os

import django
from django.conf import settings

from example_project.embedded_redis import EmbeddedRedis

SECTIONS = ("driver", "lists", "search", "indexing")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}")
    chosen = parser.parse_args().sections or SECTIONS
    if url := os.environ.get("REDIS_URL"):
        return run(chosen, url)
    with EmbeddedRedis() as server:
        run(chosen, server.url)


def run(sections: list[str] | tuple[str, ...], url: str) -> None:
    settings.configure(
        INSTALLED_APPS=["conversation_memory"],
        REDIS={"default": {"URL": url, "INDEX": "benchmark"}},
        USE_TZ=True,
    )
    django.setup()
    from importlib import import_module

    for section in sections:
        import_module(f"tests.benchmark.{section}").main()


if __name__ == "__main__":
    main()
