"""Reads a page as a browser does, and refuses what it would fetch or run."""

import html.parser
import re


class Reader(html.parser.HTMLParser):
    """Collects tags with their attributes and all text; checks that tags close in order."""

    VOID = ("meta", "img", "br", "line", "path", "rect", "circle")

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.open = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(self.words)


def check_offline(text):
    """No script, no event handler, and nothing that a browser would fetch: every src is data, every link relative."""
    reader = Reader(text)
    for tag, attrs in reader.tags:
        assert tag not in ("script", "iframe", "object", "link", "base", "form")
        assert not [name for name in attrs if name.startswith("on")]
        assert attrs.get("src", "data:").startswith("data:") or attrs["src"] == ""
        assert not re.match(r"[a-z]+:|//", attrs.get("href", ""))
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src &#x27;none&#x27;" in text
    return reader
