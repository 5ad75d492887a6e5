local function tell(stream, kind, name)
  redis.call('XADD', stream, 'MAXLEN', '~', 10000, '*', 'kind', kind, 'name', name)
end
