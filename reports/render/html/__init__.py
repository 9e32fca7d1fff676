"""One self-contained page for a browser: verdict, what changed, grid, plots, and everything known about each check."""

from reports.render.html.page import compared, show, together

__all__ = ["compared", "show", "together"]
