// The console: asks the proxy for its state every two seconds, and shows it.
"use strict";

const POLL_MS = 2000;
const INVITATIONS_MS = 60000;
const ANSWER_MS = 20000;
const SEARCHED_ACCOUNTS = 20; // fewer are found at a glance
const TONES = { valid: "good", degraded: "busy", pending: "busy", expired: "bad", revoked: "bad", misconfigured: "bad" };
const cards = new Map();
let state = null;
let failures = 0;
let polling = null;
let page = 1;
let listed = ""; // the counts of what the lists show
let openInvitations = { total: 0, invitations: [] };

function say(text) {
  setText($("said"), spoken(text));
}

// --- accounts

function card(account) {
  if (cards.has(account.name)) return cards.get(account.name);
  const root = $("card").content.firstElementChild.cloneNode(true);
  root.dataset.account = account.name;
  root.querySelector(".name").textContent = account.name;
  const connect = root.querySelector(".connect");
  connect.href = `/login/${encodeURIComponent(account.name)}`;
  const refresh = root.querySelector(".refresh");
  refresh.setAttribute("aria-label", `Renew now: the token of ${account.name}`);
  refresh.addEventListener("click", () => refreshNow(account.name, refresh));
  const invite = root.querySelector(".invite");
  invite.setAttribute("aria-label", `Invite: a link that asks for the consent of ${account.name}`);
  invite.addEventListener("click", () => inviteFor(account.name, invite));
  $("cards").append(root);
  cards.set(account.name, root);
  return root;
}

// Regions with the same failure share a line. Without a refresh token, the account's state is enough.
function listingWords(account) {
  if (!account.has_refresh_token) return "";
  const regions = new Map();
  for (const { region, detail, at } of account.listing_failures) {
    const failure = `${detail} (${ago(at)})`;
    regions.set(failure, [...(regions.get(failure) ?? []), region]);
  }
  return [...regions].map(([failure, names]) => `${names.join(", ")}: ${failure}`).join(" · ");
}

function consentWords({ phase, ends_at: at, ends_at_the_latest: latest }) {
  if (phase === "endless") return "never expires";
  if (phase === "ended") return `expired on ${dayOf(at)}`;
  if (at) return `expires on ${dayOf(at)}, ${until(at)}`;
  return latest ? `of an unknown day, expires by ${dayOf(latest)}` : "";
}

function showAccount(account) {
  const root = card(account);
  const put = (name, text) => setProse(root.querySelector(`.${name}`), text);
  const before = root.dataset.state;
  root.dataset.state = account.state;
  root.className = `card account ${TONES[account.state] ?? ""}`;
  put("state", account.title);
  put("explanation", account.explanation);
  root.querySelector(".explanation").hidden = account.state === "valid" && account.serving;
  root.querySelector(".advice").hidden = !account.advice;
  put("advice .text", account.advice);
  const counts = Object.entries(account.profiles).map(([region, number]) => `${number} in ${region}`);
  put("profiles", counts.join(", ") || "none listed yet");
  const refused = account.state === "revoked" || account.state === "misconfigured"; // then the explanation says it
  const consent = consentWords(account.consent);
  root.querySelector(".consenting").hidden = !consent;
  root.querySelector(".consenting").className = `consenting ${{ ending: "near", ended: "over" }[account.consent.phase] ?? ""}`;
  root.querySelector(".consent").title = spoken(account.consent.explanation);
  put("consent", consent);
  const unlisted = refused ? "" : listingWords(account);
  root.querySelector(".unlisted").hidden = !unlisted;
  put("listing", unlisted);
  const failure = account.last_failure;
  root.querySelector(".failing").hidden = !failure;
  const when = failure ? `${failure.reason}, ${ago(failure.at)}` : "";
  put("failure", failure && !refused ? `${failure.detail} (${when})` : when);
  const connect = root.querySelector(".connect");
  setText(connect, account.has_refresh_token ? "Reconnect" : "Connect");
  connect.classList.toggle("plain", account.serving);
  connect.setAttribute("aria-label", `${connect.textContent} ${account.name} with Amazon`);
  root.querySelector(".invite").hidden = !state.invites;
  root.querySelector(".refresh").hidden = !account.has_refresh_token;
  if (account.state === "valid") forget(`refresh-${account.name}`);
  if (before && before !== account.state) say(`${account.name}: ${account.title}. ${account.advice}`);
}

