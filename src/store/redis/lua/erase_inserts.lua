-- Overwrites inserts of a room, whoever's they are, that are still there. room, index of the first, index behind the last, how many are looked at
-- Returns how many had a message, and at which index to go on (0: that was all).
local room, from, upto, most = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local late = expired()
if late then return late end
local list = log_keys(room)[1]
local length = call('LLEN', list)
if length == 0 then return { 0, 0 } end
local s = seq(room)
if lapse(s) then return { 0, 0 } end
local first = begins(s, length)
from, upto = math.max(from, first), math.min(upto, first + length)
local behind = math.min(upto, from + most)
local go_on = behind < upto and behind or 0
if behind <= from then return { 0, 0 } end

-- What stands behind the message: its time, and its number.
local function tail(entry)
  for _, pattern in ipairs({ ',"ts":%d+,"ms":%d+}$', ',"ts":%d+,"n":%d+}$', ',"ts":%d+}$' }) do
    local found = string.match(string.sub(entry, -96), pattern)
    if found then return found end
  end
  local at = stored_at(entry)
  return at and ',"ts":' .. string.format('%d', at / 1000) .. '}' or '}'
end

local replay = key('replay', room)
call('LLEN', replay) -- nothing is written before it is sure that all of it can be
local done = 0
for i, entry in ipairs(call('LRANGE', list, from - first, behind - first - 1)) do
  local erased = '{"data":null' .. tail(entry)
  if entry ~= erased then
    call('LSET', list, from - first + i - 1, erased)
    done = done + 1
  end
end
if done == 0 then return { 0, go_on } end
-- What is kept for nodes that were cut off goes where it may hold some of it: they take it for a loss then.
for _, text in ipairs(call('LRANGE', replay, 0, -1)) do
  local count, index = string.match(text, '^%d+ %d+ %d+ (%d+) %S+ %d+ (%d+)\n')
  if index and tonumber(index) < behind and tonumber(index) + tonumber(count) > from then
    call('UNLINK', replay)
    break
  end
end
-- What nodes have read of the log is out of date from now on.
emit(s, 1, 'q-,0,0,v\n', 'recalled', '')
return { done, go_on }
