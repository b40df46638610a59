-- What all scripts begin with. Every script is given: key prefix, channel prefix, this node, the Redis server's run id, and until when
-- (milliseconds since 1970 on Redis' clock; 0: for ever) it may have an effect.
local P, C, NODE, RUN, EXPIRY = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local call = redis.call
local clock = call('TIME')
local NOW = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Bytes of a room's replay list, how long it is kept behind the last publication, and how often its expiry is set anew.
local REPLAY_BYTES, REPLAY_MS, REPLAY_FRESH_MS = 1048576, 60000, 20000
-- How long the counters of a room without members and messages are kept.
local SEQ_MS = 86400000

local function expired()
  if EXPIRY > 0 and NOW > EXPIRY then return redis.error_reply('AOEXPIRED the caller has given up') end
end

local function key(name, room) return P .. 'ao:' .. name .. ':' .. room end

-- Where the room's order stands. A Redis server that has just started may have lost the last moments: it begins a new epoch, which says
-- where it went on from. Numbers of batches are of no use then either.
local function seq(room)
  local at = key('seq', room)
  local s = call('HMGET', at, 'n', 'run', 'epoch', 'base', 'bytes', 'fresh', 'b:' .. NODE)
  local n = tonumber(s[1] or 0)
  if s[2] ~= RUN then
    local old = call('HKEYS', at)
    for _, field in ipairs(old) do
      if string.sub(field, 1, 2) == 'b:' then call('HDEL', at, field) end
    end
    s[3], s[4], s[7] = clock[1] .. string.format('%06d', clock[2]), string.format('%d', n), false
    call('HSET', at, 'run', RUN, 'epoch', s[3], 'base', s[4])
  end
  return {
    at = at, room = room, n = n, epoch = s[3], base = s[4], bytes = tonumber(s[5] or 0), fresh = tonumber(s[6] or 0), batch = s[7]
  }
end

-- Gives `count` publications their places in the order, and tells them: to the nodes that listen, and to those that will have to ask.
-- More fields of the counters may be set along the way. Returns the place of the first.
local function emit(s, count, payload, field, value)
  local first = s.n + 1
  s.n = s.n + count
  local text = s.epoch .. ' ' .. s.base .. ' ' .. string.format('%d', first) .. ' ' .. count .. ' ' .. NODE .. '\n' .. payload
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
  end
  if field then
    call('HSET', s.at, 'n', s.n, 'bytes', s.bytes, 'fresh', s.fresh, field, value .. ' ' .. string.format('%d', first))
  else
    call('HSET', s.at, 'n', s.n, 'bytes', s.bytes, 'fresh', s.fresh)
  end
  call('PUBLISH', C .. 'room:' .. s.room, text)
  return first
end

-- One publication about a user.
local function tell(s, kind, connection, uid)
  return emit(s, 1, kind .. connection .. ',0,' .. #uid .. '\n' .. uid)
end

local function is_alive() return call('ZSCORE', P .. 'ao:nodes', NODE) end

local LOST = 'AOLOST this node was taken for dead'

-- A place in a room: its number, v(isible), d(ummy) or h(eld), and the uid as JSON.
local function place(text)
  if not text then return nil end
  local number, flag, uid = string.match(text, '^(%d+) (%a) (.*)$')
  return { number = number, flag = flag, uid = uid }
end

local function written(p) return p.number .. ' ' .. p.flag .. ' ' .. p.uid end

-- The keys with a room's messages.
local function log_keys(room)
  local m = P .. 'msg_' .. room
  return { m .. '_insert', m .. '_update', m .. '_update_backup', m .. '_ignore' }
end

-- What is kept of a room that nobody is in: its messages for `room_expiry` ms (0: for ever), its counters as long as those.
local function unused(room, room_expiry)
  local logs = log_keys(room)
  if call('EXISTS', logs[1], logs[2]) == 0 then
    call('PEXPIRE', key('seq', room), SEQ_MS)
  elseif room_expiry > 0 then
    for _, log in ipairs(logs) do call('PEXPIRE', log, room_expiry) end
    call('PEXPIRE', key('seq', room), room_expiry)
  else
    call('PERSIST', key('seq', room))
  end
end

local function used(room, room_expiry)
  call('PERSIST', key('seq', room))
  if room_expiry > 0 then
    for _, log in ipairs(log_keys(room)) do call('PERSIST', log) end
  end
end

-- After somebody went.
local function vacate(room, room_expiry)
  if call('EXISTS', key('members', room)) == 0 then
    call('SREM', P .. 'ao:rooms', room)
    unused(room, room_expiry)
  end
end

-- Takes a connection out of a room, and tells it where the others saw it. Returns counters and place of what was told.
local function depart(room, name, kind, connection, room_expiry)
  local members = key('members', room)
  local mine = place(call('HGET', members, 'c' .. name))
  if not mine then return nil end
  call('HDEL', members, 'c' .. name)
  local s, first
  if mine.flag == 'v' then
    s = seq(room)
    first = tell(s, kind, connection, mine.uid)
  end
  vacate(room, room_expiry)
  return s, first, mine.uid
end

-- Gives up the place held for a uid.
local function release(room, uid, room_expiry)
  call('SREM', key('holds', uid), room)
  local members = key('members', room)
  local held = place(call('HGET', members, 'h' .. uid))
  if not held then return nil end
  call('HDEL', members, 'h' .. uid)
  local s = seq(room)
  local first = tell(s, 'd', '-', held.uid)
  vacate(room, room_expiry)
  return s, first, held.uid
end

local function told(s, first, uid)
  if not first then return {} end
  return { s.epoch, s.base, string.format('%d', first), uid }
end