// The first accounts that need attention are on every page, before the others.
function showPages() {
  const { total, attention, states } = state.account_counts;
  page = state.page;
  $("account-search").hidden = total <= SEARCHED_ACCOUNTS;
  setText($("account-found"), state.search ? `${count(state.found, "account")} found.` : "");
  $("account-pages").hidden = state.pages < 2;
  $("account-counts").hidden = total <= state.accounts.length || Boolean(state.search);
  $("previous-accounts").disabled = page <= 1;
  $("next-accounts").disabled = page >= state.pages;
  setText($("account-page"), `Page ${page} of ${state.pages}`);
  const counts = Object.entries(states).map(([name, number]) => `${number} ${name}`).join(", ");
  const first = attention ? ` ${attention} need attention and come first.` : "";
  setText($("account-counts"), `${total} accounts: ${counts}.${first}`);
  state.accounts.forEach(({ name }, place) => {
    if ($("cards").children[place] !== cards.get(name)) $("cards").insertBefore(cards.get(name), $("cards").children[place]);
  });
}

// An answer on its way still shows the page before.
async function turnTo(number) {
  await polling;
  page = number;
  await poll();
}

function expiryWords({ expires_at: stamp, refused }) {
  if (!stamp) return "no token";
  if (refused) return "refused by Amazon";
  const left = (Date.parse(stamp) - now()) / 1000;
  return left > 0 ? `expires in ${duration(left)}` : `expired ${ago(stamp)}`;
}

function renewalWords(stamp) {
  if (!stamp) return "none planned";
  return Date.parse(stamp) > now() ? until(stamp) : "now";
}

function tick() {
  if (!state) return;
  for (const account of state.accounts) {
    const root = cards.get(account.name);
    const put = (name, words, stamp) => {
      setText(root.querySelector(name), words);
      root.querySelector(name).title = stamp ? utc(stamp) : "";
    };
    put(".left", expiryWords(account), account.expires_at);
    put(".success", account.last_success ? ago(account.last_success) : "not yet", account.last_success);
    put(".next", renewalWords(account.next_refresh_at), account.next_refresh_at);
  }
}

async function refreshNow(name, button) {
  button.disabled = true;
  say(`Renewing the token of ${name} …`);
  try {
    const answer = await ask(`/console/accounts/${encodeURIComponent(name)}/refresh`, "POST");
    const body = await answer.json();
    say(answer.ok ? `${name} has a new token.` : body.detail);
    if (!answer.ok) notice(`refresh-${name}`, `${name}: ${body.detail}`, true);
    else forget(`refresh-${name}`);
  } catch {
    say("The proxy does not answer.");
  } finally {
    button.disabled = false;
  }
  await poll();
}

async function inviteFor(name, button) {
  button.disabled = true;
  try {
    const answer = await ask(`/console/accounts/${encodeURIComponent(name)}/invite`, "POST");
    const body = await answer.json();
    if (answer.ok) {
      notice(`invite-${name}`, `Send this link to the advertiser of ${name}. It works once, until ${clock(body.expires_at)}: ${body.link}`, false);
      await copy(body.link, "Link");
      await askInvitations();
    } else notice(`invite-${name}`, `${name}: ${body.detail}`, true);
  } catch {
    say("The proxy does not answer.");
  } finally {
    button.disabled = false;
  }
}

async function runReport(name, button) {
  button.disabled = true;
  try {
    const answer = await ask(`/console/reports/${encodeURIComponent(name)}/run`, "POST");
    const body = await answer.json();
    say(answer.ok ? `A run of ${name} begins within seconds.` : body.detail);
    if (answer.ok) forget(`report-${name}`);
    else notice(`report-${name}`, `${name}: ${body.detail}`, true);
  } catch {
    say("The proxy does not answer.");
  }
  await poll();
}

// --- frozen writes; the client `null` stands for all clients

const isFrozen = (client) => state.freezes.frozen.some((freeze) => freeze.client === client);
const writesOf = (client) => (client === null ? "all writes" : `all writes of ${client}`);

function freezeWords({ client, by, because, at }) {
  const writes = writesOf(client);
  return `${writes[0].toUpperCase()}${writes.slice(1)} are frozen since ${clock(at)}, by ${by}${because ? `: ${because}` : ""}`;
}

function freezeButton(client) {
  const verb = isFrozen(client) ? "Unfreeze" : "Freeze";
  const button = make("button", verb);
  button.type = "button";
  button.setAttribute("aria-label", `${verb} ${writesOf(client)}`);
  button.addEventListener("click", () => askFreeze(client, verb));
  return button;
}

