-- Users who are online, by uid. The bounds of their uids, as ZRANGEBYLEX has them for `ao:online`, at most
-- Returns for each: the uid as JSON, or as text and without quotes where that is not known, which of both (j or t), the public name of its session
-- ('': it has none), its nodes, and its rooms.
local from, to, most, answer = ARGV[6], ARGV[7], tonumber(ARGV[8]), {}
while #answer < 5 * most do
  local entry = call('ZRANGEBYLEX', ONLINE, from, to, 'LIMIT', 0, 1)[1]
  if not entry then break end
  local uid = string.match(entry, '^[^\n]*')
  from = '(' .. uid .. '\n\255'
  local connections, nodes, rooms, seen = connections_of(uid), {}, {}, {}
  for _, connection in ipairs(connections) do
    if not seen[connection.node] then
      seen[connection.node] = true
      nodes[#nodes + 1] = connection.node
    end
    for _, room in ipairs(call('SMEMBERS', key('at', connection.name))) do
      if not seen['\n' .. room] then
        seen['\n' .. room] = true
        rooms[#rooms + 1] = room
      end
    end
  end
  if #connections > 0 then
    local _, socket, json = session_of(uid)
    answer[#answer + 1] = json or uid
    answer[#answer + 1] = json and 'j' or 't'
    answer[#answer + 1] = socket or ''
    answer[#answer + 1] = nodes
    answer[#answer + 1] = rooms
  end
end
return answer
