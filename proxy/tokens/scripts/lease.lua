-- needs: now, tell
local function next_fence(now)
  return math.max(tonumber(redis.call('HGET', KEYS[1], 'fence') or 0) + 1, now)
end
local function keep(fence, token, expires)
  redis.call('HSET', KEYS[1], 'fence', whole(fence), 'token', token, 'token_fence', whole(fence),
    'expires', whole(expires), 'holder', '', 'until', '0', 'failed', '', 'failed_for', '')
end
local function is_held(holder, fence)
  local kept = redis.call('HMGET', KEYS[1], 'holder', 'fence')
  return kept[1] == holder and kept[2] == fence
end
