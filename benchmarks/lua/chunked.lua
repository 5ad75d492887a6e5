-- POST with a chunked body of 512 bytes in two chunks; the answer is chunked too.
function init(args)
  common(args)
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Transfer-Encoding"] = "chunked"
  local head = wrk.format("POST", wrk.path)
  local chunk = "100\r\n" .. string.rep("x", 256) .. "\r\n"
  text = head .. chunk .. chunk .. "0\r\n\r\n"
end

function request() return text end
