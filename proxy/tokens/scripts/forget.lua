-- KEYS: lease. ARGV: now. Its fences go on. Gives whether there was something.
if not redis.call('HGET', KEYS[1], 'token') then return 0 end
redis.call('HSET', KEYS[1], 'token', '', 'expires', '0')
return 1
