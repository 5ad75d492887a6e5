-- POST with a body of 512 bytes, no two alike.
local number, before, after = 0

function init(args)
  common(args)
  wrk.headers["Content-Type"] = "application/vnd.spCampaign.v3+json"
  local start, between, finish = '{"nextToken":"', '","maxResults":100,"filter":"', '"}'
  finish = between .. string.rep("x", 512 - #start - 24 - #between - #finish) .. finish
  before, after = cut("POST", "/sp/campaigns/list", start .. "@@" .. string.rep("0", 22) .. finish)
  after = after:sub(23)
end

function request()
  number = number + 1
  return before .. string.format("%012d%012d", nonce % 1e12, number) .. after
end
