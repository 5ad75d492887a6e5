"""amazonadapi, as its README uses it on servers; and its general request, for a path that Amazon still has."""

from __future__ import annotations

import json
import os
from typing import Any

from amazonadapi import AmazonClient

os.environ["AMZN_AD_CLIENT_ID"] = os.environ["LWA_CLIENT_ID"]
os.environ["AMZN_AD_CLIENT_SECRET"] = os.environ["LWA_CLIENT_SECRET"]
os.environ["AMZN_REFRESH_TOKEN"] = os.environ["LWA_REFRESH_TOKEN"]
os.environ["AMZN_DEFAULT_PROFILE_ID"] = os.environ["PROFILE_ID"]
os.environ["AMZN_AUTH_URL"] = ""

client = AmazonClient()
said: dict[str, Any] = {"token": "access_token" in client.auto_refresh_token()}
host = client.set_region()
answer, profiles = client.make_new_request(f"https://{host}/v2/profiles", client.token, "GET", {})
said["profiles"] = len(profiles)
# The client looks for a member of the error that Amazon's errors do not have.
for call in (client.get_profiles, client.get_advertisers):
    try:
        call()
    except KeyError as error:
        said[call.__name__] = repr(error)
print(json.dumps(said))
