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


# --- What the server does in one step for `redis_fleet`; see `redis_scripts` -----------------------------

SHARE: Final = (
    NOW
    + """
-- KEYS: stream. ARGV: now, how long it is of interest, content.
redis.call('XADD', KEYS[1], 'MAXLEN', '~', 10000, '*', 'content', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
)

SETTLE: Final = (
    NOW
    + """
-- KEYS: bucket. ARGV: now, capacity, milliseconds in which one comes back, how many were spent. Gives how many are
-- left. No debt is larger than what a full bucket pays.
local now, capacity, interval = now_of(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = kept[1] and tonumber(kept[1]) + math.max(0, now - tonumber(kept[2])) / interval or capacity
level = math.max(-capacity, math.min(capacity, level) - tonumber(ARGV[4]))
redis.call('HSET', KEYS[1], 'level', string.format('%.6f', level), 'at', whole(now))
redis.call('PEXPIRE', KEYS[1], whole(math.ceil(2 * capacity * interval)))
return string.format('%.6f', level)
"""
)


# --- What the server does in one step about what is shared, such as access tokens, and who may ask -------

_LEASE: Final = (
    NOW
    + TELL
    + """
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
"""
)

NEWEST: Final = (
    _LEASE
    + """
-- KEYS: lease. ARGV: now, the fence of the token that is known. Gives a newer token: its fence, itself, its life.
local now = now_of(ARGV[1])
local kept = redis.call('HMGET', KEYS[1], 'token_fence', 'token', 'expires')
if kept[2] and tonumber(kept[1]) > tonumber(ARGV[2]) and tonumber(kept[3]) > now then
  return {kept[1], kept[2], whole(tonumber(kept[3]) - now)}
end
return {}
"""
)

ACQUIRE: Final = (
    _LEASE
    + """
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
"""
)

RENEW: Final = (
    _LEASE
    + """
-- KEYS: lease. ARGV: now, holder, fence, life of the lease. Gives whether it is still the holder's.
if not is_held(ARGV[2], ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], 'until', whole(now_of(ARGV[1]) + tonumber(ARGV[4])))
return 1
"""
)

PUBLISH: Final = (
    _LEASE
    + """
-- KEYS: lease, news. ARGV: now, holder, fence, token, its life, the kind of news, of what. Gives whether it was taken:
-- not where somebody else got the lease since.
if redis.call('HGET', KEYS[1], 'token_fence') == ARGV[3] then return 1 end
if not is_held(ARGV[2], ARGV[3]) then return 0 end
keep(tonumber(ARGV[3]), ARGV[4], now_of(ARGV[1]) + tonumber(ARGV[5]))
tell(KEYS[2], ARGV[6], ARGV[7])
return 1
"""
)

FAIL: Final = (
    _LEASE
    + """
-- KEYS: lease. ARGV: now, holder, fence, what was sent, life of the pause, and where requests wait, how it failed.
-- Gives whether it was noted.
if not is_held(ARGV[2], ARGV[3]) then return 0 end
local now = now_of(ARGV[1])
redis.call('HSET', KEYS[1], 'holder', '', 'until', '0', 'failed', ARGV[7], 'failed_by', ARGV[2], 'failed_for', ARGV[4],
  'again', whole(now + tonumber(ARGV[5])), 'sooner', whole(now + tonumber(ARGV[6])))
return 1
"""
)

RELEASE: Final = (
    _LEASE
    + """
-- KEYS: lease. ARGV: now, holder, fence.
if not is_held(ARGV[2], ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], 'holder', '', 'until', '0')
return 1
"""
)

FORGET: Final = """
-- KEYS: lease. ARGV: now. Its fences go on. Gives whether there was something.
if not redis.call('HGET', KEYS[1], 'token') then return 0 end
redis.call('HSET', KEYS[1], 'token', '', 'expires', '0')
return 1
"""

SEIZE: Final = (
    _LEASE
    + """
-- KEYS: lease, news. ARGV: now, token, its life, the kind of news, of what. A token that a person's consent brought is
-- in force at once, and whoever is minting meanwhile is fenced off. Gives its fence.
local now = now_of(ARGV[1])
local kept = redis.call('HMGET', KEYS[1], 'token', 'token_fence')
if kept[1] == ARGV[2] then return kept[2] end
local fence = next_fence(now)
keep(fence, ARGV[2], now + tonumber(ARGV[3]))
redis.call('PEXPIRE', KEYS[1], 172800000)
tell(KEYS[2], ARGV[4], ARGV[5])
return whole(fence)
"""
)
