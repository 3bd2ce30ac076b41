"""Find and read the files that paths refer to. Nothing here blocks: a FIFO or device is refused without opening it."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from octosync.manifest.load.limits import Bounds, OutOfBoundsError, check_deadline, work_tree
from octosync.manifest.schema.rules import Findings
from octosync.manifest.yaml.loader import MOST_BYTES
from octosync.manifest.yaml.source import NOT_PRINTABLE
from octosync.model import Origin

MOST_BYTES_OF_A_SET = 256 * 1024 * 1024
STDIN = "-"
STDIN_NAME = "<stdin>"
SUFFIXES = (".yaml", ".yml", ".json")
CONFIGURATION_NAMES = ("octosync.yaml",)
LEFT_OUT_OF_FOLDERS = frozenset({"kustomization.yaml", "kustomization.yml", *CONFIGURATION_NAMES})
# Which file it is, its size, and when its content and its status were last changed, in nanoseconds.
Stamp: TypeAlias = tuple[int, int, int, int, int]
# Returns the bytes of a file, by its display name, that was read with this stamp; None if they are not known.
KnownBytes: TypeAlias = Callable[[str, Stamp], bytes | None]


@dataclass(frozen=True, slots=True)
class File:
    """A file that was read: its display name, its bytes and its real path (None for stdin).

    `stamp` is what its file had at the time `read_at`, in nanoseconds, just before it was read.

    For kustomize's output, `open_` returns a file that it was rendered from, by its path from the kustomization's `folder`.
    `base` is that of the origins in it.
    """

    name: str
    data: bytes
    real: str | None = None
    open_: Callable[[str], File | None] | None = None
    folder: str | None = None
    base: str = ""
    stamp: Stamp | None = None
    read_at: int = 0


@dataclass(frozen=True, slots=True, order=True)
class _FoundFile:
    """A file that a path refers to. Sorted so that of several names of a file, the one without links comes first."""

    through_link: bool
    name: str
    path: str
    real: str
    bounds: Bounds


def read_files(
    paths: Iterable[str],
    directory: Path,
    findings: Findings,
    *,
    stdin: bytes | None = None,
    within: Bounds | None = None,
    known: KnownBytes | None = None,
) -> list[File]:
    """Return the files that paths, relative to a directory, refer to: every file once, sorted by name.

    Files whose bytes are `known` are not read again.
    Every path that can't be read, or leads out of `within`, is an error in `findings`.
    """
    found: dict[str, _FoundFile] = {}
    files: list[File] = []
    for path in sorted(set(paths)):
        if path == STDIN:
            files.append(File(STDIN_NAME, stdin or b""))
            continue
        for candidate in _find(path, directory, findings, within):
            if (before := found.get(candidate.real)) is None or candidate < before:
                found[candidate.real] = candidate
    left = MOST_BYTES_OF_A_SET
    for candidate in found.values():
        check_deadline()
        file = _read(candidate, findings, known)
        if file is None:
            continue
        left -= len(file.data)
        if left < 0:
            summary = f"the manifests are larger than {MOST_BYTES_OF_A_SET // 2**20} MiB in all"
            findings.add(
                "set-too-large", summary, origin=Origin(candidate.name), notes=("load a part of them at a time",)
            )
            return []
        files.append(file)
    return sorted(files, key=lambda file: file.name)


def read_regular(path: Path, most: int) -> bytes:
    """Return the content of a file of at most `most` bytes. Raises `OSError`, also for a FIFO or device; never blocks."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most // 1024} KiB")
    return data


def display_name(path: str) -> str:
    """Return a path as messages show it: normalised and printable."""
    if path.isascii() and path.isprintable():
        return os.path.normpath(path)
    readable = os.path.normpath(path).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return NOT_PRINTABLE.sub("\ufffd", readable.replace("\n", "\ufffd").replace("\r", "\ufffd").replace("\t", "\ufffd"))


def _find(path: str, directory: Path, findings: Findings, within: Bounds | None) -> Iterator[_FoundFile]:
    full = str(directory / path)
    shown = _relative(path, directory)
    try:
        mode = Path(full).stat().st_mode
        bounds = Bounds.around(str(Path.cwd() / full))
    except OutOfBoundsError as error:
        _report_link(display_name(shown), error.root, findings)
        return
    except (OSError, ValueError) as error:
        _report_failure(error, full, display_name(shown), findings)
        return
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        _report_no_file(display_name(shown), findings)  # /dev/stdin links to a pipe, which has no path
        return
    real = os.path.realpath(full)
    if within is not None and not within.hold(real):
        findings.add(
            "path-outside-repository",
            f"{display_name(shown)} is outside of the repository of the octosync.yaml that names it",
            origin=Origin(display_name(shown)),
            notes=("name it on the command line, with -f",),
        )
        return
    if not stat.S_ISDIR(mode):
        yield _FoundFile(Path(full).is_symlink(), display_name(shown), full, real, bounds)
        return
    count = 0
    # The real path is walked, since a link may be switched to another tree meanwhile.
    for file in _walk(real, shown, findings, bounds, through_link=Path(full).is_symlink()):
        count += 1
        yield file
    if not count:
        findings.add(
            "empty-directory",
            f"{display_name(shown)} contains no manifests",
            origin=Origin(display_name(shown)),
            notes=(f"manifests are files named {', '.join('*' + suffix for suffix in SUFFIXES)}",),
        )


