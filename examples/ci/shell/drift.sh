#!/usr/bin/env bash
# Exits with 2 if live state differs from the manifests, or with 4 if a guard rejects a change. The report is in drift.md.
#   CONTEXT=production examples/ci/shell/drift.sh [FLAGS…]
set -euo pipefail

octosync plan --context "${CONTEXT:?}" --base HEAD --detailed-exitcode --write markdown=drift.md "$@"
