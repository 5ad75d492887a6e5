-- needs: now
local function counting_since(state, now, has_lost)
  local since = redis.call('HGET', state, 'since')
  if since and not has_lost and tonumber(since) <= now then return tonumber(since) end
  redis.call('HSET', state, 'since', whole(now), 'void', redis.call('HGET', state, 'roll') or 0)
  return now
end
local function is_complete(state, answers, roll, replicas)
  if roll == 0 or roll <= tonumber(redis.call('HGET', state, 'void') or 0) then return false end
  for id in string.gmatch(replicas, '%S+') do
    if tonumber(redis.call('HGET', answers, id) or 0) < roll then return false end
  end
  return true
end
