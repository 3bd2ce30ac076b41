#!/usr/bin/env bash
# Applies the checked-out commit. The ref refs/octosync/CONTEXT/applied in the remote stores the last commit that was applied in full.
# A commit whose apply did not finish stays in refs/octosync/CONTEXT/attempted/ until a commit is applied in full.
#   CONTEXT=production examples/ci/shell/apply.sh [FLAGS…]
# It reads the apps that these commits declare differently. With SCOPE=all it reads every app: use it once after a change of FLAGS.
# Never run it twice at the same time, and never select apps with --app or -l.
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
  if [[ ${SCOPE:-changed} == changed ]]; then flags+=(--changed-only); fi
fi

git push --quiet --force "$remote" "$head:$refs/attempted/$head"
octosync apply --context "$CONTEXT" --yes --write markdown=apply.md "${flags[@]}" "$@"

git push --quiet --force "$remote" "$head:$refs/applied"
git fetch --quiet "$remote" "+$refs/*:$refs/*"
for name in $(git for-each-ref --format='%(refname)' "$refs/attempted/"); do
  git push --quiet --delete "$remote" "$name"
done
