-- Returns the rooms of which anything is still to be told to any endpoint: events, frozen batches or parked ones.
local known, rooms = {}, {}
local function name(room)
  if room and not known[room] then
    known[room] = true
    rooms[#rooms + 1] = room
  end
end
for _, endpoint in ipairs(call('SMEMBERS', P .. 'ao:hooks:endpoints')) do
  for _, room in ipairs(call('ZRANGE', key('hooks:oldest', endpoint), 0, -1)) do name(room) end
  for _, kind in ipairs({ 'hooks:frozen', 'hooks:parked' }) do
    for _, id in ipairs(call('ZRANGE', key(kind, endpoint), 0, -1)) do name(call('HGET', queue('batch', endpoint, id), 'room')) end
  end
end
return rooms
