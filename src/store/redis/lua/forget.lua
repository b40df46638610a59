-- This node's batches with numbers below this one need not be known in these rooms any more: none of them will be sent again. number, rooms…
for i = 7, #ARGV do
  local at, field = key('seq', ARGV[i]), 'b:' .. NODE
  local last = string.match(call('HGET', at, field) or '', '^%d+')
  if not last or tonumber(last) < tonumber(ARGV[6]) then
    call('HDEL', at, field)
    call('SREM', key('batches', NODE), ARGV[i])
  end
end
return 0
