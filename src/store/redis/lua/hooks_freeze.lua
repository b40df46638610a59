-- Freezes a batch. endpoint, room, id, body ('': there is none, the events can't be read), epoch, n of the first and of the last, how many events of the
-- queue it has, its gap and a digest of those events as they were read: each event's SHA-1 with the digest of those before it in front; and how many
-- of them can't be read
-- Returns the time; nothing, if another node was faster; or '', if they are others by now, or there is no batch, and the queue has its turn again.
local endpoint, room, id, body, count, gap = ARGV[6], ARGV[7], ARGV[8], ARGV[9], tonumber(ARGV[13]), ARGV[14]
local late = expired()
if late then return late end
local ids, list, gaps = queue('batches', endpoint, room), queue('events', endpoint, room), key('hooks:gap', endpoint)
if call('EXISTS', ids) == 1 then return nil end
local less, digest = 0, ''
for from = 0, count - 1, 100 do
  for _, item in ipairs(call('LRANGE', list, from, math.min(from + 99, count - 1))) do
    less, digest = less + #item + OVERHEAD, redis.sha1hex(digest .. item)
  end
end
local is_same = (call('HGET', gaps, room) or '') == gap and digest == ARGV[15]
insist()
if is_same then
  if count > 0 then call('LTRIM', list, count, -1) end
  resize(endpoint, -less)
  give_up(endpoint, tonumber(ARGV[16]))
  behead(endpoint, room)
end
if not is_same or body == '' then
  call('ZADD', key('hooks:due', endpoint), 'XX', digits(NOW), room)
  return ''
end
close_gap(endpoint, room)
call('HSET', queue('batch', endpoint, id), 'room', room, 'body', body, 'epoch', ARGV[10], 'first', ARGV[11], 'last', ARGV[12], 'attempts', 0, 'since', digits(NOW))
call('RPUSH', ids, id)
call('ZADD', key('hooks:frozen', endpoint), digits(NOW), id)
resize(endpoint, #body + OVERHEAD)
return digits(NOW)
