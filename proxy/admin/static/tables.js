// The tables of the page that need nothing but the state: to add one, add its declaration to TABLES and a function that
// makes the cells of a row.
//
//   id       names its parts: `#id` is the heading, `#id-words` a sentence, `#id-rows` the rows
//   place    the id of the element that it is added to
//   title    the heading
//   columns  the title of each column, numbers with `number`; the first column names the row
//   lines    of the state, what is shown, one for each row
//   row      of a line, its key and its cells; each cell is a text, a node, or several of both
//   short    of the state, a few words beside the heading while the table is closed; without it, how many lines there are
//   words    of the state, a sentence above the rows
//   empty    of the state, what will appear here and when, while there are no lines
//   hidden   of the state, whether the table has no use at all
"use strict";

const TONES_OF_OUTCOMES = { success: "good", failure: "bad", refused: "bad" };
const number = (title) => ({ title, kind: "number" });
const TRAFFIC = [...["Requests", "4xx", "429", "5xx", "No answer", "p99"].map(number), "Last request"];

const TABLES = [
  {
    id: "expiring",
    place: "overview",
    title: "What expires next?",
    short: (state) => (state.expiring.length ? `the next ${until(state.expiring[0].expires_at)}` : "nothing"),
    columns: ["Consent or key, and what to do", "Expires"],
    lines: (state) => state.expiring,
    row: expiryRow,
    words: undatedWords,
    empty: (state) => undatedWords(state) || "Nothing expires. A consent appears here with the day on which it expires, a client's key if it has an expiry date.",
  },
  {
    id: "refused",
    place: "overview",
    title: "Who was refused?",
    short: ({ refusals }) => (refusals.count ? count(refusals.count, "request") : "nobody"),
    columns: ["Client, why, and what to do", number("Times"), "Last"],
    lines: (state) => state.refusals.lines,
    row: refusalRow,
    words: ({ refusals }) => (refusals.groups > refusals.lines.length ? `The newest ${refusals.lines.length} of ${refusals.groups} kinds, ${count(refusals.count, "request")} in all. Details are under “What failed?”.` : ""),
    empty: () => "No client was refused since the start. A request that the proxy or Amazon refuses appears here within two seconds.",
  },
  {
    id: "changes",
    place: "overview",
    title: "What changed?",
    short: (state) => (state.changes === null ? "not recorded" : state.changes.length ? `last ${ago(state.changes[0].at)}` : "nothing"),
    columns: ["What, who, and where", "Outcome", "When"],
    lines: (state) => state.changes ?? [],
    row: changeRow,
    empty: (state) => (state.changes === null ? "Changes are not recorded. Set `audit.file` to see here who changed what." : "Nothing changed since the start. Writes to Amazon, sign-ins, keys and reloads appear here within two seconds."),
  },
  {
    id: "invitations",
    place: "overview",
    title: "Which invitations are open?",
    short: (state) => (state.invitations.problem ? "not known" : state.invitations.total ? String(state.invitations.total) : "none"),
    columns: ["Account", "Made", "Expires"],
    lines: (state) => state.invitations.invitations,
    row: ({ account, made_at: made, expires_at: expires }) => [`${account} ${made}`, make("strong", account), timeOf(made), timeOf(expires)],
    words: ({ invitations: { total, invitations } }) => (total > invitations.length ? `${total} are open. These expire first.` : ""),
    empty: invitationWords,
  },
  {
    id: "client",
    place: "clients",
    title: "Clients in the last 15 minutes",
    short: (state) => tallyWords(state.clients, "client", "not known"),
    columns: ["Client", ...TRAFFIC, "Writes"],
    lines: (state) => state.clients,
    row: (tally) => [...tallyRow(tally, "not known"), tally.name ? freezeButton(tally.name) : "–"],
    words: (state) => tallyWords(state.clients, "client", "not known"),
    empty: () => "No requests yet. Each client appears here with its first request, or as soon as it is configured.",
  },
  {
    id: "account",
    place: "clients",
    title: "Accounts in the last 15 minutes",
    short: (state) => tallyWords(state.account_traffic, "account", "not chosen"),
    columns: ["Account", ...TRAFFIC],
    lines: (state) => state.account_traffic,
    row: (tally) => tallyRow(tally, "not chosen"),
    words: (state) => tallyWords(state.account_traffic, "account", "not chosen"),
    empty: () => "No requests yet. Each account appears here with its first request.",
  },
  {
    id: "write",
    place: "clients",
    title: "Writes since the start",
    short: (state) => count(state.write_outcomes.reduce((sum, { success, partial, failure, unknown }) => sum + success + partial + failure + unknown, 0), "write"),
    columns: ["Client", "Account", ...["Success", "Partial", "Failure", "Unknown"].map(number)],
    lines: (state) => state.write_outcomes,
    row: writeRow,
    hidden: (state) => state.write_outcomes.length === 0,
  },
  {
    id: "held",
    place: "clients",
    title: "What was held back?",
    columns: ["Client", "Operation", "Rule, value and limit", "What happened", "When"],
    lines: (state) => state.spend.held_back,
    row: heldRow,
    words: heldWords,
    empty: heldWords,
    hidden: (state) => state.spend.clients.length === 0 && state.spend.held_back.length === 0,
  },
  {
    id: "spend",
    place: "clients",
    title: "Spend limits in the last 8 days",
    columns: ["Client", ...["Judged", "Within", "Over", "Approved", "Unreadable", "Frozen"].map(number), "Largest values", "Not readable", "Taken of the day"],
    lines: (state) => state.spend.clients,
    row: spendRow,
    words: spendWords,
    hidden: (state) => state.spend.clients.length === 0,
  },
  {
    id: "deprecated",
    place: "clients",
    title: "Deprecated operations in use",
    short: (state) => count(state.deprecated.reduce((sum, { calls }) => sum + calls, 0), "call"),
    columns: ["Client", "Operation", "Deprecated", "Ends", "Instead", number("Calls")],
    lines: (state) => state.deprecated,
    row: deprecatedRow,
    hidden: (state) => state.deprecated.length === 0,
  },
  {
    id: "report",
    place: "clients",
    title: "Named reports",
    columns: ["Report", "State", "Last result", number("Rows"), "Next run", "Last runs", "Run"],
    lines: (state) => state.reports,
    row: reportRow,
    hidden: (state) => state.reports.length === 0,
  },
  {
    id: "orders",
    place: "clients",
    title: "Throttled orders for reports",
    columns: ["Account", "Region", number("Seconds between orders"), number("Next in"), number("Waiting")],
    lines: (state) => state.throttled_orders,
    row: throttledOrdersRow,
    hidden: (state) => state.throttled_orders.length === 0,
  },
  {
    id: "key",
    place: "settings",
    title: "Keys of clients",
    columns: ["Client", "Key", "Expires", "Last used"],
    lines: (state) => state.client_keys,
    row: keyRow,
    hidden: (state) => state.client_keys.length === 0,
  },
];

