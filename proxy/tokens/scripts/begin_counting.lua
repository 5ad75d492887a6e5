-- needs: counting
-- KEYS: state of all counts. ARGV: now. Gives since when this server counts without having lost anything.
return whole(counting_since(KEYS[1], now_of(ARGV[1]), false))
