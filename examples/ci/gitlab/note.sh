#!/bin/sh
# Creates or updates the note of a merge request: note.sh MARKER FILE. The note is identified by its author and a hidden marker.
set -eu

marker="<!-- octosync:$1 -->"
notes="$CI_API_V4_URL/projects/$CI_PROJECT_ID/merge_requests/$CI_MERGE_REQUEST_IID/notes"

ask() {
  curl --fail --silent --show-error --retry 3 --header "PRIVATE-TOKEN: $OCTOSYNC_NOTE_TOKEN" "$@"
}

me=$(ask "$CI_API_V4_URL/user" | jq -r .id)
page=1
note=""
while [ -z "$note" ]; do
  found=$(ask "$notes?sort=asc&per_page=100&page=$page")
  note=$(printf '%s' "$found" | jq -r --argjson me "$me" --arg marker "$marker" \
    '[.[] | select(.author.id == $me and (.body | startswith($marker)))][0].id // empty')
  if [ "$(printf '%s' "$found" | jq length)" -lt 100 ]; then break; fi
  page=$((page + 1))
done

body=$(mktemp)
{ printf '%s\n' "$marker"; cat "$2"; printf '\n<sub>For revision <code>%.7s</code>.</sub>\n' "$CI_COMMIT_SHA"; } > "$body"
if [ -n "$note" ]; then
  ask --request PUT --data-urlencode "body@$body" "$notes/$note" > /dev/null
else
  ask --request POST --data-urlencode "body@$body" "$notes" > /dev/null
fi
rm -f "$body"
