#!/bin/sh
# What a script built on curl does: it knows the proxy's address and its own key, and nothing of Amazon's login.
set -eu

vendor='application/vnd.spCampaign.v3+json'
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT

# The key lies in a file, so that it is in nobody's list of processes.
printf 'header = "Authorization: Bearer %s"\n' "$CLIENT_KEY" >"$here/key"

proxy() { # METHOD PATH [further options]: what the proxy answers
  method=$1 path=$2
  shift 2
  curl -sS --fail-with-body --max-time 120 -K "$here/key" -X "$method" "$@" "$PROXY_URL$path"
}

field() { # NAME: the first member of that name that is a text
  sed -n 's/.*"'"$1"'": *"\([^"]*\)".*/\1/p' | head -n 1
}

count() { # NAME: how often a member of that name is there
  grep -o "\"$1\":" | wc -l | tr -d ' '
}

finished() { # PATH STATUS: the order, once it is done
  while :; do
    answer=$(proxy GET "$1")
    [ "$(printf '%s' "$answer" | field status)" = "$2" ] && break
  done
  printf '%s' "$answer"
}

profiles=$(proxy GET /v2/profiles | count profileId)

pages='' token='' first=''
while :; do
  body='{"maxResults": 10'${token:+", \"nextToken\": \"$token\""}'}'
  page=$(proxy POST /sp/campaigns/list -H "Content-Type: $vendor" -H "Accept: $vendor" -d "$body")
  pages="${pages:+$pages, }$(printf '%s' "$page" | count campaignId)"
  [ -n "$first" ] || first=$(printf '%s' "$page" | grep -o '"campaignId": *"[0-9]*"' | head -n 1 | grep -o '[0-9]*')
  token=$(printf '%s' "$page" | field nextToken)
  [ -n "$token" ] || break
done

proxy PUT /sp/campaigns -H "Content-Type: $vendor" -H "Accept: $vendor" \
  -d '{"campaigns": [{"campaignId": "'"$first"'", "name": "renamed by curl"}]}' >"$here/changed"
renamed=$(proxy POST /sp/campaigns/list -H "Content-Type: $vendor" -H "Accept: $vendor" \
  -d '{"campaignIdFilter": {"include": ["'"$first"'"]}}' | field name)

report=$(proxy POST /reporting/reports -H 'Content-Type: application/vnd.createasyncreportrequest.v3+json' -d '{
  "startDate": "2025-01-01", "endDate": "2025-01-07", "configuration": {"adProduct": "SPONSORED_PRODUCTS",
  "groupBy": ["campaign"], "columns": ["campaignId", "cost"], "reportTypeId": "spCampaigns", "timeUnit": "SUMMARY",
  "format": "GZIP_JSON"}}' | field reportId)
url=$(finished "/reporting/reports/$report" COMPLETED | field url)
# The report's address is presigned: it wants no key, and gets none.
report_rows=$(curl -sS --fail --max-time 120 "$url" | gzip -dc | count campaignId)

snapshot=$(proxy POST /v2/sp/campaigns/snapshot -H 'Content-Type: application/json' -d '{"stateFilter": "enabled"}' |
  field snapshotId)
location=$(finished "/v2/sp/snapshots/$snapshot" SUCCESS | field location)
# -L follows on to the presigned address, and leaves the key behind.
snapshot_rows=$(curl -sS --fail --max-time 120 -K "$here/key" -L "$location" | gzip -dc | count campaignId)

printf '{"profiles": %s, "pages": [%s], "renamed": "%s", "report_rows": %s, "location": "%s", "snapshot_rows": %s}\n' \
  "$profiles" "$pages" "$renamed" "$report_rows" "$location" "$snapshot_rows"
