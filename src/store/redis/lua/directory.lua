-- What the look-ups of administrators have beside common.lua and presence.lua.

-- A uid's connections: node and number each. Not what is left of one that was ended by a node of a build that knows of no `ao:online`.
local function connections_of(uid)
  local found = {}
  for _, name in ipairs(names_of(uid)) do
    local node, number = string.match(name, '^(.*):(%d+)$')
    if call('SISMEMBER', key('conns', node), number .. '\n' .. uid) == 1 then
      found[#found + 1] = { name = name, node = node, number = number }
    end
  end
  return found
end

-- The session of a uid: the name of its connection, its public name, and the uid as JSON.
local function session_of(uid)
  return string.match(call('HGET', P .. 'ao:sessions', uid) or '', '^([^\n]*)\n([^\n]*)\n(.*)$')
end

-- How long a list that was made to be asked for is kept when nobody asks for it any more.
local LIST_MS = 60000

-- The rooms with anybody in them, sorted: made when it is asked for, and kept up as long as it is asked for. Made anew where it has not as many as there
-- are: a node of a build that knows of no such list has changed them.
local function occupied_rooms()
  local occupied = P .. 'ao:occupied'
  if call('ZCARD', occupied) ~= call('SCARD', P .. 'ao:rooms') then
    call('DEL', occupied)
    local rooms, list = call('SMEMBERS', P .. 'ao:rooms'), {}
    for _, room in ipairs(rooms) do
      list[#list + 1] = 0
      list[#list + 1] = room
    end
    for i = 1, #list, 1000 do call('ZADD', occupied, unpack(list, i, math.min(i + 999, #list))) end
  end
  call('PEXPIRE', occupied, LIST_MS)
  return occupied
end