function showFreezes() {
  const { frozen, problem } = state.freezes;
  setText($("freeze-words"), frozen.map(freezeWords).join(" · ") || "No. A freeze stops all writes of a client, or of all clients, within a second. Reads go on.");
  setText($("freeze-all"), `${isFrozen(null) ? "Unfreeze" : "Freeze"} all writes`);
  if (frozen.length) notice("frozen", `Writes are frozen. ${frozen.map(freezeWords).join(" · ")}`, true);
  else forget("frozen");
  if (problem) notice("freezes", `Which writes are frozen is not in the state store, or cannot be read there: ${problem}`, true);
  else forget("freezes");
}

// Nothing happens before the dialog is answered.
function askFreeze(client, verb) {
  const dialog = $("freeze-dialog");
  setText($("freeze-title"), `${verb} ${writesOf(client)}?`);
  setText($("freeze-effect"), verb === "Freeze" ? "The proxy refuses them from now on, in every replica, also after a restart. Reads go on." : "They pass again at once. Clients with a freeze of their own stay frozen.");
  setText($("freeze-yes"), verb);
  $("freeze-because").value = "";
  dialog.returnValue = "";
  dialog.onclose = () => dialog.returnValue && changeFreeze(client, verb, $("freeze-because").value);
  dialog.showModal();
}

async function changeFreeze(client, verb, because) {
  try {
    const answer = await ask(`/console/${verb.toLowerCase()}`, "POST", { client: client ?? "", because });
    const body = await answer.json();
    if (answer.ok) forget("freeze");
    else notice("freeze", body.detail, true);
    say(answer.ok ? `${verb}: ${writesOf(client)}. Done.` : body.detail);
  } catch {
    notice("freeze", "The proxy does not answer: nothing was changed, as far as this page can tell.", true);
  }
  await poll();
}

// --- approvals, which have a page of their own

function showApprovals() {
  $("approval-section").hidden = !state.approvals;
  if (!state.approvals) return forget("approvals");
  const { pending, approved, problem } = state.approvals;
  const waiting = `${count(pending, "write")} ${pending === 1 ? "waits" : "wait"} for an approver`;
  setText($("approval-words"), problem || `${waiting}, and ${approved} approved ${approved === 1 ? "one was" : "ones were"} not sent yet.`);
  if (problem) notice("approvals", `Which writes wait for approval cannot be read: ${problem}`, true);
  else if (pending) notice("approvals", `${waiting}. Approve or deny below, in "What waits for approval?".`, false);
  else forget("approvals");
}

// --- notices

const notices = new Map();

function notice(key, text, bad) {
  if (!notices.has(key)) {
    notices.set(key, make("p"));
    $("notices").append(notices.get(key));
  }
  notices.get(key).className = bad ? "notice bad" : "notice";
  setProse(notices.get(key), text);
}

function forget(key) {
  notices.get(key)?.remove();
  notices.delete(key);
}

function showNotices() {
  const { problems, needs_restart: waiting } = state.config;
  if (problems.length) {
    notice("config", `The changed configuration has errors, so the old one stays in force. ${problems.join(" · ")}`, true);
  } else forget("config");
  if (waiting.length) notice("restart", `Restart the proxy to apply these changes: ${waiting.join(", ")}.`, false);
  else forget("restart");
  if (state.audit?.failing) notice("audit", "Audit records cannot be written. The log says why (audit_failed).", true);
  else forget("audit");
  if (state.state.degraded) notice("store", `Degraded: ${state.state.trouble} This replica goes on alone, with the tokens in its memory.`, true);
  else forget("store");
  const older = state.accounts.filter((account) => account.older_secret_in_use).map((account) => account.name);
  if (older.length) notice("secrets", `Amazon refuses the newer client secret of ${older.join(", ")}, but accepts the older one.`, false);
  else forget("secrets");
  const memory = state.accounts.filter((account) => account.unpersisted).map((account) => account.name);
  if (memory.length) notice("memory", `The new refresh token of ${memory.join(", ")} is in memory only: the state cannot be written.`, true);
  else forget("memory");
}

// --- traffic

function showTraffic() {
  const steps = state.traffic;
  drawBars($("bars"), steps);
  drawOverhead($("overhead"), steps);
  setText($("traffic-words"), trafficWords(steps));
  setText($("overhead-words"), overheadWords(steps));
  setText($("traffic-short"), count(steps.reduce((sum, step) => sum + step.requests, 0), "request"));
  $("bars").setAttribute("aria-label", trafficWords(steps));
  $("overhead").setAttribute("aria-label", overheadWords(steps));
}

// --- profiles

function clientUrl() {
  const url = new URL(state.clients_url);
  if (["0.0.0.0", "[::]"].includes(url.hostname)) url.hostname = location.hostname;
  return url.origin;
}

