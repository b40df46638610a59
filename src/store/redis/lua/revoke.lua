-- Notes that a uid's credentials were revoked, and has nodes refuse its connections (`expel`), or have them look whether they rest on these (`recheck`).
-- uid, how long this is kept, in ms (more than a lease, and more than a check of credentials and a claim take together), which of the two words
-- Returns node and number of each of its connections. A node takes it out of the set once it has told it.
local uid, kept, word = ARGV[6], ARGV[7], ARGV[8]
local last = P .. 'ao:revocations'
local serial = string.format('%d', math.max(NOW, tonumber(call('GET', last) or 0) + 1))
call('SET', last, serial)
call('SET', key('revoked', uid), serial, 'PX', kept)
local answer, own = {}, session_of(uid)
local function warn(node, number)
  local told = key(word == 'expel' and 'expelled' or 'recheck', node)
  call('SADD', told, number)
  call('PEXPIRE', told, kept)
  call('PUBLISH', C .. 'node:' .. node, word .. ' ' .. number)
  answer[#answer + 1] = node
  answer[#answer + 1] = number
end
for _, connection in ipairs(connections_of(uid)) do
  if connection.name ~= own then warn(connection.node, connection.number) end
end
-- The session may be one that a node of a build made which knows of no `ao:online`.
local node, number = string.match(own or '', '^(.*):(%d+)$')
if node then warn(node, number) end
return answer
