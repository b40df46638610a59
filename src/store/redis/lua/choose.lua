-- Whether this node is the one that does what one does for all. for how many ms it is, from now on
local at = P .. 'ao:retention'
local chosen = call('GET', at)
if chosen and chosen ~= NODE then
  local lease = call('ZSCORE', P .. 'ao:nodes', chosen)
  if lease and tonumber(lease) >= NOW then return 0 end
end
call('SET', at, NODE, 'PX', ARGV[6])
return 1
