-- Has the log of a room that shows no inserts begin anew. room, the indexes of offset 0 and of the first insert, what it is named, the last place of its order
-- Returns 1; or 0, if it shows some.
local room, origin, from, epoch, n = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9], tonumber(ARGV[10])
local b, at, logs = bounds(room), key('seq', room), log_keys(room)
if b.count > 0 then return 0 end
-- What is hidden there, or over.
call('UNLINK', b.list, logs[5])
if b.over then
  call('UNLINK', unpack(logs))
  call('HDEL', key('log', room), 'due')
  call('ZREM', P .. 'ao:expiring', room)
end
call('HDEL', at, 'kept', b.over and 'due' or 'kept')
if b.n == 0 and call('HLEN', logs[2]) > 0 then n = math.max(n, clock[1] * 1000000 + clock[2]) end -- see `seq`
n = string.format('%d', math.max(n, b.n))
local life, first = clock[1] .. string.format('%06d', clock[2]), string.format('%d', from)
call('HSET', at, 'run', RUN, 'epoch', life, 'base', n, 'from', '0', 'n', n, 'next', first .. ' ' .. first)
if origin < from then call('HSET', at, 'kept', string.format('%d %d %d', origin, from, from)) end
-- The name holds for as long as this life and this log do.
call('HSET', at, 'named', life .. ' ' .. string.format('%d', origin) .. ' ' .. epoch)
return 1
