// Put before the console's own scripts: what differs from run to run looks as if it were one certain moment. Only times,
// ids, addresses and durations are changed; everything else is what the proxy answered.
"use strict";
{
  const MOMENT = Date.parse("2027-01-15T10:30:00Z");
  const DAY = 86400000;
  const STAMP = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/;
  const FIXED = {
    clock: MOMENT / 1000, uptime_seconds: 26 * 3600, p99_ms: 312, duration_ms: 184, clients_url: "http://127.0.0.1:8080",
    request_id: "0f8c41d2-2a", amazon_request_id: "8KQ4T1B7", last_success: at(-18), next_refresh_at: at(37), expires_at: at(42),
  };
  const opened = Date.now();
  const days = Math.floor(MOMENT / DAY) - Math.floor(opened / DAY);

  function at(minutes) {
    return new Date(MOMENT + minutes * 60000).toISOString();
  }

  // Another day moves by whole days and is a morning; what happened just now happened some minutes ago.
  function moved(text, index) {
    const parsed = Date.parse(text);
    if (Math.abs(parsed - opened) > DAY / 2) return new Date((Math.floor(parsed / DAY) + days) * DAY + DAY / 3).toISOString();
    return at(-1 - index * 4);
  }

  function steady(value, key, index) {
    if (Array.isArray(value)) return value.map((each, place) => steady(each, key, place));
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, steady(each, name, index)]));
    }
    const stamp = typeof value === "string" && STAMP.test(value);
    if (stamp && Math.abs(Date.parse(value) - opened) > DAY / 2) return moved(value, index);
    if (value !== null && key in FIXED) return FIXED[key];
    if (stamp) return moved(value, index);
    return typeof value === "string" ? value.replace(/\d{4}-\d\d-\d\d/g, (day) => moved(`${day}T00:00:00Z`, 0).slice(0, 10)) : value;
  }

  const fetched = window.fetch.bind(window);
  window.fetch = async (...request) => {
    const answer = await fetched(...request);
    return new Response(JSON.stringify(steady(await answer.json(), "", 0)), { status: answer.status });
  };
  Date.now = () => MOMENT;
}
