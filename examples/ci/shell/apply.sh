#!/usr/bin/env bash
# Applies what is checked out, and remembers in the remote what was applied in full last: refs/octosync/CONTEXT/applied.
# A revision that was begun and not finished stays in refs/octosync/CONTEXT/attempted/ until one is applied in full.
#   CONTEXT=production examples/ci/shell/apply.sh [FLAGS…]
# One at a time, please: whatever runs this must let a run end before the next begins, and never narrow it with --app or -l.
set -euo pipefail

remote=${REMOTE:-origin}
refs="refs/octosync/${CONTEXT:?}"
head=$(git rev-parse HEAD)

git fetch --quiet --prune "$remote" "+$refs/*:$refs/*"
flags=()
if base=$(git rev-parse --quiet --verify "$refs/applied"); then
  flags+=(--base "$base")
  for attempt in $(git for-each-ref --format='%(objectname)' "$refs/attempted/"); do
    if [[ $attempt != "$head" ]]; then flags+=(--attempted "$attempt"); fi
  done
fi

git push --quiet --force "$remote" "$head:$refs/attempted/$head"
octosync apply --context "$CONTEXT" --yes --write markdown=apply.md "${flags[@]}" "$@"

git push --quiet --force "$remote" "$head:$refs/applied"
git fetch --quiet "$remote" "+$refs/*:$refs/*"
for name in $(git for-each-ref --format='%(refname)' "$refs/attempted/"); do
  git push --quiet --delete "$remote" "$name"
done
