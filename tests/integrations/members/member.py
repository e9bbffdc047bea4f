"""What the members of the matrix of pairs write, and how it is found in what they read."""

import json
from base64 import b64encode

from conversation_memory.exceptions import ConversationNotFound

QUESTION, ANSWER = "Where is the lamp?", "It stands in the tower."
NEXT_QUESTION, NEXT_ANSWER = "And the key?", "Under the mat."
THOUGHT = "Lamps like high places."
CALL_ID, TOOL, ARGUMENTS = "call_1", "find_lamp", {"thing": "brass lamp"}
RESULT = "Seen in the upper room."
# Its base64 has both characters in which the two alphabets of base64 differ.
PICTURE, PICTURE_TYPE = b"\x89PNG\r\n\x1a\n\xfb\xef\xbe\xff\xff\xff", "image/png"
FILE, FILE_TYPE, FILE_NAME = b"%PDF-1.7 \xfb\xef\xbe\xff\xff\xff", "application/pdf", "map.pdf"

KINDS = ("texts", "tool calls", "pictures", "files", "reasoning", "open questions")
TEXTS, CALLS, PICTURES, FILES, REASONING, OPEN = KINDS


class Member:
    """A framework that writes and reads a conversation with objects of its own.

    `run` waits for a coroutine. A subclass makes its messages: asked(text, *parts), picture(),
    file(), called(), returned(), said(text) and reasoned(), which is a list of messages.
    """

    name = ""
    lacks = ()  # kinds for which its messages have no place
    alphabet = b"+/"  # of its base64
    refusal = ConversationNotFound  # what it raises where it may not write

    def __init__(self, index, run, owner=None):
        self.index, self.run, self.owner = index, run, owner

    @property
    def writes(self):
        return [kind for kind in KINDS if kind not in self.lacks]

    def driver(self, id):
        return self.index.driver(id, owner=self.owner)

    def write(self, id, kind):
        """Add a turn, in the framework's own objects."""
        self.add(id, self.turn(kind))

    def write_next(self, id):
        """Add another turn, of texts."""
        self.add(id, [self.asked(NEXT_QUESTION), self.said(NEXT_ANSWER)])

    def add(self, id, messages):
        raise NotImplementedError

    def read(self, id):
        """All that the framework reads, as the JSON of its own objects."""
        raise NotImplementedError

    def own(self, id):
        """What it goes on with of its own turns: the beginning of what it reads."""
        return self.read(id)

    def shown(self, found):
        """What of the objects reaches a model, as a text."""
        return json.dumps(found, ensure_ascii=False)

    def turn(self, kind):
        parts = [self.picture()] if kind == PICTURES else [self.file()] if kind == FILES else []
        messages = [self.asked(QUESTION, *parts)]
        if kind == CALLS:
            messages += [self.called(), self.returned()]
        if kind == REASONING:
            return messages + self.reasoned()
        return messages if kind == OPEN else [*messages, self.said(ANSWER)]

    def has(self, found, kind):
        """True if everything of a turn is in what was read: the steps in order, and no half."""
        text = self.shown(found)
        steps = [text.find(mark) for mark in (QUESTION, RESULT, ANSWER) if mark in text]
        is_whole = all(mark in text for mark in self.marks(kind))
        is_joined = kind != CALLS or text.count(CALL_ID) >= 2
        return is_whole and is_joined and steps == sorted(steps)

    def has_next(self, found):
        text = self.shown(found)
        return NEXT_QUESTION in text and NEXT_ANSWER in text

    def marks(self, kind):
        made = {
            CALLS: [TOOL, ARGUMENTS["thing"], RESULT],
            PICTURES: [self.base64(PICTURE)],
            FILES: [self.base64(FILE)],
            REASONING: [THOUGHT],
        }
        return [QUESTION, *made.get(kind, ()), *([] if kind == OPEN else [ANSWER])]

    def base64(self, data):
        return b64encode(data, altchars=self.alphabet).decode()
