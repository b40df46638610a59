-- Sets when the room's log ends. room, in how many ms
local room = ARGV[6]
local late = expired()
if late then return late end
local s, due = seq(room), NOW + tonumber(ARGV[7])
lapse(s) -- what was over before it was put off is not brought back
call('HSET', s.at, 'due', due)
call('HSET', key('log', room), 'due', due)
-- Where nodes look for rooms whose time is over. What counts is what the room itself says.
call('ZADD', P .. 'ao:expiring', go_on_deleting(s) and NOW or due, room)
if call('EXISTS', key('members', room)) == 0 and s.n == 0 then unused(room, 0) end
return 0
