-- Rooms with anybody in them, by name. The bounds of their names, as ZRANGEBYLEX has them, at most. Returns for each its name, and how many are there.
local from, to, most = ARGV[6], ARGV[7], tonumber(ARGV[8])
local occupied, answer = P .. 'ao:occupied', {}
if call('EXISTS', occupied) == 0 then
  local rooms, list = call('SMEMBERS', P .. 'ao:rooms'), {}
  for _, room in ipairs(rooms) do
    list[#list + 1] = 0
    list[#list + 1] = room
  end
  for i = 1, #list, 1000 do call('ZADD', occupied, unpack(list, i, math.min(i + 999, #list))) end
  call('PEXPIRE', occupied, LIST_MS)
end
while #answer < 2 * most do
  local some = call('ZRANGEBYLEX', occupied, from, to, 'LIMIT', 0, most - #answer / 2)
  if #some == 0 then break end
  for _, room in ipairs(some) do
    local count = call('HLEN', key('members', room))
    from = '(' .. room
    if count > 0 then
      answer[#answer + 1] = room
      answer[#answer + 1] = count
    end
  end
end
return answer
