-- What is told to webhooks, written by the script that does what it tells of. The last argument says to whom: a line of the kinds of events that anybody is
-- told of, each between blanks, and JSON: the delay of leavings in ms, and of each endpoint its name, the bytes that may wait for it, the kinds of events
-- and the names of rooms (patterns of Lua) that it is told of, `within` those of rooms of dialects, by the dialect. The JSON is read when there is
-- something of such a kind.
-- Who was told to be in a room is in the hash `ao:hooks:told:{room}`, by uid: a letter, `p` for whoever is there and that of the reason for whoever is
-- marked as leaving, and the uid as JSON; the latter are in the zset `ao:hooks:leaving` as well, by their time. A user's own events are in a room of its own.
local SPEC = ARGV[#ARGV]
local KINDS = string.match(SPEC, '^[^\n]*')
local hook = { of_user = '\1@\1' }

-- Whether this script has told anything in a queue that nothing waited in: its answer says so.
local news = 0

local interest
local function asked_by()
  interest = interest or cjson.decode(string.sub(SPEC, #KINDS + 2))
  return interest
end

-- Whether any endpoint is told of this kind, of whatever room.
local function is_known(kind) return string.find(KINDS, ' ' .. kind .. ' ', 1, true) end

-- Whether it is a user's inbox, of which nobody is told.
local function is_inbox(room) return string.find(room, '^\1[^\1]*\3\1') ~= nil end

local function any(patterns, name)
  for _, pattern in ipairs(patterns) do
    if string.match(name, pattern) then return true end
  end
  return false
end

local function wants(endpoint, kind, room)
  if not endpoint.kinds[kind] then return false end
  if string.sub(kind, 1, 5) == 'user.' then return true end
  if string.sub(room, 1, 3) == hook.of_user then return false end
  local word, mark, name = string.match(room, '^\1([^\1-\3]*)([^\1]*)\1(.*)$')
  if not word then return any(endpoint.rooms, room) end
  -- What people call the room: without its life.
  if mark == '\2' then name = string.match(name, '^(.*):[^:]*$') or name end
  return any(endpoint.rooms, name) or any(endpoint.within[word] or {}, name)
end

-- Whether anybody is told of any of these.
function hook.asked(room, ...)
  if is_inbox(room) then return false end
  for _, kind in ipairs({ ... }) do
    if is_known(kind) then
      for _, endpoint in ipairs(asked_by().endpoints) do
        if wants(endpoint, kind, room) then return true end
      end
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

-- Drops what is oldest until less waits than may: gaps beyond their part, parked batches, then events and frozen batches by their numbers. A little more
-- than has to be, so that not every event after it does the same; and not more than a script may, so that nobody waits for it.
local function shed(endpoint)
  fold(endpoint.name, endpoint.pending)
  if folds <= 0 then return end -- the next script goes on with these
  local name, goal, dropped = endpoint.name, endpoint.pending - math.floor(endpoint.pending / 16), 0
  local left = tonumber(call('GET', key('hooks:bytes', name)))
  local parked, oldest, frozen = key('hooks:parked', name), key('hooks:oldest', name), key('hooks:frozen', name)
  while drops > 0 and left > goal do
    drops = drops - 1
    local aside = call('ZRANGE', parked, 0, 0)[1]
    local event = aside and {} or call('ZRANGE', oldest, 0, 0, 'WITHSCORES')
    local id = not aside and call('ZRANGE', frozen, 0, 0)[1]
    local first = id and tonumber(call('HGET', queue('batch', name, id), 'first') or nil)
    local room = event[1]
    if room and not (first and first < tonumber(event[2])) then
      local item = call('LPOP', queue('events', name, room))
      if item then
        local epoch, n = head_of(item)
        left, dropped = resize(name, -#item - OVERHEAD), dropped + 1
        left = n and miss(name, room, epoch, n, n) or left
      end
      behead(name, room)
    elseif aside then
      call('ZREM', parked, aside)
      left, dropped = forget_batch(name, aside) or left, dropped + 1
    elseif id then
      left, dropped = drop_frozen(name, id) or left, dropped + 1
    else
      break
    end
  end
  give_up(name, dropped)
  fold(name, endpoint.pending)
end

-- Something happened. The uid that it is about as text, or '', and its fields, JSON without the braces.
function hook.tell(room, kind, uid, fields)
  if not is_known(kind) or is_inbox(room) then return end
  for _, endpoint in ipairs(asked_by().endpoints) do
    if wants(endpoint, kind, room) then
      local name, n = endpoint.name, number()
      drops, folds = drops + 1, folds + 1
      local item = numbers.epoch .. ' ' .. digits(n) .. ' ' .. digits(NOW) .. ' ' .. kind .. ' ' .. #uid .. '\n' .. uid .. fields
      if call('RPUSH', queue('events', name, room), item) == 1 then
        call('ZADD', key('hooks:oldest', name), digits(n), room)
        call('SADD', P .. 'ao:hooks:endpoints', name)
      end
      -- Behind what waits, or is being sent, it is found with that.
      if call('ZADD', key('hooks:due', name), 'NX', digits(NOW), room) == 1 then news = 1 end
      if resize(name, #item + OVERHEAD) > endpoint.pending then shed(endpoint) end
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
  call('ZADD', P .. 'ao:hooks:leaving', digits(NOW + asked_by().delay), room .. '\n' .. uid)
end

-- A user who was marked is away for good.
function hook.part(room, uid)
  local at = key('hooks:told', room)
  local was = call('HGET', at, uid)
  call('ZREM', P .. 'ao:hooks:leaving', room .. '\n' .. uid)
  if not was then return end
  call('HDEL', at, uid)
  local is_user = string.sub(room, 1, 3) == hook.of_user
  local reason = ({ l = 'left', d = 'gone', x = 'lost', k = 'removed' })[string.sub(was, 1, 1)] or 'gone'
  local fields = '"uid":' .. string.sub(was, 2) .. ',"reason":"' .. reason .. '"'
  hook.tell(room, is_user and 'user.offline' or 'member.left', uid, fields)
  if not is_user and call('EXISTS', at) == 0 then hook.tell(room, 'room.vacated', '', '') end
end

-- A user came online, as its client writes its uid; or went offline: `gone`, or `lost` with its node.
function hook.turn(uid, why, json)
  if why == 'online' then return hook.arrive(hook.of_user .. uid, uid, json) end
  hook.leave(hook.of_user .. uid, uid, why == 'lost' and 'x' or 'd')
end

