-- Notes of some batches that were put aside in which room they are: an earlier build did not. endpoint, and from where on, as Redis reads a score
-- Returns from where on it goes on, or '' at the end.
local endpoint, AT_ONCE = ARGV[6], 200
local found = call('ZRANGEBYSCORE', key('hooks:parked', endpoint), ARGV[7], '+inf', 'WITHSCORES', 'LIMIT', 0, AT_ONCE)
for i = 1, #found, 2 do
  local room = redis.pcall('HGET', queue('batch', endpoint, found[i]), 'room')
  if type(room) == 'string' then
    call('SADD', queue('aside', endpoint, room), found[i])
    call('SADD', key('hooks:asides', endpoint), room)
  end
end
return #found == 2 * AT_ONCE and '(' .. found[#found] or ''
