-- Has a node asked something. the node, the number of the question, the question
-- Returns 0 where no node of this name is alive, 1 where it hears nothing, 2 where it was asked.
local late = expired()
if late then return late end
local lease = call('ZSCORE', P .. 'ao:nodes', ARGV[6])
if not lease or tonumber(lease) <= NOW then return 0 end
local heard = call('PUBLISH', C .. 'asked:' .. ARGV[6], 'ask ' .. ARGV[7] .. ' ' .. NODE .. '\n' .. ARGV[8])
return heard > 0 and 2 or 1
