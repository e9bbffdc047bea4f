"""The example site, with nothing kept, nothing slow, and a Redis of the test run's own."""

import os

from example_project.settings import *  # noqa: F403

from .programs import program_at, start_first

# Started here, so that pytest and `manage.py test` need nothing else; it ends with the test run.
# The processes that a test run starts load these settings too and find its URL in the environment;
# a worker of pytest-xdist finds that of its parent there, and starts a server of its own.
worker = os.environ.get("PYTEST_XDIST_WORKER", "")
if "REDIS_URL" not in os.environ or os.environ.get("REDIS_STARTED_BY", worker) != worker:
    os.environ.setdefault("REDIS_PROGRAM", "redis-stack")
    os.environ.update(REDIS_URL=start_first().url, REDIS_STARTED_BY=worker)
REDIS_URL = os.environ["REDIS_URL"]
if "REDIS_PROGRAM" not in os.environ:
    os.environ["REDIS_PROGRAM"] = program_at(REDIS_URL)

REDIS = {"default": {"URL": REDIS_URL, "INDEX": "conversations"}}
CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": REDIS_URL}}
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CHAT_THINKING_SECONDS = CHAT_WORD_SECONDS = 0
