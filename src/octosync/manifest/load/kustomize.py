"""Kustomizations: rendered by the `kustomize` that is installed, in the work tree or in a revision's files.

What a kustomization refers to: whichever paths stand in it, whether or not there is anything at them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from threading import Event, Thread
from typing import Final

import yaml

from octosync.errors import ConfigError, ManifestError, UsageError
from octosync.manifest.git.revision import Revision
from octosync.manifest.load import kustomize_sandbox
from octosync.manifest.load.files import SUFFIXES, File, display_name, read_files
from octosync.manifest.load.limits import Bounds, LoadDeadline, OutOfBoundsError, current_deadline, work_tree
from octosync.manifest.schema.rules import Findings
from octosync.manifest.yaml.loader import MOST_BYTES

KUSTOMIZATION_NAMES: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_LONGEST_PATH, _LONGEST_NAME = 4095, 255  # as on Linux; longer texts are inline patches and the like
_MOST_TEXTS: Final = 100_000
_MOST_LEVELS: Final = 10
_MOST_BYTES: Final = 1024 * 1024


def referred(kustomization: str, stamp: object) -> frozenset[str]:
    """Return the paths, from the file's folder, that a kustomization names; none where it can't be read.

    It is read again when `stamp` is another: whatever tells its contents apart. Every text in it counts that might be a
    path: which fields hold paths differs from one kustomize to the next.
    """
    return _referred(kustomization, stamp)


@lru_cache(maxsize=1024)
def _referred(kustomization: str, _stamp: object) -> frozenset[str]:
    folder = str(Path(kustomization).parent)
    return frozenset(os.path.normpath(Path(folder, text)) for text in texts_in(kustomization) if _may_be_path(text))


def texts_in(kustomization: str) -> tuple[str, ...]:
    """Return the texts in a kustomization, keys left out; none where it can't be read."""
    content = _content(kustomization)
    return tuple(islice(_texts(content), _MOST_TEXTS)) if content is not None else ()


def is_read_whole(kustomization: str) -> bool:
    """Return whether `referred` returns everything that a kustomization refers to: it is neither malformed nor huge."""
    content = _content(kustomization)
    return content is not None and sum(1 for _ in islice(_texts(content), _MOST_TEXTS + 1)) <= _MOST_TEXTS


def _content(kustomization: str) -> list[object] | None:
    """Return the documents of a kustomization; None if it can't be read."""
    try:
        with Path(kustomization).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        # Only lists, objects and texts: whatever else YAML can say costs time, and names no path.
        return list(yaml.load_all(data, yaml.CBaseLoader)) if len(data) <= _MOST_BYTES else None
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return None


def _may_be_path(text: str) -> bool:
    # kustomize refuses absolute ones; as the value of a label, / would be everything there is.
    if not 0 < len(text) <= _LONGEST_PATH or text.startswith("/") or "://" in text:
        return False
    return text.isprintable() and all(len(name) <= _LONGEST_NAME for name in text.split("/"))


def _texts(content: object) -> Iterator[str]:
    """Yield every text in a value, and what stands behind the = of `name=path`. Deeper than fields of paths are, none.

    What aliases repeat is visited once.
    """
    waiting: deque[tuple[object, int]] = deque([(content, 0)])
    seen: set[int] = set()
    while waiting:
        value, depth = waiting.popleft()
        if isinstance(value, str):
            yield value
            if "=" in value:
                yield value.partition("=")[2]
        elif isinstance(value, dict | list) and depth < _MOST_LEVELS and id(value) not in seen:
            seen.add(id(value))
            below = value.values() if isinstance(value, dict) else value
            waiting.extend((item, depth + 1) for item in below)


_PATIENCE: Final = timedelta(minutes=5)
# Nothing else of the environment is handed on: a generator copies any variable that it is told to into what it renders.
_HANDED_ON: Final = frozenset({"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"})
_PROXIES: Final = frozenset({"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"})
_HANDED_ON_ONLINE: Final = _PROXIES | {"SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR", "no_proxy", "NO_PROXY"}
# Git runs no protocol, and what goes through a proxy ends at a port where nothing listens.
_OFFLINE: Final = dict.fromkeys(_PROXIES, "http://127.0.0.1:1") | {"GIT_ALLOW_PROTOCOL": "none", "no_proxy": ""}
_MOST_SAID: Final = 64 * 1024


