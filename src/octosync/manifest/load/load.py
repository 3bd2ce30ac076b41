"""Load desired state from paths, with all problems of all files at once.

A cache keeps the contents of files from one load to the next, so that only changed files are parsed again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from octosync.collector import collector_paused
from octosync.contract import Contract
from octosync.errors import UsageError
from octosync.manifest.config.config import Configuration, Context
from octosync.manifest.load.assemble import Assembled, Claims, assemble
from octosync.manifest.load.digest import Memo, Texts, annotations_of, digest
from octosync.manifest.load.documents import Resource, read_document, read_simple_document, with_apps
from octosync.manifest.load.files import STDIN, File, Stamp, read_files
from octosync.manifest.load.limits import Bounds, check_deadline
from octosync.manifest.load.owners import check_owners
from octosync.manifest.load.rendered_origins import RenderedOrigins
from octosync.manifest.load.variables import NAME, SECRET_NAMES, Variables, may_hold_a_secret
from octosync.manifest.schema.rules import Findings, Reporter
from octosync.manifest.yaml.loader import parse
from octosync.manifest.yaml.simple import SimpleReader
from octosync.model import Diagnostic, Origin, Sensitivity, Severity, State

if TYPE_CHECKING:  # only a large set needs it
    from octosync.manifest.load.valid_files import ValidFiles

_Key: TypeAlias = tuple[str, bool]
_LEAST_BYTES_TO_LIST: Final = 200_000  # less is parsed as fast as the list of valid files is read


@dataclass(frozen=True, slots=True, kw_only=True)
class FileContents:
    """The parsed contents of a file: the count of its documents, octosync's resources, and diagnostics.

    `at` is the time of parsing. A file with this `stamp` has these bytes (None: not certain). `opened` maps the files that a
    rendered file was traced to, by path, to their bytes (None: no such file).
    """

    data: bytes
    at: datetime
    documents: int
    resources: tuple[Resource, ...]
    diagnostics: tuple[Diagnostic, ...]
    is_empty: bool
    opened: Mapping[str, bytes | None] = field(default_factory=dict)
    stamp: Stamp | None = None

    def is_current(self, file: File, now: datetime) -> bool:
        """Return whether parsing a file now has the same result: its bytes are the same, and no suspension has ended since."""
        if file.data != self.data:
            return False
        suspensions = (resource.suspension for resource in self.resources if resource.suspension is not None)
        if any(suspension.is_active(now) != suspension.is_active(self.at) for suspension in suspensions):
            return False
        return all(_data_of(file, path) == data for path, data in self.opened.items())


class Cache:
    """The parsed files, assembled apps and canonical texts of the latest load. One load at a time uses it.

    It is cleared when the configuration changes. `assembled` and `texts` are for `assemble` and `digest`. A file whose stat is
    unchanged is not read again, unless it was changed less than `clock_tick` seconds before it was read: another change in the
    same tick of the file system's clock would not show in its stat.
    """

    def __init__(self, *, clock_tick: float = 2.0) -> None:
        self._clock_tick = round(clock_tick * 1e9)
        self.assembled: Assembled = Memo()
        self.texts: Texts = Memo()
        self._files: Memo[_Key, FileContents] = Memo()
        self._under: tuple[Sensitivity, Variables, Contract] | None = None
        self._parsed: list[str] = []

    @property
    def parsed(self) -> tuple[str, ...]:
        """The names of the files that the latest load parsed."""
        return tuple(self._parsed)

    @contextmanager
    def loading(self, sensitivity: Sensitivity, variables: Variables, contract: Contract) -> Iterator[None]:
        """Serve one load with these settings; unused entries are dropped at its end."""
        # Copies, since the environment and a context's values may be changed in place.
        own = replace(variables, values=dict(variables.values), environment=dict(variables.environment))
        if self._under != (sensitivity, own, contract):
            self.clear()
        self._under = (sensitivity, own, contract)
        self._parsed = []
        try:
            yield
        finally:
            self._for_all(Memo.end_round)

    def find(self, file: File, now: datetime) -> FileContents | None:
        """Return the contents of a file; None if they are unknown or no longer valid."""
        found = self._files.find(_key(file))
        if found is None or not found.is_current(file, now):
            return None
        if found.stamp != (stamp := self.stamp_of(file)):
            found = replace(found, stamp=stamp)
        self._files.keep(_key(file), found)
        return found

    def stamp_of(self, file: File) -> Stamp | None:
        """Return the stamp of a file; None if it may change again without another stamp."""
        stamp = file.stamp
        return stamp if stamp is not None and max(stamp[3:]) < file.read_at - self._clock_tick else None

    def known_bytes(self, name: str, stamp: Stamp) -> bytes | None:
        """Return the bytes of a file that has not been written since they were read; None if they are unknown."""
        found = self._files.find((name, False))
        return found.data if found is not None and found.stamp == stamp else None

    def clear(self) -> None:
        """Forget everything: the next load reads and parses all files."""
        self._for_all(Memo.clear)

    def keep(self, file: File, parsed: FileContents) -> None:
        """Keep the contents of a file."""
        self._parsed.append(file.name)
        self._files.keep(_key(file), parsed)

    def _for_all(self, act: Callable[[Memo[Any, Any]], None]) -> None:
        for memo in (self._files, self.assembled, self.texts):
            act(memo)


def _key(file: File) -> _Key:
    return (file.name, file.real is None)


def _data_of(file: File, path: str) -> bytes | None:
    opened = file.open_(path) if file.open_ is not None else None
    return None if opened is None else opened.data


@dataclass(frozen=True, kw_only=True)
class Manifests:
    """The desired state of manifests, and their diagnostics.

    `state` is planned; it is not usable while `has_errors`. `others` is declared by documents under octosync.yaml's paths that
    are not among the given paths: it is not planned, and nothing in it may be removed. `digest` covers the declarations with
    variables, labels and annotations, but without file names and comments. `from_environment` are the apps whose documents
    refer to variables of the environment: Git does not have their values. `state` lacks `known_apps` apps in valid files.
    """

    state: State = field(default_factory=State)
    others: State = field(default_factory=State)
    diagnostics: tuple[Diagnostic, ...] = ()
    files: int = 0
    documents: int = 0
    known_apps: int = 0
    from_environment: frozenset[str] = frozenset()
    compute_digest: Callable[[], str] = field(default=str, repr=False, compare=False)

    @cached_property
    def digest(self) -> str:
        """The digest, computed when it is first used: most commands don't show it."""
        return self.compute_digest()

    @property
    def has_errors(self) -> bool:
        """Return whether any diagnostic is an error."""
        return any(diagnostic.severity is Severity.ERROR for diagnostic in self.diagnostics)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """Further options of a load.

    Paths are relative to `directory`. `--env` and `env` are looked up in `environment`. The contract defaults to the
    configuration's. `edited` replaces the contents of files, by their real paths. With `valid_files`, which opens the list of
    files that were found valid before, these are not parsed, and their apps are only counted.
    """

    contract: Contract | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    env_allowed: Iterable[str] = ()
    allow_empty: bool = False
    directory: Path | None = None
    edited: Mapping[Path, bytes] = field(default_factory=dict)
    valid_files: Callable[[Configuration], ValidFiles | None] | None = None


