// @scaleleap/amazon-advertising-api-sdk through the proxy: its region's addresses are the proxy's, its credentials too.
"use strict";

const { createRequire } = require("node:module");
const sdk = createRequire(`${process.env.CLIENT_MODULES}/`)("@scaleleap/amazon-advertising-api-sdk");

const { PROXY_URL, CLIENT_NAME, CLIENT_KEY, ACCOUNT_NAME } = process.env;

// The one change: a marketplace whose addresses are the proxy's.
const marketplace = {
  name: "proxy",
  advertising: {
    region: {
      endpoint: PROXY_URL,
      accessTokenUri: `${PROXY_URL}/auth/o2/token`,
      authorizationUri: `${PROXY_URL}/ap/oa`,
    },
  },
};

async function finished(ask) {
  for (;;) {
    const order = await ask();
    if (order.status === "SUCCESS") return order;
    if (order.status === "FAILURE") throw new Error("the order failed");
  }
}

async function main() {
  const login = new sdk.OAuthClient({ clientId: CLIENT_NAME, clientSecret: CLIENT_KEY }, marketplace);
  const token = await login.createToken("", ACCOUNT_NAME).refresh();
  const auth = { accessToken: token.accessToken, clientId: CLIENT_NAME };

  const profiles = await new sdk.AmazonAdvertising(marketplace, auth).profile.listProfiles();
  const scope = profiles[0].profileId;
  const ads = new sdk.AmazonAdvertising(marketplace, { ...auth, scope });
  const http = new sdk.HttpClient(PROXY_URL, { ...auth, scope });

  // Its own campaign operations name paths that Amazon has retired; its HTTP client reaches today's.
  const pages = [];
  for (let start = 0; ; start += 10) {
    const page = await http.get(`sd/campaigns?startIndex=${start}&count=10`);
    if (page.length) pages.push(page);
    if (page.length < 10) break;
  }
  const campaignId = Number(pages[0][0].campaignId);
  const updated = await http.put("sd/campaigns", [{ campaignId, name: "renamed by scaleleap" }]);
  const renamed = (await http.get("sd/campaigns?count=1"))[0].name;

  const reports = ads.sponsoredProductsReport;
  const order = await reports.requestReport({
    recordType: sdk.SponsoredProductsReportType.CAMPAIGNS,
    reportDate: "20250101",
    metrics: ["impressions", "clicks", "cost"],
  });
  const report = await finished(() => reports.getReport(order.reportId));
  const reportRows = await reports.downloadReport(order.reportId);

  const snapshots = ads.sponsoredDisplaySnapshot;
  const asked = await snapshots.requestSnapshot("campaigns", { stateFilter: "enabled" });
  const snapshot = await finished(() => snapshots.getSnapshot(asked.snapshotId));
  const snapshotRows = await snapshots.downloadSnapshot(snapshot);

  console.log(
    JSON.stringify({
      profiles: profiles.length,
      pages: pages.map((page) => page.length),
      updated: updated[0].code,
      renamed,
      report_rows: reportRows.length,
      report_location: report.location,
      location: snapshot.location,
      snapshot_rows: snapshotRows.length,
    }),
  );
}

main()
  .then(() => process.exit(0))
  .catch((error) => {
    console.error(error);
    process.exit(1);
  });
