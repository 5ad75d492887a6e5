-- needs: tell, counting, roster
-- KEYS: state of all counts, news, roster. ARGV: now, replica. Begins a roll call, which every replica answers by telling
-- what it counted. Gives its number, for how many milliseconds the server has lost nothing, and the ids of the replicas.
local now = now_of(ARGV[1])
local since = counting_since(KEYS[1], now, false)
local roll = whole(tonumber(redis.call('HGET', KEYS[1], 'roll') or 0) + 1)
redis.call('HSET', KEYS[1], 'roll', roll)
tell(KEYS[2], 'roll', roll .. ' ' .. ARGV[2])
local answer = {roll, whole(now - since)}
for id in pairs(read_roster(KEYS[3])) do answer[#answer + 1] = id end
return answer
