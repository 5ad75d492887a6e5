-- needs: tell
-- KEYS: document, news. ARGV: now, name, the content that was read, empty for none, and what it becomes. Gives whether
-- it was still that; the same step may be sent twice.
local kept = redis.call('GET', KEYS[1]) or ''
if kept == ARGV[4] then return 1 end
if kept ~= ARGV[3] then return 0 end
redis.call('SET', KEYS[1], ARGV[4])
tell(KEYS[2], 'document', ARGV[2])
return 1
