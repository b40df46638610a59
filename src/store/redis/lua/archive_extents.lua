-- How many inserts and updates rooms show. rooms…. Returns both numbers of each.
local answer = {}
for i = 6, #ARGV do
  local b = bounds(ARGV[i])
  answer[#answer + 1] = b.count
  answer[#answer + 1] = b.over and 0 or call('HLEN', log_keys(ARGV[i])[2])
end
return answer
