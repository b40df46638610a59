-- Deletes, of some of a room's updates, those whose last writing is too old. room, where to go on, older than so many ms
-- Returns where to go on (0: there are no more), and how many are gone.
local room = ARGV[6]
local late = expired()
if late then return late end
local at, log = key('seq', room), log_keys(room)[2]
local by, gone, bytes = NOW - tonumber(ARGV[8]), {}, 0
local found = call('HSCAN', log, ARGV[7], 'COUNT', 200)
for i = 1, #found[2], 2 do
  local time = stored_at(found[2][i + 1])
  if time and time <= by then
    gone[#gone + 1] = found[2][i]
    bytes = bytes + #found[2][i + 1]
  end
end
if #gone == 0 then return { found[1], 0 } end
local number, noted = call('HLEN', log), redis.pcall('HGET', at, 'u')
local known, held = string.match(type(noted) == 'string' and noted or '', '^(%d+) (%d+)$')
local deleted = 0
for from = 1, #gone, 1000 do deleted = deleted + call('HDEL', log, unpack(gone, from, math.min(from + 999, #gone))) end
if tonumber(known) == number and deleted == #gone then
  call('HSET', at, 'u', string.format('%d %d', number - deleted, tonumber(held) - bytes))
end
return { found[1], deleted }
