-- Of which of some rooms something is due. Then each: room, of what age in ms it is, how many of the newest inserts are kept ('' each: no such limit).
-- Returns their numbers, in the order in which they were given.
local answer = {}
-- A look at so many updates takes no time worth speaking of.
local FEW_UPDATES = 100

local function updates_are_due(room, log, age)
  local number = call('HLEN', log)
  if number == 0 then return false end
  -- Of many not all are looked at each time: those that are due are shown to nobody.
  if number > FEW_UPDATES then
    local rest = math.max(1000, math.min(3600000, math.floor(age / 10)))
    return call('SET', key('aged', room), '1', 'NX', 'PX', rest) and true or false
  end
  for _, entry in ipairs(call('HVALS', log)) do
    local time = stored_at(entry)
    if time and time <= NOW - age then return true end
  end
  return false
end

local function is_due(room, age, kept)
  local logs = log_keys(room)
  if call('TYPE', logs[1]).ok == 'list' then
    local length, at = call('LLEN', logs[1]), key('seq', room)
    local fields = call('HMGET', at, 'next', 'kept')
    local s = { room = room, at = at }
    s.next, s.begins = extent(fields[1])
    local first = begins(s, length)
    local _, from = shown(s, length, fields[2])
    if kept and first + length - from > kept then return true end
    if age and from < first + length and inserted_at(logs[1], from - first, length) <= NOW - age then return true end
  end
  return age and call('TYPE', logs[2]).ok == 'hash' and updates_are_due(room, logs[2], age)
end

for at = 6, #ARGV, 3 do
  if is_due(ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])) then answer[#answer + 1] = (at - 6) / 3 end
end
return answer
