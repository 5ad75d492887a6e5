-- needs: tell
-- KEYS: document, news. ARGV: now, name, content.
redis.call('SET', KEYS[1], ARGV[3])
tell(KEYS[2], 'document', ARGV[2])
return 1
