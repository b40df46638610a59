-- The bytes of a room's updates; and the updates, if they have few. room, how many are few
local log, few = log_keys(ARGV[6])[2], tonumber(ARGV[7])
local number, bytes = update_size(key('seq', ARGV[6]), log)
if bytes > few then return { bytes } end
local answer = call('HVALS', log)
table.insert(answer, 1, bytes)
return answer
