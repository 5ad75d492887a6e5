"""What the server does in one step about what is shared, such as access tokens, and who may ask Amazon for it; see
`redis_scripts` and `leases`. What is shared is called a token here, whatever it is.

A lease is a hash: `fence`, the highest that was given; `holder` and `until`, of the lease that is out; `token`,
`token_fence` and `expires`, of what was published last; and of the last attempt, if it failed, `failed`, `failed_by`,
`failed_for` (what was sent), and `again` and `sooner`: when somebody may send the same.
"""

from __future__ import annotations

from typing import Final

from proxy.tokens.redis_scripts import NOW, TELL

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
