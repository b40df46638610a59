-- A sign of life. lease in ms, open connections, whether this registers the node, whether it may declare others dead
-- Returns 0 if the node was taken for dead; else 1, or 2 if its lease was over, the time, how user authentication was switched ('', '0', '1'), and
-- nodes to be reaped.
local nodes, lease = P .. 'ao:nodes', tonumber(ARGV[6])
local own = call('ZSCORE', nodes, NODE)
if ARGV[8] ~= '1' and not own then
  if call('EXISTS', key('conns', NODE)) == 1 then call('SADD', P .. 'ao:dead', NODE) end
  return { 0 }
end
-- Whoever could not beat in time has no right to call others late: they may have been as suspended as this one.
local late = own and tonumber(own) < NOW
-- The switch holds as long as any node is alive.
if ARGV[8] == '1' and call('ZCOUNT', nodes, NOW, '+inf') == 0 then call('DEL', P .. 'ao:user_auth') end
call('ZADD', nodes, NOW + lease, NODE)
call('HSET', P .. 'ao:stats', NODE, ARGV[7])
call('PUBLISH', C .. 'node:' .. NODE, 'beat ' .. string.format('%d', NOW))
local answer = { late and 2 or 1, string.format('%d', NOW), call('GET', P .. 'ao:user_auth') or '' }
if ARGV[9] == '1' and not late then
  for _, node in ipairs(call('ZRANGEBYSCORE', nodes, '-inf', NOW, 'LIMIT', 0, 10)) do answer[#answer + 1] = node end
  for _, node in ipairs(call('SMEMBERS', P .. 'ao:dead')) do answer[#answer + 1] = node end
end
return answer