function baseUrl(profile) {
  return `${clientUrl()}/@${encodeURIComponent(profile.account)}/${profile.region}`;
}

function curl(profile) {
  const kind = "application/vnd.spCampaign.v3+json";
  const headers = [`Amazon-Advertising-API-Scope: ${profile.id}`, `Content-Type: ${kind}`, `Accept: ${kind}`];
  if (state.keyed) headers.unshift("X-Ads-Proxy-Key: YOUR_KEY");
  return `curl -s ${baseUrl(profile)}/sp/campaigns/list ${headers.map((header) => `-H '${header}'`).join(" ")} -d '{}'`;
}

async function copy(text, what, place = "found") {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = make("textarea", text, "unseen");
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  say(`${what} copied.`);
  setText($(place), `Copied: ${text}`);
}

function copyButton(label, profile, text, place) {
  const button = make("button", label);
  button.type = "button";
  button.setAttribute("aria-label", `${label} for ${profile.name || profile.id}`);
  button.dataset.copies = text;
  button.addEventListener("click", () => copy(text, label, place));
  return button;
}

function profileRow(profile) {
  const row = make("tr");
  const id = make("td");
  id.append(make("code", profile.id));
  const copies = make("td");
  copies.append(copyButton("Base URL", profile, baseUrl(profile)), copyButton("curl", profile, curl(profile)));
  const where = [profile.country, profile.region, profile.account].filter(Boolean).join(" · ");
  row.append(id, make("td", `${profile.name}${profile.kind ? ` (${profile.kind})` : ""}`), make("td", where), copies);
  return row;
}

async function findProfiles() {
  const words = $("words").value;
  const answer = await ask(`/console/profiles?search=${encodeURIComponent(words)}`);
  if (!answer.ok) return;
  const { total, profiles } = await answer.json();
  if ($("words").value !== words) return; // the next answer is for what was typed since
  showFound("profiles", "found", total, profiles.length);
  $("profile-box").hidden = profiles.length === 0;
  keepRows($("profile-rows"), profiles.map((profile) => [JSON.stringify(profile), profileRow(profile)]));
}

function showFound(heading, id, total, shown) {
  const none = state.accounts.some((account) => account.serving) ? "" : " They are listed once an account serves.";
  setText($(`${heading}-short`), String(total));
  setText($(id), total > shown ? `${total} found, the first ${shown} shown.` : `${total} found.${total ? "" : none}`);
}

// --- ads accounts

function adsAccountRow(account) {
  const row = make("tr");
  const id = make("td");
  id.append(make("code", account.id));
  const about = [account.kind === "ads account" ? "" : account.kind, account.status].filter(Boolean).join(", ");
  const where = [account.countries.join(", "), account.regions.join(", "), account.account].filter(Boolean).join(" · ");
  const profiles = make("td");
  profiles.append(...account.profiles.flatMap((profile) => [make("code", profile), " "]));
  const copies = make("td");
  copies.append(copyButton("Header", account, `Amazon-Ads-AccountId: ${account.id}`, "ads-found"));
  row.append(id, make("td", `${account.name}${about ? ` (${about})` : ""}`), make("td", where), profiles, copies);
  return row;
}

async function findAdsAccounts() {
  const words = $("ads-words").value;
  const answer = await ask(`/console/ads-accounts?search=${encodeURIComponent(words)}`);
  if (!answer.ok) return;
  const { total, ads_accounts: accounts } = await answer.json();
  if ($("ads-words").value !== words) return; // the next answer is for what was typed since
  showFound("ads-accounts", "ads-found", total, accounts.length);
  $("ads-box").hidden = accounts.length === 0;
  keepRows($("ads-rows"), accounts.map((account) => [JSON.stringify(account), adsAccountRow(account)]));
}

// --- asking

async function ask(path, method = "GET", form = undefined) {
  const headers = { "X-Ads-Proxy-Console": "1", Accept: "application/json" };
  const signal = method === "GET" ? AbortSignal.timeout(ANSWER_MS) : null; // browsers wait for minutes
  const answer = await fetch(path, { method, headers, signal, body: form && new URLSearchParams(form) });
  if (answer.status === 401) location.reload();
  return answer;
}

function listedCount() {
  return JSON.stringify(state.accounts.map((account) => [account.profiles, account.ads_accounts]));
}

// One at a time: a late answer must not replace a newer one.
function poll() {
  polling ??= askState().finally(() => {
    polling = null;
  });
  return polling;
}

