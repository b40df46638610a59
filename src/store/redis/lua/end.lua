-- Ends the session of a connection, if it is still the uid's. uid, connection, room_expiry
local uid, connection, room_expiry = ARGV[6], ARGV[7], tonumber(ARGV[8])
local name = NODE .. ':' .. connection
call('SREM', key('evicted', NODE), connection)
call('SREM', key('expelled', NODE), connection)
call('SREM', key('ending', NODE), connection .. ' d', connection .. ' r')
call('SREM', key('recheck', NODE), connection)
call('SREM', key('conns', NODE), connection .. '\n' .. uid)
-- Its rooms were left before; should one have been forgotten, it is not for ever.
for _, room in ipairs(call('SMEMBERS', key('at', name))) do depart(room, name, 'd', connection, room_expiry) end
call('UNLINK', key('at', name), key('socket', name))
local session = call('HGET', P .. 'ao:sessions', uid)
if session and string.match(session, '^([^\n]*)\n') == name then
  call('HDEL', P .. 'ao:sessions', uid)
  -- Places that were held for it, and that it neither took nor gave up.
  for _, room in ipairs(call('SMEMBERS', key('holds', uid))) do release(room, uid, room_expiry) end
end
vanish(uid, name, 'gone')
return 0
