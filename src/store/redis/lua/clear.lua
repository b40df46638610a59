-- Forgets a room's messages. room
local late = expired()
if late then return late end
local s = seq(ARGV[6])
forget_log(s)
local _, place = emit(s, 1, 'c-,0,0\n', 'cleared', '')
if hook then hook.tell(ARGV[6], 'room.cleared', '', '') end
if call('EXISTS', key('members', ARGV[6])) == 0 then unused(ARGV[6], 0) end
return { s.epoch, place }
