-- KEYS: a hash, a text, a stream and a sorted set that nobody uses; they are gone a moment later. Gives the commands
-- that this user may not use in a script.
local denied = {}
local function try(command, ...)
  local outcome = redis.pcall(command, ...)
  local told = type(outcome) == 'table' and outcome.err
  local function says(words) return told and string.find(told, words) end
  if says('NOPERM') or says('ACL failure') or says("can't run") then
    denied[#denied + 1] = string.lower(command)
  end
end
try('TIME')
try('HSET', KEYS[1], 'field', '1')
try('HGET', KEYS[1], 'field')
try('HMGET', KEYS[1], 'field')
try('SET', KEYS[2], '1')
try('GET', KEYS[2])
try('XADD', KEYS[3], '*', 'field', '1')
try('ZADD', KEYS[4], 1, 'member')
try('ZREMRANGEBYSCORE', KEYS[4], '-inf', 0)
try('ZCARD', KEYS[4])
for _, key in ipairs(KEYS) do try('PEXPIRE', key, 1) end
return denied
