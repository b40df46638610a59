-- What the scripts have beside common.lua that do more to a room's log than append to it.

-- Where the log begins if it has so many inserts. Others write there and delete it as well, and have counted nothing: an index that was given
-- is not given again.
local function begins(s, length) return math.max(s.begins, s.next - length) end

-- Forgets all of the room's log. Its indexes go on.
local function forget_log(s)
  local length = redis.pcall('LLEN', log_keys(s.room)[1])
  if type(length) ~= 'number' then length = 0 end
  s.next = begins(s, length) + length
  s.begins = s.next
  if s.next > 0 then
    call('HSET', s.at, 'next', string.format('%d %d', s.next, s.begins))
    raise_floor(s.next)
  end
  call('UNLINK', unpack(log_keys(s.room)))
end

-- Ends the room's log if its time is over. Nobody is told, but nodes know by this place in the order that what they have read is out of date.
local function lapse(s)
  if s.due == 0 or NOW < s.due then return false end
  forget_log(s)
  emit(s, 1, 'q-,0,0,v\n', 'cleared', '')
  call('HDEL', s.at, 'due')
  call('HDEL', key('log', s.room), 'due')
  call('ZREM', P .. 'ao:expiring', s.room)
  s.due = 0
  if call('EXISTS', key('members', s.room)) == 0 then unused(s.room, 0) end
  return true
end

