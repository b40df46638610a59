-- Switches user authentication on all nodes. 1 or 0, the serial number of the last switching that this node knows of. Returns it with its own.
local at = P .. 'ao:user_auth'
local last = tonumber(string.match(call('GET', at) or '', '^[01] (%d+)$') or 0)
local switch = ARGV[6] .. ' ' .. string.format('%d', math.max(NOW, last + 1, tonumber(ARGV[7]) + 1))
call('SET', at, switch)
call('PUBLISH', C .. 'all', 'auth ' .. switch)
return switch