_USUAL: Final = LoadOptions()


def load_manifests(
    paths: Sequence[str],
    *,
    configuration: Configuration,
    now: datetime,
    context: Context | None = None,
    stdin: bytes | None = None,
    rendered: Sequence[File] | None = None,
    cache: Cache | None = None,
    options: LoadOptions = _USUAL,
) -> Manifests:
    """Load the manifests at paths; without any, those of the context or octosync.yaml.

    `rendered` files replace all paths. `stdin` are the bytes of `-`; suspensions are compared with `now` (with a time zone).
    With a `cache`, only files that changed since its latest load are parsed; the result is the same.
    Never raises for the contents of manifests. Raises `UsageError` without any paths, for `-` twice, and for a name in
    `env_allowed` that is not a variable's name or names a secret.
    """
    variables = variables_for(configuration, context, options.environment, options.env_allowed)
    own_paths = configuration.paths_of(context)
    asked = list(paths) or list(own_paths)
    if not asked and rendered is None:
        raise UsageError("no-manifests", "no manifests given", hints=("Give -f PATH, or paths in octosync.yaml.",))
    if asked.count(STDIN) > 1:
        raise UsageError("duplicate-stdin", "-f - is given twice, but there is only one standard input")
    findings = Findings()
    contract, directory = options.contract or configuration.contract, options.directory
    loader = Loader(configuration, contract, variables, now, directory, edited=options.edited, cache=cache)
    if not (configuration.owners or configuration.policies):  # owners depend on paths, and policies read the apps
        loader.open_valid_files = options.valid_files
    remembering = cache.loading(configuration.sensitivity, variables, contract) if cache is not None else nullcontext()
    with collector_paused(), remembering:
        found = (
            loader.read_all(rendered, findings)
            if rendered is not None
            else loader.read(asked, findings, stdin=stdin, within=None if paths else configuration.bounds(directory))
        )
        if found.empty or not (found.resources or found.known_apps):
            _report_empty(found, findings, allow_empty=options.allow_empty)
        state = loader.assemble(found)
        if configuration.owners:
            check_owners(found.resources, configuration.owners, configuration.directory, findings)
        others = State()
        if own_paths and rendered is None and paths and STDIN not in asked and not (context and context.kustomize):
            others = loader.others(own_paths, found, findings)
        if (valid_files := loader.valid_files) is not None:
            if not valid_files.are_alone((*state, *others)):
                valid_files.forget_found()
                options = replace(options, valid_files=lambda _: valid_files)
                inputs: dict[str, Any] = {"context": context, "stdin": stdin, "rendered": rendered, "options": options}
                return load_manifests(paths, configuration=configuration, now=now, **inputs)
            valid_files.add(found.resources, state, findings)
        sensitivity = configuration.sensitivity
        annotations = annotations_of((resource for resource, _ in found.resources), sensitivity)
        texts = cache.texts if cache is not None else None
        manifests = Manifests(
            compute_digest=partial(digest, state, annotations, texts, sensitivity=sensitivity),
            state=state,
            others=others,
            diagnostics=tuple(with_apps(findings.sorted, (resource for resource, _ in found.resources))),
            files=len(found.files),
            documents=found.documents,
            known_apps=found.known_apps,
            from_environment=frozenset(
                resource.app
                for resource, _ in found.resources
                if resource.uses_environment and resource.app is not None
            ),
        )
        if cache is not None:
            _ = manifests.digest  # while the cache holds the texts of this load and of the one before
        return manifests


