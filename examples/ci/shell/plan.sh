#!/usr/bin/env bash
# What this branch would change: octosync's exit code, the report as Markdown in plan.md, the plan to approve in plan.json.
#   CONTEXT=production BASE=origin/main examples/ci/shell/plan.sh [FLAGS…]
# OCTOMIL_API_KEY, or what the context names, holds a key that reads; OFFLINE=1 plans without one, against the base alone.
set -euo pipefail

how=(--plan-out plan.json)
if [[ -n ${OFFLINE:-} ]]; then how=(--offline); fi
octosync plan --context "${CONTEXT:?}" --base "${BASE:-origin/main}" --changed-only \
  --write markdown=plan.md "${how[@]}" "$@"
