-- Rooms with anybody in them, by name. The bounds of their names, as ZRANGEBYLEX has them, at most. Returns for each its name, and how many are there.
local from, to, most = ARGV[6], ARGV[7], tonumber(ARGV[8])
local occupied, answer = occupied_rooms(), {}
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
