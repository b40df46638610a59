-- Whether this node is the one that applies retention. for how many ms it is, from now on
local at = P .. 'ao:retention'
local chosen = call('GET', at)
if chosen and chosen ~= NODE then return 0 end
call('SET', at, NODE, 'PX', ARGV[6])
return 1
