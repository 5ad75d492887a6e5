-- needs: lease
-- KEYS: lease. ARGV: now, holder, fence, what was sent, life of the pause, and where requests wait, how it failed.
-- Gives whether it was noted.
if not is_held(ARGV[2], ARGV[3]) then return 0 end
local now = now_of(ARGV[1])
redis.call('HSET', KEYS[1], 'holder', '', 'until', '0', 'failed', ARGV[7], 'failed_by', ARGV[2], 'failed_for', ARGV[4],
  'again', whole(now + tonumber(ARGV[5])), 'sooner', whole(now + tonumber(ARGV[6])))
return 1
