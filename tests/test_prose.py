"""The prose of the documentation: plain English, as a technical writer would write it."""

import re

from django.test import SimpleTestCase

from .pages import PAGES

# What to write instead.
PATTERNS = {
    r"\b(?:is|are|was|were) no (?!longer|more|less|other|such|need|way|reason|limit|point)\w+": (
        "is not a …"
    ),
    r"(?:^|[.:] )What (?:is|was|has|others|a|the) [^?.]*\.(?:\s|$)": "subject, verb, object",
    r"(?:^|[.:] )Whether [^?.]*\.(?:\s|$)": "subject, verb, object",
    r"\bgives? way\b": "does not block",
    r"\b(?:is|are) gone\b": "is deleted",
    r"\bstands? (?:beside|in front of|behind)\b": "is next to, precedes, follows",
    r"\bwith a no\b": "declined",
    r"\bof ours\b|\bof theirs\b": "our …",
    r"\bsimply\b|\bjust\b|\bobviously\b|\bof course\b|\beasily\b|\bplease\b": "leave it out",
    r"\butili[sz]e": "use",
    r"\bin order to\b": "to",
}
MOST_WORDS = 40


def prose(page):
    """The paragraphs of a page, without code, tables, headings and directives."""
    text = re.sub(r"^(```+|:::+).*?^\1$", "", page.read_text(), flags=re.M | re.S)
    text = re.sub(r"^<!--.*?-->$", "", text, flags=re.M | re.S)
    for paragraph in re.split(r"\n\s*\n", text):
        if not re.match(r"\s*([|#]|\(.*\)=|!\[)", paragraph):
            paragraph = re.sub(r"`[^`]*`", "`code`", paragraph)
            paragraph = re.sub(r"\]\([^)]*\)", "]", paragraph)
            for item in re.split(r"^\s*(?:[-*]|\d+\.) ", paragraph, flags=re.M):
                yield " ".join(item.split())


class ProseTests(SimpleTestCase):
    def test_no_pattern_to_leave_behind(self):
        found = [
            f"{page.name}: {match[0]!r}: {instead}"
            for page in PAGES
            for paragraph in prose(page)
            for pattern, instead in PATTERNS.items()
            for match in re.finditer(pattern, paragraph)
        ]
        assert not found, "\n".join(found)

    def test_no_sentence_is_too_long(self):
        found = [
            f"{page.name}: {len(sentence.split())} words: {sentence[:80]}"
            for page in PAGES
            for paragraph in prose(page)
            for sentence in re.split(r"(?<=[.!?:;]) ", paragraph)
            if len(sentence.split()) > MOST_WORDS
        ]
        assert not found, "\n".join(found)
