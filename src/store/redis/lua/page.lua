-- A stretch of the log: its length, what names it, and entries from an index on. room, from, most entries, most bytes (one entry is returned in any case).
local log, from, most, bytes = log_keys(ARGV[6])[1], tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local named = redis.pcall('HMGET', key('seq', ARGV[6]), 'epoch', 'cleared')
if named.err then named = {} end -- counters that can't be used are no reason not to read
local answer, total = { call('LLEN', log), named }, 0
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
