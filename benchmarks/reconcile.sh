#!/usr/bin/env bash
# Makes apps equal to JSON files, with curl and jq: reconcile.sh URL FILE…
# It is what one would write instead of octosync: it has no plan, no guards and no retries, and it removes nothing.
set -euo pipefail
url=$1
shift

get() { curl --silent --show-error --fail "$url/$1"; }
send() { curl --silent --show-error --fail --output /dev/null -X "$1" -H 'Content-Type: application/json' --data @- "$url/$2"; }

for file in "$@"; do
  slug=$(basename "$file" .json)
  if ! get "apps/$slug" | jq --exit-status --slurpfile want "$file" 'contains($want[0].app)' >/dev/null; then
    jq .app "$file" | send PATCH "apps/$slug"
  fi
  targets=$(get "apps/$slug/targets")
  jq --compact-output '.targets[]' "$file" | while read -r target; do
    if ! jq --exit-status --argjson want "$target" '.targets | any(contains($want))' <<<"$targets" >/dev/null; then
      send POST "apps/$slug/targets" <<<"$target"
    fi
  done
  slots=$(get "apps/$slug/slots")
  jq --compact-output '.slots[]' "$file" | while read -r slot; do
    if ! jq --exit-status --argjson want "$slot" '.slots | any(contains($want))' <<<"$slots" >/dev/null; then
      capability=$(jq --raw-output .capability <<<"$slot")
      jq 'del(.capability)' <<<"$slot" | send PUT "apps/$slug/slots/$capability"
    fi
  done
  if ! get "apps/$slug/inference-config" | jq --exit-status --slurpfile want "$file" 'contains($want[0].config)' >/dev/null; then
    jq .config "$file" | send PUT "apps/$slug/inference-config"
  fi
done
