"""Settings of the example site; `manage.py demo` runs it with its own Redis."""

from __future__ import annotations

import json
import os
from pathlib import Path

import django

BASE_DIR = Path(__file__).resolve().parent.parent
# The data of the demo: the SQLite file and the data of the Redis that it starts.
DEMO_DIR = Path(os.environ.get("DEMO_DIR") or BASE_DIR / ".demo")
# Its addresses while it runs, as the site and its Redis may be on any port.
DEMO_ADDRESSES = DEMO_DIR / "running.json"


def redis_of_the_demo() -> str | None:
    try:
        address: str = json.loads(DEMO_ADDRESSES.read_text())["redis"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return address


# Good enough for a demo on your own machine only.
SECRET_KEY = os.environ.get("SECRET_KEY", "the-demo-has-no-secrets")
DEBUG = os.environ.get("DEBUG") == "1"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "conversation_memory",
    "example_project.chat",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
if django.VERSION < (6,):
    # The backport of the tasks framework of Django 6 logs failed tasks only as an app.
    INSTALLED_APPS.append("django_tasks")

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "example_project.chat.middleware.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "example_project.chat.middleware.MemoryUnavailableMiddleware",
]

ROOT_URLCONF = "example_project.urls"
ASGI_APPLICATION = "example_project.asgi.application"
WSGI_APPLICATION = "example_project.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DEMO_DIR / "site.sqlite3"},
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Who answers: "rules", which need no model; "openai", a server with an OpenAI-compatible API;
# another name in example_project/chat/responders, of a framework; or the dotted path of a function.
CHAT_RESPONDER = os.environ.get("CHAT_RESPONDER", "rules")

REDIS = {
    "default": {
        "URL": os.environ.get("REDIS_URL") or redis_of_the_demo() or "redis://localhost:6379/0",
        "INDEX": "conversations",
        "SEARCH": {"TOOL_CALLS": True},
        # A worker that is silent for so many seconds counts as dead. A model may think for a while.
        "REPLY_LEASE": 10 if CHAT_RESPONDER == "rules" else 45,
    },
}

# A thread of the same process writes the replies: the demo needs no broker and no worker.
TASKS = {"default": {"BACKEND": "example_project.chat.thread_pool.ThreadPoolBackend"}}

# A short pause of the rules shows that the page does not wait for the reply.
CHAT_THINKING_SECONDS = 0.8
CHAT_WORD_SECONDS = 0.06
# If no worker has begun a reply after this time, the task is enqueued again.
CHAT_PATIENCE_SECONDS = 10

# A form with a text beyond its limit comes back with an error and the text.
DATA_UPLOAD_MAX_MEMORY_SIZE = 20 * 1024 * 1024

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "chat:index"
LOGOUT_REDIRECT_URL = "login"

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
STATIC_URL = "static/"
