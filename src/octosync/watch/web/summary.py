"""The summary of a status: the words for the states of apps, the problems of the whole controller, the sentence and the title.

The sentence begins with what needs attention. `mood` is its color and the icon of the page, by the same facts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from octosync.model import counted
from octosync.report.text import about_seconds_words, time_words
from octosync.watch.status import AppState, CircuitReason, ControllerStatus, FreezeStatus, ReplicaRole, ReplicaStatus
from octosync.watch.web.server import is_loopback, parse_listen

Line: TypeAlias = tuple[str | datetime, ...]  # text, and times within it

STATE_WORDS: Final = {
    AppState.FAILING: "failing",
    AppState.REFUSED: "refused",
    AppState.BLOCKED: "blocked",
    AppState.CONTESTED: "contested",
    AppState.HELD: "held",
    AppState.DRIFTED: "drifted",
    AppState.WAITING: "waiting",
    AppState.PENDING: "pending",
    AppState.SUSPENDED: "suspended",
    AppState.UNCOVERED: "uncovered",
    AppState.ORPHANED: "orphaned",
    AppState.UNREAD: "not read yet",
    AppState.IN_SYNC: "in sync",
}
UNKNOWN: Final = "unknown"  # on a page of a standby: not read by it, and not in the shared state
STATE_MEANINGS: Final = {
    AppState.FAILING: "Reading or writing it fails; it is retried automatically.",
    AppState.REFUSED: "The control plane rejects the change; it is retried when its manifest or live state changes.",
    AppState.BLOCKED: "A guard blocks the planned changes until they are approved.",
    AppState.CONTESTED: "It was reverted several times and changed again each time.",
    AppState.HELD: "It was changed on the control plane; the change is held before it is reverted.",
    AppState.DRIFTED: "It was changed on the control plane, and this mode does not revert drift.",
    AppState.WAITING: "Changes are planned, but not written yet.",
    AppState.PENDING: "It has changed and is queued.",
    AppState.SUSPENDED: "An annotation in its manifest suspends it.",
    AppState.UNCOVERED: "It matches its manifest, but an enabled capability doesn't reach all of its devices.",
    AppState.ORPHANED: "No manifest declares it any more; it is left unchanged.",
    AppState.UNREAD: "It has not been read yet.",
    AppState.IN_SYNC: "It matches its manifest.",
}
# The states that need the attention of a person, most urgent first, and then the others.
NEEDS_ATTENTION: Final = (
    AppState.BLOCKED,
    AppState.REFUSED,
    AppState.CONTESTED,
    AppState.HELD,
    AppState.FAILING,
    AppState.DRIFTED,
    AppState.UNCOVERED,
    AppState.ORPHANED,
)
_UNFINISHED: Final = (AppState.WAITING, AppState.PENDING, AppState.SUSPENDED, AppState.UNREAD)
BY_URGENCY: Final = (*NEEDS_ATTENTION, *_UNFINISHED, AppState.IN_SYNC)
_DAYS_OF_A_WEEK: Final = timedelta(days=6)  # within them, a day of the week is unambiguous


@dataclass(frozen=True, slots=True)
class Alarm:
    """A problem of the whole controller: in two words for the title, in a sentence, and its reason.

    `facts` are what else is known, such as when the next attempt is.
    """

    brief: str
    sentence: str
    why: str = ""
    facts: Line = ()


def alarms(status: ControllerStatus) -> Iterator[Alarm]:
    """Yield the problems that stop all work, most severe first."""
    if not status.healthy:
        yield Alarm("stuck", "The control loop is stuck.", stuck_words(status))
    if status.replica.role is ReplicaRole.STANDBY:
        yield from _without_leader(status)
    yield from _closed(status)
    if status.state_damaged:
        words = "The state file was damaged: nothing from before this start is known."
        yield Alarm("state lost", words, status.state_damaged)
    if status.key_unusable:
        yield Alarm(
            "new key unusable", "The new API key can't be used: the previous key stays in use.", status.key_unusable
        )
    if status.loading:
        yield Alarm("starting", "The manifests are being loaded: none are in use yet.")
    elif not status.valid:
        left = "the last valid ones stay in use" if status.apps else "none are in use yet"
        yield Alarm("degraded", f"The manifests can't be loaded: {left}.")
    if status.suspended is not None:
        yield Alarm("suspended", "Everything is suspended: nothing is written.", status.suspended.reason)


def _without_leader(status: ControllerStatus) -> Iterator[Alarm]:
    """Yield why a standby shows a page of its own."""
    replica = status.replica
    if replica.problem and not status.state_unavailable:  # of a former leader, which has had the same problem
        words = "The shared state can't be used: this page shows what was last known."
        yield Alarm("state unavailable", words, replica.problem)
    since: Line = () if replica.since is None else (" since ", replica.since)
    if not replica.has_read_leader:
        yield Alarm("leader unknown", "Who leads is not known: the shared state has not been read yet.")
        return
    if not replica.leader:
        yield Alarm("no leader", "No replica leads: nothing is reconciled.", facts=("No leader", *since, "."))
        return
    facts = (f"Leader: {replica.leader}, at {replica.address or 'no address'},", *since, f". {_loopback_hint(replica)}")
    words = "The leader does not respond to this standby: this page shows what was last known."
    yield Alarm("leader unreachable", words, replica.unreachable, facts)


def _loopback_hint(replica: ReplicaStatus) -> str:
    """Return a hint for an address that leads from every machine to itself; "" for others."""
    if not replica.address or not is_loopback(parse_listen(replica.address)[0]):
        return ""
    return "This is a loopback address: replicas on several machines need `--advertise`."


def _closed(status: ControllerStatus) -> Iterator[Alarm]:
    """Yield the reasons why no request is sent."""
    facts = tuple(_waiting_facts(status))
    if status.credential:
        yield Alarm("key refused", "The control plane rejects the API key: everything waits.", status.credential, facts)
    if status.outage:
        yield Alarm("outage", "The control plane can't be reached: everything waits for it.", status.outage, facts)
    if status.unreadable:
        yield Alarm("unreadable", "The control plane can't be read: everything waits.", status.unreadable, facts)
    if status.throttled:
        until = status.budget.throttled_until
        end = f" until {time_words(until)}" if until is not None else ""
        words = f"The control plane throttles the key{end}: everything waits."
        yield Alarm("throttled", words, status.throttled, facts)
    if status.state_locked:
        words = "Another process has locked the state file: everything waits."
        yield Alarm("state locked", words, status.state_locked, facts)
    if status.state_unavailable:
        words = "The database with the state can't be used: everything waits for it."
        yield Alarm("state unavailable", words, status.state_unavailable, facts)


def _waiting_facts(status: ControllerStatus) -> Iterator[str | datetime]:
    """Yield since when nothing is sent, when it is tried again, and what waits."""
    if status.circuit_since is not None:
        yield from ("Since ", status.circuit_since)
        if status.next_probe is not None and status.circuit_open is not CircuitReason.STATE_LOCKED:
            yield from ("; next attempt at ", status.next_probe)
        yield ". "
    if changed := status.counts()[AppState.PENDING]:
        yield f"{counted(changed, 'changed app')} wait{'s' if changed == 1 else ''}."


def warnings(status: ControllerStatus) -> Iterator[Alarm]:
    """Yield the problems that stop no work, but hide part of the live state."""
    if status.feed_off:
        yield Alarm(
            "feed off",
            "The activity feed can't be followed: only resyncs find changes made by hand, and their authors are unknown.",
            status.feed_off,
        )
    if status.coverage_unread:
        yield Alarm(
            "coverage unread", "Coverage can't be read: the last known values are shown.", status.coverage_unread
        )


def counts_words(status: ControllerStatus) -> str:
    """Return the state of the apps: `2 of 12 apps need attention: 1 blocked, 1 held. 10 in sync`.

    A start and a freeze come first. While nothing can be read, the counts are those of the last response.
    """
    words = _counts(status)
    if status.replica.role is ReplicaRole.STANDBY:
        words = f"As last known: {words[:1].lower()}{words[1:]}".replace(STATE_WORDS[AppState.UNREAD], UNKNOWN)
    elif status.circuit_open is not None and status.apps and status.last_success is not None:
        words = f"As last read at {time_words(status.last_success)}: {words[:1].lower()}{words[1:]}"
    return ". ".join((*_circumstances(status), words))


def _circumstances(status: ControllerStatus) -> Iterator[str]:
    """Yield what explains the counts: that octosync starts, and when it will be ready; a freeze, and when it ends."""
    counts = status.counts()
    is_reading = not status.ready and status.circuit_open is None and status.replica.role is not ReplicaRole.STANDBY
    if counts[AppState.UNREAD] and is_reading:
        left = status.full_read_total - status.full_read_done
        seconds = status.full_read_takes.total_seconds() * left / max(1, status.full_read_total)
        yield f"Starting: ready in {about_seconds_words(seconds)}" if seconds >= 1 else "Starting"
    if status.frozen is not None:
        part = "" if status.frozen.apps >= len(status.apps) else f" ({status.frozen.apps:,} of {_apps(status)})"
        yield f"Frozen {freeze_end(status.frozen, status.now)}{part}"


def freeze_end(frozen: FreezeStatus, now: datetime) -> str:
    """Return the end of a freeze in the time zone of its window: `until Sun 18:00 Europe/Berlin`."""
    at = (frozen.until + timedelta(seconds=-frozen.until.second % 60)).astimezone(ZoneInfo(frozen.timezone))
    day = f"{at:%a}" if at - now < _DAYS_OF_A_WEEK else f"{at:%Y-%m-%d}"
    return f"until {day} {at:%H:%M} {frozen.timezone}" if frozen.ends else "with no end in sight"


def _apps(status: ControllerStatus) -> str:
    return counted(len(status.apps), "app")


def _counts(status: ControllerStatus) -> str:
    if not status.apps:
        return "No app is declared" if status.valid else "No app is known"
    counts = status.counts()
    urgent, rest = (
        [(counts[state], STATE_WORDS[state]) for state in states if counts[state]]
        for states in (NEEDS_ATTENTION, (*_UNFINISHED, AppState.IN_SYNC))
    )
    lead = ""
    if urgent:
        number = sum(count for count, _ in urgent)
        total = f"{number:,} of {_apps(status)}" if len(status.apps) > 1 else "1 app"
        verb = "need" if number > 1 else "needs"
        lead = f"{total} {verb} attention: {', '.join(f'{count:,} {words}' for count, words in urgent)}"
    elif counts[AppState.IN_SYNC] == len(status.apps) > 1:
        return f"All {_apps(status)} in sync"
    else:
        count, words = rest.pop(0)
        lead = f"{counted(count, 'app')} {words}"
    others = ", ".join(f"{count:,} {words}" for count, words in rest)
    return f"{lead}{'. ' if urgent else ', '}{others}" if others else lead


def read_parts(status: ControllerStatus) -> tuple[str, datetime | None]:
    """Return when the last resync ended: words, and the time that follows them, if there is one."""
    if status.full_read_at is not None:
        return "last resync", status.full_read_at
    if status.full_read_total:
        return f"first resync: {status.full_read_done:,} of {counted(status.full_read_total, 'app')}", None
    return "no resync yet", None


def sentence(status: ControllerStatus) -> str:
    """Return the status in a sentence: `1 of 9 apps needs attention: 1 held. 8 in sync; last resync 2026-03-01 14:01 UTC.`."""
    words, at = read_parts(status)
    read = words if at is None else f"{words} {time_words(at)}"
    troubles = [alarm.sentence for alarm in (*alarms(status), *warnings(status))]
    return " ".join((*troubles, f"{counts_words(status)}; {read}."))


def title(status: ControllerStatus) -> str:
    """Return the title of a page: what needs attention, in few words: `1 blocked, 1 held`."""
    counts = status.counts()
    grave = [alarm.brief for alarm in (*alarms(status), *warnings(status))]
    troubled = [f"{count:,} {STATE_WORDS[state]}" for state in NEEDS_ATTENTION if (count := counts[state])]
    return ", ".join((*grave, *troubled)) or counts_words(status)


def mood(status: ControllerStatus) -> str:
    """Return the icon of the page, and its color: `stopped`, `attention`, `unfinished` or `well`."""
    if any(True for _ in alarms(status)):
        return "stopped"
    counts = status.counts()
    is_warned = any(True for _ in warnings(status))
    if is_warned or not status.apps or any(counts[state] for state in NEEDS_ATTENTION):
        return "attention"
    return "unfinished" if status.frozen is not None or any(counts[state] for state in _UNFINISHED) else "well"


def stuck_words(status: ControllerStatus) -> str:
    """Return why the loop is not healthy."""
    since = f" since {time_words(status.turned_at)}" if status.turned_at is not None else ""
    return f"the control loop makes no progress{since}"


def waiting_words(status: ControllerStatus) -> str:
    """Return the reason why a controller, though it may be ready, waits; "" if it doesn't."""
    return status.outage or status.throttled or status.state_unavailable


def unready_words(status: ControllerStatus) -> str:
    """Return the reason why a controller is not ready, or why a standby could not take over."""
    if status.replica.problem:
        return f"the shared state can't be used: {status.replica.problem}"
    if status.replica.role is ReplicaRole.STANDBY and not status.replica.has_read_leader:
        return "who leads has not been read yet"
    if status.credential:
        return status.credential
    if why := status.unreadable or status.state_locked or waiting_words(status):
        return why
    if status.loading:
        return "the manifests are being loaded"
    if not status.valid and status.loaded_at is None:
        return "the manifests can't be loaded, and none are in use yet"
    words, at = read_parts(status)
    if at is not None:  # after a restart, only the apps are read that may have changed
        total = status.full_read_total
        words = f"{status.full_read_done:,} of {counted(total, 'app')} read that may have changed" if total else ""
    return "; ".join(filter(None, (words, "not all apps have been reconciled yet")))
