-- Takes a uid out of a room: all its connections there, and the place held for it. room, uid, room_expiry
-- Returns how many connections that were; if there was anything, also where the order stands, the place, the uid as JSON, and whether the others saw
-- it (1 or 0).
local room, uid, room_expiry = ARGV[6], ARGV[7], tonumber(ARGV[8])
local late = expired()
if late then return late end
local members, removed, mine, seen = key('members', room), 0, nil, false
local function take(field)
  local p = place(call('HGET', members, field))
  if not p then return false end
  call('HDEL', members, field)
  reseat(room, field)
  mine, seen = mine or p, seen or p.flag ~= 'd'
  return true
end
for _, name in ipairs(names_of(uid)) do
  if take('c' .. name) then removed = removed + 1 end
  call('SREM', key('at', name), room)
end
take('h' .. uid)
call('SREM', key('holds', uid), room)
if not mine then return { 0 } end
local s = seq(room)
-- To a build that knows of no `k` it is gone, if it was seen.
local _, n = emit(s, 1, (seen and 'd' or 'q') .. '-,0,' .. #mine.uid .. ',k\n' .. mine.uid)
if hook and seen then hook.leave(room, uid, 'k') end
vacate(room, room_expiry)
return { removed, s.epoch, n, mine.uid, seen and 1 or 0 }
