-- Every target is one that was never asked for before.
local number, before, after = 0

function init(args)
  common(args)
  before, after = cut("GET", "/sd/campaigns/@@?extended=true")
end

function request()
  number = number + 1
  return before .. nonce .. number .. after
end
