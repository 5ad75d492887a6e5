-- Read before each of the other scripts: what a tool sends with every request, and one line of JSON at the end.
-- The arguments are a number that no run before had, and the Authorization that the tool sends (or an empty text).

wrk.headers["User-Agent"] = "python-requests/2.32.3"
wrk.headers["Accept-Encoding"] = "gzip, deflate"
wrk.headers["Accept"] = "*/*"
wrk.headers["Amazon-Advertising-API-Scope"] = "1234567890123456"

function common(args)
  nonce = args[1]
  if args[2] ~= "" then wrk.headers["Authorization"] = args[2] end
end

function init(args) common(args) end

-- A request of this path as text, cut where "@@" stands.
function cut(method, path, body)
  local text = wrk.format(method, path, nil, body)
  local start, finish = text:find("@@", 1, true)
  return text:sub(1, start - 1), text:sub(finish + 1)
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"microseconds":%d,"bytes":%d,"refused":%d,"broken":%d,"p50":%.1f,"p99":%.1f}\n',
    summary.requests, summary.duration, summary.bytes, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
