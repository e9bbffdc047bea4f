import copy
import pickle

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import SimpleTestCase
from redis import exceptions as redis_errors

from conversation_memory import exceptions
from conversation_memory.exceptions import (
    ConversationConflict,
    ConversationCorrupt,
    ConversationMemoryError,
    ConversationNotFound,
    InvalidIndexError,
    RedisDenied,
    RedisMisconfigured,
    RedisReadOnly,
    RedisUnavailable,
    RedisUnconfirmed,
    RunNotFound,
    translate,
)

from .servers import SECRET


class TreeTests(SimpleTestCase):
    def test_every_error_of_ours_has_one_root(self):
        ours = [item for item in vars(exceptions).values() if isinstance(item, type)]
        ours = [item for item in ours if item.__module__ == exceptions.__name__]
        assert len(ours) > 10
        assert all(issubclass(item, ConversationMemoryError) for item in ours)

    def test_bad_settings_are_improperly_configured(self):
        assert issubclass(InvalidIndexError, ImproperlyConfigured)

    def test_unconfirmed_is_a_kind_of_unavailable(self):
        assert issubclass(RedisUnconfirmed, RedisUnavailable)


class TranslateTests(SimpleTestCase):
    """What tests/test_failures.py cannot get from a server of today."""

    def test_class_by_the_text(self):
        for cause, kind in (
            (redis_errors.ConnectionError("No master found for 'mymaster'"), RedisUnavailable),
            (redis_errors.ConnectionError("The previous master is now a slave"), RedisReadOnly),
            (redis_errors.ConnectionError("Connection closed by server."), RedisUnconfirmed),
            (redis_errors.MaxConnectionsError("Too many connections"), RedisUnavailable),
            (redis_errors.ResponseError("invalid bulk length"), RedisMisconfigured),
            (redis_errors.ResponseError("of a new kind"), RedisMisconfigured),
            (redis_errors.ResponseError("NOAUTH Authentication required."), RedisDenied),
            (OSError(113, "No route to host"), RedisUnavailable),
        ):
            with self.subTest(str(cause)):
                assert type(translate(cause, "default")) is kind

    def test_errors_that_a_transaction_or_an_old_server_wraps(self):
        script = "Error running script (call to f_1): @user_script:3: "
        for text, kind in (
            (f"{script}WRONGTYPE Operation against a key", RedisMisconfigured),
            (f"{script}@user_script: 3: READONLY You can't write", RedisReadOnly),
            (f"{script}Unknown Redis command called from script", RedisMisconfigured),
            ("Transaction discarded because of: OOM command not allowed", RedisReadOnly),
            ("ACL failure in script: User me has no permissions", RedisDenied),
        ):
            with self.subTest(text):
                assert type(translate(redis_errors.ExecAbortError(text), "default")) is kind

    def test_sentence_names_the_alias_and_ends(self):
        error = translate(redis_errors.ResponseError("of a new kind"), "support")
        assert str(error) == "Redis of alias 'support' answered with an error (ResponseError)."

    def test_class_does_not_depend_on_arguments(self):
        text = "unknown command 'HGET', with args beginning with: 'OOM' 'WRONGTYPE' 'MISCONF'"
        assert "does not know a command" in str(translate(redis_errors.ResponseError(text), "a"))


class CauseTests(SimpleTestCase):
    def test_has_the_class_of_redis_py_and_no_arguments(self):
        for text, left in (
            (f"unknown command 'X', with args beginning with: '{SECRET}'", "unknown command 'X'"),
            (f"Command # 2 (HSET a b {SECRET}\n)) of pipeline caused error: OOM no", "OOM no"),
        ):
            cause = translate(redis_errors.ResponseError(text), "a").__cause__
            assert type(cause) is redis_errors.ResponseError
            assert str(cause) == left
            assert SECRET not in repr(cause)

    def test_has_no_frames(self):
        try:
            raise redis_errors.ResponseError("OOM")
        except redis_errors.ResponseError as error:
            cause = translate(error, "a").__cause__
        assert cause.__traceback__ is None
        assert cause.__context__ is None

    def test_can_be_shown_whatever_its_class(self):
        for error in (
            redis_errors.MovedError("1 127.0.0.1:1"),
            redis_errors.ConnectionError("lost"),
            redis_errors.TimeoutError("late"),
            OSError(2, "No such file"),
        ):
            with self.subTest(type(error).__name__):
                cause = translate(error, "a").__cause__
                assert str(cause) in repr(cause) or repr(cause)
                assert str(cause) == str(error)


class ConversationErrorTests(SimpleTestCase):
    where = {"alias": "default", "index": "conversations", "conversation_id": "{42}"}

    def test_the_sentence_names_the_conversation(self):
        where = "'{42}' in index 'conversations' (alias 'default')"
        for kind, reason, sentence in (
            (ConversationConflict, "kept changing.", f"Conversation {where} kept changing."),
            (ConversationNotFound, "", f"There is no conversation {where}."),
            (RunNotFound, "'{a}'", f"Conversation {where} has no run '{{a}}'."),
        ):
            with self.subTest(kind.__name__):
                error = kind(reason, **self.where)
                assert str(error) == sentence
                twin = pickle.loads(pickle.dumps(error))
                assert (type(twin), str(twin)) == (kind, sentence)
                assert twin.conversation_id == "{42}"

    def test_without_an_index_the_reason_is_the_sentence(self):
        assert str(ConversationNotFound("None at all.")) == "None at all."


class CorruptTests(SimpleTestCase):
    def setUp(self):
        self.error = ConversationCorrupt(
            alias="default",
            index="conversations",
            conversation_id="42",
            raw=SECRET.encode(),
            reason="no JSON value at character 0",
        )

    def test_sentence_says_where_and_why(self):
        assert str(self.error) == (
            "The value of conversation '42' in index 'conversations' (alias 'default') is damaged: "
            "no JSON value at character 0. It was not changed."
        )

    def test_shows_the_raw_bytes_to_nobody_who_does_not_ask(self):
        assert SECRET not in f"{self.error} {self.error!r} {self.error.args}"
        assert self.error.raw == SECRET.encode()

    def test_comes_back_from_another_process(self):
        for twin in (pickle.loads(pickle.dumps(self.error)), copy.deepcopy(self.error)):
            assert type(twin) is ConversationCorrupt
            assert (str(twin), twin.raw) == (str(self.error), self.error.raw)

    def test_other_errors_come_back_too(self):
        with pytest.raises(RedisUnconfirmed, match="did not answer"):
            raise pickle.loads(pickle.dumps(translate(redis_errors.TimeoutError("late"), "a")))
