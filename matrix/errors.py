"""The one class of error that a user can act on."""

from __future__ import annotations


class UserError(Exception):
    """Bad input. The message is one line: what, where, what is accepted, what to do next; it is printed without a traceback."""
