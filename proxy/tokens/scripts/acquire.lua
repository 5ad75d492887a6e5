-- needs: lease
-- KEYS: lease. ARGV: now, the fence of the token that is known, holder, life of the lease, what would be sent, how
-- urgent it is, and for how long who failed last leaves the others their turn.
-- Gives a newer token, or who waits how long, or the attempt that failed and for how long nobody asks, or the lease:
-- its fence and the attempt before it.
local now = now_of(ARGV[1])
local kept = redis.call('HMGET', KEYS[1], 'token_fence', 'token', 'expires', 'holder', 'until')
if kept[2] and tonumber(kept[1]) > tonumber(ARGV[2]) and tonumber(kept[3]) > now then
  return {'token', kept[1], kept[2], whole(tonumber(kept[3]) - now)}
end
if kept[4] and kept[4] ~= '' and kept[4] ~= ARGV[3] and tonumber(kept[5]) > now then
  return {'held', whole(tonumber(kept[5]) - now)}
end
local past, failed = redis.call('HMGET', KEYS[1], 'failed_for', 'failed', 'failed_by', 'again', 'sooner'), ''
if past[1] == ARGV[5] and past[2] then
  failed = past[2]
  local from = now - (past[3] == ARGV[3] and tonumber(ARGV[7]) or 0)
  local wait, sooner = math.max(0, tonumber(past[4]) - from), math.max(0, tonumber(past[5]) - from)
  local left = ({planned = wait, awaited = sooner})[ARGV[6]] or 0
  if left > 0 then return {'failed', failed, whole(wait), whole(sooner)} end
end
local fence = next_fence(now)
redis.call('HSET', KEYS[1], 'fence', whole(fence), 'holder', ARGV[3], 'until', whole(now + tonumber(ARGV[4])))
redis.call('PEXPIRE', KEYS[1], 172800000)
return {'granted', whole(fence), failed}
