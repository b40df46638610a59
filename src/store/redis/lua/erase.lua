-- Overwrites entries of a room's lists, or of its updates, if they are still what they were. room, key: i(nserts), b(ackups of updates), g (ignored) or
-- u(pdates), then each: index or id, the entry's SHA-1, the new entry
-- Returns how many were overwritten, and how many were others by then.
local room, which = ARGV[6], ARGV[7]
local late = expired()
if late then return late end
local logs, done, others = log_keys(room), 0, 0
local log = ({ i = logs[1], u = logs[2], b = logs[3], g = logs[4] })[which]
call('LLEN', key('replay', room)) -- nothing is written before it is sure that all of it can be
for i = 8, #ARGV, 3 do
  local entry = which == 'u' and call('HGET', log, ARGV[i]) or which ~= 'u' and call('LINDEX', log, ARGV[i])
  if not entry or redis.sha1hex(entry) ~= ARGV[i + 1] then
    others = others + 1
  else
    if which == 'u' then call('HSET', log, ARGV[i], ARGV[i + 2]) else call('LSET', log, ARGV[i], ARGV[i + 2]) end
    done = done + 1
  end
end
if which == 'u' and done > 0 then call('HDEL', key('seq', room), 'u') end -- it is counted anew
-- What nodes have read of the log is out of date from now on, also if whoever does this is killed now.
if done > 0 and (which == 'i' or which == 'u') then emit(seq(room), 1, 'q-,0,0,v\n', 'recalled', '') end
return { done, others }
