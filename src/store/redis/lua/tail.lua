-- Where the room's order stands, and the publications behind `n`, as far as they are kept. room, n (-1: none are wanted).
local room, n = ARGV[6], tonumber(ARGV[7])
local s = seq(room)
if s.n == 0 and call('EXISTS', key('members', room)) == 0 then unused(room, 0) end
local answer, found = { s.epoch, string.format('%d', s.n) }, {}
if n >= 0 and s.n > n then
  local replay, last, more = key('replay', room), -1, true
  while more do
    local texts = call('LRANGE', replay, last - 63, last)
    for i = #texts, 1, -1 do
      local first, count = string.match(texts[i], '^%d+ %d+ (%d+) (%d+) ')
      more = first and tonumber(first) + tonumber(count) - 1 > n
      if not more then break end
      found[#found + 1] = texts[i]
    end
    more, last = more and #texts == 64, last - 64
  end
end
for i = #found, 1, -1 do answer[#answer + 1] = found[i] end
return answer
