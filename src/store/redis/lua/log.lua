-- What the scripts have beside common.lua that do more to a room's log than append to it.

-- Where the log begins if it has so many inserts. Others write there and delete it as well, and have counted nothing: an index that was given
-- is not given again.
local function begins(s, length) return math.max(s.begins, s.next - length) end

-- Where offset 0 is, and where the log begins for readers, as indexes. They differ where it was trimmed: then `kept`, the field of that name, has
-- both, and where the list began when that was noted. It says nothing about a list that somebody else has deleted, or begun anew, since then.
local function shown(s, length, kept)
  local first = begins(s, length)
  local origin, from, list = string.match(kept or '', '^(%d+) (%d+) (%d+)$')
  if not origin or first > s.begins or tonumber(list) ~= first then return first, first end
  return tonumber(origin), math.max(first, math.min(tonumber(from), first + length))
end

-- How much of a list is deleted at once.
local DELETED_AT_ONCE = 5000

-- Notes that the log begins at index `from` for readers, and deletes some of what is hidden by that. Returns whether there is more.
local function delete_hidden(s, length, origin, from)
  local first = begins(s, length)
  local gone = math.min(from - first, DELETED_AT_ONCE)
  if gone > 0 then call('LTRIM', log_keys(s.room)[1], gone, -1) end
  s.next, s.begins = first + length, first + gone
  call('HSET', s.at, 'next', string.format('%d %d', s.next, s.begins), 'kept', string.format('%d %d %d', origin, from, s.begins))
  return from > s.begins
end

-- Goes on with that. Returns whether there is more.
local function go_on_deleting(s)
  local kept = call('HGET', s.at, 'kept')
  if not kept then return false end
  local length = call('LLEN', log_keys(s.room)[1])
  local origin, from = shown(s, length, kept)
  if from <= begins(s, length) then return false end
  local more = delete_hidden(s, length, origin, from)
  if not more and call('EXISTS', key('members', s.room), unpack(log_keys(s.room), 1, 2)) == 0 then unused(s.room, 0) end
  return more
end

-- When an entry was stored, in milliseconds; nothing where it does not say.
local function stored_at(entry)
  local tail = string.sub(entry, -64)
  local ms = string.match(tail, ',"ms":(%d+)}$')
  if ms then return tonumber(ms) end
  local ts = string.match(tail, ',"ts":(%d+)}$') or string.match(tail, ',"ts":(%d+),"n":%d+}$')
  if not ts then
    local is_read, value = pcall(cjson.decode, entry)
    ts = is_read and type(value) == 'table' and value.ts
  end
  ts = tonumber(ts or nil)
  return ts and ts > 0 and ts < 2 ^ 43 and math.floor(ts) * 1000 or nil
end

-- When an insert was stored; one that does not say is as old as what stands behind it.
local function inserted_at(list, offset, length)
  for at = offset, math.min(offset + 20, length - 1) do
    local time = stored_at(call('LINDEX', list, at))
    if time then return time end
  end
  return math.huge
end

-- Where in the list, from `from` on, the first is that was not stored by then, in milliseconds. What stands before one that was is taken for as
-- old: a clock may have been set back.
local function first_young(list, from, length, by)
  if from >= length or inserted_at(list, from, length) > by then return from end
  local old, young = from, length
  while old + 1 < young do
    local middle = math.floor((old + young) / 2)
    if inserted_at(list, middle, length) <= by then old = middle else young = middle end
  end
  return young
end

-- Forgets all of the room's log. Its indexes go on.
local function forget_log(s)
  local length = redis.pcall('LLEN', log_keys(s.room)[1])
  if type(length) ~= 'number' then length = 0 end
  s.next = begins(s, length) + length
  s.begins = s.next
  if s.next > 0 then
    call('HSET', s.at, 'next', string.format('%d %d', s.next, s.begins))
    raise_floor(s.room, s.next)
  end
  call('UNLINK', unpack(log_keys(s.room)))
  call('HDEL', s.at, 'kept')
end

-- Ends the room's log if its time is over. Nobody is told, but nodes know by this place in the order that what they have read is out of date. A life
-- is forgotten with it: its indexes need not go on.
local function lapse(s)
  if s.due == 0 or NOW < s.due then return false end
  forget_log(s)
  if is_life(s.room) then
    s.next, s.begins = 0, 0
    call('HSET', s.at, 'next', '0')
  end
  emit(s, 1, 'q-,0,0,v\n', 'cleared', '')
  call('HDEL', s.at, 'due')
  call('HDEL', key('log', s.room), 'due')
  call('ZREM', P .. 'ao:expiring', s.room)
  s.due = 0
  if call('EXISTS', key('members', s.room)) == 0 then unused(s.room, 0) end
  return true
end

