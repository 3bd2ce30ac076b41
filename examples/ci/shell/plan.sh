#!/usr/bin/env bash
# Plans the branch. Exits with octosync's exit code; the Markdown report is plan.md, the plan file for an approval is plan.json.
#   CONTEXT=production BASE=origin/main examples/ci/shell/plan.sh [FLAGS…]
# OCTOMIL_API_KEY, or the variable of the context, contains a read-only key. OFFLINE=1 plans without a key, against the base only.
set -euo pipefail

# What is merged and not applied yet is listed as pending. apply.sh stores these refs.
remote=${REMOTE:-origin}
refs="refs/octosync/${CONTEXT:?}"
git fetch --quiet --prune "$remote" "+$refs/*:$refs/*" || echo "It is not known what was applied last." >&2
how=(--plan-out plan.json)
if [[ -n ${OFFLINE:-} ]]; then how=(--offline); fi
if applied=$(git rev-parse --quiet --verify "$refs/applied"); then
  how+=(--applied "$applied")
  for attempt in $(git for-each-ref --format='%(objectname)' "$refs/attempted/"); do how+=(--attempted "$attempt"); done
fi
octosync plan --context "$CONTEXT" --base "${BASE:-origin/main}" --changed-only \
  --write markdown=plan.md "${how[@]}" "$@"
