-- What the scripts of presence have beside common.lua.

-- One publication about a user, and how many of its connections the others see now, where that is not the usual number.
local function tell(s, kind, connection, uid, connections)
  local usual = kind == 'j' and 1 or 0
  local count = connections == usual and '' or ',n' .. connections
  return emit(s, 1, kind .. connection .. ',0,' .. #uid .. count .. '\n' .. uid)
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

-- A uid, as it is in keys, from its JSON.
local function text_of(json)
  if string.byte(json) ~= 34 then return json end
  if not string.find(json, '\\', 1, true) then return string.sub(json, 2, -2) end
  return cjson.decode('[' .. json .. ']')[1]
end

-- Connections by uid, but for guests, and those whose session was taken over: `{uid}\n{node}:{connection}` each, all with the score 0, and so sorted
-- by uid. It says who is online.
local ONLINE = P .. 'ao:online'

-- The names of a uid's connections.
local function names_of(uid)
  local names = call('ZRANGEBYLEX', ONLINE, '[' .. uid .. '\n', '(' .. uid .. '\n\255')
  for i = 1, #names do names[i] = string.sub(names[i], #uid + 2) end
  return names
end

local function is_online(uid) return call('ZRANGEBYLEX', ONLINE, '[' .. uid .. '\n', '(' .. uid .. '\n\255', 'LIMIT', 0, 1)[1] end

-- A uid came online (then it is given as JSON as well), or went offline, and why: `online`; `gone`, its last connection has ended; `lost`, the node of
-- that is dead. The one place where that is known: what is told of it beyond rooms is to be written here.
local function turned(uid, why, json)
  if hook then hook.turn(uid, why, json) end
end

-- A connection of this node begins to be known by its uid, as text and as JSON; `guest`: it is one of nobody.
local function appear(uid, json, connection, guest)
  if call('SADD', key('conns', NODE), connection .. '\n' .. uid) == 0 or guest then return end
  local first = not is_online(uid)
  call('ZADD', ONLINE, 0, uid .. '\n' .. NODE .. ':' .. connection)
  if first then turned(uid, 'online', json) end
end

-- It is not known any more: gone, or lost.
local function vanish(uid, name, why)
  if call('ZREM', ONLINE, uid .. '\n' .. name) == 1 and not is_online(uid) then turned(uid, why) end
end

-- What a uid has of a room beside the connection `name`: how many places the others see, connections and a held one (`seen`), and one of them (`seat`);
-- the held one (`held`); how many are hidden (`hidden`), and one of them (`veil`). Each with the field where it is.
local function present(room, uid, name)
  local members, fields, found = key('members', room), { 'h' .. uid }, { seen = 0, hidden = 0 }
  for _, other in ipairs(names_of(uid)) do
    if other ~= name then fields[#fields + 1] = 'c' .. other end
  end
  for from = 1, #fields, 1000 do
    local to = math.min(from + 999, #fields)
    for i, text in ipairs(call('HMGET', members, unpack(fields, from, to))) do
      local p = place(text)
      if p then
        p.field = fields[from + i - 1]
        if p.flag == 'd' then
          found.hidden, found.veil = found.hidden + 1, found.veil or p
        else
          found.seen, found.seat = found.seen + 1, found.seat or p
          if p.flag == 'h' then found.held = p end
        end
      end
    end
  end
  return found
end

-- How many connections that is.
local function count_of(found) return found.seen - (found.held and 1 or 0) + found.hidden end

-- The list of a room's places in the order of joining has one field for each number. It is made when somebody asks for it, and lives for a minute;
-- meanwhile it is kept up: a number is new, or is at another field from now on, or is gone.
local function seat(room, field, number)
  local seats = key('seats', room)
  if call('EXISTS', seats) == 1 then call('ZADD', seats, number, field) end
end
local function reseat(room, field, other)
  local seats = key('seats', room)
  local number = call('ZSCORE', seats, field)
  if not number then return end
  if other then call('ZADD', seats, number, other) end
  call('ZREM', seats, field)
end

-- Somebody is there.
local function used(room)
  call('PERSIST', key('seq', room))
  for _, log in ipairs(log_keys(room)) do call('PERSIST', log) end
end

-- After somebody went.
local function vacate(room, room_expiry)
  if call('EXISTS', key('members', room)) == 0 then
    call('SREM', P .. 'ao:rooms', room)
    call('ZREM', P .. 'ao:occupied', room)
    unused(room, room_expiry)
  end
end

-- Takes a connection out of a room, and tells it where the others saw it. Returns counters and place of what was told, about whom, and how many of its
-- connections the others still see; then, where it was there, its uid as text, and what that has of the room beside it, if that was looked up.
local function depart(room, name, kind, connection, room_expiry)
  local members, field = key('members', room), 'c' .. name
  local mine = place(call('HGET', members, field))
  if not mine then return nil end
  call('HDEL', members, field)
  local uid, s, first, left = text_of(mine.uid), nil, nil, nil
  if mine.flag == 'v' then
    left = present(room, uid, name)
    s = seq(room)
    first = tell(s, kind, connection, mine.uid, left.seen)
    if hook and left.seen == 0 then hook.leave(room, uid, connection == '-' and 'x' or kind) end
    reseat(room, field, left.seat and left.seat.field)
  elseif call('ZSCORE', key('seats', room), field) then
    left = present(room, uid, name)
    reseat(room, field, left.veil and left.veil.field)
  end
  vacate(room, room_expiry)
  return s, first, mine.uid, left and left.seen, uid, left
end

-- Gives up the place held for a uid.
local function release(room, uid, room_expiry)
  call('SREM', key('holds', uid), room)
  local members, field = key('members', room), 'h' .. uid
  local held = place(call('HGET', members, field))
  if not held then return nil end
  call('HDEL', members, field)
  local left, s = present(room, uid), seq(room)
  local first = tell(s, 'd', '-', held.uid, left.seen)
  if hook and left.seen == 0 then hook.leave(room, uid, 'd') end
  reseat(room, field, left.seat and left.seat.field)
  vacate(room, room_expiry)
  return s, first, held.uid, left.seen
end

local function told(s, first, uid, connections)
  if not first then return {} end
  return { s.epoch, string.format('%d', first), uid, connections }
end
