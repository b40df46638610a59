-- Takes a connection out of a room. room, connection, l(eft) or d (gone), room_expiry
-- Returns how many connections of its uid are left there, hidden ones too (nil: it was not there); then what was told.
local name = NODE .. ':' .. ARGV[7]
call('SREM', key('at', name), ARGV[6])
local s, first, json, seen, uid, left = depart(ARGV[6], name, ARGV[8], ARGV[7], tonumber(ARGV[9]))
local answer = told(s, first, json, seen)
table.insert(answer, 1, uid and count_of(left or present(ARGV[6], uid, name)) or false)
return answer
