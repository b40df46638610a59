-- Has batches sent again that were put aside. endpoint, ids…; returns how many there were.
local endpoint, replayed = ARGV[6], 0
for i = #ARGV, 7, -1 do
  local id = ARGV[i]
  if call('ZREM', key('hooks:parked', endpoint), id) == 1 then
    local at = queue('batch', endpoint, id)
    local room = call('HGET', at, 'room')
    if room then
      call('HDEL', at, 'why', 'parked')
      call('HSET', at, 'attempts', 0, 'since', digits(NOW))
      call('LPUSH', queue('batches', endpoint, room), id)
      call('ZADD', key('hooks:frozen', endpoint), digits(NOW), id)
      call('ZADD', key('hooks:due', endpoint), 'NX', digits(NOW), room)
      replayed = replayed + 1
    end
  end
end
return replayed
