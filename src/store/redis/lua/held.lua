-- Has the queues of webhooks free that a node held which is no more: their turn is now, and not when the lease of its requests is over. Returns how many.
-- There are few: as many as may be under way at a time. One whose turn is not at the end of that node's lease was taken by another node since, which may
-- be of a build that does not say so here; it is left to that one.
local function free_queues(node)
  local freed = 0
  for _, endpoint in ipairs(call('SMEMBERS', P .. 'ao:hooks:endpoints')) do
    local held, due = key('hooks:held', endpoint), key('hooks:due', endpoint)
    local holders = call('HGETALL', held)
    for i = 1, #holders, 2 do
      local room, turn, till = holders[i], nil, nil
      local holder, lease = string.match(holders[i + 1], '^([^\n]*)\n(%d+)$')
      if holder == node then
        call('HDEL', held, room)
        turn, till = tonumber(call('ZSCORE', due, room) or nil), tonumber(lease)
      end
      if turn and turn == till and turn > NOW then
        call('ZADD', due, string.format('%d', NOW), room)
        freed = freed + 1
      end
    end
  end
  return freed
end
