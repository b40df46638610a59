-- This node's connections as Redis knows them: 1 or 0 for whether it has a session, or was kicked out of one; then connection and uid.
-- Who joined a room is known even where the session was lost.
local answer = {}
for _, entry in ipairs(call('SMEMBERS', key('conns', NODE))) do
  local connection, uid = string.match(entry, '^(%d+)\n(.*)$')
  local session = call('HGET', P .. 'ao:sessions', uid)
  local known = session and string.match(session, '^([^\n]*)\n') == NODE .. ':' .. connection
  if not known then known = call('SISMEMBER', key('evicted', NODE), connection) == 1 end
  answer[#answer + 1] = (known and '1' or '0') .. entry
end
return answer
