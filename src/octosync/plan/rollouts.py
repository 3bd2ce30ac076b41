"""Rollouts: which capabilities are enabled in which environments, and which better variants become a canary.

A capability is deployed to an environment as long as a deployment of it there is *live*; what is deployed beyond the
declared environments is left alone, since there is no API to undeploy.

A canary is started if the manifest declares `auto`, the improvement is a number that is large enough, no metric gets much worse,
no canary of the slot runs yet, and fewer run in the org than are allowed. The rest waits: apps in the order of their slugs, and
staging before production for each slot.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from octosync.contract import ENVIRONMENTS
from octosync.errors import RemoteError
from octosync.model import (
    MAX_REGRESSION,
    Address,
    App,
    Deploy,
    Deployment,
    Diagnostic,
    JsonValue,
    Observation,
    OptimizationCheck,
    Optimize,
    Preview,
    Reason,
    Slot,
    State,
    safe_text,
)
from octosync.plan.actions import (
    Action,
    EnableCapability,
    Fingerprint,
    OptimizeCapability,
    PutSlot,
    RegisterTarget,
    RemoveTarget,
    field_changes,
    fingerprint_of_capability,
    fingerprint_of_deployments,
)
from octosync.plan.diagnostics import finding

_LEVELS = list(Optimize)
# Public: better variants are rolled out to these alone, so elsewhere `auto` only shows them.
_NOT_OPTIMIZED = frozenset({"development"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployPolicy:
    """What a run may do about deployments.

    `optimize` is the upper bound over what manifests declare. `previews`: whether previews of enabling are requested.
    `retry_rolled_back`: whether rolled-back capabilities are enabled again. `max_canaries` may run in the org at once.
    """

    optimize: Optimize = Optimize.AUTO
    previews: bool = True
    retry_rolled_back: bool = False
    max_canaries: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class BetterVariant:
    """A better variant for a capability that is deployed, and how far the manifest lets octosync go with it."""

    app: App
    deploy: Deploy
    deployment: Deployment
    check: OptimizationCheck
    level: Optimize

    @property
    def address(self) -> Address:
        """The address of the deployment."""
        return self.deployment.address


@dataclass(slots=True)
class Capabilities:
    """What the comparison of the declared deployments results in."""

    actions: list[Action] = field(default_factory=list)
    unchanged: list[Address] = field(default_factory=list)
    fingerprints: dict[Address, Fingerprint] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    better: list[BetterVariant] = field(default_factory=list)
    undeclared: list[Address] = field(default_factory=list)
    rolled_back: list[Address] = field(default_factory=list)
    previews: list[Address] = field(default_factory=list)
    checks: list[Address] = field(default_factory=list)


def compare_capabilities(
    apps: Iterable[App], seen: Observation, changes: Iterable[Action], policy: DeployPolicy
) -> Capabilities:
    """Compare the declared deployments of apps with what is deployed. `changes` are the plan's other actions.

    `previews` and `checks` of the result are what must still be read.
    """
    found = Capabilities()
    by_app: defaultdict[str, list[Action]] = defaultdict(list)
    for action in changes:
        by_app[action.address.app].append(action)
    for app in apps:
        comparison = _Comparison(app, seen.state.apps.get(app.slug), seen, by_app[app.slug], policy, found)
        for slot in app.slots:
            if slot.deploy is not None:
                comparison.compare(slot, slot.deploy)
    return found


@dataclass(slots=True)
class _Comparison:
    """Compares the deployments of one app, and adds the result to `found`."""

    desired: App
    live: App | None
    seen: Observation
    changes: Collection[Action]
    policy: DeployPolicy
    found: Capabilities

    def compare(self, slot: Slot, deploy: Deploy) -> None:
        """Compare the environments of a slot's capability."""
        for environment in sorted(deploy.environments):
            self._environment(slot, deploy, Address.of_capability(self.desired.slug, slot.capability, environment))
        self.found.undeclared += [
            deployment.address
            for deployment in (self.live.deployments if self.live else ())
            if deployment.live
            and deployment.capability == slot.capability
            and deployment.environment not in deploy.environments
        ]

    def _environment(self, slot: Slot, deploy: Deploy, address: Address) -> None:
        there = self.live.deployments_at(address) if self.live else ()
        actual = self.live.slot(slot.capability) if self.live else None
        self.found.fingerprints[address] = fingerprint_of_capability(actual, there)
        current = next((deployment for deployment in there if deployment.live), None)
        if current is not None:
            self.found.unchanged.append(address)
            if actual is not None:
                self._find_better(deploy, current)
                if self._changes_targets() and current.canary is None:
                    self._optimizes_later(deploy, address, "this plan changes the targets")
        elif there and not self.policy.retry_rolled_back:
            self.found.rolled_back.append(address)
            self.found.diagnostics.append(_rolled_back(address, there, deploy))
        else:
            self.found.actions.append(self._enable(slot, deploy, address, actual, there))

    def _enable(
        self, slot: Slot, deploy: Deploy, address: Address, actual: Slot | None, there: tuple[Deployment, ...]
    ) -> Action:
        capability, environment = address.placement
        variant = slot.fields.get("model_variant_id")
        pin = variant if isinstance(variant, str) else None
        preview, why = self._preview(deploy, address, actual)
        if preview is not None and actual is not None:
            self.found.diagnostics += _differs_from_pin(address, preview, pin, actual, deploy)
        self._optimizes_later(deploy, address, "it is not deployed yet")
        declared = {"capability": capability, "environment": environment}
        if pin is not None:
            declared["model_variant_id"] = pin
        return EnableCapability(
            address=address,
            reason=Reason.NOT_DEPLOYED,
            parameters={"slug": self.desired.slug, "capability": capability},
            body={"environment": environment},
            after=declared,
            declared=declared,
            fingerprint=fingerprint_of_deployments(there),
            labels=self.desired.labels,
            origin=deploy.origin or slot.origin,
            pin=pin,
            preview=preview,
            no_preview=why,
            preview_note=self._note(slot, actual, pin) if preview is not None else "",
        )

    def _preview(self, deploy: Deploy, address: Address, actual: Slot | None) -> tuple[Preview | None, str]:
        """Return the preview of an enable, or why there is none."""
        preview = self.seen.previews.get(address)
        if actual is None:
            return None, f"the {'app' if self.live is None else 'slot'} does not exist yet"
        if not self.policy.previews:
            return None, "not asked for"
        if isinstance(preview, RemoteError):
            words = "no preview of enabling it"
            self.found.diagnostics.append(
                finding("preview-failed", address, words, origin=deploy.origin, cause=preview)
            )
            return None, "not available: see the warning preview-failed"
        if preview is None:
            self.found.previews.append(address)
        return preview, ""

    def _note(self, slot: Slot, actual: Slot | None, pin: str | None) -> str:
        """Return what of the plan comes before an enable, and so is not in its preview."""
        pins = pin is not None and actual is not None and actual.fields.get("model_variant_id") != pin
        changed = []
        if not pins and any(isinstance(change, PutSlot) and change.address == slot.address for change in self.changes):
            changed.append("the slot")
        if self._changes_targets():
            changed.append("the targets")
        does = [*([f"pins {pin}"] if pins else []), *([f"changes {' and '.join(changed)}"] if changed else [])]
        return f"as it is now, before this plan {' and '.join(does)}" if does else ""

    def _changes_targets(self) -> bool:
        return any(isinstance(action, RegisterTarget | RemoveTarget) for action in self.changes)

    def _level(self, deploy: Deploy, environment: str) -> Optimize:
        level = min(deploy.optimize, self.policy.optimize, key=_LEVELS.index)
        return Optimize.SUGGEST if level is Optimize.AUTO and environment in _NOT_OPTIMIZED else level

    def _optimizes_later(self, deploy: Deploy, address: Address, why: str) -> None:
        """Note that an optimization can be found only after this plan is applied."""
        if self._level(deploy, address.placement[1]) is Optimize.AUTO:
            words = f"{why}, so what is better is known only afterwards: the next apply looks for it"
            self.found.diagnostics.append(finding("optimizes-later", address, words, origin=deploy.origin))

    def _find_better(self, deploy: Deploy, current: Deployment) -> None:
        level = self._level(deploy, current.environment)
        if level is Optimize.NEVER or current.canary is not None:
            return  # while a canary runs, what is better has been chosen
        check = self.seen.checks.get(current.address)
        if check is None:
            self.found.checks.append(current.address)
        elif isinstance(check, RemoteError):
            words = "whether there is a better variant is not known"
            self.found.diagnostics.append(
                finding("check-failed", current.address, words, origin=deploy.origin, cause=check)
            )
        elif check.available:
            self.found.better.append(
                BetterVariant(app=self.desired, deploy=deploy, deployment=current, check=check, level=level)
            )


