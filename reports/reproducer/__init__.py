"""A standalone script that shows what a check found, for the maintainers of the library that it found it in."""

from reports.reproducer.case import Case, case
from reports.reproducer.issue import issue
from reports.reproducer.script import script

__all__ = ["Case", "case", "issue", "script"]