async function askState() {
  try {
    const search = encodeURIComponent($("account-words").value);
    const answer = await ask(`/console/state?page=${page}&search=${search}`);
    if (!answer.ok) throw new Error(String(answer.status));
    state = { ...(await answer.json()), invitations: openInvitations };
    skew = state.clock * 1000 - Date.now();
    failures = 0;
    forget("gone");
    show();
    const counts = listedCount();
    if (counts !== listed) await Promise.all([findProfiles(), findAdsAccounts()]);
    listed = counts;
  } catch {
    failures += 1;
    if (failures > 1) notice("gone", "The proxy does not answer. This page tries again every two seconds.", true);
  }
}

async function askInvitations() {
  if (!state?.invites) return;
  try {
    const answer = await ask("/console/invitations");
    const body = await answer.json();
    openInvitations = answer.ok ? body : { ...openInvitations, problem: body.detail };
  } catch {
    return; // The state is requested more often, and reports that the proxy does not answer.
  }
  state.invitations = openInvitations;
  TABLES.forEach((table) => showTable(table, state));
}

function showVerdict() {
  const { tone, sentence } = state.verdict;
  const before = $("verdict").textContent;
  $("verdict").className = `verdict ${tone}`;
  setProse($("verdict"), sentence);
  if (before && before !== spoken(sentence)) say(sentence);
}

function show() {
  $("demo").hidden = !state.demo;
  $("leave").hidden = !state.key_required;
  setText($("program"), `Version ${state.version}, running for ${duration(state.uptime_seconds)}. Clients use ${clientUrl()}.`);
  showVerdict();
  const names = new Set(state.accounts.map((account) => account.name));
  for (const [name, root] of cards) {
    if (names.has(name)) continue;
    root.remove();
    cards.delete(name);
  }
  state.accounts.forEach(showAccount);
  showPages();
  tick();
  showNotices();
  showFreezes();
  showApprovals();
  TABLES.forEach((table) => showTable(table, state));
  showTraffic();
  showNames();
  showFailures();
  showMenu();
}

// --- parts that open; the page's address names the one that was opened last

function openPart(id) {
  const heading = $(id);
  const part = heading?.closest("details.part");
  if (part) part.open = true;
  heading?.scrollIntoView();
}

function watchParts() {
  const wide = matchMedia("(min-width: 34.01rem)").matches;
  for (const part of document.querySelectorAll(".overview > .part")) part.open = wide;
  addEventListener("hashchange", () => openPart(location.hash.slice(1)));
  document.addEventListener("click", ({ target }) => {
    const link = target.closest('a[href^="#"]');
    if (link) openPart(link.hash.slice(1)); // the address may be this one already
    const summary = target.closest(".part > summary");
    if (!summary) return;
    const address = `#${summary.querySelector("h2").id}`;
    if (!summary.parentElement.open) history.replaceState(null, "", address);
    else if (location.hash === address) history.replaceState(null, "", location.pathname);
  });
}

// On narrow screens alone: every part of the page that is shown, by its heading.
function showMenu() {
  const headings = [...document.querySelectorAll("main h2")].filter((heading) => heading.getClientRects().length);
  keepRows($("menu-parts"), headings.map(({ id, textContent }) => {
    const link = make("a", textContent);
    link.href = `#${id}`;
    return [id, make("li", link)];
  }));
}

function watchMenu() {
  const menu = $("menu");
  menu.addEventListener("click", (event) => {
    if (event.target.closest("a")) menu.open = false;
  });
  document.addEventListener("click", (event) => {
    if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    menu.firstElementChild.focus();
  });
}

function searchAs(words, form, find) {
  let searching = 0;
  $(words).addEventListener("input", () => {
    clearTimeout(searching);
    searching = setTimeout(find, 200);
  });
  $(form).addEventListener("submit", (event) => {
    event.preventDefault();
    find();
  });
}

$("previous-accounts").addEventListener("click", () => turnTo(page - 1));
$("next-accounts").addEventListener("click", () => turnTo(page + 1));
searchAs("account-words", "account-search", () => turnTo(1));
searchAs("words", "search", findProfiles);
searchAs("ads-words", "ads-search", findAdsAccounts);
setInterval(() => document.hidden || poll(), POLL_MS);
setInterval(tick, 1000);
setInterval(() => document.hidden || askInvitations(), INVITATIONS_MS);
document.addEventListener("visibilitychange", () => document.hidden || poll());
$("freeze-all").addEventListener("click", () => askFreeze(null, isFrozen(null) ? "Unfreeze" : "Freeze"));
TABLES.forEach(addTable);
watchMenu();
watchParts();
poll().then(() => openPart(location.hash.slice(1))).then(askInvitations);
watchRequests();
