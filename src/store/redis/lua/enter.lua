-- Puts a connection into a room. room, connection, uid as text, uid as JSON, hidden, wants the roster, is a guest; where there is either, on lines of
-- their own behind this: the last revocation that was known before its credentials were checked ('': nobody asks), and its public name ('': as it was
-- told before)
-- Returns where the order stands, what this was in it (j(oined), d (gone), q(uiet), or nothing), everybody there, where that is wanted, how many
-- connections of the uid the others see now, how many there are, and, if the check missed a revocation of the uid, 1.
local room, connection, uid, json, hidden = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10] == '1'
local late = expired()
if late then return late end
if not is_alive() then return redis.error_reply(LOST) end
local name, guest = NODE .. ':' .. connection, ARGV[12] == '1'
local members, s, told, field, seen = key('members', room), seq(room), '', 'c' .. name, 0
local others, own, checked, socket = guest and { seen = 0, hidden = 0 } or nil, 0, nil, nil
if #ARGV[12] > 1 then checked, socket = string.match(ARGV[12], '^0\n(%d*)\n(.*)$') end

-- Beside another connection of the uid that is there in the same way, or behind all.
local function join(flag, beside)
  if beside then
    call('HSET', members, field, written({ number = beside.number, flag = flag, uid = beside.uid }))
    return
  end
  local number = string.format('%d', call('HINCRBY', s.at, 'place', 1))
  call('HSET', members, field, written({ number = number, flag = flag, uid = json }))
  seat(room, field, number)
end

-- What a connection whose session was taken over had on its way must not put it anywhere.
if call('SISMEMBER', key('evicted', NODE), connection) == 0 then
  if call('EXISTS', members) == 0 then
    call('SADD', P .. 'ao:rooms', room)
    if call('EXISTS', P .. 'ao:occupied') == 1 then call('ZADD', P .. 'ao:occupied', 0, room) end
    used(room)
  end
  appear(uid, json, connection, guest)
  if socket and socket ~= '' then call('SET', key('socket', name), socket) end
  own = 1
  local mine = place(call('HGET', members, field))
  local was = mine and (mine.flag == 'd' and 'hidden' or 'seen')
  if was ~= (hidden and 'hidden' or 'seen') then
    others = others or present(room, uid, name)
    if was then
      local other = was == 'seen' and others.seat or others.veil
      reseat(room, field, other and other.field)
    end
    if hidden then
      join('d', others.veil)
      if was then
        tell(s, 'd', connection, mine.uid, others.seen)
        told, seen = 'd', others.seen
        if hook and seen == 0 then hook.leave(room, uid, 'd') end
      else
        tell_nobody(s)
        told = 'q'
      end
    elseif others.held then
      -- Whoever becomes visible joins now, as the others see it; a place held for the uid is taken over in silence.
      join('v', others.held)
      reseat(room, others.held.field, field)
      call('HDEL', members, others.held.field)
      tell_nobody(s)
      told = 'q'
    else
      join('v', others.seat)
      tell(s, 'j', connection, json, others.seen + 1)
      told, seen = 'j', others.seen + 1
    end
    if hook and not hidden then hook.arrive(room, uid, json) end
  end
  if not hidden then call('SREM', key('holds', uid), room) end
  call('SADD', key('at', name), room)
end
local count = count_of(others or present(room, uid, name)) + own
local answer = { s.epoch, string.format('%d', s.n), told, ARGV[11] == '1' and call('HVALS', members) or {}, seen, count }
if checked and checked ~= '' and tonumber(call('GET', key('revoked', uid)) or 0) > tonumber(checked) then answer[7] = 1 end
return answer
