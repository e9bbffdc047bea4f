"""Writes to an encrypted index whose answer is lost; see test_resends.py."""

from unittest import skipUnless

from .encrypted_search import MOST, EncryptedSearchCase
from .encrypting import HAS_CRYPTOGRAPHY, encryption
from .test_resends import WRITES, LostAnswerTests
from .utils import each_layout

_OTHERWISE = [name for name in WRITES if "append" in name or "with messages" in name]
_OTHERWISE += ["begin", "store more", "edit", "truncate", "fork", "rename", "reply"]


@skipUnless(HAS_CRYPTOGRAPHY, "cryptography is not installed")
@each_layout
class EncryptedLostAnswerTests(LostAnswerTests):
    """Of the writes that do other things there."""

    case = EncryptedSearchCase
    entry = {"ENCRYPTION": encryption("a", READ_PLAINTEXT=True), "SEARCH": MOST}
    writes = {name: WRITES[name] for name in _OTHERWISE}
    test_a_restore = test_a_conversion = None
