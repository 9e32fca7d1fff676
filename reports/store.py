"""A run's folder on disk: run.json, environment.json, records.jsonl and junit.xml.

Records are appended as they come, one line each, so that what was recorded before a crash is kept; the other files are
replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from matrix.errors import UserError
from reports.document import from_text, read_bytes, read_document, reason, to_text
from reports.fields import Fields, NewerSchema
from reports.lock import Lock
from reports.record import Record
from reports.run import Expectation, Header, Run
from reports.secrets import hidden, hider

RUN: Final = "run.json"
ENVIRONMENT: Final = "environment.json"
RECORDS: Final = "records.jsonl"
SPOILT: Final = "records.spoilt"
JUNIT: Final = "junit.xml"
PACKED: Final = ".tar.xz"
_NAME: Final = "name the folder of a run, as given to --run-dir, or 'latest'"
_LISTED: Final = 5


def holds_run(folder: Path) -> bool:
    """Whether a run was recorded in a folder, or begun to be."""
    return any((folder / name).exists() for name in (RUN, RECORDS))


class RunWriter:
    """Writes one run into a folder of its own, the secrets of the environment hidden; until it is finished, no other does.

    Every method raises UserError when the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._header: Header | None = None
        self._torn = False
        self._hide = hider()
        self._lock: Lock | None = None

    def begin(self, header: Header, environment: Mapping[str, Any]) -> None:
        """Creates the folder; one that holds a run already is refused, so that nothing recorded is lost."""
        if holds_run(self.folder):
            raise UserError(f"{self.folder}: holds a run already; name another folder or move this one away")
        self._header = header
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self.folder)
            (self.folder / RECORDS).touch(exist_ok=False)
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self.folder}: cannot be written: {reason(error)}; name a folder that can be with --run-dir"
            ) from None
        self.attach(ENVIRONMENT, to_text(hidden(environment, self._hide), indent=1) + "\n")
        self.attach(RUN, to_text(hidden(header.to_tree(), self._hide), indent=1) + "\n")

    def resume(self, run: Run) -> None:
        """Goes on with a run that is in the folder. Lines that cannot be read are set aside in a file of their own."""
        self._lock = Lock(self.folder)
        self._header = run.header
        path = self.folder / RECORDS
        whole, spoilt = _sorted(read_bytes(path) if path.exists() else b"", path)
        if spoilt:
            with _told(path):
                (self.folder / SPOILT).write_bytes(b"\n".join(spoilt) + b"\n")
                draft = path.with_name(f"{RECORDS}.part")
                draft.write_bytes(b"".join(line + b"\n" for line in whole))
                draft.replace(path)
        self.update(finished=None, complete=False, expectations=())

    def update(self, **changed: Any) -> None:
        """Replaces fields of the header, e.g. ``planned`` once collection is over, and writes run.json again."""
        if self._header is None:
            raise RuntimeError("begin() comes first")
        self._header = replace(self._header, **changed)
        self.attach(RUN, to_text(hidden(self._header.to_tree(), self._hide), indent=1) + "\n")

    def append(self, record: Record) -> None:
        """Adds one record; it is with the operating system when this returns."""
        line = ("\n" if self._torn else "") + to_text(hidden(record.to_tree(), self._hide)) + "\n"
        self._torn = True  # until all of the line is written: a half line on a full disk must not spoil the next record
        try:
            with (self.folder / RECORDS).open("ab", buffering=0) as file:
                _write_all(file, line.encode("ascii"))
        except (OSError, ValueError) as error:
            raise UserError(f"{self.folder / RECORDS}: {record.id} cannot be recorded: {reason(error)}") from None
        self._torn = False

    def finish(
        self, *, finished: float, complete: bool, notes: Iterable[str] = (), expectations: Iterable[Expectation] = ()
    ) -> None:
        """Closes run.json; ``complete`` when the run came to its end and did all it had planned."""
        if self._header is None:
            raise RuntimeError("begin() comes first")
        try:
            self.update(
                finished=finished,
                complete=complete,
                notes=tuple(dict.fromkeys((*self._header.notes, *notes))),  # a run that goes on may say a thing again
                expectations=(*self._header.expectations, *expectations),
            )
        finally:
            if self._lock is not None:
                self._lock.release()

    def attach(self, name: str, text: str) -> None:
        """Writes a file of the folder as a whole: a reader sees the old one or the new one, never half."""
        path, draft = self.folder / name, self.folder / f"{name}.part"
        try:
            draft.write_text(self._hide(text), encoding="utf-8", errors="backslashreplace")
            draft.replace(path)
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be written: {reason(error)}") from None


