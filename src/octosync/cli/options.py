"""The options that commands share.

Every option can also be set by an environment variable, except those that relax a check. `--help` and completion import this
module, so what only a run needs is imported in functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import click
from click.core import ParameterSource

from octosync.cli.command import (
    COMPARISON,
    CONTROL_PLANE,
    GUARD_OVERRIDES,
    MANIFESTS,
    OUTPUT,
    ROLLOUTS,
    SELECTION,
    Command,
    Option,
    is_from_environment,
)
from octosync.cli.console import Verbosity, choose_verbosity
from octosync.cli.run_options import BaseFlags, LockTimeout, ManifestFlags, RemoteFlags, RunRequest, StateFlag
from octosync.cli.shell_completion import addresses, contexts, files, folders, policies, starting_with
from octosync.errors import DEBUG, UsageError
from octosync.model import Optimize
from octosync.plan import ALL, FLAGS, Flag, Takes
from octosync.report import MAX_BYTES
from octosync.state import DEFAULT_PATH

if TYPE_CHECKING:
    from octosync.model import Address
    from octosync.state import StateLocation

# In the order of `--help`; `octosync.cli.output` renders them.
FORMATS: Final = ("text", "markdown", "json", "jsonl", "github", "sarif")

F = TypeVar("F", bound=Callable[..., object])


def option(*names: str, env: bool = True, **attributes: Any) -> Callable[[F], F]:
    """Return an option that `OCTOSYNC_<NAME>` also sets; with `env` False, only the command line does."""
    flag = next(name for name in names if name.startswith("--")).split("/")[0]
    if env:
        attributes.setdefault("envvar", "OCTOSYNC_" + flag.removeprefix("--").replace("-", "_").upper())
    attributes.setdefault("cls", Option)
    return click.option(*names, **attributes)


class BareOption(Option):
    """An option whose value is optional and can only follow `=`; without one, the value is `bare`."""

    def __init__(self, names: Sequence[str], *, bare: str, **attributes: Any) -> None:
        super().__init__(names, **attributes)
        self.bare = bare

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the help record, which shows that the value is optional."""
        record = super().get_help_record(ctx)
        return None if record is None else (f"{', '.join(self.opts)}[={self.make_metavar(ctx)}]", record[1])


class CommandWithBareOptions(Command):
    """A command with bare options. Click alone would take the argument after one as its value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Add the values of bare options, up to `--`; everything after that is an argument."""
        bare = {name: param.bare for param in self.params if isinstance(param, BareOption) for name in param.opts}
        end = args.index("--") if "--" in args else len(args)
        given = [f"{arg}={bare[arg]}" if arg in bare else arg for arg in args[:end]]
        return super().parse_args(ctx, [*given, *args[end:]])


def typed_options() -> frozenset[str]:
    """Return the names of the parameters that the command line sets, not the environment or a default.

    Only command functions and their decorators call this; for all other code, it is a field of the flags.
    """
    context = click.get_current_context()
    return frozenset(
        name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    )


def bundle_options(name: str, kind: type[Any], **constants: object) -> Callable[[F], F]:
    """Pass the values of the options that are fields of the dataclass `kind` to the command as one argument `name`.

    A field `from_command_line` gets the names of those that were typed; `constants` are further fields.
    """
    names = {field.name for field in fields(kind)}

    def decorate(function: F) -> F:
        @wraps(function)
        def command(**values: Any) -> object:
            own = {option: values.pop(option) for option in names & values.keys()}
            if "from_command_line" in names:
                own["from_command_line"] = typed_options() & names
            return function(**values, **{name: kind(**own, **constants)})

        return cast(F, command)

    return decorate


