-- One target, but one request in twenty is for something that is not there: 404.
local number, found, missing = 0

function init(args)
  common(args)
  found = wrk.format("GET", wrk.path)
  missing = wrk.format("GET", "/missing/" .. nonce)
end

function request()
  number = number + 1
  if number % 20 == 0 then return missing end
  return found
end
