-- Batches that were put aside, the oldest first. endpoint, behind which one (a serial number), how many are wanted
-- Returns of each: id, room, when it was parked, attempts, why, body, serial number.
local endpoint = ARGV[6]
local answer = {}
local found = call('ZRANGEBYSCORE', key('hooks:parked', endpoint), '(' .. ARGV[7], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[8])
for i = 1, #found, 2 do
  -- One that is not there, or is something else, has no room, and is passed over by whoever asked.
  local batch = redis.pcall('HMGET', queue('batch', endpoint, found[i]), 'room', 'parked', 'attempts', 'why', 'body')
  answer[#answer + 1] = { found[i], batch[1] or '', batch[2] or '0', batch[3] or '0', batch[4] or '', batch[5] or '', found[i + 1] }
end
return answer
