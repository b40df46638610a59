-- What the scripts of presence have beside common.lua.

-- One publication about a user.
local function tell(s, kind, connection, uid)
  return emit(s, 1, kind .. connection .. ',0,' .. #uid .. '\n' .. uid)
end

-- A place in the order for what nobody is told, so that its loss is noticed as any other.
local function tell_nobody(s) return emit(s, 1, 'q-,0,0\n') end

local function is_alive() return call('ZSCORE', P .. 'ao:nodes', NODE) end

local LOST = 'AOLOST this node was taken for dead'

-- A place in a room: its number, v(isible), d(ummy) or h(eld), and the uid as JSON.
local function place(text)
  if not text then return nil end
  local number, flag, uid = string.match(text, '^(%d+) (%a) (.*)$')
  return { number = number, flag = flag, uid = uid }
end

local function written(p) return p.number .. ' ' .. p.flag .. ' ' .. p.uid end

-- Somebody is there.
local function used(room)
  call('PERSIST', key('seq', room))
  for _, log in ipairs(log_keys(room)) do call('PERSIST', log) end
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
  return { s.epoch, string.format('%d', first), uid }
end
