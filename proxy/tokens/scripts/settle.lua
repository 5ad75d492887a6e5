-- needs: now
-- KEYS: bucket. ARGV: now, capacity, milliseconds in which one comes back, how many were spent. Gives how many are
-- left. No debt is larger than what a full bucket pays.
local now, capacity, interval = now_of(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = kept[1] and tonumber(kept[1]) + math.max(0, now - tonumber(kept[2])) / interval or capacity
level = math.max(-capacity, math.min(capacity, level) - tonumber(ARGV[4]))
redis.call('HSET', KEYS[1], 'level', string.format('%.6f', level), 'at', whole(now))
redis.call('PEXPIRE', KEYS[1], whole(math.ceil(2 * capacity * interval)))
return string.format('%.6f', level)
