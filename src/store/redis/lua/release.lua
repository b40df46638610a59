-- Gives up the place held for a uid, unless another connection has its session by now: then it is that one's. room, uid, connection, room_expiry
local session = call('HGET', P .. 'ao:sessions', ARGV[7])
if session and string.match(session, '^([^\n]*)\n') ~= NODE .. ':' .. ARGV[8] then return {} end
return told(release(ARGV[6], ARGV[7], tonumber(ARGV[9])))
