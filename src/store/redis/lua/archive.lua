-- What the scripts of `copy` have beside common.lua and log.lua. Nothing is written by those that only read, not even by the way.

-- A room's log as readers are shown it: its list's first index and length, the indexes of offset 0 and of the first insert that is shown, and how many
-- are shown. One whose time is over is empty.
local function bounds(room)
  local list = log_keys(room)[1]
  local f = call('HMGET', key('seq', room), 'n', 'epoch', 'next', 'kept', 'due', 'named')
  local b = { list = list, n = tonumber(f[1] or 0), life = f[2], due = f[5], named = f[6], length = call('LLEN', list) }
  if not f[3] then f[3], b.due = renewed(room, b.due) end
  b.next, b.begins = extent(f[3])
  b.first = begins(b, b.length)
  b.origin, b.from = shown(b, b.length, f[4])
  b.over = b.due and tonumber(b.due) <= NOW
  if b.over then b.origin, b.from, b.due = b.first + b.length, b.first + b.length, false end
  b.count = b.first + b.length - b.from
  return b
end

