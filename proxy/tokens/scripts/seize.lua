-- needs: lease
-- KEYS: lease, news. ARGV: now, token, its life, the kind of news, of what. A token that a person's consent brought is
-- in force at once, and whoever is minting meanwhile is fenced off. Gives its fence.
local now = now_of(ARGV[1])
local kept = redis.call('HMGET', KEYS[1], 'token', 'token_fence')
if kept[1] == ARGV[2] then return kept[2] end
local fence = next_fence(now)
keep(fence, ARGV[2], now + tonumber(ARGV[3]))
redis.call('PEXPIRE', KEYS[1], 172800000)
tell(KEYS[2], ARGV[4], ARGV[5])
return whole(fence)
