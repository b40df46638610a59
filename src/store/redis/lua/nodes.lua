-- The nodes that are alive: id, connections, what else it tells of itself or '', …
local answer = {}
for _, node in ipairs(call('ZRANGEBYSCORE', P .. 'ao:nodes', '(' .. string.format('%d', NOW), '+inf')) do
  answer[#answer + 1] = node
  answer[#answer + 1] = call('HGET', P .. 'ao:stats', node) or '0'
  local figures = redis.pcall('HGET', P .. 'ao:figures', node)
  answer[#answer + 1] = type(figures) == 'string' and figures or ''
end
return answer
