#!/usr/bin/env bash
# Checks the description of the services of a running node, and calls them with whatever it allows:
#   [TOKEN=...] contract.sh URL VENV [EXAMPLES]
# Where nodes ask for tokens, TOKEN is one for writing; then calls without it have to be refused.
# VENV is where openapi-spec-validator and schemathesis are, or are installed (Python 3.10 or newer).
# Ends with 77 where they cannot be had.
set -euo pipefail
url=$1 venv=$2 examples=${3:-25}
here=$(cd "$(dirname "$0")" && pwd)

if [ ! -x "$venv/bin/schemathesis" ]; then
  { python3 -m venv "$venv" &&
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/contract.txt"; } >&2 || exit 77
fi

checks=not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance
shown=()
if [ -n "${TOKEN:-}" ]; then
  # It takes the token for a header too many where it looks for data that has to be refused.
  shown=(-H "Authorization: Bearer $TOKEN")
  checks=$checks,ignored_auth
else
  checks=$checks,negative_data_rejection
fi

curl -fsS "${shown[@]}" "$url/openapi.json" -o "$venv/openapi.json"
"$venv/bin/openapi-spec-validator" "$venv/openapi.json"

# The stream of events does not end, and a mill works for as long as it is told to: both are left out.
cd "$venv"
"$venv/bin/schemathesis" --config-file "$here/schemathesis.toml" run "$venv/openapi.json" --url "$url" "${shown[@]}" \
  --exclude-path-regex '/events$|/Mill/' \
  --checks "$checks" \
  --max-examples "$examples" --phases examples,coverage,fuzzing --request-timeout 20 \
  --generation-deterministic --no-color
