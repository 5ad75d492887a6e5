-- KEYS: answers to roll calls. ARGV: now, replica, number of the last roll call since which it has told all it counted.
local answered = tonumber(redis.call('HGET', KEYS[1], ARGV[2]) or 0)
if tonumber(ARGV[3]) > answered then redis.call('HSET', KEYS[1], ARGV[2], ARGV[3]) end
redis.call('PEXPIRE', KEYS[1], 86400000)
return 1
