from __future__ import annotations

from contextlib import contextmanager
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from conversation_memory import indexes
from conversation_memory.exceptions import ConversationMemoryError, counted
from example_project.chat import seeding
from example_project.chat.dialogues import BadDialogue, read_dialogues
from example_project.chat.samples import samples


class Command(BaseCommand):
    help = (
        "Store sample conversations, or the dialogues of a file. Existing conversations are kept."
    )

    def add_arguments(self, parser):
        parser.add_argument(
            "--file",
            type=Path,
            help="Dialogues as JSON Lines, optionally gzipped (default: the samples).",
        )
        parser.add_argument("--limit", type=int, help="Store at most this many.")
        parser.add_argument(
            "--using", default="default", choices=tuple(indexes), help="Alias of the index."
        )
        parser.add_argument(
            "--owner",
            help="Username of their owner (default: samples have owners, dialogues have none).",
        )

    def handle(self, *, file, limit, using, owner, verbosity, **options):
        try:
            index = indexes[using]
            owner = self.user(owner) if owner else None
            if file:
                found, new = self.seed_file(index, file, limit, owner)
            else:
                found, new = self.seed_samples(index, limit, owner)
        except OperationalError as error:
            raise CommandError("There are no users yet: run `manage.py migrate` first.") from error
        except ConversationMemoryError as error:
            raise CommandError(str(error)) from error
        if verbosity:
            kept = f"; {found - new:,} already existed" if found > new else ""
            self.stdout.write(self.style.SUCCESS(f"Stored {counted(new, 'conversation')}{kept}."))

    def user(self, name):
        user = get_user_model().objects.filter(username=name).first()
        if user is None:
            raise CommandError(f"There is no user called {name!r}.")
        return user.pk

    def seed_samples(self, index, limit, owner):
        chosen = list(islice(samples(), limit))
        if owner is None:
            owners = {name: user.pk for name, user in seeding.create_users().items()}
        else:
            owners = dict.fromkeys(seeding.USERS, owner)
        return len(chosen), seeding.store_samples(index, chosen, owners)

    def seed_file(self, index, path, limit, owner):
        found = new = 0
        try:
            with path.open("rb") as file, self.progress(path.stat().st_size) as advance_to:
                for dialogue in islice(read_dialogues(file), limit):
                    found += 1
                    new += seeding.store_dialogue(index, dialogue, owner)
                    advance_to(file.tell())
        except BadDialogue as error:
            raise CommandError(f"{path}, {error}. Stored {new:,} before that.") from error
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
        return found, new

    @contextmanager
    def progress(self, size):
        """A progress bar of the bytes read, on a terminal only."""
        if not self.stderr.isatty() or not find_spec("tqdm"):
            yield lambda position: None
            return
        from tqdm import tqdm

        with tqdm(total=size, unit="B", unit_scale=True, file=self.stderr, desc="Seeding") as bar:
            yield lambda position: bar.update(position - bar.n)
