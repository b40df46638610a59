-- Takes away the oldest of a room's log. room, b(efore an index), k(eep so many) or o(lder than so many ms), the number, how many updates went before
-- this was called
-- Returns how many inserts are gone, the index of the first that is left, and, if anything is gone, where the order stands and the place.
local room, how, value, updates = ARGV[6], ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
local late = expired()
if late then return late end
local s, logs = seq(room), log_keys(room)
local list, nobody = logs[1], call('EXISTS', key('members', room)) == 0
if lapse(s) then return { 0, string.format('%d', s.next) } end
local length = call('LLEN', list)
local first = begins(s, length)
local origin, from = shown(s, length, call('HGET', s.at, 'kept'))
local target
if how == 'b' then
  target = value
elseif how == 'k' then
  target = first + length - value
else
  target = first + first_young(list, from - first, length, NOW - value)
end
target = math.max(from, math.min(first + length, target))
if target == from and updates == 0 then
  if s.n == 0 and nobody and call('EXISTS', list, logs[2]) == 0 then unused(room, 0) end
  return { 0, string.format('%d', from) }
end
call('LLEN', key('replay', room)) -- nothing is written before it is sure that all of it can be
if target > from then
  call('ZREMRANGEBYSCORE', logs[5], '-inf', '(' .. string.format('%d', target))
  if delete_hidden(s, length, origin, target) then call('ZADD', P .. 'ao:expiring', NOW, room) end
end
local index = string.format('%d', target)
local _, place = emit(s, 1, 'q-,0,' .. #index .. ',t\n' .. index)
if hook then hook.tell(room, 'room.trimmed', '', '"removed":' .. string.format('%d', target - from + updates) .. ',"start":' .. index) end
if nobody and call('EXISTS', list, logs[2]) == 0 then unused(room, 0) end
return { target - from, index, s.epoch, place }
