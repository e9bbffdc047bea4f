"""Movers that the chaos test kills: python -m tests.movers ENTRY

Moves an index into the SHARDS of its entry, and says so when it begins.
"""

import json
import sys

import django
from django.conf import settings


def main(entry):
    settings.configure(
        INSTALLED_APPS=["conversation_memory"], REDIS={"default": json.loads(entry)}, USE_TZ=True
    )
    django.setup()
    from django.core.management import call_command

    print("begins", flush=True)
    call_command("convertconversations", shards=settings.REDIS["default"]["SHARDS"], verbosity=0)


if __name__ == "__main__":
    main(*sys.argv[1:])
