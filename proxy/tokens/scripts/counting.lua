-- needs: now
local function counting_since(state, now, has_lost)
  local since = redis.call('HGET', state, 'since')
  if since and not has_lost and tonumber(since) <= now then return tonumber(since) end
  redis.call('HSET', state, 'since', whole(now))
  return now
end