def _differs_from_pin(
    address: Address, preview: Preview, pin: str | None, actual: Slot, deploy: Deploy
) -> Iterable[Diagnostic]:
    # Where the slot has another variant yet, the preview is of that one, and the plan's PUT comes first.
    if pin is None or preview.variant in {pin, None} or actual.fields.get("model_variant_id") != pin:
        return
    yield finding(
        "enable-differs-from-pin",
        address,
        f"the manifest pins {pin}, and enabling would deploy {preview.variant}",
        origin=deploy.origin,
        notes=(
            "An enable that changes a pinned variant counts as failed. Pin what Octomil would choose, or `variant: auto`.",
        ),
    )


def _rolled_back(address: Address, there: tuple[Deployment, ...], deploy: Deploy) -> Diagnostic:
    last = there[-1]
    variant = f" of {last.variant}" if last.variant else ""
    return finding(
        "rolled-back",
        address,
        f"the deployment{variant} was rolled back ({last.id}), so it is not enabled again",
        origin=deploy.origin,
        notes=("To deploy it again: --retry-rolled-back",),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """A better variant that this plan does not roll out. `improvement` is relative by metric: 0.18 is 18%.

    `waiting` is what an automatic rollout waits for, "" if the manifest asks for none.
    """

    address: Address
    current: str | None
    suggested: str | None
    improvement: Mapping[str, JsonValue] = field(default_factory=dict)
    reason: str = ""
    waiting: str = ""


@dataclass(frozen=True, slots=True)
class CanaryChoice:
    """The rollouts of better variants. `asks_for_canaries`: the number that run in the org must be read first."""

    actions: tuple[OptimizeCapability, ...] = ()
    recommendations: tuple[Recommendation, ...] = ()
    asks_for_canaries: bool = False


def choose_canaries(
    better: Iterable[BetterVariant], live: State, seen: Observation, policy: DeployPolicy
) -> CanaryChoice:
    """Choose which better variants are rolled out now."""
    actions: list[OptimizeCapability] = []
    shown: list[Recommendation] = []
    busy = {
        Address.of_slot(app.slug, running.capability)
        for app in live
        for running in app.deployments
        if running.canary is not None
    }
    asks = False
    for candidate in sorted(better, key=_rollout_order):
        slot = Address.of_slot(candidate.address.app, candidate.deployment.capability)
        waiting = _obstacle(candidate)
        if candidate.level is Optimize.AUTO and not waiting:
            if slot in busy:
                waiting = "one canary of a slot at a time"
            elif seen.canaries is None:
                asks = True
            elif isinstance(seen.canaries, RemoteError):
                waiting = f"how many canaries run in the org could not be read: {seen.canaries.message}"
            elif seen.canaries + len(actions) >= policy.max_canaries:
                most = policy.max_canaries
                waiting = (
                    f"at most {most} {'canary runs' if most == 1 else 'canaries run'} in the org at once (maxCanaries)"
                )
            if not waiting and not asks:
                busy.add(slot)
                there = live.apps[candidate.app.slug].deployments_at(candidate.address)
                actions.append(_optimize(candidate, fingerprint_of_deployments(there)))
                continue
        shown.append(_recommendation(candidate, waiting))
    return CanaryChoice(tuple(actions), tuple(sorted(shown, key=lambda recommendation: recommendation.address)), asks)


def _rollout_order(candidate: BetterVariant) -> tuple[str, str, int]:
    capability, environment = candidate.address.placement
    # Production comes first in the contract's list, and last here: what staging shows can still stop it.
    return (candidate.address.app, capability, -ENVIRONMENTS.index(environment))


def _obstacle(candidate: BetterVariant) -> str:
    """Return why a better variant is not rolled out automatically; "" if it is, or if the manifest does not ask for it."""
    if candidate.level is not Optimize.AUTO:
        return ""
    least = candidate.deploy.min_improvement or 0.0
    if candidate.check.suggested is None:
        return "the orchestrator names no variant"
    if candidate.check.suggested == candidate.deployment.variant:
        return "it is what is deployed"
    if candidate.check.largest is None:
        return "its improvement has no number"
    if candidate.check.largest <= 0 or candidate.check.largest < least:
        return f"it improves less than {least * 100:.3g}% (minImprovement)" if least else "it improves no metric"
    return _regression(candidate)


def _regression(candidate: BetterVariant) -> str:
    """Return which metric gets worse than the manifest allows; "" for none."""
    declared = candidate.deploy.max_regression
    most = MAX_REGRESSION if declared is None else declared
    improvement, metric = candidate.check.worst or (0.0, "")
    if -improvement <= most:
        return ""
    limit = f"more than {most * 100:.3g}% (maxRegression)" if most else "and maxRegression is 0"
    return f"{safe_text(metric)} gets {-improvement * 100:.3g}% worse, {limit}"


def _optimize(candidate: BetterVariant, fingerprint: Fingerprint) -> OptimizeCapability:
    capability, environment = candidate.address.placement
    suggested = str(candidate.check.suggested)
    before = {"capability": capability, "environment": environment, "model_variant_id": candidate.deployment.variant}
    after = {**before, "model_variant_id": suggested}
    return OptimizeCapability(
        address=candidate.address,
        reason=Reason.BETTER_VARIANT,
        parameters={"slug": candidate.app.slug, "capability": capability},
        body={"environment": environment},
        before=before,
        after=after,
        declared=after,
        fields=field_changes(before, after),
        fingerprint=fingerprint,
        labels=candidate.app.labels,
        origin=candidate.deploy.origin,
        suggested=suggested,
        check=candidate.check,
    )


def _recommendation(candidate: BetterVariant, waiting: str) -> Recommendation:
    return Recommendation(
        address=candidate.address,
        current=candidate.deployment.variant,
        suggested=candidate.check.suggested,
        improvement=candidate.check.improvement,
        reason=candidate.check.reason or "",
        waiting=waiting,
    )
