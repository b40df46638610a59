-- The queues of webhooks, by endpoint and room. Keys, in which `E` is the endpoint's name:
-- `ao:hooks:events:E:{room}` list of `epoch n ms kind bytes\n`, the uid that it is about (so many bytes), and its fields; `ao:hooks:due:E` zset of rooms by
-- when their turn comes, all of which anything waits; `ao:hooks:oldest:E` zset of rooms by n of their first event;
-- `ao:hooks:gap:E` hash of `epoch from to` by room, `ao:hooks:gaps:E` zset of these rooms by `to`, `ao:hooks:gap_bytes:E` what they take;
-- `ao:hooks:batches:E:{room}` list of ids of frozen batches, `ao:hooks:batch:E:{id}` hash of one; `ao:hooks:frozen:E` and `ao:hooks:parked:E` zsets of
-- ids: by time of those that are to be sent, by a serial number of those that were put aside; `ao:hooks:aside:E:{room}` set of the room's that are, or
-- were, put aside, and `ao:hooks:asides:E` set of the rooms that have such; `ao:hooks:held:E` hash of `node\nms` by room: who sends its
-- events just now, and when the lease of that is over (`held.lua`); `ao:hooks:bytes:E` and `ao:hooks:dropped:E` numbers.
local OVERHEAD = 100
-- Gaps take at most this part of what may wait.
local GAPS = 8
-- How many events and batches, and how many gaps, one script may still drop beside as many as it adds: nobody else is served meanwhile. The next one
-- goes on.
local drops, folds = 200, 200
-- The queue of the gap that is of no room.
local EVERYWHERE = '\1*\1*'

-- A Redis that is out of memory refuses what may take some, unless a script has written before. What waits is to be sent then too: it frees some.
local function insist() call('DEL', P .. 'ao:hooks:nothing') end

local function digits(number) return string.format('%d', number) end

local function queue(kind, endpoint, room) return key('hooks:' .. kind, endpoint .. ':' .. room) end

local function head_of(item)
  local epoch, n, ms = string.match(item, '^(%d+) (%d+) (%d+) ')
  return epoch, tonumber(n), tonumber(ms)
end

-- Changes what an endpoint's events, batches and gaps take; returns what they take then.
local function resize(endpoint, by) return call('INCRBY', key('hooks:bytes', endpoint), digits(by)) end

-- So many events and batches are given up for good.
local function give_up(endpoint, count)
  if count > 0 then call('INCRBY', key('hooks:dropped', endpoint), digits(count)) end
end

-- Where a queue's events begin now. One there that can't be read is given up: somebody else wrote it.
local function behead(endpoint, room)
  local list = queue('events', endpoint, room)
  while true do
    local first = call('LINDEX', list, 0)
    if not first then return call('ZREM', key('hooks:oldest', endpoint), room) end
    local _, n = head_of(first)
    if n then return call('ZADD', key('hooks:oldest', endpoint), digits(n), room) end
    call('LPOP', list)
    resize(endpoint, -#first - OVERHEAD)
    give_up(endpoint, 1)
  end
end

-- Notes that events of a queue are missing. Returns what the endpoint's things take then, if that is more. What is in `ao:hooks:gaps:E` counts: an
-- earlier build had gaps that it did not count.
local function miss(endpoint, room, epoch, from, to)
  local gaps = key('hooks:gap', endpoint)
  local _, first, last = string.match(call('HGET', gaps, room) or '', '^(%d+) (%d+) (%d+)$')
  from, to = math.min(from, tonumber(first or from)), math.max(to, tonumber(last or to))
  call('HSET', gaps, room, epoch .. ' ' .. digits(from) .. ' ' .. digits(to))
  call('ZADD', key('hooks:due', endpoint), 'NX', digits(NOW), room)
  if room == EVERYWHERE then return nil end
  if call('ZADD', key('hooks:gaps', endpoint), digits(to), room) == 0 then return nil end
  call('INCRBY', key('hooks:gap_bytes', endpoint), #room + OVERHEAD)
  return resize(endpoint, #room + OVERHEAD)
end

-- A gap of a queue is told by something else from now on. Returns what the others take.
local function close_gap(endpoint, room)
  call('HDEL', key('hooks:gap', endpoint), room)
  if call('ZREM', key('hooks:gaps', endpoint), room) == 0 then return nil end
  resize(endpoint, -#room - OVERHEAD)
  return call('DECRBY', key('hooks:gap_bytes', endpoint), #room + OVERHEAD)
end

-- Has gaps take no more than their part of `pending` bytes: the oldest become one, of the endpoint as a whole. Some more than has to be, and not all of
-- them at once.
local function fold(endpoint, pending)
  local most, gaps, size = math.floor(pending / GAPS), key('hooks:gaps', endpoint), key('hooks:gap_bytes', endpoint)
  local bytes, goal, begun, epoch, from, to = tonumber(call('GET', size) or 0), math.floor(most * 15 / 16), false, nil, nil, nil
  while folds > 0 and bytes > (begun and goal or most) do
    folds, begun = folds - 1, true
    local room = call('ZRANGE', gaps, 0, 0)[1]
    if not room then
      call('DEL', size)
      break
    end
    local of, first, last = string.match(call('HGET', key('hooks:gap', endpoint), room) or '', '^(%d+) (%d+) (%d+)$')
    if of then epoch, from, to = of, math.min(from or math.huge, tonumber(first)), math.max(to or 0, tonumber(last)) end
    bytes = close_gap(endpoint, room) or bytes
    if call('EXISTS', queue('batches', endpoint, room), queue('events', endpoint, room)) == 0 then
      call('ZREM', key('hooks:due', endpoint), room)
      call('HDEL', key('hooks:held', endpoint), room)
    end
  end
  if epoch then miss(endpoint, EVERYWHERE, epoch, from, to) end
end

-- Deletes a batch. Returns what the endpoint's things take then, its room, its epoch, and n of its first and last; nothing, if there is none.
local function forget_batch(endpoint, id)
  local at = queue('batch', endpoint, id)
  local found = call('HMGET', at, 'room', 'epoch', 'first', 'last', 'serial')
  local bytes, room = call('HSTRLEN', at, 'body') + OVERHEAD, found[1]
  if call('DEL', at) == 0 then return nil end
  if room and found[5] then
    local aside = queue('aside', endpoint, room)
    call('SREM', aside, id)
    if call('EXISTS', aside) == 0 then call('SREM', key('hooks:asides', endpoint), room) end
  end
  return resize(endpoint, -bytes), room, found[2], tonumber(found[3]), tonumber(found[4])
end

-- Deletes a frozen batch that nobody is to be sent any more: its room is told of a gap. Returns what the endpoint's things take then.
local function drop_frozen(endpoint, id)
  call('ZREM', key('hooks:frozen', endpoint), id)
  local left, room, epoch, first, last = forget_batch(endpoint, id)
  if not room then return left end
  call('LREM', queue('batches', endpoint, room), 1, id)
  return epoch and first and last and miss(endpoint, room, epoch, first, last) or left
end

