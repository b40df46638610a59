-- Switches user authentication on all nodes. 1 or 0, the serial number of the last switching that this node knows of. Returns it with its own.
local last = tonumber(call('GET', P .. 'ao:user_auth_serial') or 0)
local switch = ARGV[6] .. ' ' .. string.format('%d', math.max(NOW, last + 1, tonumber(ARGV[7]) + 1))
set_user_auth(switch)
call('PUBLISH', C .. 'all', 'auth ' .. ARGV[6]) -- for a build that knew of no serial numbers
call('PUBLISH', C .. 'all', 'switch ' .. switch)
return switch
