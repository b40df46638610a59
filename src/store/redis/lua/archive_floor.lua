-- Behind which index logs of rooms begin that have nothing stored any more. rooms…. Returns it for these, and for those whose counters went; but not for
-- lives, which begin with 0. What is no hash is nobody's counters.
local least = floor()
for i = 6, #ARGV do
  local logs = log_keys(ARGV[i])
  if not is_life(ARGV[i]) and call('EXISTS', logs[1], logs[2]) == 0 and call('TYPE', key('seq', ARGV[i])).ok == 'hash' then
    least = math.max(least, (extent(call('HGET', key('seq', ARGV[i]), 'next'))))
  end
end
return string.format('%d', least)
