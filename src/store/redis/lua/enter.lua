-- Puts a connection into a room. room, connection, uid as text, uid as JSON, hidden, wants the roster
-- Returns where the order stands, what this was in it (j(oined), d (gone), q(uiet), or nothing), and everybody there, where that is wanted.
local room, connection, uid, json, hidden = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10] == '1'
local late = expired()
if late then return late end
if not is_alive() then return redis.error_reply(LOST) end
local name = NODE .. ':' .. connection
local members, s, told = key('members', room), seq(room), ''

local function join(flag)
  local number = call('HINCRBY', s.at, 'place', 1)
  call('HSET', members, 'c' .. name, written({ number = string.format('%d', number), flag = flag, uid = json }))
end

-- What a connection whose session was taken over had on its way must not put it anywhere.
if call('SISMEMBER', key('evicted', NODE), connection) == 0 then
  if call('EXISTS', members) == 0 then
    call('SADD', P .. 'ao:rooms', room)
    used(room)
  end
  local mine = place(call('HGET', members, 'c' .. name))
  local seen = mine and mine.flag == 'v'
  if seen and hidden then
    mine.flag = 'd'
    call('HSET', members, 'c' .. name, written(mine))
    tell(s, 'd', connection, mine.uid)
    told = 'd'
  elseif hidden and not mine then
    join('d')
    tell_nobody(s)
    told = 'q'
  elseif not seen and not hidden then
    -- Whoever becomes visible joins now, as the others see it; a place held for the uid is taken over in silence.
    local held = place(call('HGET', members, 'h' .. uid))
    if held then
      held.flag = 'v'
      call('HDEL', members, 'h' .. uid)
      call('HSET', members, 'c' .. name, written(held))
      tell_nobody(s)
      told = 'q'
    else
      join('v')
      tell(s, 'j', connection, json)
      told = 'j'
    end
  end
  if not hidden then call('SREM', key('holds', uid), room) end
  call('SADD', key('at', name), room)
  call('SADD', key('conns', NODE), connection .. '\n' .. uid)
end
return { s.epoch, string.format('%d', s.n), told, ARGV[11] == '1' and call('HVALS', members) or {} }
