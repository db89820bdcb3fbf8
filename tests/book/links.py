"""Follows every link within a book that mdBook made: `links.py FOLDER`.

Links into the repository lead out of the book; the test `tidy` follows those in the pages
that the book is made from.
"""

import html.parser
import pathlib
import sys
import urllib.parse


class Page(html.parser.HTMLParser):
    """What can be linked to in a page, and what it links to."""

    def __init__(self, text):
        super().__init__()
        self.anchors, self.links = {""}, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.anchors.add(value)
            elif name in ("href", "src"):
                self.links.append(value or "")


def broken(book):
    """Each link that leads nowhere, with its page; and how many were followed."""
    pages = {path: Page(path.read_text()) for path in sorted(book.rglob("*.html"))}
    wrong, followed = [], 0
    for path, page in pages.items():
        for link in page.links:
            to = urllib.parse.urlsplit(link)
            if to.scheme or to.netloc:
                continue
            there = (path.parent / urllib.parse.unquote(to.path)).resolve() if to.path else path
            if not there.is_relative_to(book):
                continue
            followed += 1
            if there.is_dir():
                there = there / "index.html"
            anchor = urllib.parse.unquote(to.fragment)
            if not there.is_file() or (there in pages and anchor not in pages[there].anchors):
                wrong.append(f"{path.relative_to(book)}: {link}")
    return wrong, followed


wrong, followed = broken(pathlib.Path(sys.argv[1]).resolve())
for line in wrong:
    print(f"leads nowhere: {line}")
print(f"{followed} links within the book, {len(wrong)} of them broken")
# A book has hundreds; fewer are a sign that nothing was read.
sys.exit(bool(wrong) or followed < 500)
