// What failed, and the last requests. Rows that are shown are kept, so that nothing jumps. The page's own script calls
// `watchRequests` once, and `showNames` and `showFailures` with each new state.
"use strict";

const RECENT_MS = 15 * 60 * 1000;
const MAX_FAILURES_SHOWN = 8;
const failureCards = new Map();
const requestRows = new Map();
const toldFailures = new Set();
let failuresKnown = false;
let asking = false;
let shownText = "";

function statusTone(status) {
  if (status === 429) return "busy";
  if (status >= 500 || status === 0) return "bad";
  return status >= 400 ? "refused" : status >= 300 ? "" : "good";
}

function statusWords(status) {
  return status === 0 ? "no answer" : String(status);
}

function milliseconds(value) {
  if (value === null) return "–";
  return value < 10 ? `${value.toFixed(1)} ms` : value < 10000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}

function showNames() {
  showChoices("filter-client", state.clients.map((tally) => tally.name).filter(Boolean));
  showChoices("filter-account", state.account_traffic.map((tally) => tally.name).filter(Boolean));
}

function showChoices(id, names) {
  const select = $(id);
  const known = [...select.options].slice(1).map((option) => option.value);
  if (known.join("\n") === names.join("\n")) return;
  const chosen = select.value;
  const options = names.map((name) => new Option(name, name));
  if (chosen && !names.includes(chosen)) options.push(new Option(chosen, chosen));
  select.replaceChildren(select.options[0], ...options);
  select.value = chosen;
}

// --- what failed

function failureCard(key) {
  if (failureCards.has(key)) return failureCards.get(key);
  const root = $("failure-card").content.firstElementChild.cloneNode(true);
  failureCards.set(key, root);
  return root;
}

function failureTitle(group) {
  return `${statusWords(group.status)} ${group.reason}${group.account ? ` · ${group.account}` : ""}`;
}

function showFailure(group) {
  const root = failureCard(failureTitle(group));
  const put = (name, text) => setText(root.querySelector(`.${name}`), text);
  const recent = now() - Date.parse(group.last) < RECENT_MS;
  const tone = group.status < 400 && group.status > 0 ? "refused" : statusTone(group.status);
  root.className = `card failure ${recent ? tone : ""}`;
  put("name", failureTitle(group));
  put("state", `${group.count === 1 ? "once" : `${group.count} times`}, last ${ago(group.last)}`);
  const who = group.clients.length ? `Client ${group.clients.join(", ")}` : "No known client";
  const what = group.operations.filter((name) => name !== "unknown").join(", ");
  put("who", what ? `${who}: ${what}` : who);
  put("asked", `${group.method} ${group.path}`);
  setProse(root.querySelector(".explanation"), group.detail);
  root.querySelector(".explanation").hidden = !group.detail;
  setProse(root.querySelector(".text"), group.next_step);
  const ids = [`Request ${group.request_id}`, group.amazon_request_id && `at Amazon ${group.amazon_request_id}`];
  put("ids", ids.filter(Boolean).join(", "));
  return root;
}

function showFailures() {
  const shown = state.failures.slice(0, MAX_FAILURES_SHOWN);
  const fresh = state.failures.map(failureTitle).filter((title) => !toldFailures.has(title));
  if (failuresKnown && fresh.length) say(`New failures: ${fresh.slice(0, MAX_FAILURES_SHOWN).join("; ")}.`);
  fresh.forEach((title) => toldFailures.add(title));
  failuresKnown = true;
  arrange($("failures"), shown.map(showFailure));
  const names = new Set(shown.map(failureTitle));
  for (const key of failureCards.keys()) if (!names.has(key)) failureCards.delete(key);
  $("none-failed").hidden = shown.length > 0;
  setText($("failed-short"), shown.length ? `${count(state.failures.length, "kind")} of failures, last ${ago(state.failures[0].last)}` : "nothing");
  const more = state.failures.length - shown.length;
  $("more-failed").hidden = more <= 0;
  setText($("more-failed"), `${more} more kinds of failures: choose Failed in the list of requests.`);
}

// --- the last requests

