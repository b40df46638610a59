-- Has the queues of webhooks free that a node held which is no more: their turn is now, and not when the lease of its requests is over. Returns how many.
-- There are few: as many as may be under way at a time.
local function free_queues(node)
  local freed = 0
  for _, endpoint in ipairs(call('SMEMBERS', P .. 'ao:hooks:endpoints')) do
    local held, due = key('hooks:held', endpoint), key('hooks:due', endpoint)
    local holders = call('HGETALL', held)
    for i = 1, #holders, 2 do
      local room, turn = holders[i], nil
      if holders[i + 1] == node then
        call('HDEL', held, room)
        turn = call('ZSCORE', due, room)
      end
      if turn and tonumber(turn) > NOW then
        call('ZADD', due, string.format('%d', NOW), room)
        freed = freed + 1
      end
    end
  end
  return freed
end
