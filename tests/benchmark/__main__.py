"""python -m tests.benchmark [SECTION ...]: times of the app beside the floor, on a real Redis.

The floor is bare redis-py with hiredis doing the same work with JSON at hand, interleaved with ours
in the same run, so that a machine that slows down slows both. Figures are medians.
"""

from __future__ import annotations

import argparse
import os
from importlib import import_module
from pathlib import Path
from typing import Any

import django
from django.conf import settings

from conversation_memory.testing.embedded_redis import EmbeddedRedis

from ..programs import json_module

SECTIONS = (
    "workloads",
    "driver",
    "lists",
    "archives",
    "search",
    "indexing",
    "admin",
    "replies",
    "frameworks",
    "cluster",
    "shards",
    "encryption",
)
NAMED = ("millions",)  # only if it is named: it takes long, and much memory
ADMIN = ("admin", "auth", "contenttypes", "messages", "sessions")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark", description=__doc__)
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"of {', '.join((*SECTIONS, *NAMED))}"
    )
    parser.add_argument(
        "--peers",
        action="store_true",
        help="time other libraries too, in the section workloads (extra: peers)",
    )
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="and draw them there, as SVG")
    args = parser.parse_args()
    chosen = args.sections or SECTIONS
    if url := os.environ.get("REDIS_URL"):
        return run(chosen, url, peers=args.peers, plots=args.plots)
    module = json_module()  # which a backend of LangGraph requires
    options = {"loadmodule": str(module)} if module else {}
    with EmbeddedRedis(options=options) as server:
        run(chosen, server.url, peers=args.peers, plots=args.plots)


def run(sections: list[str] | tuple[str, ...], url: str, **options: Any) -> None:
    configure(url)
    for section in sections:
        chosen = options if section == "workloads" else {}
        import_module(f"tests.benchmark.{section}").main(**chosen)


def configure(url: str) -> None:
    settings.configure(
        SECRET_KEY="benchmark",
        INSTALLED_APPS=["conversation_memory", *(f"django.contrib.{app}" for app in ADMIN)],
        REDIS={"default": {"URL": url, "INDEX": "benchmark"}},
        USE_TZ=True,
        **site_settings(),
    )
    django.setup()


def site_settings() -> dict[str, object]:
    """Of a site that has nothing but the admin, with a database in memory."""
    processors = [
        f"django.{name}"
        for name in (
            "template.context_processors.request",
            "contrib.auth.context_processors.auth",
            "contrib.messages.context_processors.messages",
        )
    ]
    templates = {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}
    return {
        "ALLOWED_HOSTS": ["testserver"],
        "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "MIDDLEWARE": [
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        "ROOT_URLCONF": "tests.other_site",
        "STATIC_URL": "static/",
        "TEMPLATES": [{**templates, "OPTIONS": {"context_processors": processors}}],
    }


if __name__ == "__main__":
    main()
