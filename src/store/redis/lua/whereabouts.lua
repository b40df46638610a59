-- Where a uid's connections are. uid. Returns for each: node, number, public name or '', rooms.
local answer, uid = {}, ARGV[6]
local own, socket = session_of(uid)
for _, connection in ipairs(connections_of(uid)) do
  local name, rooms = connection.name, call('SMEMBERS', key('at', connection.name))
  answer[#answer + 1] = connection.node
  answer[#answer + 1] = connection.number
  answer[#answer + 1] = name == own and socket or #rooms > 0 and call('GET', key('socket', name)) or ''
  answer[#answer + 1] = rooms
end
return answer
