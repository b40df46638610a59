-- Takes some of a dead node's sessions out, and tells their rooms. node, most rooms, room_expiry. Returns how many sessions are left; then, of each
-- connection with a public name that never claimed one, this, the uid, how many rooms it was in, and each of them with how many of the uid are left there.
local dead, most, room_expiry = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
local nodes = P .. 'ao:nodes'
local lease = call('ZSCORE', nodes, dead)
if lease and tonumber(lease) > NOW then return { 0 } end
call('ZREM', nodes, dead)
call('SADD', P .. 'ao:dead', dead)
if free_queues(dead) > 0 and hook then news = 1 end
local conns, sessions, rooms, lost = key('conns', dead), P .. 'ao:sessions', 0, {}
while rooms < most do
  local entry = call('SPOP', conns)
  if not entry then break end
  rooms = rooms + 1
  local connection, uid = string.match(entry, '^(%d+)\n(.*)$')
  local name = dead .. ':' .. connection
  local socket, at = call('GET', key('socket', name)), call('SMEMBERS', key('at', name))
  if socket then
    for _, word in ipairs({ socket, uid, #at }) do lost[#lost + 1] = word end
  end
  for _, room in ipairs(at) do
    rooms = rooms + 1
    local _, _, _, _, was, left = depart(room, name, 'd', '-', room_expiry)
    if socket then
      lost[#lost + 1] = room
      lost[#lost + 1] = was and count_of(left or present(room, uid, name)) or 0
    end
  end
  call('UNLINK', key('at', name), key('socket', name))
  local session = call('HGET', sessions, uid)
  if session and string.match(session, '^([^\n]*)\n') == name then
    call('HDEL', sessions, uid)
    for _, room in ipairs(call('SMEMBERS', key('holds', uid))) do release(room, uid, room_expiry) end
  end
  vanish(uid, name, 'lost')
end
while rooms < most do
  local room = call('SPOP', key('batches', dead))
  if not room then break end
  rooms = rooms + 1
  call('HDEL', key('seq', room), 'b:' .. dead)
end
local left = call('SCARD', conns) + call('SCARD', key('batches', dead))
if left == 0 then
  call('SREM', P .. 'ao:dead', dead)
  call('HDEL', P .. 'ao:stats', dead)
  redis.pcall('HDEL', P .. 'ao:figures', dead)
  call('UNLINK', key('evicted', dead), key('expelled', dead), key('ending', dead), key('recheck', dead))
end
table.insert(lost, 1, left)
return lost
