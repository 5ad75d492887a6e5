-- needs: roster
-- KEYS: replicas, check, roster. ARGV: now, replica, how long one counts. Gives how many replicas there are, the check,
-- which is another one, or none, if the server lost its data, and then the ids of the replicas.
local now = now_of(ARGV[1])
redis.call('ZADD', KEYS[1], now, ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[3]))
redis.call('PEXPIRE', KEYS[1], 60000)
local answer = {redis.call('ZCARD', KEYS[1]), redis.call('GET', KEYS[2])}
local kept, roster = read_roster(KEYS[3]), {}
kept[ARGV[2]] = now
for id, seen in pairs(kept) do
  if seen > now - tonumber(ARGV[3]) then
    roster[#roster + 1] = id .. '=' .. whole(seen)
    answer[#answer + 1] = id
  end
end
redis.call('SET', KEYS[3], table.concat(roster, ' '))
redis.call('PEXPIRE', KEYS[3], 60000)
return answer
