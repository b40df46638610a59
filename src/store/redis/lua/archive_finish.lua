-- Has a room's order go on behind a place, and its log end, unless it ends already. room, the place, when it ends in ms since 1970 or ''. What its updates
-- take is counted anew.
local room, at, n, due = ARGV[6], key('seq', ARGV[6]), tonumber(ARGV[7]), ARGV[8]
if tonumber(call('HGET', at, 'n') or 0) < n then call('HSET', at, 'n', string.format('%d', n)) end
call('HDEL', at, 'u')
if due ~= '' and not bounds(room).due then
  call('HSET', at, 'due', due)
  call('HSET', key('log', room), 'due', due)
  call('ZADD', P .. 'ao:expiring', due, room)
end
return 1
