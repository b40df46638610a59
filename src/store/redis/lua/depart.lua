-- Takes a connection out of a room. room, connection, l(eft) or d (gone), room_expiry
local name = NODE .. ':' .. ARGV[7]
call('SREM', key('at', name), ARGV[6])
return told(depart(ARGV[6], name, ARGV[8], ARGV[7], tonumber(ARGV[9])))
