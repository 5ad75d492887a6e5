-- needs: lease
-- KEYS: lease. ARGV: now, holder, fence.
if not is_held(ARGV[2], ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], 'holder', '', 'until', '0')
return 1