// --- what the rows show

function expiryRow({ kind, name, key, expires_at: at, days, advice }) {
  const left = days < 1 ? "today" : `in ${count(days, "day")}`;
  const tone = days < 7 ? "bad" : days < 30 ? "busy" : "plain";
  const what = [kind === "consent" ? "Consent of " : "Key of ", make("strong", name), key ? [" ", make("code", key)] : []].flat();
  return [`${kind} ${name} ${key}`, [what, quietLine(advice)].flat(), [timeOf(at, dayOf), " ", make("span", left, `tag ${tone}`)]];
}

function quietLine(text) {
  return text ? make("span", prose(text), "quiet line") : [];
}

function undatedWords({ undated_consents: { count: total, accounts } }) {
  if (!total) return "";
  const names = total > accounts.length ? `${accounts.join(", ")} and ${total - accounts.length} more` : accounts.join(", ");
  return `Set \`consented_on\` to see when the ${total === 1 ? "consent" : `${total} consents`} of ${names} ${total === 1 ? "expires" : "expire"}.`;
}

function refusalRow({ client, status, reason, account, count: times, last, addresses, next_step: advice }) {
  const from = addresses.length ? ` from ${addresses.join(", ")}` : "";
  const why = `${status} ${reason}${account ? ` · ${account}` : ""}${from}`;
  const shown = [make("strong", client || "not known"), ` ${why}`, quietLine(advice)].flat();
  return [`${client} ${reason} ${account}`, shown, String(times), timeOf(last, ago)];
}

function changeRow({ what, detail, who, account, place, outcome, count: times, at }) {
  const about = [who ? `by ${who}` : "", account, place, times > 1 ? `${times} times` : "", detail].filter(Boolean).join(", ");
  const tone = TONES_OF_OUTCOMES[outcome] ?? "busy";
  return [`${at} ${what} ${who} ${place} ${outcome}`, [breakable(what), quietLine(about)].flat(), make("span", outcome, `tag ${tone}`), timeOf(at)];
}

// Names of operations are long, and may only break between their words.
function breakable(name) {
  const words = name.split(/(?=[A-Z][a-z])/);
  return make("strong", words.flatMap((word, index) => (index ? [make("wbr"), word] : [word])));
}

