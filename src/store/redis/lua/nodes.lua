-- The nodes that are alive: id, connections, …
local answer = {}
for _, node in ipairs(call('ZRANGEBYSCORE', P .. 'ao:nodes', '(' .. string.format('%d', NOW), '+inf')) do
  answer[#answer + 1] = node
  answer[#answer + 1] = call('HGET', P .. 'ao:stats', node) or '0'
end
return answer
