-- A sign of life. lease in ms, open connections, whether this registers the node, whether it may declare others dead, `1` and a serial number if
-- it knows that users must authenticate, what else the node tells of itself ('': nothing)
-- Returns 0 if the node was taken for dead; else 1, or 2 if its lease was over, the time, how user authentication was switched ('' if it was not,
-- '0' or '1' and a serial number), and nodes to be reaped.
local nodes, lease = P .. 'ao:nodes', tonumber(ARGV[6])
local own = call('ZSCORE', nodes, NODE)
if ARGV[8] ~= '1' and not own then
  if call('EXISTS', key('conns', NODE), key('batches', NODE)) > 0 then call('SADD', P .. 'ao:dead', NODE) end
  return { 0 }
end
-- Whoever could not beat in time has no right to call others late: they may have been as suspended as this one.
local late = own and tonumber(own) < NOW
-- The switch holds as long as there is any node. That all leases are over proves no end: there may have been no Redis to give signs of life to.
-- Then only that users must authenticate is believed.
local switch = user_auth()
if ARGV[8] == '1' and switch then
  local alone = call('ZCARD', nodes) == 0
  if alone or (string.sub(switch, 1, 1) ~= '1' and call('ZCOUNT', nodes, NOW, '+inf') == 0) then
    call('DEL', P .. 'ao:user_auth') -- the number stays: the next one is greater
    switch = nil
  end
end
local function serial(text) return tonumber(string.match(text or '', '^[01] (%d+)$') or -1) end
-- Of two with the same number the stricter one counts.
if ARGV[10] ~= '' and ARGV[10] ~= switch and serial(ARGV[10]) >= serial(switch) then
  switch = ARGV[10]
  set_user_auth(switch)
end
call('ZADD', nodes, NOW + lease, NODE)
call('HSET', P .. 'ao:stats', NODE, ARGV[7])
if ARGV[11] ~= '' then redis.pcall('HSET', P .. 'ao:figures', NODE, ARGV[11]) end
call('PUBLISH', C .. 'node:' .. NODE, 'beat ' .. string.format('%d', NOW))
local answer = { late and 2 or 1, string.format('%d', NOW), switch or '' }
if ARGV[9] == '1' and not late then
  for _, node in ipairs(call('ZRANGEBYSCORE', nodes, '-inf', NOW, 'LIMIT', 0, 10)) do answer[#answer + 1] = node end
  for _, node in ipairs(call('SMEMBERS', P .. 'ao:dead')) do answer[#answer + 1] = node end
end
return answer
