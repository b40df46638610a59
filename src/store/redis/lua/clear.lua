-- Forgets a room's messages. room
local late = expired()
if late then return late end
local s = seq(ARGV[6])
forget_log(s)
local first = emit(s, 1, 'c-,0,0\n')
call('HSET', s.at, 'cleared', first)
if call('EXISTS', key('members', ARGV[6])) == 0 then unused(ARGV[6], 0) end
return { s.epoch, string.format('%d', first) }
