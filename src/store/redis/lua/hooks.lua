-- What is told to webhooks, written by the script that does what it tells of. The last argument says to whom: the delay of leavings in ms, and of each
-- endpoint its name, the bytes that may wait for it, the kinds of events and the names of rooms (patterns of Lua) that it is told of.
-- Who was told to be in a room is in the hash `ao:hooks:told:{room}`, by uid: a letter, `p` for whoever is there and that of the reason for whoever is
-- marked as leaving, and the uid as JSON; the latter are in the zset `ao:hooks:leaving` as well, by their time. A user's own events are in a room of its own.
local HOOKS = cjson.decode(ARGV[#ARGV])
local REASONS = { l = 'left', d = 'gone', x = 'lost', k = 'removed' }
local hook = { of_user = '\1@\1' }

local function wants(endpoint, kind, room)
  if not endpoint.kinds[kind] then return false end
  if string.sub(kind, 1, 5) == 'user.' then return true end
  if string.sub(room, 1, 3) == hook.of_user then return false end
  local name = string.match(room, '^\1[^\1]*\1(.*)$') or room
  for _, pattern in ipairs(endpoint.rooms) do
    if string.match(name, pattern) then return true end
  end
  return false
end

-- Whether anybody is told of any of these.
function hook.asked(room, ...)
  for _, endpoint in ipairs(HOOKS.endpoints) do
    for _, kind in ipairs({ ... }) do
      if wants(endpoint, kind, room) then return true end
    end
  end
  return false
end

-- The numbers of events. They grow by two, and begin a new epoch with each life of the Redis server.
local numbers
local function number()
  if not numbers then
    local at = P .. 'ao:hooks:numbers'
    local s = call('HMGET', at, 'run', 'epoch', 'n')
    if s[1] ~= RUN then
      s[2] = clock[1] .. string.format('%06d', clock[2])
      call('HSET', at, 'run', RUN, 'epoch', s[2])
    end
    numbers = { epoch = s[2], n = tonumber(s[3] or 0) }
  end
  numbers.n = numbers.n + 2
  call('HSET', P .. 'ao:hooks:numbers', 'n', digits(numbers.n))
  return numbers.n
end

-- Drops what is oldest until less waits than may: parked batches, then events. A little more than has to be, so that not every event after it does the
-- same.
local function shed(endpoint, bytes)
  local name, goal = endpoint.name, endpoint.pending - math.floor(endpoint.pending / 16)
  local parked, oldest, left = key('hooks:parked', name), key('hooks:oldest', name), bytes
  while left > goal do
    local id = call('ZRANGE', parked, 0, 0)[1]
    if not id then break end
    call('ZREM', parked, id)
    left = left - forget_batch(name, id)
  end
  while left > goal do
    local room = call('ZRANGE', oldest, 0, 0)[1]
    if not room then break end -- frozen batches stay as they are
    local item = call('LPOP', queue('events', name, room))
    if item then
      local epoch, n = head_of(item)
      miss(name, room, epoch, n, n)
      left = left - #item - OVERHEAD
    end
    behead(name, room)
  end
  resize(name, left - bytes)
end

-- Something happened. The uid that it is about as text, or '', and its fields, JSON without the braces.
function hook.tell(room, kind, uid, fields)
  for _, endpoint in ipairs(HOOKS.endpoints) do
    if wants(endpoint, kind, room) then
      local name, n = endpoint.name, number()
      local item = numbers.epoch .. ' ' .. digits(n) .. ' ' .. digits(NOW) .. ' ' .. kind .. ' ' .. #uid .. '\n' .. uid .. fields
      if call('RPUSH', queue('events', name, room), item) == 1 then
        call('ZADD', key('hooks:oldest', name), digits(n), room)
        call('SADD', P .. 'ao:hooks:endpoints', name)
      end
      call('ZADD', key('hooks:due', name), 'NX', digits(NOW), room)
      local bytes = resize(name, #item + OVERHEAD)
      if bytes > endpoint.pending then shed(endpoint, bytes) end
    end
  end
end

local function watched(room)
  if string.sub(room, 1, 3) == hook.of_user then return hook.asked(room, 'user.online', 'user.offline') end
  return hook.asked(room, 'member.joined', 'member.left', 'room.occupied', 'room.vacated')
end

-- A user is there.
function hook.arrive(room, uid, json)
  if not watched(room) then return end
  local at, leaving = key('hooks:told', room), P .. 'ao:hooks:leaving'
  local was = call('HGET', at, uid)
  if was then
    if string.sub(was, 1, 1) ~= 'p' then
      call('HSET', at, uid, 'p' .. json)
      call('ZREM', leaving, room .. '\n' .. uid)
    end
    return
  end
  local is_user = string.sub(room, 1, 3) == hook.of_user
  if not is_user and call('EXISTS', at) == 0 then hook.tell(room, 'room.occupied', '', '') end
  call('HSET', at, uid, 'p' .. json)
  hook.tell(room, is_user and 'user.online' or 'member.joined', uid, '"uid":' .. json)
end

-- A user may not be there any more: marked, unless it is already. The letter of the reason.
function hook.leave(room, uid, letter)
  local at = key('hooks:told', room)
  local was = call('HGET', at, uid)
  if not was or string.sub(was, 1, 1) ~= 'p' then return end
  call('HSET', at, uid, letter .. string.sub(was, 2))
  call('ZADD', P .. 'ao:hooks:leaving', digits(NOW + HOOKS.delay), room .. '\n' .. uid)
end

-- A user who was marked is away for good.
function hook.part(room, uid)
  local at = key('hooks:told', room)
  local was = call('HGET', at, uid)
  call('ZREM', P .. 'ao:hooks:leaving', room .. '\n' .. uid)
  if not was then return end
  call('HDEL', at, uid)
  local is_user = string.sub(room, 1, 3) == hook.of_user
  local fields = '"uid":' .. string.sub(was, 2) .. ',"reason":"' .. (REASONS[string.sub(was, 1, 1)] or 'gone') .. '"'
  hook.tell(room, is_user and 'user.offline' or 'member.left', uid, fields)
  if not is_user and call('EXISTS', at) == 0 then hook.tell(room, 'room.vacated', '', '') end
end

-- A user came online, or went offline.
function hook.turn(uid, online, lost)
  if not online then return hook.leave(hook.of_user .. uid, uid, lost and 'x' or 'd') end
  local session = call('HGET', P .. 'ao:sessions', uid)
  hook.arrive(hook.of_user .. uid, uid, session and string.match(session, '^[^\n]*\n[^\n]*\n(.*)$') or cjson.encode(uid))
end

