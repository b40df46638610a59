-- Ends the room's log if its time is over, and deletes some of what was trimmed. room
local room, expiring = ARGV[6], P .. 'ao:expiring'
-- Should anything here fail, others get their turn before it is tried again.
call('ZADD', expiring, NOW + 60000, room)
local s = seq(room)
local more = go_on_deleting(s)
if not lapse(s) then
  if more then
    call('ZADD', expiring, NOW, room)
  elseif s.due > 0 then call('ZADD', expiring, s.due, room) else call('ZREM', expiring, room) end
  if call('EXISTS', key('members', room)) == 0 and s.n == 0 then unused(room, 0) end
end
return 0
