-- The queues of webhooks, by endpoint and room. Keys, in which `E` is the endpoint's name:
-- `ao:hooks:events:E:{room}` list of `epoch n ms kind bytes\n`, the uid that it is about (so many bytes), and its fields; `ao:hooks:due:E` zset of rooms by
-- when their turn comes; `ao:hooks:oldest:E` zset of rooms by n of their first event; `ao:hooks:gap:E` hash of `epoch from to` by room;
-- `ao:hooks:batches:E:{room}` list of ids of frozen batches, `ao:hooks:batch:E:{id}` hash of one; `ao:hooks:frozen:E` and `ao:hooks:parked:E` zsets of
-- ids: by time of those that are to be sent, by a serial number of those that were put aside; `ao:hooks:bytes:E` number.
local OVERHEAD = 100

local function digits(number) return string.format('%d', number) end

local function queue(kind, endpoint, room) return key('hooks:' .. kind, endpoint .. ':' .. room) end

local function head_of(item)
  local epoch, n, ms = string.match(item, '^(%d+) (%d+) (%d+) ')
  return epoch, tonumber(n), tonumber(ms)
end

-- Where a queue's events begin now.
local function behead(endpoint, room)
  local first = call('LINDEX', queue('events', endpoint, room), 0)
  if first then
    local _, n = head_of(first)
    call('ZADD', key('hooks:oldest', endpoint), digits(n), room)
  else
    call('ZREM', key('hooks:oldest', endpoint), room)
  end
end

-- Notes that events of a queue are missing.
local function miss(endpoint, room, epoch, from, to)
  local gaps = key('hooks:gap', endpoint)
  local _, first, last = string.match(call('HGET', gaps, room) or '', '^(%d+) (%d+) (%d+)$')
  from, to = math.min(from, tonumber(first or from)), math.max(to, tonumber(last or to))
  call('HSET', gaps, room, epoch .. ' ' .. digits(from) .. ' ' .. digits(to))
end

local function resize(endpoint, by) return call('INCRBY', key('hooks:bytes', endpoint), digits(by)) end

-- Deletes a batch; returns its bytes.
local function forget_batch(endpoint, id)
  local at = queue('batch', endpoint, id)
  local bytes = call('HSTRLEN', at, 'body') + OVERHEAD
  return call('DEL', at) == 1 and bytes or 0
end

