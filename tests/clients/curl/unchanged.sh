#!/bin/sh
# What a script does that knows Amazon's addresses and its own credentials, and nothing of a proxy.
set -eu

vendor='application/vnd.spCampaign.v3+json'

count() { # NAME: how often a member of that name is there
  grep -o "\"$1\":" | wc -l | tr -d ' '
}

token=$(curl -sS --fail-with-body https://api.amazon.com/auth/o2/token \
  -d grant_type=refresh_token --data-urlencode "refresh_token=$AMAZON_ADS_REFRESH_TOKEN" \
  --data-urlencode "client_id=$AMAZON_ADS_CLIENT_ID" --data-urlencode "client_secret=$AMAZON_ADS_CLIENT_SECRET" |
  sed -n 's/.*"access_token": *"\([^"]*\)".*/\1/p')

ads() { # PATH [further options]: Amazon's answer
  path=$1
  shift
  curl -sS --fail-with-body -H "Authorization: Bearer $token" \
    -H "Amazon-Advertising-API-ClientId: $AMAZON_ADS_CLIENT_ID" "$@" "https://advertising-api.amazon.com$path"
}

profiles=$(ads /v2/profiles)
first=$(printf '%s' "$profiles" | grep -o '"profileId": *[0-9]*' | head -n 1 | grep -o '[0-9]*')
campaigns=$(ads /sp/campaigns/list -H "Amazon-Advertising-API-Scope: $first" \
  -H "Content-Type: $vendor" -H "Accept: $vendor" -d '{"maxResults": 10}')

printf '{"profiles": %s, "campaigns": %s}\n' \
  "$(printf '%s' "$profiles" | count profileId)" "$(printf '%s' "$campaigns" | count campaignId)"
