-- This node's batches with numbers below this one need not be known in these rooms any more: none of them will be sent again. number, rooms…
for i = 7, #ARGV do
  local at, field = key('seq', ARGV[i]), 'b:' .. NODE
  local last = string.match(call('HGET', at, field) or '', '^%d+')
  if not last or tonumber(last) < tonumber(ARGV[6]) then
    call('HDEL', at, field)
    call('SREM', key('batches', NODE), ARGV[i])
  end
end
-- A node that has ended in order leaves nothing that others would have to reap.
if not call('ZSCORE', P .. 'ao:nodes', NODE) and call('EXISTS', key('conns', NODE), key('batches', NODE)) == 0 then
  call('SREM', P .. 'ao:dead', NODE)
end
return 0