def render(
    kustomization: str, environment: Mapping[str, str], *, within: Bounds | None = None, remote: bool = False
) -> File:
    """Render a kustomization's folder; with `remote`, kustomize may fetch what it names elsewhere.

    Raises `ConfigError` where no tool is installed, or the folder is not `within` bounds, `ManifestError` for what kustomize
    refuses, and for a link or path that leads out of the Git work tree.
    """
    folder = Path(kustomization)
    if not any((folder / name).is_file() for name in KUSTOMIZATION_NAMES):
        raise UsageError(
            "no-kustomization",
            f"-k {display_name(kustomization)}: there is no kustomization.yaml in that folder",
            hints=("-k takes a kustomization's folder; manifests are named with -f.",),
        )
    shown = f"{display_name(kustomization)} (rendered)"
    real = folder.resolve()
    if within is not None and not within.hold(str(real)):
        raise ConfigError(
            "path-outside-repository",
            f"kustomize: {display_name(kustomization)} is outside of the repository of the octosync.yaml that names it",
            hints=("Name it on the command line, with -k.",),
        )
    unread = _check_reach(str(Path.cwd() / folder), shown)
    data = _rendered(real, shown, Path.cwd(), environment, remote=remote)
    if unread is not None:
        raise ManifestError(
            "kustomization-unreadable",
            f"{shown}: {unread} can't be checked for what it refers to: it is malformed, or larger than 1 MiB",
            hints=("Correct it, or split it.",),
        )
    return File(shown, data, open_=partial(opened, real), folder=str(real))


def render_at(
    revision: Revision, kustomization: str, environment: Mapping[str, str], *, remote: bool = False
) -> File | None:
    """Render a folder as it was in a revision; None where it was no kustomization then. Raises as `render` does.

    All of the revision's files are there while it renders, since a kustomization may reach for any.
    """
    path = revision.path_of(kustomization)
    if not holds_kustomization(revision, kustomization):
        return None
    shown = f"{revision.label(path)} (rendered)"
    with TemporaryDirectory(prefix="octosync-") as temporary:
        root = Path(temporary).resolve()
        revision.export(root)
        data = _rendered(root / path, shown, root, environment, remote=remote)
        real = (root / path).resolve().relative_to(root)
    return File(shown, data, open_=partial(_opened_at, revision, real))


def holds_kustomization(revision: Revision, kustomization: str) -> bool:
    """Return whether a folder was a kustomization in a revision."""
    path = revision.path_of(kustomization)
    return any(revision.holds(f"{path}/{name}" if path else name) for name in KUSTOMIZATION_NAMES)


def _check_reach(folder: str, shown: str) -> str | None:
    """Raise `ManifestError` if a kustomization, or one that it refers to, leads out of its Git work tree, by a link or a path.

    Returns the name of one that can't be checked; None if there is none.
    """
    tree = work_tree(os.path.realpath(folder))
    waiting, seen, unread = [folder], set[str](), None
    while waiting:
        path = waiting.pop()
        if path in seen or not os.path.lexists(path):
            continue
        seen.add(path)
        name = display_name(os.path.relpath(path))
        try:
            Bounds.around(path)
        except OutOfBoundsError:
            raise ManifestError(
                "link-outside",
                f"{shown}: {name} links to something outside of the Git work tree that it is in",
                hints=("Put what it links to into the repository.",),
            ) from None
        below = [file for file_name in KUSTOMIZATION_NAMES if (file := Path(path, file_name)).is_file()]
        if below and tree is not None and not Bounds(tree).hold(os.path.realpath(path)):
            raise ManifestError(
                "path-outside-repository",
                f"{shown}: a kustomization refers to {name}, which is outside of its Git work tree",
                hints=("Put what it refers to into the repository.",),
            )
        waiting += map(str, below)
        if Path(path).name in KUSTOMIZATION_NAMES:
            waiting += sorted(referred(path, Path(path).stat().st_mtime_ns))
            unread = unread if is_read_whole(path) else name
    return unread


