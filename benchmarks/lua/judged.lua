-- PUT of campaigns with budgets within the limits, no two bodies alike. The query of the path tells how many there are,
-- and how long their names.
local number, before, after = 0

function init(args)
  common(args)
  wrk.headers["Content-Type"] = "application/vnd.spCampaign.v3+json"
  local path, count, letters = wrk.path:match("^(.-)%?items=(%d+)&letters=(%d+)$")
  local form = '{"campaignId":"%015d","name":"' .. string.rep("n", tonumber(letters)) ..
    '","budget":{"budget":%d.50,"budgetType":"DAILY"}}'
  local items = {}
  for item = 1, tonumber(count) do items[item] = form:format(item, item % 90) end
  local start, finish = '{"campaigns":[{"campaignId":"', '","state":"PAUSED"},' .. table.concat(items, ",") .. "]}"
  before, after = cut("PUT", path, start .. "@@" .. string.rep("0", 22) .. finish)
  after = after:sub(23)
end

function request()
  number = number + 1
  return before .. string.format("%012d%012d", nonce % 1e12, number) .. after
end
