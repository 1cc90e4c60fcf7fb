"""The guide at `/guide`: the chapters of `docs/guide` as pages."""

import re
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

from fastapi import FastAPI
from markdown_it import MarkdownIt
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from routers.docs import CSS, STATIC
from routers.pages import PAGES_CSP
from web.root_path import root_of

CHAPTERS = Path(__file__).parents[1] / "docs" / "guide"
TEMPLATE = STATIC / "guide" / "chapter.html"
STYLE = "/guide/assets/guide.css"
# A link from one chapter's file to another's.
_LINK = re.compile(r'href="(?:\d\d-)?([a-z-]+|README)\.md(#[^"]*)?"')


@dataclass(frozen=True)
class Chapter:
    """One page of the guide."""

    name: str
    title: str
    html: str


@cache
def read_chapters() -> dict[str, Chapter]:
    """All chapters by name, in the order of their files; the first is the front page, named ""."""
    markdown = MarkdownIt("commonmark").enable("table")
    chapters = {}
    for path in sorted(CHAPTERS.glob("*.md"), key=lambda path: (path.stem != "README", path.stem)):
        text = path.read_text(encoding="utf-8")
        name = "" if path.stem == "README" else re.sub(r"^\d\d-", "", path.stem)
        title = text.partition("\n")[0].removeprefix("# ")
        chapters[name] = Chapter(name, title, _with_anchors(_scrollable(markdown.render(text))))
    return chapters


def _scrollable(html: str) -> str:
    """Let the focus enter wide blocks and tables, so that the arrow keys scroll them."""
    html = html.replace("<pre>", '<pre tabindex="0">')
    html = html.replace("<table>", '<div class="wide" role="group" aria-label="Table" tabindex="0"><table>')
    return html.replace("</table>", "</table></div>")


def _with_anchors(html: str) -> str:
    """Give each heading an id, so that links can lead to it."""

    def anchored(match: re.Match[str]) -> str:
        text = re.sub(r"<[^>]+>", "", match[2])
        anchor = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
        return f'<h{match[1]} id="{anchor}">{match[2]}</h{match[1]}>'

    return re.sub(r"<h([23])>(.*?)</h\1>", anchored, html)


def _entry(chapter: Chapter, root: str, *, is_current: bool) -> str:
    current = ' aria-current="page"' if is_current else ""
    address = f"{root}/guide/{chapter.name}".rstrip("/")
    return f'<li><a href="{address}"{current}>{escape(chapter.title)}</a></li>'


def _page(chapter: Chapter, root: str) -> str:
    chapters = list(read_chapters().values())
    entries = "\n".join(_entry(each, root, is_current=each is chapter) for each in chapters)
    place = chapters.index(chapter)
    following = chapters[place + 1] if place + 1 < len(chapters) else None
    onward = (
        f'<a class="onward" href="{root}/guide/{following.name}">Next: {escape(following.title)}</a>'
        if following
        else ""
    )
    body = _LINK.sub(
        lambda match: f'href="/guide{"" if match[1] == "README" else "/" + match[1]}{match[2] or ""}"',
        chapter.html,
    ).replace('href="/', f'href="{root}/')
    parts = {"{title}": escape(chapter.title), "{chapters}": entries, "{onward}": onward, "{root}": root}
    html = TEMPLATE.read_text(encoding="utf-8")
    for mark, part in parts.items():
        html = html.replace(mark, part)
    # The body goes in last, because a chapter's text may contain such marks.
    return html.replace("{body}", body)


def serve_chapter(request: Request) -> Response:
    """Answer with a chapter of the guide, in a thread: the first request writes all chapters as HTML."""
    chapter = read_chapters().get(request.path_params.get("chapter", ""))
    if chapter is None:
        raise HTTPException(404)
    root = escape(root_of(request))
    headers = {"Cache-Control": "no-cache", "Content-Security-Policy": PAGES_CSP}
    return HTMLResponse(_page(chapter, root), headers=headers)


def serve_style(_request: Request) -> Response:
    """Answer with the style of the guide's pages."""
    style = (STATIC / "guide" / "guide.css").read_bytes()
    return Response(style, media_type=CSS, headers={"Cache-Control": "public, max-age=3600"})


def add_guide(app: FastAPI) -> None:
    """Serve the guide."""
    app.add_route(STYLE, serve_style, include_in_schema=False)
    for path in ("/guide", "/guide/{chapter}"):
        for either in (path, path + "/"):
            app.add_route(either, serve_chapter, include_in_schema=False)
