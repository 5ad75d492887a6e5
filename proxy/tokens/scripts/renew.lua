-- needs: lease
-- KEYS: lease. ARGV: now, holder, fence, life of the lease. Gives whether it is still the holder's.
if not is_held(ARGV[2], ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], 'until', whole(now_of(ARGV[1]) + tonumber(ARGV[4])))
redis.call('PEXPIRE', KEYS[1], 172800000)
return 1
