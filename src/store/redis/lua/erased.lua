-- Something in a room was erased: what nodes have read of its log is out of date. What is kept for nodes that were cut off goes where it may hold
-- something of it: they take it for a loss then. room, 1 if anything in the log was erased, the uid as JSON
local room = ARGV[6]
local late = expired()
if late then return late end
local replay = key('replay', room)
if call('EXISTS', replay) == 1 then
  for _, text in ipairs(call('LRANGE', replay, 0, -1)) do
    if string.find(text, ARGV[8], 1, true) or string.find(text, ARGV[9], 1, true) then
      call('UNLINK', replay)
      break
    end
  end
end
if ARGV[7] == '1' then
  local s = seq(room)
  emit(s, 1, 'q-,0,0,v\n', 'recalled', '')
end
return 0
