-- Takes what is to be sent to an endpoint, of some queues whose turn it is. endpoint, most queues, the lease in ms, most events of a batch, bytes that end
-- one
-- Returns the ms until the next turn ('': there is none), and of each queue: the room, and its frozen batch (id, body, attempts, since); or, if there
-- is none, what it is to be made of: '', its gap, and events. Those are frozen by another script.
local endpoint, most, lease, events, bytes = ARGV[6], ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local due, held, answer = key('hooks:due', endpoint), key('hooks:held', endpoint), { '' }
insist()

local function waiting(room)
  local found, total, list = {}, 0, queue('events', endpoint, room)
  while #found < events and total <= bytes do
    local step = math.min(events - #found, 20)
    local items = call('LRANGE', list, #found, #found + step - 1)
    for _, item in ipairs(items) do
      total = total + #item
      if total > bytes and #found > 0 then return found end
      found[#found + 1] = item
    end
    if #items < step then break end
  end
  return found
end

for _, room in ipairs(tonumber(most) > 0 and call('ZRANGEBYSCORE', due, '-inf', NOW, 'LIMIT', 0, most) or {}) do
  local ids = queue('batches', endpoint, room)
  local id = call('LINDEX', ids, 0)
  while id and call('HEXISTS', queue('batch', endpoint, id), 'body') == 0 do
    call('LPOP', ids)
    id = call('LINDEX', ids, 0)
  end
  local gap = call('HGET', key('hooks:gap', endpoint), room) or ''
  local items = id and {} or waiting(room)
  if id then
    local batch = call('HMGET', queue('batch', endpoint, id), 'body', 'attempts', 'since')
    answer[#answer + 1] = { room, id, batch[1], batch[2] or '0', batch[3] or digits(NOW) }
  elseif gap ~= '' or #items > 0 then
    answer[#answer + 1] = { room, '', gap, unpack(items) }
  end
  if id or gap ~= '' or #items > 0 then
    local till = digits(NOW + lease)
    call('ZADD', due, till, room)
    call('HSET', held, room, NODE .. '\n' .. till)
  else
    call('ZREM', due, room)
    call('HDEL', held, room)
  end
end
local next = call('ZRANGE', due, 0, 0, 'WITHSCORES')
if next[2] then answer[1] = digits(math.max(tonumber(next[2]) - NOW, 0)) end
return answer
