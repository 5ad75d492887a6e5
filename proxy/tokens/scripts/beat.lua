-- needs: now
-- KEYS: replicas, check. ARGV: now, replica, how long one counts. Gives how many there are, and the check: it
-- is another one, or none, if the server lost its data.
local now = now_of(ARGV[1])
redis.call('ZADD', KEYS[1], now, ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[3]))
redis.call('PEXPIRE', KEYS[1], 60000)
return {redis.call('ZCARD', KEYS[1]), redis.call('GET', KEYS[2])}
