#!/usr/bin/env bash
# Plans the branch. Exits with octosync's exit code; the Markdown report is plan.md, the plan file for an approval is plan.json.
#   CONTEXT=production BASE=origin/main examples/ci/shell/plan.sh [FLAGS…]
# OCTOMIL_API_KEY, or the variable of the context, contains a read-only key. OFFLINE=1 plans without a key, against the base only.
set -euo pipefail

how=(--plan-out plan.json)
if [[ -n ${OFFLINE:-} ]]; then how=(--offline); fi
octosync plan --context "${CONTEXT:?}" --base "${BASE:-origin/main}" --changed-only \
  --write markdown=plan.md "${how[@]}" "$@"
