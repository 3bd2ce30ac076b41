"""Render kustomizations with the installed `kustomize`, in the work tree or at a Git revision.

The paths in a kustomization, existing or not, tell which files to watch and whether it leaves its Git work tree.
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

from octosync.errors import ConfigError, ManifestError, OctosyncError, UsageError
from octosync.manifest.git.revision import Revision
from octosync.manifest.load import kustomize_sandbox
from octosync.manifest.load.files import SUFFIXES, File, display_name, read_files
from octosync.manifest.load.limits import (
    Bounds,
    LoadDeadline,
    OutOfBoundsError,
    current_deadline,
    load_deadline,
    work_tree,
)
from octosync.manifest.schema.rules import Findings
from octosync.manifest.yaml.loader import MOST_BYTES

KUSTOMIZATION_NAMES: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_LONGEST_PATH, _LONGEST_NAME = 4095, 255  # as on Linux; longer texts are inline patches and the like
_MOST_TEXTS: Final = 100_000
_MOST_LEVELS: Final = 10
_MOST_BYTES: Final = 1024 * 1024


def referred(kustomization: str, stamp: object) -> frozenset[str]:
    """Return the paths that a kustomization names, joined to its folder; none if it can't be read.

    It is read again when `stamp` changes. Every string that may be a path counts: the fields that hold paths differ between
    versions of kustomize.
    """
    return _referred(kustomization, stamp)


@lru_cache(maxsize=1024)
def _referred(kustomization: str, _stamp: object) -> frozenset[str]:
    folder = str(Path(kustomization).parent)
    return frozenset(os.path.normpath(Path(folder, text)) for text in texts_in(kustomization) if _may_be_path(text))


def texts_in(kustomization: str) -> tuple[str, ...]:
    """Return the strings in a kustomization, without keys; none if it can't be read."""
    content = _content(kustomization)
    return tuple(islice(_texts(content), _MOST_TEXTS)) if content is not None else ()


def is_read_whole(kustomization: str) -> bool:
    """Return whether `referred` is complete for a kustomization: it is neither malformed nor too large."""
    content = _content(kustomization)
    return content is not None and sum(1 for _ in islice(_texts(content), _MOST_TEXTS + 1)) <= _MOST_TEXTS


def _content(kustomization: str) -> list[object] | None:
    """Return the documents of a kustomization; None if it can't be read."""
    try:
        with Path(kustomization).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        # Only lists, objects and strings: other values cost time and are no paths.
        return list(yaml.load_all(data, yaml.CBaseLoader)) if len(data) <= _MOST_BYTES else None
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return None


def _may_be_path(text: str) -> bool:
    # kustomize refuses absolute paths; a label with the value / would otherwise mean the whole file system.
    if not 0 < len(text) <= _LONGEST_PATH or text.startswith("/") or "://" in text:
        return False
    return text.isprintable() and all(len(name) <= _LONGEST_NAME for name in text.split("/"))


def _texts(content: object) -> Iterator[str]:
    """Yield every string in a value, and the path of `name=path`, down to the depth at which fields hold paths.

    Aliased values are visited once.
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


_TIMEOUT: Final = timedelta(minutes=5)
_VERSION_TIMEOUT: Final = timedelta(seconds=5)
# No other variables are passed on: a generator can copy any variable into its output.
_PASSED_ON: Final = frozenset({"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"})
_PROXIES: Final = frozenset({"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"})
_PASSED_ON_ONLINE: Final = _PROXIES | {"SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR", "no_proxy", "NO_PROXY"}
# Git uses no protocol, and the proxy is a port on which nothing listens.
_OFFLINE: Final = dict.fromkeys(_PROXIES, "http://127.0.0.1:1") | {"GIT_ALLOW_PROTOCOL": "none", "no_proxy": ""}
_MOST_SAID: Final = 64 * 1024


def render(
    kustomization: str, environment: Mapping[str, str], *, within: Bounds | None = None, remote: bool = False
) -> File:
    """Return the rendered output of a kustomization's folder; with `remote`, kustomize may fetch remote bases.

    Raises `ConfigError` if no tool is installed or the folder is not `within` bounds, and `ManifestError` if kustomize fails,
    or a link or path leads out of the Git work tree.
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
    """Return the rendered output of a folder at a revision; None if it was not a kustomization. Raises as `render` does.

    All files of the revision are exported for it, since a kustomization may refer to any of them.
    """
    path = revision.path_of(kustomization)
    if not has_kustomization(revision, kustomization):
        return None
    shown = f"{revision.label(path)} (rendered)"
    with TemporaryDirectory(prefix="octosync-") as temporary:
        root = Path(temporary).resolve()
        revision.export(root)
        data = _rendered(root / path, shown, root, environment, remote=remote)
        real = (root / path).resolve().relative_to(root)
    return File(shown, data, open_=partial(_opened_at, revision, real), base=revision.name)


