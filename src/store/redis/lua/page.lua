-- A stretch of the log: its length, the index of its first insert, what names it, the offset of its first insert, the time in ms, and entries from an
-- offset on.
-- room, from, most entries, most bytes (one entry is returned in any case), of what age in ms inserts are not shown, how many of the newest are (''
-- each: there is no such limit).
local log, from, most, bytes = log_keys(ARGV[6])[1], tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local named = redis.pcall('HMGET', key('seq', ARGV[6]), 'epoch', 'cleared', 'recalled', 'due', 'next', 'kept', 'named')
local unusable = named.err
if unusable then named = {} end -- counters that can't be used are no reason not to read
local due, length, s = named[4], call('LLEN', log), {}
s.next, s.begins = extent(named[5])
if not named[5] then
  local next, lasting = renewed(ARGV[6], due)
  s.next, s.begins = extent(next)
  if length > 0 and not unusable then
    -- What others wrote keeps the indexes that it is read with now, whatever other rooms do. Reading goes on where nothing can be written.
    local at, left = key('seq', ARGV[6]), call('PTTL', log)
    local is_new = call('EXISTS', at) == 0
    if type(redis.pcall('HSET', at, 'next', next, unpack(lasting and { 'due', lasting } or {}))) == 'number' then
      due = lasting
      if is_new and left > 0 then
        raise_floor(ARGV[6], s.next + length)
        call('PEXPIRE', at, left)
      end
    end
  end
end
local first = begins(s, length)
local origin, shown_from = shown(s, length, named[6])
local age, kept = tonumber(ARGV[10]), tonumber(ARGV[11])
if kept then shown_from = math.max(shown_from, first + length - kept) end
if age then shown_from = first + first_young(log, shown_from - first, length, NOW - age) end
named = { named[1], named[2], named[3], due, named[6], named[5], named[7] }
if due and tonumber(due) <= NOW then return { 0, first + length, named, 0, NOW } end
local answer, total = { first + length - shown_from, shown_from, named, shown_from - origin, NOW }, 0
from = origin + math.max(from, shown_from - origin) - first
while most > 0 and total <= bytes do
  local step = math.min(most, 20)
  local entries = call('LRANGE', log, from, from + step - 1)
  for _, entry in ipairs(entries) do
    answer[#answer + 1] = entry
    total = total + #entry
    if total > bytes then break end
  end
  if #entries < step then break end
  from, most = from + step, most - step
end
return answer
