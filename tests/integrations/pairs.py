"""python -m tests.integrations.pairs [--write]: what one framework reads of what another wrote.

Prints the table of docs/frameworks/pairs.md, for the frameworks that are installed. With `--write`,
puts it into that page.
"""

import argparse
import asyncio
import os
import re
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/frameworks/pairs.md"
_BLOCK = re.compile(r"(?<=<!-- pairs -->\n\n).*(?=\n\n<!-- end of pairs -->)", re.S)


@contextmanager
def members(index, **options):
    """A member of each framework that is installed."""
    close_connections = import_module("tests.utils").close_connections
    with asyncio.Runner() as runner:
        try:
            found = import_module("tests.integrations.members").installed()
            yield [member(index, runner.run, **options) for member in found]
        finally:
            runner.run(close_connections())


def losses(found):
    """For each writer and each reader, the kinds of turns of which something does not arrive."""
    lost = {writer.name: {reader.name: [] for reader in found} for writer in found}
    for writer in found:
        for kind in writer.writes:
            id = f"{writer.name}: {kind}"
            writer.write(id, kind)
            for reader in found:
                if not reader.has(reader.read(id), kind):
                    lost[writer.name][reader.name].append(kind)
    return lost


def table(losses):
    """Losses in Markdown: a row for each writer, a column for each reader."""
    rows = [["written by, read by:", *losses], ["---"] * (len(losses) + 1)]
    for name, lost in losses.items():
        cells = (f"no {', '.join(kinds)}" if kinds else "all" for kinds in lost.values())
        rows.append([f"**{name}**", *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def on_page(table=""):
    """The table of the page, or the one that takes its place."""
    page = PAGE.read_text()
    if table:
        PAGE.write_text(_BLOCK.sub(lambda _: table, page))
        return table
    return _BLOCK.search(page)[0]


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.integrations.pairs", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.name}")
    args = parser.parse_args()
    if args.write and not import_module("tests.integrations.members").are_all_installed():
        parser.error("--write needs all frameworks: pip install -e '.[frameworks]'")
    with own_index() as index, members(index) as found:
        text = table(losses(found))
    print(on_page(text) if args.write else text)


@contextmanager
def own_index():
    """An index that exists for as long, on a Redis that is started if none is named."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import_module("django").setup()
    case = import_module("tests.utils").RedisTestCase()
    case.setUp()
    try:
        yield case.index
    finally:
        case.doCleanups()


if __name__ == "__main__":
    main()
