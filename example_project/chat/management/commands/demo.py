from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.test.utils import override_settings

from conversation_memory import indexes
from conversation_memory.exceptions import ConversationMemoryError
from conversation_memory.testing.embedded_redis import EmbeddedRedisError, is_in_use, redis_server
from example_project.chat import memory, seeding, thread_pool
from example_project.chat.samples import samples

LOCAL = ("127.0.0.1", "localhost", "::1")


class Command(BaseCommand):
    help = "Run the example site with its own Redis, sample users and sample conversations."

    def add_arguments(self, parser):
        parser.add_argument("--host", default="127.0.0.1", help="Address to listen on.")
        parser.add_argument("--port", type=int, default=8000, help="Port to listen on.")

    def handle(self, *, host, port, **options):
        # So that `kill`, too, stops Redis in order.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            self.run_demo(host, port)
        except (EmbeddedRedisError, ConversationMemoryError) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            self.stdout.write("\nThe conversations are kept; start the demo again to continue.")

    def run_demo(self, host, port):
        with ExitStack() as stack:
            has_its_own_redis = not os.environ.get("REDIS_URL")
            data_dir = settings.DEMO_DIR / "redis"
            if has_its_own_redis and is_in_use(data_dir):
                raise CommandError(already_running())
            listener = stack.enter_context(closing(listen(host, port)))
            settings.DEMO_DIR.mkdir(parents=True, exist_ok=True)
            url = stack.enter_context(redis_server(data_dir=data_dir, persistent=True))
            stack.enter_context(override_settings(**site_settings(url, host)))
            stack.callback(indexes.close)
            stack.callback(thread_pool.close)
            self.prepare()
            enqueue_again()
            address = address_of(host, listener.getsockname()[1])
            if has_its_own_redis:
                stack.enter_context(kept(site=address, redis=url))
            self.greet(address, url if has_its_own_redis else "", host)
            serve(listener)

    def prepare(self):
        call_command("migrate", verbosity=0)
        owners = {name: user.pk for name, user in seeding.create_users().items()}
        index = indexes["default"]
        # Fill only an empty site, so that deleted conversations do not come back.
        if not any(index.count(owner=owner) for owner in owners.values()):
            stored = seeding.store_samples(index, samples(), owners)
            seeding.store_oddities(index)
            seeding.index_oddities(index)
            self.stdout.write(f"Stored {stored} sample conversations.")

    def greet(self, address, url, host):
        self.stdout.write(f"\nThe site is at {self.style.SUCCESS(address)}")
        self.stdout.write(f"and its admin at {address}admin/\n\nSign in as one of\n")
        for name, password in seeding.USERS.items():
            note = "  (staff: can use the admin)" if name == seeding.STAFF else ""
            self.stdout.write(f"    {name:<10} password {password}{note}")
        if url:
            self.stdout.write(f"\nIts Redis is at {url}. In another terminal, the commands use it:")
            self.stdout.write("\n    manage.py listconversations")
        if host not in LOCAL:
            note = "Anyone who can reach this machine can sign in with these passwords."
            self.stdout.write(self.style.WARNING(f"\n{note}"))
        self.stdout.write("\nStop with Ctrl-C.")
        self.stdout.flush()


def enqueue_again() -> None:
    """Enqueue what was in the queue when the demo was stopped, which is in its memory only."""
    index = indexes["default"]
    for run in index.open_runs():
        if run.state == "waiting":
            memory.enqueue(index.driver(run.conversation_id, owner=run.owner), run.run_id)


def address_of(host: str, port: int) -> str:
    shown = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::", "") else host
    return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"


@contextmanager
def kept(**addresses: str) -> Iterator[None]:
    """Keep the addresses for the settings of other commands, while the demo runs."""
    settings.DEMO_ADDRESSES.write_text(json.dumps(addresses))
    try:
        yield
    finally:
        settings.DEMO_ADDRESSES.unlink(missing_ok=True)


def already_running() -> str:
    try:
        address = json.loads(settings.DEMO_ADDRESSES.read_text())["site"]
    except (OSError, ValueError, LookupError):  # it has just been started, or is about to end
        return "The demo is running in this folder already."
    return f"The demo is running in this folder already: {address}"


def listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OverflowError as error:
        raise CommandError(f"{port} is not a port: the highest is 65535.") from error
    except OSError as error:
        # Python appends the address in parentheses.
        reason = error.strerror.partition(" (")[0]
        raise CommandError(
            f"Port {port} of {host} cannot be used: {reason}. "
            f"Try another one: manage.py demo --port {port + 1}"
        ) from error


def site_settings(url: str, host: str) -> dict:
    changed = {"REDIS": {"default": {**settings.REDIS["default"], "URL": url}}}
    if host not in LOCAL:
        # The names under which others reach the demo are unknown.
        changed["ALLOWED_HOSTS"] = ["*"]
    return changed


def serve(listener: socket.socket) -> None:
    try:
        import uvicorn
    except ImportError as error:
        raise CommandError("The demo requires uvicorn: pip install -e '.[demo]'") from error
    config = uvicorn.Config(
        "example_project.asgi:application",
        lifespan="off",
        log_level="warning",
        timeout_graceful_shutdown=10,
    )
    uvicorn.Server(config).run(sockets=[listener])
