-- needs: lease
-- KEYS: lease, news. ARGV: now, holder, fence, token, its life, the kind of news, of what. Gives whether it was taken:
-- not where somebody else got the lease since.
if redis.call('HGET', KEYS[1], 'token_fence') == ARGV[3] then return 1 end
if not is_held(ARGV[2], ARGV[3]) then return 0 end
keep(tonumber(ARGV[3]), ARGV[4], now_of(ARGV[1]) + tonumber(ARGV[5]))
tell(KEYS[2], ARGV[6], ARGV[7])
return 1
