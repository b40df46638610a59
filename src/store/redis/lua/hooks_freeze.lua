-- Freezes a batch. endpoint, room, id, body, epoch, n of the first and of the last, how many events of the queue it has, its gap as it was read, the first
-- event's line as it was read
-- Returns the time, or nothing, if another node was faster.
local endpoint, room, id, body, count, gap = ARGV[6], ARGV[7], ARGV[8], ARGV[9], tonumber(ARGV[13]), ARGV[14]
local late = expired()
if late then return late end
local ids, list, gaps = queue('batches', endpoint, room), queue('events', endpoint, room), key('hooks:gap', endpoint)
if call('EXISTS', ids) == 1 or (call('HGET', gaps, room) or '') ~= gap then return nil end
if count > 0 and string.match(call('LINDEX', list, 0) or '', '^[^\n]*') ~= ARGV[15] then return nil end
local less = 0
for from = 0, count - 1, 100 do
  for _, item in ipairs(call('LRANGE', list, from, math.min(from + 99, count - 1))) do less = less + #item + OVERHEAD end
end
if count > 0 then call('LTRIM', list, count, -1) end
call('HDEL', gaps, room)
behead(endpoint, room)
call('HSET', queue('batch', endpoint, id), 'room', room, 'body', body, 'epoch', ARGV[10], 'first', ARGV[11], 'last', ARGV[12], 'attempts', 0, 'since', digits(NOW))
call('RPUSH', ids, id)
call('ZADD', key('hooks:frozen', endpoint), digits(NOW), id)
resize(endpoint, #body + OVERHEAD - less)
return digits(NOW)
