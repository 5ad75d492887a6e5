// A program on Node's own fetch that knows Amazon's addresses and its credentials, and nothing of a proxy.
const { AMAZON_ADS_CLIENT_ID: id, AMAZON_ADS_CLIENT_SECRET: secret, AMAZON_ADS_REFRESH_TOKEN: refresh } = process.env;
const VENDOR = "application/vnd.spCampaign.v3+json";

async function read(url, options) {
  const answer = await fetch(url, options);
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  return answer.json();
}

const form = { grant_type: "refresh_token", refresh_token: refresh, client_id: id, client_secret: secret };
const login = await read("https://api.amazon.com/auth/o2/token", { method: "POST", body: new URLSearchParams(form) });
const headers = { Authorization: `Bearer ${login.access_token}`, "Amazon-Advertising-API-ClientId": id };

const profiles = await read("https://advertising-api.amazon.com/v2/profiles", { headers });
const scope = { "Amazon-Advertising-API-Scope": profiles[0].profileId, "Content-Type": VENDOR, Accept: VENDOR };
const { campaigns } = await read("https://advertising-api.amazon.com/sp/campaigns/list", {
  method: "POST",
  headers: { ...headers, ...scope },
  body: JSON.stringify({ maxResults: 10 }),
});

console.log(JSON.stringify({ profiles: profiles.length, campaigns: campaigns.length }));
