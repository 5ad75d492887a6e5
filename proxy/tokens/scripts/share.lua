-- needs: now
-- KEYS: stream. ARGV: now, how long it is of interest, content.
redis.call('XADD', KEYS[1], 'MAXLEN', '~', 10000, '*', 'content', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
