-- A stretch of the log: its length, the index of its first insert, what names it, and entries from an offset on. room, from, most entries, most
-- bytes (one entry is returned in any case).
local log, from, most, bytes = log_keys(ARGV[6])[1], tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local named = redis.pcall('HMGET', key('seq', ARGV[6]), 'epoch', 'cleared', 'recalled', 'due', 'begins', 'next')
if named.err then named = {} end -- counters that can't be used are no reason not to read
local next = named[6] or redis.pcall('HGET', key('log', ARGV[6]), 'next')
local length = call('LLEN', log)
local first = begins({ begins = tonumber(named[5] or 0), next = tonumber(type(next) == 'string' and next or 0) }, length)
named = { named[1], named[2], named[3], named[4] }
if tonumber(named[4] or NOW + 1) <= NOW then return { 0, decimal(first + length), named } end
local answer, total = { length, decimal(first), named }, 0
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
