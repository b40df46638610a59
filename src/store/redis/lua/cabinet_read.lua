-- Records of a collection behind an id. collection, id or '', most
-- Returns of each: id, version, body, when it ends in ms since 1970 or '', and what it is found by, index and value with a colon between.
local collection, after, most, answer = ARGV[6], ARGV[7], ARGV[8], {}
local ids = call('ZRANGEBYLEX', all_of(collection), after == '' and '-' or '(' .. after, '+', 'LIMIT', 0, most)
for _, id in ipairs(ids) do
  local found = call('HMGET', record_key(collection, id), 'v', 'b', 'x', 'k')
  local alive = found[1] and found[2] and not (found[3] and tonumber(found[3]) <= NOW)
  -- One that has expired, or is broken, has no version.
  answer[#answer + 1] = { id, alive and found[1] or '', alive and found[2] or '', found[3] or '', alive and found[4] and cmsgpack.unpack(found[4]) or {} }
end
return answer
