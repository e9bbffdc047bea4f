"""The methods of an index that look after it: convert, check, reindex, health."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from .check import Check, Report
from .collection import bulk
from .collection import erase as erasure
from .collection.listing import Listing
from .exceptions import ConversationMemoryError, InvalidIndexError
from .health import Health, examined, unusable
from .layouts import Layout
from .redis_io.operations import Operation, Performing, twins
from .search.reindex import Failure, Reindexing, reindex
from .search_index.index_state import SearchState

_SILENT = "Redis of alias {!r} did not answer within {} seconds."

logger = logging.getLogger("conversation_memory")


class Maintainable(Performing):
    """The methods of an index that look after it, each with its async twin."""

    _layout: Layout
    _listing: Listing

    def _copies(self) -> Operation[erasure.Copies]:
        """Where copies of erased data may remain: append-only file, RDB snapshot, replicas."""
        return erasure.copies()

    copies, acopies = twins(_copies)

    def _convert(
        self,
        *,
        progress: Callable[[bulk.Conversion], object] = bool,
        failure: Failure = logger.warning,
    ) -> Operation[bulk.Conversion]:
        """Convert every conversation to the layout that the index has in settings.

        Owner, times and deadline stay; converted conversations are skipped. `progress` is called
        about every 1,000 conversations, `failure` with the error of each that cannot be read or
        written, and stays as it is. Returns the counts.
        """
        return bulk.convert(self._layout, self._listing, progress, failure)

    convert, aconvert = twins(_convert)

    def _reshard(
        self,
        *,
        progress: Callable[[bulk.Conversion], object] = bool,
        failure: Failure = logger.warning,
    ) -> Operation[bulk.Conversion]:
        """Move every conversation into the SHARDS that the index has in settings.

        Nothing of it changes. Others may read and write meanwhile, and a call after an interruption
        goes on where the last one ended. `progress` is called about every 50 conversations,
        `failure` with the error of each that cannot be moved: the index keeps moving then. Returns
        the counts of this call, which leave out what moved because somebody used it.
        """
        raise InvalidIndexError(f"Alias {self._layout.alias!r} has no SHARDS to move into.")
        yield

    reshard, areshard = twins(_reshard)

    def _check_moved(self) -> None:
        """Raises `RedisUnavailable` while the index moves into other shards."""

    def _check(
        self, *, fix: bool = False, examples: int = 5, progress: Callable[[Report], object] = bool
    ) -> Operation[Report]:
        """Compare documents, records, recency indexes and keys, in constant memory.

        With `fix`, repairs derived data: recency indexes, search documents, and what records say of
        documents. Documents, runs, owners, titles and times stay as they are. The report has at
        most `examples` names of each kind.
        """
        check = Check(self._layout, self._listing, fix=fix, examples=examples, progress=progress)
        return check.run()

    check, acheck = twins(_check)

    def _reindex(
        self, *, progress: Callable[[Reindexing], object] = bool, failure: Failure = logger.warning
    ) -> Operation[Reindexing]:
        """Give every run its search document, as SEARCH in settings defines it.

        Indexed conversations are skipped. RediSearch indexes of an older definition answer to the
        end, and are dropped then. `progress` is called at most every 100 conversations, `failure`
        with the error of each that cannot be read. Returns the counts.
        """
        return reindex(self._layout, self._listing, progress, failure)

    reindex, areindex = twins(_reindex)

    def _search_state(self) -> Operation[SearchState]:
        """The state of the search: if RediSearch answers completely, or the reason why not."""
        return self._layout.search_state()

    search_state, asearch_state = twins(_search_state)

    def health(self, *, within: float = 2.0) -> Health:
        """If the index can be used, and what threatens its data; for probes and monitors.

        Never raises: an index that cannot be reached, or does not answer `within` so many seconds,
        is a finding. What the server refuses to tell is "unknown".
        """
        thread = ThreadPoolExecutor(1)
        answer = thread.submit(lambda: self._run(self._examined(), "health"))
        thread.shutdown(wait=False)
        try:
            return answer.result(within)
        except TimeoutError:
            return unusable(_SILENT.format(self._layout.alias, within))
        except ConversationMemoryError as error:
            return unusable(str(error))

    async def ahealth(self, *, within: float = 2.0) -> Health:
        """See health()."""
        try:
            async with asyncio.timeout(within):
                return await self._arun(self._examined(), "health")
        except TimeoutError:
            return unusable(_SILENT.format(self._layout.alias, within))
        except ConversationMemoryError as error:
            return unusable(str(error))

    def _examined(self) -> Operation[Health]:
        return examined(self._layout)
