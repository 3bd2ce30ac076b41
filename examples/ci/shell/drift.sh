#!/usr/bin/env bash
# Exits with 2 if live state differs from the manifests, or with 4 if a guard rejects a change. The report is in drift.md.
#   CONTEXT=production examples/ci/shell/drift.sh [FLAGS…]
set -euo pipefail

# What is merged and not applied yet is listed as pending. apply.sh stores these refs.
remote=${REMOTE:-origin}
refs="refs/octosync/${CONTEXT:?}"
git fetch --quiet --prune "$remote" "+$refs/*:$refs/*"
flags=()
if applied=$(git rev-parse --quiet --verify "$refs/applied"); then
  flags+=(--applied "$applied")
  for attempt in $(git for-each-ref --format='%(objectname)' "$refs/attempted/"); do flags+=(--attempted "$attempt"); done
fi

octosync plan --context "$CONTEXT" --base HEAD --detailed-exitcode --write markdown=drift.md "${flags[@]}" "$@"
