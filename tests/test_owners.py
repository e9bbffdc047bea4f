from unittest import mock
from uuid import uuid4

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.checks import run_checks
from django.core.exceptions import PermissionDenied
from django.db.models.signals import post_delete
from django.test import TestCase
from django.utils.functional import SimpleLazyObject

from conversation_memory import Run, indexes, owner_of
from conversation_memory.exceptions import InvalidIndexError, OwnerRequired

from .servers import free_port
from .utils import RedisTestCase

User = get_user_model()


class OwnerOfTests(TestCase):
    def test_a_user_is_its_key_as_text(self):
        user = User.objects.create_user("ann")
        assert owner_of(user) == str(user.pk)
        assert owner_of(SimpleLazyObject(lambda: user)) == str(user.pk)

    def test_a_user_of_another_framework_needs_a_key_only(self):
        key = uuid4()
        assert owner_of(mock.Mock(spec=["pk", "is_authenticated"], pk=key)) == str(key)

    def test_nobody_is_no_owner(self):
        deleted = User.objects.create_user("ann")
        deleted.delete()
        for user in (
            None,
            AnonymousUser(),
            SimpleLazyObject(AnonymousUser),
            User(username="not saved"),
            User(pk=7, username="not saved, but with a key"),
            deleted,
            "7",
            0,
        ):
            with pytest.raises(OwnerRequired, match="not logged in"):
                owner_of(user)

    def test_django_answers_that_it_is_forbidden(self):
        assert issubclass(OwnerRequired, PermissionDenied)


class DeletedUserTestCase(RedisTestCase, TestCase):
    def setUp(self):
        super().setUp()
        self.user = User.objects.create_user("ann")
        self.owner = owner_of(self.user)
        for id in "123":
            self.index.driver(id, owner=self.owner).append(Run("a question", "an answer"))
        self.index.driver("4", owner="bob").append(Run("a question", "an answer"))

    def delete(self):
        with self.captureOnCommitCallbacks(execute=True):
            self.user.delete()


class ErasingTests(DeletedUserTestCase):
    entry = {"ON_USER_DELETE": "erase"}

    def test_erases_what_the_user_had(self):
        with self.assertLogs("conversation_memory", "INFO") as logs:
            self.delete()
        assert [*self.index] == ["4"]
        assert "Erased 3 conversations (3 runs, " in logs.output[0]

    def test_of_a_queryset_too(self):
        with self.captureOnCommitCallbacks(execute=True):
            User.objects.all().delete()
        assert [*self.index] == ["4"]

    def test_waits_for_the_commit(self):
        with self.captureOnCommitCallbacks() as callbacks:
            self.user.delete()
        assert len(callbacks) == 1
        assert self.index.count() == 4

    def test_a_failure_is_logged_and_breaks_nothing(self):
        down = {"HOST": "localhost", "PORT": free_port(), "ON_USER_DELETE": "erase"}
        with self.settings(REDIS={"down": down, **settings.REDIS}):
            with self.assertLogs("conversation_memory", "ERROR") as logs:
                self.delete()
        assert not User.objects.exists()
        assert [*self.index] == ["4"]
        assert f"eraseconversations {self.owner} --using down" in logs.output[0]

    def test_a_faulty_entry_is_logged_and_breaks_nothing(self):
        with self.settings(REDIS={"default": {"URL": "?"}}):
            with self.assertLogs("conversation_memory", "ERROR"):
                self.delete()
        assert not User.objects.exists()


class AnonymisingTests(DeletedUserTestCase):
    entry = {"ON_USER_DELETE": "anonymise"}

    def test_gives_what_the_user_had_to_nobody(self):
        self.delete()
        assert self.index.count() == 4
        assert self.index.count(self.owner) == 0
        assert self.index.driver("1").record().owner is None


class KeepingTests(DeletedUserTestCase):
    def test_nothing_is_done_by_default(self):
        self.delete()
        assert self.index.count(self.owner) == 3

    def test_no_other_model_loses_its_fast_delete(self):
        listening = [model for model in apps.get_models() if post_delete.has_listeners(model)]
        assert listening == [User]


class SettingTests(RedisTestCase):
    def test_takes_three_values(self):
        for wish in ("erase", "anonymise", None):
            entry = {**settings.REDIS["default"], "ON_USER_DELETE": wish}
            with self.settings(REDIS={"default": entry}):
                assert indexes["default"].settings.on_user_delete == wish
                assert run_checks(tags=["conversation_memory"]) == []

    def test_any_other_is_an_error(self):
        for wish in ("delete", True, []):
            entry = {**settings.REDIS["default"], "ON_USER_DELETE": wish}
            with self.settings(REDIS={"default": entry}):
                with pytest.raises(InvalidIndexError, match="ON_USER_DELETE .* 'anonymise'"):
                    indexes["default"]
                assert [error.id for error in run_checks(tags=["conversation_memory"])] == [
                    "conversation_memory.E002"
                ]
