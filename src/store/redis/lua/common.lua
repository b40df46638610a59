-- What all scripts begin with; some have another part behind it. Whatever is here is made anew at each call, so it is what most scripts need. Every script is given: key prefix, channel prefix, this node, the
-- Redis server's run id, and until when (milliseconds since 1970 on Redis' clock; 0: for ever) it may have an effect.
local P, C, NODE, RUN, EXPIRY = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local call = redis.call
local clock = call('TIME')
local NOW = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Bytes of a room's replay list, how long it is kept behind the last publication, and how often its expiry is set anew.
local REPLAY_BYTES, REPLAY_MS, REPLAY_FRESH_MS = 1048576, 60000, 20000
-- How long the counters of a room without members and messages are kept.
local SEQ_MS = 600000
-- A room knows the keys of so many of its newest inserts that have one.
local KNOWN_KEYS = 1000

local function expired()
  if EXPIRY > 0 and NOW > EXPIRY then return redis.error_reply('AOEXPIRED the caller has given up') end
end

local function key(name, room) return P .. 'ao:' .. name .. ':' .. room end

-- Where a log ends and begins, from the field `next`.
local function extent(field)
  if not field then return 0, 0 end
  local next, begins = tonumber(field), 0
  if not next then
    next, begins = string.match(field, '^(%d+) (%d+)$')
    next, begins = tonumber(next), tonumber(begins)
  end
  return next, begins
end

-- Whether a room is a life (`Space::Lives`): its name never comes again. Its log begins with the index 0, and its counters stay until it is forgotten.
local function is_life(room) return string.find(room, '^\1[^\1]*\2\1') ~= nil end

-- Where a log begins whose counters are new or gone: behind all indexes that such a log had.
local function floor() return tonumber(call('GET', P .. 'ao:floor') or 0) end

-- Before the counters of a room's log that ends there may go.
local function raise_floor(room, next)
  if not is_life(room) and next > floor() then call('SET', P .. 'ao:floor', string.format('%d', next)) end
end

-- The fields `next` and `due` of a log whose counters lack `next`: they are new, were gone, or were made anew by a node of a build that knows
-- of none.
local function renewed(room, due)
  local at, lasting = is_life(room) and 0 or floor(), redis.pcall('HGET', key('log', room), 'due')
  return at > 0 and string.format('%d %d', at, at) or '0', due or type(lasting) == 'string' and lasting
end

-- Where the room's order stands. A Redis server that has just started may have lost the last moments: it begins a new epoch, which says at which
-- place it went on (`base`), and in which epoch that place was taken (`from`). The same place may have been taken twice: once before a loss, and
-- once behind it, which was lost again or not. Whoever has come as far compares both. `batch` is the last one of this node: it is written together
-- with the counters, so it is known exactly if the batch is.
-- Of the log: `next` is the index behind its last insert, `begins` that of its first (it stands behind `next`, where it is not 0), `due` when the
-- log ends (0: it does not). Counters may go while nobody is in the room: then `due` is in `ao:log:{room}` as well, and `ao:floor` is behind
-- all indexes that were given.
local function seq(room)
  local at = key('seq', room)
  local s = call('HMGET', at, 'n', 'run', 'epoch', 'base', 'bytes', 'fresh', 'from', 'b:' .. NODE, 'next', 'due', 'kept', 'named')
  local n = tonumber(s[1] or 0)
  if not s[9] then
    s[9], s[10] = renewed(room, s[10])
    call('HSET', at, 'next', s[9])
    if s[10] then call('HSET', at, 'due', s[10]) end
  end
  if s[2] ~= RUN then
    -- Counters that are new, or gone, beside updates begin above all numbers that those can have: as many microseconds as the clock tells.
    local held = not s[1] and redis.pcall('HLEN', P .. 'msg_' .. room .. '_update')
    if type(held) == 'number' and held > 0 then
      n = clock[1] * 1000000 + clock[2]
      call('HSET', at, 'n', string.format('%d', n))
    end
    -- What nodes of a build left behind that did not note where. Who is no node any more can't send a batch again.
    for _, field in ipairs(call('HKEYS', at)) do
      local node = string.match(field, '^b:(.*)$')
      if node and node ~= NODE and not call('ZSCORE', P .. 'ao:nodes', node) then call('HDEL', at, field) end
    end
    -- In an epoch without publications no place was taken.
    if n > tonumber(s[4] or 0) then s[7] = s[3] end
    s[3], s[4], s[7] = clock[1] .. string.format('%06d', clock[2]), string.format('%d', n), s[7] or '0'
    call('HSET', at, 'run', RUN, 'epoch', s[3], 'base', s[4], 'from', s[7])
  end
  local begun, from = s[3] .. ' ' .. s[4], s[7] or '0'
  local next, begins = extent(s[9])
  return {
    at = at, room = room, n = n, epoch = begun .. ' ' .. from, begun = begun, from = from, bytes = tonumber(s[5] or 0), fresh = tonumber(s[6] or 0),
    batch = s[8], next = next, begins = begins, due = tonumber(s[10] or 0), kept = s[11], named = s[12]
  }
