-- Something in a room was erased. What is kept for nodes that were cut off goes where it may hold something of it: they take it for a loss then.
-- room, the uid as JSON, and as it may stand for it as a number
local room = ARGV[6]
local late = expired()
if late then return late end
local replay = key('replay', room)
if call('EXISTS', replay) == 1 then
  for _, text in ipairs(call('LRANGE', replay, 0, -1)) do
    if string.find(text, ARGV[7], 1, true) or string.find(text, ARGV[8], 1, true) then
      call('UNLINK', replay)
      break
    end
  end
end
return 0
