-- Records in the order of their ids. collection, what they are found by or '' for all, the id behind which they begin or '', most records, most
-- bytes of bodies (one is returned in any case)
-- Returns the id behind which the next page begins, or '' if there is none, and of each record: id, version, body, and when it ends, or ''.
local collection, most, bytes = ARGV[6], tonumber(ARGV[9]), tonumber(ARGV[10])
local ids = ARGV[7] == '' and all_of(collection) or found_by(collection, ARGV[7])
local last, answer, count, total, seen = ARGV[8], { '' }, 0, 0, 0
while true do
  local step = call('ZRANGEBYLEX', ids, last == '' and '-' or '(' .. last, '+', 'LIMIT', 0, 100)
  if #step == 0 then return answer end
  for _, id in ipairs(step) do
    local at = record_key(collection, id)
    local size = call('HSTRLEN', at, 'b')
    -- Not more of those that have expired, and are not swept away yet, than of others.
    if count >= most or count > 0 and total + size > bytes or seen >= 5000 then
      answer[1] = last
      return answer
    end
    local found = call('HMGET', at, 'v', 'b', 'x')
    if found[1] and not (found[3] and tonumber(found[3]) <= NOW) then
      answer[#answer + 1], answer[#answer + 2], answer[#answer + 3], answer[#answer + 4] = id, found[1], found[2], found[3] or ''
      count, total = count + 1, total + size
    end
    last, seen = id, seen + 1
  end
end