function invitationWords(state) {
  if (!state.invites) return "Invitations are off. Set `invites.url` to send advertisers links that ask for their consent.";
  if (state.invitations.problem) return `The invitations cannot be read: ${state.invitations.problem}`;
  return "No invitation is open. A link made with Invite, or with `ads-proxy invite`, stands here until it is used or expires.";
}

function tallyRow(tally, unknown) {
  const counts = [["refused", tally.refused], ["busy", tally.throttled], ["bad", tally.errors], ["bad", tally.unanswered]];
  const cells = counts.map(([kind, number]) => make("span", String(number), number ? kind : ""));
  return [tally.name, tally.name || unknown, String(tally.requests), ...cells, milliseconds(tally.p99_ms), timeOf(tally.last_seen, ago)];
}

function tallyWords(tallies, what, unknown) {
  const failing = tallies.filter((tally) => tally.errors || tally.throttled || tally.refused || tally.unanswered);
  if (!failing.length) return `${count(tallies.length, what)}, none with errors.`;
  const names = failing.slice(0, 5).map((tally) => tally.name || unknown).join(", ");
  return `${failing.length} of ${count(tallies.length, what)} with errors: ${names}${failing.length > 5 ? " and others" : ""}.`;
}

function writeRow(write) {
  const counts = [["", write.success], ["refused", write.partial], ["bad", write.failure], ["busy", write.unknown]];
  const cells = counts.map(([kind, number]) => make("span", String(number), number ? kind : ""));
  return [`${write.client} ${write.account}`, write.client || "–", write.account, ...cells];
}

const MAX_REASONS = 5;

function heldRow(write) {
  const reasons = [...write.violations.map(violationWords), ...write.unread];
  const more = reasons.length - MAX_REASONS + write.further_violations;
  const shown = reasons.slice(0, MAX_REASONS).map((reason) => make("span", prose(reason), "line"));
  if (more > 0) shown.push(quietLine(`and ${more} more`));
  const [tone, words] = write.sent ? [write.verdict === "approved" ? "good" : "busy", `${write.verdict}, and sent`] : ["bad", `${write.verdict}, not sent`];
  const about = quietLine(write.mode === "observe" ? "observed: `enforce` refuses it" : "");
  const key = `${write.at} ${write.client} ${write.operation}`;
  return [key, write.client || "–", breakable(write.operation), shown.length ? shown : "–", [make("span", words, `tag ${tone}`), about].flat(), timeOf(write.at, ago)];
}

function violationWords({ rule, path, value, currency, limit }) {
  const limited = limit === null ? "no limit for it" : `limit ${limit}`;
  return `${rule} ${[value, currency].filter(Boolean).join(" ")}, ${limited}${path ? ` (${path})` : ""}`;
}

function heldWords({ spend }) {
  const words = spend.held_back.length ? "The newest writes that spend limits refused, or would refuse." : "Nothing was held back. A write that spend limits refuse, or would refuse in mode `observe`, appears here within ten seconds.";
  return `${words} docs/reference/console.md says what to do.`;
}

function spendRow(client) {
  const name = [make("strong", client.client), quietLine(client.mode ? `mode ${client.mode}${client.frozen ? ", frozen" : ""}` : "no limits now")].flat();
  const verdicts = ["within", "over", "approved", "unreadable", "frozen"].map((verdict) => client.judged[verdict] ?? 0);
  const judged = verdicts.reduce((sum, number) => sum + number, 0);
  const tones = ["", "refused", "good", "busy", "refused"];
  const counts = verdicts.map((number, index) => make("span", String(number), number ? tones[index] : ""));
  const lines = (texts) => (texts.length ? texts.map((text) => make("span", prose(text), "line")) : "–");
  const rules = client.rules.map((rule) => `${[rule.rule, rule.largest, rule.currency].filter(Boolean).join(" ")}${rule.violations ? `: ${count(rule.violations, "violation")} of limit ${rule.limit ?? "none"}` : ""}`);
  const unknown = Object.entries(client.unknown);
  const names = unknown.slice(0, MAX_REASONS).map(([what, times]) => `${times} × ${what}`);
  if (unknown.length > MAX_REASONS) names.push(`and ${unknown.length - MAX_REASONS} more`);
  const days = client.days.map(({ day, created, budgets }) => `${day}: ${created} new, budgets ${Object.entries(budgets).map(([currency, sum]) => `${sum} ${currency}`).join(", ") || "none"}`);
  return [client.client, name, String(judged), ...counts, lines(rules), lines(names), lines(days)];
}

