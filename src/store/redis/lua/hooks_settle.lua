-- Says what became of a batch. endpoint, room, id, d(elivered), a(gain) or p(arked), then: in how many ms and 1 if the attempt counts; or why
local endpoint, room, id, how = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local at, ids, frozen, due = queue('batch', endpoint, id), queue('batches', endpoint, room), key('hooks:frozen', endpoint), key('hooks:due', endpoint)
if not call('ZSCORE', frozen, id) then return 0 end -- another node has settled it
if how == 'a' then
  if ARGV[11] == '1' then call('HINCRBY', at, 'attempts', 1) end
  call('ZADD', due, digits(NOW + tonumber(ARGV[10])), room)
  return 1
end
call('LREM', ids, 1, id)
call('ZREM', frozen, id)
if how == 'd' then
  resize(endpoint, -forget_batch(endpoint, id))
else
  local batch = call('HMGET', at, 'epoch', 'first', 'last')
  miss(endpoint, room, batch[1], tonumber(batch[2]), tonumber(batch[3]))
  call('HINCRBY', at, 'attempts', 1)
  local serial = digits(call('INCR', P .. 'ao:hooks:parkings'))
  call('HSET', at, 'why', ARGV[10], 'parked', digits(NOW), 'serial', serial)
  call('ZADD', key('hooks:parked', endpoint), serial, id)
end
if call('EXISTS', ids, queue('events', endpoint, room)) > 0 or call('HEXISTS', key('hooks:gap', endpoint), room) == 1 then
  call('ZADD', due, digits(NOW), room)
else
  call('ZREM', due, room)
end
return 1
