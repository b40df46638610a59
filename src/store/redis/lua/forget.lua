-- This node does not follow these rooms any more: its last batches there need not be known. number, rooms…
-- A batch of that number or above may still be sent again: the room is followed again, or was told something meanwhile.
for i = 7, #ARGV do
  local batch = string.match(call('HGET', key('seq', ARGV[i]), 'b:' .. NODE) or '', '^%d+')
  if batch and tonumber(batch) < tonumber(ARGV[6]) then call('HDEL', key('seq', ARGV[i]), 'b:' .. NODE) end
end
return 0
