-- Tells the node of a uid's session to refuse it. uid
local session = call('HGET', P .. 'ao:sessions', ARGV[6])
local node, number = string.match(session or '', '^(.-):(%d+)\n')
-- How many heard it; -1: it has no session.
return node and call('PUBLISH', C .. 'node:' .. node, 'expel ' .. number) or -1
