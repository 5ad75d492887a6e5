-- needs: counting
-- KEYS: counts of a day, state of all counts, answers to roll calls. ARGV: now, program, number of this step, number of
-- its last step that was answered, how long after a loss nothing is granted, life of the counts, what they are of, the
-- program's share, how long it waits itself, number of its roll call or 0, and the replicas that must have answered that
-- one, which ends both waits; then for each request its change and its limits. Amounts are written "unit=amount".
-- Gives the program's share and what is left of the wait; then for each request what became of it, and the count before.
local most = 9000000000000000
local function read(text)
  local amounts = {}
  for unit, amount in string.gmatch(text or '', '(%S+)=(-?%d+)') do amounts[unit] = tonumber(amount) end
  return amounts
end
local function write(amounts)
  local words = {}
  for unit, amount in pairs(amounts) do words[#words + 1] = unit .. '=' .. whole(amount) end
  return table.concat(words, ' ')
end
local now, step = now_of(ARGV[1]), tonumber(ARGV[3])
local share_field, step_field = 'share ' .. ARGV[2], 'step ' .. ARGV[2]
local kept = redis.call('HMGET', KEYS[1], 'total', share_field, step_field)
local last = tonumber(kept[3] or 0)
if step <= last then return {} end
local left = counting_since(KEYS[2], now, false) + tonumber(ARGV[5]) - now
if left <= 0 and last < tonumber(ARGV[4]) then left = counting_since(KEYS[2], now, true) + tonumber(ARGV[5]) - now end
left = math.max(left, tonumber(ARGV[9]))
if left > 0 and is_complete(KEYS[2], KEYS[3], tonumber(ARGV[10]), ARGV[11]) then left = 0 end
local total, share = read(kept[1]), read(ARGV[8])
for unit, amount in pairs(read(kept[2])) do total[unit] = math.max(0, (total[unit] or 0) - amount) end
for unit, amount in pairs(share) do total[unit] = (total[unit] or 0) + amount end
local told = {'', whole(math.max(0, left))}
for place = 12, #ARGV, 2 do
  local change, limits, outcome = read(ARGV[place]), read(ARGV[place + 1]), 'granted'
  for unit, limit in pairs(limits) do
    if left > 0 then outcome = 'waits'
    elseif (total[unit] or 0) + (change[unit] or 0) > limit and outcome == 'granted' then outcome = 'refused' end
  end
  told[#told + 1], told[#told + 2] = outcome, write(total)
  if outcome == 'granted' then
    for unit, amount in pairs(change) do
      local before = share[unit] or 0
      share[unit] = math.min(most, math.max(0, before + amount))
      total[unit] = (total[unit] or 0) + share[unit] - before
    end
  end
end
told[1] = write(share)
redis.call('HSET', KEYS[1], 'total', write(total), share_field, told[1], step_field, ARGV[3], 'of', ARGV[7])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
return told