def _sorted(content: bytes, path: Path) -> tuple[list[bytes], list[bytes]]:
    """The lines of a file of records that are records, and those that are not."""
    lines = [line for line in content.split(b"\n") if line.strip()]
    spoilt = [line for line in lines if _record(line, str(path), False, []) is None]
    return [line for line in lines if line not in spoilt], spoilt


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What the operating system refuses, as one line."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {reason(error)}") from None


def _write_all(file: BinaryIO, data: bytes) -> None:
    """Unbuffered files may take less than they are given, on a disk that is nearly full for one."""
    while data:
        data = data[file.write(data) :]


def read_run(folder: Path) -> Run:
    """The run in a folder.

    What is damaged is left out and said in ``damage``: a last line cut off by a crash, a line that is no record, a
    missing file.
    Raises UserError when there is no run, or one that a newer release wrote.
    """
    header = read_header(folder)
    damage: list[str] = []
    environment = _environment(folder, damage)
    records, superseded = _records(folder, damage)
    return Run(
        folder=folder,
        header=header,
        environment=environment,
        records=records,
        superseded=superseded,
        damage=tuple(damage),
    )


def read_header(folder: Path) -> Header:
    """What run.json of a folder says. Raises UserError when the folder holds no run."""
    path = folder / RUN
    try:
        there = path.is_file()
    except (OSError, ValueError) as error:
        raise UserError(f"{str(folder)!r}: cannot be read: {reason(error)}") from None
    if not there:
        raise UserError(f"{folder}: {_instead(folder)}")
    return Header.from_tree(read_document(path), str(path))


def _instead(folder: Path) -> str:
    """What a folder is that holds no run, and what to name instead."""
    if not folder.is_dir():
        packed = folder.with_name(f"{folder.name}{PACKED}") if folder.name else folder
        if packed.is_file():
            return f"is no folder, but there is {packed}: unpack it"
        return f"is no folder; {_NAME}"
    try:
        below = sorted(str(path) for path in folder.iterdir() if (path / RUN).is_file())
    except OSError:
        below = []
    more = f" and {len(below) - _LISTED} more" if len(below) > _LISTED else ""
    if below:
        return f"holds no run itself; name one of those in it: {', '.join(below[:_LISTED])}{more}"
    return f"holds no run (there is no run.json); {_NAME}"


def latest(root: Path) -> Path:
    """The folder of the run below ``root`` that started last. Raises UserError when there is none."""
    try:
        folders = [path for path in root.iterdir() if (path / RUN).is_file()] if root.is_dir() else []
    except OSError as error:
        raise UserError(f"{root}: cannot be read: {reason(error)}") from None
    if not folders:
        raise UserError(f"{root}: holds no run; run pytest first, or name the folder of a run")
    return max(folders, key=lambda folder: (_started(folder), folder.name))


def _started(folder: Path) -> float:
    """An unreadable run counts from its file's time: should it be the latest, reading it says what is wrong with it."""
    try:
        return read_header(folder).started
    except UserError:
        return (folder / RUN).stat().st_mtime


def _environment(folder: Path, damage: list[str]) -> Mapping[str, Any]:
    path = folder / ENVIRONMENT
    try:
        tree = read_document(path)
        Fields(tree, str(path))
    except UserError as error:
        damage.append(f"{error}; the environment is unknown")
        return {}
    return dict(tree)


def _records(folder: Path, damage: list[str]) -> tuple[dict[str, Record], tuple[Record, ...]]:
    path = folder / RECORDS
    records: dict[str, Record] = {}
    superseded: list[Record] = []
    try:
        lines = read_bytes(path).split(b"\n")
    except UserError as error:
        damage.append(f"{error}; no record could be read")
        lines = []
    for number, line in enumerate(lines, 1):
        record = _record(line, f"{path} line {number}", number == len(lines), damage)
        if record is None:
            continue
        if (earlier := records.pop(record.id, None)) is not None:
            superseded.append(earlier)
        records[record.id] = record
    return records, tuple(superseded)


def _record(line: bytes, where: str, last: bool, damage: list[str]) -> Record | None:
    """Every whole line ends in a line break, so what follows the last break is empty unless writing was cut off."""
    if not line.strip():
        return None
    try:
        return Record.from_tree(from_text(line, where), where)
    except NewerSchema:
        raise
    except UserError as error:
        damage.append(f"{where}: cut off while it was written; the record is lost" if last else f"{error}; the record is lost")
        return None