def variables_for(
    configuration: Configuration, context: Context | None, environment: Mapping[str, str], env_allowed: Iterable[str]
) -> Variables:
    """Return the variables that manifests may refer to. Raises `UsageError` as `load` does."""
    return Variables(
        values=context.vars if context else {},
        allowed=frozenset((*map(_allowed_name, env_allowed), *configuration.env)),
        environment=environment,
    )


@dataclass(slots=True)
class LoadedFiles:
    """The files that were read, octosync's resources with their files, the count of documents, and files without any."""

    files: list[File]
    resources: list[tuple[Resource, File]] = field(default_factory=list)
    documents: int = 0
    empty: list[File] = field(default_factory=list)
    known_apps: int = 0  # in files that were found valid before, and not parsed


class Loader:
    """Reads files under one configuration, contract, set of variables and time."""

    def __init__(
        self,
        configuration: Configuration,
        contract: Contract,
        variables: Variables,
        now: datetime,
        directory: Path | None = None,
        *,
        edited: Mapping[Path, bytes] | None = None,
        cache: Cache | None = None,
    ) -> None:
        self._configuration = configuration
        self.contract = contract
        self._variables = variables
        self._now = now
        self._directory = directory or Path()
        self._edited = {str(path): data for path, data in (edited or {}).items()}
        self._cache = cache
        self._claims: Claims = {}
        self._simple_reader = SimpleReader(configuration.sensitivity)
        self.open_valid_files: Callable[[Configuration], ValidFiles | None] | None = None
        self.valid_files: ValidFiles | None = None

    def read(
        self,
        paths: Iterable[str],
        findings: Findings,
        *,
        stdin: bytes | None = None,
        but: Collection[File] = (),
        within: Bounds | None = None,
    ) -> LoadedFiles:
        """Read all documents of the files at paths, except for the files in `but`.

        A path that leads out of `within` is an error.
        """
        loaded = {file.real for file in but}
        known = self._cache.known_bytes if self._cache is not None else None
        found = read_files(paths, self._directory, findings, stdin=stdin, within=within, known=known)
        files = [file for file in found if file.real not in loaded]
        if self._edited:
            files = [replace(file, data=self._edited.get(file.real or "", file.data), stamp=None) for file in files]
        return self.read_all(files, findings)

    def read_all(self, files: Sequence[File], findings: Findings) -> LoadedFiles:
        """Read all documents of files."""
        read = LoadedFiles(list(files))
        if self.open_valid_files is not None and sum(len(file.data) for file in files) >= _LEAST_BYTES_TO_LIST:
            self.valid_files = self.valid_files or self.open_valid_files(self._configuration)
        for file in read.files:
            if self.valid_files is not None and (apps := self.valid_files.find(file)):
                read.known_apps += apps
                continue
            parsed = self._parse(file) if self._cache is None else self._parse_if_changed(file, self._cache)
            if parsed.is_empty:
                read.empty.append(file)
            if parsed.diagnostics:
                findings.extend(parsed.diagnostics)
            read.documents += parsed.documents
            for reporter in {id(resource.reporter): resource.reporter for resource in parsed.resources}.values():
                reporter.findings = findings  # what is found about it later belongs to this load
            read.resources += [(resource, file) for resource in parsed.resources]
        return read

    def _parse_if_changed(self, file: File, cache: Cache) -> FileContents:
        parsed = cache.find(file, self._now)
        if parsed is None:
            parsed = replace(self._parse(file), stamp=cache.stamp_of(file))
            cache.keep(file, parsed)
        return parsed

    def _parse(self, file: File) -> FileContents:
        return self._parse_simple(file) or self._parse_strictly(file)

    def _parse_simple(self, file: File) -> FileContents | None:
        """Return the contents of a simple file; None for any other, and for one with an invalid document."""
        if file.real is None:
            return None
        simple = self._simple_reader.read(file.name, file.data, file.base)
        if simple is None:
            return None
        found = Findings(file.name)
        reporter = Reporter(found, simple.source)
        resources = []
        for index in range(len(simple.documents)):
            resource = read_simple_document(simple, index, reporter, self._variables, self._now)
            if resource is None:
                return None
            resources.append(resource)
        return FileContents(
            data=file.data,
            at=self._now,
            documents=len(simple.documents),
            resources=tuple(resources),
            diagnostics=found.sorted,
            is_empty=not simple.documents,
        )

    def _parse_strictly(self, file: File) -> FileContents:
        problems, found = Findings(file.name), Findings(file.name)
        source, documents = parse(file.name, file.data, self._configuration.sensitivity, problems, base=file.base)
        reporter = Reporter(found, source)
        origins = RenderedOrigins(source, self._configuration.sensitivity, file.open_)
        resources = []
        for document in documents:
            check_deadline()
            if file.real is None:
                origins.trace(document)
            resource = read_document(document, reporter, self._variables, self._now)
            if resource is not None:
                resources.append(resource)
        return FileContents(
            data=file.data,
            at=self._now,
            documents=len(documents),
            resources=tuple(resources),
            diagnostics=(*problems.sorted, *found.sorted),
            is_empty=not documents and not problems.has_errors,
            opened=origins.opened,
        )

    def assemble(self, read: LoadedFiles) -> State:
        """Return the state of the files. Targets of earlier calls stay claimed in later ones."""
        resources = (resource for resource, _ in read.resources)
        known = self._cache.assembled if self._cache is not None else None
        return assemble(resources, self.contract, self._claims, known)

    def others(self, paths: Iterable[str], read: LoadedFiles, findings: Findings) -> State:
        """Return the state of the files at the configured paths that were not read. Their errors count, too."""
        own = Findings()
        state = self.assemble(self.read(paths, own, but=read.files, within=self._configuration.bounds(self._directory)))
        errors = (found for found in own.sorted if found.severity is Severity.ERROR and found.rule != "missing-path")
        findings.extend(tuple(errors))
        return state


def _allowed_name(name: str) -> str:
    """Return a name that `--env` allows. Raises `UsageError` if it is not a variable's name, or names a secret."""
    if not NAME.fullmatch(name):
        raise UsageError("malformed-variable", f"--env {name} is not a variable name")
    if may_hold_a_secret(name):
        hints = tuple(f"{hint[0].upper()}{hint[1:]}." for hint in SECRET_NAMES)
        raise UsageError("secret-variable", f"--env {name} looks like a secret", hints=hints)
    return name


def _report_empty(read: LoadedFiles, findings: Findings, *, allow_empty: bool) -> None:
    if read.resources or read.known_apps or allow_empty:
        for file in read.empty:
            findings.add("empty-file", f"{file.name} contains no document", origin=Origin(file.name))
    elif not findings.has_errors:
        names = ", ".join(file.name for file in read.empty[:5])
        summary = "the manifests contain no document" + (f": {names} holds none" if len(read.empty) == 1 else "")
        findings.add("no-documents", summary, notes=("use --allow-empty to accept manifests without a document",))