def combine_options(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Return a decorator that applies decorators so that `--help` lists their options in the given order."""

    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def output_option(*formats: str) -> Callable[[F], F]:
    """`-o`, the format on standard output."""
    return option(
        "-o",
        "--output",
        group=OUTPUT,
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        metavar="FORMAT",
        help=f"The format on standard output: {', '.join(formats)}.",
    )


colour_option: Callable[[F], F] = option(
    "--color",
    "colour",
    group=OUTPUT,
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    metavar="WHEN",
    help="Use color in text output: auto, always or never. The default is never if NO_COLOR is set.",
)

max_bytes_option: Callable[[F], F] = option(
    "--max-bytes",
    group=OUTPUT,
    type=click.IntRange(1),
    default=MAX_BYTES,
    show_default=True,
    metavar="N",
    help="The maximum size of the Markdown output; omitted parts are counted.",
)

config_option: Callable[[F], F] = option(
    "--config",
    group=CONTROL_PLANE,
    type=click.Path(path_type=Path),
    help="The octosync.yaml file. The default is the nearest one upwards.",
)


class LocationType(click.ParamType["StateLocation"]):
    """Where a state is: the path of a file, or the URL of a database."""

    name = "location"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> StateLocation:
        """Return the location. Raises `UsageError`, which does not quote the value, and for a password that was typed."""
        from octosync.cli.state_location import check_typed
        from octosync.state import parse_location

        name = param.opts[-1] if isinstance(param, click.Option) else (param and param.metavar) or "the state"
        is_set = param is not None and ctx is not None and is_from_environment(param, ctx)
        try:
            location = parse_location(str(value))
        except UsageError as error:
            where = param.envvar if param is not None and is_set else name
            raise UsageError(error.reference, f"{where}: {error.message}", hints=error.hints) from None
        return location if is_set else check_typed(location, name)


def _state_flag(checks: bool) -> Callable[[click.Context, click.Parameter, StateLocation | None], StateFlag]:
    def flag(ctx: click.Context, parameter: click.Parameter, location: StateLocation | None) -> StateFlag:
        path = DEFAULT_PATH if location is None else location
        if checks and isinstance(path, Path):
            from octosync.cli.state_location import check_trusted

            check_trusted(path)
        source = ctx.get_parameter_source(parameter.name or "")
        return StateFlag(location, is_typed=source is ParameterSource.COMMANDLINE)

    return flag


def _state_option(help_: str, *, checks: bool = True) -> Callable[[F], F]:
    return option(
        "--state",
        "journal",
        type=LocationType(),
        callback=_state_flag(checks),
        metavar="LOCATION",
        help=f"{help_}: a file, or the postgresql:// URL of a shared database. The default is stateUrl or stateUrlEnv of "
        f"octosync.yaml, else {DEFAULT_PATH}.",
    )


state_option: Callable[[F], F] = _state_option("The state with the journal")
# `doctor` itself reports a file behind a link.
checked_state_option: Callable[[F], F] = _state_option("The state to check", checks=False)
# `plan` reads no file.
shared_state_option: Callable[[F], F] = _state_option("The state; plan reads only a shared one", checks=False)


def _lock_timeout(ctx: click.Context, parameter: click.Parameter, value: str) -> LockTimeout:
    from octosync.manifest import parse_duration

    try:
        return LockTimeout(value, parse_duration(value).total_seconds())
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, parameter) from None


lock_timeout_option: Callable[[F], F] = option(
    "--lock-timeout",
    metavar="DURATION",
    default="10m",
    show_default=True,
    callback=_lock_timeout,
    help="With a shared state: wait this long while another run writes to the same control plane and org; 0 doesn't wait.",
)


file_option: Callable[[F], F] = option(
    "-f",
    "--file",
    "paths",
    group=MANIFESTS,
    multiple=True,
    metavar="PATH",
    shell_complete=files,
    help="Read manifests from a file, a directory (recursively), or - for standard input. Repeatable.",
)

env_option: Callable[[F], F] = option(
    "--env",
    "env_allowed",
    group=MANIFESTS,
    env=False,
    multiple=True,
    metavar="VAR",
    help="Allow ${VAR} in manifests to read this environment variable. Repeatable.",
)

manifest_options = combine_options(
    bundle_options("manifests", ManifestFlags),
    file_option,
    option(
        "-k",
        "--kustomize",
        group=MANIFESTS,
        metavar="DIR",
        shell_complete=folders,
        help="Read manifests from a kustomization, rendered by kustomize or kubectl.",
    ),
    option(
        "--allow-remote-bases",
        group=MANIFESTS,
        env=False,
        is_flag=True,
        help="Let kustomize fetch remote resources over the network.",
    ),
    config_option,
    env_option,
    option("--allow-empty", group=MANIFESTS, is_flag=True, help="Don't fail when no manifests are found."),
    option("--strict", group=MANIFESTS, is_flag=True, help="Treat warnings as errors."),
)

context_option = option(
    "--context",
    group=CONTROL_PLANE,
    metavar="NAME",
    shell_complete=contexts,
    help="The context of octosync.yaml to use.",
)


def _verbosity_option(*names: str, level: Verbosity, envvar: str, help_: str) -> Callable[[F], F]:
    def choose(ctx: click.Context, parameter: click.Parameter, given: bool) -> None:
        if given:
            source = ctx.get_parameter_source(parameter.name or "")
            choose_verbosity(level, is_typed=source is ParameterSource.COMMANDLINE)

    return option(*names, group=OUTPUT, envvar=envvar, is_flag=True, expose_value=False, callback=choose, help=help_)


verbosity_options = combine_options(
    _verbosity_option(
        "-v",
        "--verbose",
        level=Verbosity.DEBUG,
        envvar=DEBUG,
        help_="Also show the settings in use, each request, and the traceback of a defect, on standard error.",
    ),
    _verbosity_option(
        "-q",
        "--quiet",
        level=Verbosity.QUIET,
        envvar="OCTOSYNC_QUIET",
        help_="Show only results and errors: no progress and no notes, and of plans only the summary.",
    ),
)

remote_options = combine_options(
    bundle_options("remote", RemoteFlags),
    context_option,
    option("--url", group=CONTROL_PLANE, metavar="URL", help="The URL of the control plane, instead of a context."),
    option("--org", group=CONTROL_PLANE, metavar="ID", help="The ID of the org."),
    option("--token-file", group=CONTROL_PLANE, type=click.Path(path_type=Path), help="The file with the API key."),
    option(
        "--rate",
        group=CONTROL_PLANE,
        type=click.IntRange(0),
        metavar="N",
        help="The rate limit in requests per minute; 0 for no limit. The default is rate.requestsPerMinute of octosync.yaml, "
        "else 100, and no limit on loopback.",
    ),
    option(
        "--concurrency",
        group=CONTROL_PLANE,
        type=click.IntRange(1, 256),
        metavar="N",
        help="The maximum number of concurrent requests. The default is rate.concurrency of octosync.yaml, else 16.",
    ),
    option(
        "--insecure",
        group=CONTROL_PLANE,
        env=False,
        is_flag=True,
        help="Allow sending the API key over http:// to other machines.",
    ),
    verbosity_options,
)

control_plane_options = combine_options(config_option, remote_options)

selection_options = combine_options(
    option(
        "--app",
        "apps",
        group=SELECTION,
        multiple=True,
        metavar="SLUG",
        help="Select apps by slug or pattern with *. Repeatable.",
    ),
    option(
        "-l",
        "--selector",
        group=SELECTION,
        metavar="LABELS",
        help="Select apps by labels, for example team=search,tier!=gold.",
    ),
)


class AddressType(click.ParamType["Address"]):
    """An address as plans print it."""

    name = "address"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        """Return the address. Raises `BadParameter`."""
        from octosync.model import Address

        if isinstance(value, Address):
            return value
        try:
            return Address.parse(str(value))
        except ValueError:
            self.fail(f"{str(value)!r} is not an address, such as app/demo/slot/chat", param, ctx)


target_option: Callable[[F], F] = option(
    "--target",
    "objects",
    group=SELECTION,
    multiple=True,
    type=AddressType(),
    metavar="ADDRESS",
    shell_complete=addresses,
    help="Plan only this object, by its address as in app/demo/slot/chat, and what it needs. Repeatable.",
)


class NumberOrAll(click.ParamType[int | str]):
    """A number, or `all`."""

    name = "number"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Return the number, or `all`. Raises `BadParameter`."""
        text = str(value)
        if text == ALL:
            return ALL
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            self.fail(f"{text!r} is neither a number nor `{ALL}`", param, ctx)
        return int(text)


def _guard_option(flag: Flag) -> Callable[[F], F]:
    match flag.takes:
        case Takes.NOTHING:
            return option(flag.name, group=GUARD_OVERRIDES, env=False, is_flag=True, help=flag.help)
        case Takes.NAME:
            return option(
                flag.name,
                group=GUARD_OVERRIDES,
                env=False,
                multiple=True,
                metavar=flag.takes.value,
                shell_complete=policies,
                help=flag.help,
            )
        case Takes.NUMBER:
            return option(
                flag.name,
                group=GUARD_OVERRIDES,
                env=False,
                type=click.IntRange(0),
                metavar=flag.takes.value,
                help=flag.help,
            )
        case Takes.NUMBER_OR_ALL:
            return option(
                flag.name,
                group=GUARD_OVERRIDES,
                env=False,
                metavar=flag.takes.value,
                type=NumberOrAll(),
                help=flag.help,
            )


def guard_options(*, in_watch: bool = False) -> Callable[[F], F]:
    """Pass the values of the guards' flags to the command as one argument `guards`. `in_watch`: only those of `watch`."""
    flags = {guard: flag for guard, flag in FLAGS.items() if flag.in_watch or not in_watch}

    def bundled_guards(function: F) -> F:
        @wraps(function)
        def command(**values: Any) -> object:
            lifted: dict[str, object] = {}
            for guard, flag in flags.items():
                value = values.pop(flag.name.removeprefix("--").replace("-", "_"))
                if flag.takes is Takes.NAME:
                    lifted |= {f"{guard}:{name}": True for name in value if name}
                elif value is not None and value is not False:
                    lifted[guard] = value
            return function(**values, guards=lifted)

        return cast(F, command)

    return combine_options(bundled_guards, *map(_guard_option, flags.values()))


class Duration(click.ParamType[str]):
    """A duration such as `90s`, kept as text."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text of a valid duration. Raises `BadParameter`."""
        from octosync.manifest import parse_duration

        text = str(value)
        try:
            parse_duration(text)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return text


class Interval(click.ParamType[float]):
    """The time between two requests: a duration such as `2s`, or a number of seconds. Its value are seconds."""

    name = "duration"
    shortest: Final = 0.1
    longest: Final = 3600

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds. Raises `BadParameter`."""
        from octosync.manifest import parse_duration

        text = str(value)
        try:
            seconds = (
                float(text)
                if re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", text)
                else parse_duration(text).total_seconds()
            )
        except ValueError:
            self.fail(f"{text!r} is not a duration such as 2s or 1m", param, ctx)
        if not self.shortest <= seconds <= self.longest:
            self.fail(f"{text} is not between {self.shortest:g}s and {self.longest / 3600:g}h", param, ctx)
        return seconds


base_option: Callable[[F], F] = option(
    "--base",
    group=COMPARISON,
    metavar="REV",
    help="Compare with the merge base of HEAD and REV, for example origin/main.",
)

attempted_option: Callable[[F], F] = option(
    "--attempted",
    group=COMPARISON,
    multiple=True,
    metavar="REV",
    help="A revision whose apply did not finish: its changes don't count as drift. Repeatable.",
)

drift_hold_option: Callable[[F], F] = option(
    "--drift-hold",
    group=COMPARISON,
    metavar="DURATION",
    type=Duration(),
    help="Hold drift for this long before it is reverted; 0 reverts at once.  [default: drift.hold of octosync.yaml, 30m]",
)

base_options = combine_options(
    base_option,
    option(
        "--base-file",
        group=COMPARISON,
        metavar="PATH",
        help="Read the base manifests from PATH, as any generator rendered them.",
    ),
    option(
        "--changed-only", group=SELECTION, is_flag=True, help="Select the apps whose manifests differ from the base."
    ),
    option(
        "--prune",
        group=COMPARISON,
        env=False,
        is_flag=True,
        help="Archive apps that the base declares and the manifests don't.",
    ),
    drift_hold_option,
)

deploy_options = combine_options(
    option(
        "--optimize",
        group=ROLLOUTS,
        type=click.Choice([level.value for level in Optimize]),
        metavar="LEVEL",
        help="The upper limit for optimize, regardless of the manifests: never, suggest or auto.",
    ),
    option(
        "--no-preview",
        "previews",
        group=ROLLOUTS,
        is_flag=True,
        callback=lambda _context, _parameter, given: not given,
        help="Don't request previews of enabled capabilities.",
    ),
    option(
        "--retry-rolled-back",
        group=ROLLOUTS,
        env=False,
        is_flag=True,
        help="Enable declared capabilities again that were rolled back.",
    ),
)


def run_options(*, reviews: bool) -> Callable[[F], F]:
    """Pass the options of plan and apply to the command as one `request`. `reviews` is as in `BaseFlags`."""
    return combine_options(
        bundle_options("base", BaseFlags, reviews=reviews),
        manifest_options,
        selection_options,
        target_option,
        remote_options,
        deploy_options,
        base_options,
        guard_options(),
        option(
            "--full", group=OUTPUT, is_flag=True, help="Show everything: unchanged objects, long values, all addresses."
        ),
        colour_option,
        max_bytes_option,
        bundle_options("request", RunRequest),
    )


@dataclass(frozen=True, slots=True)
class Destination:
    """A file and the format to write to it."""

    format: str
    path: Path


class DestinationType(click.ParamType[Destination]):
    """The value of `--write`: FORMAT=FILE."""

    name = "destination"

    def __init__(self, formats: Sequence[str]) -> None:
        self._formats = formats

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Destination:
        """Return the destination. Raises `BadParameter`."""
        name, equals, file = str(value).partition("=")
        if not equals:
            self.fail(f"{value!r} is not FORMAT=FILE, such as {self._formats[1]}=FILE", param, ctx)
        if name not in self._formats:
            self.fail(f"{name!r} in {value!r} is not one of {', '.join(self._formats)}", param, ctx)
        if file in {"", "-"}:
            self.fail(f"{value!r} does not name a file: use -o to choose the format on standard output", param, ctx)
        return Destination(name, Path(file))


def output_options(*formats: str) -> Callable[[F], F]:
    """`-o` and `--write`."""
    write = option(
        "--write",
        "destinations",
        group=OUTPUT,
        multiple=True,
        metavar="FORMAT=FILE",
        type=DestinationType(formats),
        shell_complete=starting_with(f"{name}=" for name in formats),
        help=f"Also write this format to a file: {', '.join(formats)}. Repeatable.",
    )
    return combine_options(output_option(*formats), write)
