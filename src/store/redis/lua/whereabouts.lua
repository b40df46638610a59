-- Where a uid's connections are. uid. Returns for each: node, number, public name or '', rooms.
local answer, uid = {}, ARGV[6]
local own, socket = session_of(uid)
for _, connection in ipairs(connections_of(uid)) do
  answer[#answer + 1] = connection.node
  answer[#answer + 1] = connection.number
  answer[#answer + 1] = connection.name == own and socket or ''
  answer[#answer + 1] = call('SMEMBERS', key('at', connection.name))
end
return answer
