-- Tells of those who were marked as leaving and whose time is over, some of them. Returns the ms until the next one's is ('': there is none).
local leaving = P .. 'ao:hooks:leaving'
for _, who in ipairs(call('ZRANGEBYSCORE', leaving, '-inf', NOW, 'LIMIT', 0, 100)) do
  local room, uid = string.match(who, '^(.*)\n([^\n]*)$')
  local is_there
  if string.sub(room, 1, 3) == hook.of_user then is_there = is_online(uid) else is_there = present(room, uid).seen > 0 end
  if is_there then
    local was = call('HGET', key('hooks:told', room), uid)
    if was then hook.arrive(room, uid, string.sub(was, 2)) else call('ZREM', leaving, who) end
  else
    hook.part(room, uid)
  end
end
local next = call('ZRANGE', leaving, 0, 0, 'WITHSCORES')
return next[2] and digits(math.max(tonumber(next[2]) - NOW, 0)) or ''
