-- Says what became of a batch; saying it twice changes nothing. endpoint, room, id, the bytes that may wait, d(elivered), a(gain) or p(arked), then: in
-- how many ms and how many attempts there were with this one, or '' if it does not count; or why
local endpoint, room, id, pending, how = ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9]), ARGV[10]
local at, ids, frozen, due = queue('batch', endpoint, id), queue('batches', endpoint, room), key('hooks:frozen', endpoint), key('hooks:due', endpoint)
local held = key('hooks:held', endpoint)
if not call('ZSCORE', frozen, id) then
  -- Another node has settled it, or it was given up. Nobody sends a room's events that has no turn.
  if not call('ZSCORE', due, room) then call('HDEL', held, room) end
  return 0
end
insist()
call('HDEL', held, room)
if how == 'a' then
  if ARGV[12] ~= '' then call('HSET', at, 'attempts', ARGV[12]) end
  call('ZADD', due, digits(NOW + tonumber(ARGV[11])), room)
  return 1
end
call('LREM', ids, 1, id)
call('ZREM', frozen, id)
if how == 'd' then
  forget_batch(endpoint, id)
else
  local batch = call('HMGET', at, 'epoch', 'first', 'last')
  miss(endpoint, room, batch[1], tonumber(batch[2]), tonumber(batch[3]))
  call('HINCRBY', at, 'attempts', 1)
  local serial = digits(call('INCR', P .. 'ao:hooks:parkings'))
  call('HSET', at, 'why', ARGV[11], 'parked', digits(NOW), 'serial', serial)
  call('ZADD', key('hooks:parked', endpoint), serial, id)
  call('SADD', queue('aside', endpoint, room), id)
  call('SADD', key('hooks:asides', endpoint), room)
end
if call('EXISTS', ids, queue('events', endpoint, room)) > 0 or call('HEXISTS', key('hooks:gap', endpoint), room) == 1 then
  call('ZADD', due, digits(NOW), room)
else
  call('ZREM', due, room)
end
if how == 'p' then fold(endpoint, pending) end
return 1
