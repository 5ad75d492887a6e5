-- needs: now, tell
-- KEYS: entry, news. ARGV: now, account, content, consented_at, saved_at, the version that the writer has seen, and
-- whether it cannot read what is there, which is kept aside then.
-- Gives the version that is in force, and whether it is the writer's.
local now = now_of(ARGV[1])
local kept = redis.call('HMGET', KEYS[1], 'content', 'consented_at', 'saved_at', 'version')
local version = tonumber(kept[4] or 0)
if kept[1] == ARGV[3] then return {whole(version), 1} end
if kept[1] and whole(version) ~= ARGV[6] then
  local consented, saved = tonumber(kept[2]), tonumber(kept[3])
  local same = tonumber(ARGV[4]) == consented
  local newer = tonumber(ARGV[4]) > consented or (same and tonumber(ARGV[5]) > saved)
  local mended = ARGV[7] == '1' and same and tonumber(ARGV[5]) == saved
  if not newer and not mended then return {whole(version), 0} end
end
if kept[1] and ARGV[7] == '1' then redis.call('HSET', KEYS[1], 'aside', kept[1]) end
version = math.max(version + 1, now)
redis.call('HSET', KEYS[1], 'content', ARGV[3], 'consented_at', ARGV[4], 'saved_at', ARGV[5], 'version', whole(version))
tell(KEYS[2], 'account', ARGV[2])
return {whole(version), 1}