def opened(folder: Path, path: str) -> File | None:
    """Read a file that a kustomization in a folder took; it is named as from the working directory. None where it can't be."""
    if not path.endswith(SUFFIXES):
        return None
    tree = work_tree(str(folder))  # anybody can write an annotation
    within = Bounds(tree) if tree is not None else None
    files = read_files([os.path.relpath(folder / path, Path.cwd())], Path(), Findings(), within=within)
    return files[0] if len(files) == 1 else None


def _opened_at(revision: Revision, folder: Path, path: str) -> File | None:
    name = os.path.normpath(folder / path)
    data = revision.file(name) if path.endswith(SUFFIXES) else None
    return None if data is None else File(revision.label(name), data)


def _rendered(folder: Path, shown: str, root: Path, environment: Mapping[str, str], *, remote: bool) -> bytes:
    handed_on = _HANDED_ON | _HANDED_ON_ONLINE if remote else _HANDED_ON
    own = {name: value for name, value in environment.items() if name in handed_on}
    command = (
        sys.executable,
        "-I",
        "-S",
        kustomize_sandbox.__file__,
        "online" if remote else "offline",
        *_tool(environment),
    )
    try:
        ran = _run((*command, str(folder)), own if remote else own | _OFFLINE)
    except OSError as error:
        raise ConfigError("kustomize-failed", f"{shown}: kustomize could not be run: {error}") from error
    if ran.returncode:
        said = ran.stderr.decode(errors="replace").replace(f"{root}{os.sep}", "").strip().splitlines()
        raise ManifestError(
            "kustomize-failed",
            f"{shown}: kustomize refuses it",
            hints=(*(f"kustomize says: {line}" for line in said[:5]), *(() if remote else _about_remote(folder))),
        )
    return ran.stdout


def _run(command: tuple[str, ...], environment: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Run a command as `subprocess.run` does, and stop it when it has written more than any manifest may hold."""
    with (
        TemporaryFile() as errors,
        subprocess.Popen(  # noqa: S603 — fixed words and absolute paths
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=environment
        ) as process,
    ):
        assert process.stdout is not None  # noqa: S101 — as asked for
        done, patience = Event(), current_deadline() or LoadDeadline(_PATIENCE)
        Thread(target=_stop_late, args=(process, patience, done), daemon=True).start()
        try:
            written = process.stdout.read(MOST_BYTES + 1)
            if is_too_much := len(written) > MOST_BYTES:
                process.kill()
            code = process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            done.set()
        if patience.is_over:
            raise TimeoutError(f"it took longer than {_PATIENCE}") if current_deadline() is None else patience.error
        errors.seek(0)
        return subprocess.CompletedProcess((), 0 if is_too_much else code, written, errors.read(_MOST_SAID))


def _stop_late(process: subprocess.Popen[bytes], patience: LoadDeadline, done: Event) -> None:
    while not done.wait(0.1):
        if patience.is_over:
            process.kill()
            return


def _about_remote(folder: Path) -> tuple[str, ...]:
    """Say what allows a kustomization to fetch what it names elsewhere, if it names anything there."""
    names = (path for name in KUSTOMIZATION_NAMES if (path := folder / name).is_file())
    if not any("://" in text or "git@" in text or "?ref=" in text for path in names for text in texts_in(str(path))):
        return ()
    return ("It may fetch nothing. If you trust what it refers to elsewhere: --allow-remote-bases",)


def _tool(environment: Mapping[str, str]) -> tuple[str, ...]:
    path = environment.get("PATH")
    if (found := shutil.which("kustomize", path=path)) is not None:
        return (found, "build")
    if (found := shutil.which("kubectl", path=path)) is not None:
        return (found, "kustomize")
    raise ConfigError(
        "kustomize-missing",
        "a kustomization is to be rendered, and neither `kustomize` nor `kubectl` is on the PATH",
        hints=("Install one, or render elsewhere:  kubectl kustomize DIR | octosync plan -f -",),
    )