def _walk(full: str, shown: str, findings: Findings, bounds: Bounds, *, through_link: bool) -> Iterator[_FoundFile]:
    """Yield a directory's manifests. Real directories come before linked ones; every directory is entered once."""
    seen: set[str] = set()
    waiting: deque[tuple[str, str, bool]] = deque([(full, shown, through_link)])
    behind_links: deque[tuple[str, str, bool]] = deque()
    while waiting or behind_links:
        check_deadline()
        path, name, linked = (waiting or behind_links).popleft()
        real = os.path.realpath(path)
        if real in seen:
            continue
        seen.add(real)
        if linked and not bounds.hold(real):
            _report_link(display_name(name), bounds.root, findings)
            continue
        try:
            with os.scandir(path) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            _report_failure(error, path, display_name(name), findings)
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name in LEFT_OUT_OF_FOLDERS:
                continue
            below = f"{name.rstrip('/')}/{entry.name}"
            if _is_directory(entry):
                queue = behind_links if entry.is_symlink() else waiting
                queue.append((entry.path, below, linked or entry.is_symlink()))
            elif entry.name.endswith(SUFFIXES):
                at = os.path.realpath(entry.path) if entry.is_symlink() else f"{real.rstrip('/')}/{entry.name}"
                if entry.is_symlink() and not bounds.hold(at):
                    _report_link(display_name(below), bounds.root, findings)
                    continue
                yield _FoundFile(linked or entry.is_symlink(), display_name(below), entry.path, at, bounds)


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _read(found: _FoundFile, findings: Findings, known: KnownBytes | None) -> File | None:
    now = time.time_ns()
    try:
        status = os.stat(found.real)  # noqa: PTH116 — a Path for each of thousands of files takes longer than this
        if not stat.S_ISREG(status.st_mode):
            _report_no_file(found.name, findings)
            return None
        stamp = stamp_of(status)
        if known is not None and (data := known(found.name, stamp)) is not None:
            return File(found.name, data, found.real, stamp=stamp, read_at=now)
        # The file may have been replaced since: opening must neither block nor follow a link.
        descriptor = found.bounds.open(found.real)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                _report_no_file(found.name, findings)
                return None
            # A read of as much as may be read allocates as much. The file may have grown since.
            data = file.read(min(status.st_size, MOST_BYTES) + 1)
            if len(data) > status.st_size:
                data += file.read(MOST_BYTES + 1 - len(data))
    except (OSError, ValueError) as error:
        _report_failure(error, found.path, found.name, findings)
        return None
    return File(found.name, data, found.real, stamp=stamp_of(status), read_at=now)


def stamp_of(status: os.stat_result) -> Stamp:
    """Return the stamp of a file: two equal ones mean that nothing was written in between, except in one tick of the clock."""
    # The time of the change of status, too: a copy can bring its time of modification along, and permissions can change.
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _report_link(name: str, root: str, findings: Findings) -> None:
    what = "the Git work tree that it is in" if work_tree(root) == root else "the folder that is named"
    findings.add(
        "link-outside",
        f"{name} links to something outside of {what}",
        origin=Origin(name),
        notes=("if you trust the file that it links to, name that one on the command line",),
    )


def _report_no_file(name: str, findings: Findings) -> None:
    findings.add(
        "not-a-file",
        f"{name} is neither a file nor a directory",
        origin=Origin(name),
        notes=("pipe it instead: octosync … -f -",),
    )


def _report_failure(error: OSError | ValueError, path: str, name: str, findings: Findings) -> None:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        what = "links to something that does not exist" if Path(path).is_symlink() else "does not exist"
        findings.add(
            "missing-path", f"{name} {what}", origin=Origin(name), notes=("paths start from the working directory",)
        )
    else:
        why = (error.strerror if isinstance(error, OSError) else None) or "not a path"
        findings.add("unreadable-path", f"{name} can't be read: {why.lower()}", origin=Origin(name))


def _relative(path: str, directory: Path) -> str:
    """Return a path as the user gave it, or relative to the working directory if it is below."""
    if not Path(path).is_absolute():
        return path
    below = os.path.relpath(path, directory)
    return path if below.startswith("..") else below
