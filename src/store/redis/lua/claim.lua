-- Makes a connection the session of a uid. uid as text, uid as JSON, connection, public socket id, the last revocation that was known before the
-- credentials were checked ('': they were not)
-- Returns the connection of this node that is evicted, or '', and the rooms held for the uid; or `again` and the last revocation, if the check missed
-- one of the uid, or there has to be one. Then nothing was changed.
local uid, json, connection, socket = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local late = expired()
if late then return late end
if not is_alive() then return redis.error_reply(LOST) end
local name, sessions, holds = NODE .. ':' .. connection, P .. 'ao:sessions', key('holds', uid)
local checked = tonumber(ARGV[10])
local revoked = call('GET', key('revoked', uid))
local missed = checked and tonumber(revoked or 0) > checked
if missed or not checked and string.sub(call('GET', P .. 'ao:user_auth') or '', 1, 1) == '1' then
  return { 'again', missed and revoked or call('GET', P .. 'ao:revocations') or '0' }
end
call('SREM', key('evicted', NODE), connection)
appear(uid, json, connection)
local answer, earlier = { '' }, call('HGET', sessions, uid)
local old = earlier and string.match(earlier, '^([^\n]*)\n')
if old and old ~= name then
  local node, number = string.match(old, '^(.*):(%d+)$')
  if call('ZSCORE', P .. 'ao:nodes', node) then
    call('SADD', key('evicted', node), number)
    if node == NODE then answer[1] = number else call('PUBLISH', C .. 'node:' .. node, 'evict ' .. number) end
  end
  vanish(uid, old, 'gone')
  -- The places of the earlier session are held, but for those where it is hidden.
  for _, room in ipairs(call('SMEMBERS', key('at', old))) do
    local members = key('members', room)
    local mine = place(call('HGET', members, 'c' .. old))
    if mine and mine.flag == 'v' then
      mine.flag = 'h'
      call('HDEL', members, 'c' .. old)
      call('HSET', members, 'h' .. uid, written(mine))
      reseat(room, 'c' .. old, 'h' .. uid)
      call('SREM', key('at', old), room)
      call('SADD', holds, room)
    end
  end
end
call('HSET', sessions, uid, name .. '\n' .. socket .. '\n' .. json)
for _, room in ipairs(call('SMEMBERS', holds)) do answer[#answer + 1] = room end
return answer
