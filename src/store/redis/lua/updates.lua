-- The bytes of a room's updates; and the updates, if they have few. room, how many are few
local at, log, few = key('seq', ARGV[6]), log_keys(ARGV[6])[2], tonumber(ARGV[7])
local due = redis.pcall('HGET', at, 'due')
if type(due) == 'string' and tonumber(due) <= NOW then return { 0 } end
local number, bytes = update_size(at, log)
if bytes > few then return { bytes } end
local answer = call('HVALS', log)
table.insert(answer, 1, bytes)
return answer
