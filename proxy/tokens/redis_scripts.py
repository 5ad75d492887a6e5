"""What the server does in one step, as scripts of Lua. What they are for is said by whoever runs them.

Each can be run twice in a row without doing more than once, since a connection may die between its doing and its
answer. The first argument of each, `now`, is 0 for the server's own clock, in milliseconds since the epoch, so that the
clocks of replicas do not matter; tests give another. Counters never fall behind that clock, so that a server which lost
its data goes on above what anybody has seen.
"""

from __future__ import annotations

from typing import Final

NOW: Final = """
local function now_of(given)
  if tonumber(given) > 0 then return tonumber(given) end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function whole(number) return string.format('%.0f', number) end
"""

TELL: Final = """
local function tell(stream, kind, name)
  redis.call('XADD', stream, 'MAXLEN', '~', 10000, '*', 'kind', kind, 'name', name)
end
"""

# --- entries and documents ------------------------------------------------------------------------------------

WRITE_ENTRY: Final = (
    NOW
    + TELL
    + """
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
"""
)

WRITE_DOCUMENT: Final = (
    TELL
    + """
-- KEYS: document, news. ARGV: now, name, content.
redis.call('SET', KEYS[1], ARGV[3])
tell(KEYS[2], 'document', ARGV[2])
return 1
"""
)

RESEAL: Final = """
-- KEYS: entry or document. ARGV: now, its content, the same under another key, whether it is an entry. Gives whether it
-- was still that.
if ARGV[4] == '1' then
  if redis.call('HGET', KEYS[1], 'content') ~= ARGV[2] then return 0 end
  redis.call('HSET', KEYS[1], 'content', ARGV[3])
else
  if redis.call('GET', KEYS[1]) ~= ARGV[2] then return 0 end
  redis.call('SET', KEYS[1], ARGV[3])
end
return 1
"""

PERMITTED: Final = """
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
"""

# --- the fleet ------------------------------------------------------------------------------------------------

BEAT: Final = (
    NOW
    + """
-- KEYS: replicas, check. ARGV: now, replica, how long one counts. Gives how many there are, and the check: it
-- is another one, or none, if the server lost its data.
local now = now_of(ARGV[1])
redis.call('ZADD', KEYS[1], now, ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[3]))
redis.call('PEXPIRE', KEYS[1], 60000)
return {redis.call('ZCARD', KEYS[1]), redis.call('GET', KEYS[2])}
"""
)
