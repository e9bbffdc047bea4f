from io import StringIO

import pytest
from django.core.exceptions import FieldError
from django.core.management import call_command
from django.db.models import Q, QuerySet

from conversation_memory import Run
from conversation_memory.admin.addresses import Address
from conversation_memory.admin.queryset import ConversationQuerySet, ListReader
from conversation_memory.models import Conversation, Index

from .admin import AdminTestCase

HOSTILE = ("..", "a/b", "a.b", "", "é🙂", "a b?#%&_5F", "<script>", "x" * 1000)


class AddressTests(AdminTestCase):
    def test_a_key_leads_back_to_its_address(self):
        for name in HOSTILE:
            address = Address(name, name, name.encode())
            assert Address.parse(str(address)) == address
            assert Address.parse(str(address.of_index)) == Address(name, name)

    def test_a_key_holds_bytes_that_are_no_text(self):
        address = Address("a", "b", b"\xff\x00\xfe")
        assert Address.parse(str(address)).conversation_id == b"\xff\x00\xfe"

    def test_a_key_has_no_character_that_a_url_changes(self):
        for name in HOSTILE:
            assert set(str(Address("a", "b", name.encode()))) <= {
                *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
            }

    def test_anything_else_is_no_key(self):
        for key in ("", "a", "a.b.c.d", "!.b", "ü.b", "a b.c", "a"):
            with pytest.raises(ValueError):
                Address.parse(key)


class QuerySetTests(AdminTestCase):
    def setUp(self):
        super().setUp()
        for number in range(5):
            self.index.driver(f"c{number}").append(Run("q", "a"))
        reader = ListReader(lambda alias: alias == "default")
        self.queryset = ConversationQuerySet.of(reader).select(index=self.address())

    def ids(self, queryset):
        return [conversation.conversation_id for conversation in queryset]

    def test_it_is_a_real_queryset(self):
        assert isinstance(self.queryset, QuerySet)
        assert self.queryset.model is Conversation

    def test_slices_and_counts(self):
        assert self.ids(self.queryset[1:3]) == ["c3", "c2"]
        assert self.ids(self.queryset[3:]) == ["c1", "c0"]
        assert self.queryset[1].conversation_id == "c3"
        assert (self.queryset.count(), self.queryset[1:3].count()) == (5, 2)
        assert len(self.queryset) == 5
        assert self.queryset.exists() and self.queryset

    def test_filters_by_primary_keys(self):
        keys = [str(self.address(id)) for id in ("c1", "c3", "gone")]
        assert self.ids(self.queryset.filter(pk__in=keys)) == ["c1", "c3"]
        assert self.queryset.get(pk=keys[0]).conversation_id == "c1"
        assert self.ids(self.queryset.filter(Q(pk=keys[0]))) == ["c1"]
        assert self.ids(self.queryset.filter(Q(), **{})) == ["c4", "c3", "c2", "c1", "c0"]
        with pytest.raises(Conversation.DoesNotExist):
            self.queryset.get(pk=keys[2])

    def test_refuses_every_other_filter(self):
        for condition in (Q(title="x"), ~Q(pk="x"), Q(pk="x") | Q(pk="y")):
            with pytest.raises(FieldError):
                self.queryset.filter(condition)
        with pytest.raises(FieldError):
            self.queryset.filter(pk="x", owner="y")
        with pytest.raises(FieldError):
            self.queryset.exclude(pk="x")

    def test_none_is_empty_without_asking_redis(self):
        self.redis.set("witness", "")
        assert (self.ids(self.queryset.none()), self.queryset.none().count()) == ([], 0)

    def test_deletes(self):
        keys = [str(self.address(id)) for id in ("c1", "c3")]
        assert self.queryset.filter(pk__in=keys).delete()[0] == 2
        assert sorted(self.index) == ["c0", "c2", "c4"]

    def test_what_may_not_be_seen_does_not_exist(self):
        hidden = ConversationQuerySet.of(ListReader(lambda alias: False)).select(
            index=self.address()
        )
        assert (hidden.count(), self.ids(hidden)) == (0, [])
        assert self.ids(hidden.filter(pk=str(self.address("c1")))) == []

    def test_an_alias_that_settings_do_not_have_does_not_exist(self):
        reader = ListReader(lambda alias: True)
        other = ConversationQuerySet.of(reader).filter(pk=str(Address("other", "x", b"c1")))
        assert self.ids(other) == []


class ModelTests(AdminTestCase):
    def test_dumpdata_finds_no_table_missing(self):
        for options in ({}, {"use_base_manager": True}):
            out = StringIO()
            call_command("dumpdata", "conversation_memory", stdout=out, **options)
            assert out.getvalue().strip() == "[]"

    def test_the_migration_is_complete(self):
        call_command("makemigrations", "conversation_memory", check=True, verbosity=0)

    def test_managers_hold_nothing(self):
        assert not Conversation.objects.exists()
        assert not Index._base_manager.count()
