-- Tells the node of a uid's session to refuse it. uid
local session = call('HGET', P .. 'ao:sessions', ARGV[6])
local node, number = string.match(session or '', '^(.-):(%d+)\n')
if node then call('PUBLISH', C .. 'node:' .. node, 'expel ' .. number) end
return 0
