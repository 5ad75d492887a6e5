-- needs: now
local function read_roster(key)
  local roster = {}
  for id, seen in string.gmatch(redis.call('GET', key) or '', '(%x+)=(%d+)') do roster[id] = tonumber(seen) end
  return roster
end
