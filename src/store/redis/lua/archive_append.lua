-- Puts inserts behind a room's log, if it shows so many: a copy that is told of no outcome, or runs twice, writes nothing twice. room, how many, then each
-- insert and its key, or ''. Returns 1; or 0, if it shows another number.
local room, b = ARGV[6], bounds(ARGV[6])
if b.count ~= tonumber(ARGV[7]) then return 0 end
local index = b.first + b.length
for i = 8, #ARGV, 2 do
  call('RPUSH', b.list, ARGV[i])
  if ARGV[i + 1] ~= '' then call('ZADD', key('keys', room), string.format('%d', index), ARGV[i + 1]) end
  index = index + 1
end
call('ZREMRANGEBYRANK', key('keys', room), 0, -KNOWN_KEYS - 1)
return 1
