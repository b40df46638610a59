-- What the look-ups of administrators have beside common.lua and presence.lua.

-- A uid's connections: node and number each. Not those whose session was taken over, nor what is left of one that has ended in a way that does not
-- know of `ao:online`: that of an earlier build.
local function connections_of(uid)
  local found = {}
  for _, name in ipairs(names_of(uid)) do
    local node, number = string.match(name, '^(.*):(%d+)$')
    if call('SISMEMBER', key('conns', node), number .. '\n' .. uid) == 1 and call('SISMEMBER', key('evicted', node), number) == 0 then
      found[#found + 1] = { name = name, node = node, number = number }
    end
  end
  return found
end

-- The session of a uid: the name of its connection, its public name, and the uid as JSON.
local function session_of(uid)
  return string.match(call('HGET', P .. 'ao:sessions', uid) or '', '^([^\n]*)\n([^\n]*)\n(.*)$')
end

-- How long a list that was made to be asked for is kept.
local LIST_MS = 60000
