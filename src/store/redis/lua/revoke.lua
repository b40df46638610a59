-- Notes that a uid's credentials were revoked, and has its session refused by its node. uid, how long this is kept, in ms (more than a lease, and
-- more than a check of credentials and a claim take together)
-- Returns the node and the connection of the session, if there is one. The node takes it out of the set once it has refused it.
local last, kept = P .. 'ao:revocations', ARGV[7]
local serial = string.format('%d', math.max(NOW, tonumber(call('GET', last) or 0) + 1))
call('SET', last, serial)
call('SET', key('revoked', ARGV[6]), serial, 'PX', kept)
local session = call('HGET', P .. 'ao:sessions', ARGV[6])
local node, number = string.match(session or '', '^(.-):(%d+)\n')
if not node then return {} end
call('SADD', key('expelled', node), number)
call('PEXPIRE', key('expelled', node), kept)
call('PUBLISH', C .. 'node:' .. node, 'expel ' .. number)
return { node, number }
