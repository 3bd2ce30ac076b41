"""The closed and open sets of names on the wire. All public; the open ones grow on Octomil's side."""

from __future__ import annotations

from enum import StrEnum

# Public: the SDKs' generated contract types.
PLATFORMS = ("ios", "android", "macos", "linux", "windows", "browser")
PUBLISHABLE_KEY_PLATFORMS = ("ios", "android", "browser")
ENVIRONMENTS = ("production", "staging", "development")
DEVICE_CLASSES = ("flagship", "high", "mid", "low")  # best first

# Open sets: an unknown name is a warning, since the planner uses other names in places.
CAPABILITIES = (
    "chat",
    "transcription",
    "text_completion",
    "keyboard_prediction",
    "embedding",
    "classification",
    "reasoning",
    "vision",
    "tts",
)
ENGINES = (
    "coreml",
    "mlx",
    "litert",
    "onnxruntime",
    "llamacpp",
    "mnn",
    "transformersjs",
    "cloud",
    "whisper",
    "mlc",
    "cactus",
    "samsung_one",
    "executorch",
    "echo",
    "sherpa-onnx",
)

# No status enum is public. Every status but these is a live deployment; `completed` is fully rolled out and serving.
DEPLOYED_STATUSES_NOT_LIVE = frozenset({"rolled_back"})
# Assumed. For whoever waits for a deployment; a plan takes both for live.
DEPLOYED_STATUSES_STARTING = frozenset({"started"})
DEPLOYED_STATUSES_FAILED = frozenset({"failed"})

# Assumed: a slot's coverage when all, some or none of its devices have it.
COVERED = "covered"
PARTIAL = "partial"
UNCOVERED = "uncovered"


class ErrorCode(StrEnum):
    """Codes in error bodies. Public, but for `approval_required`, `inference_config_not_found` and those of tokens."""

    APP_NOT_FOUND = "app_not_found"
    CAPABILITY_NOT_CONFIGURED = "capability_not_configured"
    TARGET_NOT_FOUND = "target_not_found"
    INFERENCE_CONFIG_NOT_FOUND = "inference_config_not_found"
    DEPLOYMENT_NOT_FOUND = "deployment_not_found"
    CONFLICT = "conflict"
    VALIDATION_ERROR = "validation_error"
    INVALID_API_KEY = "invalid_api_key"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    MISSING_ORG_CONTEXT = "missing_org_context"
    RATE_LIMITED = "rate_limited"
    PLAN_LIMIT_EXCEEDED = "plan_limit_exceeded"
    APPROVAL_REQUIRED = "approval_required"
    PAYLOAD_TOO_LARGE = "payload_too_large"
