"""Settings to import the app with, so that its docstrings can be read."""

SECRET_KEY = "docs"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "conversation_memory",
]
REDIS = {"default": {"URL": "redis://localhost:6379/0"}}