function requestRow(request) {
  const row = make("tr");
  const account = make("td", request.account || "–");
  const place = [request.region, request.profile, request.ads_account].filter(Boolean).join(" · ");
  if (place) account.append(make("br"), make("span", place, "quiet"));
  const asked = make("td");
  const what = request.mcp_tools.join(", ") || request.operation;
  if (what !== "unknown") asked.append(breakable(what), make("br"));
  asked.append(make("code", `${request.method} ${request.path}`));
  const changed = [...request.objects, ...request.members].join(" ");
  if (changed) asked.append(make("br"), make("span", changed, "quiet"));
  const known = request.failed || request.status < 400; // else, what clients of MCP ask for in passing
  const tone = request.failed && request.status > 0 && request.status < 400 ? "refused" : known ? statusTone(request.status) : "";
  const status = make("td");
  status.append(make("span", statusWords(request.status), `tag ${tone || "plain"}`));
  const items = request.items.succeeded + request.items.failed;
  if (items) status.append(make("br"), make("span", `${request.items.succeeded} of ${items} items`, "quiet"));
  if (request.attempts > 1) status.append(make("br"), make("span", `${request.attempts} attempts`, "quiet"));
  const why = make("td");
  if (request.reason) why.append(make("strong", request.reason));
  if (request.detail) why.append(make("br"), ...prose(request.detail));
  const ids = [request.request_id, request.amazon_request_id].filter(Boolean).join(" · ");
  if (request.reason) why.append(make("br"));
  why.append(make("span", ids, "quiet"));
  const client = make("td", request.client || "–");
  if (request.subject) client.append(make("br"), make("span", request.subject, "quiet"));
  row.append(make("td", timeOf(request.at)), client, account, asked, status, make("td", milliseconds(request.duration_ms), "number"), why);
  return row;
}

function keptRow(request, keep) {
  const key = JSON.stringify(request); // a client may send one id with many requests
  const row = requestRows.get(key) ?? requestRow(request);
  requestRows.delete(key);
  keep.set(key, row);
  return row;
}

function filterQuery() {
  const query = new URLSearchParams();
  for (const name of ["client", "account", "operation", "status"]) {
    const value = $(`filter-${name}`).value.trim();
    if (value) query.set(name, value);
  }
  return query.toString();
}

function foundWords(found) {
  const shown = found.requests.length;
  if (!found.known) return "No requests yet. Each request appears here within two seconds of its end.";
  return `${found.total} of the last ${found.known}${found.total > shown ? `, the newest ${shown} shown` : ""}.`;
}

async function askRequests(told = false) {
  if (asking) return;
  asking = true;
  const query = filterQuery();
  try {
    const answer = await ask(`/console/requests?${query}`);
    const text = answer.ok ? await answer.text() : shownText;
    if (text !== shownText) showRequests(JSON.parse(text));
    shownText = text;
    if (told) say(`Requests: ${$("requests-found").textContent}`);
  } catch {
    // The state is requested at the same time, and reports that the proxy does not answer.
  } finally {
    asking = false;
  }
  if (query !== filterQuery()) await askRequests(told);
}

function showRequests(found) {
  const keep = new Map();
  arrange($("request-rows"), found.requests.map((request) => keptRow(request, keep)));
  requestRows.clear();
  for (const [key, row] of keep) requestRows.set(key, row);
  setText($("requests-found"), foundWords(found));
  setText($("requests-short"), String(found.known));
  $("requests-box").hidden = found.requests.length === 0;
}

function paused() {
  return $("pause").getAttribute("aria-pressed") === "true";
}

function watchRequests() {
  let choosing = 0;
  $("pause").addEventListener("click", () => {
    $("pause").setAttribute("aria-pressed", String(!paused()));
    if (!paused()) askRequests();
  });
  $("filters").addEventListener("submit", (event) => {
    event.preventDefault();
    askRequests(true);
  });
  $("filters").addEventListener("input", () => {
    clearTimeout(choosing);
    choosing = setTimeout(askRequests, 200, true);
  });
  $("filters").addEventListener("reset", () => setTimeout(askRequests, 0, true));
  setInterval(() => document.hidden || paused() || askRequests(), POLL_MS);
  askRequests();
}
