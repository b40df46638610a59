-- Members of a room. room, behind this place ('': from the beginning), at most
-- The list is made anew each minute, also while it is asked for: whether a node of a build that knows of none has changed the members can't be seen by a
-- number, as members have several places each.
-- Returns how many there are in all, and for each place: its number, v(isible), h(eld) or d (hidden), the uid as JSON, and its connections.
local room, after, most = ARGV[6], ARGV[7], tonumber(ARGV[8])
local members, seats = key('members', room), key('seats', room)
if call('EXISTS', seats) == 0 then
  local fields, first, list = call('HGETALL', members), {}, {}
  for i = 1, #fields, 2 do
    local number = string.match(fields[i + 1], '^%d+')
    if number and not first[number] then
      first[number] = true
      list[#list + 1] = number
      list[#list + 1] = fields[i]
    end
  end
  for from = 1, #list, 1000 do call('ZADD', seats, unpack(list, from, math.min(from + 999, #list))) end
  call('PEXPIRE', seats, LIST_MS)
end
local answer, from = { call('ZCARD', seats) }, after == '' and '-inf' or '(' .. after
while #answer < 4 * most do
  local some = call('ZRANGEBYSCORE', seats, from, '+inf', 'WITHSCORES', 'LIMIT', 0, most - (#answer - 1) / 4)
  if #some == 0 then break end
  for i = 1, #some, 2 do
    local p = place(call('HGET', members, some[i]))
    from = '(' .. some[i + 1]
    if p then
      local others = present(room, text_of(p.uid), string.sub(some[i], 2))
      local count = p.flag == 'd' and others.hidden or others.seen - (others.held and 1 or 0)
      if p.flag ~= 'h' then count = count + 1 end
      answer[#answer + 1] = some[i + 1]
      answer[#answer + 1] = p.flag == 'd' and 'd' or count == 0 and 'h' or 'v'
      answer[#answer + 1] = p.uid
      answer[#answer + 1] = count
    end
  end
end
return answer
