-- Notes that a uid's credentials were revoked, and has its node refuse its session (`expel`), or look whether it rests on them (`recheck`).
-- uid, how long this is kept, in ms (more than a lease, and more than a check of credentials and a claim take together), which of the two words
-- Returns the node and the connection of the session, if there is one. The node takes it out of the set once it has refused it.
local last, kept = P .. 'ao:revocations', ARGV[7]
local serial = string.format('%d', math.max(NOW, tonumber(call('GET', last) or 0) + 1))
call('SET', last, serial)
call('SET', key('revoked', ARGV[6]), serial, 'PX', kept)
local session = call('HGET', P .. 'ao:sessions', ARGV[6])
local node, number = string.match(session or '', '^(.-):(%d+)\n')
if not node then return {} end
local told = key(ARGV[8] == 'expel' and 'expelled' or 'recheck', node)
call('SADD', told, number)
call('PEXPIRE', told, kept)
call('PUBLISH', C .. 'node:' .. node, ARGV[8] .. ' ' .. number)
return { node, number }
