-- Inserts of a room's log, from one on, counted from the first that is shown. room, from, most inserts, most bytes (one is returned in any case)
-- Returns each and its key, or ''.
local room, from, most, bytes = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local b = bounds(room)
local entries, total = {}, 0
local at = b.from - b.first + from
while #entries < most and at + #entries < b.length and total <= bytes do
  local step = math.min(most - #entries, 20)
  local some = call('LRANGE', b.list, at + #entries, at + #entries + step - 1)
  for _, entry in ipairs(some) do
    total = total + #entry
    if total > bytes and #entries > 0 then break end
    entries[#entries + 1] = entry
  end
  if #some < step then break end
end
local keys, answer = {}, {}
local index = b.first + at
local known = call('ZRANGEBYSCORE', key('keys', room), string.format('%d', index), string.format('%d', index + #entries - 1), 'WITHSCORES')
for i = 1, #known, 2 do keys[tonumber(known[i + 1])] = known[i] end
for i, entry in ipairs(entries) do
  answer[#answer + 1] = entry
  answer[#answer + 1] = keys[index + i - 1] or ''
end
return answer
