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
