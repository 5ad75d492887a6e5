// @scaleleap/amazon-advertising-api-sdk as its documentation has it: with a marketplace of its own, so Amazon's addresses.
"use strict";

const { createRequire } = require("node:module");
const load = createRequire(`${process.env.CLIENT_MODULES}/`);
const sdk = load("@scaleleap/amazon-advertising-api-sdk");
const { amazonMarketplaces } = load("@scaleleap/amazon-marketplaces");

const { AMAZON_ADS_CLIENT_ID, AMAZON_ADS_CLIENT_SECRET, AMAZON_ADS_REFRESH_TOKEN } = process.env;
const marketplace = amazonMarketplaces.US;

async function main() {
  const credentials = { clientId: AMAZON_ADS_CLIENT_ID, clientSecret: AMAZON_ADS_CLIENT_SECRET };
  const login = new sdk.OAuthClient(credentials, marketplace);
  const token = await login.createToken("", AMAZON_ADS_REFRESH_TOKEN).refresh();
  const auth = { accessToken: token.accessToken, clientId: AMAZON_ADS_CLIENT_ID };

  const profiles = await new sdk.AmazonAdvertising(marketplace, auth).profile.listProfiles();
  // Its own campaign operations name paths that Amazon has retired; its HTTP client reaches today's.
  const scoped = { ...auth, scope: profiles[0].profileId };
  const http = new sdk.HttpClient(marketplace.advertising.region.endpoint, scoped);
  const campaigns = await http.get("sd/campaigns?count=10");
  console.log(JSON.stringify({ profiles: profiles.length, campaigns: campaigns.length }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