end

-- Gives `count` publications their places in the order, and tells them: to the nodes that listen, and to those that will have to ask.
-- More fields of the counters may be set along the way; the value of the first of them ends with the place. `s.index` is where the first insert
-- among them is in the log, as text; nothing, if there is none. Returns the place of the first, as a number and as text.
local function emit(s, count, payload, field, value, ...)
  local first = s.n + 1
  s.n = s.n + count
  -- Numbers are written here: Redis would write them with a fraction in view, which takes it longer.
  local place = string.format('%d', first)
  local n = count == 1 and place or string.format('%d', s.n)
  local text = s.begun .. ' ' .. place .. ' ' .. count .. ' ' .. NODE .. ' ' .. s.from .. (s.index and ' ' .. s.index or '') .. '\n' .. payload
  local replay = key('replay', s.room)
  local length = call('RPUSH', replay, text)
  s.bytes = (length == 1 and 0 or s.bytes) + #text
  while s.bytes > REPLAY_BYTES and length > 1 do
    s.bytes = s.bytes - #call('LPOP', replay)
    length = length - 1
  end
  if length == 1 or NOW - s.fresh > REPLAY_FRESH_MS then
    s.fresh = NOW
    call('PEXPIRE', replay, REPLAY_MS)
    call('HSET', s.at, 'fresh', s.fresh)
  end
  if field then
    call('HSET', s.at, 'n', n, 'bytes', string.format('%d', s.bytes), field, value .. place, ...)
  else
    call('HSET', s.at, 'n', n, 'bytes', string.format('%d', s.bytes))
  end
  call('PUBLISH', C .. 'room:' .. s.room, text)
  return first, place
end

-- The keys with a room's messages, and with the keys of its inserts.
local function log_keys(room)
  local m = P .. 'msg_' .. room
  return { m .. '_insert', m .. '_update', m .. '_update_backup', m .. '_ignore', key('keys', room) }
end

-- The key of an insert, as the room knows it: a long one by its hash. No short one is as long as a hash is.
local function short(insert_key)
  if #insert_key <= 40 then return insert_key end
  return '#' .. redis.sha1hex(insert_key)
end

-- How many updates a room has, and their bytes. These are kept beside the room's counters, with their number: by that it is noticed if
-- somebody else wrote there, the original or a copy, and they are counted anew.
local function update_size(at, log)
  local number = call('HLEN', log)
  -- Who only reads gets its answer also where the counters are of a wrong type, or can't be written.
  local noted = redis.pcall('HGET', at, 'u')
  local known, bytes = string.match(type(noted) == 'string' and noted or '', '^(%d+) (%d+)$')
  if tonumber(known) == number then return number, tonumber(bytes) end
  bytes = 0
  for _, id in ipairs(call('HKEYS', log)) do bytes = bytes + call('HSTRLEN', log, id) end
  if call('EXISTS', at) == 1 then redis.pcall('HSET', at, 'u', string.format('%d %d', number, bytes)) end
  return number, bytes
end

-- What is kept of a room that nobody is in: its messages for `room_expiry` ms (0: for ever), its counters as long as those; where the log was
-- trimmed the counters also without messages, as offsets count on. Those of a life stay where it had any message.
local function unused(room, room_expiry)
  local logs, at = log_keys(room), key('seq', room)
  local forgotten = call('EXISTS', logs[1], logs[2]) == 0
  if forgotten or room_expiry > 0 then
    -- The counters will go. Inserts that others wrote there are counted by nobody.
    local next, begins = extent(call('HGET', at, 'next'))
    local length = redis.pcall('LLEN', logs[1])
    raise_floor(room, math.max(next, type(length) == 'number' and begins + length or 0))
  end
  local is_counted = is_life(room) and (extent(call('HGET', at, 'next'))) > 0
  if forgotten and not is_counted and call('HEXISTS', at, 'kept') == 0 then
    call('PEXPIRE', at, SEQ_MS)
  elseif room_expiry > 0 then
    for _, log in ipairs(logs) do call('PEXPIRE', log, room_expiry) end
    if is_counted then call('PERSIST', at) else call('PEXPIRE', at, room_expiry) end
  else
    call('PERSIST', at)
    for _, log in ipairs(logs) do call('PERSIST', log) end -- it may have been switched off
  end
end

