-- What waits for an endpoint: bytes, how many batches are parked, when the oldest thing happened that waits ('': nothing does), and how many events and
-- batches were given up so far. endpoint
local endpoint, oldest = ARGV[6], nil
local room = call('ZRANGE', key('hooks:oldest', endpoint), 0, 0)[1]
local item = room and call('LINDEX', queue('events', endpoint, room), 0)
if item then
  local _, _, ms = head_of(item)
  oldest = ms
end
local frozen = call('ZRANGE', key('hooks:frozen', endpoint), 0, 0, 'WITHSCORES')[2]
if frozen then oldest = math.min(oldest or tonumber(frozen), tonumber(frozen)) end
local bytes, parked, dropped = call('GET', key('hooks:bytes', endpoint)), call('ZCARD', key('hooks:parked', endpoint)), call('GET', key('hooks:dropped', endpoint))
return { bytes or '0', parked, oldest and digits(oldest) or '', dropped or '0' }
