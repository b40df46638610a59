-- Where the room's order stands, and the publications behind `n`, as far as they are kept. room, n (-1: none are wanted).
local room, n = ARGV[6], tonumber(ARGV[7])
local s = seq(room)
if s.n == 0 and call('EXISTS', key('members', room)) == 0 then unused(room, 0) end
local answer, found = { s.epoch, s.base, string.format('%d', s.n) }, {}
if n >= 0 and s.n > n then
  local replay, index = key('replay', room), -1
  while true do
    local text = call('LINDEX', replay, index)
    if not text then break end
    local first, count = string.match(text, '^%d+ %d+ (%d+) (%d+) ')
    if tonumber(first) + tonumber(count) - 1 <= n then break end
    found[#found + 1] = text
    index = index - 1
  end
end
for i = #found, 1, -1 do answer[#answer + 1] = found[i] end
return answer
