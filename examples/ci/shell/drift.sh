#!/usr/bin/env bash
# Exits with 2, or with 4 where a guard would stop it, if what is live is not as declared; the report is in drift.md.
#   CONTEXT=production examples/ci/shell/drift.sh [FLAGS…]
set -euo pipefail

octosync plan --context "${CONTEXT:?}" --base HEAD --detailed-exitcode --write markdown=drift.md "$@"