function spendWords({ spend }) {
  const since = spend.clients.map((client) => client.since).filter(Boolean).sort()[0];
  const words = since ? `Judged since ${clock(since)}. \`ads-proxy spend\` shows the same with all limits.` : "No write was judged yet.";
  return spend.problem ? `${words} What days have taken is not known: ${spend.problem}` : words;
}

function deprecatedRow(call) {
  const asked = [breakable(call.operation), make("br"), make("code", `${call.method} ${call.path}`)];
  if (call.media_type) asked.push(make("br"), make("code", call.media_type));
  return [`${call.client} ${call.operation}`, call.client || "–", asked, call.deprecated || "–", call.sunset || "–", breakable(call.replacement || "–"), String(call.calls)];
}

function reportRow(report) {
  const stale = report.stale_count > report.stale.length ? `${report.stale.join(", ")} and ${report.stale_count - report.stale.length} more` : report.stale.join(", ");
  const name = [make("strong", report.name), ` ${report.account}`, quietLine(report.waits_for), quietLine(stale && `Older rows: ${stale}`)].flat();
  const tone = { new: "bad", idle: "good" }[report.state] ?? "busy";
  const runs = report.runs.map(({ ended_at: at, result, rows, error }) => {
    const about = [" ", timeOf(at, ago), `, ${count(rows, "row")}`, ...prose(error ? `: ${error}` : "")];
    return make("span", [make("span", result, `tag ${TONES_OF_OUTCOMES[result] ?? "busy"}`), ...about], "quiet line");
  });
  const run = make("button", "Run now");
  run.type = "button";
  run.disabled = report.under_way;
  run.setAttribute("aria-label", `Run now: the report ${report.name}`);
  run.addEventListener("click", () => runReport(report.name, run));
  const next = report.next_run ? timeOf(report.next_run, (at) => (Date.parse(at) > now() ? until(at) : "now")) : "–";
  const rows = report.rows === null ? "–" : String(report.rows);
  return [report.name, name, make("span", report.state, `tag ${tone}`), timeOf(report.completed_at, ago), rows, next, runs, run];
}

function throttledOrdersRow(limit) {
  return [`${limit.account} ${limit.region}`, limit.account, limit.region, String(limit.interval), `${limit.next_in} s`, String(limit.waiting)];
}

function keyRow(key) {
  const which = [make("code", key.id), key.note ? ` ${key.note}` : ""];
  const ends = key.ends_at ? [key.ended ? "expired " : "", timeOf(key.ends_at, dayOf)] : "never";
  const used = key.last_used ? timeOf(key.last_used, ago) : "not since the start";
  return [`${key.client} ${key.id}`, key.client, which, ends, used];
}

// --- how they are shown

function addTable({ id, place, title, columns }) {
  const part = make("details", undefined, "part");
  part.id = `${id}-section`;
  part.setAttribute("aria-labelledby", id);
  const heading = make("h2", title);
  heading.id = id;
  const short = make("span", undefined, "short quiet");
  short.id = `${id}-short`;
  const words = make("p", undefined, "quiet");
  words.id = `${id}-words`;
  const head = make("tr", columns.map(columnHead));
  const body = make("tbody");
  body.id = `${id}-rows`;
  const table = make("table", [make("thead", head), body]);
  table.setAttribute("aria-labelledby", id);
  const box = make("div", table, "scroll tall");
  box.id = `${id}-box`;
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", `Table: ${title}`);
  part.append(make("summary", [heading, " ", short]), ...(place === "overview" ? [box, words] : [words, box]));
  $(place).append(part);
}

function columnHead(column) {
  const title = column.title ?? column;
  const cell = make("th", title, column.kind);
  cell.scope = "col";
  if (title === "p99") cell.title = "99 of 100 requests took no longer";
  return cell;
}

function tableRow(cells, columns) {
  const row = make("tr", cells.map((content, index) => make(index ? "td" : "th", content, columns[index].kind)));
  row.firstElementChild.scope = "row";
  return row;
}

function showTable({ id, columns, lines, row, short, words, empty, hidden }, state) {
  $(`${id}-section`).hidden = Boolean(hidden?.(state));
  setText($(`${id}-short`), short?.(state) ?? String(lines(state).length));
  const rows = lines(state).map((line) => {
    const [key, ...cells] = row(line);
    return [key, tableRow(cells, columns)];
  });
  $(`${id}-box`).hidden = rows.length === 0;
  const said = rows.length ? words?.(state) : empty?.(state);
  $(`${id}-words`).hidden = !said;
  setProse($(`${id}-words`), said ?? "");
  keepRows($(`${id}-rows`), rows);
}