def has_kustomization(revision: Revision, kustomization: str) -> bool:
    """Return whether a folder was a kustomization in a revision."""
    path = revision.path_of(kustomization)
    return any(revision.has_file(f"{path}/{name}" if path else name) for name in KUSTOMIZATION_NAMES)


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
    """Return a file that a kustomization was rendered from, named relative to the working directory; None if unreadable."""
    if not path.endswith(SUFFIXES):
        return None
    tree = work_tree(str(folder))  # the annotation may name any file
    within = Bounds(tree) if tree is not None else None
    files = read_files([os.path.relpath(folder / path, Path.cwd())], Path(), Findings(), within=within)
    return files[0] if len(files) == 1 else None


def _opened_at(revision: Revision, folder: Path, path: str) -> File | None:
    name = os.path.normpath(folder / path)
    data = revision.file(name) if path.endswith(SUFFIXES) else None
    return None if data is None else File(revision.label(name), data, base=revision.name)


def _rendered(folder: Path, shown: str, root: Path, environment: Mapping[str, str], *, remote: bool) -> bytes:
    passed_on = _PASSED_ON | _PASSED_ON_ONLINE if remote else _PASSED_ON
    own = {name: value for name, value in environment.items() if name in passed_on}
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
        lines = ran.stderr.decode(errors="replace").replace(f"{root}{os.sep}", "").strip().splitlines()
        raise ManifestError(
            "kustomize-failed",
            f"{shown}: kustomize failed",
            hints=(*(f"kustomize: {line}" for line in lines[:5]), *(() if remote else _about_remote(folder))),
        )
    return ran.stdout


def _run(command: tuple[str, ...], environment: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Run a command as `subprocess.run` does, and stop it when its output is larger than a manifest may be."""
    with (
        TemporaryFile() as errors,
        subprocess.Popen(  # noqa: S603 — fixed words and absolute paths
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=environment
        ) as process,
    ):
        assert process.stdout is not None  # noqa: S101 — as asked for
        done, deadline = Event(), current_deadline() or LoadDeadline(_TIMEOUT)
        Thread(target=_stop_late, args=(process, deadline, done), daemon=True).start()
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
        if deadline.is_over:
            raise TimeoutError(f"it took longer than {_TIMEOUT}") if current_deadline() is None else deadline.error
        errors.seek(0)
        return subprocess.CompletedProcess((), 0 if is_too_much else code, written, errors.read(_MOST_SAID))


def _stop_late(process: subprocess.Popen[bytes], deadline: LoadDeadline, done: Event) -> None:
    while not done.wait(0.1):
        if deadline.is_over:
            process.kill()
            return


def _about_remote(folder: Path) -> tuple[str, ...]:
    """Return the hint about the flag that allows remote bases, if a kustomization names any."""
    names = (path for name in KUSTOMIZATION_NAMES if (path := folder / name).is_file())
    if not any("://" in text or "git@" in text or "?ref=" in text for path in names for text in texts_in(str(path))):
        return ()
    return ("Remote bases are not allowed. If you trust them, use --allow-remote-bases.",)


def tool_version(environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the path of the tool that renders kustomizations, and what it prints as its version, "" if it fails.

    Raises `ConfigError` if no tool is installed.
    """
    path, subcommand = _tool(environment)
    arguments = ("version",) if subcommand == "build" else ("version", "--client")
    own = {name: value for name, value in environment.items() if name in _PASSED_ON}
    try:
        with load_deadline(_VERSION_TIMEOUT):
            ran = _run((path, *arguments), own)
    except (OSError, OctosyncError):
        return path, ""
    return path, " ".join(ran.stdout[:_MOST_SAID].decode(errors="replace").split())


def _tool(environment: Mapping[str, str]) -> tuple[str, ...]:
    path = environment.get("PATH")
    if (found := shutil.which("kustomize", path=path)) is not None:
        return (found, "build")
    if (found := shutil.which("kubectl", path=path)) is not None:
        return (found, "kustomize")
    raise ConfigError(
        "kustomize-missing",
        "can't render a kustomization: neither `kustomize` nor `kubectl` is on the PATH",
        hints=("Install one, or render elsewhere:  kubectl kustomize DIR | octosync plan -f -",),
    )
