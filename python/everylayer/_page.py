"""A page that a notebook shows where it stands."""

from __future__ import annotations

import html
import os


class Page:
    """An HTML page that needs nothing else.

    Attributes
    ----------
    html : str
        The whole page.
    """

    def __init__(self, page: str) -> None:
        self.html = page

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the page to `path`."""
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.html)

    def _repr_html_(self) -> str:
        # A frame of its own: the page's style and scripts are not the notebook's.
        page = html.escape(self.html, quote=True)
        return f'<iframe srcdoc="{page}" style="width: 100%; height: 640px; border: 0" sandbox="allow-scripts"></iframe>'

    def __repr__(self) -> str:
        return f"Page({len(self.html)} characters of HTML; save(path) writes them)"
