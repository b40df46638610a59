-- Batches that were put aside, the oldest first. endpoint, behind which one (a serial number), how many are wanted
-- Returns of each: id, room, when it was parked, attempts, why, body, serial number.
local endpoint = ARGV[6]
local answer = {}
for _, id in ipairs(call('ZRANGEBYSCORE', key('hooks:parked', endpoint), '(' .. ARGV[7], '+inf', 'LIMIT', 0, ARGV[8])) do
  local batch = call('HMGET', queue('batch', endpoint, id), 'room', 'parked', 'attempts', 'why', 'body', 'serial')
  answer[#answer + 1] = { id, batch[1] or '', batch[2] or '0', batch[3] or '0', batch[4] or '', batch[5] or '', batch[6] or '0' }
end
return answer
