-- needs: lease
-- KEYS: lease. ARGV: now, the fence of the token that is known. Gives a newer token: its fence, itself, its life.
local now = now_of(ARGV[1])
local kept = redis.call('HMGET', KEYS[1], 'token_fence', 'token', 'expires')
if kept[2] and tonumber(kept[1]) > tonumber(ARGV[2]) and tonumber(kept[3]) > now then
  return {kept[1], kept[2], whole(tonumber(kept[3]) - now)}
end
return {}
